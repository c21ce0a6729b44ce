"""How panels are at this moment: their locks, their SIP registrations, what they say themselves."""

from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import get
from litestar.params import PathParameter
from msgspec import Meta, Struct

from crm.api.guard import Asked
from crm.api.problems import problems
from crm.api.shapes import moment
from crm.devices.registered import unregistered
from crm.rights import Right
from crm.site import part, site_of, wait_for

TAG = "Devices"
ID = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="its id")]
NODES = "what nodes say"
UNREGISTERED_MOST = 1000


class LockShown(Struct, kw_only=True):
    """A panel's lock, as its node says."""

    panel: Annotated[str, Meta(description="its SIP user", examples=["500001"])]
    node: str
    held_for: Annotated[str | None, Meta(description="null: it is free", examples=["visitor"])]
    since: datetime | None


class ContactShown(Struct, kw_only=True):
    """From where a panel has registered, as Kamailio says; texts are the panel's own."""

    address: Annotated[str, Meta(description="host and port where it is called", examples=["10.1.2.3:5060"])]
    transport: Annotated[str, Meta(description="udp, tcp, or empty: not told", examples=["udp"])]
    user_agent: Annotated[
        str, Meta(description="what it calls itself; empty: nothing", examples=["Beward DKS15122 4.3.1"])
    ]
    at: Annotated[
        datetime | None, Meta(description="when it registered last", examples=["2026-11-24T09:03:22Z"])
    ]
    until: Annotated[
        datetime | None,
        Meta(description="until when that is good; null: for ever", examples=["2026-11-24T09:13:22Z"]),
    ]


class RegistrationShown(Struct, kw_only=True):
    """A panel's SIP registration. It is unknown where a Kamailio could not be asked, and no other has it."""

    panel: Annotated[str, Meta(description="its SIP user", examples=["500001"])]
    state: Literal["registered", "not_registered", "unknown"]
    why: Annotated[
        str, Meta(description="why it is unknown", examples=["no Kamailio can be asked: set [node] kamailio"])
    ]
    node: Annotated[str, Meta(description="the node whose Kamailio says so", examples=["node1"])]
    contacts: Annotated[list[ContactShown], Meta(description="the newest first")]


class PanelSaysShown(Struct, kw_only=True):
    """What a panel says of itself; not every vendor's tell both."""

    registration: Literal["registered", "not_registered", "not_told"]
    idle: Annotated[Literal["yes", "no", "not_told"], Meta(description="yes: it is in no call")]


class PanelListed(Struct, kw_only=True):
    """A panel in use that is not registered."""

    id: Annotated[int, Meta(examples=[17])]
    sip_user: Annotated[str, Meta(examples=["500001"])]
    address: Annotated[str, Meta(description="empty: it serves no house", examples=["ул. Ленина 5, п. 2"])]
    vendor: Annotated[str, Meta(examples=["beward"])]
    model: Annotated[str, Meta(examples=["DKS15122"])]
    last_call_at: Annotated[
        datetime | None, Meta(description="null: never", examples=["2026-11-24T09:03:22Z"])
    ]


class UnregisteredShown(Struct, kw_only=True):
    """Which panels are not registered. `known` false: nobody knows; then `panels` is empty, and `why` says why."""

    known: bool
    why: Annotated[str, Meta(examples=[""])]
    asked: Annotated[int, Meta(description="panels in use that were asked for", examples=[22000])]
    total: Annotated[int, Meta(description="of them not registered", examples=[31])]
    panels: Annotated[list[PanelListed], Meta(description=f"by SIP user, the first {UNREGISTERED_MOST}")]


@get(
    "/domophones/{id:int}/lock",
    sync_to_thread=True,
    summary="Who has a panel at this moment",
    operation_id="read_lock_of_domophone",
    tags=[TAG],
    responses=problems(404),
)
def lock(request: Asked, id: ID) -> LockShown:
    site = site_of(request)
    row = site.desk.get(request.user, site.desk.resource("domophones"), id)
    found = wait_for(part(site, "nodes", NODES).lock_of, row.values["sip_user"])
    return LockShown(panel=found.panel, node=found.node, held_for=found.held_for, since=moment(found.since))


@get(
    "/domophones/{id:int}/registration",
    sync_to_thread=True,
    summary="Whether a panel is registered at SIP, as Kamailio says",
    operation_id="read_registration_of_domophone",
    tags=[TAG],
    responses=problems(404),
)
def registration(request: Asked, id: ID) -> RegistrationShown:
    site = site_of(request)
    row = site.desk.get(request.user, site.desk.resource("domophones"), id)
    found = wait_for(part(site, "nodes", NODES).registration_of, row.values["sip_user"])
    return RegistrationShown(
        panel=found.panel,
        state=found.state.value,
        why=found.why,
        node=found.node,
        contacts=[
            ContactShown(
                address=each.address,
                transport=each.transport,
                user_agent=each.user_agent,
                at=moment(each.at),
                until=moment(each.until),
            )
            for each in found.contacts
        ],
    )


@get(
    "/domophones/{id:int}/says",
    sync_to_thread=True,
    summary="Ask a panel itself whether it is registered and idle",
    operation_id="ask_domophone",
    tags=[TAG],
    responses=problems(404, 422),
)
def says(request: Asked, id: ID) -> PanelSaysShown:
    site = site_of(request)
    site.desk.get(request.user, site.desk.resource("domophones"), id)
    said = wait_for(part(site, "doors", "the asking of panels").ask, id, request.user)
    return PanelSaysShown(registration=said.registration.value, idle=said.idle.value)


@get(
    "/domophones/unregistered",
    sync_to_thread=True,
    summary="The panels in use that are not registered at SIP, as Kamailio says",
    operation_id="list_unregistered_domophones",
    tags=[TAG],
    responses=problems(),
)
def unregistered_panels(request: Asked) -> UnregisteredShown:
    site = site_of(request)
    request.user.need(Right.DEVICES_VIEW)
    ask = part(site, "nodes", NODES).registered_of
    reach = request.user.rights.reach(Right.DEVICES_VIEW)
    found = unregistered(site.store, reach, lambda users: wait_for(ask, users), limit=UNREGISTERED_MOST)
    return UnregisteredShown(
        known=not found.why,
        why=found.why,
        asked=found.asked,
        total=found.total,
        panels=[
            PanelListed(
                id=each.id,
                sip_user=each.sip_user,
                address=each.address,
                vendor=each.vendor.value,
                model=each.model,
                last_call_at=moment(each.last_call_at),
            )
            for each in found.panels
        ],
    )


REQUESTS: list[Any] = [lock, registration, says, unregistered_panels]
