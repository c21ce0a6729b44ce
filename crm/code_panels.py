"""Which panels are to know a company's code: the active ones that serve a house of it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from crm.company_model import CodeDelivery, Company, CompanyCode
from crm.model import Domophone, DomophoneEntrance, House, HouseEntrance, table
from crm.store import Store

_CODES, _DELIVERIES = table(CompanyCode), table(CodeDelivery)


def deliver(connection: sa.Connection, code_id: int, now: float) -> None:
    """A code that is new is to be told to all panels that are to know it."""
    _deliver(connection, _CODES.c.id == code_id, now)


def deliver_missing(store: Store, now: float) -> int:
    """Panels that came to an active company after its code was made are to be told too; how many."""
    with store.transaction() as connection:
        return _deliver(connection, sa.and_(_CODES.c.ended_at.is_(None), Company.active), now)


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
