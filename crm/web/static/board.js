"use strict";
// The live board, and the 112 calls on top of the page of 112. Events say what has changed (crm/web/board_view.py); only
// that is touched. The list of calls holds still under the pointer or the focus, and says how many more there are.

(() => {
  const board = document.getElementById("board");
  if (!board) return;
  const STALE_MS = 5000;
  const AGAIN_MS = 3000;
  const say = board.dataset;
  const byId = (id) => document.getElementById(id);
  const list = byId("calls");
  const title = document.title;

  const model = new Map(); // id → a call as it is
  const shown = new Map(); // id → its row on the page
  const spare = []; // rows that are not used now
  const emergencies = []; // views of 112 calls
  let source = null;
  let fresh = true;
  let known = true; // whether any node says what goes on
  let ahead_ms = 0; // how far the server's clock is before ours
  let came_at = performance.now();
  let heard = false;
  let stopped = false;
  let pointed = false;
  let focused = false;

  const write = (node, text) => {
    if (node && node.data !== text) node.data = text;
  };

  // A view of a template: the text node of each part, and its link where it is one.
  const viewOf = (template) => {
    const root = byId(template).content.firstElementChild.cloneNode(true);
    const parts = {};
    const links = {};
    for (const element of root.querySelectorAll("[data-part]")) {
      parts[element.dataset.part] = element.appendChild(document.createTextNode(""));
      if (element.localName === "a") links[element.dataset.part] = element;
    }
    return { root, parts, links, call: null, hrefs: {} };
  };

  const lead = (view, part, href) => {
    if (view.hrefs[part] === href || !view.links[part]) return;
    view.hrefs[part] = href;
    if (href) view.links[part].href = href;
    else view.links[part].removeAttribute("href");
  };

  const lasted = (since) => {
    const whole = Math.max(0, Math.round((Date.now() + ahead_ms) / 1000 - since));
    return whole < 60 ? `${whole} ${say.second}` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  };

  const tick = (view) => write(view.parts.tick, view.call.since === undefined ? "" : `· ${lasted(view.call.since)}`);

  const fill = (view, call) => {
    if (view.call === call) return;
    view.call = call;
    for (const part of ["t", "a", "f", "w", "kw", "acc", "k", "d", "n"]) write(view.parts[part], call[part] || "");
    lead(view, "a", call.panel);
    lead(view, "f", call.flat);
    lead(view, "kw", call.call);
    lead(view, "acc", call.account);
    if (view.root.dataset.state !== call.s) view.root.dataset.state = call.s;
    tick(view);
  };

  // --- the list ---------------------------------------------------------------------------------------------------

  const sync = () => {
    if (!list) return;
    for (const [id, view] of shown) {
      if (model.has(id)) fill(view, model.get(id));
    }
    const waiting = [...model.values()].filter((call) => !shown.has(call.i));
    if (pointed || focused) {
      write(byId("held").firstChild || byId("held").appendChild(document.createTextNode("")),
        waiting.length ? say.more.replace("#", waiting.length) : "");
      return;
    }
    if (byId("held").firstChild) write(byId("held").firstChild, "");
    for (const [id, view] of shown) {
      if (model.has(id)) continue;
      shown.delete(id);
      view.root.remove();
      spare.push(view);
    }
    waiting.sort((one, other) => other.o - one.o);
    let next = list.firstElementChild;
    for (const call of waiting) {
      while (next && views.get(next).call.o >= call.o) next = next.nextElementSibling;
      const view = spare.pop() || viewOf("row");
      views.set(view.root, view);
      fill(view, call);
      shown.set(call.i, view);
      list.insertBefore(view.root, next);
    }
    byId("no-calls").hidden = shown.size > 0 || !known;
    byId("not-known").hidden = shown.size > 0 || known;
  };
  const views = new WeakMap();

  if (list) {
    const hold = () => sync();
    list.addEventListener("pointerenter", (event) => { pointed = event.pointerType === "mouse"; });
    list.addEventListener("pointerleave", () => { pointed = false; hold(); });
    list.addEventListener("focusin", () => { focused = true; });
    list.addEventListener("focusout", (event) => {
      focused = Boolean(event.relatedTarget && list.contains(event.relatedTarget));
      hold();
    });
  }

  // --- what stands above it -----------------------------------------------------------------------------------------

  const setEmergencies = (calls) => {
    const place = byId("sos");
    while (emergencies.length > calls.length) emergencies.pop().root.remove();
    calls.forEach((call, n) => {
      if (!emergencies[n]) {
        emergencies[n] = viewOf("emergency");
        place.append(emergencies[n].root);
      }
      fill(emergencies[n], call);
    });
    place.hidden = calls.length === 0;
    const none = byId("no-sos");
    if (none) none.hidden = calls.length > 0;
    const said = calls.map((call) => `112: ${call.a}`).join("; ");
    if (byId("sos-said").textContent !== said) byId("sos-said").textContent = said;
    document.title = calls.length ? `▲ 112 · ${title}` : title;
    document.body.classList.toggle("has-sos", calls.length > 0);
  };

  const element = (name, kind, text) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text) made.textContent = text;
    return made;
  };

  const linkItem = (link) => {
    const item = element("li", "", "");
    item.append(element("span", `state ${link.s}`, link.n), ` ${link.w}`);
    if (link.why) item.append(" ", element("small", "", link.why));
    return item;
  };

  const setLinks = (nodes) => {
    byId("links").replaceChildren(...nodes.map((each) => {
      const rows = element("ul", "links-of", "");
      rows.append(linkItem(each.node), ...each.links.map(linkItem));
      rows.firstElementChild.classList.add("node");
      return rows;
    }));
  };

  const setAlarms = (alarms) => {
    const rows = alarms.map((alarm) => {
      const item = element("li", "", "");
      item.append(element("span", "state act", alarm.k), ` ${alarm.t} `,
        element("small", "", [alarm.n, alarm.since].filter(Boolean).join(" · ")));
      return item;
    });
    byId("alarms").replaceChildren(...(rows.length ? rows : [element("li", "state fine", say.none)]));
  };

  const setFigures = (figures) => {
    for (const [name, text] of Object.entries(figures)) {
      const place = board.querySelector(`[data-figure="${name}"]`);
      if (place && place.textContent !== text) place.textContent = text;
      if (place && name === "sos") place.classList.toggle("loud", /[1-9]/.test(text));
    }
  };

  // --- what comes ---------------------------------------------------------------------------------------------------

  const take = (event) => {
    const began = performance.now();
    const news = JSON.parse(event.data);
    came_at = began;
    heard = true;
    ahead_ms = news.at * 1000 - Date.now();
    if (fresh) model.clear();
    fresh = false;
    for (const id of news.gone || []) model.delete(id);
    for (const call of news.new || []) model.set(call.i, call);
    for (const call of news.changed || []) model.set(call.i, call);
    if (news.known !== undefined) known = news.known;
    if (news.figures) setFigures(news.figures);
    if (news.spark !== undefined) byId("spark").setAttribute("d", news.spark);
    if (news.links) setLinks(news.links);
    if (news.alarms) setAlarms(news.alarms);
    if (news.sos) setEmergencies(news.sos);
    sync();
    setStale("");
    performance.measure("board", { start: began, end: performance.now() });
    performance.clearMeasures("board"); // whoever observes has it; a day's worth of them is not kept
  };

  const setStale = (text) => {
    const place = byId("stale");
    if (place.textContent !== text) place.textContent = text;
    if (place.hidden !== !text) place.hidden = !text;
    document.body.classList.toggle("is-stale", Boolean(text));
  };

  const connect = () => {
    source = new EventSource(say.events);
    source.addEventListener("open", () => { fresh = true; });
    source.addEventListener("message", take);
    source.addEventListener("over", (event) => {
      source.close();
      if (event.data === "ended") location.reload();
      stopped = true;
      setStale(say.elsewhere);
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED && !stopped) setTimeout(again, AGAIN_MS);
    });
  };

  // The server refuses the stream: whoever is not signed in any more is led to sign in, and otherwise it is tried again.
  const again = async () => {
    try {
      const answer = await fetch(location.href, { redirect: "manual", headers: { "x-quiet": "1" } });
      if (answer.type === "opaqueredirect") return location.reload();
    } catch { /* the server is away */ }
    connect();
  };

  setInterval(() => {
    for (const view of shown.values()) tick(view);
    for (const view of emergencies) tick(view);
    const silent_ms = performance.now() - came_at;
    if (silent_ms > STALE_MS && !stopped) setStale(say.stale.replace("#", Math.round(silent_ms / 1000)));
    else if (!heard) setStale(say.connecting);
  }, 1000);
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted && !stopped) connect(); });
  connect();
})();
