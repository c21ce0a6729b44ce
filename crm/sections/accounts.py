"""Residents' SIP accounts, and the phones that they are on.

A password of an account comes in and goes no further: what is kept of it is HA1. Push tokens are shown shortened.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Link, Resource, Row, Values
from crm.model import Account, AccountFlat, Domophone, Phone, PhoneFlat, Platform, table
from crm.rights import EVERYWHERE, Reach, Right
from crm.search.places import begins
from crm.sections.people import (
    RESIDENTS,
    SECTION,
    at_home,
    by_flat,
    need_all_flats,
    need_flat,
    rings,
    role,
    through_flats,
)
from crm.sections.shared import with_field
from crm.who import Who

DOMAIN = "teledom"
ACCOUNTS, PHONES = table(Account), table(Phone)
_HAS, _AT = table(AccountFlat), table(PhoneFlat)


_ALL = "this account has flats beyond your houses, too: who may edit all of them sets its password and phones"


def _check_account(connection: sa.Connection, who: Who, id: int | None, values: Values) -> dict[str, str]:
    user, domain = values["sip_user"], values["domain"]
    same = sa.select(ACCOUNTS.c.id).where(ACCOUNTS.c.sip_user == user, ACCOUNTS.c.domain == domain)
    if connection.scalar(same.where(ACCOUNTS.c.id != (id or 0))) is not None:
        return {"sip_user": "there is an account with this SIP user already"}
    # Kamailio knows panels and accounts by the same credentials: who could take a panel's name would be one.
    panel = sa.select(Domophone.id).where(Domophone.sip_user == user)
    if connection.scalar(panel) is not None:
        return {"sip_user": "a panel has this SIP user: take another one"}
    if id is not None and (
        values.get("password") or connection.scalar(same.where(ACCOUNTS.c.id == id)) is None
    ):
        # Whoever has its password answers for all of its flats, and opens their doors.
        need_all_flats(connection, who, _HAS, "account_id", id, _ALL)
    if values.get("password"):
        return need_flat(who) if id is None else {}
    if id is None:
        return {"password": "this is needed", **need_flat(who)}
    if connection.scalar(same.where(ACCOUNTS.c.id == id)) is None:
        return {"password": "for another SIP user or domain the password has to be entered again"}
    return {}


def _prepare_account(desk: Any, connection: sa.Connection, values: Values, before: Row | None) -> Values:
    """HA1 of the password: MD5(user:domain:password), RFC 2617."""
    password = values.pop("password", None)
    if password:
        kept = {**(before.values if before else {}), **values}
        text = f"{kept['sip_user']}:{kept['domain']}:{password}"
        values["ha1"] = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return values


def _account_written(
    connection: sa.Connection, who: Who, id: int, before: Row | None, after: Row | None
) -> None:
    if after is None:
        why = "this account has flats beyond your houses, too: take it off yours instead"
        need_all_flats(connection, who, _HAS, "account_id", id, why)


_home = at_home("home", "Rings at", _HAS, "account_id", ACCOUNTS.c.id)


@lru_cache(64)
def _accounts_seen(seen: Reach) -> Resource:
    return with_field(ACCOUNTS_RESOURCE, _home(seen))


ACCOUNTS_RESOURCE = Resource(
    name="accounts",
    entity="account",
    label="Accounts",
    label_one="Account",
    section=SECTION,
    icon="at-symbol",
    model=Account,
    source=ACCOUNTS.outerjoin(RESIDENTS, RESIDENTS.c.id == ACCOUNTS.c.resident_id),
    title=ACCOUNTS.c.sip_user,
    view=Right.PEOPLE_VIEW,
    edit=Right.PEOPLE_EDIT,
    reach=through_flats(_HAS, "account_id", ACCOUNTS.c.id),
    seen=lambda seen: _accounts_seen(seen),
    check=_check_account,
    prepare=_prepare_account,
    written=_account_written,
    picked_by=lambda text: begins(ACCOUNTS.c.sip_user, text),
    fields=(
        Field(
            name="sip_user",
            label="SIP user",
            column=ACCOUNTS.c.sip_user,
            optional=False,
            longest=64,
            pattern=r"[A-Za-z0-9_.+-]{1,64}",
            hint="letters, digits, _ . + and -",
            find=Find.BEGINS,
            where=lambda text: begins(ACCOUNTS.c.sip_user, text),
            example="7351001",
        ),
        _home(EVERYWHERE),
        Field(
            name="domain",
            label="SIP domain",
            column=ACCOUNTS.c.domain,
            optional=False,
            default=DOMAIN,
            pattern=r"[A-Za-z0-9.-]{1,255}",
            hint="like teledom or sip.example.org",
            listed=False,
            example=DOMAIN,
        ),
        Field(
            name="password",
            label="SIP password",
            kind=Kind.SECRET,
            longest=128,
            hint="never shown again; left empty, it stays as it is",
            example="mFv7-pLq2-xR9d",
        ),
        Field(
            name="resident_id",
            label="Resident",
            kind=Kind.REFERENCE,
            refers_to="residents",
            column=ACCOUNTS.c.resident_id,
            shown=RESIDENTS.c.name,
            find=Find.SAME,
            example=1,
        ),
        *by_flat(_HAS, "account_id", ACCOUNTS.c.id),
    ),
    links=(
        Link(
            name="flats",
            label="Flats",
            table=_HAS,
            mine="account_id",
            other="flat_id",
            to="flats",
            fields=(role(_HAS.c.role), rings(_HAS.c.rings)),
            other_right=Right.PEOPLE_EDIT,
        ),
    ),
)

# --- phones --------------------------------------------------------------------------------------------------------


def _shortened(column: Any) -> Any:
    """A push token as it is shown: enough to compare it with another, too little to use it."""
    short = sa.func.substr(column, 1, 8) + "…" + sa.func.substr(column, sa.func.length(column) - 3)
    return sa.case((column == "", ""), (sa.func.length(column) <= 16, "…"), else_=short)


def _tokens(name: str, label: str, column: Any, hint: str) -> tuple[Field, Field]:
    """A push token as it is written, and as it is shown."""
    return (
        Field(name=name, label=label, kind=Kind.SECRET, longest=4096, hint=hint, example="cX2f…"),
        Field(
            name=f"{name}_set", label=label, column=_shortened(column), written=False, example="cX2fkq81…9dQe"
        ),
    )


def _prepare_phone(desk: Any, connection: sa.Connection, values: Values, before: Row | None) -> Values:
    """A token that is emptied is none."""
    for name in ("push_token", "voip_token"):
        if name in values:
            values[name] = values[name] or ""
    return values


def _check_phone(connection: sa.Connection, who: Who, id: int | None, values: Values) -> dict[str, str]:
    """What is pushed to a phone tells of calls to all of its account's flats."""
    if id is None or values.get("push_token") or values.get("voip_token"):
        need_all_flats(connection, who, _HAS, "account_id", values["account_id"], _ALL)
    return {}


def _phone_reach(reach: Reach) -> sa.ColumnElement[bool]:
    return through_flats(_HAS, "account_id", PHONES.c.account_id)(reach)


PHONES_RESOURCE = Resource(
    name="phones",
    entity="phone",
    label="Phones",
    label_one="Phone",
    section=SECTION,
    icon="device-phone-mobile",
    model=Phone,
    source=PHONES.join(ACCOUNTS, ACCOUNTS.c.id == PHONES.c.account_id),
    title=ACCOUNTS.c.sip_user + " · " + sa.cast(PHONES.c.platform, sa.String),
    view=Right.PEOPLE_VIEW,
    edit=Right.PEOPLE_EDIT,
    reach=_phone_reach,
    check=_check_phone,
    prepare=_prepare_phone,
    picked_by=lambda text: begins(ACCOUNTS.c.sip_user, text),
    fields=(
        Field(
            name="account_id",
            label="Account",
            kind=Kind.REFERENCE,
            refers_to="accounts",
            column=PHONES.c.account_id,
            shown=ACCOUNTS.c.sip_user,
            optional=False,
            once=True,
            find=Find.SAME,
            example=1,
        ),
        Field(
            name="platform",
            label="Platform",
            kind=Kind.CHOICE,
            column=PHONES.c.platform,
            choices=tuple(
                zip((p.value for p in Platform), ("Android", "iOS", "Huawei", "RuStore"), strict=True)
            ),
            optional=False,
            example="android",
        ),
        Field(
            name="bundle",
            label="App",
            column=PHONES.c.bundle,
            optional=False,
            longest=255,
            pattern=r"[A-Za-z0-9._-]{1,255}",
            hint="its bundle id: ru.example.teledom",
            example="ru.example.teledom",
        ),
        *_tokens(
            "push_token",
            "Push token",
            PHONES.c.push_token,
            "never shown again; left empty, it stays as it is",
        ),
        *_tokens(
            "voip_token",
            "VoIP token",
            PHONES.c.voip_token,
            "wakes an iPhone for a call; left empty, it stays",
        ),
        Field(
            name="language",
            label="Language",
            kind=Kind.CHOICE,
            column=PHONES.c.language,
            choices=(("ru", "Russian"), ("en", "English")),
            optional=False,
            default="ru",
            example="ru",
        ),
    ),
    links=(
        Link(
            name="flats",
            label="Switches by flat",
            table=_AT,
            mine="phone_id",
            other="flat_id",
            to="flats",
            fields=(rings(_AT.c.rings),),
            other_right=Right.PEOPLE_EDIT,
        ),
    ),
)

RESOURCES = (ACCOUNTS_RESOURCE, PHONES_RESOURCE)
