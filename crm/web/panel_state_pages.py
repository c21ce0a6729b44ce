"""How panels are at this moment, as parts of pages that come after the pages: who is asked answers when he likes.

What nobody says is shown as not known, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get
from litestar.params import FromPath

from crm.devices.registered import Unregistered, unregistered
from crm.rights import Right
from crm.site import Site, part, site_of, wait_for
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, render
from crm.who import Invalid, Refused

NODES = "what nodes say"
SHOWN = 500


def not_registered(site: Site, request: Asked) -> list[Action]:
    """The button above the list of panels."""
    return [Action("Not registered", "/unregistered-domophones", "signal-slash", get=True)]


def _nobody_said(site: Site) -> tuple[type[Exception], ...]:
    return (Refused, *site.failures)


@get("/domophone/{id:int}/lock", sync_to_thread=True)
def lock(request: Asked, id: FromPath[int]) -> Response[str]:
    """Who has the panel at this moment, as its node says: a part of its page."""
    site = site_of(request)
    row = site.desk.get(request.user.who, site.desk.resource("domophones"), id)
    try:
        found = wait_for(part(site, "nodes", NODES).lock_of, row.values["sip_user"])
    except _nobody_said(site) as error:
        return render(request, "domophone_lock.html", lock=None, why=str(error))
    return render(request, "domophone_lock.html", lock=found, why="")


@get("/domophone/{id:int}/registration", sync_to_thread=True)
def registration(request: Asked, id: FromPath[int]) -> Response[str]:
    """Whether the panel is registered, as Kamailio says: a part of its page."""
    site = site_of(request)
    row = site.desk.get(request.user.who, site.desk.resource("domophones"), id)
    try:
        found = wait_for(part(site, "nodes", NODES).registration_of, row.values["sip_user"])
    except _nobody_said(site) as error:
        return render(request, "domophone_registration.html", found=None, why=str(error))
    return render(request, "domophone_registration.html", found=found, why=found.why)


@get("/domophone/{id:int}/says", sync_to_thread=True)
def says(request: Asked, id: FromPath[int]) -> Response[str]:
    """What the panel says of itself, asked at this moment by whoever may change it: a part of its page."""
    site = site_of(request)
    site.desk.get(request.user.who, site.desk.resource("domophones"), id)
    try:
        said = wait_for(part(site, "doors", "the asking of panels").ask, id, request.user.who)
    except Invalid as error:
        return render(request, "domophone_says.html", said=None, why="; ".join(error.errors.values()), id=id)
    except site.failures as error:
        return render(request, "domophone_says.html", said=None, why=str(error), id=id)
    return render(request, "domophone_says.html", said=said, why="", id=id)


@get("/unregistered-domophones", sync_to_thread=True)
def unregistered_page(request: Asked) -> Response[str]:
    """The panels that are not registered; they come by a request of their own."""
    request.user.who.need(Right.DEVICES_VIEW)
    return render(request, "unregistered.html")


@get("/unregistered-domophones/rows", sync_to_thread=True)
def unregistered_rows(request: Asked) -> Response[str]:
    """The same as a part of the page."""
    site, who = site_of(request), request.user.who
    who.need(Right.DEVICES_VIEW)
    try:
        ask = part(site, "nodes", NODES).registered_of
        reach = who.rights.reach(Right.DEVICES_VIEW)
        found = unregistered(site.store, reach, lambda users: wait_for(ask, users), limit=SHOWN)
    except _nobody_said(site) as error:
        found = Unregistered(0, 0, [], str(error))
    return render(request, "unregistered_rows.html", found=found)


PAGES: list[Any] = [lock, registration, says, unregistered_page, unregistered_rows]
EXTRAS: Mapping[str, Extra] = {}
ITEMS: tuple[Item, ...] = ()
