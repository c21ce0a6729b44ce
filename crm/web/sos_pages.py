"""The pages of 112: live calls and pools, who stood behind which number when, test calls.

What is asked and done here goes through crm.sos.desk and crm.sos.numbers. The columns of the pools are fetched anew by
the page itself; live calls come by the board's events (board_pages.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from attrs import evolve
from litestar import Response, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.response import Redirect, Stream

from config import DEFAULT, Config
from crm.desk.resource import Row
from crm.rights import Right
from crm.sections.emergency import TESTS_RESOURCE
from crm.site import Site, part, site_of
from crm.sos import desk as sos_desk
from crm.sos import numbers as sos_numbers
from crm.sos.desk import LeaseFilter
from crm.sos.text import places_of, why
from crm.spreadsheets import csv_line
from crm.values.sos import Standing
from crm.web import show
from crm.web.forms import read_time
from crm.web.list_pages import in_portions
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, Panel, render, translate
from crm.who import Conflict, Invalid, Who

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
IN_COLUMN = 20  # numbers that a pool's column names; the list has all
HISTORY = 15  # leases on the first page
EXPORT_CHUNK = 2000
COLUMNS = (
    "Lent",
    "Call ended",
    "Guaranteed until",
    "Number",
    "Panel",
    "MAC",
    "Address",
    "Why this number",
    "Call",
)
STANDING = {
    Standing.IN_CALL: ("act", "in a call"),
    Standing.HELD: ("look", "guaranteed"),
    Standing.EXPIRED: ("off", "kept"),
    Standing.FREE: ("fine", "free"),
}


def _settings(site: Site) -> Config:
    found: Config = part(site, "settings", "the configuration of 112")
    return found


@get("/sos", sync_to_thread=True)
def sos(request: Asked) -> Response[str]:
    return _page(request)


@get("/sos/pools", sync_to_thread=True)
def pools_part(request: Asked) -> Response[str]:
    """The columns alone."""
    return render(request, "sos_pools.html", **_pools(request))


@get("/board/pools", sync_to_thread=True)
def board_pools(request: Asked) -> Response[str]:
    """The pools in a line each, for the board: the emptiest first."""
    site = site_of(request)
    settings = _settings(site)
    found = sos_desk.pools(settings, site.store, request.user.who, site.now())
    pools = sorted((each.whole for each in found.pools), key=lambda pool: pool.spare / max(1, pool.numbers))
    return render(request, "board_pools.html", pools=pools, low=settings.sos.low_numbers, default=DEFAULT)


@post("/sos/numbers", sync_to_thread=True, status_code=200)
def change_numbers(request: Asked, data: Form) -> Response[Any]:
    """Put numbers in, or take them out."""
    site, who = site_of(request), request.user.who
    try:
        numbers = sos_numbers.numbers_of(data.get("numbers", ""))
        if data.get("do") == "out":
            done = sos_numbers.take_out(site.store, who, _settings(site), numbers, site.now())
        else:
            fias = data.get("fias", "")
            done = sos_numbers.put_in(site.store, who, _settings(site), fias, numbers, site.now())
    except Invalid as error:
        return _page(request, typed=data, errors=error.errors, status=422)
    except Conflict as error:
        return _page(request, typed=data, errors={"": str(error)}, status=409)
    left = len(numbers) - len(done)
    return Redirect(f"/sos?done={len(done)}&left={left}&do={data.get('do', 'in')}#numbers", status_code=303)


def _page(
    request: Asked,
    *,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response[str]:
    site, who = site_of(request), request.user.who
    found = _pools(request)
    history = sos_desk.leases(site.store, who, LeaseFilter(), limit=HISTORY)
    query = request.query_params
    done = {
        name: int(query[name]) for name in ("done", "left") if re.fullmatch("[0-9]{1,6}", query.get(name, ""))
    }
    return render(
        request,
        "sos.html",
        status=status,
        **found,
        **_asked(request),
        history=history,
        why=why,
        fill=sos_numbers.pools_to_fill(_settings(site), site.store),
        may_change=who.rights.may_everywhere(Right.SOS_EDIT),
        typed=typed or {},
        errors=errors or {},
        done=done,
        put_in=query.get("do") != "out",
        live=site.parts.get("nodes") is not None,
    )


def _pools(request: Asked) -> dict[str, Any]:
    site = site_of(request)
    found = sos_desk.pools(_settings(site), site.store, request.user.who, site.now())
    return {
        "pools": found.pools,
        "places": found.places,
        "all_seen": found.whole,
        "standing": STANDING,
        "shown": IN_COLUMN,
        "default": DEFAULT,
        "free": Standing.FREE,
    }


def _asked(request: Asked) -> dict[str, Any]:
    """Who stood behind a number, if the address line asks: "+7351…" at a time, or now."""
    site, query = site_of(request), request.query_params
    number, at = query.get("number", "").strip(), query.get("at", "").strip()
    answer, wrong = None, ""
    if number:
        try:
            moment = read_time(at, ZoneInfo(site.config.time_zone)) if at else None
            answer = sos_desk.who_was(
                _settings(site), site.store, request.user.who, number, moment, site.now()
            )
        except ValueError as error:
            wrong = str(error)
    return {"number": number, "at": at, "answer": answer, "wrong": wrong}


# --- the history ---------------------------------------------------------------------------------------------------


@get("/sos/leases", sync_to_thread=True)
def leases_page(request: Asked) -> Response[str]:
    """All leases, filtered by the address line."""
    site = site_of(request)
    errors: Mapping[str, str] = {}
    try:
        found = sos_desk.leases(site.store, request.user.who, _filter(request))
    except Invalid as error:
        errors = error.errors
        found = sos_desk.leases(site.store, request.user.who, LeaseFilter())
    filters = {name: request.query_params.get(name, "") for name in ("number", "panel", "fias", "from", "to")}
    settings = _settings(site)
    near = sos_desk.fias_within(settings, site.store, request.user.who.rights.reach(Right.SOS_VIEW))
    cities = {
        fias: city for fias, city in sos_numbers.pools_to_fill(settings, site.store).items() if fias in near
    }
    return render(
        request, "sos_leases.html", found=found, filters=filters, errors=errors, cities=cities, why=why
    )


@get("/sos/leases.csv", sync_to_thread=True)
def leases_csv(request: Asked) -> Stream:
    """The same as a file, all of it."""
    site, asked = site_of(request), _filter(request)
    request.user.who.need(Right.SOS_VIEW)
    clock = show.Clock(site.now(), ZoneInfo(site.config.time_zone), request.user.language)

    def lines() -> Iterator[bytes]:
        yield "\ufeff".encode()  # by which spreadsheets know UTF-8
        yield csv_line([translate(request, each) for each in COLUMNS])
        after = ""
        while True:
            part_asked = evolve(asked, after=after)
            portion = sos_desk.leases(site.store, request.user.who, part_asked, limit=EXPORT_CHUNK)
            for lease in portion.leases:
                times = [clock.iso(at) for at in (lease.started_at, lease.ended_at, lease.held_until)]
                place = portion.places.get(lease.panel)
                address = place.address if place is not None else ""
                about = [lease.number, lease.panel, lease.domophone, address, translate(request, why(lease))]
                yield csv_line([*times, *about, lease.call_id])
            after = portion.next
            if not after:
                return

    headers = {"Content-Disposition": 'attachment; filename="sos-leases.csv"'}
    return Stream(in_portions(lines()), media_type="text/csv; charset=utf-8", headers=headers)


def _filter(request: Asked) -> LeaseFilter:
    """What the address line asks for. Raises Invalid."""
    query = {name: text.strip() for name, text in request.query_params.items() if text.strip()}
    zone = ZoneInfo(site_of(request).config.time_zone)
    times: dict[str, float | None] = {}
    for name in ("from", "to"):
        try:
            times[name] = read_time(query[name], zone) if name in query else None
        except ValueError as error:
            raise Invalid({name: str(error)}) from None
    return LeaseFilter(
        fias=query.get("fias", ""),
        number=query.get("number", ""),
        panel=query.get("panel", ""),
        since=times["from"],
        until=times["to"],
        after=query.get("after", ""),
    )


# --- test calls ----------------------------------------------------------------------------------------------------


@get("/sos/overdue", sync_to_thread=True)
def overdue_page(request: Asked) -> Response[str]:
    """Panels whose 112 was tested too long ago."""
    site = site_of(request)
    settings, who = _settings(site), request.user.who
    near = sos_desk.fias_within(settings, site.store, who.rights.reach(Right.SOS_VIEW))
    return render(
        request,
        "sos_overdue.html",
        found=sos_desk.overdue_panels(settings, site.store, who, site.now()),
        days=settings.sos.test_days,
        untested=[
            name for name, each in settings.dispatch.items() if not each.test_number and each.fias in near
        ],
    )


@post("/sos/tests", sync_to_thread=True, status_code=200)
def test_now(request: Asked, data: Form) -> Redirect:
    """Test a panel's 112 at once; its result comes on the test's page."""
    site = site_of(request)
    asked = sos_desk.ask_for_test(site.store, request.user.who, data.get("panel", "").strip(), site.now())
    return Redirect(f"/sos-tests/{asked.id}", status_code=303)


@get("/sos/tests/{id:int}/state", sync_to_thread=True)
def state_part(request: Asked, id: FromPath[int]) -> Response[str]:
    """How far a test is; fetched again until it has ended."""
    site = site_of(request)
    row = site.desk.get(request.user.who, TESTS_RESOURCE, id)
    return render(request, "sos_test_state.html", panel_context=_state(site, request.user.who, row))


@post("/sos/tests/{id:int}/take-back", sync_to_thread=True, status_code=200)
def take_back(request: Asked, id: FromPath[int]) -> Redirect:
    site = site_of(request)
    sos_desk.take_back(site.store, request.user.who, id, site.now())
    return Redirect("/sos-tests", status_code=303)


def _state(site: Site, who: Who, row: Row) -> dict[str, Any]:
    places = places_of(site.store, [row.values["panel"]], who.rights.reach(Right.SOS_VIEW))
    return {"test": row.values, "id": row.id, "place": places.get(row.values["panel"])}


def _test_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    return [Panel("sos_test_state.html", _state(site, request.user.who, row))]


def _above_tests(site: Site, request: Asked) -> list[Action]:
    return [Action("Panels overdue", "/sos/overdue", "clock", get=True)]


def _above_numbers(site: Site, request: Asked) -> list[Action]:
    if not request.user.who.rights.may_everywhere(Right.SOS_EDIT):
        return []
    return [Action("Put in or take out", "/sos#numbers", "plus", get=True)]


PAGES: list[Any] = [
    sos,
    pools_part,
    board_pools,
    change_numbers,
    leases_page,
    leases_csv,
    overdue_page,
    test_now,
    state_part,
    take_back,
]
EXTRAS: Mapping[str, Extra] = {
    "sos-tests": Extra(panels=_test_panels, above=_above_tests),
    "sos-numbers": Extra(above=_above_numbers),
}
ITEMS: tuple[Item, ...] = (
    Item("112 now", "/sos", Right.SOS_VIEW, "phone-arrow-up-right", "112"),
    Item("Who had which number", "/sos/leases", Right.SOS_VIEW, "queue-list", "112"),
    Item("Panels overdue", "/sos/overdue", Right.SOS_VIEW, "clock", "112"),
)
