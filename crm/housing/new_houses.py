"""Making a house whole: the house, its entrances and their flats, in one transaction; more of them later; gates.

Everything goes by the desk's rights, reach and checks, and stands in the history. Times are UTC seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.desk import links as desk_links
from crm.desk.desk import Desk
from crm.desk.resource import Values
from crm.desk.values import check_value
from crm.housing.plan import DoorText, HousePlan, PlannedDoor, natural, plan
from crm.model import Entrance, EntranceFlat, Flat, HouseEntrance, table
from crm.rights import Right
from crm.sections.flats import ENTRANCES_RESOURCE
from crm.sections.housing import HOUSES_RESOURCE
from crm.who import Conflict, Forbidden, Invalid, NotFound, Who

_ENTRANCES, _DOORS = table(Entrance), table(HouseEntrance)
_FLATS, _AT = table(Flat), table(EntranceFlat)


@frozen
class Added:
    """What was made: how many entrances and flats; `called` flats that were there are called from one more entrance."""

    entrances: int
    flats: int
    called: int = 0


@frozen
class GateHouse:
    """A house that a gate serves, by its prefix at the panel ("" for none)."""

    house_id: int
    prefix: str = ""


def make_house(desk: Desk, who: Who, values: Values, doors: Sequence[DoorText]) -> int:
    """A house with its entrances and flats; its id. Raises Forbidden, Invalid (also "entrances.N"), Conflict."""
    who.need(Right.HOUSING_EDIT)
    planned = _sound(plan(doors))
    with desk.store.transaction() as connection:
        try:
            id = desk.create_in(connection, who, HOUSES_RESOURCE, values)
        except NotFound:
            raise Forbidden(
                f"{who.name} may make houses only where he may change them: choose a company or a city of his"
            ) from None
        _write(connection, who, id, planned.doors, {})
    return id


def preview(
    desk: Desk, who: Who, house_id: int | None, doors: Sequence[DoorText], *, call: bool = False
) -> HousePlan:
    """What `doors` come to in a new house (None), or one that is there, with what is wrong. Raises NotFound."""
    if house_id is None:
        return plan(doors)
    with desk.store.reading() as connection:
        desk.get_in(connection, who, HOUSES_RESOURCE, house_id)
        return plan(doors, () if call else _numbers(connection, house_id))


def add_flats(desk: Desk, who: Who, house_id: int, doors: Sequence[DoorText], *, call: bool = False) -> Added:
    """More entrances, and more flats at those that are there (by their names). With `call`, flats that the house has
    already are called from these entrances, too; without it they are an error. Raises Forbidden, NotFound, Invalid."""
    with desk.store.transaction() as connection:
        desk.get_in(connection, who, HOUSES_RESOURCE, house_id, Right.HOUSING_EDIT)
        there = _numbers(connection, house_id)
        planned = _sound(plan(doors, () if call else there))
        return _write(connection, who, house_id, planned.doors, there)


def add_gate(desk: Desk, who: Who, name: str, houses: Sequence[GateHouse], *, with_flats: bool = True) -> int:
    """An entrance of several houses, called a gate; its id. `with_flats`: all their flats are called from it.

    Raises Forbidden, NotFound, Invalid ("name", "houses", "houses.N").
    """
    errors: dict[str, str] = {}
    try:
        name = str(check_value(ENTRANCES_RESOURCE.field("name"), name))
    except ValueError as error:
        errors["name"] = str(error)
    if not houses:
        errors["houses"] = "a gate serves a house at least"
    if len({each.house_id for each in houses}) < len(houses):
        errors["houses"] = "the same house stands here twice"
    if errors:
        raise Invalid(errors)
    with desk.store.transaction() as connection:
        for n, each in enumerate(houses):
            try:
                desk.get_in(connection, who, HOUSES_RESOURCE, each.house_id, Right.HOUSING_EDIT)
            except NotFound as error:
                raise Invalid({f"houses.{n}": str(error)}) from None
        if with_flats:
            _tell_apart(connection, houses)
        id = _entrance(connection, who, name)
        for each in houses:
            _serve(connection, who, each.house_id, id, each.prefix)
        if with_flats:
            of = sa.select(_FLATS.c.id, sa.literal(id)).where(
                _FLATS.c.house_id.in_([each.house_id for each in houses])
            )
            made = connection.execute(sa.insert(_AT).from_select(["flat_id", "entrance_id"], of))
            note_change(connection, who, "entrance", id, "link flats", None, {"flats": made.rowcount})
    return id


def _sound(planned: HousePlan) -> HousePlan:
    """Raises Invalid."""
    if planned.faults:
        raise Invalid({f"entrances.{n}": str(fault) for n, fault in planned.faults.items()})
    return planned


def _numbers(connection: sa.Connection, house_id: int) -> dict[str, int]:
    """The ids of a house's flats by their numbers."""
    query = sa.select(_FLATS.c.number, _FLATS.c.id).where(_FLATS.c.house_id == house_id)
    return {number: id for number, id in connection.execute(query)}


def _write(
    connection: sa.Connection,
    who: Who,
    house_id: int,
    doors: Sequence[PlannedDoor],
    there: Mapping[str, int],
) -> Added:
    known = {
        name.lower(): id
        for name, id in connection.execute(
            sa.select(_ENTRANCES.c.name, _ENTRANCES.c.id)
            .join(_DOORS, _DOORS.c.entrance_id == _ENTRANCES.c.id)
            .where(_DOORS.c.house_id == house_id)
            .order_by(_ENTRANCES.c.id.desc())
        )
    }
    ids: list[int] = []
    made = 0
    for door in doors:
        id = known.get(door.name.lower())
        if id is None:
            made += 1
            id = _entrance(connection, who, door.name)
            _serve(connection, who, house_id, id, "")
        ids.append(id)
    old = {number.lower(): id for number, id in there.items()}
    new = [flat for door in doors for flat in door.flats if flat.number.lower() not in old]
    new.sort(key=lambda flat: natural(flat.number))
    if new:
        rows = [
            {"house_id": house_id, "number": each.number, "floor": each.floor, "contract": "", "code": ""}
            for each in new
        ]
        _insert(connection, _FLATS, rows)
    by_number = {number.lower(): id for number, id in _numbers(connection, house_id).items()}
    for each in new:
        after = {"house_id": house_id, "number": each.number, "floor": each.floor}
        note_change(connection, who, "flat", by_number[each.number.lower()], "create", None, after)
    return Added(made, len(new), _call(connection, who, doors, ids, by_number, old))


def _call(
    connection: sa.Connection,
    who: Who,
    doors: Sequence[PlannedDoor],
    ids: Sequence[int],
    flats: Mapping[str, int],
    old: Mapping[str, int],
) -> int:
    """Have the flats called from their entrances; how many of those that were there before."""
    called = 0
    for door, entrance_id in zip(doors, ids, strict=True):
        have = set(connection.scalars(sa.select(_AT.c.flat_id).where(_AT.c.entrance_id == entrance_id)).all())
        missing = [each for each in door.flats if flats[each.number.lower()] not in have]
        if missing:
            rows = [{"flat_id": flats[each.number.lower()], "entrance_id": entrance_id} for each in missing]
            _insert(connection, _AT, rows)
            after = {"flats": len(missing), "numbers": door.typed}
            note_change(connection, who, "entrance", entrance_id, "link flats", None, after)
        called += sum(each.number.lower() in old for each in missing)
    return called


def _entrance(connection: sa.Connection, who: Who, name: str) -> int:
    made = connection.execute(sa.insert(_ENTRANCES).values(name=name))
    assert made.inserted_primary_key is not None
    id = int(made.inserted_primary_key[0])
    note_change(connection, who, "entrance", id, "create", None, {"name": name})
    return id


def _serve(connection: sa.Connection, who: Who, house_id: int, entrance_id: int, prefix: str) -> None:
    link = HOUSES_RESOURCE.link("entrances")
    desk_links.put(connection, who, HOUSES_RESOURCE, link, house_id, entrance_id, {"prefix": prefix})


def _tell_apart(connection: sa.Connection, houses: Sequence[GateHouse]) -> None:
    """At one panel a number must mean one flat. Raises Invalid."""
    by_prefix: dict[str, list[int]] = {}
    for each in houses:
        by_prefix.setdefault(each.prefix, []).append(each.house_id)
    for ids in by_prefix.values():
        if len(ids) < 2:
            continue
        query = sa.select(_FLATS.c.number).where(_FLATS.c.house_id.in_(ids))
        twice = query.group_by(_FLATS.c.number).having(sa.func.count() > 1).limit(1)
        number = connection.scalar(twice)
        if number is not None:
            place = next(n for n, each in enumerate(houses) if each.house_id == ids[1])
            raise Invalid(
                {
                    f"houses.{place}": f"flat {number} is in two of these houses: give each house a prefix of its own"
                }
            )


def _insert(connection: sa.Connection, into: sa.Table, rows: list[dict[str, Any]]) -> None:
    try:
        connection.execute(sa.insert(into), rows)
    except sa.exc.IntegrityError as error:
        raise Conflict("somebody has just made one of these: look, and try again") from error
