"""A house made whole in one form, with a preview while typing; and more entrances and flats for one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from attrs import frozen
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.desk.resource import Row
from crm.housing.doors import doors_of
from crm.housing.new_houses import add_flats, make_house, preview
from crm.housing.plan import DoorText, HousePlan, PlannedDoor, PlannedFlat, plan, read_doors
from crm.rights import Right
from crm.sections.housing import HOUSES_RESOURCE
from crm.site import Site, site_of
from crm.web.forms import read_form
from crm.web.page import Asked, render
from crm.web.record_pages import Form, default_text
from crm.who import Conflict, Forbidden, Invalid

_FIELDS = [each for each in HOUSES_RESOURCE.fields if each.written]


@frozen
class Plan:
    """What a preview shows: `known` are entrances that the house has already."""

    plan: HousePlan
    known: frozenset[str]

    @property
    def floors(self) -> list[int | None]:
        """From the top; None: not told."""
        told = {flat.floor for door in self.plan.doors for flat in door.flats}
        floors: list[int | None] = [*sorted((each for each in told if each is not None), reverse=True)]
        return [*floors, None] if None in told else floors

    def at(self, door: PlannedDoor, floor: int | None) -> list[PlannedFlat]:
        return [flat for flat in door.flats if flat.floor == floor]


@get("/houses/new", sync_to_thread=True)
def new_house_page(request: Asked) -> Response[str]:
    request.user.who.need(Right.HOUSING_EDIT)
    texts = {each.name: default_text(each) for each in _FIELDS} | dict(request.query_params)
    return _new_form(request, texts, {})


@post("/houses/new", sync_to_thread=True, status_code=200)
def new_house(request: Asked, data: Form) -> Response[Any]:
    site = site_of(request)
    request.user.who.need(Right.HOUSING_EDIT)
    texts = _texts(data)
    try:
        values = read_form(_FIELDS, data, ZoneInfo(site.config.time_zone))
        doors = _doors(texts)
        id = make_house(site.desk, request.user.who, values, doors)
    except (Invalid, Conflict, Forbidden) as error:
        return _new_form(request, texts, _errors(error))
    return Redirect(f"/houses/{id}", status_code=303)


@post("/houses/preview", sync_to_thread=True, status_code=200)
def preview_part(request: Asked, data: Form) -> Response[str]:
    """What was typed so far comes to."""
    request.user.who.need(Right.HOUSING_EDIT)
    texts = _texts(data)
    house = texts.get("house_id", "")
    id = int(house) if house.isdecimal() and len(house) < 10 else None
    return render(request, "plan.html", planned=_planned(site_of(request), request, id, texts))


@get("/house/{id:int}/add", sync_to_thread=True)
def add_page(request: Asked, id: FromPath[int]) -> Response[str]:
    row = _editable(request, id)
    return _add_form(request, row, dict(request.query_params), {})


@post("/house/{id:int}/add", sync_to_thread=True, status_code=200)
def add(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    row = _editable(request, id)
    texts = _texts(data)
    try:
        call = texts.get("call") == "yes"
        if not texts.get("entrances", "").strip():
            raise Invalid({"entrances": "this is needed"})
        add_flats(site_of(request).desk, request.user.who, id, _doors(texts), call=call)
    except (Invalid, Conflict) as error:
        return _add_form(request, row, texts, _errors(error))
    return Redirect(f"/houses/{id}", status_code=303)


def _new_form(request: Asked, texts: Mapping[str, str], errors: Mapping[str, str]) -> Response[str]:
    names = {each.name for each in _FIELDS}
    return render(
        request,
        "new_house.html",
        status=422 if errors else 200,
        fields=_FIELDS,
        texts=texts,
        errors=errors,
        errors_beside=_beside(errors, names | {"per_floor"}),
        planned=_planned(site_of(request), request, None, texts),
    )


def _add_form(request: Asked, row: Row, texts: Mapping[str, str], errors: Mapping[str, str]) -> Response[str]:
    site = site_of(request)
    with site.store.reading() as connection:
        there = doors_of(connection, row.id, request.user.who.rights.reach(Right.HOUSING_VIEW))
    return render(
        request,
        "add_flats.html",
        status=422 if errors else 200,
        row=row,
        there=there,
        texts=texts,
        errors=errors,
        errors_beside=_beside(errors, {"per_floor", "entrances"}),
        planned=_planned(site, request, row.id, texts),
    )


def _beside(errors: Mapping[str, str], fields: set[str]) -> dict[str, str]:
    """Those that stand at no field: what is wrong with a range is said in the preview."""
    return {
        name: why for name, why in errors.items() if name not in fields and not name.startswith("entrances.")
    }


def _planned(site: Site, request: Asked, house_id: int | None, texts: Mapping[str, str]) -> Plan:
    try:
        doors = _doors(texts)
    except Invalid:
        doors = []
    if house_id is None:
        return Plan(plan(doors), frozenset())
    call = texts.get("call") == "yes"
    planned = preview(site.desk, request.user.who, house_id, doors, call=call)
    with site.store.reading() as connection:
        known = frozenset(door.name.lower() for door in doors_of(connection, house_id))
    return Plan(planned, known)


def _doors(texts: Mapping[str, str]) -> list[DoorText]:
    """Raises Invalid."""
    per_floor = texts.get("per_floor", "").strip()
    if per_floor and not (per_floor.isdecimal() and 0 < int(per_floor[:4]) <= 100):
        raise Invalid({"per_floor": "a number from 1 to 100 is expected"})
    floors = texts.get("floors", "")
    return read_doors(texts.get("entrances", ""), floors, int(per_floor) if per_floor else None)


def _editable(request: Asked, id: int) -> Row:
    site = site_of(request)
    with site.store.reading() as connection:
        return site.desk.get_in(connection, request.user.who, HOUSES_RESOURCE, id, Right.HOUSING_EDIT)


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(each[-1] if isinstance(each, list) and each else each) for name, each in data.items()}


def _errors(error: Invalid | Conflict | Forbidden) -> Mapping[str, str]:
    return error.errors if isinstance(error, Invalid) else {"": str(error)}


HANDLERS: list[Any] = [new_house_page, new_house, preview_part, add_page, add]
