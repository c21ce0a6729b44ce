"""Blocks of flats, and the kinds of block that there are. Blocks are set and taken back by crm.housing.blocks."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Resource, Row
from crm.keys.panels import sync_flats
from crm.model import ENDS, FlatBlock, table
from crm.rights import Right
from crm.sections.right_names import rights_by_section
from crm.sections.shared import FLAT_TITLE, FLATS, FLATS_IN_HOUSES, HOUSE_TITLE, HOUSES, reach_of_houses
from crm.tables.blocks import BlockKindRow
from crm.tables.companies import Company
from crm.who import Conflict, Who

SECTION = "Blocks"
KINDS, BLOCKS, _COMPANIES = table(BlockKindRow), table(FlatBlock), table(Company)
RIGHTS = tuple(
    (right.value, label) for right, label in rights_by_section()[SECTION] if right.value.startswith("blocks.")
)
SOURCES = (("hand", "by hand"), ("billing", "by billing"))
STATES = (("stands", "stands"), ("to_come", "to come"), ("past", "past"))
DAYS_MOST = 3650
SOUND = r"([a-z0-9][a-z0-9_-]{0,63})?"


def _now() -> Any:
    """The moment at which a statement runs."""
    return sa.bindparam("now", callable_=time.time, type_=sa.Double(), unique=True)


_STATE = sa.case(
    (BLOCKS.c["from"] > _now(), "to_come"),
    (sa.and_(BLOCKS.c.until.is_not(None), BLOCKS.c.until <= _now()), "past"),
    else_="stands",
)


def _in_state(text: str) -> sa.ColumnElement[bool]:
    """Blocks in this state, by the columns themselves: an index has when they begin. Raises ValueError."""
    if text not in dict(STATES):
        raise ValueError("one of these is expected: " + ", ".join(dict(STATES)))
    if text == "to_come":
        later: sa.ColumnElement[bool] = BLOCKS.c["from"] > _now()
        return later
    begun = BLOCKS.c["from"] <= _now()
    if text == "past":
        return sa.and_(begun, BLOCKS.c.until <= _now())
    return sa.and_(begun, sa.or_(BLOCKS.c.until.is_(None), BLOCKS.c.until > _now()))


def _ends_within(text: str) -> sa.ColumnElement[bool]:
    """Blocks that have begun or not, and end in so many days from now. Raises ValueError."""
    if not text.isdigit() or not 0 < int(text) <= DAYS_MOST:
        raise ValueError(f"a number of days from 1 to {DAYS_MOST} is expected")
    left_s = int(text) * 86_400.0
    return sa.and_(ENDS > _now(), ENDS <= _now() + left_s)


def _kind_written(
    connection: sa.Connection, who: Who, id: int, before: Row | None, after: Row | None
) -> None:
    """A kind that is built in, or of which there are blocks, stays. Keys follow what it stops."""
    if before is None:
        return
    mine = BLOCKS.c.kind == before.values["code"]
    if after is None:
        if before.values["built_in"]:
            raise Conflict("this kind is built in: it can be changed, not deleted")
        if connection.scalar(sa.select(BLOCKS.c.id).where(mine).limit(1)) is not None:
            raise Conflict("there are blocks of this kind, or have been: it cannot be deleted")
    elif before.values["stops_keys"] != after.values["stops_keys"]:
        now = time.time()
        standing = sa.and_(BLOCKS.c["from"] <= now, sa.or_(BLOCKS.c.until.is_(None), BLOCKS.c.until > now))
        sync_flats(connection, connection.scalars(sa.select(BLOCKS.c.flat_id).where(mine, standing)), now)


def _stops(name: str, label: str, default: bool) -> Field:
    return Field(
        name=name,
        label=label,
        kind=Kind.YES_NO,
        column=KINDS.c[name],
        default=default,
        example=default,
    )


KINDS_RESOURCE = Resource(
    name="block-kinds",
    entity="block_kind",
    label="Kinds of block",
    label_one="Kind of block",
    section=SECTION,
    icon="adjustments-horizontal",
    model=BlockKindRow,
    source=KINDS,
    title=KINDS.c.name,
    view=Right.BLOCKS_VIEW,
    edit=Right.BLOCK_KINDS_EDIT,
    written=_kind_written,
    fields=(
        Field(
            name="name",
            label="Name",
            column=KINDS.c.name,
            optional=False,
            longest=100,
            example="на время ремонта",
        ),
        Field(
            name="code",
            label="Code",
            column=KINDS.c.code,
            optional=False,
            once=True,
            longest=20,
            pattern=r"[a-z][a-z0-9_]*",
            hint="by which programs know it, for ever: small Latin letters, digits and _",
            example="repair",
        ),
        _stops("stops_calls", "Stops calls", True),
        _stops("stops_app", "Stops the app", False),
        _stops("stops_keys", "Stops keys", False),
        Field(
            name="prompt",
            label="What the visitor hears",
            column=KINDS.c.prompt,
            default="",
            longest=64,
            pattern=SOUND,
            hint="a sound's name in the folder teledom of Asterisk's sounds, without its ending; empty: the usual one",
            example="blocked",
        ),
        Field(
            name="right",
            label="Who may set it",
            kind=Kind.CHOICE,
            column=KINDS.c.right,
            choices=RIGHTS,
            default=Right.BLOCKS_SET.value,
            optional=False,
            example=Right.BLOCKS_SET.value,
        ),
        Field(
            name="built_in",
            label="Built in",
            kind=Kind.YES_NO,
            column=KINDS.c.built_in,
            written=False,
            listed=False,
        ),
    ),
)

BLOCKS_RESOURCE = Resource(
    name="flat-blocks",
    entity="flat_block",
    label="Blocks of flats",
    label_one="Flat",
    section=SECTION,
    icon="no-symbol",
    model=FlatBlock,
    source=BLOCKS.join(FLATS_IN_HOUSES, FLATS.c.id == BLOCKS.c.flat_id)
    .outerjoin(KINDS, KINDS.c.code == BLOCKS.c.kind)
    .outerjoin(_COMPANIES, _COMPANIES.c.id == HOUSES.c.company_id),
    title=FLAT_TITLE,
    view=Right.BLOCKS_VIEW,
    reach=reach_of_houses,
    order=("-since",),
    order_of={"ends_within": ("until",)},
    fields=(
        Field(
            name="flat_id",
            label="Flat",
            kind=Kind.REFERENCE,
            refers_to="flats",
            column=BLOCKS.c.flat_id,
            shown=FLAT_TITLE,
            written=False,
            listed=False,
            find=Find.SAME,
        ),
        Field(
            name="house_id",
            label="House",
            kind=Kind.REFERENCE,
            refers_to="houses",
            column=FLATS.c.house_id,
            shown=HOUSE_TITLE,
            written=False,
            listed=False,
            find=Find.SAME,
        ),
        Field(
            name="company_id",
            label="Company",
            kind=Kind.REFERENCE,
            refers_to="companies",
            column=HOUSES.c.company_id,
            shown=_COMPANIES.c.name,
            written=False,
            listed=False,
            find=Find.SAME,
        ),
        Field(
            name="kind_id",
            label="Kind of block",
            kind=Kind.REFERENCE,
            refers_to="block-kinds",
            column=KINDS.c.id,
            shown=sa.func.coalesce(KINDS.c.name, BLOCKS.c.kind),
            written=False,
            find=Find.SAME,
        ),
        Field(
            name="state",
            label="State",
            kind=Kind.CHOICE,
            column=_STATE,
            choices=STATES,
            written=False,
            find=Find.SAME,
            where=_in_state,
        ),
        Field(
            name="since",
            label="From",
            kind=Kind.TIME,
            column=BLOCKS.c["from"],
            written=False,
            sortable=True,
        ),
        Field(
            name="until",
            label="Until",
            kind=Kind.TIME,
            column=BLOCKS.c.until,
            written=False,
            sortable=True,
            orders=ENDS,
            hint="empty: until it is taken back; such blocks are the last",
        ),
        Field(
            name="ends_within",
            label="Ends within",
            kind=Kind.INTEGER,
            written=False,
            listed=False,
            find=Find.SAME,
            where=_ends_within,
            unit="days",
            example=7,
        ),
        Field(name="reason", label="Reason", column=BLOCKS.c.reason, written=False),
        Field(
            name="source",
            label="Set by",
            kind=Kind.CHOICE,
            column=BLOCKS.c.source,
            choices=SOURCES,
            written=False,
            find=Find.SAME,
        ),
        *(
            Field(
                name=name,
                label=label,
                kind=Kind.YES_NO,
                column=sa.func.coalesce(KINDS.c[name], default),
                written=False,
                listed=False,
            )
            for name, label, default in (
                ("stops_calls", "Stops calls", sa.true()),
                ("stops_app", "Stops the app", sa.false()),
                ("stops_keys", "Stops keys", sa.false()),
            )
        ),
    ),
)

RESOURCES: tuple[Resource, ...] = (BLOCKS_RESOURCE, KINDS_RESOURCE)
