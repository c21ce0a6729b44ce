"""Groups: which rights, and within what. A form in which rights are ticked, and cities, companies and houses are chosen.

What is chosen is added to the form, and saved with all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.desk.resource import Field, Kind, Row
from crm.rights import Reach, Right, format_rights
from crm.sections.right_names import rights_by_section
from crm.sections.staff import GROUPS_RESOURCE
from crm.site import Site, site_of
from crm.staff.groups import change_group, create_group, delete_group, get_group
from crm.staff.staff import find_employees
from crm.web.forms import read_reference
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, Panel, render, translate
from crm.web.record_pages import show_record
from crm.web.staff_forms import REFUSED, Form, errors_of, ids, many, status_of, text_of, ticked_rights
from crm.who import Refused

BASE = "/staff/groups"
PARTS = ("cities", "companies", "houses")
NAME = Field(name="name", label="Name", optional=False, longest=100)
_ADD = {
    part: Field(name=f"add_{part}", label=label, kind=Kind.REFERENCE, refers_to=part)
    for part, label in zip(PARTS, ("City", "Company", "House"), strict=True)
}


@get(f"{BASE}/new", sync_to_thread=True)
def new_page(request: Asked) -> Response[str]:
    request.user.who.need_everywhere(Right.STAFF_EDIT)
    return _form(request, None, "", frozenset(), Reach(), {})


@post(f"{BASE}/new", sync_to_thread=True, status_code=200)
def create(request: Asked, data: Form) -> Response[Any]:
    return _save(request, None, data)


@get(f"{BASE}/{{id:int}}/edit", sync_to_thread=True)
def edit_page(request: Asked, id: FromPath[int]) -> Response[str]:
    request.user.who.need_everywhere(Right.STAFF_EDIT)
    group = get_group(site_of(request).store, request.user.who, id)
    return _form(request, id, group.name, group.rights, group.reach, {})


@post(f"{BASE}/{{id:int}}/edit", sync_to_thread=True, status_code=200)
def change(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    return _save(request, id, data)


@post(f"{BASE}/{{id:int}}/delete", sync_to_thread=True, status_code=200)
def delete(request: Asked, id: FromPath[int]) -> Response[Any]:
    site, who = site_of(request), request.user.who
    try:
        delete_group(site.store, who, id, site.now())
    except REFUSED as error:
        row = site.desk.get(who, GROUPS_RESOURCE, id)
        return show_record(request, GROUPS_RESOURCE, row, errors=errors_of(error), status=409)
    return Redirect("/groups", status_code=303)


def _save(request: Asked, id: int | None, data: Form) -> Response[Any]:
    site, who = site_of(request), request.user.who
    who.need_everywhere(Right.STAFF_EDIT)
    name, rights = text_of(data, "name"), ticked_rights(data)
    reach, errors = _reach(data)
    if text_of(data, "more") or errors:  # only a place was added, or none that there is
        return _form(request, id, name, rights, reach, errors)
    try:
        if id is None:
            id = create_group(site.store, who, name, rights, reach, site.now())
        else:
            change_group(site.store, who, id, name, rights, reach, site.now())
    except REFUSED as error:
        return _form(request, id, name, rights, reach, errors_of(error))
    return Redirect(f"/groups/{id}", status_code=303)


def _reach(data: Mapping[str, Any]) -> tuple[Reach, dict[str, str]]:
    """What was chosen, and what is wrong with it."""
    errors: dict[str, str] = {}
    chosen: dict[str, frozenset[int]] = {}
    for part in PARTS:
        found = set(ids(data, part))
        for text in many(data, f"add_{part}"):
            if not text.strip():
                continue
            try:
                found.add(read_reference(text))
            except ValueError as error:
                errors[f"add_{part}"] = str(error)
        chosen[part] = frozenset(found)
    return Reach(everywhere=text_of(data, "everywhere") == "yes", **chosen), errors


def _form(
    request: Asked,
    id: int | None,
    name: str,
    rights: frozenset[Right],
    reach: Reach,
    errors: Mapping[str, str],
) -> Response[str]:
    beside = {"name", *(field.name for field in _ADD.values())}
    return render(
        request,
        "group_form.html",
        status=status_of(errors),
        title=translate(request, "New group") if id is None else name,
        name_field=NAME,
        name=name,
        sections=rights_by_section(),
        chosen=rights,
        everywhere=reach.everywhere,
        places=places_of(request, reach),
        add=_ADD,
        errors=errors,
        errors_beside={field: why for field, why in errors.items() if field not in beside},
        action=f"{BASE}/new" if id is None else f"{BASE}/{id}/edit",
        back="/groups" if id is None else f"/groups/{id}",
    )


def places_of(request: Asked, reach: Reach) -> dict[str, list[tuple[int, str]]]:
    """The cities, companies and houses of a reach by their names; what one may not see by its number."""
    desk, who = site_of(request).desk, request.user.who
    found: dict[str, list[tuple[int, str]]] = {}
    for part in PARTS:
        found[part] = []
        for id in sorted(getattr(reach, part)):
            try:
                title = desk.get(who, desk.resource(part), id).title
            except Refused:
                title = f"#{id}"
            found[part].append((id, title))
    return found


def _actions(site: Site, request: Asked, row: Row) -> list[Action]:
    if not request.user.who.rights.may_everywhere(Right.STAFF_EDIT):
        return []
    ask = "Delete this group?"
    return [
        Action("Edit", f"{BASE}/{row.id}/edit", "pencil-square", get=True),
        Action("Delete", f"{BASE}/{row.id}/delete", "trash", confirm=ask),
    ]


def _panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    who = request.user.who
    group = get_group(site.store, who, row.id)
    context = {
        "sections": rights_by_section(),
        "chosen": group.rights,
        "reach": group.reach,
        "places": places_of(request, group.reach),
        "labels": dict(zip(PARTS, ("Cities", "Companies", "Houses"), strict=True)),
        "members": [each for each in find_employees(site.store, who) if row.id in each.groups],
        "all": format_rights(group.rights),
    }
    return [Panel("group_panel.html", context)]


def _above(site: Site, request: Asked) -> list[Action]:
    if not request.user.who.rights.may_everywhere(Right.STAFF_EDIT):
        return []
    return [Action("New group", f"{BASE}/new", "plus", get=True)]


PAGES: list[Any] = [new_page, create, edit_page, change, delete]
EXTRAS: Mapping[str, Extra] = {
    "groups": Extra(panels=_panels, actions=_actions, above=_above, shown=frozenset({"rights", "members"}))
}
ITEMS: tuple[Item, ...] = ()
