"""Management companies, and their weekly runs of access codes.

A company's code is in none of its own fields: who may see it sees it among `company-codes`.
"""

from __future__ import annotations

import re
import time
from typing import Any

import sqlalchemy as sa

from crm.companies.code_panels import end_code, panels_know
from crm.companies.code_runs import all_within
from crm.desk.resource import Field, Find, Kind, Resource, Row
from crm.model import House, table
from crm.rights import Reach, Right
from crm.search.index import Indexed, reindex
from crm.sections.shared import clean_phone
from crm.tables.companies import CodeDelivery, CodeRun, Company, CompanyCode
from crm.tables.search import SearchWord
from crm.who import Conflict

COMPANIES, RUNS, CODES = table(Company), table(CodeRun), table(CompanyCode)
_DELIVERIES, _HOUSES = table(CodeDelivery), table(House)
SECTION = "Companies"


def within(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on companies that one is within reach, or one of its houses is."""
    if reach.everywhere:
        return sa.true()
    mine = sa.exists().where(_HOUSES.c.company_id == COMPANIES.c.id, reach.of_houses())
    return sa.or_(COMPANIES.c.id.in_(sorted(reach.companies)), mine.correlate(COMPANIES))


def clean_inn(text: str) -> str:
    """A taxpayer's number: 10 digits of a company, 12 of a person. Raises ValueError."""
    bare = re.sub(r"\s", "", text)
    if bare and not re.fullmatch(r"\d{10}|\d{12}", bare):
        raise ValueError("an INN is expected: 10 digits of a company, or 12 of a person")
    return bare


def clean_email(text: str) -> str:
    """Raises ValueError."""
    if text and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError("an e-mail address is expected, like info@example.ru")
    return text


def _company_written(connection: sa.Connection, id: int, before: Row | None, after: Row | None) -> None:
    """Found by its name. Only active companies have codes; one whose code panels know cannot just go away."""
    if after is None:
        if panels_know(connection, id):
            raise Conflict(
                "panels still know its code: make it inactive, and wait until they have forgotten the code"
            )
        mine = sa.and_(SearchWord.kind == Indexed.COMPANY.value, SearchWord.ref_id == id)
        connection.execute(sa.delete(SearchWord).where(mine))
        return
    if before is None or any(before.values[name] != after.values[name] for name in ("name", "inn")):
        reindex(connection, Indexed.COMPANY, [id])
    if before is not None and before.values["active"] and not after.values["active"]:
        end_code(connection, id, time.time())


COMPANIES_RESOURCE = Resource(
    name="companies",
    entity="company",
    label="Companies",
    label_one="Company",
    section=SECTION,
    icon="briefcase",
    model=Company,
    source=COMPANIES,
    title=COMPANIES.c.name,
    view=Right.COMPANIES_VIEW,
    edit=Right.COMPANIES_EDIT,
    reach=within,
    order=("name",),
    written=lambda connection, who, id, before, after: _company_written(connection, id, before, after),
    fields=(
        Field(
            name="name",
            label="Name",
            column=COMPANIES.c.name,
            optional=False,
            sortable=True,
            find=Find.CONTAINS,
            example="УК Альфа",
        ),
        Field(
            name="active",
            label="Active",
            kind=Kind.YES_NO,
            column=COMPANIES.c.active,
            default=True,
            optional=False,
            find=Find.SAME,
            hint="only active companies have an access code",
        ),
        Field(
            name="inn",
            label="INN",
            column=COMPANIES.c.inn,
            default="",
            longest=16,
            clean=clean_inn,
            find=Find.SAME,
            example="7451000000",
        ),
        Field(
            name="contact",
            label="Contact person",
            column=COMPANIES.c.contact,
            default="",
            example="Иванова Анна",
        ),
        Field(
            name="phone",
            label="Phone",
            column=COMPANIES.c.phone,
            default="",
            longest=32,
            clean=clean_phone,
            find=Find.SAME,
            example="+73517000000",
        ),
        Field(
            name="email",
            label="E-mail",
            column=COMPANIES.c.email,
            default="",
            clean=clean_email,
            listed=False,
            example="info@alpha.example",
        ),
        Field(
            name="billing_id",
            label="Billing id",
            column=COMPANIES.c.billing_id,
            longest=64,
            listed=False,
            find=Find.SAME,
            hint="billing says it when it first hears of the company",
            example="B17",
        ),
        Field(
            name="houses",
            label="Number of houses",
            kind=Kind.INTEGER,
            column=sa.select(sa.func.count())
            .where(_HOUSES.c.company_id == COMPANIES.c.id)
            .correlate(COMPANIES)
            .scalar_subquery(),
            written=False,
        ),
        Field(
            name="billing_at",
            label="Billing told",
            kind=Kind.TIME,
            column=COMPANIES.c.billing_at,
            written=False,
        ),
        Field(
            name="billing_error",
            label="Billing says",
            column=COMPANIES.c.billing_error,
            written=False,
            listed=False,
        ),
    ),
)


def _count(*conditions: sa.ColumnElement[bool]) -> Any:
    of = sa.select(sa.func.count()).where(CODES.c.run_id == RUNS.c.id, *conditions)
    return of.correlate(RUNS).scalar_subquery()


RUNS_RESOURCE = Resource(
    name="code-runs",
    entity="code_run",
    label="Weekly codes",
    label_one="Week",
    section=SECTION,
    icon="calendar-days",
    in_menu=False,
    model=CodeRun,
    source=RUNS,
    title=RUNS.c.week,
    view=Right.CODES_VIEW,
    reach=lambda reach: sa.true() if reach.everywhere else sa.false(),  # they count all companies
    order=("-week",),
    fields=(
        Field(name="week", label="Week", column=RUNS.c.week, find=Find.SAME, example="2026-11-23"),
        Field(name="due_at", label="Due", kind=Kind.TIME, column=RUNS.c.due_at),
        Field(name="started_at", label="Begun", kind=Kind.TIME, column=RUNS.c.started_at),
        Field(name="ended_at", label="Ended", kind=Kind.TIME, column=RUNS.c.ended_at),
        Field(name="made", label="Codes made", kind=Kind.INTEGER, column=_count()),
        Field(
            name="untold",
            label="Billing still to be told",
            kind=Kind.INTEGER,
            column=_count(CODES.c.billing_due_at.is_not(None)),
        ),
    ),
)


def _panels(*conditions: sa.ColumnElement[bool]) -> Any:
    of = sa.select(sa.func.count()).where(_DELIVERIES.c.code_id == CODES.c.id, *conditions)
    return of.correlate(CODES).scalar_subquery()


CODES_RESOURCE = Resource(
    name="company-codes",
    entity="company_code",
    label="Access codes",
    label_one="Access code",
    section=SECTION,
    icon="hashtag",
    model=CompanyCode,
    source=CODES.join(COMPANIES, COMPANIES.c.id == CODES.c.company_id).outerjoin(
        RUNS, RUNS.c.id == CODES.c.run_id
    ),
    title=CODES.c.code,
    view=Right.CODES_VIEW,
    reach=all_within,
    order=("-made_at",),
    fields=(
        Field(
            name="company_id",
            label="Company",
            kind=Kind.REFERENCE,
            refers_to="companies",
            column=CODES.c.company_id,
            shown=COMPANIES.c.name,
            find=Find.SAME,
            sortable=True,
            example=1,
        ),
        Field(name="code", label="Code", column=CODES.c.code, find=Find.SAME, listed=False, example="48213"),
        Field(
            name="made_at",
            label="Holds since",
            kind=Kind.TIME,
            column=CODES.c.made_at,
            find=Find.BETWEEN,
            sortable=True,
        ),
        Field(name="ended_at", label="Held until", kind=Kind.TIME, column=CODES.c.ended_at),
        Field(
            name="week",
            label="Week",
            column=sa.func.coalesce(RUNS.c.week, ""),
            find=Find.SAME,
            example="2026-11-23",
        ),
        Field(name="made_by", label="Made by", column=CODES.c.made_by, example="Анна"),
        Field(name="panels", label="Panels", kind=Kind.INTEGER, column=_panels()),
        Field(
            name="panels_know",
            label="Panels that know it",
            kind=Kind.INTEGER,
            column=_panels(_DELIVERIES.c.done_at.is_not(None), _DELIVERIES.c.error == ""),
        ),
        Field(name="billing_at", label="Billing told", kind=Kind.TIME, column=CODES.c.billing_at),
        Field(name="billing_error", label="Billing says", column=CODES.c.billing_error, listed=False),
    ),
)

RESOURCES = (COMPANIES_RESOURCE, RUNS_RESOURCE, CODES_RESOURCE)
