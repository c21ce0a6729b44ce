"""Blocks: set for flats of a house with a look at how many that are, and taken back (crm.housing.blocks does both).

Lists and records are pages as all have; what changes blocks is under /blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from attrs import frozen
from litestar import Response, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.response import Redirect

from crm.desk.resource import Field, Kind, Row
from crm.housing.blocks import (
    HAND,
    NewBlock,
    block_flats,
    flats_of,
    preview_blocks,
    settable_kinds,
    take_back,
)
from crm.housing.grid import zone_of
from crm.rights import Right
from crm.sections.blocks import BLOCKS_RESOURCE, KINDS
from crm.sections.flats import FLATS_RESOURCE
from crm.sections.housing import HOUSES_RESOURCE
from crm.site import Site, site_of
from crm.web import block_back_pages
from crm.web.forms import read_form
from crm.web.list_pages import filters_of
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, render, with_query
from crm.web.record_pages import show_record
from crm.who import Conflict, Forbidden, Invalid, NotFound, Refused

BASE = "/blocks"
NUMBERS_SHOWN = 60
Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
_REFUSED = (Invalid, Conflict, Forbidden, NotFound)

HOUSE = Field(name="house_id", label="House", kind=Kind.REFERENCE, refers_to="houses", optional=False)
FLATS = Field(
    name="flats",
    label="Flats",
    optional=False,
    longest=2000,
    hint="numbers and ranges, like 1-36, 40; * for all flats of the house",
)
SINCE = Field(name="since", label="From", kind=Kind.TIME, hint="empty: from now on")
UNTIL = Field(name="until", label="Until", kind=Kind.TIME, hint="empty: until it is taken back")
REASON = Field(name="reason", label="Reason")


@frozen
class _Asked:
    """What the form says: the flats (id, number), and their block."""

    house_id: int
    zone: str
    flats: tuple[tuple[int, str], ...]
    block: NewBlock


@get(f"{BASE}/new", sync_to_thread=True)
def new_page(request: Asked) -> Response[str]:
    """The form; the address says of what: house_id and flats, or flat_id."""
    site, asked = site_of(request), request.query_params
    texts = {name: asked[name] for name in ("flats", "kind", "reason") if asked.get(name)}
    if (flat := _id(asked.get("flat_id", ""))) is not None:
        row = site.desk.get(request.user.who, FLATS_RESOURCE, flat)
        texts |= {
            "house_id": f"{row.shown['house_id']} #{row.values['house_id']}",
            "flats": row.values["number"],
        }
    elif (house := _id(asked.get("house_id", ""))) is not None:
        texts["house_id"] = f"{site.desk.get(request.user.who, HOUSES_RESOURCE, house).title} #{house}"
    return _form(request, texts, {})


@post(f"{BASE}/preview", sync_to_thread=True, status_code=200)
def preview(request: Asked, data: Form) -> Response[str]:
    """Which flats are meant, and how many would be blocked: a part of the form."""
    site = site_of(request)
    try:
        asked = _read(site, request, data)
        plan = preview_blocks(site.store, request.user.who, [id for id, _ in asked.flats], asked.block)
    except _REFUSED as error:
        return render(request, "block_preview.html", plan=None, errors=_errors(error))
    numbers = dict(asked.flats)
    return render(
        request,
        "block_preview.html",
        errors={},
        plan=plan,
        numbers=[numbers[id] for id in plan.flats][:NUMBERS_SHOWN],
        left=[numbers[id] for id in plan.left][:NUMBERS_SHOWN],
        most=NUMBERS_SHOWN,
        block=asked.block,
        zone=asked.zone,
    )


@post(BASE, sync_to_thread=True, status_code=200)
def block(request: Asked, data: Form) -> Response[Any]:
    """Block the flats; then the list of this house's blocks of that kind."""
    site = site_of(request)
    try:
        asked = _read(site, request, data)
        ids = [id for id, _ in asked.flats]
        done, _ = block_flats(site.store, request.user.who, ids, asked.block, site.now())
    except _REFUSED as error:
        return _form(request, _texts(data), _errors(error))
    if not done.flats:
        return _form(request, _texts(data), {"flats": "all of them have a block of this kind already"})
    if not request.user.who.rights.may(Right.BLOCKS_VIEW):
        return Redirect(f"/houses/{asked.house_id}", status_code=303)
    kind = _kind_id(site, asked.block.kind)
    where = {"house_id": asked.house_id, "kind_id": kind}
    return Redirect(with_query(f"/{BLOCKS_RESOURCE.name}", where), status_code=303)


@post(f"{BASE}/{{id:int}}/take-back", sync_to_thread=True, status_code=200)
def take_one_back(request: Asked, id: FromPath[int]) -> Response[Any]:
    site = site_of(request)
    row = site.desk.get(request.user.who, BLOCKS_RESOURCE, id)
    try:
        take_back(site.store, request.user.who, [id], site.now())
    except (Conflict, Forbidden) as error:
        return show_record(request, BLOCKS_RESOURCE, row, errors={"": str(error)}, status=409)
    if row.values["state"] == "to_come":
        where = {"flat_id": row.values["flat_id"]}
        return Redirect(with_query(f"/{BLOCKS_RESOURCE.name}", where), status_code=303)
    return Redirect(f"/{BLOCKS_RESOURCE.name}/{id}", status_code=303)


# --- within --------------------------------------------------------------------------------------------------------


def _read(site: Site, request: Asked, data: Mapping[str, Any]) -> _Asked:
    """Raises Invalid: each field with what is wrong; NotFound, Forbidden."""
    house_id = read_form([HOUSE], data, ZoneInfo("UTC"))["house_id"]
    if house_id is None:
        raise Invalid({"house_id": "this is needed"})
    flats = flats_of(site.store, request.user.who, house_id, _text(data, "flats"))
    with site.store.reading() as connection:
        zone = zone_of(connection, house_id) or site.config.time_zone
    times = read_form([SINCE, UNTIL], data, ZoneInfo(zone))
    since = times.get("since")
    block = NewBlock(
        kind=_text(data, "kind"),
        since=site.now() if since is None else since,
        until=times.get("until"),
        reason=_text(data, "reason").strip(),
    )
    if not block.kind:
        raise Invalid({"kind": "this is needed"})
    return _Asked(house_id, zone, flats, block)


def _form(request: Asked, texts: Mapping[str, str], errors: Mapping[str, str]) -> Response[str]:
    kinds = settable_kinds(site_of(request).store, request.user.who)
    if not kinds:
        raise Forbidden(
            "to block flats needs the right of some kind of block: whoever keeps the groups can give it"
        )
    kind = Field(
        name="kind",
        label="Kind of block",
        kind=Kind.CHOICE,
        choices=tuple((each.code, each.name) for each in kinds),
        optional=False,
    )
    fields = (HOUSE, FLATS, kind, REASON, SINCE, UNTIL)
    names = {each.name for each in fields}
    back = f"/{BLOCKS_RESOURCE.name}" if request.user.who.rights.may(Right.BLOCKS_VIEW) else "/houses"
    return render(
        request,
        "block_form.html",
        status=422 if errors else 200,
        fields=fields,
        texts=texts,
        errors=errors,
        errors_beside={name: why for name, why in errors.items() if name not in names},
        action=BASE,
        back=back,
    )


def _actions(site: Site, request: Asked, row: Row) -> list[Action]:
    over = row.values["state"] == "past"
    if over or row.values["source"] != HAND or not settable_kinds(site.store, request.user.who):
        return []
    ask = (
        "Delete this block, which is yet to come?"
        if row.values["state"] == "to_come"
        else "Take this block back? It ends now."
    )
    return [Action("Take back", f"{BASE}/{row.id}/take-back", "arrow-uturn-left", confirm=ask)]


def _above(site: Site, request: Asked) -> list[Action]:
    if not settable_kinds(site.store, request.user.who):
        return []
    asked = request.query_params
    house = asked.get("house_id", "").rpartition("#")[2]
    flat = asked.get("flat_id", "").rpartition("#")[2]
    where = {"house_id": house if house.isdigit() else "", "flat_id": flat if flat.isdigit() else ""}
    found = [Action("Block flats", with_query(f"{BASE}/new", where), "no-symbol", get=True)]
    filters = filters_of(BLOCKS_RESOURCE, asked)
    if filters:
        path = with_query(block_back_pages.PATH, filters)
        found.append(Action("Take back those listed", path, "arrow-uturn-left", get=True))
    return found


def _kind_id(site: Site, code: str) -> int | None:
    with site.store.reading() as connection:
        row = connection.execute(KINDS.select().where(KINDS.c.code == code)).first()
    return None if row is None else int(row.id)


def _id(text: str) -> int | None:
    return int(text) if text.isdigit() and int(text) < 2**31 else None


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name, "")
    return str(value[-1] if isinstance(value, list) and value else value)


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(data, name) for name in data}


def _errors(error: Refused) -> dict[str, str]:
    return dict(error.errors) if isinstance(error, Invalid) else {"": str(error)}


PAGES: list[Any] = [new_page, preview, block, take_one_back, *block_back_pages.PAGES]
EXTRAS: Mapping[str, Extra] = {BLOCKS_RESOURCE.name: Extra(actions=_actions, above=_above)}
ITEMS: tuple[Item, ...] = ()
