"""112: what the API does beside what all records have; numbers and test calls are listed as records."""

from __future__ import annotations

from typing import Annotated, Any

import attrs
from litestar import Response, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta, Struct

from config import Config
from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.api.records import PATH_ID
from crm.site import Site, part, site_of
from crm.sos import desk as sos_desk
from crm.sos import numbers as sos_numbers
from crm.sos.desk import LeaseFilter
from crm.values.sos import Lease
from crm.who import NotFound

TAGS = ["112"]
At = Annotated[float, Meta(description="UTC seconds", examples=[1790000000.0])]
AtOrNone = Annotated[float | None, Meta(description="UTC seconds", examples=[1790001800.0])]
Number = Annotated[str, Meta(examples=["+73512000001"], min_length=1, max_length=64)]
SipUser = Annotated[str, Meta(description="the panel's SIP user", examples=["500001"])]
Address = Annotated[
    str, Meta(description='"" where it is not known', examples=["Челябинск, ул. Ленина 5, п. 2"])
]
Moment = Annotated[float | None, QueryParameter(description="UTC seconds", ge=1, le=1e11)]


class SosLeaseOut(Struct):
    """A number lent to a panel for a call."""

    id: Annotated[str, Meta(examples=["9f3ac1d2"])]
    fias: Annotated[str, Meta(examples=["a376e68d-724a-4472-be7c-891bdb09ae32"])]
    number: Number
    panel: SipUser
    domophone: Annotated[str, Meta(description="its MAC", examples=["02500007a121"])]
    address: Address
    call_id: Annotated[str, Meta(examples=["9f3ac1d2"])]
    node: Annotated[str, Meta(examples=["node1"])]
    why: Annotated[str, Meta(description="own_lease, free, expired or broken", examples=["free"])]
    started_at: At
    ended_at: Annotated[float | None, Meta(description="none: the call goes on", examples=[1790000060.0])]
    held_until: AtOrNone


class SosLeases(Struct):
    """A part of the list, the newest first; `next` is the cursor of what follows."""

    items: list[SosLeaseOut]
    next: Annotated[str | None, Meta(examples=["9f3ac1d2"])]


class SosNumberOut(Struct):
    """How a number stands; of the panel behind it only what is within the token's reach."""

    number: Number
    standing: Annotated[str, Meta(description="free, expired (kept), held or in_call", examples=["held"])]
    until: Annotated[float | None, Meta(description="until when it stands so", examples=[1790001800.0])]
    reserve: Annotated[bool, Meta(description="it stands in the settings", examples=[False])]
    panel: Annotated[str | None, Meta(examples=["500001"])]
    address: Address


class SosPoolOut(Struct):
    """The numbers of a city, by its dispatch."""

    dispatch: Annotated[str, Meta(description='"" where none has this city', examples=["chel"])]
    city: Annotated[str, Meta(examples=["Челябинск"])]
    fias: Annotated[str, Meta(examples=["a376e68d-724a-4472-be7c-891bdb09ae32"])]
    trunks: Annotated[list[str], Meta(examples=[["dispatch-1"]])]
    numbers: Annotated[int, Meta(examples=[40])]
    free: Annotated[int, Meta(examples=[36])]
    kept: Annotated[int, Meta(examples=[2])]
    guaranteed: Annotated[int, Meta(examples=[1])]
    in_call: Annotated[int, Meta(examples=[1])]
    reserve: Annotated[int, Meta(examples=[2])]
    reserve_free: Annotated[int, Meta(examples=[2])]
    notes: Annotated[list[str], Meta(description="what is wrong with it", examples=[[]])]
    stand: list[SosNumberOut]


class SosOwner(Struct):
    """Who stood behind a number at `at`. `lease` none: the number is the panel's own."""

    number: Number
    at: At
    panel: SipUser
    domophone: Annotated[str, Meta(description="its MAC", examples=["02500007a121"])]
    address: Address
    standing: Annotated[
        str | None, Meta(description="free, expired (kept), held or in_call, then", examples=["held"])
    ]
    lease: SosLeaseOut | None


class SosOverdue(Struct):
    """A panel whose 112 was tested too long ago."""

    panel: SipUser
    domophone: Annotated[str, Meta(description="its MAC", examples=["02500007a121"])]
    address: Address
    passed_at: AtOrNone
    last_test_id: Annotated[int | None, Meta(examples=[7])]
    last_result: Annotated[str, Meta(examples=["answered in 2.1 s"])]


class SosTestAsked(Struct, forbid_unknown_fields=True):
    """Which panel is to be tested."""

    panel: Annotated[
        str, Meta(description="its SIP user or MAC", examples=["500001"], min_length=1, max_length=64)
    ]


class SosTestMade(Struct):
    """A test that waits for a node; GET /sos-tests/ID has its result."""

    id: Annotated[int, Meta(examples=[7])]
    panel: SipUser


class SosNumbersAsked(Struct, forbid_unknown_fields=True):
    """Numbers to put into a city's pool; `fias` "": the default dispatch's."""

    fias: Annotated[str, Meta(examples=["a376e68d-724a-4472-be7c-891bdb09ae32"], max_length=36)]
    numbers: Annotated[
        list[Number], Meta(min_length=1, max_length=sos_numbers.AT_ONCE, examples=[["+73512000001"]])
    ]


class SosNumbersGone(Struct, forbid_unknown_fields=True):
    """Numbers to take out of their pools, all or none."""

    numbers: Annotated[
        list[Number], Meta(min_length=1, max_length=sos_numbers.AT_ONCE, examples=[["+73512000001"]])
    ]


class SosNumbersDone(Struct):
    """Which numbers it was done to; the others were in a pool already, or in none."""

    numbers: Annotated[list[Number], Meta(examples=[["+73512000001"]])]


@get(
    "/sos/pools",
    sync_to_thread=True,
    operation_id="list_sos_pools",
    summary="Pools: how each city's numbers stand",
    tags=TAGS,
    responses=problems(),
)
def pools(request: Asked) -> list[SosPoolOut]:
    site = site_of(request)
    found = sos_desk.pools(_settings(site), site.store, request.user, site.now())
    return [
        SosPoolOut(
            **attrs.asdict(pool.whole, filter=lambda field, _: field.name != "reserve"),
            reserve=len(pool.whole.reserve),
            stand=[
                SosNumberOut(
                    number=each.number,
                    standing=each.standing.name.lower(),
                    until=each.until,
                    reserve=each.reserve,
                    panel=each.lease.panel if each.lease and each.standing else None,
                    address=found.places[each.lease.panel].address
                    if each.lease and each.lease.panel in found.places
                    else "",
                )
                for each in pool.numbers
            ],
        )
        for pool in found.pools
    ]


@get(
    "/sos/leases",
    sync_to_thread=True,
    operation_id="list_sos_leases",
    summary="Leases: which panel had which number when",
    tags=TAGS,
    responses=problems(422),
)
def leases(
    request: Asked,
    number: Annotated[str, QueryParameter(description="in any way of writing it", max_length=64)] = "",
    panel: Annotated[str, QueryParameter(description="its SIP user or MAC", max_length=64)] = "",
    fias: Annotated[str, QueryParameter(description="of this city", max_length=36)] = "",
    since: Moment = None,
    until: Moment = None,
    after: Annotated[str, QueryParameter(description="the `next` of the part before", max_length=64)] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="rows at most")] = 50,
) -> SosLeases:
    asked = LeaseFilter(fias=fias, number=number, panel=panel, since=since, until=until, after=after)
    found = sos_desk.leases(site_of(request).store, request.user, asked, limit)
    places = {user: panel.address for user, panel in found.places.items()}
    return SosLeases([_lease(each, places.get(each.panel, "")) for each in found.leases], found.next or None)


@get(
    "/sos/who",
    sync_to_thread=True,
    operation_id="find_sos_owner",
    summary="Who stood behind a number, now or at a time",
    tags=TAGS,
    responses=problems(404, 422),
)
def who(
    request: Asked,
    number: Annotated[
        str, QueryParameter(description="in any way of writing it", min_length=1, max_length=64)
    ],
    at: Moment = None,
) -> SosOwner:
    site = site_of(request)
    found = sos_desk.who_was(_settings(site), site.store, request.user, number, at, site.now())
    if found is None:
        raise NotFound("no panel that you may see has stood behind this number then, or before")
    owner = found.owner
    return SosOwner(
        number=owner.number,
        at=found.at,
        panel=owner.panel,
        domophone=owner.domophone,
        address=found.address,
        standing=found.stands.standing.name.lower() if found.stands is not None else None,
        lease=_lease(owner.lease, found.address) if owner.lease is not None else None,
    )


@get(
    "/sos/overdue",
    sync_to_thread=True,
    operation_id="list_sos_overdue",
    summary="Panels whose 112 was tested too long ago",
    tags=TAGS,
    responses=problems(),
)
def overdue(request: Asked) -> list[SosOverdue]:
    site = site_of(request)
    found = sos_desk.overdue_panels(_settings(site), site.store, request.user, site.now())
    return [
        SosOverdue(
            panel=each.panel.sip_user,
            domophone=each.panel.mac,
            address=each.panel.address,
            passed_at=each.passed_at,
            last_test_id=each.last.id if each.last is not None else None,
            last_result=each.last.result if each.last is not None else "",
        )
        for each in found
    ]


@post(
    "/sos/tests",
    sync_to_thread=True,
    operation_id="ask_sos_test",
    summary="Test a panel's 112 now",
    tags=TAGS,
    responses=problems(404, 409, 422),
)
def ask_test(request: Asked, data: JSONBody[SosTestAsked]) -> Response[SosTestMade]:
    site = site_of(request)

    def make() -> SosTestMade:
        asked = sos_desk.ask_for_test(site.store, request.user, data.panel, site.now())
        return SosTestMade(asked.id, asked.panel)

    return once(request, data, make)


@post(
    "/sos/tests/{id:int}/take-back",
    sync_to_thread=True,
    status_code=204,
    operation_id="take_sos_test_back",
    summary="Take a test back that no node has begun",
    tags=TAGS,
    responses=problems(404, 409),
)
def take_test_back(request: Asked, id: PATH_ID) -> None:
    site = site_of(request)
    sos_desk.take_back(site.store, request.user, id, site.now())


@post(
    "/sos/numbers",
    sync_to_thread=True,
    operation_id="put_sos_numbers",
    summary="Put numbers into a city's pool",
    tags=TAGS,
    responses=problems(409, 422),
)
def put_numbers(request: Asked, data: JSONBody[SosNumbersAsked]) -> Response[SosNumbersDone]:
    site = site_of(request)

    def make() -> SosNumbersDone:
        return SosNumbersDone(
            sos_numbers.put_in(site.store, request.user, _settings(site), data.fias, data.numbers, site.now())
        )

    return once(request, data, make)


@post(
    "/sos/numbers/take-out",
    sync_to_thread=True,
    status_code=200,
    operation_id="take_sos_numbers",
    summary="Take numbers out of their pools",
    tags=TAGS,
    responses=problems(409, 422),
)
def take_numbers(request: Asked, data: JSONBody[SosNumbersGone]) -> SosNumbersDone:
    site = site_of(request)
    return SosNumbersDone(
        sos_numbers.take_out(site.store, request.user, _settings(site), data.numbers, site.now())
    )


def _settings(site: Site) -> Config:
    found: Config = part(site, "settings", "the configuration of 112")
    return found


def _lease(lease: Lease, address: str) -> SosLeaseOut:
    return SosLeaseOut(**attrs.asdict(lease) | {"why": lease.why.value, "address": address})


REQUESTS: list[Any] = [pools, leases, who, overdue, ask_test, take_test_back, put_numbers, take_numbers]
