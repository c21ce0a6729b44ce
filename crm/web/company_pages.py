"""What companies have beside what all records have: their code and who knows it, their houses, weekly runs, billing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from attrs import frozen
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.companies import billing_feeds
from crm.companies.chores import Chores
from crm.companies.code_panels import panels_told
from crm.companies.code_runs import Code, codes_of, make_by_hand, runs, tell_again
from crm.companies.codes import next_week
from crm.companies.debts import unknown_contracts, unknown_debts
from crm.companies.parts import chores_of, wake
from crm.desk.resource import Row
from crm.model import House, table
from crm.rights import Right
from crm.sections.shared import HOUSE_TITLE, HOUSES_IN_CITIES
from crm.site import Site, site_of
from crm.web.forms import read_reference
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, Panel, render
from crm.web.record_pages import Form, show_record
from crm.who import Conflict, Invalid, NotFound, Refused

HOUSES_SHOWN = 500
UNKNOWN_SHOWN = 200


@frozen
class CompanyHouse:
    """A house of a company's, and whether it may be moved to another by whoever asks."""

    id: int
    title: str
    mine: bool


# --- a company's page ----------------------------------------------------------------------------------------------


def _panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    who = request.user.who
    panels = []
    if who.rights.may(Right.CODES_VIEW):
        codes: list[Code] | None = None
        try:
            codes = codes_of(site.store, who, row.id)
        except NotFound:
            pass  # not all of its houses are his
        told = None
        if codes is not None:
            with site.store.reading() as connection:
                told = panels_told(connection, row.id)
        chores: Chores | None = site.parts.get("chores")
        next_at = next_week(site.now(), chores.codes).due_at if chores is not None else None
        holds = next((each for each in codes or () if each.ended_at is None), None)
        before = [each for each in codes or () if each is not holds]
        context = {"row": row, "seen": codes is not None, "holds": holds, "before": before}
        panels.append(Panel("company_code.html", context | {"told": told, "next_at": next_at}))
    panels.append(Panel("company_billing.html", {"row": row}))
    if who.rights.may(Right.HOUSING_VIEW):
        context = {"row": row, "houses": _houses(site, request, row.id)}
        panels.append(Panel("company_houses.html", context))
    return panels


def _houses(site: Site, request: Asked, id: int) -> list[CompanyHouse]:
    rights = request.user.who.rights
    mine = rights.reach(Right.HOUSING_EDIT).of_houses().label("mine")
    query = (
        sa.select(table(House).c.id, HOUSE_TITLE, mine)
        .select_from(HOUSES_IN_CITIES)
        .where(House.company_id == id, rights.reach(Right.HOUSING_VIEW).of_houses())
        .order_by(House.street, House.number, House.id)
        .limit(HOUSES_SHOWN)
    )
    with site.store.reading() as connection:
        return [CompanyHouse(*row) for row in connection.execute(query)]


def _actions(site: Site, request: Asked, row: Row) -> list[Action]:
    rights = request.user.who.rights
    actions = []
    if row.values["active"] and rights.may(Right.CODES_MAKE):
        confirm = (
            "Make a new access code now? The old one stops opening doors as soon as panels know the new one."
        )
        actions.append(Action("New code now", f"/company/{row.id}/code", "arrow-path", confirm=confirm))
    if rights.may(Right.COMPANIES_EDIT) and _billing(site):
        path = f"/company/{row.id}/billing"
        actions.append(Action("Synchronise with billing", path, "banknotes"))
    return actions


def _billing(site: Site) -> bool:
    """Whether there is a billing to tell."""
    chores: Chores | None = site.parts.get("chores")
    return chores is not None and bool(chores.billing.url)


@post("/company/{id:int}/code", sync_to_thread=True, status_code=200)
def make_code(request: Asked, id: FromPath[int]) -> Response[Any]:
    """A company's new code, at once."""
    site = site_of(request)
    try:
        chores = chores_of(site)
        make_by_hand(
            site.store,
            request.user.who,
            id,
            chores.codes.digits,
            site.now(),
            billing=bool(chores.billing.url),
        )
        wake(chores)
    except Conflict as error:
        return _refused(request, id, error)
    return Redirect(f"/companies/{id}", status_code=303)


@post("/company/{id:int}/billing", sync_to_thread=True, status_code=200)
def synchronise(request: Asked, id: FromPath[int]) -> Response[Any]:
    """Billing is told of a company again, at once."""
    site = site_of(request)
    chores = chores_of(site)
    if not tell_again(site.store, request.user.who, id, site.now()):
        error = Conflict("billing is told of a company with its code, and this one has none: make it one")
        return _refused(request, id, error)
    wake(chores)
    return Redirect(f"/companies/{id}", status_code=303)


@post("/company/{id:int}/houses", sync_to_thread=True, status_code=200)
def add_house(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    """A house is this company's from now on."""
    site, who = site_of(request), request.user.who
    try:
        try:
            house = read_reference(str(data.get("house", "")))
        except ValueError as error:
            raise Invalid({"house": str(error)}) from None
        site.desk.update(who, site.desk.resource("houses"), house, {"company_id": id})
    except (Invalid, Conflict, NotFound) as error:
        return _refused(request, id, error)
    return Redirect(f"/companies/{id}#houses", status_code=303)


@post("/company/{id:int}/houses/{house:int}/remove", sync_to_thread=True, status_code=200)
def remove_house(request: Asked, id: FromPath[int], house: FromPath[int]) -> Response[Any]:
    """A house is no company's any more."""
    site, who = site_of(request), request.user.who
    houses = site.desk.resource("houses")
    if site.desk.get(who, houses, house).values["company_id"] != id:
        raise NotFound(f"house {house} is not this company's")
    site.desk.update(who, houses, house, {"company_id": None})
    return Redirect(f"/companies/{id}#houses", status_code=303)


def _refused(request: Asked, id: int, error: Refused) -> Response[Any]:
    site = site_of(request)
    resource = site.desk.resource("companies")
    row = site.desk.get(request.user.who, resource, id)
    errors = error.errors if isinstance(error, Invalid) else {"": str(error)}
    return show_record(
        request, resource, row, errors=errors, status=409 if isinstance(error, Conflict) else 422
    )


# --- runs, billing -------------------------------------------------------------------------------------------------


@get("/weekly-codes", sync_to_thread=True)
def runs_page(request: Asked) -> Response[str]:
    """Each Monday's making of codes: how far it is."""
    site = site_of(request)
    found = runs(site.store, request.user.who)
    chores: Chores | None = site.parts.get("chores")
    next_run = next_week(site.now(), chores.codes) if chores is not None else None
    zone = chores.codes.time_zone if chores is not None else site.config.time_zone
    return render(request, "code_runs.html", runs=found, next_run=next_run, zone=str(ZoneInfo(zone)))


@get("/billing", sync_to_thread=True)
def billing_page(request: Asked) -> Response[str]:
    """What billing says and is told, and what of it nobody could place."""
    site, who = site_of(request), request.user.who
    who.need_everywhere(Right.COMPANIES_VIEW)
    chores: Chores | None = site.parts.get("chores")
    return render(
        request,
        "billing.html",
        url=chores.billing.url if chores is not None else "",
        feeds=[billing_feeds.feed_state(site.store, each) for each in billing_feeds.Feed],
        debts=unknown_debts(site.store, UNKNOWN_SHOWN + 1),
        contracts=unknown_contracts(site.store, UNKNOWN_SHOWN + 1),
        most=UNKNOWN_SHOWN,
        can_read=who.rights.may_everywhere(Right.COMPANIES_EDIT),
    )


@post("/billing/read", sync_to_thread=True, status_code=200)
def read_billing(request: Asked) -> Redirect:
    """Billing's feeds are read at once."""
    site = site_of(request)
    request.user.who.need_everywhere(Right.COMPANIES_EDIT)
    chores = chores_of(site)
    billing_feeds.read_soon(site.store, site.now())
    wake(chores)
    return Redirect("/billing", status_code=303)


PAGES: list[Any] = [make_code, synchronise, add_house, remove_house, runs_page, billing_page, read_billing]
EXTRAS: Mapping[str, Extra] = {"companies": Extra(panels=_panels, actions=_actions)}
ITEMS: tuple[Item, ...] = (
    Item("Weekly codes", "/weekly-codes", Right.CODES_VIEW, "calendar-days", "Companies", everywhere=True),
    Item("Billing", "/billing", Right.COMPANIES_EDIT, "banknotes", "Companies", everywhere=True),
)
