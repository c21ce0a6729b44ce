"""The live board of visitors' calls: what a node says of itself now, and what several nodes come to together.

A node fills it in (node_live.py), the CRM reads it (nodes.py) and draws it; so it is known to all of them, and knows
nobody. Times are UTC, in seconds since the epoch; what is not known is None or "", never guessed. Texts of calls are
strangers' in part (what a panel dialled), and are cleaned as they come in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from heapq import nlargest
from typing import Protocol

from attrs import asdict, evolve, field, frozen

from said import Says, said

SERIES_S = 60  # for which calls are counted by the second
PACE_S = 5  # over which calls a second are averaged
CALLS = 100  # that a board shows, if nobody asks for more or less
NODE_AWAY = "node_away"  # an alarm's kind: a node does not answer the CRM
EMERGENCIES = frozenset({"sos", "call_back"})  # kinds of calls that a board shows before all others
NODE_NOT_READY = "node_not_ready"  # and: it answers, and cannot carry calls


class CallState(Enum):
    """How far a call is. A call rings from the button on."""

    RINGING = "ringing"
    TALKING = "talking"
    OVER = "over"


class LinkKind(Enum):
    """What a node is linked to."""

    APPLICATION = "application"  # an ARI application's socket for events
    LANE = "lane"  # a socket for requests to Asterisk
    KAMAILIO = "kamailio"  # the endpoint over which phones are called
    DATABASE = "database"
    PUSH = "push"
    DUTY = "duty"  # the duty desk's webhook


class LinkState(Enum):
    """How a link is. `SLOW`: it works, and late; `UNKNOWN`: nobody has tried."""

    UP = "up"
    SLOW = "slow"
    DOWN = "down"
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class Link:
    """A link: `note` is why it is not well, `latency_ms` its last answer's, `errors` counted since the node's start."""

    kind: LinkKind
    name: str
    state: LinkState
    note: str = ""
    latency_ms: float | None = None
    errors: int = 0


@frozen(kw_only=True)
class LiveAlarm:
    """An alarm that stands. `kind` is the value of a board.Alarm, or NODE_AWAY or NODE_NOT_READY.

    `text` is English; `code` and `values` say the same for other languages (see said.py), "" where there is no code.
    """

    kind: str
    about: str
    text: str
    since: float
    at: float
    count: int = 1
    node: str = ""
    code: str = ""
    values: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class LiveCall:
    """A call that goes on, or has just ended.

    `kind` is a record's ("visitor", "sos", "call_back", "sos_test", "quality", "test_ring"); `since` when its state
    began; `panel` a SIP user, `mac` the panel's; `phones_ringing` now; `answered_by` an account; `door_at` when the door
    was opened; `outcome` the value of a records.Outcome, "" while it goes on; `number` the one that 112 was shown.
    """

    call_id: str
    node: str
    kind: str
    state: CallState
    started_at: float
    since: float
    panel: str = ""
    mac: str = ""
    address: str = ""
    dialled: str = ""
    flat: str = ""
    flat_id: int | None = None
    phones: int = 0  # legs to phones, ever
    phones_ringing: int = 0
    answered_by: str = ""
    door_at: float | None = None
    ended_at: float | None = None
    outcome: str = ""
    number: str = ""


@frozen(kw_only=True)
class Counts:
    """Calls that go on, of all kinds; of them quality calls, and 112 calls with call-backs; phones and panels."""

    ringing: int = 0
    talking: int = 0
    quality: int = 0
    sos: int = 0
    phones_ringing: int = 0
    panels_busy: int = 0

    @property
    def calls(self) -> int:
        return self.ringing + self.talking

    def plus(self, other: Counts) -> Counts:
        return Counts(
            ringing=self.ringing + other.ringing,
            talking=self.talking + other.talking,
            quality=self.quality + other.quality,
            sos=self.sos + other.sos,
            phones_ringing=self.phones_ringing + other.phones_ringing,
            panels_busy=self.panels_busy + other.panels_busy,
        )


@frozen(kw_only=True)
class LiveNode:
    """What one node says at `at`.

    `calls_per_s`: begun, on average of the last PACE_S seconds; `series`: begun in each of the last SERIES_S full
    seconds, the newest last. `not_ready` is why it cannot carry calls, "" when it can. `calls`: 112 calls that go on,
    however long ago they began, then the newest first.
    """

    node: str
    at: float
    not_ready: str
    calls_per_s: float
    series: tuple[int, ...]
    now: Counts
    links: tuple[Link, ...]
    alarms: tuple[LiveAlarm, ...]
    calls: tuple[LiveCall, ...]


@frozen(kw_only=True)
class NodeRow:
    """A node on the board: its URL, its name ("" before it has ever answered), and why it does not answer, if so."""

    url: str
    node: str
    away: str = ""
    not_ready: str = ""
    links: tuple[Link, ...] = ()


@frozen(kw_only=True)
class LiveBoard:
    """All nodes together at `at`: sums, links node by node, alarms and calls with their node's name."""

    at: float
    calls_per_s: float
    series: tuple[int, ...]
    now: Counts
    nodes: tuple[NodeRow, ...]
    alarms: tuple[LiveAlarm, ...]
    calls: tuple[LiveCall, ...]


@frozen(kw_only=True)
class PanelLock:
    """A panel's lock: free, or held for what (the name of a domophone.Claim in small letters) since when."""

    panel: str
    node: str = ""
    held_for: str | None = None
    since: float | None = None


class RingRefused(Exception):
    """A flat is not rung for a test; the message says why."""


class Live(Protocol):
    """What a node's pages ask of it."""

    def as_json(self, calls: int) -> bytes:
        """A `LiveNode` with so many calls at most, as JSON; an answer may be a fraction of a second old."""
        ...

    def lock_of(self, sip_user: str) -> PanelLock:
        """A panel's lock. Of a panel that is not known it is free."""
        ...


class Pace:
    """Counts what begins, by the second. `count` costs well under a µs."""

    __slots__ = ("_counts", "_seconds")

    def __init__(self) -> None:
        self._counts = [0] * (SERIES_S + 4)
        self._seconds = [0] * (SERIES_S + 4)

    def count(self, at: float) -> None:
        """Something began at `at` (UTC)."""
        second = int(at)
        place = second % len(self._seconds)
        if self._seconds[place] != second:
            self._seconds[place], self._counts[place] = second, 0
        self._counts[place] += 1

    def series(self, now: float) -> tuple[int, ...]:
        """What began in each of the last SERIES_S full seconds before `now`, the newest last."""
        places = ((second, second % len(self._seconds)) for second in range(int(now) - SERIES_S, int(now)))
        return tuple(self._counts[place] if self._seconds[place] == second else 0 for second, place in places)


def per_second(series: Sequence[int]) -> float:
    """The average of a series' last PACE_S seconds."""
    return round(sum(series[-PACE_S:]) / PACE_S, 2)


@frozen
class Heard:
    """What is known of a node: its last answer, and why there is no newer one, since when."""

    url: str
    answer: LiveNode | None = None
    away: str = ""
    since: float = 0.0


def merged(heard: Sequence[Heard], now: float, calls: int = CALLS) -> LiveBoard:
    """One board of all nodes. One that is away counts for nothing, and is an alarm, as is one that is not ready."""
    answers = [each.answer for each in heard if each.answer is not None and not each.away]
    counts = Counts()
    for answer in answers:
        counts = counts.plus(answer.now)
    series = tuple(map(sum, zip(*(answer.series for answer in answers), strict=True))) or (0,) * SERIES_S
    alarms = [alarm for each in heard for alarm in _alarms(each, now)]
    for answer in answers:
        alarms += [evolve(alarm, node=answer.node) for alarm in answer.alarms]
    shown = (call for answer in answers for call in answer.calls)
    return LiveBoard(
        at=now,
        calls_per_s=round(sum(answer.calls_per_s for answer in answers), 2),
        series=series,
        now=counts,
        nodes=tuple(_row(each) for each in heard),
        alarms=tuple(sorted(alarms, key=lambda alarm: -alarm.since)),
        calls=tuple(nlargest(calls, shown, key=_rank)),
    )


def _rank(call: LiveCall) -> tuple[bool, float]:
    return call.kind in EMERGENCIES and call.ended_at is None, call.started_at


def _row(heard: Heard) -> NodeRow:
    answer = heard.answer
    if answer is None:
        return NodeRow(url=heard.url, node="", away=heard.away or "not asked yet")
    if heard.away:
        return NodeRow(url=heard.url, node=answer.node, away=heard.away)
    return NodeRow(url=heard.url, node=answer.node, not_ready=answer.not_ready, links=answer.links)


def _alarms(heard: Heard, now: float) -> list[LiveAlarm]:
    name = heard.answer.node if heard.answer is not None else heard.url
    if heard.away:
        kind, says = (
            NODE_AWAY,
            said(Says.NODE_AWAY, url=heard.url, why=heard.away.removeprefix(f"{heard.url}: ")),
        )
    elif heard.answer is not None and heard.answer.not_ready:
        kind, says = NODE_NOT_READY, said(Says.NODE_NOT_READY, why=heard.answer.not_ready)
    else:
        return []
    words = asdict(says)
    return [LiveAlarm(kind=kind, about=name, **words, since=heard.since or now, at=now, node=name)]


@frozen
class Within:
    """What somebody sees of the board who is bounded: the calls of these `panels`, by their SIP users.

    Of a panel that is `shared` with others' houses: calls to these `flats`, and those to no flat at all.
    """

    panels: frozenset[str]
    shared: frozenset[str] = frozenset()
    flats: frozenset[int] = frozenset()

    def has(self, call: LiveCall) -> bool:
        """Whether he sees this call."""
        if call.panel not in self.panels or call.panel not in self.shared:
            return call.panel in self.panels
        if call.flat_id is not None:
            return call.flat_id in self.flats
        # A visitor's call has no flat before it is looked up, and then it may be another's.
        return call.state is CallState.OVER or call.kind in EMERGENCIES


def limited(board: LiveBoard, within: Within | None) -> LiveBoard:
    """A board as somebody sees it who is bounded: his calls, counted, and nothing of the nodes; None: all."""
    if within is None:
        return board
    calls = tuple(call for call in board.calls if within.has(call))
    going_on = [call for call in calls if call.state is not CallState.OVER]
    talking = sum(call.state is CallState.TALKING for call in going_on)
    counts = evolve(
        board.now,
        ringing=len(going_on) - talking,
        talking=talking,
        quality=sum(call.kind == "quality" for call in going_on),
        sos=sum(call.kind in EMERGENCIES for call in going_on),
        phones_ringing=sum(call.phones_ringing for call in going_on),
        panels_busy=len({call.panel for call in going_on if call.panel}),
    )
    return LiveBoard(at=board.at, calls_per_s=0.0, series=(), now=counts, nodes=(), alarms=(), calls=calls)
