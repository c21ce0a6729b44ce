"""Tokens of programs: made, shown this once, revoked (crm.staff.tokens does it)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.desk.resource import Field, Kind, Row
from crm.rights import Right, parse_rights
from crm.sections.right_names import rights_by_section
from crm.sections.staff import TOKENS_RESOURCE
from crm.site import Site, site_of
from crm.staff.groups import find_groups
from crm.staff.tokens import create_token, revoke_token
from crm.web.forms import read_time
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, Panel, render
from crm.web.record_pages import show_record
from crm.web.staff_forms import REFUSED, Form, errors_of, ids, status_of, text_of, ticked_rights
from crm.who import Invalid

BASE = "/staff/tokens"
NAME = Field(
    name="name",
    label="Program",
    optional=False,
    longest=100,
    hint="which program it is for: billing, app backend",
)
ENDS = Field(
    name="expires_at", label="Ends", kind=Kind.TIME, optional=False, hint="two years from now at most"
)
USUAL_DAYS = 365


@get(f"{BASE}/new", sync_to_thread=True)
def new_page(request: Asked) -> Response[str]:
    site = site_of(request)
    request.user.who.need_everywhere(Right.TOKENS_EDIT)
    ends = datetime.fromtimestamp(site.now(), ZoneInfo(site.config.time_zone)) + timedelta(days=USUAL_DAYS)
    return _form(request, {"expires_at": ends.strftime("%Y-%m-%dT%H:%M")}, frozenset(), None, {})


@post(f"{BASE}/new", sync_to_thread=True, status_code=200)
def create(request: Asked, data: Form) -> Response[Any]:
    """The page that shows the token is the answer itself: it is nowhere to be had again."""
    site = site_of(request)
    texts = {name: text_of(data, name) for name in ("name", "expires_at")}
    rights = ticked_rights(data)
    group = next(iter(ids(data, "group_id")), None)
    try:
        expires_at = _time(texts["expires_at"], site)
        new = create_token(site.store, request.user.who, texts["name"], rights, group, expires_at, site.now())
    except REFUSED as error:
        return _form(request, texts, rights, group, errors_of(error))
    return render(request, "token_made.html", name=texts["name"], secret=new.secret, id=new.id)


@post(f"{BASE}/{{id:int}}/revoke", sync_to_thread=True, status_code=200)
def revoke(request: Asked, id: FromPath[int]) -> Response[Any]:
    site = site_of(request)
    try:
        revoke_token(site.store, request.user.who, id, site.now())
    except REFUSED as error:
        row = site.desk.get(request.user.who, TOKENS_RESOURCE, id)
        return show_record(request, TOKENS_RESOURCE, row, errors=errors_of(error), status=409)
    return Redirect(f"/tokens/{id}", status_code=303)


def _time(text: str, site: Site) -> float:
    try:
        return read_time(text, ZoneInfo(site.config.time_zone))
    except ValueError as error:
        raise Invalid({"expires_at": str(error)}) from None


def _form(
    request: Asked,
    texts: Mapping[str, str],
    rights: frozenset[Right],
    group: int | None,
    errors: Mapping[str, str],
) -> Response[str]:
    who = request.user.who
    beside = {NAME.name, ENDS.name}
    return render(
        request,
        "token_form.html",
        status=status_of(errors),
        fields=(NAME, ENDS),
        texts=texts,
        sections=rights_by_section(),
        chosen=rights,
        groups=find_groups(site_of(request).store, who)
        if who.rights.may_everywhere(Right.STAFF_VIEW)
        else [],
        group=group,
        errors=errors,
        errors_beside={field: why for field, why in errors.items() if field not in beside},
    )


def _actions(site: Site, request: Asked, row: Row) -> list[Action]:
    if row.values["revoked_at"] is not None:
        return []
    ask = "Revoke this token? The program that uses it is refused at once."
    return [Action("Revoke", f"{BASE}/{row.id}/revoke", "no-symbol", confirm=ask)]


def _panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    context = {
        "sections": rights_by_section(),
        "chosen": parse_rights(row.values["rights"]),
        "over": row.values["revoked_at"] is None and row.values["expires_at"] <= site.now(),
        "revoked": row.values["revoked_at"] is not None,
        "everywhere": row.values["group_id"] is None,
    }
    return [Panel("token_panel.html", context)]


def _above(site: Site, request: Asked) -> list[Action]:
    return [Action("New token", f"{BASE}/new", "plus", get=True)]


PAGES: list[Any] = [new_page, create, revoke]
EXTRAS: Mapping[str, Extra] = {
    "tokens": Extra(panels=_panels, actions=_actions, above=_above, shown=frozenset({"rights"}))
}
ITEMS: tuple[Item, ...] = ()
