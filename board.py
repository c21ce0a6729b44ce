"""The duty desk's board: what a 112 call and an alarm are to whoever is on duty.

The actors fill it in (actors/duty_desk.py), webhooks and pages show it; so it is known to all of them, and knows nobody.
Every text is cleaned as it comes in: some of it is a stranger's (a caller's name, a dispatch's refusal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol

import attrs
from attrs import frozen

TEXT_MAX = 500  # characters of one text


class Kind(Enum):
    """What kind of call it is."""

    SOS = "sos"
    CALL_BACK = "call_back"
    TEST = "test"


class State(Enum):
    """How far a call is."""

    CALLING = "calling"
    RINGING = "ringing"
    BUSY = "busy"
    TALKING = "talking"
    ENDED = "ended"
    FAILED = "failed"


OVER = frozenset({State.ENDED, State.FAILED})


class Alarm(Enum):
    """What somebody has to look at."""

    POOL_LOW = "pool_low"
    TRUNK_DOWN = "trunk_down"
    CITY_UNKNOWN = "city_unknown"
    GUARANTEE_BROKEN = "guarantee_broken"
    CALL_FAILED = "call_failed"
    NO_NUMBER = "no_number"
    DATABASE_AWAY = "database_away"
    TEST_FAILED = "test_failed"


def clean(text: str) -> str:
    """The text without what is no character to be read: controls, turns of the writing's direction, half characters."""
    text = text[:TEXT_MAX]
    if text.isprintable():  # as nearly all are
        return text.strip()
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _cleaned(values: Mapping[str, str]) -> Mapping[str, str]:
    return {name: clean(text) for name, text in values.items()}


@frozen(kw_only=True)
class Row:
    """A call in one of its states. Times are UTC, in seconds since the epoch.

    `at` is when this state began, `started_at` when the call did; `panel` a SIP user, `domophone` a MAC, `where` the
    panel's place in its entrance; `number` is the one lent, `dispatch` the name of a [dispatch.NAME], `caller` who
    calls back, `recording` a file's path, `note` a word of why.
    """

    call_id: str = attrs.field(converter=clean)
    kind: Kind
    state: State
    at: float
    started_at: float
    panel: str = attrs.field(default="", converter=clean)
    domophone: str = attrs.field(default="", converter=clean)
    address: str = attrs.field(default="", converter=clean)
    entrance: str = attrs.field(default="", converter=clean)
    where: str = attrs.field(default="", converter=clean)
    number: str = attrs.field(default="", converter=clean)
    dispatch: str = attrs.field(default="", converter=clean)
    trunk: str = attrs.field(default="", converter=clean)
    caller: str = attrs.field(default="", converter=clean)
    recording: str = attrs.field(default="", converter=clean)
    node: str = attrs.field(default="", converter=clean)
    note: str = attrs.field(default="", converter=clean)

    @property
    def is_over(self) -> bool:
        return self.state in OVER


@frozen(kw_only=True)
class Raised:
    """An alarm that stands: since when, when last and how often it was raised, with the newest text.

    `code` and `values` say the same for other languages (said.py); "" where there is no code for it.
    """

    kind: Alarm
    about: str = attrs.field(converter=clean)
    text: str = attrs.field(converter=clean)
    since: float
    at: float
    count: int = 1
    code: str = ""
    values: Mapping[str, str] = attrs.field(factory=dict, converter=_cleaned)


class Board(Protocol):
    """What a page needs of the duty desk."""

    def rows(self) -> Sequence[Row]:
        """Calls: live ones first, then those that are over, the newest first."""
        ...

    def alarms(self) -> Sequence[Raised]:
        """Alarms that stand, the newest first."""
        ...


def iso(at: float) -> str:
    """A time for machines: ISO 8601, UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def call_fields(row: Row) -> dict[str, Any]:
    """A row as JSON has it, in webhooks and on /sos.json."""
    fields = attrs.asdict(row)
    return fields | {
        "kind": row.kind.value,
        "state": row.state.value,
        "at": iso(row.at),
        "started_at": iso(row.started_at),
    }


def alarm_fields(alarm: Raised) -> dict[str, Any]:
    """An alarm as JSON has it."""
    fields = attrs.asdict(alarm)
    return fields | {"kind": alarm.kind.value, "since": iso(alarm.since), "at": iso(alarm.at)}


def board_fields(board: Board, now: float) -> dict[str, Any]:
    """The whole board as JSON has it, as it is `now`."""
    return {
        "at": iso(now),
        "alarms": [alarm_fields(each) for each in board.alarms()],
        "calls": [call_fields(each) for each in board.rows()],
    }
