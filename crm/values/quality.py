"""What there is of quality calls in data: campaigns, their hours, tasks, results.

A quality call goes to a flat's handset through its panel, to find the bad ones.
Plain classes and functions, known to tables, statements and actors alike. Times are UTC, in seconds since the epoch,
but for `Hours`, which are those of the clock in the house's time zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import attrs
from attrs import field, frozen
from attrs.validators import ge

BEGIN, END = time(10), time(20)
DAYS = frozenset(range(5))  # Monday to Friday
DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SPACING_S = 900.0
PER_HOUSE = 1
ATTEMPTS = 3
ATTEMPT_SPACING_S = 4 * 3600.0
PRIORITY = 0

BAD = frozenset({"weak", "noisy", "one_way", "dead"})
JUDGED = BAD | {
    "good"
}  # any other verdict says nothing of the handset: nobody answered, the panel was not reached, …
UNKNOWN = "unknown"


class QualityError(Exception):
    """What was asked of campaigns and flats cannot be done; the message says why."""


class CallType(Enum):
    """The operator's TYPE of a quality call."""

    CONNECTION = 1
    PLANNED = 2
    TEST = 3  # of one flat, asked for by hand


class CampaignState(Enum):
    MAKING = "being_made"  # its flats are put into it, and none is called yet
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    IMPOSSIBLE = "impossible"  # it has no flats, or what it has cannot be called


ALLOWED: Mapping[CampaignState, frozenset[CampaignState]] = {
    CampaignState.MAKING: frozenset({CampaignState.PAUSED, CampaignState.STOPPED}),
    CampaignState.RUNNING: frozenset({CampaignState.PAUSED, CampaignState.STOPPED}),
    CampaignState.PAUSED: frozenset({CampaignState.RUNNING, CampaignState.STOPPED}),
    CampaignState.STOPPED: frozenset(),
    CampaignState.DONE: frozenset(),
    CampaignState.IMPOSSIBLE: frozenset(),
}
"""What a person may make of a campaign; the others come by themselves. One that was paused while it was being made is
being made again when it goes on."""
OVER = frozenset(state for state, may in ALLOWED.items() if not may)


class TaskState(Enum):
    WAITING = "waiting"
    CALLING = "calling"
    DONE = "done"
    STOPPED = "stopped"  # it waited when its campaign was stopped


class Only(Enum):
    """Which flats of a scope are called, by what was last found out of their handsets."""

    ALL = "all"
    NEVER = "never"  # no call ever said anything of the handset
    BAD = "bad"  # the last one that did said that it is bad
    NEVER_OR_BAD = "never_or_bad"


@frozen
class Scope:
    """Which flats are called: all that any of these names; where none names any, all flats that a panel calls.

    `cities`, `houses` and `flats` by id, `panels` by SIP user: a flat that only its panel names is called through that.
    """

    cities: tuple[int, ...] = ()
    houses: tuple[int, ...] = ()
    panels: tuple[str, ...] = ()
    flats: tuple[int, ...] = ()


@frozen
class Hours:
    """When flats may be called: from `begin` until before `end` on `days` (0: Monday) that are no `holidays`.

    By the clock of the house, without a time zone. Raises ValueError: they are never.
    """

    begin: time = BEGIN
    end: time = END
    days: frozenset[int] = DAYS
    holidays: frozenset[date] = frozenset()

    def __attrs_post_init__(self) -> None:
        if self.begin >= self.end:
            raise ValueError(
                f"hours from {self.begin:%H:%M} until {self.end:%H:%M}: the end is not after the beginning"
            )
        if not self.days or not self.days <= set(range(7)):
            raise ValueError(f"days {sorted(self.days)}: some of 0 (Monday) to 6 (Sunday) are expected")


def is_open(hours: Hours, moment: float, zone: str) -> bool:
    """Whether flats in a time zone (its IANA name) may be called at a moment. Raises ZoneInfoNotFoundError."""
    return _is_open(hours, moment, ZoneInfo(zone))


def next_open(hours: Hours, moment: float, zone: str) -> float:
    """The first time from `moment` on at which they may be called. Raises ZoneInfoNotFoundError."""
    there = ZoneInfo(zone)
    if _is_open(hours, moment, there):
        return moment
    today = datetime.fromtimestamp(moment, there).date()
    # Each holiday takes one day at most, which may be a week's only one.
    for n in range(-1, 7 * (len(hours.holidays) + 3)):
        begins = (at for at in _beginnings(hours, today + timedelta(days=n), there) if at >= moment)
        found = min((at for at in begins if _is_open(hours, at, there)), default=None)
        if found is not None:
            return found
    raise ValueError(f"{hours} are never in {zone}")


def _is_open(hours: Hours, moment: float, zone: ZoneInfo) -> bool:
    local = datetime.fromtimestamp(moment, zone)
    day = local.date()
    return (
        local.weekday() in hours.days
        and day not in hours.holidays
        and hours.begin <= local.time().replace(fold=0) < hours.end
    )


def _beginnings(hours: Hours, day: date, zone: ZoneInfo) -> Iterator[float]:
    """When the hours may begin on a day: their beginning by the clock, which may come twice, or where the clock jumps."""
    at = datetime.combine(day, hours.begin, zone)
    yield at.timestamp()
    yield at.replace(fold=1).timestamp()
    midnight = datetime.combine(day, time(), zone).timestamp()
    before, after = int(midnight) - 3 * 3600, int(midnight) + 27 * 3600

    def offset(moment: int) -> timedelta | None:
        return datetime.fromtimestamp(moment, zone).utcoffset()

    old = offset(before)
    if old == offset(after):
        return
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if offset(middle) == old else (before, middle)
    if datetime.fromtimestamp(after, zone).date() == day:
        yield float(after)


@frozen
class Making:
    """How far the making of a campaign is: of its `houses` those whose flats are in it, `made`, and how many `flats`."""

    houses: int
    made: int
    flats: int


@frozen(kw_only=True)
class Campaign:
    """Calls to the flats of a scope. `spacing_s`: between two calls of one panel; `per_house`: so many at once there.

    A call that reached nobody is made again after `attempt_spacing_s`, `attempts` times in all. Of several campaigns that
    of the highest `priority` comes first. `zones`: the time zones of its houses. `making`: not all of its flats are in it
    yet. `why` it is impossible. Raises ValueError.
    """

    id: int = 0
    name: str
    kind: CallType = field(default=CallType.PLANNED)
    scope: Scope = Scope()
    only: Only = Only.ALL
    hours: Hours = Hours()
    spacing_s: float = field(default=SPACING_S, validator=ge(0))
    per_house: int = field(default=PER_HOUSE, validator=ge(1))
    attempts: int = field(default=ATTEMPTS, validator=ge(1))
    attempt_spacing_s: float = field(default=ATTEMPT_SPACING_S, validator=ge(0))
    priority: int = PRIORITY
    state: CampaignState = CampaignState.RUNNING
    created_at: float = 0.0
    ended_at: float | None = None
    zones: tuple[str, ...] = ()
    making: Making | None = None
    why: str = ""

    @kind.validator
    def _no_test(self, _: attrs.Attribute[CallType], kind: CallType) -> None:
        if kind is CallType.TEST:
            raise ValueError("a campaign of test calls: those are asked for one by one")


@frozen
class Progress:
    """How many of a campaign's `total` tasks stand how; `verdicts` counts those that are done."""

    total: int = 0
    waiting: int = 0
    calling: int = 0
    done: int = 0
    stopped: int = 0
    verdicts: Mapping[str, int] = field(factory=dict)


@frozen(kw_only=True)
class Task:
    """One flat to be called through a panel (`panel`: its SIP user, `domophone`: its MAC).

    `campaign_id` None: asked for by hand. `dialled` is what the panel knows the flat by, `flat` its number as shown;
    `address` as people read it. `attempts`: how many were made. `why` it waits again, with which `verdict` it ended.
    """

    id: int
    campaign_id: int | None
    kind: CallType
    flat_id: int
    flat: str
    dialled: str
    panel: str
    domain: str
    domophone: str
    vendor: str
    house_id: int
    address: str
    time_zone: str
    state: TaskState
    due_at: float
    attempts: int
    node: str
    started_at: float | None
    ended_at: float | None
    why: str
    verdict: str


@frozen(kw_only=True)
class Result:
    """What one call found out. `task_id` None: of a task that is not ours; `flat_id` None: of a flat that is not known.

    `confidence` is 0 to 1; `measures` JSON: a list of objects with name, value, unit, threshold, well. `line` is what the
    panel's line test said, "" where there was none, and `line_level` its level as the vendor counts.
    """

    task_id: int | None = None
    flat_id: int | None = None
    campaign_id: int | None = None
    kind: CallType
    verdict: str
    confidence: float = 0.0
    why: str = ""
    measures: str = "[]"
    line: str = ""
    line_level: float | None = None
    recording: str = ""
    picture: str = ""
    call_id: str = ""
    panel: str = ""
    attempt: int = 1
    started_at: float
    ended_at: float


def campaign_json(campaign: Campaign, progress: Progress) -> dict[str, Any]:
    """A campaign with its progress, as plain values."""
    hours = {
        "begin": f"{campaign.hours.begin:%H:%M}",
        "end": f"{campaign.hours.end:%H:%M}",
        "days": sorted(campaign.hours.days),
        "holidays": sorted(day.isoformat() for day in campaign.hours.holidays),
    }
    enums = {"kind": campaign.kind.value, "only": campaign.only.value, "state": campaign.state.value}
    return attrs.asdict(campaign) | enums | {"hours": hours, "progress": attrs.asdict(progress)}


def words(verdict: str) -> str:
    """A verdict, or a campaign's state, as people read it."""
    return verdict.replace("_", " ")


# --- as people write it --------------------------------------------------------------------------------------------


def hours_from(text: str) -> tuple[time, time]:
    """From and until: "10:00-20:00". Raises ValueError, which says how to write it."""
    found = re.fullmatch(r"(\d{1,2}:\d\d)-(\d{1,2}:\d\d)", text)
    try:
        if found:
            begin, end = (time.fromisoformat(each.zfill(5)) for each in found.groups())
            if begin < end:
                return begin, end
    except ValueError:
        pass
    raise ValueError(f"{text!r}: write 10:00-20:00, from and until, on one day")


def duration_from(text: str) -> float:
    """Seconds: "30s", "15m". Raises ValueError, which says how to write it."""
    if found := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]
    raise ValueError(f"{text!r} is no duration: write 30s, 15m, 4h or 2d")


def days_from(text: str) -> frozenset[int]:
    """Days of a week: "mon-fri", "mon,wed,sat-sun". Raises ValueError, which says how to write it."""
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        ends = [DAY_NAMES.index(each) for each in (first, last or first) if each in DAY_NAMES]
        if len(ends) < 2 or ends[0] > ends[1]:
            raise ValueError(f"{text!r}: write mon-fri, or mon,wed,sat-sun")
        days.update(range(ends[0], ends[1] + 1))
    return frozenset(days)


def date_from(text: str) -> date:
    """A date: "2026-12-31". Raises ValueError, which says how to write it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date: write 2026-12-31") from None
