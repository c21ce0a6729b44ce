"""Which panels a key opens, and `key_deliveries` kept in step with that: what each panel is still to learn or to forget.

A lost key opens nothing. A key of a flat or of its resident opens what the flat is called from, unless a block stands
there that stops keys; an employee's, what is within the reach of its right to open doors. Whoever changes one of these
calls `sync_keys`, `sync_flats`, `sync_employees` or `sync_panels` in the same transaction; blocks that begin or end by
the clock are `refresh_blocks`'s, and `sweep_keys` finds what anybody has forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.dialects import postgresql, sqlite

from crm.keys.reach import panels_within
from crm.model import (
    Domophone,
    DomophoneEntrance,
    EntranceFlat,
    Flat,
    FlatBlock,
    House,
    HouseEntrance,
    table,
)
from crm.rights import Reach, Right
from crm.store import Store
from crm.tables.blocks import BlockKindRow
from crm.tables.keys import Key, KeyBinding, KeyDelivery, KeyScope
from crm.tables.people import ResidentFlat
from crm.tables.staff import Employee, EmployeeGroup, Group, GroupCity, GroupCompany, GroupHouse

BEING_TOLD = "being told to the panel"  # `error` of a row while somebody tells it, until `due_at`
CHUNK = 500  # ids in one statement
_WIDE = (KeyScope.EVERYWHERE, KeyScope.EMPLOYEE)

_KEYS, _BINDINGS, _DELIVERIES = table(Key), table(KeyBinding), table(KeyDelivery)
_AT, _SERVES, _RINGS = table(DomophoneEntrance), table(HouseEntrance), table(EntranceFlat)


@frozen
class Told:
    """How many panels know a key, are given up, and are still to be told."""

    know: int
    failed: int
    waiting: int


def sync_keys(
    connection: sa.Connection, key_ids: Iterable[int], now: float, *, panels: Sequence[int] | None = None
) -> None:
    """Make the deliveries of these keys what their bindings ask for at `now`, in the caller's transaction.

    `panels`: only those to these; None: to all panels.
    """
    for some in _portions(key_ids):
        wide = sa.select(_BINDINGS.c.key_id).where(_BINDINGS.c.key_id.in_(some), _BINDINGS.c.scope.in_(_WIDE))
        alone = set(connection.scalars(wide)) if panels is None else set()
        # A key that opens all panels is a statement of its own: no statement is to be a long one.
        for each in [[id] for id in sorted(alone)] + [[id for id in some if id not in alone]]:
            if each:
                _sync(connection, each, now, panels)


def _sync(connection: sa.Connection, keys: Sequence[int], now: float, panels: Sequence[int] | None) -> None:
    every = _opens(_BINDINGS.c.key_id.in_(keys), now).subquery()
    here = sa.true() if panels is None else every.c.domophone_id.in_(panels)
    opens = sa.select(every.c.key_id, every.c.domophone_id).where(here).cte("opens")
    told_here = sa.true() if panels is None else _DELIVERIES.c.domophone_id.in_(panels)
    mine = sa.and_(_DELIVERIES.c.key_id.in_(keys), told_here)
    # As a set, and no condition on each row: that would read all pairs again for every row.
    pairs = sa.select(opens.c.key_id, opens.c.domophone_id)
    there = sa.tuple_(_DELIVERIES.c.key_id, _DELIVERIES.c.domophone_id).in_(pairs)
    told = _DELIVERIES.alias("told")
    known = sa.exists().where(told.c.key_id == opens.c.key_id, told.c.domophone_id == opens.c.domophone_id)
    new = sa.select(
        *(opens.c.key_id, opens.c.domophone_id, sa.true(), sa.literal(now, sa.Double())),
        *(sa.literal(0), sa.literal("")),
    ).where(~known)
    names = ["key_id", "domophone_id", "wanted", "due_at", "tries", "error"]
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(_DELIVERIES).from_select(names, new).on_conflict_do_nothing())
    learn, forget = sa.and_(~_DELIVERIES.c.wanted, there), sa.and_(_DELIVERIES.c.wanted, ~there)
    for wanted, wrong in ((True, learn), (False, forget)):
        connection.execute(sa.update(_DELIVERIES).where(mine, wrong).values(wanted=wanted, **_anew(now)))


def sync_flats(connection: sa.Connection, flat_ids: Iterable[int], now: float) -> None:
    """The same for all keys of these flats and of who lives there: their blocks, panels or people have changed."""
    for some in _portions(flat_ids):
        sync_keys(connection, keys_of_flats(connection, some), now)


def sync_employees(connection: sa.Connection, employee_ids: Iterable[int], now: float) -> None:
    """The same for the keys of employees whose groups have changed, or who are active no more."""
    for some in _portions(employee_ids):
        theirs = sa.and_(_BINDINGS.c.scope == KeyScope.EMPLOYEE, _BINDINGS.c.ref_id.in_(some))
        sync_keys(connection, connection.scalars(sa.select(_BINDINGS.c.key_id).where(theirs)).all(), now)


def sync_panels(connection: sa.Connection, domophone_ids: Iterable[int], now: float) -> None:
    """The same for all keys that these panels know or are to know: what they serve has changed, or they are new."""
    for some in _portions(domophone_ids):
        entrances = sa.select(_AT.c.entrance_id).where(_AT.c.domophone_id.in_(some))
        houses = sa.select(_SERVES.c.house_id).where(_SERVES.c.entrance_id.in_(entrances))
        flats = sa.select(_RINGS.c.flat_id).where(_RINGS.c.entrance_id.in_(entrances))
        companies = sa.select(House.company_id).where(House.id.in_(houses), House.company_id.is_not(None))
        residents = sa.select(ResidentFlat.resident_id).where(ResidentFlat.flat_id.in_(flats))
        ref, scope = _BINDINGS.c.ref_id, _BINDINGS.c.scope
        near = sa.or_(
            scope.in_(_WIDE),
            sa.and_(scope == KeyScope.COMPANY, ref.in_(companies)),
            sa.and_(scope == KeyScope.HOUSE, ref.in_(houses)),
            sa.and_(scope == KeyScope.ENTRANCE, ref.in_(entrances)),
            sa.and_(scope == KeyScope.FLAT, ref.in_(flats)),
            sa.and_(scope == KeyScope.RESIDENT, ref.in_(residents)),
        )
        told = sa.select(_DELIVERIES.c.key_id).where(_DELIVERIES.c.domophone_id.in_(some))
        both = sa.union(sa.select(_BINDINGS.c.key_id).where(near), told)
        sync_keys(connection, connection.scalars(both).all(), now, panels=some)


def refresh_blocks(store: Store, since: float, now: float) -> int:
    """Keys of flats with a block that began or ended after `since`, up to `now`, by the clock; how many flats."""
    begun = sa.and_(FlatBlock.since > since, FlatBlock.since <= now)
    ended = sa.and_(FlatBlock.until > since, FlatBlock.until <= now)
    query = (
        sa.select(FlatBlock.flat_id)
        .join(BlockKindRow, BlockKindRow.code == FlatBlock.kind)
        .where(BlockKindRow.stops_keys, sa.or_(begun, ended))
        .distinct()
    )
    with store.reading() as connection:
        flats = connection.scalars(query).all()
    for some in _portions(flats):
        with store.transaction() as connection:
            sync_flats(connection, some, now)
    return len(flats)


def sweep_keys(store: Store, after: int, now: float, limit: int = CHUNK) -> int:
    """Look at the next `limit` keys after this id; the last one's id, or 0 when all were looked at."""
    with store.transaction() as connection:
        some = sa.select(_KEYS.c.id).where(_KEYS.c.id > after).order_by(_KEYS.c.id).limit(limit)
        ids = connection.scalars(some).all()
        sync_keys(connection, ids, now)
    return ids[-1] if len(ids) == limit else 0


def keys_of_flats(connection: sa.Connection, flat_ids: Sequence[int]) -> Sequence[int]:
    """Keys that are bound to these flats or to who lives there."""
    people = sa.select(ResidentFlat.resident_id).where(ResidentFlat.flat_id.in_(flat_ids))
    theirs = sa.or_(
        sa.and_(_BINDINGS.c.scope == KeyScope.FLAT, _BINDINGS.c.ref_id.in_(flat_ids)),
        sa.and_(_BINDINGS.c.scope == KeyScope.RESIDENT, _BINDINGS.c.ref_id.in_(people)),
    )
    return connection.scalars(sa.select(_BINDINGS.c.key_id).where(theirs).distinct()).all()


def told_of_key(connection: sa.Connection, reach: Reach, key_id: int) -> Told:
    """What panels within reach know of a key, in numbers."""
    last, done = _DELIVERIES.c.error == "", _DELIVERIES.c.done_at.is_not(None)
    here = sa.true() if reach.everywhere else panels_within(reach)

    def count(condition: sa.ColumnElement[bool]) -> Any:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)

    query = (
        sa.select(
            count(sa.and_(done, last, _DELIVERIES.c.wanted)),
            count(sa.and_(done, ~last)),
            count(~done),
        )
        .join(Domophone, Domophone.id == _DELIVERIES.c.domophone_id)
        .where(_DELIVERIES.c.key_id == key_id, here)
    )
    return Told(*map(int, connection.execute(query).one()))


def keys_stopped(flat_id: sa.ColumnElement[Any], now: float) -> sa.ColumnElement[bool]:
    """The condition that a block stands on a flat that stops its keys."""
    return sa.exists().where(
        FlatBlock.flat_id == flat_id,
        FlatBlock.since <= now,
        sa.or_(FlatBlock.until.is_(None), FlatBlock.until > now),
        BlockKindRow.code == FlatBlock.kind,
        BlockKindRow.stops_keys,
    )


def _opens(which: sa.ColumnElement[bool], now: float) -> sa.CompoundSelect[Any]:
    """The pairs of a key and a panel that it opens, of the bindings `which`."""

    def ways(scope: KeyScope) -> sa.Select[Any]:
        known = sa.select(_BINDINGS.c.key_id).join(_KEYS, _KEYS.c.id == _BINDINGS.c.key_id)
        return known.where(_BINDINGS.c.scope == scope, _KEYS.c.lost_at.is_(None), which)

    def at_houses(query: sa.Select[Any]) -> sa.Select[Any]:
        served = query.join(HouseEntrance, HouseEntrance.house_id == House.id)
        return served.join(_AT, _AT.c.entrance_id == HouseEntrance.entrance_id).add_columns(
            _AT.c.domophone_id
        )

    def at_flats(query: sa.Select[Any]) -> sa.Select[Any]:
        rung = query.join(_RINGS, _RINGS.c.flat_id == Flat.id).join(
            _AT, _AT.c.entrance_id == _RINGS.c.entrance_id
        )
        return rung.where(~keys_stopped(Flat.__table__.c.id, now)).add_columns(_AT.c.domophone_id)

    ref = _BINDINGS.c.ref_id
    everything = Domophone.id.label("domophone_id")
    at_work = (
        ways(KeyScope.EMPLOYEE)
        .join(Employee, sa.and_(Employee.id == ref, Employee.active))
        .join(EmployeeGroup, EmployeeGroup.employee_id == ref)
        .join(Group, Group.id == EmployeeGroup.group_id)
        .where((" " + Group.rights + " ").contains(f" {Right.DOORS_OPEN.value} ", autoescape=True))
    )
    return sa.union(
        ways(KeyScope.EVERYWHERE).join(Domophone, sa.true()).add_columns(everything),
        at_houses(ways(KeyScope.COMPANY).join(House, House.company_id == ref)),
        at_houses(ways(KeyScope.HOUSE).join(House, House.id == ref)),
        ways(KeyScope.ENTRANCE).join(_AT, _AT.c.entrance_id == ref).add_columns(_AT.c.domophone_id),
        at_flats(ways(KeyScope.FLAT).join(Flat, Flat.id == ref)),
        at_flats(
            ways(KeyScope.RESIDENT)
            .join(ResidentFlat, ResidentFlat.resident_id == ref)
            .join(Flat, Flat.id == ResidentFlat.flat_id)
        ),
        at_work.join(Domophone, table(Group).c.everywhere).add_columns(everything),
        at_houses(
            at_work.join(GroupCity, GroupCity.group_id == Group.id).join(
                House, House.city_id == GroupCity.city_id
            )
        ),
        at_houses(
            at_work.join(GroupCompany, GroupCompany.group_id == Group.id).join(
                House, House.company_id == GroupCompany.company_id
            )
        ),
        at_houses(
            at_work.join(GroupHouse, GroupHouse.group_id == Group.id).join(
                House, House.id == GroupHouse.house_id
            )
        ),
    )


def _anew(now: float) -> dict[str, Any]:
    """A row is due again; one that is being told stays with whoever tells it, who sees that it has changed."""
    told = _DELIVERIES.c.error == BEING_TOLD
    return {
        "done_at": None,
        "due_at": sa.case((told, _DELIVERIES.c.due_at), else_=now),
        "tries": sa.case((told, _DELIVERIES.c.tries), else_=0),
        "error": sa.case((told, _DELIVERIES.c.error), else_=""),
    }


def _portions(ids: Iterable[int]) -> Iterator[Sequence[int]]:
    every = sorted(set(ids))
    for at in range(0, len(every), CHUNK):
        yield every[at : at + CHUNK]
