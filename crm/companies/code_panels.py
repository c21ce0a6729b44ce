"""Which panels are to know a company's code, and `code_deliveries` kept in step with that.

A panel is to know the code of each active company of whose houses it serves one. What a row that is due means follows
from that (`is_wanted`): the panel is to learn the code, or to forget it. Whoever changes a company's state, a house's
company or what a panel serves calls `sync_codes` in the same transaction; `deliver_missing` finds what nobody has told.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.dialects import postgresql, sqlite

from crm.keys.panels import BEING_TOLD
from crm.model import Domophone, DomophoneEntrance, House, HouseEntrance, table
from crm.store import Store
from crm.tables.companies import CodeDelivery, Company, CompanyCode

_CODES, _DELIVERIES = table(CompanyCode), table(CodeDelivery)
_KNOWN = sa.and_(_DELIVERIES.c.done_at.is_not(None), _DELIVERIES.c.error == "")


@frozen
class PanelsTold:
    """How far panels are: how many know a company's code, wait to be told it, cannot be told; how many are still to
    `forget` an older one. `reasons`: what those said that do not know it, each with how many said so."""

    known: int = 0
    waiting: int = 0
    cannot: int = 0
    forget: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


def deliver(connection: sa.Connection, code_id: int, now: float) -> None:
    """A code that is new is to be told to all panels that are to know it."""
    _deliver(connection, _CODES.c.id == code_id, now)


def deliver_missing(store: Store, now: float) -> int:
    """Panels that came to an active company after its code was made are to be told too; how many.

    Those that left it are to forget its code.
    """
    with store.transaction() as connection:
        _take_back(connection, sa.true(), now)
        return _deliver(connection, _holds(), now)


def sync_codes(
    connection: sa.Connection,
    now: float,
    *,
    panels: Collection[int] | None = None,
    company_id: int | None = None,
) -> None:
    """Make what these panels (of None: all), or all panels of a company, are to learn and to forget what it should be."""
    of_panels: sa.ColumnElement[bool] = sa.true()
    of_company: sa.ColumnElement[bool] = sa.true()
    if company_id is not None:
        of_company = _CODES.c.company_id == company_id
    here = sa.true() if panels is None else _DELIVERIES.c.domophone_id.in_(sorted(panels))
    if panels is not None:
        of_panels = Domophone.id.in_(sorted(panels))
    ours = sa.exists().where(_CODES.c.id == _DELIVERIES.c.code_id, of_company)
    _take_back(connection, sa.and_(here, ours), now)
    _deliver(connection, sa.and_(_holds(), of_company, of_panels), now)


def end_code(connection: sa.Connection, company_id: int, now: float) -> None:
    """A company is not active any more: its code ends, panels forget it, and billing, if it knew it, is told."""
    mine = sa.and_(_CODES.c.company_id == company_id, _CODES.c.ended_at.is_(None))
    told = sa.or_(_CODES.c.billing_at.is_not(None), _CODES.c.billing_due_at.is_not(None))
    due = sa.case((told, now), else_=None)
    connection.execute(sa.update(_CODES).where(mine).values(ended_at=now, billing_due_at=due))
    companies = table(Company)
    connection.execute(sa.update(companies).where(companies.c.id == company_id).values(code="", code_at=None))
    sync_codes(connection, now, company_id=company_id)


def forgotten(connection: sa.Connection, domophone_id: int, code_ids: Collection[int], now: float) -> None:
    """A panel has forgotten these codes. What else it is to know it is told again: many have room for one code only."""
    companies = sa.select(_CODES.c.company_id).where(_CODES.c.id.in_(sorted(code_ids)))
    theirs = sa.select(_CODES.c.id).where(_CODES.c.company_id.in_(companies))
    over = sa.or_(_DELIVERIES.c.code_id.in_(sorted(code_ids)), _DELIVERIES.c.done_at.is_not(None))
    mine = _DELIVERIES.c.domophone_id == domophone_id
    connection.execute(sa.delete(_DELIVERIES).where(mine, _DELIVERIES.c.code_id.in_(theirs), over))
    holds = sa.exists().where(_CODES.c.id == _DELIVERIES.c.code_id, _CODES.c.ended_at.is_(None))
    again = sa.update(_DELIVERIES).where(mine, _KNOWN, holds, is_wanted(_DELIVERIES))
    connection.execute(again.values(done_at=None, due_at=now))


def is_wanted(deliveries: sa.FromClause) -> sa.ColumnElement[bool]:
    """The condition on rows of `deliveries` that their panel is to know the code of that company."""
    made = _CODES.alias()
    return (
        sa.select(sa.literal(1))
        .select_from(made)
        .join(Company, Company.id == made.c.company_id)
        .join(House, House.company_id == Company.id)
        .join(HouseEntrance, HouseEntrance.house_id == House.id)
        .join(DomophoneEntrance, DomophoneEntrance.entrance_id == HouseEntrance.entrance_id)
        .where(
            made.c.id == deliveries.c.code_id,
            DomophoneEntrance.domophone_id == deliveries.c.domophone_id,
            Company.active,
        )
        .correlate(deliveries)
        .exists()
    )


def panels_know(connection: sa.Connection, company_id: int) -> bool:
    """Whether any panel knows a code of this company, or may know it."""
    tried = sa.or_(_KNOWN, sa.and_(_DELIVERIES.c.done_at.is_(None), _DELIVERIES.c.tries > 0))
    found = sa.exists().where(_CODES.c.company_id == company_id, _DELIVERIES.c.code_id == _CODES.c.id, tried)
    return bool(connection.scalar(sa.select(found)))


def panels_told(connection: sa.Connection, company_id: int) -> PanelsTold:
    """How far the panels of a company are with its code."""
    done, wanted = _DELIVERIES.c.done_at.is_not(None), is_wanted(_DELIVERIES)
    count = sa.func.count()
    query = (
        sa.select(done, wanted, _DELIVERIES.c.error, count)
        .join(_CODES, _CODES.c.id == _DELIVERIES.c.code_id)
        .where(_CODES.c.company_id == company_id, sa.or_(_CODES.c.ended_at.is_(None), ~done))
        .group_by(done, wanted, _DELIVERIES.c.error)
        .order_by(count.desc())
    )
    known = waiting = cannot = forget = 0
    reasons: dict[str, int] = {}
    for is_done, is_meant, error, number in connection.execute(query):
        if not is_meant:
            forget += 0 if is_done else number
        elif is_done and not error:
            known += number
        elif is_done:
            cannot += number
        else:
            waiting += number
        if error and error != BEING_TOLD:
            reasons[error] = reasons.get(error, 0) + number
    return PanelsTold(known, waiting, cannot, forget, tuple(reasons.items()))


def _holds() -> sa.ColumnElement[bool]:
    return sa.and_(_CODES.c.ended_at.is_(None), Company.active)


def _take_back(connection: sa.Connection, which: sa.ColumnElement[bool], now: float) -> None:
    """Codes of companies that a panel serves no more are due again, so that it forgets the last that it was told."""
    left = sa.and_(which, ~is_wanted(_DELIVERIES))
    untold = sa.and_(_DELIVERIES.c.done_at.is_(None), _DELIVERIES.c.tries == 0)
    connection.execute(sa.delete(_DELIVERIES).where(left, untold, _DELIVERIES.c.error != BEING_TOLD))
    newer, made, mine = _DELIVERIES.alias("newer"), _CODES.alias("made"), _CODES.alias("mine")
    replaced = (
        sa.select(sa.literal(1))
        .select_from(newer)
        .join(made, made.c.id == newer.c.code_id)
        .join(mine, mine.c.company_id == made.c.company_id)
        .where(
            mine.c.id == _DELIVERIES.c.code_id,
            newer.c.domophone_id == _DELIVERIES.c.domophone_id,
            made.c.id > mine.c.id,
            newer.c.error == "",
            newer.c.done_at.is_not(None),
        )
        .correlate(_DELIVERIES)
        .exists()
    )
    last = sa.update(_DELIVERIES).where(left, _KNOWN, ~replaced)
    connection.execute(last.values(done_at=None, due_at=now))


def _deliver(connection: sa.Connection, which: sa.ColumnElement[bool], now: float) -> int:
    there = sa.exists().where(
        _DELIVERIES.c.code_id == _CODES.c.id, _DELIVERIES.c.domophone_id == Domophone.id
    )
    missing = (
        sa.select(_CODES.c.id, Domophone.id, sa.literal(now, sa.Double()), sa.literal(0), sa.literal(""))
        .select_from(_CODES)
        .join(Company, Company.id == _CODES.c.company_id)
        .join(House, House.company_id == Company.id)
        .join(HouseEntrance, HouseEntrance.house_id == House.id)
        .join(DomophoneEntrance, DomophoneEntrance.entrance_id == HouseEntrance.entrance_id)
        .join(Domophone, Domophone.id == DomophoneEntrance.domophone_id)
        .where(which, Domophone.active, ~there)
        .distinct()
    )
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    names = ["code_id", "domophone_id", "due_at", "tries", "error"]
    new = dialect.insert(_DELIVERIES).from_select(names, missing).on_conflict_do_nothing()
    return len(connection.execute(new.returning(_DELIVERIES.c.code_id)).all())
