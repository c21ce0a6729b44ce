"""How panels and relays are reached over HTTP, as fields of both: address, user, a password that is never shown again.

A password that was entered for an address stays with its host: for another it must be entered anew, so that nobody who
may only change addresses can have it sent elsewhere.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Row, Values
from crm.devices.access import check_url, is_own, same_host
from crm.rights import Right
from crm.who import Invalid, Who


def reached_fields(of: sa.Table) -> tuple[Field, ...]:
    """Of `domophones` or `relays`."""
    return (
        Field(
            name="url",
            label="Web address",
            column=of.c.url,
            default="",
            clean=_clean_url,
            find=Find.BEGINS,
            hint="of its web interface: http://10.1.2.3 or https://10.1.2.3",
            example="http://10.1.2.3",
        ),
        Field(
            name="http_user",
            label="Web user",
            column=of.c.http_user,
            default="",
            longest=64,
            listed=False,
            pattern=r'[^:"\\]*',
            hint='without : " and \\',
            example="admin",
        ),
        Field(
            name="http_password",
            label="Web password",
            kind=Kind.SECRET,
            longest=128,
            listed=False,
            hint="empty: it stays as it is; for another host enter it again",
            example="a password",
        ),
        Field(
            name="tls_pin",
            label="Certificate (SHA-256)",
            column=of.c.tls_pin,
            written=False,
            listed=False,
            example="5f" * 32,
        ),
    )


def prepare_reached(
    desk: Any, connection: sa.Connection, of: sa.Table, values: Values, before: Row | None
) -> Values:
    """The columns of these fields: the password sealed, the certificate of another address forgotten. Raises Invalid."""
    given = "http_password" in values
    password = values.pop("http_password", None) or ""
    if given or before is None:
        values["http_password"] = desk.seal().seal(password) if password else ""
    if before is None or "url" not in values or values["url"] == before.values["url"]:
        return values
    values["tls_pin"] = None
    kept = connection.scalar(sa.select(of.c.http_password).where(of.c.id == before.id)) and not given
    if kept and values["url"] and not same_host(before.values["url"], values["url"]):
        raise Invalid({"http_password": "enter it again: it was given for another address"})
    return values


def check_reached(
    connection: sa.Connection, who: Who, of: sa.Table, id: int | None, values: Values
) -> dict[str, str]:
    """Only who may change devices everywhere has the CRM ask its own machine (a panel of a test stands there)."""
    if who.rights.may_everywhere(Right.DEVICES_EDIT) or not is_own(values["url"] or ""):
        return {}
    kept = connection.scalar(sa.select(of.c.url).where(of.c.id == (id or 0)))
    return {} if kept == values["url"] else {"url": "no panel or relay can have this address"}


def _clean_url(text: str) -> str:
    """Raises ValueError."""
    bare = text.strip().rstrip("/")
    try:
        check_url(bare)
    except Invalid as error:
        raise ValueError(next(iter(error.errors.values()))) from None
    return bare
