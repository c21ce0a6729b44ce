"""What of 112 is within somebody's reach: panels at an entrance of one of his houses, and these houses' cities' pools.

Panels are known by their SIP users, cities by their FIAS ids, as pools are.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from crm.model import (
    City,
    Domophone,
    DomophoneEntrance,
    EntranceFlat,
    Flat,
    House,
    HouseEntrance,
    table,
)
from crm.rights import Reach
from crm.store import Store
from live import Within

_PANELS, _AT, _OF, _HOUSES = table(Domophone), table(DomophoneEntrance), table(HouseEntrance), table(House)


def panel_within(reach: Reach, sip_user: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """The condition that the panel with this SIP user is within `reach`. One that is gone is within none but all."""
    if reach.everywhere:
        return sa.true()
    return sa.exists(_within(reach).where(_PANELS.c.sip_user == sip_user))


def panels_within(store: Store, reach: Reach) -> frozenset[str] | None:
    """The SIP users of the panels within `reach`; None: all there are. Raises DatabaseAway, SchemaMismatch."""
    if reach.everywhere:
        return None
    with store.reading() as connection:
        return frozenset(connection.scalars(_within(reach).distinct()))


def board_within(store: Store, reach: Reach) -> Within | None:
    """What of the live board is within `reach`; None: all. Raises DatabaseAway, SchemaMismatch.

    From a gate's panel the flats of others are called, too: of these calls nothing is told.
    """
    if reach.everywhere:
        return None
    mine = _within(reach).distinct()
    others = (
        sa.select(_PANELS.c.sip_user)
        .join(_AT, _AT.c.domophone_id == _PANELS.c.id)
        .join(_OF, _OF.c.entrance_id == _AT.c.entrance_id)
        .join(_HOUSES, _HOUSES.c.id == _OF.c.house_id)
        .where(sa.not_(reach.of_houses()))
    )
    with store.reading() as connection:
        panels = frozenset(connection.scalars(mine))
        shared = frozenset(connection.scalars(sa.intersect(mine, others)))
        flats: set[int] = set()
        if shared:
            rings, homes = table(EntranceFlat), table(Flat)
            called = (
                sa.select(rings.c.flat_id)
                .join(homes, homes.c.id == rings.c.flat_id)
                .join(_HOUSES, _HOUSES.c.id == homes.c.house_id)
                .join(_AT, _AT.c.entrance_id == rings.c.entrance_id)
                .join(_PANELS, _PANELS.c.id == _AT.c.domophone_id)
                .where(_PANELS.c.sip_user.in_(sorted(shared)), reach.of_houses())
            )
            flats.update(connection.scalars(called))
    return Within(panels, shared, frozenset(flats))


def cities_of(reach: Reach) -> sa.Select[Any]:
    """The FIAS ids of the cities within `reach`, "" for those that have none: his cities, and those of his houses."""
    cities = table(City)
    house = sa.exists().where(_HOUSES.c.city_id == cities.c.id, reach.of_houses()).correlate(cities)
    return sa.select(sa.func.coalesce(cities.c.fias, "")).where(
        sa.or_(cities.c.id.in_(sorted(reach.cities)), house)
    )


def cities_within(store: Store, reach: Reach) -> frozenset[str] | None:
    """The same ids; None: all there are. Raises DatabaseAway, SchemaMismatch."""
    if reach.everywhere:
        return None
    with store.reading() as connection:
        return frozenset(connection.scalars(cities_of(reach)))


def _within(reach: Reach) -> sa.Select[Any]:
    return (
        sa.select(_PANELS.c.sip_user)
        .join(_AT, _AT.c.domophone_id == _PANELS.c.id)
        .join(_OF, _OF.c.entrance_id == _AT.c.entrance_id)
        .join(_HOUSES, _HOUSES.c.id == _OF.c.house_id)
        .where(reach.of_houses())
    )
