"""Which number a panel is lent for its 112 call, how long it is held, and who is behind it: plain functions of a time.

`Pool` is one city's numbers with the last lease of each. It does no input or output, and its answers are never "none":
a call is not refused for want of a number as long as the pool has any. Sources: RFC 6881 (a caller must stay reachable
for 30 minutes), and what others do after that (docs/decisions.md).
Times are UTC, in seconds since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs
from attrs import Factory, define

from crm.values import sos
from crm.values.sos import Holding, Lease, Standing, Why


@define
class Number:
    """A number. `reserve`: only this node lends it. `calls` on it that go on, as far as this node carries them."""

    number: str
    reserve: bool = False
    lease: Lease | None = None
    calls: set[str] = Factory(set)


class Pool:
    """The numbers of one city, as this node knows them."""

    def __init__(self, fias: str, holding: Holding) -> None:
        self.fias = fias
        self.numbers: dict[str, Number] = {}
        self._holding = holding

    def set(self, numbers: Iterable[tuple[str, bool, Lease | None]]) -> None:
        """These are the numbers now: each with whether it is of the reserve, and its last lease. Calls go on."""
        calls = {each.number: each.calls for each in self.numbers.values()}
        self.numbers = {
            number: Number(number, reserve, lease, calls.get(number, set()))
            for number, reserve, lease in numbers
        }

    # --- how things stand ------------------------------------------------------------------------------------

    def standing(self, number: Number, now: float) -> Standing:
        ended = self._ended(number, number.lease, now) if number.lease is not None else None
        return sos.standing(number.lease, ended, self._holding, now)

    def _ended(self, number: Number, lease: Lease, now: float) -> float | None:
        """When the last call on it ended; None while one goes on."""
        return None if number.calls else sos.ended_at(lease, self._holding, now)

    def spare(self, now: float) -> int:
        """How many numbers can be lent without breaking a guarantee."""
        return sum(self.standing(each, now) <= Standing.EXPIRED for each in self.numbers.values())

    def last(self, number: str) -> Lease | None:
        """The lease of who had this number last, however long ago."""
        found = self.numbers.get(number)
        return found.lease if found is not None else None

    # --- what changes them -----------------------------------------------------------------------------------

    def choose(self, panel: str, now: float, *, away: bool = False) -> tuple[Number, Why] | None:
        """The number for a panel, and why; None only of an empty pool.

        Its own live lease; a free number, the one longest unused; an expired guarantee, the oldest; the number whose
        call ended longest ago. The reserve comes after the other free ones, but before them while the database is
        `away`; then the others are taken from the end from which no other node takes them.
        """
        stands = {each.number: self.standing(each, now) for each in self.numbers.values()}
        own = [
            each
            for each in self.numbers.values()
            if each.lease is not None
            and each.lease.panel == panel
            and stands[each.number] is not Standing.FREE
        ]
        if own:
            return max(own, key=_started), Why.OWN_LEASE

        def order(number: Number) -> tuple[float, ...]:
            match stands[number.number]:
                case Standing.FREE if away:
                    return (0, not number.reserve, -_used(number))
                case Standing.FREE:
                    return (0, number.reserve, _used(number))
                case Standing.EXPIRED | Standing.HELD as stand:
                    return (stand, self._ended_at(number, now))
                case Standing.IN_CALL:
                    return (Standing.IN_CALL, _started(number))

        best = min(self.numbers.values(), key=order, default=None)
        if best is None:
            return None
        match stands[best.number]:
            case Standing.FREE:
                return best, Why.FREE
            case Standing.EXPIRED:
                return best, Why.EXPIRED
            case _:
                return best, Why.BROKEN

    def _ended_at(self, number: Number, now: float) -> float:
        assert number.lease is not None
        ended = self._ended(number, number.lease, now)
        return math.inf if ended is None else ended

    def lend(
        self, panel: str, domophone: str, call_id: str, node: str, now: float, *, away: bool = False
    ) -> list[Lease]:
        """Lend a number for a call: the new lease, behind those that it closes; [] only of an empty pool.

        A call that has its lease already gets the same again.
        """
        for number in self.numbers.values():
            if number.lease is not None and number.lease.id == call_id:
                number.calls.add(call_id)
                return [number.lease]
        chosen = self.choose(panel, now, away=away)
        if chosen is None:
            return []
        number, why = chosen
        closed = []
        if number.lease is not None and number.lease.ended_at is None:
            closed.append(attrs.evolve(number.lease, ended_at=now, held_until=now))
        number.lease = Lease(call_id, self.fias, number.number, panel, domophone, call_id, node, why, now)
        number.calls = {call_id}
        return [*closed, number.lease]

    def extend(self, number: str, call_id: str, node: str, now: float) -> Lease | None:
        """A call-back on a number begins: who had it last has it again. None: nobody had."""
        found = self.numbers.get(number)
        if found is None or found.lease is None:
            return None
        found.calls.add(call_id)
        until = now + self._holding.longest_s + self._holding.hold_s
        found.lease = attrs.evolve(found.lease, node=node, ended_at=None, held_until=until)
        return found.lease

    def ended(self, number: str, call_id: str, now: float) -> Lease | None:
        """A call on a number is over: the lease as it is now, if it was the last on it."""
        found = self.numbers.get(number)
        if found is None or found.lease is None:
            return None
        found.calls.discard(call_id)
        if found.calls or (found.lease.ended_at is not None and found.lease.ended_at >= now):
            return None
        found.lease = attrs.evolve(found.lease, ended_at=now, held_until=now + self._holding.hold_s)
        return found.lease

    def lost(self, node: str, now: float) -> list[Lease]:
        """Leases of this node's calls that it does not carry: their end was lost, and is now."""
        gone = [
            each
            for each in self.numbers.values()
            if each.lease is not None
            and each.lease.ended_at is None
            and each.lease.node == node
            and not each.calls
        ]
        found = [self.ended(each.number, "", now) for each in gone]
        return [lease for lease in found if lease is not None]


def _started(number: Number) -> float:
    return number.lease.started_at if number.lease is not None else -math.inf


def _used(number: Number) -> float:
    """When it was used last."""
    lease = number.lease
    if lease is None:
        return 0.0
    return lease.ended_at if lease.ended_at is not None else lease.started_at
