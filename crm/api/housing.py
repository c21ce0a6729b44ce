"""Houses: what the API does beside what all records have: houses made whole, ranges of flats, gates, panels, the grid."""

from __future__ import annotations

from typing import Any

from litestar import Response, delete, get, post
from litestar.params import JSONBody

from crm.api import shapes
from crm.api.guard import Asked
from crm.api.housing_types import (
    AddedFlats,
    DoorInGrid,
    FlatInGrid,
    Grid,
    HouseDoor,
    Made,
    NewEntrance,
    NewFlats,
    NewGate,
    NewNumbers,
    PanelAtDoor,
    Renumbered,
    Ringing,
    WholeHouse,
)
from crm.api.once import once
from crm.api.problems import problems
from crm.api.records import PATH_ID
from crm.housing.doors import Numbering, doors_of, renumber
from crm.housing.grid import GridFlat, grid_of
from crm.housing.new_houses import GateHouse, add_flats, add_gate, make_house
from crm.housing.plan import DoorText
from crm.housing.removal import delete_entrance, delete_house
from crm.housing.ring import ring_flat
from crm.rights import Right
from crm.sections.housing import HOUSES_RESOURCE
from crm.site import site_of

HOUSES, FLATS, ENTRANCES = "Houses", "Flats", "Entrances and gates"


@post(
    "/houses/whole",
    sync_to_thread=True,
    summary="Houses: make one with its entrances and flats",
    operation_id="create_house_whole",
    tags=[HOUSES],
    responses=problems(404, 409, 422),
)
def create_whole(request: Asked, data: JSONBody[WholeHouse]) -> Response[shapes.record_type(HOUSES_RESOURCE)]:  # type: ignore[valid-type]
    """All of it, or nothing. What is wrong with the entrance at place N (from 0) is in the error `entrances.N`."""
    desk = site_of(request).desk

    def make() -> Any:
        values = shapes.read_values(HOUSES_RESOURCE.fields, data)
        id = make_house(desk, request.user, values, _doors(data.entrances))
        return shapes.as_record(HOUSES_RESOURCE, desk.get(request.user, HOUSES_RESOURCE, id))

    return once(request, data, make)


@post(
    "/houses/{id:int}/flats",
    sync_to_thread=True,
    summary="Houses: more entrances and ranges of flats",
    operation_id="create_flats_of_house",
    tags=[HOUSES],
    responses=problems(404, 409, 422),
)
def create_flats(request: Asked, id: PATH_ID, data: JSONBody[NewFlats]) -> Response[AddedFlats]:
    """All of them, or none."""

    def make() -> AddedFlats:
        doors = _doors(data.entrances)
        added = add_flats(site_of(request).desk, request.user, id, doors, call=data.call)
        return AddedFlats(entrances=added.entrances, flats=added.flats, called=added.called)

    return once(request, data, make)


@post(
    "/gates",
    sync_to_thread=True,
    summary="Entrances and gates: make a gate of several houses",
    operation_id="create_gate",
    tags=[ENTRANCES],
    responses=problems(404, 409, 422),
)
def create_gate(request: Asked, data: JSONBody[NewGate]) -> Response[Made]:
    """With the prefix of each house at its panel."""

    def make() -> Made:
        houses = [GateHouse(each.house_id, each.prefix) for each in data.houses]
        desk = site_of(request).desk
        return Made(id=add_gate(desk, request.user, data.name, houses, with_flats=data.with_flats))

    return once(request, data, make)


@get(
    "/houses/{id:int}/doors",
    sync_to_thread=True,
    summary="Houses: which panel stands at which entrance, and how it calls",
    operation_id="list_doors_of_house",
    tags=[HOUSES],
    responses=problems(404),
)
def list_doors(request: Asked, id: PATH_ID) -> list[HouseDoor]:
    site, who = site_of(request), request.user
    site.desk.get(who, HOUSES_RESOURCE, id)
    with site.store.reading() as connection:
        doors = doors_of(connection, id, request.user.rights.reach(Right.HOUSING_VIEW))
    sees = site.desk.reaches(who, HOUSES_RESOURCE, id, Right.DEVICES_VIEW)
    return [
        HouseDoor(
            id=door.id,
            name=door.name,
            prefix=door.prefix,
            houses=[other for other, _ in door.others],
            flats=door.flats,
            renumbered=door.renumbered,
            panels=[
                PanelAtDoor(
                    id=panel.id,
                    sip_user=panel.sip_user,
                    vendor=panel.vendor.value,
                    model=panel.model,
                    dialling=panel.dialling.value,
                    active=panel.active,
                )
                for panel in door.panels
            ]
            if sees
            else None,
        )
        for door in doors
    ]


@post(
    "/houses/{id:int}/numbers",
    sync_to_thread=True,
    status_code=200,
    summary="Houses: set flats' numbers at the panels of an entrance",
    operation_id="set_numbers_of_house",
    tags=[HOUSES],
    responses=problems(404, 409, 422),
)
def set_numbers(request: Asked, id: PATH_ID, data: JSONBody[NewNumbers]) -> Renumbered:
    desk = site_of(request).desk
    how = Numbering(data.how)
    done = renumber(desk, request.user, id, data.entrance_id, data.flats, how, data.number)
    return Renumbered(flats=done)


@get(
    "/houses/{id:int}/grid",
    sync_to_thread=True,
    summary="Houses: all flats with the state of each",
    operation_id="read_grid_of_house",
    tags=[HOUSES],
    responses=problems(404),
)
def read_grid(request: Asked, id: PATH_ID) -> Grid:
    """Flats are in the order of people: 2 before 10."""
    site = site_of(request)
    site.desk.get(request.user, HOUSES_RESOURCE, id)
    with site.store.reading() as connection:
        grid = grid_of(connection, request.user, id, site.now())
    return Grid(
        entrances=[DoorInGrid(id=door.id, name=door.name) for door in grid.doors],
        floors=list(grid.floors),
        flats=[_in_grid(flat) for flat in grid.flats],
    )


@post(
    "/flats/{id:int}/ring",
    sync_to_thread=True,
    status_code=202,
    summary="Flats: ring its phones now, as a test",
    operation_id="ring_flat",
    tags=[FLATS],
    responses=problems(404, 409),
)
def ring(request: Asked, id: PATH_ID) -> Response[Ringing]:
    """The phones ring as for a visitor; the first to answer hears a prompt. 409: no node is ready."""

    def make() -> Ringing:
        return Ringing(call_id=ring_flat(site_of(request), request.user, id))

    return once(request, {}, make, status=202)


@delete(
    "/houses/{id:int}/whole",
    sync_to_thread=True,
    summary="Houses: delete one with its flats and entrances",
    operation_id="delete_house_whole",
    tags=[HOUSES],
    responses=problems(404),
)
def delete_whole_house(request: Asked, id: PATH_ID) -> None:
    """Entrances that serve other houses stay; so do people, accounts, panels and the history of calls."""
    site = site_of(request)
    delete_house(site.desk, request.user, id, site.now())


@delete(
    "/entrances/{id:int}/whole",
    sync_to_thread=True,
    summary="Entrances and gates: delete one with its ties",
    operation_id="delete_entrance_whole",
    tags=[ENTRANCES],
    responses=problems(404),
)
def delete_whole_entrance(request: Asked, id: PATH_ID) -> None:
    """Flats that are called from it, and panels that stand there, stay without it."""
    site = site_of(request)
    delete_entrance(site.desk, request.user, id, site.now())


def _doors(entrances: list[NewEntrance]) -> list[DoorText]:
    return [DoorText(each.name, each.flats, each.floors, each.per_floor) for each in entrances]


def _in_grid(flat: GridFlat) -> FlatInGrid:
    phones, handset, call = flat.phones, flat.handset, flat.call
    outcome = call.outcome if call is not None else None
    return FlatInGrid(
        id=flat.id,
        number=flat.number,
        floor=flat.floor,
        entrances=list(flat.doors),
        state=flat.state.value,
        blocks=list(flat.blocks),
        auto_open=flat.auto_open,
        accounts=phones.accounts if phones is not None else None,
        accounts_ringing=phones.ringing if phones is not None else None,
        phones=phones.phones if phones is not None else None,
        phones_woken=phones.woken if phones is not None else None,
        handset=handset.verdict if handset is not None else None,
        handset_at=shapes.moment(handset.at) if handset is not None else None,
        last_call=call.id if call is not None else None,
        last_call_at=shapes.moment(call.at) if call is not None else None,
        last_call_outcome=outcome.value if outcome is not None else None,
    )


REQUESTS: list[Any] = [
    *(create_whole, create_flats, create_gate, list_doors, set_numbers),
    *(read_grid, ring, delete_whole_house, delete_whole_entrance),
]
