"use strict";
// What every page needs beside htmx: the key "/" for the search, moving through what it found, copying an id, asking
// before something is done that cannot be taken back, and the menu on a narrow screen.

const byId = (id) => document.getElementById(id);
let wanted = null; // what was typed when Enter was pressed, before what it finds was there
const isTyping = (element) => element.matches("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  const several = event.target.closest(".several details[open]");
  if (event.key === "Escape" && several) {
    several.open = false;
    several.querySelector("summary").focus();
    return;
  }
  const search = byId("search");
  if (!search) return;
  if (event.key === "/" && !isTyping(event.target)) {
    event.preventDefault();
    search.focus();
    search.select();
    return;
  }
  const form = search.form;
  if (!form.contains(event.target)) return;
  const hits = [...form.querySelectorAll("#found a")];
  const at = hits.indexOf(document.activeElement);
  if (event.key !== "Enter") wanted = null;
  if (event.key === "Escape") {
    htmx.trigger(search, "htmx:abort");
    byId("found").replaceChildren();
    search.focus();
  } else if (event.key === "ArrowDown" && hits.length) {
    event.preventDefault();
    hits[Math.min(at + 1, hits.length - 1)].focus();
  } else if (event.key === "ArrowUp" && at >= 0) {
    event.preventDefault();
    (at === 0 ? search : hits[at - 1]).focus();
  } else if (event.key === "Enter" && event.target === search && search.value.trim()) {
    if (foundFor() !== search.value) {
      event.preventDefault();
      wanted = search.value;
      htmx.trigger(search, "search");
    } else if (hits.length) {
      event.preventDefault();
      hits[0].click();
    }
  }
});

// What is shown may be what was found for a text before: each answer says for which it is.
const foundFor = () => byId("found").querySelector("[data-found-for]")?.dataset.foundFor;

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id !== "found" || wanted === null || foundFor() !== wanted) return;
  wanted = null;
  event.target.querySelector("a")?.click();
});

document.addEventListener("click", (event) => {
  const copied = event.target.closest("[data-copy]");
  if (copied && navigator.clipboard) {
    navigator.clipboard.writeText(copied.dataset.copy).then(() => {
      copied.classList.add("copied");
      setTimeout(() => copied.classList.remove("copied"), 800);
    });
  }
  const menu = event.target.closest("[data-menu]");
  if (menu) {
    const open = document.body.classList.toggle("menu-open");
    menu.setAttribute("aria-expanded", String(open));
  }
  leaveSeveral(event.target);
  const search = byId("search");
  if (search && !search.form.contains(event.target)) byId("found").replaceChildren();
});

// What is chosen of several values stands on their box, which closes when one goes elsewhere.
const leaveSeveral = (target) => {
  for (const box of document.querySelectorAll(".several details[open]")) if (!box.contains(target)) box.open = false;
};

document.addEventListener("change", (event) => {
  const box = event.target.closest(".several");
  if (!box) return;
  const chosen = [...box.querySelectorAll(":checked")];
  const said = box.querySelector("[data-any]");
  const one = chosen[0]?.parentElement.textContent.trim() ?? said.dataset.any;
  said.textContent = chosen.length > 1 ? said.dataset.many.replace("#", chosen.length) : one;
});

// One that is opened at the right edge goes to the left.
document.addEventListener("toggle", (event) => {
  const list = event.target.matches(".several details[open]") && event.target.querySelector("div");
  if (!list) return;
  list.classList.remove("leftwards");
  list.classList.toggle("leftwards", list.getBoundingClientRect().right > document.documentElement.clientWidth);
}, true);

document.addEventListener("focusin", (event) => leaveSeveral(event.target));

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// On a narrow screen filters stand behind their summary until they are asked for.
document.addEventListener("DOMContentLoaded", () => {
  if (!window.matchMedia("(max-width: 800px)").matches) return;
  for (const box of document.querySelectorAll("details.filter-box")) box.open = false;
});
