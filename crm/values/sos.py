"""What there is of a 112 call in data: a lease, why its number was chosen, how a number stands, what one looks like.

Plain classes and functions of a time, known to tables, statements and actors alike. Times are UTC, in seconds since the
epoch.
"""

from __future__ import annotations

import re
from enum import Enum, IntEnum

from attrs import frozen


class Why(Enum):
    """Why a panel was lent this number; the order in which they are tried."""

    OWN_LEASE = "own_lease"  # it had this number already, and still may be called back on it
    FREE = "free"  # nobody's; of those the one longest unused
    EXPIRED = "expired"  # kept for another panel, whose guarantee is over; the oldest
    BROKEN = "broken"  # still guaranteed to another panel: the one whose call ended longest ago. An alarm.


@frozen
class Lease:
    """A number lent to a panel (its SIP user, and its MAC in `domophone`) for a call.

    `ended_at` None: a call on it goes on. `held_until`: until then it is guaranteed; None while the first call goes on,
    and while a call-back does, what it would be if that took as long as a call can.
    """

    id: str
    fias: str
    number: str
    panel: str
    domophone: str
    call_id: str
    node: str
    why: Why
    started_at: float
    ended_at: float | None = None
    held_until: float | None = None


class Standing(IntEnum):
    """How a number stands; the lower is lent before the higher."""

    FREE = 0  # nobody's, or kept long enough
    EXPIRED = 1  # still kept for who had it, but its guarantee is over
    HELD = 2  # guaranteed to who had it
    IN_CALL = 3


@frozen
class Holding:
    """For how long: `hold_s` is the guarantee after a call's end, `keep_s` how long it is kept if nobody needs it.

    A call that is longer than `longest_s` is over, and its end was lost.
    """

    hold_s: float
    keep_s: float
    longest_s: float


def ended_at(lease: Lease, holding: Holding, now: float) -> float | None:
    """When the last call on its number ended; None while one goes on."""
    if lease.ended_at is not None:
        return lease.ended_at
    longest = lease.started_at + holding.longest_s
    if lease.held_until is not None:  # a call-back: it says what its end would be
        longest = lease.held_until - holding.hold_s
    return longest if longest <= now else None


def standing(lease: Lease | None, ended: float | None, holding: Holding, now: float) -> Standing:
    """How a number with this last lease stands, whose last call `ended` then (None: it goes on)."""
    if lease is None:
        return Standing.FREE
    if ended is None:
        return Standing.IN_CALL
    if ended + holding.keep_s <= now:
        return Standing.FREE
    return Standing.HELD if held_until(lease, ended, holding) > now else Standing.EXPIRED


def held_until(lease: Lease, ended: float, holding: Holding) -> float:
    """Until when its number is guaranteed to its panel."""
    return lease.held_until if lease.held_until is not None else ended + holding.hold_s


def same_number(number: str) -> str:
    """What two ways of writing a telephone number have in common: "+7 351 200-00-01", "83512000001" → "3512000001"."""
    digits = re.sub(r"\D", "", number)
    return digits[1:] if len(digits) == 11 and digits[0] in "78" else digits


def ways_to_write(number: str) -> list[str]:
    """How a number may stand in a table: as given, its digits, and a Russian one with +7, 7, 8 or nothing before it."""
    digits = re.sub(r"\D", "", number)
    bare = same_number(number)
    ways = [number, digits, bare]
    if len(bare) == 10:
        ways += [f"+7{bare}", f"7{bare}", f"8{bare}"]
    return list(dict.fromkeys(way for way in ways if way))
