"""How the numbers of all pools stand, as the database and the settings say it: for people who ask beside the nodes.

Raises DatabaseAway or SchemaMismatch (crm.store).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from attrs import frozen

from actors.sos_rules import Holding, Pool, Standing
from config import DEFAULT, Config, DispatchConfig, SosConfig
from crm.sos import Lease
from crm.sos_leases import PoolNumber, all_pools, find_leases
from crm.sos_text import cities
from crm.store import Store


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


def all_stand(settings: Config, store: Store) -> list[Stands]:
    """The pool of each dispatch, the default one's last; and behind them numbers of cities that have none."""
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
        found.append(_stands(settings.sos, store, name, dispatch, names, numbers, notes))
    for fias, numbers in pools.items():
        notes = ["no [dispatch.…] has this city, so its numbers are lent to nobody"]
        found.append(_stands(settings.sos, store, "", DispatchConfig(fias=fias), names, numbers, notes))
    return found


def _stands(
    sos: SosConfig,
    store: Store,
    name: str,
    dispatch: DispatchConfig,
    names: Mapping[str, str],
    numbers: Sequence[PoolNumber],
    notes: Sequence[str],
) -> Stands:
    now = time.time()
    stand = [standing(sos, each.number, each.lease, now) for each in numbers]
    reserve = [
        standing(sos, number, next(iter(find_leases(store, number=number, limit=1)), None), now)
        for number in dispatch.reserve
    ]
    return Stands(
        dispatch=name,
        city=names.get(dispatch.fias, ""),
        fias=dispatch.fias,
        trunks=dispatch.trunks,
        numbers=len(numbers),
        free=stand.count(Standing.FREE),
        kept=stand.count(Standing.EXPIRED),
        guaranteed=stand.count(Standing.HELD),
        in_call=stand.count(Standing.IN_CALL),
        reserve=dispatch.reserve,
        reserve_free=reserve.count(Standing.FREE),
        notes=notes,
    )


def standing(sos: SosConfig, number: str, lease: Lease | None, at: float) -> Standing:
    """How a number with this last lease stands at a time (UTC)."""
    pool = Pool("", Holding(sos.hold_s, sos.keep_s, sos.talk_s + 2 * sos.ring_s))
    pool.set([(number, False, lease)])
    return pool.standing(pool.numbers[number], at)
