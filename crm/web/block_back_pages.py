"""Blocks taken back many at a time: those of a list as it is filtered, looked at first, and then all or none."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect

from crm.desk.resource import Query, Row
from crm.housing.blocks import FLATS_MOST, HAND, take_back
from crm.sections.blocks import BLOCKS_RESOURCE
from crm.site import site_of
from crm.web.list_pages import filters_of, query_of
from crm.web.page import Asked, render, with_query
from crm.web.record_pages import Form
from crm.who import Conflict, Forbidden, Invalid, NotFound

PATH = "/blocks/take-back"
SHOWN = 100
_STATES = ("stands", "to_come")


@get(PATH, sync_to_thread=True)
def take_back_page(request: Asked) -> Response[str]:
    """Which would be taken back; the address has the list's filters."""
    return _page(request, {})


@post(PATH, sync_to_thread=True, status_code=200)
def take_them_back(request: Asked, data: Form) -> Response[Any]:
    """Those that were shown, by their ids: none that came since."""
    site = site_of(request)
    ids = [int(each) for each in str(data.get("ids", "")).split(",") if each.isdigit() and len(each) < 10]
    try:
        if not ids:
            raise Invalid({"": "none of these blocks can be taken back here"})
        take_back(site.store, request.user.who, ids, site.now())
    except (Invalid, Conflict, Forbidden, NotFound) as error:
        return _page(request, error.errors if isinstance(error, Invalid) else {"": str(error)})
    return Redirect(with_query(f"/{BLOCKS_RESOURCE.name}", _filters(request)), status_code=303)


def _page(request: Asked, errors: dict[str, str]) -> Response[str]:
    found, more = _found(request)
    filters = _filters(request)
    return render(
        request,
        "block_take_back.html",
        status=422 if errors else 200,
        blocks=found[:SHOWN],
        ids=",".join(str(row.id) for row in found),
        total=len(found),
        more=more,
        most=FLATS_MOST,
        errors=errors,
        action=with_query(PATH, filters),
        back=with_query(f"/{BLOCKS_RESOURCE.name}", filters),
    )


def _found(request: Asked) -> tuple[list[Row], bool]:
    """Those of the list that somebody has set and that are not over; and whether there are more than go at once."""
    site, who = site_of(request), request.user.who
    query = query_of(site, BLOCKS_RESOURCE, request.query_params)
    found: list[Row] = []
    for row in site.desk.every(who, BLOCKS_RESOURCE, Query(query.filters)):
        if row.values["source"] == HAND and row.values["state"] in _STATES:
            if len(found) == FLATS_MOST:
                return found, True
            found.append(row)
    return found, False


def _filters(request: Asked) -> dict[str, str | list[str]]:
    return filters_of(BLOCKS_RESOURCE, request.query_params)


PAGES: list[Any] = [take_back_page, take_them_back]
