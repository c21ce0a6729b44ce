"""112: numbers of the cities' pools, and test calls, to be looked at; crm.sos.numbers and crm.sos.desk change them."""

from __future__ import annotations

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Resource
from crm.model import City, Domophone, table
from crm.rights import Reach, Right
from crm.sos.reach import cities_of, panel_within
from crm.tables.sos import SosLease, SosNumber, SosTest
from crm.values.sos import ways_to_write

SECTION = "112"
NUMBERS, TESTS, LEASES = table(SosNumber), table(SosTest), table(SosLease)
_CITIES, _PANELS = table(City), table(Domophone)
# Several cities may share a FIAS id by mistake: a number is to be one row all the same.
_CITY = sa.select(sa.func.min(_CITIES.c.name)).where(_CITIES.c.fias == NUMBERS.c.fias).scalar_subquery()


def _number_is(text: str) -> sa.ColumnElement[bool]:
    return NUMBERS.c.number.in_(ways_to_write(text))


def _panel_is(text: str) -> sa.ColumnElement[bool]:
    """By its SIP user or MAC."""
    mac = "".join(c for c in text.lower() if c not in ":-.")
    return sa.or_(
        TESTS.c.panel == text, TESTS.c.panel.in_(sa.select(_PANELS.c.sip_user).where(_PANELS.c.mac == mac))
    )


def _reach_of_tests(reach: Reach) -> sa.ColumnElement[bool]:
    return panel_within(reach, TESTS.c.panel)


def _reach_of_numbers(reach: Reach) -> sa.ColumnElement[bool]:
    """Those that a panel within reach had last; and of the cities within reach those that nobody has had."""
    unused = sa.and_(NUMBERS.c.lease.is_(None), NUMBERS.c.fias.in_(cities_of(reach)))
    return sa.or_(panel_within(reach, LEASES.c.panel), unused)


NUMBERS_RESOURCE = Resource(
    name="sos-numbers",
    entity="sos_number",
    label="Numbers",
    label_one="Number",
    section=SECTION,
    icon="phone",
    model=SosNumber,
    source=NUMBERS.outerjoin(LEASES, LEASES.c.id == NUMBERS.c.lease),
    title=NUMBERS.c.number,
    view=Right.SOS_VIEW,
    reach=_reach_of_numbers,
    order=("city", "number"),
    fields=(
        Field(
            name="number",
            label="Number",
            column=NUMBERS.c.number,
            find=Find.SAME,
            where=_number_is,
            sortable=True,
            written=False,
            example="+73512000001",
        ),
        Field(name="city", label="City", column=_CITY, sortable=True, written=False, example="Челябинск"),
        Field(
            name="fias",
            label="FIAS id of the city",
            column=NUMBERS.c.fias,
            find=Find.SAME,
            listed=False,
            written=False,
            example="a376e68d-724a-4472-be7c-891bdb09ae32",
        ),
        Field(
            name="lent",
            label="Lent",
            kind=Kind.YES_NO,
            column=NUMBERS.c.status == 1,
            written=False,
            example=True,
        ),
        Field(
            name="lent_at",
            label="Last lent",
            kind=Kind.TIME,
            column=LEASES.c.started_at,
            sortable=True,
            written=False,
            example=1790000000.0,
        ),
        Field(
            name="held_until",
            label="Guaranteed until",
            kind=Kind.TIME,
            column=LEASES.c.held_until,
            written=False,
            example=1790001800.0,
        ),
    ),
)

TESTS_RESOURCE = Resource(
    name="sos-tests",
    entity="sos_test",
    label="Test calls",
    label_one="Test call",
    section=SECTION,
    icon="check-badge",
    model=SosTest,
    source=TESTS,
    title=TESTS.c.panel,
    view=Right.SOS_VIEW,
    reach=_reach_of_tests,
    order=("-due_at",),
    fields=(
        Field(
            name="panel",
            label="Panel",
            column=TESTS.c.panel,
            find=Find.SAME,
            where=_panel_is,
            written=False,
            hint="its SIP user or MAC",
            example="500001",
        ),
        Field(
            name="due_at",
            label="Planned for",
            kind=Kind.TIME,
            column=TESTS.c.due_at,
            orders=TESTS.c.id,  # in which they were planned: an index has it
            find=Find.BETWEEN,
            written=False,
            example=1790000000.0,
        ),
        Field(
            name="started_at",
            label="Began",
            kind=Kind.TIME,
            column=TESTS.c.started_at,
            written=False,
            example=1790000001.0,
        ),
        Field(
            name="ended_at",
            label="Ended",
            kind=Kind.TIME,
            column=TESTS.c.ended_at,
            listed=False,
            written=False,
            example=1790000031.0,
        ),
        Field(
            name="by_hand",
            label="Asked for by hand",
            kind=Kind.YES_NO,
            column=TESTS.c.by_hand,
            find=Find.SAME,
            written=False,
            example=False,
        ),
        Field(
            name="passed",
            label="Passed",
            kind=Kind.YES_NO,
            column=TESTS.c.passed,
            find=Find.SAME,
            written=False,
            example=True,
        ),
        Field(
            name="result", label="Result", column=TESTS.c.result, written=False, example="answered in 2.1 s"
        ),
        Field(
            name="call_id",
            label="Call id",
            column=TESTS.c.call_id,
            listed=False,
            written=False,
            example="9f3a",
        ),
        Field(name="node", label="Node", column=TESTS.c.node, listed=False, written=False, example="node1"),
    ),
)

RESOURCES: tuple[Resource, ...] = (NUMBERS_RESOURCE, TESTS_RESOURCE)
