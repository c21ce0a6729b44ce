"""Weekly codes in the database: a week's run, the codes that it makes, and the panels that are to learn them.

A run is one row, by its week, so that it is made once however many processes see that it is due. Each company's code
is a transaction of its own: what a crash leaves undone is what the next one finds. A run has ended when every active
company has its code, and billing knows of it (crm.companies.code_billing). All functions are synchronous and raise
DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from attrs import field, frozen

from config import CodesConfig
from crm.changes import note_change
from crm.companies.code_panels import deliver
from crm.companies.codes import YEAR_S, Week, choose_code, due_week
from crm.keys.panels import BEING_TOLD
from crm.model import House, table
from crm.rights import Reach, Right
from crm.store import Store
from crm.tables.companies import CodeDelivery, CodeRun, Company, CompanyCode
from crm.who import SYSTEM, Conflict, NotFound, Who

_COMPANIES, _RUNS, _CODES = table(Company), table(CodeRun), table(CompanyCode)
_DELIVERIES, _HOUSES = table(CodeDelivery), table(House)
_HOLDS = _CODES.c.ended_at.is_(None)


@frozen
class Run:
    """A week's run: how many codes it has made, how many `companies` still wait for theirs, of how many billing does
    not know yet (`untold`). Without `ended_at` it goes on."""

    id: int
    week: str
    due_at: float
    started_at: float
    ended_at: float | None
    made: int = 0
    companies: int = 0
    untold: int = 0


@frozen
class Code:
    """A code of a company. `week` "": made by hand, by `made_by`; `ended_at` None: it holds.

    Of `panels` that are to know it, `panels_done` do; `panel_error` is what one of the others said last.
    """

    id: int
    company_id: int
    company: str
    code: str = field(repr=False)
    made_at: float
    made_by: str
    week: str
    ended_at: float | None
    billing_at: float | None
    billing_due_at: float | None
    billing_tries: int
    billing_error: str
    panels: int
    panels_done: int
    panel_error: str


# --- a week's run --------------------------------------------------------------------------------------------------


def make_codes(store: Store, settings: CodesConfig, now: float, *, billing: bool) -> int:
    """Begin the run that is due, or go on with one that has not ended: the code of every company that waits for its own.

    How many were made. `billing`: it is to be told of them (code_billing); then `end_run`. Raises NoCodesLeft.
    """
    week = due_week(now, settings, last_week(store))
    if week is not None:
        start_run(store, week, now)
    run = open_run(store)
    made = 0
    while run is not None and make_next(store, run, settings.digits, now, billing=billing) is not None:
        made += 1
    return made


def last_week(store: Store) -> str | None:
    """The newest week of which a run was begun."""
    with store.reading() as connection:
        week: str | None = connection.scalar(sa.select(sa.func.max(_RUNS.c.week)))
        return week


def start_run(store: Store, week: Week, now: float) -> bool:
    """Begin a week's run; False: another process has. An older one that has not ended is ended: this makes up for it."""
    with store.transaction() as connection:
        try:
            with connection.begin_nested():
                row = {"week": week.name, "due_at": week.due_at, "started_at": now}
                connection.execute(sa.insert(_RUNS).values(row))
        except sa.exc.IntegrityError:
            return False
        older = sa.and_(_RUNS.c.week < week.name, _RUNS.c.ended_at.is_(None))
        connection.execute(sa.update(_RUNS).where(older).values(ended_at=now))
        return True


def open_run(store: Store) -> int | None:
    """The run that has not ended."""
    with store.reading() as connection:
        going = sa.select(_RUNS.c.id).where(_RUNS.c.ended_at.is_(None)).order_by(_RUNS.c.week.desc())
        return connection.scalar(going.limit(1))


def make_next(store: Store, run_id: int, digits: int, now: float, *, billing: bool) -> int | None:
    """Make the code of one company that waits for its own in this run; the company, or None: none waits.

    `billing`: it is to be told. Raises NoCodesLeft.
    """
    with store.transaction() as connection:
        _lock(connection)
        run = connection.execute(sa.select(_RUNS).where(_RUNS.c.id == run_id)).one()
        if run.ended_at is not None:
            return None
        company = connection.scalar(
            sa.select(_COMPANIES.c.id).where(_waits(run)).order_by(_COMPANIES.c.id).limit(1)
        )
        if company is not None:
            _make(connection, SYSTEM, company, digits, now, run_id=run_id, billing=billing)
        return company


def end_run(store: Store, run_id: int, now: float) -> bool:
    """A run is over, if no company waits, and billing knows all of its codes that hold. Says whether it is."""
    with store.transaction() as connection:
        run = connection.execute(sa.select(_RUNS).where(_RUNS.c.id == run_id)).one()
        if run.ended_at is not None:
            return True
        untold = sa.exists().where(_CODES.c.run_id == run_id, _CODES.c.billing_due_at.is_not(None))
        if connection.scalar(sa.select(sa.or_(untold, sa.exists().where(_waits(run))))):
            return False
        connection.execute(sa.update(_RUNS).where(_RUNS.c.id == run_id).values(ended_at=now))
        return True


def _waits(run: Any) -> sa.ColumnElement[bool]:
    """The condition on a company that this run is to make its code. One made by hand since the Monday is new enough."""
    has = sa.exists().where(_CODES.c.run_id == run.id, _CODES.c.company_id == _COMPANIES.c.id)
    old = sa.or_(_COMPANIES.c.code_at.is_(None), _COMPANIES.c.code_at < run.due_at)
    return sa.and_(_COMPANIES.c.active, old, ~has)


# --- one code ------------------------------------------------------------------------------------------------------


def make_by_hand(store: Store, who: Who, company_id: int, digits: int, now: float, *, billing: bool) -> Code:
    """Make a company's new code at once; it. `billing`: it is to be told, by whoever does so next (Chores).

    Raises Forbidden, NotFound, Conflict (the company is not active), NoCodesLeft.
    """
    with store.transaction() as connection:
        _lock(connection)
        company = _company(connection, who, Right.CODES_MAKE, company_id)
        if not company.active:
            raise Conflict(f"{company.name} is not active, and only active companies have codes: activate it")
        id = _make(connection, who, company_id, digits, now, run_id=None, billing=billing)
        return _codes(connection, _CODES.c.id == id, 1)[0]


def tell_again(store: Store, who: Who, company_id: int, now: float) -> bool:
    """Ask that billing be told of a company and the code that it has; False: it has none.

    Raises Forbidden, NotFound.
    """
    with store.transaction() as connection:
        _company(connection, who, Right.COMPANIES_EDIT, company_id)
        holds = sa.and_(_CODES.c.company_id == company_id, _HOLDS)
        return connection.execute(sa.update(_CODES).where(holds).values(billing_due_at=now)).rowcount > 0


def _make(
    connection: sa.Connection,
    who: Who,
    company_id: int,
    digits: int,
    now: float,
    *,
    run_id: int | None,
    billing: bool,
) -> int:
    code = choose_code(digits, _Used(connection, now - YEAR_S))
    before = sa.and_(_CODES.c.company_id == company_id, _HOLDS)
    old = connection.scalars(sa.select(_CODES.c.id).where(before)).all()
    if old:
        # What is just being told stays: whoever tells it is to note that the panel has it.
        untold = sa.and_(_DELIVERIES.c.done_at.is_(None), _DELIVERIES.c.error != BEING_TOLD)
        superseded = sa.and_(_DELIVERIES.c.code_id.in_(old), untold)
        connection.execute(sa.delete(_DELIVERIES).where(superseded))
        ended = {"ended_at": now, "billing_due_at": None}
        connection.execute(sa.update(_CODES).where(_CODES.c.id.in_(old)).values(ended))
    row = {
        "company_id": company_id,
        "run_id": run_id,
        "code": code,
        "made_at": now,
        "made_by": "" if run_id is not None else who.name,
        "billing_due_at": now if billing else None,
    }
    id: int = connection.execute(sa.insert(_CODES).values(row).returning(_CODES.c.id)).scalar_one()
    was = connection.scalar(sa.select(_COMPANIES.c.code_at).where(_COMPANIES.c.id == company_id))
    mine = sa.update(_COMPANIES).where(_COMPANIES.c.id == company_id)
    connection.execute(mine.values(code=code, code_at=now))
    deliver(connection, id, now)
    note_change(connection, who, "company", company_id, "code", {"code_at": was}, {"code_at": now}, at=now)
    return id


@frozen
class _Used:
    """The codes that held since then, of all companies: two of them may share a gate."""

    connection: sa.Connection
    since: float

    def __contains__(self, code: object) -> bool:
        recent = sa.or_(_CODES.c.made_at >= self.since, _HOLDS, _CODES.c.ended_at >= self.since)
        found = self.connection.scalar(sa.select(sa.exists().where(_CODES.c.code == code, recent)))
        return bool(found)


def _lock(connection: sa.Connection) -> None:
    """Only one transaction makes codes at a time: what it sees as unused is so until it commits. Reading goes on."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(sa.text("LOCK TABLE company_codes IN SHARE ROW EXCLUSIVE MODE"))


# --- looked at -----------------------------------------------------------------------------------------------------


def runs(store: Store, who: Who, limit: int = 50) -> list[Run]:
    """Weekly runs, the newest first: they count all companies. Raises Forbidden."""
    who.need_everywhere(Right.CODES_VIEW)
    made = sa.select(sa.func.count()).where(_CODES.c.run_id == _RUNS.c.id)
    untold = made.where(_CODES.c.billing_due_at.is_not(None))
    waiting = sa.select(sa.func.count()).select_from(_COMPANIES).where(_waits(_RUNS.c)).correlate(_RUNS)
    going = sa.case((_RUNS.c.ended_at.is_(None), waiting.scalar_subquery()), else_=0)
    query = sa.select(
        _RUNS,
        made.scalar_subquery().label("made"),
        going.label("companies"),
        untold.scalar_subquery().label("untold"),
    )
    with store.reading() as connection:
        found = connection.execute(query.order_by(_RUNS.c.week.desc()).limit(limit)).mappings()
        return [Run(**row) for row in found]


def codes_of(store: Store, who: Who, company_id: int, limit: int = 60) -> list[Code]:
    """A company's codes, the newest first. Raises Forbidden, NotFound."""
    with store.reading() as connection:
        _company(connection, who, Right.CODES_VIEW, company_id)
        return _codes(connection, _CODES.c.company_id == company_id, limit)


def codes_that_hold(store: Store, who: Who, limit: int = 10_000) -> list[Code]:
    """The code of each company that has one, by the company's name; those that `who` may see. Raises Forbidden."""
    who.need(Right.CODES_VIEW)
    with store.reading() as connection:
        found = _codes(connection, sa.and_(_HOLDS, may_see(who, Right.CODES_VIEW)), limit)
    return sorted(found, key=lambda each: each.company)


def find_company(store: Store, text: str) -> int:
    """A company by its id or its name. Raises NotFound."""
    with store.reading() as connection:
        id: int | None = connection.scalar(sa.select(_COMPANIES.c.id).where(_COMPANIES.c.name == text))
        if id is None and text.isascii() and text.isdigit() and len(text) < 10:
            id = connection.scalar(sa.select(_COMPANIES.c.id).where(_COMPANIES.c.id == int(text)))
    if id is None:
        raise NotFound(f"there is no company {text!r}: write its id, or its name as the CRM has it")
    return id


def may_see(who: Who, right: Right) -> sa.ColumnElement[bool]:
    """The condition on companies that all that is theirs is within reach of this right."""
    return all_within(who.rights.reach(right))


def all_within(reach: Reach) -> sa.ColumnElement[bool]:
    """The same for a reach: a code opens all of a company's houses, so who sees it sees them all."""
    if reach.everywhere:
        return sa.true()
    mine = sa.exists().where(_HOUSES.c.company_id == _COMPANIES.c.id).correlate(_COMPANIES)
    beyond = mine.where(sa.not_(reach.of_houses())).correlate(_COMPANIES)
    return sa.or_(_COMPANIES.c.id.in_(sorted(reach.companies)), sa.and_(mine, ~beyond))


def _company(connection: sa.Connection, who: Who, right: Right, company_id: int) -> Any:
    who.need(right)
    query = sa.select(_COMPANIES).where(_COMPANIES.c.id == company_id, may_see(who, right))
    company = connection.execute(query).first()
    if company is None:
        raise NotFound(f"there is no company {company_id}, or it is not among those of {who.name}")
    return company


def _codes(connection: sa.Connection, where: sa.ColumnElement[bool], limit: int) -> list[Code]:
    told = sa.select(sa.func.count()).where(_DELIVERIES.c.code_id == _CODES.c.id)
    failed = sa.select(sa.func.max(_DELIVERIES.c.error)).where(_DELIVERIES.c.code_id == _CODES.c.id)
    query = (
        sa.select(
            *(_CODES.c[name] for name in _OWN),
            _COMPANIES.c.name.label("company"),
            sa.func.coalesce(_RUNS.c.week, "").label("week"),
            told.scalar_subquery().label("panels"),
            told.where(_DELIVERIES.c.done_at.is_not(None)).scalar_subquery().label("panels_done"),
            sa.func.coalesce(failed.where(_DELIVERIES.c.done_at.is_(None)).scalar_subquery(), "").label(
                "panel_error"
            ),
        )
        .join(_COMPANIES, _COMPANIES.c.id == _CODES.c.company_id)
        .outerjoin(_RUNS, _RUNS.c.id == _CODES.c.run_id)
        .where(where)
        .order_by(_CODES.c.id.desc())
        .limit(limit)
    )
    return [Code(**row) for row in connection.execute(query).mappings()]


_OWN: Sequence[str] = [each.name for each in attrs.fields(Code) if each.name in _CODES.c]
