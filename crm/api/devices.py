"""Devices: what the API does beside what all records have: doors, what a panel is still to be told.

How panels are at this moment is in panel_state.py.
"""

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.api.shapes import moment
from crm.devices.access import forget_relay_certificate, panel_was_reset
from crm.devices.doors import last_openings
from crm.devices.queue import waiting_for
from crm.rights import Right
from crm.site import part, site_of, wait_for
from crm.who import Forbidden

TAG = "Devices"
ID = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="its id")]
DOORS_MOST = 4
WAITING_MOST = 500
OPENINGS_MOST = 50


class DoorToOpen(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which of a panel's doors."""

    door: Annotated[int, Meta(ge=1, le=DOORS_MOST, description="counted from 1: the main one")] = 1


class NothingMore(Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing is said beside the address."""


class Opened(Struct, kw_only=True):
    """A door was opened: the panel or relay says so."""

    at: datetime | None


class WaitingShown(Struct, kw_only=True):
    """Something that a panel is still to be told."""

    what: Annotated[
        str, Meta(description="learn_key, forget_key, code or forget_code", examples=["learn_key"])
    ]
    key_id: int | None
    company: Annotated[str, Meta(description="whose code; empty for a key", examples=["УК Альфа"])]
    due_at: datetime | None
    tries: int
    error: Annotated[str, Meta(description="why the last try failed", examples=["no answer within 10 s"])]


class OpeningShown(Struct, kw_only=True):
    """A door that was opened from here, or was to be."""

    at: datetime | None
    who: str
    what: Annotated[str, Meta(description="which door, or what the channel opens")]
    outcome: Annotated[str, Meta(description="opened, or why not", examples=["opened"])]


@post(
    "/domophones/{id:int}/open",
    sync_to_thread=True,
    summary="Open a panel's door",
    operation_id="open_door_of_domophone",
    tags=[TAG],
    responses=problems(404, 409, 422),
)
def open_door(request: Asked, id: ID, data: JSONBody[DoorToOpen]) -> Response[Opened]:
    site = site_of(request)

    def make() -> Opened:
        wait_for(part(site, "doors", "the opening of doors").open_door, id, data.door, request.user)
        return Opened(at=moment(site.now()))

    return once(request, data, make)


@post(
    "/relay-channels/{id:int}/open",
    sync_to_thread=True,
    summary="Open what a relay's channel opens",
    operation_id="open_relay_channel",
    tags=[TAG],
    responses=problems(404, 409, 422),
)
def open_channel(request: Asked, id: ID, data: JSONBody[NothingMore]) -> Response[Opened]:
    site = site_of(request)

    def make() -> Opened:
        wait_for(part(site, "doors", "the opening of doors").open_channel, id, request.user)
        return Opened(at=moment(site.now()))

    return once(request, data, make)


@get(
    "/domophones/{id:int}/deliveries",
    sync_to_thread=True,
    summary=f"What a panel is still to be told, {WAITING_MOST} things at most",
    operation_id="list_deliveries_of_domophone",
    tags=[TAG],
    responses=problems(404),
)
def deliveries(request: Asked, id: ID) -> list[WaitingShown]:
    site = site_of(request)
    site.desk.get(request.user, site.desk.resource("domophones"), id)
    sees_keys = request.user.rights.may_everywhere(Right.KEYS_VIEW)
    sees = request.user.rights.reach(Right.COMPANIES_VIEW)
    with site.store.reading() as connection:
        return [
            WaitingShown(
                what=each.what.value,
                key_id=each.key_id if sees_keys else None,
                company=each.text if each.key_id is None else "",
                due_at=moment(each.due_at),
                tries=each.tries,
                error=each.error,
            )
            for each in waiting_for(connection, id, WAITING_MOST, sees)
        ]


@get(
    "/domophones/{id:int}/openings",
    sync_to_thread=True,
    summary="Who opened a panel's door from here, the newest first",
    operation_id="list_openings_of_domophone",
    tags=[TAG],
    responses=problems(404),
)
def openings(request: Asked, id: ID) -> list[OpeningShown]:
    return _openings(request, "domophones", id)


@get(
    "/relays/{id:int}/openings",
    sync_to_thread=True,
    summary="Who opened something by a relay from here, the newest first",
    operation_id="list_openings_of_relay",
    tags=[TAG],
    responses=problems(404),
)
def relay_openings(request: Asked, id: ID) -> list[OpeningShown]:
    return _openings(request, "relays", id)


@post(
    "/domophones/{id:int}/reset",
    sync_to_thread=True,
    status_code=204,
    summary="A panel was exchanged or reset: take its certificate anew, tell it all keys and codes again",
    operation_id="reset_domophone",
    tags=[TAG],
    responses=problems(404),
)
def reset(request: Asked, id: ID) -> None:
    site = site_of(request)
    panel_was_reset(site.store, request.user, id, site.now())


@post(
    "/relays/{id:int}/reset",
    sync_to_thread=True,
    status_code=204,
    summary="A relay was exchanged or reset: take its certificate anew",
    operation_id="reset_relay",
    tags=[TAG],
    responses=problems(404),
)
def reset_relay(request: Asked, id: ID) -> None:
    site = site_of(request)
    forget_relay_certificate(site.store, request.user, id, site.now())


def _openings(request: Asked, name: str, id: int) -> list[OpeningShown]:
    site = site_of(request)
    resource = site.desk.resource(name)
    site.desk.get(request.user, resource, id)
    if not site.desk.reaches(request.user, resource, id, Right.DOORS_OPEN, Right.CHANGES_VIEW):
        raise Forbidden(f"this needs the right {Right.DOORS_OPEN.value} or {Right.CHANGES_VIEW.value}")
    with site.store.reading() as connection:
        found = last_openings(connection, resource.entity, id, OPENINGS_MOST)
    return [
        OpeningShown(at=moment(each.at), who=each.who, what=each.what, outcome=each.outcome) for each in found
    ]


REQUESTS: list[Any] = [
    open_door,
    open_channel,
    deliveries,
    openings,
    relay_openings,
    reset,
    reset_relay,
]
