"""What sections have in common: joins, reaches and ways of writing that more than one of them needs."""

from __future__ import annotations

import re
import uuid
import zoneinfo
from typing import Any

import sqlalchemy as sa
from attrs import evolve

from crm.desk.resource import Field, Resource, Values
from crm.model import City, EntranceFlat, Flat, House, HouseEntrance, Street, table
from crm.rights import Reach
from crm.who import Who

CITIES, HOUSES, FLATS = table(City), table(House), table(Flat)
_STREETS = table(Street)
# Aliases stand for nothing else here: a house with its city, as most sections show it.
HOUSES_IN_CITIES = HOUSES.join(CITIES, CITIES.c.id == HOUSES.c.city_id)
FLATS_IN_HOUSES = FLATS.join(HOUSES, HOUSES.c.id == FLATS.c.house_id).join(
    CITIES, CITIES.c.id == HOUSES.c.city_id
)
HOUSE_TITLE: sa.ColumnElement[str] = CITIES.c.name + ", " + HOUSES.c.street + " " + HOUSES.c.number
FLAT_TITLE: sa.ColumnElement[str] = HOUSE_TITLE + ", кв. " + FLATS.c.number


def with_field(resource: Resource, field: Field) -> Resource:
    """The same with `field` in place of its field of that name."""
    fields = [field if each.name == field.name else each for each in resource.fields]
    return evolve(resource, fields=tuple(fields))


def reach_of_houses(reach: Reach) -> sa.ColumnElement[bool]:
    """For what is joined with `houses`."""
    return reach.of_houses()


def widens_reach(connection: sa.Connection, who: Who, id: int, values: Values) -> dict[str, str]:
    """Nobody gets rights at a house by giving it to a company, or to a city, at whose houses he has them."""
    city = connection.scalar(sa.select(_STREETS.c.city_id).where(_STREETS.c.id == values["street_id"]))
    for right, reach in who.rights.reaches.items():
        company = values["company_id"] in reach.companies
        if not reach.everywhere and (company or city in reach.cities):
            before = sa.select(HOUSES.c.id).where(HOUSES.c.id == id, reach.of_houses())
            if connection.scalar(before) is None:
                why = f"by this you would get the right {right.value} at this house: ask somebody who has it there"
                return {"company_id" if company else "street_id": why}
    return {}


def reach_by_entrance(entrance: sa.ColumnElement[Any]) -> Any:
    """For what stands at an entrance: one of its houses is within reach."""

    def within(reach: Reach) -> sa.ColumnElement[bool]:
        house = table(HouseEntrance)
        served = sa.select(sa.literal(1)).select_from(house.join(HOUSES, HOUSES.c.id == house.c.house_id))
        return sa.exists(served.where(house.c.entrance_id == entrance, reach.of_houses()))

    return within


def entrances_of_flat(flat: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """The ids of entrances from which a flat is called."""
    at = table(EntranceFlat)
    return sa.select(at.c.entrance_id).where(at.c.flat_id == flat)


def read_id(text: str) -> int:
    """The id that a list is filtered by, from the address line. Raises ValueError."""
    if not text.isdigit() or not 0 <= int(text) < 2**31:
        raise ValueError("a whole number is expected")
    return int(text)


def clean_guid(text: str) -> str:
    """A FIAS id as it is kept. Raises ValueError."""
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError:
        raise ValueError("a FIAS id is expected, like 0c5b2444-70a0-4932-980c-b4dc0d3f02b5") from None


def clean_mac(text: str) -> str:
    """A MAC in twelve small hex digits, whatever stands between them. Raises ValueError."""
    bare = re.sub(r"[\s:.\-]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{12}", bare):
        raise ValueError("a MAC is expected: 12 hex digits, like 18:68:82:31:0c:8a")
    return bare


def clean_phone(text: str) -> str:
    """A telephone number in E.164; a Russian one may begin with 8. Raises ValueError."""
    if not text:
        return ""
    bare = re.sub(r"[\s()\-.]", "", text)
    if re.fullmatch(r"8\d{10}", bare):
        bare = "+7" + bare[1:]
    elif re.fullmatch(r"7\d{10}", bare):
        bare = "+" + bare
    elif re.fullmatch(r"9\d{9}", bare):
        bare = "+7" + bare
    if not re.fullmatch(r"\+[1-9]\d{6,14}", bare):
        raise ValueError("a telephone number is expected, like +7 912 345-67-89")
    return bare


def clean_zone(text: str) -> str:
    """An IANA time zone. Raises ValueError."""
    if text and text not in zoneinfo.available_timezones():
        raise ValueError("a time zone is expected, like Asia/Yekaterinburg")
    return text
