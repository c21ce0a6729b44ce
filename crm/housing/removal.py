"""Deleting a house or an entrance with all that is on it; the plain way refuses that.

What goes with a house: its flats (with their links, blocks and accounts' and residents' ties to them), and entrances that
serve no other house. People, accounts and panels stay, and so do calls and results. Keys lose what they were bound to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.companies.code_panels import sync_codes
from crm.desk.desk import Desk
from crm.keys.panels import sync_flats, sync_keys, sync_panels
from crm.model import (
    AccountFlat,
    DomophoneEntrance,
    Entrance,
    EntranceFlat,
    Flat,
    House,
    HouseEntrance,
    table,
)
from crm.rights import Right
from crm.search.index import Indexed
from crm.sections.flats import ENTRANCES_RESOURCE
from crm.sections.housing import HOUSES_RESOURCE
from crm.tables.keys import KeyBinding, KeyScope
from crm.tables.people import ResidentFlat
from crm.tables.search import SearchWord
from crm.who import Forbidden, Who

_HOUSES, _ENTRANCES, _DOORS = table(House), table(Entrance), table(HouseEntrance)
_FLATS, _AT, _SERVED = table(Flat), table(EntranceFlat), table(DomophoneEntrance)
_BINDINGS, _WORDS = table(KeyBinding), table(SearchWord)


@frozen
class Hanging:
    """What is on a house or an entrance: of a house `entrances` that serve no other; `panels` that stand there;
    `accounts` and `residents` of its flats; `keys` that are bound to it."""

    flats: int
    entrances: int
    panels: int
    accounts: int
    residents: int
    keys: int


def on_house(desk: Desk, who: Who, house_id: int) -> Hanging:
    """What would go, or lose its place. Raises Forbidden, NotFound."""
    with desk.store.reading() as connection:
        desk.get_in(connection, who, HOUSES_RESOURCE, house_id, Right.HOUSING_EDIT)
        flats = sa.select(_FLATS.c.id).where(_FLATS.c.house_id == house_id)
        return _hanging(connection, flats, _own_doors(connection, house_id), house_id)


def on_entrance(desk: Desk, who: Who, entrance_id: int) -> Hanging:
    """What would lose its door. Raises Forbidden, NotFound."""
    with desk.store.reading() as connection:
        desk.get_in(connection, who, ENTRANCES_RESOURCE, entrance_id, Right.HOUSING_EDIT)
        flats = sa.select(_AT.c.flat_id).where(_AT.c.entrance_id == entrance_id)
        return _hanging(connection, flats, [entrance_id], None)


def delete_house(desk: Desk, who: Who, house_id: int, now: float) -> None:
    """Delete a house with its flats, and the entrances that serve no other. Raises Forbidden, NotFound."""
    with desk.store.transaction() as connection:
        before = desk.get_in(connection, who, HOUSES_RESOURCE, house_id, Right.HOUSING_EDIT)
        numbers = dict(
            connection.execute(
                sa.select(_FLATS.c.id, _FLATS.c.number).where(_FLATS.c.house_id == house_id)
            ).all()
        )
        doors = _own_doors(connection, house_id)
        touched = _panels(connection, _all_doors(house_id))
        keys = _unbind(connection, KeyScope.FLAT, list(numbers))
        keys |= _unbind(connection, KeyScope.ENTRANCE, doors)
        keys |= _unbind(connection, KeyScope.HOUSE, [house_id])
        for id, number in numbers.items():
            was = {"house_id": house_id, "number": number}
            note_change(connection, who, "flat", id, "delete", was, None)
        for id in doors:
            note_change(connection, who, "entrance", id, "delete", {"house_id": house_id}, None)
        connection.execute(
            sa.delete(_WORDS).where(_WORDS.c.kind == Indexed.HOUSE.value, _WORDS.c.ref_id == house_id)
        )
        if doors:
            connection.execute(sa.delete(_ENTRANCES).where(_ENTRANCES.c.id.in_(doors)))
        connection.execute(sa.delete(_HOUSES).where(_HOUSES.c.id == house_id))
        was = {**before.values, "flats": len(numbers), "entrances": len(doors)}
        note_change(connection, who, "house", house_id, "delete", was, None)
        sync_keys(connection, keys, now)
        sync_panels(connection, touched, now)
        sync_codes(connection, now, panels=touched)


def delete_entrance(desk: Desk, who: Who, entrance_id: int, now: float) -> None:
    """Delete an entrance; its flats and panels stay without it. Raises Forbidden (it is also of a house that `who` may
    not change), NotFound."""
    with desk.store.transaction() as connection:
        before = desk.get_in(connection, who, ENTRANCES_RESOURCE, entrance_id, Right.HOUSING_EDIT)
        reach = who.rights.reach(Right.HOUSING_EDIT)
        served = sa.select(_DOORS.c.house_id).where(_DOORS.c.entrance_id == entrance_id)
        beyond = sa.select(_HOUSES.c.id).where(_HOUSES.c.id.in_(served), sa.not_(reach.of_houses()))
        if connection.scalar(beyond.limit(1)) is not None:
            raise Forbidden(
                f"this entrance serves a house that {who.name} may not change: take it off instead"
            )
        flats = connection.scalars(sa.select(_AT.c.flat_id).where(_AT.c.entrance_id == entrance_id)).all()
        panels = _panels(connection, sa.select(sa.literal(entrance_id)))
        keys = _unbind(connection, KeyScope.ENTRANCE, [entrance_id])
        connection.execute(sa.delete(_ENTRANCES).where(_ENTRANCES.c.id == entrance_id))
        was = {**before.values, "flats": len(flats), "panels": len(panels)}
        note_change(connection, who, "entrance", entrance_id, "delete", was, None)
        sync_keys(connection, keys, now)
        sync_flats(connection, flats, now)
        sync_panels(connection, panels, now)
        sync_codes(connection, now, panels=panels)


def _hanging(
    connection: sa.Connection, flats: sa.Select[Any], doors: Sequence[int], house_id: int | None
) -> Hanging:
    def count(query: sa.Select[Any]) -> int:
        return connection.scalar(sa.select(sa.func.count()).select_from(query.distinct().subquery())) or 0

    accounts, residents = table(AccountFlat), table(ResidentFlat)
    bound = [sa.and_(_BINDINGS.c.scope == KeyScope.ENTRANCE, _BINDINGS.c.ref_id.in_(doors))]
    if house_id is not None:
        bound.append(sa.and_(_BINDINGS.c.scope == KeyScope.HOUSE, _BINDINGS.c.ref_id == house_id))
        bound.append(sa.and_(_BINDINGS.c.scope == KeyScope.FLAT, _BINDINGS.c.ref_id.in_(flats)))
    return Hanging(
        flats=count(flats),
        entrances=len(doors),
        panels=count(sa.select(_SERVED.c.domophone_id).where(_SERVED.c.entrance_id.in_(doors))),
        accounts=count(sa.select(accounts.c.account_id).where(accounts.c.flat_id.in_(flats))),
        residents=count(sa.select(residents.c.resident_id).where(residents.c.flat_id.in_(flats))),
        keys=count(sa.select(_BINDINGS.c.key_id).where(sa.or_(*bound))),
    )


def _all_doors(house_id: int) -> sa.Select[Any]:
    return sa.select(_DOORS.c.entrance_id).where(_DOORS.c.house_id == house_id)


def _own_doors(connection: sa.Connection, house_id: int) -> Sequence[int]:
    """Entrances that serve this house alone."""
    other = _DOORS.alias()
    shared = sa.exists().where(other.c.entrance_id == _DOORS.c.entrance_id, other.c.house_id != house_id)
    return connection.scalars(_all_doors(house_id).where(~shared)).all()


def _panels(connection: sa.Connection, doors: sa.Select[Any]) -> Sequence[int]:
    query = sa.select(_SERVED.c.domophone_id).where(_SERVED.c.entrance_id.in_(doors))
    return connection.scalars(query.distinct()).all()


def _unbind(connection: sa.Connection, scope: KeyScope, ids: Sequence[int]) -> set[int]:
    """Take keys off these; which keys."""
    keys: set[int] = set()
    for at in range(0, len(ids), 500):
        mine = sa.and_(_BINDINGS.c.scope == scope, _BINDINGS.c.ref_id.in_(ids[at : at + 500]))
        keys |= set(connection.scalars(sa.select(_BINDINGS.c.key_id).where(mine)))
        connection.execute(sa.delete(_BINDINGS).where(mine))
    return keys
