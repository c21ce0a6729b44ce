"""The housing stock: entrances and gates, flats."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from attrs import evolve

from crm.companies.debts import settle
from crm.desk.resource import Field, Find, Kind, Link, Resource, Row, Values
from crm.model import DomophoneEntrance, Entrance, EntranceFlat, Flat, HouseEntrance, table
from crm.rights import EVERYWHERE, Reach, Right
from crm.search.text import readings
from crm.sections import ties
from crm.sections.housing import PREFIX, SECTION, houses_named
from crm.sections.shared import (
    CITIES,
    FLAT_TITLE,
    FLATS,
    FLATS_IN_HOUSES,
    HOUSE_TITLE,
    HOUSES,
    reach_by_entrance,
    reach_of_houses,
    read_id,
    with_field,
)
from crm.who import Conflict, Who

ENTRANCES = table(Entrance)
# "2" before "10": by the digits at the beginning, filled up with zeros; what begins with none is the last.
_DIGITS = sa.func.length(FLATS.c.number) - sa.func.length(sa.func.ltrim(FLATS.c.number, "0123456789"))
_FILLED = sa.func.substr("0" * 20, 1 + _DIGITS, type_=sa.String)
IN_ORDER = sa.case((_DIGITS == 0, "9" * 20), else_=_FILLED) + FLATS.c.number
_SERVES = table(HouseEntrance)


def _first_house(what: sa.ColumnElement[Any], seen: Reach = EVERYWHERE) -> Any:
    """Of the house that an entrance serves; of a gate between several, of the first that is `seen`."""
    serves = _SERVES.join(HOUSES, HOUSES.c.id == _SERVES.c.house_id).join(
        CITIES, CITIES.c.id == HOUSES.c.city_id
    )
    mine = (
        sa.select(what).select_from(serves).where(_SERVES.c.entrance_id == ENTRANCES.c.id, seen.of_houses())
    )
    return mine.order_by(HOUSES.c.id).limit(1).correlate(ENTRANCES).scalar_subquery()


def _serves(houses: sa.ColumnElement[bool], seen: Reach = EVERYWHERE) -> sa.ColumnElement[bool]:
    served = sa.select(_SERVES.c.entrance_id).where(houses)
    if not seen.everywhere:
        served = served.join(HOUSES, HOUSES.c.id == _SERVES.c.house_id).where(seen.of_houses())
    return ENTRANCES.c.id.in_(served)


def _picked_entrance(text: str, seen: Reach = EVERYWHERE) -> sa.ColumnElement[bool]:
    """By a house and a name ("Ленина 5, ворота"), or by one of them; of houses by those that are `seen`."""
    address, comma, name = text.rpartition(",")
    named = houses_named(address, _SERVES.c.house_id) if comma and name.strip() else None
    if named is not None:
        return sa.and_(_serves(named, seen), ENTRANCES.c.name.icontains(name.strip(), autoescape=True))
    named = houses_named(text, _SERVES.c.house_id)
    begins = ENTRANCES.c.name.startswith(text, autoescape=True)
    return begins if named is None else sa.or_(_serves(named, seen), begins)


def _entrance_title(seen: Reach = EVERYWHERE) -> sa.ColumnElement[str]:
    return sa.func.coalesce(_first_house(HOUSE_TITLE, seen) + ", ", "") + ENTRANCES.c.name


def _house_of_entrance(seen: Reach = EVERYWHERE) -> Field:
    return Field(
        name="house_id",
        label="House",
        kind=Kind.REFERENCE,
        refers_to="houses",
        column=_first_house(HOUSES.c.id, seen),
        shown=_first_house(HOUSE_TITLE, seen),
        written=False,
        find=Find.SAME,
        where=lambda text: _serves(_SERVES.c.house_id == read_id(text), seen),
        hint="of a gate between several the first",
        example=1,
    )


@lru_cache(64)
def _entrances_seen(seen: Reach) -> Resource:
    """As somebody sees them who sees some houses only: a gate stands at the first of his."""
    return evolve(
        with_field(ENTRANCES_RESOURCE, _house_of_entrance(seen)),
        title=_entrance_title(seen),
        picked_by=lambda text: _picked_entrance(text, seen),
    )


def _entrance_written(connection: sa.Connection, id: int, before: Row | None, after: Row | None) -> None:
    """What stands at an entrance does not lose it by the way: crm.housing.removal does that."""
    if after is not None:
        return
    for of in (table(EntranceFlat), table(DomophoneEntrance)):
        if connection.scalar(sa.select(sa.literal(1)).select_from(of).where(of.c.entrance_id == id).limit(1)):
            raise Conflict(
                "flats are called from this entrance, or a panel stands at it: delete it with its ties, or take these off"
            )


ENTRANCES_RESOURCE = Resource(
    name="entrances",
    entity="entrance",
    label="Entrances and gates",
    label_one="Entrance",
    section=SECTION,
    icon="arrow-right-end-on-rectangle",
    model=Entrance,
    source=ENTRANCES,
    title=_entrance_title(),
    view=Right.HOUSING_VIEW,
    edit=Right.HOUSING_EDIT,
    reach=reach_by_entrance(ENTRANCES.c.id),
    seen=lambda seen: _entrances_seen(seen),
    picked_by=_picked_entrance,
    creates=False,  # an entrance without a house is nobody's: it is made from its house
    written=lambda connection, who, id, before, after: _entrance_written(connection, id, before, after),
    fields=(
        Field(
            name="name",
            label="Name",
            column=ENTRANCES.c.name,
            optional=False,
            longest=64,
            find=Find.BEGINS,
            hint="as it is shown: п. 2",
            listed=False,
            example="п. 2",
        ),
        _house_of_entrance(),
    ),
    links=(
        Link(
            name="houses",
            label="Houses",
            table=table(HouseEntrance),
            mine="entrance_id",
            other="house_id",
            to="houses",
            fields=(PREFIX,),
            other_right=Right.HOUSING_EDIT,
            changed=ties.entrance_to_house,
        ),
        Link(
            name="domophones",
            label="Panels",
            table=table(DomophoneEntrance),
            mine="entrance_id",
            other="domophone_id",
            to="domophones",
            other_right=Right.DEVICES_EDIT,
            changed=ties.entrance_to_panel,
        ),
        Link(
            name="flats",
            label="Flats",
            table=table(EntranceFlat),
            mine="entrance_id",
            other="flat_id",
            to="flats",
            other_right=Right.HOUSING_EDIT,
            changed=ties.entrance_to_flat,
            fields=(
                Field(
                    name="panel_number",
                    label="Number at the panel",
                    column=table(EntranceFlat).c.panel_number,
                    longest=20,
                    hint="where it differs from the flat's",
                    example="112012",
                ),
                Field(
                    name="line_level",
                    label="Line level",
                    kind=Kind.NUMBER,
                    column=table(EntranceFlat).c.line_level,
                    low=-1e6,
                    high=1e6,
                    example=312.0,
                ),
            ),
        ),
    ),
)


def _check_flat(connection: sa.Connection, who: Who, id: int | None, values: Values) -> dict[str, str]:
    same = sa.select(FLATS.c.id).where(
        FLATS.c.house_id == values["house_id"], FLATS.c.number == values["number"], FLATS.c.id != (id or 0)
    )
    if connection.scalar(same) is not None:
        return {"number": "this house has a flat with this number already"}
    return {}


def _picked(text: str) -> sa.ColumnElement[bool]:
    """By the address of its house, and its number if that was typed: "Ленина 5, 42"."""
    address, comma, number = text.rpartition(",")
    if comma and number.strip():
        named = houses_named(address, FLATS.c.house_id)
        bare = number.strip().removeprefix("кв.").removeprefix("кв").strip()
        if named is not None:
            return sa.and_(named, FLATS.c.number == bare)
    flats = [each.flat for each in readings(text) if each.flat]
    named = houses_named(text, FLATS.c.house_id)
    if named is None:
        return FLATS.c.contract == text
    return sa.and_(named, FLATS.c.number.in_(flats)) if flats else named


def _flat_written(connection: sa.Connection, id: int, before: Row | None, after: Row | None) -> None:
    """Another contract has other debts."""
    was = before.values["contract"] if before is not None else ""
    if after is not None and after.values["contract"] != was:
        settle(connection, [id], time.time())


FLATS_RESOURCE = Resource(
    name="flats",
    entity="flat",
    label="Flats",
    label_one="Flat",
    section=SECTION,
    icon="home",
    model=Flat,
    source=FLATS_IN_HOUSES,
    title=FLAT_TITLE,
    view=Right.HOUSING_VIEW,
    edit=Right.HOUSING_EDIT,
    reach=reach_of_houses,
    check=_check_flat,
    written=lambda connection, who, id, before, after: _flat_written(connection, id, before, after),
    picked_by=_picked,
    order_of={"house_id": ("number",)},
    fields=(
        Field(
            name="house_id",
            label="House",
            kind=Kind.REFERENCE,
            refers_to="houses",
            column=FLATS.c.house_id,
            shown=HOUSE_TITLE,
            optional=False,
            once=True,
            find=Find.SAME,
            example=1,
        ),
        Field(
            name="number",
            label="Number",
            column=FLATS.c.number,
            orders=IN_ORDER,
            optional=False,
            longest=20,
            find=Find.SAME,
            example="42",
        ),
        Field(
            name="floor", label="Floor", kind=Kind.INTEGER, column=FLATS.c.floor, low=-10, high=200, example=4
        ),
        Field(
            name="contract",
            label="Contract",
            column=FLATS.c.contract,
            default="",
            longest=64,
            find=Find.SAME,
            example="74-001234",
        ),
        Field(
            name="code",
            label="Code of its own",
            column=FLATS.c.code,
            default="",
            longest=16,
            pattern=r"(\d{4,16})?",
            hint="4 to 16 digits, or nothing",
            listed=False,
            example="40815",
        ),
        Field(
            name="auto_open_until",
            label="Door opens by itself until",
            kind=Kind.TIME,
            column=FLATS.c.auto_open_until,
            listed=False,
            example=1795600000.0,
        ),
    ),
    links=(
        Link(
            name="entrances",
            label="Called from",
            table=table(EntranceFlat),
            mine="flat_id",
            other="entrance_id",
            to="entrances",
            fields=ENTRANCES_RESOURCE.link("flats").fields,
            other_right=Right.HOUSING_EDIT,
            changed=ties.flat_to_entrance,
        ),
    ),
)

RESOURCES = (ENTRANCES_RESOURCE, FLATS_RESOURCE)
