"""The history of all changes: who, when, what it was before and after, each with a link to its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response, get

from crm.desk.resource import Find, Query, Row
from crm.rights import Right
from crm.sections import all_resources
from crm.sections.staff import CHANGES_RESOURCE, SECTION
from crm.site import Site, site_of
from crm.web.list_pages import query_of
from crm.web.menu import Item
from crm.web.page import Asked, Extra, Panel, render
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
        rows=[_shown(row) for row in page.rows],
        page=page,
        after=query.after,
        errors=errors,
    )


def _kinds() -> list[tuple[str, str]]:
    """The kinds of record that there are, each with its label."""
    return sorted((each.entity, each.label_one) for each in all_resources().values())


def _shown(row: Row) -> dict[str, Any]:
    """A change as its row shows it; `path` is its record's page ("" where there is none)."""
    of = {each.entity: each for each in all_resources().values()}
    resource = of.get(row.values["entity"])
    labels = {each.name: each.label for each in resource.fields} if resource else {}
    gone = row.values["action"] == "delete"
    return {
        **row.values,
        "label": resource.label_one if resource else row.values["entity"],
        "path": f"/{resource.name}/{row.values['entity_id']}" if resource and not gone else "",
        "by_path": _by_path(row.values["by"]),
        "before": {labels.get(name, name): it for name, it in object_of(row.values["before"]).items()},
        "after": {labels.get(name, name): it for name, it in object_of(row.values["after"]).items()},
    }


def _by_path(by: str) -> str:
    kind, _, id = by.partition(":")
    return f"/{kind}s/{id}" if kind in ("employee", "token") and id.isdigit() else ""


def object_of(text: str) -> dict[str, Any]:
    """What was before or after, by field."""
    try:
        found: Any = msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        found = {"JSON": text}
    return found if isinstance(found, dict) else {"JSON": found}


def _titles(request: Asked, site: Site, query: Query) -> dict[str, str]:
    """The employee that is filtered by, as text."""
    id = query.filters.get("employee_id", "")
    try:
        row = site.desk.get(request.user.who, site.desk.resource("employees"), int(id or 0))
    except (Refused, ValueError):
        return {}
    return {"employee_id": f"{row.title} #{row.id}"}


def _panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    return [Panel("change_panel.html", {"change": _shown(row)})]


PAGES: list[Any] = [changes_page]
EXTRAS: Mapping[str, Extra] = {"changes": Extra(panels=_panels)}
ITEMS: tuple[Item, ...] = (Item("Changes", PATH, Right.CHANGES_VIEW, "clock", SECTION),)
