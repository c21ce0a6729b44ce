"""What a 112 call needs to know of a panel: its city, its address as 112 is told it, a number of its own.

Read in portions, to be copied to the nodes: a 112 call asks its node's copy, and no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.model import City, Domophone, DomophoneEntrance, Entrance, House, HouseEntrance
from crm.rights import EVERYWHERE, Reach


@frozen
class SosPanel:
    """A panel. `fias` is its city's, "" where that has none; of several houses behind a gate, the first is its address.

    `houses` are all of them, as shown ("ул. Ленина 5"); `own_number` is "" where it is lent one. `floor` is "" where it
    is not known; `lat` and `lon` are WGS 84 degrees.
    """

    sip_user: str
    domain: str
    mac: str
    fias: str = ""
    region: str = ""
    city: str = ""
    street: str = ""
    house: str = ""
    houses: tuple[str, ...] = ()
    entrance: str = ""
    floor: str = ""
    place: str = ""
    lat: float | None = None
    lon: float | None = None
    own_number: str = ""

    @property
    def address(self) -> str:
        """As people read it: "Челябинск, ул. Ленина 5, п. 2"."""
        return ", ".join(each for each in (self.city, *self.houses, self.entrance) if each)


def read_panels(connection: sa.Connection, after: int, limit: int) -> tuple[int, list[SosPanel]]:
    """The next `limit` panels behind the id `after`, and the id of the last; fewer than `limit`: there are no more."""
    ids = connection.scalars(
        sa.select(Domophone.id).where(Domophone.id > after).order_by(Domophone.id).limit(limit)
    ).all()
    if not ids:
        return after, []
    rows = connection.execute(_ROWS.where(Domophone.id > after, Domophone.id <= ids[-1], Domophone.active))
    return ids[-1], _panels(rows.all())


def read_panel(connection: sa.Connection, sip_user: str) -> SosPanel | None:
    """One panel by its SIP user."""
    found = _panels(connection.execute(_ROWS.where(Domophone.sip_user == sip_user, Domophone.active)).all())
    return found[0] if found else None


def read_some(
    connection: sa.Connection, sip_users: Sequence[str], reach: Reach = EVERYWHERE
) -> list[SosPanel]:
    """Those of some panels that are active; of a gate's houses those within `reach`."""
    found = _ROWS.where(Domophone.sip_user.in_(sip_users), Domophone.active)
    return _panels(connection.execute(found.where(reach.of_houses())).all())


def _panels(rows: Sequence[Any]) -> list[SosPanel]:
    """One panel of its rows, one for each house behind each entrance."""
    by_id: dict[int, list[Any]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
    return [_panel(mine) for mine in by_id.values()]


def _panel(rows: Sequence[Any]) -> SosPanel:
    first = rows[0]
    at = next((row for row in rows if row.street is not None), first)
    houses = tuple(dict.fromkeys(f"{row.street} {row.house}" for row in rows if row.street is not None))
    # The same choice as the view sip_credentials makes: of cities that have one, the lowest FIAS id.
    fias = min((row.fias for row in rows if row.fias), default="")
    return SosPanel(
        sip_user=first.sip_user,
        domain=first.domain,
        mac=first.mac,
        fias=fias,
        region=at.region or "",
        city=at.city or "",
        street=at.street or "",
        house=at.house or "",
        houses=houses,
        entrance=at.entrance or "",
        floor="" if first.floor is None else str(first.floor),
        place=first.place,
        lat=at.lat,
        lon=at.lon,
        own_number=first.sos_number or "",
    )


_ROWS = (
    sa.select(
        *(
            Domophone.id,
            Domophone.sip_user,
            Domophone.domain,
            Domophone.mac,
            Domophone.floor,
            Domophone.place,
        ),
        *(Domophone.sos_number, Entrance.name.label("entrance"), House.street, House.number.label("house")),
        *(House.lat, House.lon, City.name.label("city"), City.region, City.fias),
    )
    .outerjoin(DomophoneEntrance, DomophoneEntrance.domophone_id == Domophone.id)
    .outerjoin(Entrance, Entrance.id == DomophoneEntrance.entrance_id)
    .outerjoin(HouseEntrance, HouseEntrance.entrance_id == Entrance.id)
    .outerjoin(House, House.id == HouseEntrance.house_id)
    .outerjoin(City, City.id == House.city_id)
    .order_by(Domophone.id, Entrance.id, House.id)
)
