"""Which panel serves which entrances of a house, and by which numbers it calls the flats there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.companies.code_panels import sync_codes
from crm.desk.desk import Desk
from crm.desk.links import put, take
from crm.housing.plan import NUMBER_LENGTH, natural, read_numbers
from crm.keys.panels import sync_panels
from crm.model import (
    Dialling,
    Domophone,
    DomophoneEntrance,
    Entrance,
    EntranceFlat,
    Flat,
    House,
    HouseEntrance,
    Vendor,
    table,
)
from crm.rights import EVERYWHERE, Reach, Right
from crm.sections.flats import ENTRANCES_RESOURCE
from crm.sections.housing import HOUSES_RESOURCE
from crm.who import Invalid, NotFound, Who

_FLATS, _AT, _DOORS = table(Flat), table(EntranceFlat), table(HouseEntrance)


class Numbering(Enum):
    """Which number a panel has for a flat."""

    OWN = "own"  # the flat's
    COUNTED = "counted"  # counted from a number, in the order of the flats
    ADDED = "added"  # the flat's number and a number added


@frozen
class PanelAt:
    """A panel at an entrance."""

    id: int
    sip_user: str
    mac: str
    vendor: Vendor
    model: str
    dialling: Dialling
    active: bool


@frozen
class Door:
    """An entrance of a house. `prefix` is the house's at the panel, `others` the other houses that it serves (id, name),
    those that who asks may see; with any other one it `is_gate`;
    `flats` of the house are called from it, `renumbered` of them by another number than their own, `example` one of
    those (flat, number at the panel)."""

    id: int
    name: str
    prefix: str
    others: tuple[tuple[int, str], ...]
    panels: tuple[PanelAt, ...]
    flats: int
    renumbered: int
    example: tuple[str, str] | None
    is_gate: bool


def doors_of(connection: sa.Connection, house_id: int, seen: Reach = EVERYWHERE) -> tuple[Door, ...]:
    """The entrances of a house, its own before gates, in the order of people; of others' houses those `seen`."""
    mine = sa.select(_DOORS.c.entrance_id).where(_DOORS.c.house_id == house_id)
    names = {
        id: (name, prefix)
        for id, name, prefix in connection.execute(
            sa.select(Entrance.id, Entrance.name, HouseEntrance.prefix)
            .join(HouseEntrance, HouseEntrance.entrance_id == Entrance.id)
            .where(HouseEntrance.house_id == house_id)
        )
    }
    others: dict[int, list[tuple[int, str]]] = {}
    within = seen.of_houses().label("within")
    gates = (
        sa.select(HouseEntrance.entrance_id, House.id, House.street + " " + House.number, within)
        .join(House, House.id == HouseEntrance.house_id)
        .where(HouseEntrance.entrance_id.in_(mine), HouseEntrance.house_id != house_id)
        .order_by(House.id)
    )
    for door, id, title, shown in connection.execute(gates):
        others.setdefault(door, []).extend([(id, title)] if shown else [])
    panels: dict[int, list[PanelAt]] = {}
    served = (
        sa.select(DomophoneEntrance.entrance_id, table(Domophone))
        .join(Domophone, Domophone.id == DomophoneEntrance.domophone_id)
        .where(DomophoneEntrance.entrance_id.in_(mine))
        .order_by(Domophone.id)
    )
    for row in connection.execute(served):
        panel = PanelAt(
            *(row.id, row.sip_user, row.mac, row.vendor, row.model, row.dialling, row.active),
        )
        panels.setdefault(row.entrance_id, []).append(panel)
    flats: dict[int, list[tuple[str, str | None]]] = {}
    called = (
        sa.select(_AT.c.entrance_id, _FLATS.c.number, _AT.c.panel_number)
        .join(_FLATS, _FLATS.c.id == _AT.c.flat_id)
        .where(_FLATS.c.house_id == house_id)
    )
    for door, number, at_panel in connection.execute(called):
        flats.setdefault(door, []).append((number, at_panel))
    found = []
    for id, (name, prefix) in names.items():
        here = flats.get(id, [])
        differing = sorted(
            ((own, shown) for own, shown in here if shown is not None and shown != own),
            key=lambda each: natural(each[0]),
        )
        example = differing[0] if differing else None
        also = tuple(others.get(id, ()))
        at = tuple(panels.get(id, ()))
        found.append(Door(id, name, prefix, also, at, len(here), len(differing), example, id in others))
    return tuple(sorted(found, key=lambda door: (door.is_gate, natural(door.name), door.id)))


def link_panel(desk: Desk, who: Who, entrance_id: int, domophone_id: int, now: float) -> None:
    """A panel serves an entrance from now on. Raises Forbidden, NotFound."""
    with desk.store.transaction() as connection:
        desk.get_in(connection, who, ENTRANCES_RESOURCE, entrance_id, Right.HOUSING_EDIT)
        panels = desk.resource("domophones") if "domophones" in desk.resources else None
        if panels is not None:
            desk.get_in(connection, who, panels, domophone_id, Right.DEVICES_EDIT)
        elif connection.scalar(sa.select(Domophone.id).where(Domophone.id == domophone_id)) is None:
            raise NotFound(f"there is no panel {domophone_id}")
        link = ENTRANCES_RESOURCE.link("domophones")
        put(connection, who, ENTRANCES_RESOURCE, link, entrance_id, domophone_id, {})
        sync_panels(connection, [domophone_id], now)
        sync_codes(connection, now, panels=[domophone_id])


def unlink_panel(desk: Desk, who: Who, entrance_id: int, domophone_id: int, now: float) -> None:
    """It serves it no more. Raises Forbidden, NotFound."""
    with desk.store.transaction() as connection:
        desk.get_in(connection, who, ENTRANCES_RESOURCE, entrance_id, Right.HOUSING_EDIT)
        link = ENTRANCES_RESOURCE.link("domophones")
        take(connection, who, ENTRANCES_RESOURCE, link, entrance_id, domophone_id)
        sync_panels(connection, [domophone_id], now)
        sync_codes(connection, now, panels=[domophone_id])


def renumber(
    desk: Desk, who: Who, house_id: int, entrance_id: int, flats: str, how: Numbering, number: int = 0
) -> int:
    """Set the numbers by which panels at an entrance call flats of a house; `flats` are ranges, "" for all that are
    called from it. How many they were. Raises Forbidden, NotFound, Invalid ("flats", "number")."""
    with desk.store.transaction() as connection:
        desk.get_in(connection, who, HOUSES_RESOURCE, house_id, Right.HOUSING_EDIT)
        serves = sa.select(_DOORS.c.house_id).where(_DOORS.c.entrance_id == entrance_id)
        if house_id not in connection.scalars(serves).all():
            raise NotFound(f"house {house_id} has no entrance {entrance_id}")
        here = connection.execute(
            sa.select(_FLATS.c.id, _FLATS.c.number, _FLATS.c.house_id, _AT.c.panel_number)
            .join(_AT, _AT.c.flat_id == _FLATS.c.id)
            .where(_AT.c.entrance_id == entrance_id)
        ).all()
        mine = {row.number.lower(): row for row in here if row.house_id == house_id}
        chosen = _chosen(mine, flats)
        wanted = numbers(chosen, how, number)
        now = {row.id: row.panel_number for row in here}
        was = dict(now)
        for each, at_panel in zip(chosen, wanted, strict=True):
            now[mine[each].id] = at_panel
        _check_numbers([(row.number, row.house_id, now[row.id]) for row in here], house_id)
        changed = [id for id in now if now[id] != was[id]]
        for id in changed:
            row = sa.and_(_AT.c.flat_id == id, _AT.c.entrance_id == entrance_id)
            connection.execute(sa.update(_AT).where(row).values(panel_number=now[id]))
            before = {"entrance_id": entrance_id, "panel_number": was[id]}
            after = {"entrance_id": entrance_id, "panel_number": now[id]}
            note_change(connection, who, "flat", id, "link entrances", before, after)
    return len(chosen)


def numbers(flats: Sequence[str], how: Numbering, number: int) -> list[str | None]:
    """The number of each flat at the panel, None: its own. Raises Invalid ("number", "flats")."""
    found: list[str | None] = []
    for n, flat in enumerate(flats):
        match how:
            case Numbering.OWN:
                found.append(None)
                continue
            case Numbering.COUNTED:
                value = number + n
            case Numbering.ADDED:
                if not flat.isdecimal():
                    raise Invalid({"flats": f"to flat {flat} nothing can be added: it is no whole number"})
                value = int(flat) + number
        if value < 1 or len(str(value)) > NUMBER_LENGTH:
            raise Invalid({"number": f"flat {flat} would have the number {value}: 1 or more is expected"})
        found.append(None if str(value) == flat else str(value))
    return found


def _chosen(there: Iterable[str], flats: str) -> list[str]:
    known = sorted(there, key=natural)
    if not flats.strip():
        return list(known)
    try:
        wanted = [each.lower() for each in read_numbers(flats)]
    except ValueError as error:
        raise Invalid({"flats": str(error)}) from None
    missing = [each for each in wanted if each not in known]
    if missing:
        raise Invalid({"flats": f"flat {missing[0]} is not called from this entrance"})
    return wanted


def _check_numbers(flats: Sequence[tuple[str, int, str | None]], house_id: int) -> None:
    """No number at an entrance may mean two flats of a house. Raises Invalid."""
    mine = [(number, at_panel) for number, house, at_panel in flats if house == house_id]
    by_panel: dict[str, str] = {}
    for number, at_panel in mine:
        if at_panel is not None and at_panel in by_panel:
            both = f"flats {by_panel[at_panel]} and {number}"
            raise Invalid({"number": f"{both} would have the same number {at_panel} at the panel"})
        if at_panel is not None:
            by_panel[at_panel] = number
    for number, at_panel in mine:
        if at_panel is None and number in by_panel:
            raise Invalid(
                {
                    "number": f"flat {by_panel[number]} would have the number of flat {number}, which has none of its own"
                }
            )
