"""Which campaigns are within somebody's reach: those that name places (cities, houses, panels, flats), none of which has
a house beyond.

A campaign over everything is within the reach of who has the right everywhere. Places that are gone are within none but
all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from crm.among import among
from crm.model import City, Domophone, DomophoneEntrance, EntranceFlat, Flat, House, table
from crm.rights import Reach
from crm.store import Store
from crm.tables.quality import QualityCampaign
from crm.values.quality import Scope

_CAMPAIGNS = table(QualityCampaign)


def campaign_within(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition that a campaign is within `reach`."""
    if reach.everywhere:
        return sa.true()
    some, beyond = [], []
    for n, kind in enumerate(_KINDS):
        named = _named(_CAMPAIGNS.c.scope, sa.literal_column(str(n))).table_valued("value", name=f"named_{n}")
        key = sa.cast(named.c.value, kind.key.type)
        there = sa.exists().select_from(kind.rows).where(kind.key == key, kind.within(reach))
        some.append(sa.exists().select_from(named))
        beyond.append(sa.exists().select_from(named).where(~there.correlate(named)))
    return sa.and_(sa.or_(*some), *(~each for each in beyond))


def names_beyond(store: Store, reach: Reach, scope: Scope) -> dict[str, list[str]]:
    """What a scope names that is not within `reach`, or is not there: by "cities", "houses", "panels", "flats"."""
    beyond: dict[str, list[str]] = {}
    with store.reading() as connection:
        for kind in _KINDS:
            names = getattr(scope, kind.name)
            if not names:
                continue
            mine = sa.select(kind.key).select_from(kind.rows).where(kind.within(reach))
            found = set(connection.scalars(mine.where(among(connection, kind.key, names))))
            if missing := [str(name) for name in names if name not in found]:
                beyond[kind.name] = missing
    return beyond


def city_within(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on `City`: it is his, or all of its houses are."""
    if reach.everywhere:
        return sa.true()
    of_city = sa.exists().where(House.city_id == City.id).correlate(City)
    its_houses = sa.and_(of_city.where(reach.of_houses()), ~of_city.where(sa.not_(reach.of_houses())))
    return sa.or_(City.id.in_(sorted(reach.cities)), its_houses)


def panel_within(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on `Domophone`: it calls flats of his houses, and no others."""
    if reach.everywhere:
        return sa.true()
    at, rings = table(DomophoneEntrance), table(EntranceFlat)
    flats = at.join(rings, rings.c.entrance_id == at.c.entrance_id).join(
        _FLATS, _FLATS.c.id == rings.c.flat_id
    )
    flats = flats.join(_HOUSES, _HOUSES.c.id == _FLATS.c.house_id)
    called = sa.exists().select_from(flats).where(at.c.domophone_id == Domophone.id).correlate(Domophone)
    return sa.and_(called.where(reach.of_houses()), ~called.where(sa.not_(reach.of_houses())))


@frozen
class _Kind:
    """What a scope names in one of its parts: the rows that these are of, and which of them are within a reach."""

    name: str
    key: sa.ColumnElement[Any]
    rows: sa.FromClause
    within: Callable[[Reach], sa.ColumnElement[bool]]


def _of_houses(reach: Reach) -> sa.ColumnElement[bool]:
    return reach.of_houses()


_HOUSES, _FLATS, _PANELS = table(House), table(Flat), table(Domophone)
# In the order of Scope, as the table has it.
_KINDS = (
    _Kind("cities", table(City).c.id, table(City), city_within),
    _Kind("houses", _HOUSES.c.id, _HOUSES, _of_houses),
    _Kind("panels", _PANELS.c.sip_user, _PANELS, panel_within),
    _Kind("flats", _FLATS.c.id, _FLATS.join(_HOUSES, _HOUSES.c.id == _FLATS.c.house_id), _of_houses),
)


class _named(FunctionElement[Any]):
    """The names in a part of a scope, each a row with its `value`."""

    inherit_cache = True


@compiles(_named)
def _named_by_sqlite(element: _named, compiler: SQLCompiler, **options: Any) -> str:
    scope, part = (compiler.process(each, **options) for each in element.clauses)
    return f"json_each({scope}, '$[' || {part} || ']')"


@compiles(_named, "postgresql")
def _named_by_postgresql(element: _named, compiler: SQLCompiler, **options: Any) -> str:
    scope, part = (compiler.process(each, **options) for each in element.clauses)
    return f"json_array_elements_text(CAST({scope} AS JSON) -> {part})"
