"""Moving in: a resident, his account and his flat, made and joined in one step; and moving out, in one step too.

Who keeps some houses only makes residents and accounts in no other way: each has a flat of his from the start.
"""

from __future__ import annotations

from typing import Any

import attrs
import sqlalchemy as sa
from attrs import frozen

from crm.desk import links as desk_links
from crm.desk.desk import Desk
from crm.desk.resource import Resource, Values
from crm.desk.values import check_values
from crm.model import Account, AccountFlat, table
from crm.rights import ALL_RIGHTS, Right
from crm.who import Invalid, Who

_ACCOUNTS, _HAS = table(Account), table(AccountFlat)
RESIDENT_FIELDS = ("name", "phone", "email", "note")
ACCOUNT_FIELDS = ("sip_user", "domain", "password")


@frozen
class MovedIn:
    """Who lives there now; `account_id` None: he has no account by this."""

    resident_id: int
    account_id: int | None


def move_in(
    desk: Desk,
    who: Who,
    flat_id: int | None,
    *,
    resident_id: int | None = None,
    resident: Values | None = None,
    account: Values | None = None,
    role: str = "resident",
    rings: bool = True,
) -> MovedIn:
    """Join a flat to a resident that is there (`resident_id`) or a new one, and to a new account of his, if asked for.

    Raises Forbidden, NotFound, Invalid (by the fields of the flat, the resident and the account).
    """
    who.need(Right.PEOPLE_EDIT)
    residents, accounts = desk.resource("residents"), desk.resource("accounts")
    if flat_id is None:
        raise Invalid({"flat_id": "this is needed"})
    errors: dict[str, str] = {}
    if resident_id is None:
        errors |= _errors(residents, resident or {})
    if account is not None:
        errors |= _errors(accounts, account)
        if not account.get("password"):
            errors["password"] = "this is needed"
    if errors:
        raise Invalid(errors)
    # What is made here is within the reach of `who` by its flat, but only at the end of the transaction.
    inside = attrs.evolve(who, rights=ALL_RIGHTS)
    with desk.store.transaction() as connection:
        desk.get_in(connection, who, desk.resource("flats"), flat_id, Right.PEOPLE_EDIT)
        if resident_id is None:
            resident_id = desk.create_in(connection, inside, residents, resident or {})
        else:
            desk.get_in(connection, who, residents, resident_id, Right.PEOPLE_EDIT)
        _join(connection, inside, residents, resident_id, flat_id, {"role": role})
        account_id = None
        if account is not None:
            account_id = desk.create_in(connection, inside, accounts, {**account, "resident_id": resident_id})
            _join(connection, inside, accounts, account_id, flat_id, {"role": role, "rings": rings})
    return MovedIn(resident_id, account_id)


def move_out(desk: Desk, who: Who, resident_id: int, flat_id: int) -> int:
    """Part a resident and all his accounts from a flat: none of them rings for it any more, and his keys do not open it.

    How many accounts rang for it. He himself and his accounts stay, and so do keys that are the flat's. Raises Forbidden,
    NotFound (he does not live there).
    """
    who.need(Right.PEOPLE_EDIT)
    residents, accounts = desk.resource("residents"), desk.resource("accounts")
    with desk.store.transaction() as connection:
        desk.get_in(connection, who, residents, resident_id, Right.PEOPLE_EDIT)
        desk.get_in(connection, who, desk.resource("flats"), flat_id, Right.PEOPLE_EDIT)
        _part(connection, who, residents, resident_id, flat_id)
        rang = connection.scalars(
            sa.select(_HAS.c.account_id)
            .join(_ACCOUNTS, _ACCOUNTS.c.id == _HAS.c.account_id)
            .where(_HAS.c.flat_id == flat_id, _ACCOUNTS.c.resident_id == resident_id)
        ).all()
        for account_id in rang:
            _part(connection, who, accounts, account_id, flat_id)
    return len(rang)


def _errors(resource: Resource, values: Values) -> dict[str, str]:
    try:
        check_values(resource, values, creating=True)
    except Invalid as error:
        return error.errors
    return {}


def _join(
    connection: sa.Connection, who: Who, resource: Resource, id: int, flat_id: int, values: dict[str, Any]
) -> None:
    link = resource.link("flats")
    desk_links.put(connection, who, resource, link, id, flat_id, values)
    if link.changed is not None:
        link.changed(connection, id, flat_id)


def _part(connection: sa.Connection, who: Who, resource: Resource, id: int, flat_id: int) -> None:
    link = resource.link("flats")
    desk_links.take(connection, who, resource, link, id, flat_id)
    if link.changed is not None:
        link.changed(connection, id, flat_id)
