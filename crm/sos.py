"""What there is of a 112 call in data: a lease, why its number was chosen, and what a number looks like.

Plain classes, known to tables, statements and actors alike. Times are UTC, in seconds since the epoch.
"""

from __future__ import annotations

import re
from enum import Enum

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
