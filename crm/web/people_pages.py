"""What residents, accounts and phones have beside what all records have: which phones ring, calls, keys; moving in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import sqlalchemy as sa
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.desk.resource import Field, Kind, Row
from crm.housing.people import ACCOUNT_FIELDS, RESIDENT_FIELDS, move_in, move_out
from crm.housing.rings import accounts_of_resident, rings_of_accounts
from crm.keys.keys import keys_bound_to
from crm.keys.reach import Binding
from crm.model import AccountFlat, Phone, table
from crm.rights import Right
from crm.sections.accounts import ACCOUNTS_RESOURCE
from crm.sections.people import RESIDENTS_RESOURCE
from crm.sections.shared import FLAT_TITLE, FLATS, FLATS_IN_HOUSES
from crm.site import Site, site_of
from crm.tables.calls import Call
from crm.tables.keys import KeyScope
from crm.tables.people import ResidentFlat
from crm.web.forms import read_form
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, Panel, render
from crm.web.staff_forms import Form, errors_of, status_of, text_of
from crm.who import Conflict, Invalid, NotFound, Refused

MOVE_IN = "/move-in"
CALLS_SHOWN = 20
_CALLS, _PHONES, _LIVES, _HAS = table(Call), table(Phone), table(ResidentFlat), table(AccountFlat)

_FLAT = Field(name="flat_id", label="Flat", kind=Kind.REFERENCE, refers_to="flats", optional=False)
_WHO = Field(
    name="resident_id",
    label="Resident who is known already",
    kind=Kind.REFERENCE,
    refers_to="residents",
    hint="leave it empty for somebody new",
)
# Which of the resident's and the account's fields are needed depends on what is left empty: the server says.
_PERSON = tuple(attrs.evolve(RESIDENTS_RESOURCE.field(name), optional=True) for name in RESIDENT_FIELDS)
_ACCOUNT = tuple(
    attrs.evolve(ACCOUNTS_RESOURCE.field(name), optional=True, hint=hint)
    for name, hint in zip(
        ACCOUNT_FIELDS,
        ("leave it empty for nobody who rings an app", "like teledom or sip.example.org", ""),
        strict=True,
    )
)
_JOINED = ACCOUNTS_RESOURCE.link("flats").fields
_FIELDS = (_FLAT, _WHO, *_PERSON, *_ACCOUNT, *_JOINED)


@get(MOVE_IN, sync_to_thread=True)
def move_in_page(request: Asked) -> Response[str]:
    request.user.who.need(Right.PEOPLE_EDIT)
    site = site_of(request)
    texts = {"domain": str(ACCOUNTS_RESOURCE.field("domain").default), "role": "resident", "rings": "yes"}
    for name, resource in (("flat_id", "flats"), ("resident_id", "residents")):
        id = request.query_params.get(name, "")
        if id.isdigit():
            row = site.desk.get(request.user.who, site.desk.resource(resource), int(id))
            texts[name] = f"{row.title} #{row.id}"
    return _form(request, texts, {})


@post(MOVE_IN, sync_to_thread=True, status_code=200)
def do_move_in(request: Asked, data: Form) -> Response[Any]:
    site, who = site_of(request), request.user.who
    who.need(Right.PEOPLE_EDIT)
    texts = {each.name: text_of(data, each.name) for each in _FIELDS}
    try:
        values = read_form(_FIELDS, data, ZoneInfo(site.config.time_zone))
        account = {name: values[name] for name in ACCOUNT_FIELDS if values.get(name)}
        moved = move_in(
            site.desk,
            who,
            values.get("flat_id"),
            resident_id=values.get("resident_id"),
            resident={name: values.get(name) for name in RESIDENT_FIELDS},
            account=account if account.keys() & {"sip_user", "password"} else None,
            role=values.get("role") or "resident",
            rings=bool(values.get("rings", True)),
        )
    except (Invalid, Conflict) as error:
        return _form(request, texts, errors_of(error))
    except NotFound as error:
        return _form(request, texts, {"": str(error)})
    return Redirect(f"/residents/{moved.resident_id}", status_code=303)


@post("/resident/{id:int}/move-out/{flat:int}", sync_to_thread=True, status_code=200)
def do_move_out(request: Asked, id: FromPath[int], flat: FromPath[int]) -> Redirect:
    """He lives there no more; back to the flat, as without one he may be beyond one's reach."""
    move_out(site_of(request).desk, request.user.who, id, flat)
    return Redirect(f"/flats/{flat}", status_code=303)


def _form(request: Asked, texts: Mapping[str, str], errors: Mapping[str, str]) -> Response[str]:
    names = {each.name for each in _FIELDS}
    return render(
        request,
        "move_in.html",
        status=status_of(errors),
        parts_of_form=(
            ("Flat", (_FLAT,)),
            ("Resident", (_WHO, *_PERSON)),
            ("Account", (*_ACCOUNT, *_JOINED)),
        ),
        texts={**texts, "password": ""},
        errors=errors,
        errors_beside={name: why for name, why in errors.items() if name not in names},
        back=f"/flats/{texts['flat_id'].rpartition('#')[2]}" if texts.get("flat_id") else "/residents",
    )


def _resident_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    with site.store.reading() as connection:
        accounts = accounts_of_resident(connection, row.id)
        flats = sa.select(_LIVES.c.flat_id).where(_LIVES.c.resident_id == row.id)
        mine = [_ringing(site, request, connection, accounts), _calls(request, connection, flats)]
    first = [_homes(site, request, row), _accounts(site, request, accounts)]
    return [*first, *filter(None, mine), *_keys(site, request, row.id)]


def _account_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    with site.store.reading() as connection:
        phones = connection.execute(
            sa.select(_PHONES.c.id, _PHONES.c.platform, _PHONES.c.bundle, _PHONES.c.language)
            .where(_PHONES.c.account_id == row.id)
            .order_by(_PHONES.c.id)
        ).all()
        flats = sa.select(_HAS.c.flat_id).where(_HAS.c.account_id == row.id)
        mine = [_ringing(site, request, connection, [row.id]), _calls(request, connection, flats)]
    shown = {"phones": phones, "account_id": row.id, "may_edit": _may_edit(request)}
    return [Panel("phones_panel.html", shown), *filter(None, mine)]


def _phone_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    with site.store.reading() as connection:
        panel = _ringing(site, request, connection, [row.values["account_id"]], row.id)
    return [panel]


def _homes(site: Site, request: Asked, row: Row) -> Panel:
    """The flats that a resident lives in, and out of which he may move."""
    link = RESIDENTS_RESOURCE.link("flats")
    homes = site.desk.links(request.user.who, RESIDENTS_RESOURCE, row.id, link)
    shown = {"homes": homes, "link": link, "resident_id": row.id, "may_edit": _may_edit(request)}
    return Panel("homes_panel.html", shown)


def _accounts(site: Site, request: Asked, accounts: Any) -> Panel:
    """A resident's accounts; those beyond one's reach are not shown."""
    rows = []
    for id in accounts:
        try:
            rows.append(site.desk.get(request.user.who, ACCOUNTS_RESOURCE, id))
        except Refused:
            continue
    return Panel("accounts_panel.html", {"accounts": rows})


def _ringing(
    site: Site, request: Asked, connection: sa.Connection, accounts: Any, phone: int | None = None
) -> Panel:
    reach = request.user.who.rights.reach(Right.PEOPLE_VIEW)
    found = rings_of_accounts(connection, accounts, reach, site.now())
    rows = [each for each in found if phone in (None, each.phone_id)]
    return Panel("rings_panel.html", {"rings": rows, "one_phone": phone is not None})


def _calls(request: Asked, connection: sa.Connection, flats: sa.Select[Any]) -> Panel | None:
    """The last calls of these flats, within one's reach."""
    rights = request.user.who.rights
    if not rights.may(Right.CALLS_VIEW):
        return None
    reach = rights.reach(Right.CALLS_VIEW).of_houses()
    seen = connection.execute(
        sa.select(FLATS.c.id, FLAT_TITLE).select_from(FLATS_IN_HOUSES).where(FLATS.c.id.in_(flats), reach)
    ).all()
    titles = {row[0]: row[1] for row in seen}
    columns = ("call_id", "flat_id", "started_at", "answered_by", "answered_at", "door_at", "outcome")
    calls = (
        sa.select(*(_CALLS.c[name] for name in columns))
        .where(_CALLS.c.flat_id.in_(sorted(titles)))
        .order_by(_CALLS.c.started_at.desc())
        .limit(CALLS_SHOWN)
    )
    rows = connection.execute(calls).all() if titles else []
    return Panel("people_calls_panel.html", {"calls": rows, "titles": titles})


def _keys(site: Site, request: Asked, resident: int) -> list[Panel]:
    who = request.user.who
    if not who.rights.may(Right.KEYS_VIEW):
        return []
    keys = keys_bound_to(site.store, who, Binding(KeyScope.RESIDENT, resident))
    return [Panel("people_keys_panel.html", {"keys": keys})]


def _may_edit(request: Asked) -> bool:
    return request.user.who.rights.may(Right.PEOPLE_EDIT)


def _above(site: Site, request: Asked) -> list[Action]:
    return [Action("Move in", MOVE_IN, "home", get=True)] if _may_edit(request) else []


def _resident_actions(site: Site, request: Asked, row: Row) -> list[Action]:
    if not _may_edit(request):
        return []
    return [Action("Another flat or account", f"{MOVE_IN}?resident_id={row.id}", "home", get=True)]


PAGES: list[Any] = [move_in_page, do_move_in, do_move_out]
EXTRAS: Mapping[str, Extra] = {
    "residents": Extra(
        panels=_resident_panels, actions=_resident_actions, above=_above, shown=frozenset({"flats"})
    ),
    "accounts": Extra(panels=_account_panels),
    "phones": Extra(panels=_phone_panels),
}
ITEMS: tuple[Item, ...] = ()
