"""Numbers of cities' pools and their leases in the database: what a pool's actor loads and commits, and who asks.

A pool's row counts its changes. Whoever commits says which count it has seen; if another node was faster, nothing is
written, and it looks again. So no two nodes lend one number, and none waits for a lock longer than a commit takes.
All functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from attrs import frozen

from crm.model import Domophone, table
from crm.rights import EVERYWHERE, Reach
from crm.sos.reach import panel_within
from crm.statement import Statement
from crm.store import Store
from crm.tables.sos import SosLease, SosNumber, SosPool
from crm.values.sos import Lease, Why, ways_to_write

_NUMBERS, _POOLS, _LEASES = table(SosNumber), table(SosPool), table(SosLease)
_LEASE_COLUMNS = tuple(each.name for each in attrs.fields(Lease))


class PoolChanged(Exception):
    """Another node has changed this pool meanwhile: load it again."""


@frozen
class PoolNumber:
    """A number as the database has it: whether the table says that it is lent, and its last lease."""

    number: str
    lent: bool
    lease: Lease | None


@frozen
class PoolState:
    """A city's pool at its count of changes."""

    version: int
    numbers: tuple[PoolNumber, ...]


def load_pool(store: Store, fias: str, reserve: Sequence[str] = ()) -> PoolState:
    """The pool of a city, and the `reserve`, whose numbers are not in its table, each with its last lease."""
    with store.transaction() as connection:
        version = connection.scalar(sa.select(_POOLS.c.version).where(_POOLS.c.fias == fias))
        if version is None:
            version = 0
            connection.execute(sa.insert(_POOLS).values(fias=fias, version=0))
        query = (
            sa.select(_NUMBERS.c.number, _NUMBERS.c.status, _LEASES)
            .outerjoin(_LEASES, _LEASES.c.id == _NUMBERS.c.lease)
            .where(_NUMBERS.c.fias == fias)
            .order_by(_NUMBERS.c.id)
        )
        numbers = [
            PoolNumber(row[0], bool(row[1]), _lease(row[2:]) if row[2] is not None else None)
            for row in connection.execute(query)
        ]
        known = {each.number for each in numbers}
        numbers += [
            PoolNumber(number, False, _last_lease(connection, [number]))
            for number in reserve
            if number not in known
        ]
    return PoolState(version, tuple(numbers))


def commit(
    store: Store,
    fias: str,
    version: int,
    leases: Iterable[Lease],
    freed: Iterable[str] = (),
    *,
    late: Iterable[Lease] = (),
) -> int:
    """Write leases, of which the newest of each number is its last; numbers that are free again; and `late` leases, for
    the history alone, as their numbers have been lent again since.

    Returns the pool's new count; raises PoolChanged if it was not `version`.
    """
    leases, late, freed = list(leases), list(late), list(freed)
    newest = {lease.number: lease for lease in sorted(leases, key=lambda lease: lease.started_at)}
    with store.transaction() as connection:
        changed = connection.execute(_COUNT_UP, {"of": fias, "seen": version})
        if changed.rowcount != 1:
            raise PoolChanged(f"the pool {fias or 'of the default dispatch'} is not at {version} any more")
        _TAKE_OUT.for_each(connection, [{"lease_id": lease.id} for lease in (*leases, *late)])
        _PUT.for_each(connection, [_row(lease) for lease in (*leases, *late)])
        _LEND.for_each(
            connection,
            [
                {"of": number, "at": lease.started_at, "mac": lease.domophone, "lease_id": lease.id}
                for number, lease in newest.items()
            ],
        )
        _FREE.for_each(connection, [{"of": number} for number in freed])
    return version + 1


@frozen
class Owner:
    """Who stands behind a number: by a lease, or because it is the panel's own (`lease` None)."""

    number: str
    panel: str
    domophone: str
    lease: Lease | None


def who(store: Store, number: str, at: float | None = None) -> Owner | None:
    """The panel behind a number, now or at a time (UTC): who had it last. None: nobody ever had."""
    ways = ways_to_write(number)
    with store.reading() as connection:
        own = connection.execute(
            sa.select(Domophone.sos_number, Domophone.sip_user, Domophone.mac).where(
                Domophone.sos_number.in_(ways)
            )
        ).first()
        if own is not None:
            return Owner(own[0] or number, own[1], own[2], None)
        lease = _last_lease(connection, ways, at)
    return Owner(lease.number, lease.panel, lease.domophone, lease) if lease is not None else None


def find_leases(
    store: Store,
    *,
    fias: str | None = None,
    number: str | None = None,
    panel: str | None = None,
    since: float | None = None,
    until: float | None = None,
    behind: Lease | None = None,
    reach: Reach = EVERYWHERE,
    limit: int = 100,
) -> list[Lease]:
    """The newest leases first: of a city, of a number, of a panel (SIP user or MAC), started from `since` to `until`.

    `behind`: those that come after this one; `reach`: of panels within it.
    """
    query = sa.select(_LEASES).order_by(_LEASES.c.started_at.desc(), _LEASES.c.id).limit(limit)
    if fias is not None:
        query = query.where(_LEASES.c.fias == fias)
    if number is not None:
        query = query.where(_LEASES.c.number.in_(ways_to_write(number)))
    if panel is not None:
        mac = "".join(c for c in panel.lower() if c not in ":-.")
        query = query.where(sa.or_(_LEASES.c.panel == panel, _LEASES.c.domophone == mac))
    if since is not None:
        query = query.where(_LEASES.c.started_at >= since)
    if until is not None:
        query = query.where(_LEASES.c.started_at <= until)
    if behind is not None:
        same = sa.and_(_LEASES.c.started_at == behind.started_at, _LEASES.c.id > behind.id)
        query = query.where(sa.or_(_LEASES.c.started_at < behind.started_at, same))
    if not reach.everywhere:
        query = query.where(panel_within(reach, _LEASES.c.panel))
    with store.reading() as connection:
        return [_lease(row) for row in connection.execute(query)]


def add_numbers(store: Store, fias: str, numbers: Iterable[str]) -> int:
    """Put numbers into a city's pool; those that are in a pool already are left alone. How many were added."""
    with store.transaction() as connection:
        known = set(connection.scalars(sa.select(_NUMBERS.c.number)))
        new = [each for each in dict.fromkeys(numbers) if each not in known]
        if new:
            rows = [{"fias": fias, "number": number, "status": 0} for number in new]
            connection.execute(sa.insert(_NUMBERS), rows)
            count_up(connection, fias)
    return len(new)


def count_up(connection: sa.Connection, fias: str) -> None:
    """Say to nodes that a pool has changed."""
    counted = connection.execute(
        sa.update(_POOLS).where(_POOLS.c.fias == fias).values(version=_POOLS.c.version + 1)
    )
    if not counted.rowcount:
        connection.execute(sa.insert(_POOLS).values(fias=fias, version=1))


def all_pools(store: Store) -> dict[str, list[PoolNumber]]:
    """Every city's numbers with their last leases, by FIAS id."""
    query = (
        sa.select(_NUMBERS.c.fias, _NUMBERS.c.number, _NUMBERS.c.status, _LEASES)
        .outerjoin(_LEASES, _LEASES.c.id == _NUMBERS.c.lease)
        .order_by(_NUMBERS.c.fias, _NUMBERS.c.id)
    )
    found: dict[str, list[PoolNumber]] = {}
    with store.reading() as connection:
        for row in connection.execute(query):
            lease = _lease(row[3:]) if row[3] is not None else None
            found.setdefault(row[0], []).append(PoolNumber(row[1], bool(row[2]), lease))
    return found


def find_lease(store: Store, id: str) -> Lease | None:
    with store.reading() as connection:
        return lease_of(connection, id)


def lease_of(connection: sa.Connection, id: str) -> Lease | None:
    """The same within a transaction."""
    row = connection.execute(sa.select(_LEASES).where(_LEASES.c.id == id)).first()
    return _lease(row) if row is not None else None


def _last_lease(connection: sa.Connection, numbers: Sequence[str], at: float | None = None) -> Lease | None:
    query = sa.select(_LEASES).where(_LEASES.c.number.in_(numbers))
    if at is not None:
        query = query.where(_LEASES.c.started_at <= at)
    row = connection.execute(query.order_by(_LEASES.c.started_at.desc()).limit(1)).first()
    return _lease(row) if row is not None else None


def _lease(row: Sequence[Any]) -> Lease:
    values = dict(zip(_LEASE_COLUMNS, row, strict=True))
    values["why"] = Why(values["why"])
    return Lease(**values)


def _row(lease: Lease) -> dict[str, Any]:
    row = {name: getattr(lease, name) for name in _LEASE_COLUMNS}
    row["why"] = lease.why.value
    return row


_COUNT_UP = (
    sa.update(_POOLS)
    .where(_POOLS.c.fias == sa.bindparam("of"), _POOLS.c.version == sa.bindparam("seen"))
    .values(version=_POOLS.c.version + 1)
)
_TAKE_OUT = Statement(sa.delete(_LEASES).where(_LEASES.c.id == sa.bindparam("lease_id")))
_PUT = Statement(sa.insert(_LEASES))
_LEND = Statement(
    sa.update(_NUMBERS)
    .where(_NUMBERS.c.number == sa.bindparam("of"))
    .values(
        status=sa.literal_column("1"),
        event_time=sa.bindparam("at"),
        domophone=sa.bindparam("mac"),
        lease=sa.bindparam("lease_id"),
    )
)
_FREE = Statement(
    sa.update(_NUMBERS)
    .where(_NUMBERS.c.number == sa.bindparam("of"))
    .values(status=sa.literal_column("0"), event_time=sa.null(), domophone=sa.null())
)
