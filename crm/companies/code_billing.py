"""Billing is told of companies and their codes: each when its code is made, and again until billing has it.

When a code is told next stands in its row. Who tells it moves that on first: of several processes one tells it, and
what a crash leaves half done is told again. Billing may be told twice; of two codes it keeps the newer. Functions are
synchronous and raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from config import BillingConfig
from crm.companies.billing import (
    Billing,
    BillingAway,
    BillingError,
    BillingRefused,
    CompanyTold,
    pause_before_next_try,
)
from crm.model import table
from crm.store import Store
from crm.tables.companies import Company, CompanyCode

ERROR_MAX = 255
HOLD_S = 60.0  # beyond the deadline: then who claimed it has died

_COMPANIES, _CODES = table(Company), table(CompanyCode)


def codes_to_tell(store: Store, now: float, limit: int = 100) -> list[int]:
    """Codes of which billing is to be told now, the longest due first."""
    due = sa.select(_CODES.c.id).where(_CODES.c.billing_due_at <= now).order_by(_CODES.c.billing_due_at)
    with store.reading() as connection:
        return list(connection.scalars(due.limit(limit)))


@frozen
class Told:
    """What came of telling: how many codes billing has now, what it refuses, and why it is away ("": it is not)."""

    told: int = 0
    refused: tuple[str, ...] = ()
    away: str = ""
    retry_after_s: float = 0.0


def tell_due(store: Store, billing: Billing, settings: BillingConfig, clock: Callable[[], float]) -> Told:
    """Tell billing of all codes of which it is to be told now, until it is away. `clock` says what time it is."""
    told = 0
    refused: list[str] = []
    while ids := codes_to_tell(store, clock()):
        for id in ids:
            try:
                why = tell_code(store, billing, settings, id, clock())
            except BillingAway as error:
                return Told(told, tuple(refused), str(error), error.retry_after_s)
            told += not why
            refused += [why] if why else []
    return Told(told, tuple(refused))


def tell_code(store: Store, billing: Billing, settings: BillingConfig, code_id: int, now: float) -> str:
    """Tell billing of a code and its company, if it is still due; why that failed, or "".

    What fails is told again, after a pause that grows. Raises BillingAway: there is no use in telling others now.
    """
    told = _claim(store, settings, code_id, now)
    if told is None:
        return ""
    try:
        company = CompanyTold(
            key=told.billing_id or f"teledom-{told.company_id}",
            name=told.name,
            inn=told.inn,
            active=told.active,
            code=told.code,
            code_since=told.made_at,
        )
        _note_told(store, told, billing.put_company(company), now)
    except BillingError as error:
        retry_after_s = error.retry_after_s if isinstance(error, BillingAway) else 0.0
        pause_s = max(pause_before_next_try(settings, told.billing_tries + 1), retry_after_s)
        _note_failed(store, told, str(error)[:ERROR_MAX], now + pause_s)
        if isinstance(error, BillingAway):
            raise
        return str(error)
    return ""


def _claim(store: Store, settings: BillingConfig, code_id: int, now: float) -> Any:
    """The code and its company, if billing is to be told of it now, and nobody else does."""
    due = sa.and_(_CODES.c.id == code_id, _CODES.c.billing_due_at <= now)
    hold = sa.update(_CODES).where(due).values(billing_due_at=now + settings.deadline_s + HOLD_S)
    with store.transaction() as connection:
        if not connection.execute(hold).rowcount:
            return None
        query = (
            sa.select(
                *(_CODES.c.id, _CODES.c.company_id, _CODES.c.code, _CODES.c.made_at, _CODES.c.billing_tries),
                *(_COMPANIES.c.name, _COMPANIES.c.inn, _COMPANIES.c.active, _COMPANIES.c.billing_id),
            )
            .join(_COMPANIES, _COMPANIES.c.id == _CODES.c.company_id)
            .where(_CODES.c.id == code_id)
        )
        return connection.execute(query).one()


def _note_told(store: Store, told: Any, billing_id: str, now: float) -> None:
    with store.transaction() as connection:
        other = sa.select(_COMPANIES.c.name).where(_COMPANIES.c.billing_id == billing_id)
        name = connection.scalar(other.where(_COMPANIES.c.id != told.company_id))
        if name is not None:
            raise BillingRefused(
                f"telling billing of {told.name}: it has the id {billing_id} there, which is {name}'s: "
                "see in billing which company it is"
            )
        # Codes before companies, as where they are made: neither waits for the other in a circle.
        mine = sa.update(_CODES).where(_CODES.c.id == told.id)
        connection.execute(mine.values(billing_at=now, billing_due_at=None, billing_error=""))
        _set_company(connection, told, billing_id=billing_id, billing_at=now, billing_error="")


def _note_failed(store: Store, told: Any, why: str, again_at: float) -> None:
    why = why.replace("\0", "�")
    with store.transaction() as connection:
        mine = sa.update(_CODES).where(_CODES.c.id == told.id)
        connection.execute(mine.values(billing_tries=_CODES.c.billing_tries + 1, billing_error=why))
        waits = mine.where(_CODES.c.billing_due_at.is_not(None))  # superseded meanwhile: it is told no more
        connection.execute(waits.values(billing_due_at=again_at))
        _set_company(connection, told, billing_error=why)


def _set_company(connection: sa.Connection, told: Any, **values: Any) -> None:
    connection.execute(sa.update(_COMPANIES).where(_COMPANIES.c.id == told.company_id).values(values))
