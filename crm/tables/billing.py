"""What billing has told: how far each of its feeds is read, debts, and contracts of which no flat is known.

Times are UTC, in seconds since the epoch.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base


class BillingFeed(Base):
    """A feed ("debts", "contracts"), read up to `cursor`. Whoever reads it on has moved `due_at` on before.

    `read_at`: when its end was last reached; `tries` in vain since, and `error`, what went wrong at the last one.
    `anew_at`: it is being read from its beginning since then, as billing did not know its cursor any more.
    """

    __tablename__ = "billing_feeds"
    name: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    cursor: Mapped[str] = mapped_column(default="")
    due_at: Mapped[float] = mapped_column(default=0.0)
    read_at: Mapped[float | None]
    tries: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")
    anew_at: Mapped[float | None]


class Debt(Base):
    """A contract that owes `amount` (roubles, as billing writes them) since `since`; no row: it owes nothing."""

    __tablename__ = "debts"
    contract: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    since: Mapped[float]
    amount: Mapped[str] = mapped_column(sa.String(32))
    told_at: Mapped[float]


class UnknownContract(Base):
    """A contract for which no flat is known: its house by `fias` or `own_id` ("" for none), and the flat's number."""

    __tablename__ = "unknown_contracts"
    contract: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    fias: Mapped[str] = mapped_column(sa.String(36), default="")
    own_id: Mapped[str] = mapped_column(sa.String(64), default="")
    flat: Mapped[str] = mapped_column(sa.String(20))
    told_at: Mapped[float]
