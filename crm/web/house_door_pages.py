"""A house's gates, which panels stand at its entrances and how they call, and deleting with all that hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.desk.resource import Row
from crm.housing.doors import Numbering, doors_of, link_panel, renumber, unlink_panel
from crm.housing.new_houses import GateHouse, add_gate
from crm.housing.removal import delete_entrance, delete_house, on_entrance, on_house
from crm.rights import Right
from crm.sections.flats import ENTRANCES_RESOURCE
from crm.sections.housing import HOUSES_RESOURCE, PREFIX
from crm.site import Site, site_of
from crm.web.forms import read_reference
from crm.web.page import Asked, Panel, render
from crm.web.record_pages import Form, show_record
from crm.who import Conflict, Forbidden, Invalid, NotFound

GATE_ROWS = 4  # other houses that one form takes
NUMBERINGS = (
    (Numbering.OWN, "the flat's own number"),
    (Numbering.COUNTED, "counted from this number"),
    (Numbering.ADDED, "the flat's number and this number added"),
)


@get("/house/{id:int}/gate", sync_to_thread=True)
def gate_page(request: Asked, id: FromPath[int]) -> Response[str]:
    row = _editable(request, id)
    return _gate_form(request, row, {"name": "ворота", "house.0": f"{row.title} #{id}", "flats": "yes"}, {})


@post("/house/{id:int}/gate", sync_to_thread=True, status_code=200)
def gate(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    row = _editable(request, id)
    texts = _texts(data)
    houses: list[GateHouse] = []
    rows: list[int] = []
    errors: dict[str, str] = {}
    for n in range(GATE_ROWS + 1):
        typed = texts.get(f"house.{n}", "").strip()
        if not typed:
            continue
        try:
            houses.append(GateHouse(read_reference(typed), texts.get(f"prefix.{n}", "").strip()))
            rows.append(n)
        except ValueError as error:
            errors[f"houses.{n}"] = str(error)
    try:
        if errors:
            raise Invalid(errors)
        flats = texts.get("flats") == "yes"
        add_gate(site_of(request).desk, request.user.who, texts.get("name", ""), houses, with_flats=flats)
    except (Invalid, Conflict, Forbidden, NotFound) as error:
        said = _errors(error)
        if not errors:  # they are counted by the houses that were given
            said = {_of_row(name, rows): why for name, why in said.items()}
        return _gate_form(request, row, texts, said)
    return Redirect(f"/houses/{id}#doors", status_code=303)


@get("/house/{id:int}/numbers", sync_to_thread=True)
def numbers_page(request: Asked, id: FromPath[int]) -> Response[str]:
    row = _editable(request, id)
    return _numbers_form(request, row, dict(request.query_params), {})


@post("/house/{id:int}/numbers", sync_to_thread=True, status_code=200)
def set_numbers(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    row = _editable(request, id)
    site, who, texts = site_of(request), request.user.who, _texts(data)
    try:
        entrance = _number(texts, "entrance")
        how = next((each for each, _ in NUMBERINGS if each.value == texts.get("how")), Numbering.OWN)
        number = 0 if how is Numbering.OWN else _number(texts, "number")
        with site.store.reading() as connection:
            door = next((each for each in doors_of(connection, id) if each.id == entrance), None)
        if door is None:
            raise Invalid({"entrance": "choose an entrance of this house"})
        prefix = texts.get("prefix", door.prefix).strip()
        if prefix != door.prefix:
            link = HOUSES_RESOURCE.link("entrances")
            site.desk.set_link(who, HOUSES_RESOURCE, id, link, entrance, {"prefix": prefix})
        if texts.get("how"):
            renumber(site.desk, who, id, entrance, texts.get("flats", ""), how, number)
    except (Invalid, Conflict) as error:
        return _numbers_form(request, row, texts, _errors(error))
    return Redirect(f"/houses/{id}#doors", status_code=303)


@post("/house/{id:int}/panels", sync_to_thread=True, status_code=200)
def put_panel(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    row = _editable(request, id)
    site, texts = site_of(request), _texts(data)
    try:
        entrance = _entrance_of(site, id, texts)
        try:
            panel = read_reference(texts.get("panel", ""))
        except ValueError as error:
            raise Invalid({"panel": str(error)}) from None
        link_panel(site.desk, request.user.who, entrance, panel, site.now())
    except (Invalid, NotFound) as error:
        return show_record(request, HOUSES_RESOURCE, row, errors=_errors(error), status=422)
    return Redirect(f"/houses/{id}#doors", status_code=303)


@post("/house/{id:int}/panels/remove", sync_to_thread=True, status_code=200)
def take_panel(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    _editable(request, id)
    site, texts = site_of(request), _texts(data)
    entrance = _entrance_of(site, id, texts)
    unlink_panel(site.desk, request.user.who, entrance, _number(texts, "panel"), site.now())
    return Redirect(f"/houses/{id}#doors", status_code=303)


@get("/house/{id:int}/delete", sync_to_thread=True)
def delete_house_page(request: Asked, id: FromPath[int]) -> Response[str]:
    return _delete_house_form(request, _editable(request, id), {})


@post("/house/{id:int}/delete", sync_to_thread=True, status_code=200)
def delete_whole_house(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    row = _editable(request, id)
    if _texts(data).get("confirm", "").strip().lower() != str(row.values["number"]).lower():
        return _delete_house_form(request, row, {"confirm": "the number of this house is expected"})
    site = site_of(request)
    delete_house(site.desk, request.user.who, id, site.now())
    return Redirect("/houses", status_code=303)


@get("/entrance/{id:int}/delete", sync_to_thread=True)
def delete_entrance_page(request: Asked, id: FromPath[int]) -> Response[str]:
    site = site_of(request)
    row = site.desk.get(request.user.who, ENTRANCES_RESOURCE, id)
    hanging = on_entrance(site.desk, request.user.who, id)
    return render(
        request,
        "delete_whole.html",
        row=row,
        hanging=hanging,
        action=f"/entrance/{id}/delete",
        back=f"/entrances/{id}",
        house=False,
        errors={},
    )


@post("/entrance/{id:int}/delete", sync_to_thread=True, status_code=200)
def delete_whole_entrance(request: Asked, id: FromPath[int]) -> Response[Any]:
    site = site_of(request)
    delete_entrance(site.desk, request.user.who, id, site.now())
    return Redirect("/entrances", status_code=303)


def entrance_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    """On an entrance's page: the way to delete it with its ties."""
    if not request.user.who.rights.may(Right.HOUSING_EDIT):
        return []
    return [Panel("entrance_panel.html", {"path": f"/entrance/{row.id}/delete"})]


def _gate_form(
    request: Asked, row: Row, texts: Mapping[str, str], errors: Mapping[str, str]
) -> Response[str]:
    at_fields = {"name", *(f"houses.{n}" for n in range(GATE_ROWS + 1))}
    return render(
        request,
        "gate.html",
        status=422 if errors else 200,
        row=row,
        rows=range(GATE_ROWS + 1),
        texts=texts,
        errors=errors,
        errors_beside={name: why for name, why in errors.items() if name not in at_fields},
    )


def _numbers_form(
    request: Asked, row: Row, texts: Mapping[str, str], errors: Mapping[str, str]
) -> Response[str]:
    with site_of(request).store.reading() as connection:
        doors = doors_of(connection, row.id, request.user.who.rights.reach(Right.HOUSING_VIEW))
    chosen = next((each for each in doors if str(each.id) == texts.get("entrance")), None)
    if chosen is None and "entrance" not in texts:
        chosen = next(iter(doors), None)
    at_fields = {"flats", "number", "prefix", "entrance"}
    return render(
        request,
        "numbers.html",
        status=422 if errors else 200,
        row=row,
        doors=doors,
        chosen=chosen,
        prefix=PREFIX,
        numberings=NUMBERINGS,
        texts=texts,
        errors=errors,
        errors_beside={name: why for name, why in errors.items() if name not in at_fields},
    )


def _delete_house_form(request: Asked, row: Row, errors: Mapping[str, str]) -> Response[str]:
    return render(
        request,
        "delete_whole.html",
        status=422 if errors else 200,
        row=row,
        hanging=on_house(site_of(request).desk, request.user.who, row.id),
        action=f"/house/{row.id}/delete",
        back=f"/houses/{row.id}",
        house=True,
        errors=errors,
    )


def _of_row(name: str, rows: list[int]) -> str:
    """Of the error of a house its place in the form."""
    place = name.removeprefix("houses.")
    return f"houses.{rows[int(place)]}" if place.isdecimal() and int(place) < len(rows) else name


def _entrance_of(site: Site, house_id: int, texts: Mapping[str, str]) -> int:
    entrance = _number(texts, "entrance")
    with site.store.reading() as connection:
        if entrance not in [door.id for door in doors_of(connection, house_id)]:
            raise NotFound(f"house {house_id} has no entrance {entrance}")
    return entrance


def _number(texts: Mapping[str, str], name: str) -> int:
    text = texts.get(name, "").strip()
    if not text.removeprefix("-").isdecimal() or len(text) > 10:
        raise Invalid({name: "a whole number is expected"})
    return int(text)


def _editable(request: Asked, id: int) -> Row:
    site = site_of(request)
    with site.store.reading() as connection:
        return site.desk.get_in(connection, request.user.who, HOUSES_RESOURCE, id, Right.HOUSING_EDIT)


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(each[-1] if isinstance(each, list) and each else each) for name, each in data.items()}


def _errors(error: Exception) -> Mapping[str, str]:
    return error.errors if isinstance(error, Invalid) else {"": str(error)}


HANDLERS: list[Any] = [
    *(gate_page, gate, numbers_page, set_numbers, put_panel, take_panel),
    *(delete_house_page, delete_whole_house, delete_entrance_page, delete_whole_entrance),
]
