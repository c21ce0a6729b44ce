"""The housing stock: cities, streets, houses. Entrances and flats are in flats.py."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Link, Resource, Row, Values
from crm.model import City, Entrance, Flat, House, HouseEntrance, Street, table
from crm.rights import Right
from crm.search.index import Indexed, reindex
from crm.search.places import words_match
from crm.search.text import readings
from crm.sections import ties
from crm.sections.shared import (
    CITIES,
    HOUSE_TITLE,
    HOUSES,
    clean_guid,
    clean_zone,
    reach_of_houses,
    widens_reach,
)
from crm.tables.companies import Company
from crm.tables.search import SearchWord
from crm.who import Conflict, Who

STREETS, ENTRANCES, COMPANIES = table(Street), table(Entrance), table(Company)
SECTION = "Housing stock"


def fias(column: Any, *, listed: bool = True) -> Field:
    """The FIAS id of something."""
    about: dict[str, Any] = {"label": "FIAS id", "clean": clean_guid, "longest": 36, "find": Find.SAME}
    example = "0c5b2444-70a0-4932-980c-b4dc0d3f02b5"
    return Field(name="fias", column=column, listed=listed, example=example, **about)


PREFIX = Field(
    name="prefix",
    label="Prefix at the panel",
    column=table(HouseEntrance).c.prefix,
    longest=10,
    default="",
    pattern=r"\d*",
    hint="digits, or nothing",
    example="1",
)


CITIES_RESOURCE = Resource(
    name="cities",
    entity="city",
    label="Cities",
    label_one="City",
    section=SECTION,
    icon="map",
    model=City,
    source=CITIES,
    title=CITIES.c.name,
    view=Right.HOUSING_VIEW,
    edit=Right.HOUSING_EDIT,
    order=("name",),
    fields=(
        Field(
            name="name",
            label="Name",
            column=CITIES.c.name,
            optional=False,
            sortable=True,
            find=Find.CONTAINS,
            example="Челябинск",
        ),
        Field(
            name="region",
            label="Region",
            column=CITIES.c.region,
            optional=False,
            sortable=True,
            find=Find.CONTAINS,
            example="Челябинская область",
        ),
        Field(
            name="time_zone",
            label="Time zone",
            column=CITIES.c.time_zone,
            optional=False,
            clean=clean_zone,
            longest=64,
            example="Asia/Yekaterinburg",
        ),
        fias(CITIES.c.fias),
    ),
    written=lambda connection, who, id, before, after: _city_written(connection, id, before, after),
)


def _city_written(connection: sa.Connection, id: int, before: Row | None, after: Row | None) -> None:
    """A city's houses are found by its name."""
    if before is not None and after is not None and before.values["name"] != after.values["name"]:
        reindex(
            connection,
            Indexed.HOUSE,
            connection.scalars(sa.select(HOUSES.c.id).where(HOUSES.c.city_id == id)),
        )


STREETS_RESOURCE = Resource(
    name="streets",
    entity="street",
    label="Streets",
    label_one="Street",
    section=SECTION,
    icon="map-pin",
    model=Street,
    source=STREETS.join(CITIES, CITIES.c.id == STREETS.c.city_id),
    title=CITIES.c.name + ", " + STREETS.c.name,
    view=Right.HOUSING_VIEW,
    edit=Right.HOUSING_EDIT,
    order=("name",),
    fields=(
        Field(
            name="name",
            label="Name",
            column=STREETS.c.name,
            optional=False,
            sortable=True,
            find=Find.CONTAINS,
            hint="with its kind: ул. Ленина",
            example="ул. Ленина",
        ),
        Field(
            name="city_id",
            label="City",
            kind=Kind.REFERENCE,
            refers_to="cities",
            column=STREETS.c.city_id,
            shown=CITIES.c.name,
            optional=False,
            once=True,
            find=Find.SAME,
            example=1,
        ),
        fias(STREETS.c.fias),
    ),
    written=lambda connection, who, id, before, after: _street_written(connection, id, before, after),
)


def _street_written(connection: sa.Connection, id: int, before: Row | None, after: Row | None) -> None:
    """A street's houses have its name, too, and are found by it."""
    if before is not None and after is not None and before.values["name"] != after.values["name"]:
        mine = HOUSES.c.street_id == id
        connection.execute(sa.update(HOUSES).where(mine).values(street=after.values["name"]))
        reindex(connection, Indexed.HOUSE, connection.scalars(sa.select(HOUSES.c.id).where(mine)))


def _prepare_house(desk: Any, connection: sa.Connection, values: Values, before: Row | None) -> Values:
    """City and the street's name come from the street."""
    if values.get("street_id") is not None:
        street = connection.execute(
            sa.select(STREETS.c.city_id, STREETS.c.name).where(STREETS.c.id == values["street_id"])
        ).one()
        values["city_id"], values["street"] = street
    return values


def _check_house(connection: sa.Connection, who: Who, id: int | None, values: Values) -> dict[str, str]:
    if id is not None and (errors := widens_reach(connection, who, id, values)):
        return errors
    if values["street_id"] is None:
        return {}
    here = sa.select(HOUSES.c.id).where(
        HOUSES.c.street_id == values["street_id"], HOUSES.c.number == values["number"]
    )
    there = connection.scalars(here).all()
    # Those that have had one address for long may go on with it.
    if there and id not in there:
        return {"number": "this street has a house with this number already"}
    return {}


def _house_written(connection: sa.Connection, id: int, before: Row | None, after: Row | None) -> None:
    """A house is found by its address. What stands on it is not deleted by the way: crm.housing.removal does that."""
    if after is not None:
        named = ("street_id", "number", "city_id")
        if before is None or any(before.values[each] != after.values[each] for each in named):
            reindex(connection, Indexed.HOUSE, [id])
        whose = ("city_id", "company_id")
        if before is not None and any(before.values[each] != after.values[each] for each in whose):
            ties.house_is_anothers(connection, id)
        return
    flat, door, other = table(Flat), table(HouseEntrance), table(HouseEntrance).alias()
    shared = sa.exists().where(other.c.entrance_id == door.c.entrance_id, other.c.house_id != id)
    for query in (
        sa.select(flat.c.id).where(flat.c.house_id == id),
        sa.select(door.c.entrance_id).where(door.c.house_id == id, ~shared),
    ):
        if connection.scalar(query.limit(1)) is not None:
            raise Conflict(
                "this house has flats or entrances: delete it with all that is on it, or them first"
            )
    mine = sa.and_(SearchWord.kind == Indexed.HOUSE.value, SearchWord.ref_id == id)
    connection.execute(sa.delete(SearchWord).where(mine))


def houses_named(text: str, house_id: Any) -> sa.ColumnElement[bool] | None:
    """The condition on a house's id that its address has these words; None: too little was typed."""
    words = [words_match(Indexed.HOUSE, reading.words) for reading in readings(text)]
    ways = [house_id.in_(sa.select(SearchWord.ref_id).where(each)) for each in words if each is not None]
    return sa.or_(*ways) if ways else None


def _picked(text: str) -> sa.ColumnElement[bool]:
    named = houses_named(text, HOUSES.c.id)
    return HOUSE_TITLE.icontains(text, autoescape=True) if named is None else named


HOUSES_RESOURCE = Resource(
    name="houses",
    entity="house",
    label="Houses",
    label_one="House",
    section=SECTION,
    icon="building-office-2",
    model=House,
    source=HOUSES.join(CITIES, CITIES.c.id == HOUSES.c.city_id).outerjoin(
        COMPANIES, COMPANIES.c.id == HOUSES.c.company_id
    ),
    title=HOUSE_TITLE,
    view=Right.HOUSING_VIEW,
    edit=Right.HOUSING_EDIT,
    reach=reach_of_houses,
    prepare=_prepare_house,
    check=_check_house,
    picked_by=_picked,
    written=lambda connection, who, id, before, after: _house_written(connection, id, before, after),
    fields=(
        Field(
            name="street_id",
            label="Street",
            kind=Kind.REFERENCE,
            refers_to="streets",
            column=HOUSES.c.street_id,
            shown=HOUSES.c.street,
            optional=False,
            find=Find.SAME,
            listed=False,
            sortable=True,
            example=1,
        ),
        Field(
            name="number",
            label="Number",
            column=HOUSES.c.number,
            listed=False,
            optional=False,
            longest=20,
            find=Find.SAME,
            hint="with its letter or building: 5а",
            example="5",
        ),
        Field(
            name="city_id",
            label="City",
            kind=Kind.REFERENCE,
            refers_to="cities",
            column=HOUSES.c.city_id,
            shown=CITIES.c.name,
            written=False,
            find=Find.SAME,
            sortable=True,
            example=1,
        ),
        Field(
            name="company_id",
            label="Company",
            kind=Kind.REFERENCE,
            refers_to="companies",
            column=HOUSES.c.company_id,
            shown=COMPANIES.c.name,
            find=Find.SAME,
            example=1,
        ),
        Field(
            name="own_id",
            label="Own id",
            column=HOUSES.c.own_id,
            longest=64,
            find=Find.SAME,
            hint="the operator's own number of this house",
            example="H-00017",
        ),
        fias(HOUSES.c.fias, listed=False),
        Field(
            name="time_zone",
            label="Time zone",
            column=HOUSES.c.time_zone,
            clean=clean_zone,
            longest=64,
            listed=False,
            hint="empty: its city's",
            example="Asia/Yekaterinburg",
        ),
        Field(
            name="lat",
            label="Latitude",
            kind=Kind.NUMBER,
            column=HOUSES.c.lat,
            low=-90,
            high=90,
            listed=False,
            unit="°",
            example=55.1599,
        ),
        Field(
            name="lon",
            label="Longitude",
            kind=Kind.NUMBER,
            column=HOUSES.c.lon,
            low=-180,
            high=180,
            listed=False,
            unit="°",
            example=61.4026,
        ),
    ),
    links=(
        Link(
            name="entrances",
            label="Entrances",
            table=table(HouseEntrance),
            mine="house_id",
            other="entrance_id",
            to="entrances",
            fields=(PREFIX,),
            other_right=Right.HOUSING_EDIT,
            changed=ties.house_to_entrance,
        ),
    ),
)

RESOURCES = (CITIES_RESOURCE, STREETS_RESOURCE, HOUSES_RESOURCE)
