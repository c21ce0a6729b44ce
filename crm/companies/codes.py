"""Management companies' weekly access codes, as plain functions: which Monday is due, and what is a good code.

A week is named by its Monday ("2026-11-23"), in the zone of the settings. Where clocks go forward over its hour, it is
due an hour later on the clock, and where they go back over it, the first time: each Monday is due once.
"""

from __future__ import annotations

import datetime
import itertools
import secrets
from collections.abc import Container
from zoneinfo import ZoneInfo

from attrs import frozen

from config import CodesConfig
from crm.who import Refused

WEEK_DAYS = 7
YEAR_S = 366 * 86_400.0
TRIES = 1000


class NoCodesLeft(Refused):
    """Nearly every code of this length was used within a year."""


@frozen
class Week:
    """A week's making of codes: its Monday ("2026-11-23"), and when it is due (UTC seconds)."""

    name: str
    due_at: float


def due_week(now: float, settings: CodesConfig, last: str | None = None) -> Week | None:
    """The newest Monday that is due, of which no codes were made yet: `last` is the last of which they were.

    Older ones that were missed are made up for by it.
    """
    week = _week_of(_last_monday(now, settings), settings)
    return week if last is None or week.name > last else None


def next_week(now: float, settings: CodesConfig) -> Week:
    """The first Monday that is due after now."""
    monday = _last_monday(now, settings) + datetime.timedelta(days=WEEK_DAYS)
    return _week_of(monday, settings)


def _last_monday(now: float, settings: CodesConfig) -> datetime.date:
    """The newest Monday whose time has come."""
    today = datetime.datetime.fromtimestamp(now, ZoneInfo(settings.time_zone)).date()
    monday = today - datetime.timedelta(days=today.weekday())
    if _week_of(monday, settings).due_at > now:
        monday -= datetime.timedelta(days=WEEK_DAYS)
    return monday


def _week_of(monday: datetime.date, settings: CodesConfig) -> Week:
    at = datetime.time.fromisoformat(settings.at)
    moment = datetime.datetime.combine(monday, at, ZoneInfo(settings.time_zone))
    return Week(monday.isoformat(), moment.timestamp())


def choose_code(digits: int, taken: Container[str]) -> str:
    """A random code that is not easily guessed, and not among `taken`. Raises NoCodesLeft.

    It does not begin with 0: nobody who keeps it as a number loses a digit.
    """
    lowest = 10 ** (digits - 1)
    for _ in range(TRIES):
        code = str(lowest + secrets.randbelow(9 * lowest))
        if not is_trivial(code) and code not in taken:
            return code
    raise NoCodesLeft(
        f"choosing a code: nearly all of {digits} digits were used within a year: set [codes] digits higher"
    )


def is_trivial(code: str) -> bool:
    """Whether it is among the first that anybody tries: 11111, 12345, 98765, 13579, 12121, 55155."""
    steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(code)}
    return len(set(code)) < 3 or len(steps) == 1
