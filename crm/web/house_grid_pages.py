"""A house's grid with a flat's card beside it, that card on the flat's own page, and ringing its phones for a test."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.calls.words import OUTCOMES
from crm.desk.resource import Row
from crm.housing.doors import doors_of
from crm.housing.flat_card import FlatCard, card_of
from crm.housing.grid import grid_of, zone_of
from crm.housing.ring import ring_flat
from crm.rights import Right
from crm.sections.flats import FLATS_RESOURCE
from crm.sections.housing import HOUSES_RESOURCE
from crm.site import Site, site_of
from crm.web import show
from crm.web.grid_looks import LABELS, View, cell_of, handset_look, legend, views
from crm.web.page import Asked, Panel, language_of, render, with_query
from crm.who import Conflict, NotFound


def house_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    """On top of a house's page: the grid, a flat's card if the address says which, and its doors."""
    context = _grid(site, request, row.id, request.query_params.get("by", ""))
    asked = request.query_params.get("flat", "")
    card = _card(site, request, int(asked)) if asked.isdecimal() and len(asked) < 10 else None
    if card is not None and card["card"].house_id != row.id:
        card = None
    context |= card or {"card": None}
    with site.store.reading() as connection:
        context["doors"] = doors_of(connection, row.id, request.user.who.rights.reach(Right.HOUSING_VIEW))
    context["sees_panels"] = site.desk.reaches(request.user.who, HOUSES_RESOURCE, row.id, Right.DEVICES_VIEW)
    return [Panel("house.html", context)]


def flat_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    """On top of a flat's page: its card."""
    card = _card(site, request, row.id)
    return [] if card is None else [Panel("flat_panel.html", card)]


@get("/house/{id:int}/grid", sync_to_thread=True)
def grid_part(request: Asked, id: FromPath[int]) -> Response[Any]:
    """The grid alone, by another view; the address line follows."""
    site = site_of(request)
    site.desk.get(request.user.who, HOUSES_RESOURCE, id)
    context = _grid(site, request, id, request.query_params.get("by", ""))
    flat = _address(request).get("flat", "")
    response = render(request, "house_grid.html", **context, open_flat=flat)
    response.headers["HX-Replace-Url"] = with_query(
        f"/houses/{id}", {"by": context["view"].value, "flat": flat}
    )
    return response


@get("/flat/{id:int}/card", sync_to_thread=True)
def card_part(request: Asked, id: FromPath[int]) -> Response[Any]:
    """A flat's card, to stand beside the grid; the address line follows."""
    site = site_of(request)
    site.desk.get(request.user.who, FLATS_RESOURCE, id)
    card = _card(site, request, id)
    if card is None:
        raise NotFound(f"there is no flat {id}")
    response = render(request, "flat_card.html", **card)
    here = f"/houses/{card['card'].house_id}"
    response.headers["HX-Replace-Url"] = with_query(here, {"by": _address(request).get("by", ""), "flat": id})
    return response


@post("/flat/{id:int}/ring", sync_to_thread=True, status_code=200)
def ring(request: Asked, id: FromPath[int]) -> Response[Any]:
    """Ring this flat's phones now: how far that is comes by itself, or why nothing rings."""
    call_id = error = ""
    try:
        call_id = ring_flat(site_of(request), request.user.who, id)
    except Conflict as why:
        error = str(why)
    if request.headers.get("hx-request") != "true":
        return Redirect(f"/calls/{call_id}" if call_id else f"/flats/{id}", status_code=303)
    now = int(site_of(request).now())
    status = 409 if error else 200
    return render(request, "flat_ring.html", call_id=call_id, since=now, error=error, status=status)


def _grid(site: Site, request: Asked, house_id: int, by: str) -> dict[str, Any]:
    now = site.now()
    with site.store.reading() as connection:
        grid = grid_of(connection, request.user.who, house_id, now)
        zone = zone_of(connection, house_id)
    able = views(grid.rights)
    view = next((each for each in able if each.value == by), View.STATE)
    clock = show.Clock(now, ZoneInfo(site.config.time_zone), language_of(request))
    cells = {flat.id: cell_of(view, flat, clock, zone) for flat in grid.flats}
    return {
        "house_id": house_id,
        "grid": grid,
        "cells": cells,
        "legend": legend(cells.values()),
        "view": view,
        "views": [(each, LABELS[each]) for each in able],
        "zone": zone,
    }


def _card(site: Site, request: Asked, flat_id: int) -> dict[str, Any] | None:
    with site.store.reading() as connection:
        card: FlatCard | None = card_of(connection, request.user.who, flat_id, site.now())
        if card is None:
            return None
        zone = zone_of(connection, card.house_id)
    handset = None if card.handset is None else handset_look(card.handset.verdict)
    may_ring = site.parts.get("nodes") is not None
    return {"card": card, "zone": zone, "handset": handset, "may_ring": may_ring, "outcomes": OUTCOMES}


def _address(request: Asked) -> dict[str, str]:
    """What the page's address line asks for, while a part of it is fetched."""
    return dict(parse_qsl(urlsplit(request.headers.get("hx-current-url", "")).query))


HANDLERS: list[Any] = [grid_part, card_part, ring]
