"""What devices open, as their pages show it: whom a panel serves, what a relay's channels open, who opened what."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from attrs import frozen

from crm.devices.access import entrances_near
from crm.model import City, DomophoneEntrance, Entrance, EntranceFlat, Flat, House, HouseEntrance, table
from crm.rights import Reach
from crm.tables.devices import RelayChannel
from crm.tables.staff import Change

_CHANGES, _CHANNELS = table(Change), table(RelayChannel)
_AT, _SERVES, _RINGS = table(DomophoneEntrance), table(HouseEntrance), table(EntranceFlat)


@frozen
class Opening:
    """A door that was opened, or was to be; `what` is which, `outcome` "opened", or why not."""

    at: float
    who: str
    what: str
    outcome: str


@frozen
class Served:
    """A house that a panel serves from an entrance: its prefix at the panel, how many flats it calls there, and how many
    of them by a number that is not the flat's own."""

    house_id: int
    house: str
    entrance_id: int
    entrance: str
    prefix: str
    flats: int
    renumbered: int


@frozen
class ChannelShown:
    """A relay's channel; `entrance` is where it opens something, `mine`: whoever looks may open it."""

    id: int
    number: int
    name: str
    entrance_id: int | None
    entrance: str
    mine: bool


def last_openings(connection: sa.Connection, entity: str, id: int, limit: int) -> list[Opening]:
    """What was opened by a panel ("domophone") or a relay, the newest first."""
    mine = (
        sa.select(_CHANGES.c.at, _CHANGES.c.who, _CHANGES.c.after)
        .where(_CHANGES.c.entity == entity, _CHANGES.c.entity_id == id, _CHANGES.c.action == "open")
        .order_by(_CHANGES.c.id.desc())
        .limit(2 * limit)
    )
    found = []
    for at, who, text in connection.execute(mine):
        after: dict[str, Any] = msgspec.json.decode(text) if text else {}
        outcome = str(after.get("outcome", ""))
        if outcome != "asked":
            found.append(Opening(at, who, str(after.get("name") or after.get("door") or ""), outcome))
    return found[:limit]


def serves(connection: sa.Connection, domophone_id: int, reach: Reach) -> list[Served]:
    """The houses within reach that a panel serves."""
    flats = (
        sa.select(sa.func.count())
        .select_from(_RINGS.join(table(Flat), Flat.id == _RINGS.c.flat_id))
        .where(_RINGS.c.entrance_id == _SERVES.c.entrance_id, Flat.house_id == _SERVES.c.house_id)
        .correlate(_SERVES)
    )
    other = sa.and_(_RINGS.c.panel_number.is_not(None), _RINGS.c.panel_number != Flat.number)
    query = (
        sa.select(
            *(House.id, City.name + ", " + House.street + " " + House.number, Entrance.id, Entrance.name),
            *(_SERVES.c.prefix, flats.scalar_subquery(), flats.where(other).scalar_subquery()),
        )
        .select_from(_SERVES)
        .join(House, House.id == _SERVES.c.house_id)
        .join(City, City.id == House.city_id)
        .join(Entrance, Entrance.id == _SERVES.c.entrance_id)
        .join(_AT, _AT.c.entrance_id == _SERVES.c.entrance_id)
        .where(_AT.c.domophone_id == domophone_id, reach.of_houses())
        .order_by(House.id, Entrance.id)
        .limit(200)
    )
    return [Served(*row) for row in connection.execute(query)]


def channels_of(connection: sa.Connection, relay_id: int, sees: Reach, opens: Reach) -> list[ChannelShown]:
    """A relay's channels that are within the reach of who `sees` them; he may open those within `opens`."""

    def near(reach: Reach) -> sa.ColumnElement[bool]:
        if reach.everywhere:
            return sa.true()
        within = sa.select(_SERVES.c.entrance_id).where(entrances_near(reach))
        return sa.func.coalesce(_CHANNELS.c.entrance_id.in_(within), sa.false())

    query = (
        sa.select(
            *(_CHANNELS.c.id, _CHANNELS.c.number, _CHANNELS.c.name, _CHANNELS.c.entrance_id),
            *(sa.func.coalesce(Entrance.name, ""), near(opens)),
        )
        .outerjoin(Entrance, Entrance.id == _CHANNELS.c.entrance_id)
        .where(_CHANNELS.c.relay_id == relay_id, near(sees))
        .order_by(_CHANNELS.c.number)
    )
    return [
        ChannelShown(id, number, name, entrance_id, entrance, bool(mine))
        for id, number, name, entrance_id, entrance, mine in connection.execute(query)
    ]
