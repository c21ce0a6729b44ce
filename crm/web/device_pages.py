"""What panels and relays have beside what all records have: doors to open, what a panel is still to learn, its calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from litestar import Response, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.desk.resource import Row
from crm.devices.access import forget_relay_certificate, panel_was_reset
from crm.devices.doors import channels_of, last_openings, serves
from crm.devices.queue import waiting_for
from crm.model import Flat, House, table
from crm.rights import Reach, Right
from crm.site import Site, part, site_of, wait_for
from crm.tables.calls import Call
from crm.tables.sos import SosTest
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, Panel
from crm.web.panel_state_pages import not_registered
from crm.web.record_pages import Form, show_record
from crm.who import Invalid

SHOWN = 5
WAITING_SHOWN = 50
DOORS_MOST = 4
_OPENINGS = (Right.DOORS_OPEN, Right.CHANGES_VIEW)  # one of these shows who opened


@frozen
class LastCall:
    """A call from a panel."""

    id: str
    kind: str
    flat: str
    started_at: float
    outcome: str


# --- panels --------------------------------------------------------------------------------------------------------


def _domophone_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    rights = request.user.who.rights
    user = row.values["sip_user"]
    who, panels = request.user.who, site.desk.resource("domophones")
    sees_openings = site.desk.reaches(who, panels, row.id, *_OPENINGS)
    sees_tests = site.desk.reaches(who, panels, row.id, Right.SOS_VIEW)
    with site.store.reading() as connection:
        openings = last_openings(connection, "domophone", row.id, SHOWN) if sees_openings else None
        served = serves(connection, row.id, rights.reach(Right.DEVICES_VIEW))
        companies = rights.reach(Right.COMPANIES_VIEW)
        waiting = waiting_for(connection, row.id, WAITING_SHOWN + 1, companies)
        calls = (
            _last_calls(connection, user, rights.reach(Right.CALLS_VIEW))
            if rights.may(Right.CALLS_VIEW)
            else None
        )
        test = _last_test(connection, user) if sees_tests else None
    sees_keys = rights.may_everywhere(Right.KEYS_VIEW)  # one of a gate may be a key of other houses
    context = {
        **{"row": row, "openings": openings, "served": served, "calls": calls, "test": test},
        **{"waiting": waiting[:WAITING_SHOWN], "more": len(waiting) > WAITING_SHOWN, "sees_keys": sees_keys},
        **{"asks": bool(row.values["url"]) and rights.may(Right.DEVICES_EDIT)},
        **{"sees_tests": sees_tests, "opened": request.query_params.get("opened", "")},
    }
    return [Panel("domophone_panels.html", context)]


def _last_calls(connection: sa.Connection, sip_user: str, reach: Reach) -> list[LastCall]:
    """From a gate's panel others' flats are called, too: those beyond are not shown."""
    calls, flats, houses = table(Call), table(Flat), table(House)
    homes = flats.join(houses, houses.c.id == flats.c.house_id)
    near = sa.select(sa.literal(1)).select_from(homes).where(flats.c.id == calls.c.flat_id, reach.of_houses())
    # Each call's flat by itself: the offset keeps PostgreSQL from reading all flats of a city first.
    here = near.offset(0).correlate(calls).exists()
    seen = sa.true() if reach.everywhere else sa.or_(calls.c.flat_id.is_(None), here)
    query = (
        sa.select(calls.c.call_id, calls.c.kind, calls.c.flat, calls.c.started_at, calls.c.outcome)
        .where(calls.c.panel == sip_user, seen)
        .order_by(calls.c.started_at.desc())
        .limit(SHOWN)
    )
    return [
        LastCall(id, kind, flat, at, outcome.value if outcome is not None else "")
        for id, kind, flat, at, outcome in connection.execute(query)
    ]


def _last_test(connection: sa.Connection, sip_user: str) -> Any:
    """The last test of its 112 that was made, or the one that is due."""
    tests = table(SosTest)
    mine = sa.select(tests).where(tests.c.panel == sip_user)
    made = mine.where(tests.c.ended_at.is_not(None)).order_by(tests.c.due_at.desc()).limit(1)
    return connection.execute(made).mappings().first()


def _domophone_actions(site: Site, request: Asked, row: Row) -> list[Action]:
    rights = request.user.who.rights
    here = f"/domophone/{row.id}"
    actions = []
    if row.values["url"] and rights.may(Right.DOORS_OPEN):
        actions.append(Action("Open the door", f"{here}/open", "lock-open", confirm="Open this door now?"))
    if rights.may(Right.DEVICES_EDIT):
        confirm = "Was it exchanged or reset? Its certificate is taken anew, and it is told all keys and codes again."
        actions.append(Action("Exchanged or reset", f"{here}/reset", "arrow-path", confirm=confirm))
    return actions


@post("/domophone/{id:int}/open", sync_to_thread=True, status_code=200)
def open_door(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    """Open a panel's door, and say so."""
    site = site_of(request)
    text = str(data.get("door", "1"))
    door = int(text) if text.isascii() and text.isdigit() and len(text) < 3 else 0
    try:
        if not 1 <= door <= DOORS_MOST:
            raise Invalid({"door": f"doors are counted from 1 to {DOORS_MOST}"})
        wait_for(part(site, "doors", "the opening of doors").open_door, id, door, request.user.who)
    except Invalid as error:
        return _not_opened(request, "domophones", id, error.errors, 422)
    except site.failures as error:
        return _not_opened(request, "domophones", id, {"": str(error)}, 502)
    return Redirect(f"/domophones/{id}?opened={door}#door", status_code=303)


def _not_opened(request: Asked, name: str, id: int, errors: Mapping[str, str], status: int) -> Response[str]:
    """The record's page, which says why; whether it is open all the same is not always known."""
    desk = site_of(request).desk
    resource = desk.resource(name)
    row = desk.get(request.user.who, resource, id)
    return show_record(request, resource, row, errors=errors, status=status)


@post("/domophone/{id:int}/reset", sync_to_thread=True, status_code=200)
def reset(request: Asked, id: FromPath[int]) -> Redirect:
    """The panel was exchanged or reset: it knows nothing any more, and shows another certificate."""
    site = site_of(request)
    panel_was_reset(site.store, request.user.who, id, site.now())
    return Redirect(f"/domophones/{id}", status_code=303)


# --- relays --------------------------------------------------------------------------------------------------------


def _relay_panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    rights = request.user.who.rights
    sees = site.desk.reaches(request.user.who, site.desk.resource("relays"), row.id, *_OPENINGS)
    with site.store.reading() as connection:
        channels = channels_of(
            connection, row.id, rights.reach(Right.DEVICES_VIEW), rights.reach(Right.DOORS_OPEN)
        )
        openings = last_openings(connection, "relay", row.id, SHOWN) if sees else None
    context = {"row": row, "channels": channels, "openings": openings}
    return [Panel("relay_panels.html", context | {"opened": request.query_params.get("opened", "")})]


def _relay_actions(site: Site, request: Asked, row: Row) -> list[Action]:
    if not request.user.who.rights.may(Right.DEVICES_EDIT) or not row.values["tls_pin"]:
        return []
    confirm = "Was it exchanged or reset? The next certificate that it shows is taken."
    return [Action("Exchanged or reset", f"/relay/{row.id}/reset", "arrow-path", confirm=confirm)]


@post("/relay-channel/{id:int}/open", sync_to_thread=True, status_code=200)
def open_channel(request: Asked, id: FromPath[int]) -> Response[Any]:
    """Open what a relay's channel opens, and say so."""
    site = site_of(request)
    who = request.user.who
    channel = site.desk.get(who, site.desk.resource("relay-channels"), id)
    relay_id = channel.values["relay_id"]
    try:
        wait_for(part(site, "doors", "the opening of doors").open_channel, id, who)
    except Invalid as error:
        return _not_opened(request, "relays", relay_id, error.errors, 422)
    except site.failures as error:
        return _not_opened(request, "relays", relay_id, {"": str(error)}, 502)
    return Redirect(f"/relays/{relay_id}?opened={channel.values['number']}#channels", status_code=303)


@post("/relay/{id:int}/reset", sync_to_thread=True, status_code=200)
def reset_relay(request: Asked, id: FromPath[int]) -> Redirect:
    """The relay was exchanged or reset: it shows another certificate."""
    site = site_of(request)
    forget_relay_certificate(site.store, request.user.who, id, site.now())
    return Redirect(f"/relays/{id}", status_code=303)


def _channel_actions(site: Site, request: Asked, row: Row) -> list[Action]:
    if not request.user.who.rights.may(Right.DOORS_OPEN):
        return []
    path = f"/relay-channel/{row.id}/open"
    return [Action("Open", path, "lock-open", confirm="Open this now?")]


PAGES: list[Any] = [open_door, reset, open_channel, reset_relay]
EXTRAS: Mapping[str, Extra] = {
    "domophones": Extra(panels=_domophone_panels, actions=_domophone_actions, above=not_registered),
    "relays": Extra(panels=_relay_panels, actions=_relay_actions),
    "relay-channels": Extra(actions=_channel_actions),
}
ITEMS: tuple[Item, ...] = ()
