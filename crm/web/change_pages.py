"""The history of all changes: who, when, what it was before and after, each with a link to its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get

from crm.desk.resource import Find, Query, Row
from crm.rights import Right
from crm.sections import all_resources
from crm.sections.staff import CHANGES_RESOURCE, SECTION
from crm.site import Site, site_of
from crm.web.change_words import ChangeWords
from crm.web.list_pages import query_of
from crm.web.menu import Item
from crm.web.page import Asked, Extra, clock_of, render
from crm.who import Invalid, Refused

PATH = "/staff/changes"


@get(PATH, sync_to_thread=True)
def changes_page(request: Asked) -> Response[str]:
    site, who = site_of(request), request.user.who
    query = query_of(site, CHANGES_RESOURCE, request.query_params)
    errors: Mapping[str, str] = {}
    try:
        page = site.desk.list(who, CHANGES_RESOURCE, query)
    except Invalid as error:
        errors = error.errors
        page = site.desk.list(who, CHANGES_RESOURCE, Query())
    filters = {name: text for name, text in request.query_params.items() if text and name != "after"}
    return render(
        request,
        "change_rows.html" if request.headers.get("hx-target") == "list" else "change_list.html",
        path_here=PATH,
        filters=filters,
        titles=_titles(request, site, query),
        fields={each.name: each for each in CHANGES_RESOURCE.fields if each.find is not Find.NOT},
        kinds=_kinds(),
        rows=ChangeWords(site, who, clock_of(request)).told([_columns(row) for row in page.rows]),
        page=page,
        after=query.after,
        errors=errors,
        actions=(),
        can_create=False,
        sort="",
        file="/changes.csv",
    )


def _kinds() -> list[tuple[str, str]]:
    """The kinds of record that there are, each with its label."""
    return sorted((each.entity, each.label_one) for each in all_resources().values())


def _titles(request: Asked, site: Site, query: Query) -> dict[str, str]:
    """The employee that is filtered by, as text."""
    id = query.filters.get("employee_id", "")
    try:
        row = site.desk.get(request.user.who, site.desk.resource("employees"), int(id or 0))
    except (Refused, ValueError):
        return {}
    return {"employee_id": f"{row.title} #{row.id}"}


def _columns(row: Row) -> dict[str, Any]:
    return {"id": row.id, **row.values}


def _change_page(site: Site, request: Asked, row: Row) -> Response[str]:
    (change,) = ChangeWords(site, request.user.who, clock_of(request)).told([_columns(row)])
    return render(request, "change.html", change=change)


PAGES: list[Any] = [changes_page]
EXTRAS: Mapping[str, Extra] = {"changes": Extra(whole=_change_page)}
ITEMS: tuple[Item, ...] = (Item("Changes", PATH, Right.CHANGES_VIEW, "clock", SECTION),)
