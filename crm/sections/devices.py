"""Panels: what they are, how they sign in at SIP and are reached over HTTP, which entrances they serve."""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Link, Resource, Row, Values, choices
from crm.devices.access import panels_near
from crm.devices.queue import wake_panels
from crm.devices.registered import address_of_panel, last_call_of_panel
from crm.model import (
    Account,
    Dialling,
    Domophone,
    DomophoneEntrance,
    Vendor,
    table,
)
from crm.rights import EVERYWHERE, Reach, Right
from crm.sections import ties
from crm.sections.reached import check_reached, prepare_reached, reached_fields
from crm.sections.shared import clean_mac, clean_phone, with_field
from crm.who import Invalid, Who

DOMOPHONES = table(Domophone)
SECTION = "Devices"
_RINGING = (("180", "180 Ringing"), ("183", "183 Session Progress"))
_DIALLING = (
    (Dialling.FLAT.value, "the flat's number"),
    (Dialling.PREFIX_FLAT.value, "prefix and flat"),
    (Dialling.STORED.value, "a stored number"),
)


def _check(connection: sa.Connection, who: Who, id: int | None, values: Values) -> dict[str, str]:
    errors = check_reached(connection, who, DOMOPHONES, id, values)
    if id is None and not who.rights.may_everywhere(Right.DEVICES_EDIT):
        errors[""] = "a panel is made by who may change devices everywhere; others bring it by an import"
    same = sa.select(Account.id).where(
        Account.sip_user == values["sip_user"], Account.domain == (values["domain"] or "teledom")
    )
    if connection.scalar(same) is not None:
        errors["sip_user"] = "an account has this SIP user already"
    return errors


def _prepare(desk: Any, connection: sa.Connection, values: Values, before: Row | None) -> Values:
    """HA1 of the SIP password, which belongs to user and domain; the HTTP password, sealed. Raises Invalid."""
    password = values.pop("sip_password", None)
    was = before.values if before is not None else {}
    user = values.get("sip_user", was.get("sip_user"))
    domain = values.get("domain", was.get("domain"))
    if password:
        values["ha1"] = hashlib.md5(f"{user}:{domain}:{password}".encode()).hexdigest()
    elif before is None:
        raise Invalid({"sip_password": "this is needed"})
    elif (user, domain) != (was["sip_user"], was["domain"]):
        raise Invalid({"sip_password": "enter it again: it belongs to the SIP user and domain"})
    return prepare_reached(desk, connection, DOMOPHONES, values, before)


def _written(connection: sa.Connection, id: int, before: Row | None, after: Row | None) -> None:
    """One that came into use, or is reached now, is told what waits for it."""
    if before is None or after is None:
        return
    if before.values["active"] != after.values["active"]:
        ties.panel_to_entrance(connection, id, 0)
    wake_panels(connection, [id], time.time())


def _picked(text: str) -> sa.ColumnElement[bool]:
    """By the beginning of its SIP user or MAC."""
    mac = "".join(each for each in text.lower() if each in "0123456789abcdef")
    return sa.or_(
        DOMOPHONES.c.sip_user.startswith(text, autoescape=True), DOMOPHONES.c.mac.startswith(mac or "-")
    )


def _address(seen: Reach = EVERYWHERE) -> Field:
    return Field(
        name="address",
        label="Address",
        column=address_of_panel(seen),
        written=False,
        example="ул. Ленина 5, п. 2",
    )


@lru_cache(64)
def _seen(seen: Reach) -> Resource:
    """As somebody sees them who sees some houses only: one at a gate stands at the first of his."""
    return with_field(DOMOPHONES_RESOURCE, _address(seen))


DOMOPHONES_RESOURCE = Resource(
    name="domophones",
    entity="domophone",
    label="Domophones",
    label_one="Domophone",
    section=SECTION,
    icon="device-tablet",
    model=Domophone,
    source=DOMOPHONES,
    title=DOMOPHONES.c.sip_user,
    view=Right.DEVICES_VIEW,
    edit=Right.DEVICES_EDIT,
    reach=panels_near,
    seen=lambda seen: _seen(seen),
    order=("sip_user",),
    check=_check,
    prepare=_prepare,
    written=lambda connection, who, id, before, after: _written(connection, id, before, after),
    picked_by=_picked,
    fields=(
        Field(
            name="sip_user",
            label="SIP user",
            column=DOMOPHONES.c.sip_user,
            optional=False,
            sortable=True,
            longest=64,
            pattern=r"[A-Za-z0-9._\-]+",
            hint="letters, digits, . _ and -",
            find=Find.BEGINS,
            example="500001",
        ),
        _address(),
        Field(
            name="mac",
            label="MAC",
            column=DOMOPHONES.c.mac,
            optional=False,
            longest=32,
            clean=clean_mac,
            find=Find.SAME,
            sortable=True,
            example="18:68:82:31:0c:8a",
        ),
        Field(
            name="vendor",
            label="Vendor",
            kind=Kind.CHOICE,
            choices=tuple((value, value.title()) for value, _ in choices(Vendor)),
            column=DOMOPHONES.c.vendor,
            optional=False,
            find=Find.SAME,
            example="beward",
        ),
        Field(
            name="model",
            label="Model",
            column=DOMOPHONES.c.model,
            default="",
            longest=64,
            find=Find.BEGINS,
            example="DKS15122",
        ),
        Field(
            name="firmware",
            label="Firmware",
            column=DOMOPHONES.c.firmware,
            default="",
            longest=64,
            listed=False,
            find=Find.BEGINS,
            example="4.3.1",
        ),
        Field(
            name="active",
            label="In use",
            kind=Kind.YES_NO,
            column=DOMOPHONES.c.active,
            default=True,
            optional=False,
            find=Find.SAME,
        ),
        Field(
            name="last_call_at",
            label="Last call",
            kind=Kind.TIME,
            column=last_call_of_panel(),
            written=False,
        ),
        Field(
            name="domain",
            label="SIP domain",
            column=DOMOPHONES.c.domain,
            default="teledom",
            optional=False,
            listed=False,
            pattern=r"[A-Za-z0-9.\-]+",
            hint="letters, digits, . and -",
            example="teledom",
        ),
        Field(
            name="sip_password",
            label="SIP password",
            kind=Kind.SECRET,
            longest=128,
            listed=False,
            hint="empty: it stays as it is; with another SIP user enter it again",
            example="a password",
        ),
        *reached_fields(DOMOPHONES),
        Field(
            name="dialling",
            label="Dials",
            kind=Kind.CHOICE,
            choices=_DIALLING,
            column=DOMOPHONES.c.dialling,
            default=Dialling.FLAT.value,
            optional=False,
            listed=False,
            find=Find.SAME,
            hint="what it dials when a flat's number is pressed",
            example="flat",
        ),
        Field(
            name="door_dtmf",
            label="Digits that open its door",
            column=DOMOPHONES.c.door_dtmf,
            default="5",
            optional=False,
            longest=16,
            listed=False,
            pattern=r"[0-9*#A-D]+",
            hint="each of them does: digits, * or #",
            example="5",
        ),
        Field(
            name="ringing",
            label="Is told while phones ring",
            kind=Kind.CHOICE,
            choices=_RINGING,
            column=DOMOPHONES.c.ringing,
            listed=False,
            hint="empty: as the settings say",
            example="183",
        ),
        Field(
            name="floor",
            label="Floor",
            kind=Kind.INTEGER,
            column=DOMOPHONES.c.floor,
            low=-10,
            high=200,
            listed=False,
            example=1,
        ),
        Field(
            name="place",
            label="Place",
            column=DOMOPHONES.c.place,
            default="",
            longest=64,
            listed=False,
            hint="where at the entrance, for 112",
            example="у лифта",
        ),
        Field(
            name="sos_number",
            label="Own number for 112",
            column=DOMOPHONES.c.sos_number,
            longest=32,
            clean=lambda text: clean_phone(text),
            listed=False,
            find=Find.SAME,
            hint="empty: it is lent one of its city's",
            example="+73512000001",
        ),
        Field(
            name="sos_dials",
            label="Dials for 112",
            column=DOMOPHONES.c.sos_dials,
            longest=32,
            listed=False,
            pattern=r"[0-9*#]+",
            hint="beside SOS; empty: 112",
            example="112",
        ),
        Field(
            name="note",
            label="Note",
            kind=Kind.LONG_TEXT,
            column=DOMOPHONES.c.note,
            default="",
            longest=4000,
            listed=False,
        ),
    ),
    links=(
        Link(
            name="entrances",
            label="Entrances that it serves",
            table=table(DomophoneEntrance),
            mine="domophone_id",
            other="entrance_id",
            to="entrances",
            other_right=Right.DEVICES_EDIT,
            changed=ties.panel_to_entrance,
        ),
    ),
)

RESOURCES = (DOMOPHONES_RESOURCE,)
