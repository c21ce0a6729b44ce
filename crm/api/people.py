"""Residents, accounts, phones: what the API does beside what all records have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import Response, get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct, structs

from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.api.records import PATH_ID
from crm.api.shapes import ID
from crm.housing.people import ACCOUNT_FIELDS, RESIDENT_FIELDS, move_in, move_out
from crm.housing.rings import Ringing, accounts_of_resident, rings_of_accounts
from crm.rights import Right
from crm.site import site_of


class MoveIn(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who moves in: one who is known (`resident_id`), or a new one (`name` …); with a new account, or without."""

    flat_id: ID
    resident_id: Annotated[int | None, Meta(description="a resident who is there; null: a new one")] = None
    name: Annotated[str, Meta(max_length=255, examples=["Иванова Мария Петровна"])] = ""
    phone: Annotated[str, Meta(max_length=32, description="E.164", examples=["+79123456789"])] = ""
    email: Annotated[str, Meta(max_length=255, examples=["maria@example.ru"])] = ""
    note: Annotated[str, Meta(max_length=2000)] = ""
    role: Literal["owner", "resident"] = "resident"
    sip_user: Annotated[
        str, Meta(max_length=64, description='of a new account; "": none', examples=["7351001"])
    ] = ""
    domain: Annotated[str, Meta(max_length=255, description="of that account")] = "teledom"
    password: Annotated[str, Meta(max_length=128, description="of that account; never given again")] = ""
    rings: Annotated[bool, Meta(description="whether that account rings for this flat")] = True


class MovedIn(Struct, kw_only=True):
    """Who lives there now."""

    resident_id: ID
    account_id: Annotated[int | None, Meta(description="the new account, if one was asked for")]


class MoveOut(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who moves out of where; he and his accounts stay, without this flat."""

    resident_id: ID
    flat_id: ID


class MovedOut(Struct, kw_only=True):
    """What rings for the flat no more."""

    accounts: Annotated[int, Meta(description="how many of his accounts rang for it", examples=[1])]


class PhoneRings(Struct, kw_only=True):
    """Whether a phone rings for a flat, as far as is known beforehand; `silences` say why it does not."""

    flat_id: ID
    flat: Annotated[str, Meta(examples=["Челябинск, ул. Ленина 5, кв. 42"])]
    account_id: ID
    sip_user: str
    phone_id: Annotated[int | None, Meta(description="null: the account has no phone")]
    platform: str
    rings: bool
    silences: Annotated[list[str], Meta(examples=[["blocked", "no_token"]])]


@post(
    "/move-in",
    sync_to_thread=True,
    operation_id="move_in",
    summary="Residents: a resident, an account and a flat in one step",
    tags=["Residents"],
    responses=problems(404, 409, 422),
)
def post_move_in(request: Asked, data: JSONBody[MoveIn]) -> Response[MovedIn]:
    site = site_of(request)
    given = structs.asdict(data)

    def make() -> MovedIn:
        account = {name: given[name] for name in ACCOUNT_FIELDS}
        moved = move_in(
            site.desk,
            request.user,
            data.flat_id,
            resident_id=data.resident_id,
            resident={name: given[name] for name in RESIDENT_FIELDS},
            account=account if data.sip_user or data.password else None,
            role=data.role,
            rings=data.rings,
        )
        return MovedIn(resident_id=moved.resident_id, account_id=moved.account_id)

    return once(request, data, make)


@post(
    "/move-out",
    sync_to_thread=True,
    status_code=200,
    operation_id="move_out",
    summary="Residents: one and all his accounts parted from a flat in one step",
    tags=["Residents"],
    responses=problems(404),
)
def post_move_out(request: Asked, data: JSONBody[MoveOut]) -> MovedOut:
    rang = move_out(site_of(request).desk, request.user, data.resident_id, data.flat_id)
    return MovedOut(accounts=rang)


@get(
    "/residents/{id:int}/rings",
    sync_to_thread=True,
    operation_id="read_rings_of_resident",
    summary="Residents: which phones ring for which flats, and why one does not",
    tags=["Residents"],
    responses=problems(404),
)
def get_resident_rings(request: Asked, id: PATH_ID) -> list[PhoneRings]:
    site = site_of(request)
    site.desk.get(request.user, site.desk.resource("residents"), id)
    with site.store.reading() as connection:
        accounts = accounts_of_resident(connection, id)
    return _rings(request, list(accounts))


@get(
    "/accounts/{id:int}/rings",
    sync_to_thread=True,
    operation_id="read_rings_of_account",
    summary="Accounts: which phones ring for which flats, and why one does not",
    tags=["Accounts"],
    responses=problems(404),
)
def get_account_rings(request: Asked, id: PATH_ID) -> list[PhoneRings]:
    site = site_of(request)
    site.desk.get(request.user, site.desk.resource("accounts"), id)
    return _rings(request, [id])


def _rings(request: Asked, accounts: list[int]) -> list[PhoneRings]:
    site = site_of(request)
    with site.store.reading() as connection:
        reach = request.user.rights.reach(Right.PEOPLE_VIEW)
        return [_shape(each) for each in rings_of_accounts(connection, accounts, reach, site.now())]


def _shape(each: Ringing) -> PhoneRings:
    return PhoneRings(
        flat_id=each.flat_id,
        flat=each.flat,
        account_id=each.account_id,
        sip_user=each.sip_user,
        phone_id=each.phone_id,
        platform=each.platform,
        rings=each.rings,
        silences=[silence.name.lower() for silence in each.silences],
    )


REQUESTS: list[Any] = [post_move_in, post_move_out, get_resident_rings, get_account_rings]
