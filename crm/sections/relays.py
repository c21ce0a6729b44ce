"""Relays, and what each of their channels opens."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Resource, Row, Values
from crm.devices.access import entrances_near, relays_near
from crm.devices.relays import CHANNELS_MOST, RelayModel
from crm.model import Entrance, HouseEntrance, table
from crm.rights import Reach, Right
from crm.sections.devices import SECTION
from crm.sections.reached import check_reached, prepare_reached, reached_fields
from crm.sections.shared import clean_mac
from crm.tables.devices import Relay, RelayChannel
from crm.who import Who

RELAYS, CHANNELS, ENTRANCES = table(Relay), table(RelayChannel), table(Entrance)
_MODELS = (
    (RelayModel.SHELLY_1.value, "Shelly, first generation"),
    (RelayModel.SHELLY_2.value, "Shelly, later generations"),
)


def channels_near(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on channels that what they open is within reach."""
    if reach.everywhere:
        return sa.true()
    near = sa.select(HouseEntrance.entrance_id).where(entrances_near(reach))
    return CHANNELS.c.entrance_id.in_(near)


def _check_relay(connection: sa.Connection, who: Who, id: int | None, values: Values) -> dict[str, str]:
    if id is None and not who.rights.may_everywhere(Right.DEVICES_EDIT):
        return {"": "a relay is made by who may change devices everywhere"}
    return check_reached(connection, who, RELAYS, id, values)


def _prepare(desk: Any, connection: sa.Connection, values: Values, before: Row | None) -> Values:
    return prepare_reached(desk, connection, RELAYS, values, before)


def _check_channel(connection: sa.Connection, who: Who, id: int | None, values: Values) -> dict[str, str]:
    if values["entrance_id"] is None and not who.rights.may_everywhere(Right.DEVICES_EDIT):
        return {"entrance_id": "this is needed"}
    same = sa.select(CHANNELS.c.id).where(
        CHANNELS.c.relay_id == values["relay_id"],
        CHANNELS.c.number == values["number"],
        CHANNELS.c.id != (id or 0),
    )
    if connection.scalar(same) is not None:
        return {"number": "this relay has a channel with this number already"}
    return {}


RELAYS_RESOURCE = Resource(
    name="relays",
    entity="relay",
    label="Relays",
    label_one="Relay",
    section=SECTION,
    icon="power",
    model=Relay,
    source=RELAYS,
    title=RELAYS.c.name,
    view=Right.DEVICES_VIEW,
    edit=Right.DEVICES_EDIT,
    reach=relays_near,
    order=("name",),
    check=_check_relay,
    prepare=_prepare,
    fields=(
        Field(
            name="name",
            label="Name",
            column=RELAYS.c.name,
            optional=False,
            sortable=True,
            find=Find.CONTAINS,
            example="Шлагбаум",
        ),
        Field(
            name="mac",
            label="MAC",
            column=RELAYS.c.mac,
            optional=False,
            longest=32,
            clean=clean_mac,
            find=Find.SAME,
            example="0c:b8:15:fc:11:b4",
        ),
        Field(
            name="model",
            label="Model",
            kind=Kind.CHOICE,
            choices=_MODELS,
            column=RELAYS.c.model,
            optional=False,
            find=Find.SAME,
            example="shelly-2",
        ),
        Field(
            name="active",
            label="In use",
            kind=Kind.YES_NO,
            column=RELAYS.c.active,
            default=True,
            optional=False,
            find=Find.SAME,
        ),
        *reached_fields(RELAYS),
        Field(
            name="note",
            label="Note",
            kind=Kind.LONG_TEXT,
            column=RELAYS.c.note,
            default="",
            longest=4000,
            listed=False,
        ),
    ),
)

CHANNELS_RESOURCE = Resource(
    name="relay-channels",
    entity="relay_channel",
    label="Relays' channels",
    label_one="Channel",
    section=SECTION,
    icon="power",
    in_menu=False,
    model=RelayChannel,
    source=CHANNELS.join(RELAYS, RELAYS.c.id == CHANNELS.c.relay_id).outerjoin(
        ENTRANCES, ENTRANCES.c.id == CHANNELS.c.entrance_id
    ),
    title=CHANNELS.c.name,
    view=Right.DEVICES_VIEW,
    edit=Right.DEVICES_EDIT,
    reach=channels_near,
    order=("relay_id", "number"),
    check=_check_channel,
    fields=(
        Field(
            name="relay_id",
            label="Relay",
            kind=Kind.REFERENCE,
            refers_to="relays",
            column=CHANNELS.c.relay_id,
            shown=RELAYS.c.name,
            optional=False,
            once=True,
            find=Find.SAME,
            example=1,
        ),
        Field(
            name="number",
            label="Channel",
            kind=Kind.INTEGER,
            column=CHANNELS.c.number,
            optional=False,
            once=True,
            low=1,
            high=CHANNELS_MOST,
            example=1,
        ),
        Field(
            name="name",
            label="What it opens",
            column=CHANNELS.c.name,
            optional=False,
            example="ворота",
        ),
        Field(
            name="entrance_id",
            label="Entrance",
            kind=Kind.REFERENCE,
            refers_to="entrances",
            column=CHANNELS.c.entrance_id,
            shown=ENTRANCES.c.name,
            find=Find.SAME,
            hint="whoever may open doors there may open this",
            example=1,
        ),
    ),
)

RESOURCES = (RELAYS_RESOURCE, CHANNELS_RESOURCE)
