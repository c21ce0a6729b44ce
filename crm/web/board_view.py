"""What one viewer of the board is told: each board as an event of what has changed for him since the one before.

All words are made here, in his language; what ticks (how long a phone has been ringing) ticks in his browser. Who is
bounded to some houses is told of calls of their panels, and nothing of nodes and alarms. A row that stays is not sent
again; an event is a few kilobytes at most, however many calls there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from gettext import NullTranslations
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from attrs import define, field, frozen

from crm.calls.words import outcome_words
from crm.rights import Right, Rights
from crm.web import language as languages
from crm.web import show
from crm.web.board_words import alarm_words, why_words
from crm.web.call_looks import KIND_LABELS
from live import (
    EMERGENCIES,
    CallState,
    Link,
    LinkKind,
    LinkState,
    LiveAlarm,
    LiveBoard,
    LiveCall,
    NodeRow,
    Within,
    limited,
)

ROWS = 60
UNKNOWN = "–"
SPARK_WIDTH, SPARK_HEIGHT = 118, 20
LINKS = {
    LinkKind.APPLICATION: "ARI applications",
    LinkKind.LANE: "ARI lanes",
    LinkKind.KAMAILIO: "Kamailio",
    LinkKind.DATABASE: "database",
    LinkKind.PUSH: "push",
    LinkKind.DUTY: "duty hook",
}
LINK_STATES = {
    LinkState.UP: ("fine", "up"),
    LinkState.SLOW: ("look", "slow"),
    LinkState.DOWN: ("act", "down"),
    LinkState.UNKNOWN: ("off", "not tried yet"),
}
ALARMS = {
    "pool_low": "a pool is nearly dry",
    "trunk_down": "a trunk is down",
    "city_unknown": "a panel's city is unknown",
    "guarantee_broken": "a guaranteed number was lent again",
    "call_failed": "a 112 call failed",
    "no_number": "a pool has no number",
    "database_away": "the database is away",
    "test_failed": "a 112 test failed",
    "node_away": "a node does not answer",
    "node_not_ready": "a node cannot carry calls",
}
_WORST = (LinkState.DOWN, LinkState.SLOW, LinkState.UNKNOWN, LinkState.UP)
_encode = msgspec.json.Encoder().encode
Row = Mapping[str, Any]


@frozen
class Viewer:
    """Who looks, with his rights to what rows lead to. `within` is what he sees of it; None: all, and the nodes."""

    language: str
    zone: str
    rights: Rights
    within: Within | None


@define
class BoardView:
    """One stream's view. `event` is to be sent each time: it says what changed since it was called last."""

    viewer: Viewer
    live: bool = True  # the list of calls, too; False: 112 alone
    _told: dict[str, Any] = field(factory=dict, init=False)
    _rows: dict[str, Row] = field(factory=dict, init=False)

    def event(self, board: LiveBoard) -> bytes:
        """JSON: see static/board.js for what becomes of it."""
        viewer = self.viewer
        known = any(not node.away for node in board.nodes)
        board = limited(board, viewer.within)
        words = languages.translations(viewer.language)
        clock = show.Clock(board.at, ZoneInfo(viewer.zone), viewer.language)
        news: dict[str, Any] = {"at": round(board.at, 2)}
        urgent = [call for call in board.calls if is_urgent(call)]
        self._tell(news, "sos", [row_of(call, viewer, words, clock) for call in urgent])
        if not self.live:
            return bytes(_encode(news))
        self._tell(news, "known", known)
        whole = viewer.within is None
        self._tell(news, "figures", figures(board, viewer.language, whole=whole, known=known))
        if viewer.within is None:
            self._tell(news, "spark", spark(board.series))
            self._tell(news, "links", [links_of(each, viewer.language) for each in board.nodes])
            self._tell(news, "alarms", [alarm_of(each, clock) for each in board.alarms])
        others = sorted((c for c in board.calls if not is_urgent(c)), key=lambda call: -call.started_at)
        self._tell_rows(news, {c.call_id: row_of(c, viewer, words, clock) for c in others[:ROWS]})
        return bytes(_encode(news))

    def _tell(self, news: dict[str, Any], name: str, what: Any) -> None:
        if name not in self._told or self._told[name] != what:
            self._told[name] = news[name] = what

    def _tell_rows(self, news: dict[str, Any], rows: dict[str, Row]) -> None:
        known, self._rows = self._rows, rows
        found = {
            "new": [row for id, row in rows.items() if id not in known],
            "changed": [row for id, row in rows.items() if id in known and known[id] != row],
            "gone": [id for id in known if id not in rows],
        }
        news |= {name: what for name, what in found.items() if what}


def is_urgent(call: LiveCall) -> bool:
    """A 112 call that goes on."""
    return call.kind in EMERGENCIES and call.state is not CallState.OVER


def figures(board: LiveBoard, language: str, *, whole: bool, known: bool = True) -> dict[str, str]:
    """The numbers on top, as text; dashes while no node says what goes on."""
    now = board.now
    found = {
        "calls": show.number(now.calls),
        "ringing": show.number(now.phones_ringing),
        "panels": show.number(now.panels_busy),
        "quality": show.number(now.quality),
        "sos": show.number(now.sos),
    }
    if whole:
        found["pace"] = show.decimal(board.calls_per_s, language)
    return found if known else dict.fromkeys(found, UNKNOWN)


def spark(series: Sequence[int]) -> str:
    """Calls begun in each second as the path of a line, in a box of SPARK_WIDTH by SPARK_HEIGHT."""
    top = max(1, *series, 1)
    steps = [
        f"{n * SPARK_WIDTH / max(1, len(series) - 1):.0f} {SPARK_HEIGHT - value * (SPARK_HEIGHT - 2) / top:.1f}"
        for n, value in enumerate(series)
    ]
    return "M" + "L".join(steps) if steps else ""


def links_of(node: NodeRow, language: str) -> dict[str, Any]:
    """A node's links, one for each kind, with the worst of its states; and what is wrong with single ones."""
    words = languages.translations(language)
    by_kind: dict[LinkKind, list[Link]] = {}
    for link in node.links:
        by_kind.setdefault(link.kind, []).append(link)
    found = [_link(kind, links, language) for kind, links in by_kind.items()]
    down = node.away or node.not_ready
    shape = "act" if down else "fine"
    word = "does not answer" if node.away else "cannot carry calls" if node.not_ready else "ready"
    head = {
        "s": shape,
        "n": node.node or node.url,
        "w": words.gettext(word),
        "why": why_words(down.removeprefix(f"{node.url}: "), language),
    }
    return {"node": head, "links": found}


def _link(kind: LinkKind, links: Sequence[Link], language: str) -> dict[str, str]:
    words = languages.translations(language)
    worst = next(state for state in _WORST if any(link.state is state for link in links))
    counted = []
    for state in _WORST[::-1]:
        number = sum(link.state is state for link in links)
        if number:
            word = words.gettext(LINK_STATES[state][1])
            counted.append(f"{word} {number}" if len(links) > 1 else word)
    slow = [link.latency_ms for link in links if link.latency_ms is not None]
    if slow and worst is not LinkState.UP:
        counted.append(f"{show.decimal(max(slow) / 1000, language)} {words.gettext('s')}")
    notes = [(link.name, why_words(link.note, language)) for link in links if link.note]
    same = len(notes) > 1 and len({note for _, note in notes}) == 1
    if len(links) > 1 and not same:
        why = "; ".join(f"{name}: {note}" for name, note in notes)
    else:
        why = notes[0][1] if notes else ""
    return {
        "s": LINK_STATES[worst][0],
        "n": words.gettext(LINKS[kind]),
        "w": ", ".join(counted),
        "why": why,
    }


def alarm_of(alarm: LiveAlarm, clock: show.Clock) -> dict[str, str]:
    """An alarm as text."""
    words = languages.translations(clock.language)
    times = f" ×{alarm.count}" if alarm.count > 1 else ""
    return {
        "k": words.gettext(ALARMS.get(alarm.kind, alarm.kind)) + times,
        "t": alarm_words(alarm, clock.language),
        "since": clock(alarm.since),
        "n": alarm.node,
    }


def row_of(call: LiveCall, viewer: Viewer, words: NullTranslations, clock: show.Clock) -> Row:
    """A call as a row: what is shown, and where that leads; "since" ticks in the browser."""
    may = viewer.rights.may
    state, text = call.state.value, state_words(call, words)
    kind = "" if call.kind == "visitor" else words.gettext(KIND_LABELS.get(call.kind, call.kind))
    rings = call.kind in ("visitor", "test_ring")
    row = {
        "i": call.call_id,
        "o": call.started_at,
        "t": clock(call.started_at),
        "k": kind,
        "a": call.address or call.panel,
        "f": call.flat or call.dialled,
        "s": state,
        "w": text,
        "kw": f"{kind} · {text}" if kind else text,
        "acc": call.answered_by if rings else call.number,
        "n": call.number,
    }
    if call.state is not CallState.OVER:
        row["since"] = call.since
    elif may(Right.CALLS_VIEW):
        row["call"] = f"/calls/{call.call_id}"
    if call.flat_id is not None and may(Right.HOUSING_VIEW):
        row["flat"] = f"/flats/{call.flat_id}"
    if call.panel and may(Right.DEVICES_VIEW):
        row["panel"] = f"/board/panel/{call.panel}"
    if call.answered_by and rings and may(Right.PEOPLE_VIEW):
        row["account"] = f"/board/account/{call.answered_by}"
    if call.door_at is not None:
        row["d"] = words.gettext("door opened")
    return row


def state_words(call: LiveCall, words: NullTranslations) -> str:
    """How far a call is."""
    match call.state:
        case CallState.RINGING if call.phones_ringing:
            number = call.phones_ringing
            text = words.ngettext("rings %(number)s phone", "rings %(number)s phones", number)
            return text % {"number": number}
        case CallState.RINGING if call.phones:
            return words.gettext("no phone rings yet")
        case CallState.RINGING:
            return words.gettext("is being put through")
        case CallState.TALKING:
            return words.gettext("talking")
        case _:
            return outcome_words(call.outcome, words)
