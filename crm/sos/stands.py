"""How the numbers of all pools stand, as the database and the settings say it: for people who ask beside the nodes.

Raises DatabaseAway or SchemaMismatch (crm.store). Times are UTC, in seconds since the epoch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from attrs import frozen

from config import DEFAULT, Config, DispatchConfig, SosConfig
from crm.sos.leases import PoolNumber, all_pools, find_leases
from crm.sos.text import cities
from crm.store import Store
from crm.values import sos
from crm.values.sos import Holding, Lease, Standing


@frozen(kw_only=True)
class Stands:
    """A pool: how many of its `numbers` stand how, and of the `reserve` how many are free.

    `dispatch` is "" where none has its city; `city` is "" where the CRM does not know it; `notes` say what is wrong.
    """

    dispatch: str
    city: str
    fias: str
    trunks: Sequence[str]
    numbers: int
    free: int
    kept: int
    guaranteed: int
    in_call: int
    reserve: Sequence[str]
    reserve_free: int
    notes: Sequence[str]

    @property
    def spare(self) -> int:
        """How many numbers can be lent without breaking a guarantee."""
        return self.free + self.kept


@frozen(kw_only=True)
class NumberStands:
    """One number: `until` when it stands like this if nothing happens; None: it is free, or a call goes on.

    `lease` is its last one; `reserve`: it stands in the settings, and not in the pool's table.
    """

    number: str
    standing: Standing
    lease: Lease | None = None
    until: float | None = None
    reserve: bool = False


@frozen(kw_only=True)
class PoolStands:
    """A pool with each of its numbers: those in a call first, then the longest held ones."""

    whole: Stands
    numbers: Sequence[NumberStands]


def all_stand(settings: Config, store: Store) -> list[Stands]:
    """The pool of each dispatch, the default one's last; and behind them numbers of cities that have none."""
    return [each.whole for each in pools_stand(settings, store, time.time())]


def pools_stand(settings: Config, store: Store, now: float) -> list[PoolStands]:
    """The same, with each number."""
    pools, names = all_pools(store), dict(cities(store))
    found = []
    for name in sorted(settings.dispatch, key=lambda name: (name == DEFAULT, name)):
        dispatch = settings.dispatch[name]
        numbers = pools.pop(dispatch.fias, [])
        notes = []
        if not numbers and not dispatch.reserve:
            notes.append(f"it has no numbers: `teledom sos pools add {name} NUMBER…` puts some in")
        if not dispatch.trunks:
            notes.append("it has no trunks, so it cannot be called")
        if dispatch.fias and dispatch.fias not in names:
            notes.append(f"no city of the CRM has the FIAS id {dispatch.fias}")
        found.append(_pool(settings.sos, store, name, dispatch, names, numbers, notes, now))
    for fias, numbers in pools.items():
        notes = ["no [dispatch.…] has this city, so its numbers are lent to nobody"]
        found.append(_pool(settings.sos, store, "", DispatchConfig(fias=fias), names, numbers, notes, now))
    return found


def number_stands(
    config: SosConfig, number: str, lease: Lease | None, at: float, *, reserve: bool = False
) -> NumberStands:
    """How a number with this last lease stands at a time (UTC), which may be long past."""
    holding = Holding(config.hold_s, config.keep_s, config.talk_s + 2 * config.ring_s)
    ended = sos.ended_at(lease, holding, at) if lease is not None else None
    if ended is not None and ended > at:
        ended = None  # the call went on then
    standing = sos.standing(lease, ended, holding, at)
    until = None
    if lease is not None and ended is not None and standing is not Standing.FREE:
        kept = ended + holding.keep_s
        until = sos.held_until(lease, ended, holding) if standing is Standing.HELD else kept
    return NumberStands(number=number, standing=standing, lease=lease, until=until, reserve=reserve)


def _pool(
    sos_config: SosConfig,
    store: Store,
    name: str,
    dispatch: DispatchConfig,
    names: Mapping[str, str],
    numbers: Sequence[PoolNumber],
    notes: Sequence[str],
    now: float,
) -> PoolStands:
    stand = [number_stands(sos_config, each.number, each.lease, now) for each in numbers]
    reserve = [
        number_stands(
            sos_config,
            number,
            next(iter(find_leases(store, number=number, limit=1)), None),
            now,
            reserve=True,
        )
        for number in dispatch.reserve
    ]
    standings = [each.standing for each in stand]
    whole = Stands(
        dispatch=name,
        city=names.get(dispatch.fias, ""),
        fias=dispatch.fias,
        trunks=dispatch.trunks,
        numbers=len(numbers),
        free=standings.count(Standing.FREE),
        kept=standings.count(Standing.EXPIRED),
        guaranteed=standings.count(Standing.HELD),
        in_call=standings.count(Standing.IN_CALL),
        reserve=dispatch.reserve,
        reserve_free=sum(each.standing is Standing.FREE for each in reserve),
        notes=notes,
    )
    return PoolStands(whole=whole, numbers=sorted([*stand, *reserve], key=_by_urgency))


def _by_urgency(number: NumberStands) -> tuple[int, float, str]:
    return -number.standing, -(number.until or 0.0), number.number
