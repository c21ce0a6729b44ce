"""The tables of 112: numbers of cities' pools, their leases, test calls. Times are UTC, in seconds since the epoch."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base
from crm.values.sos import Why


class SosNumber(Base):
    """A number of a city's pool, lent to panels for their 112 calls. `fias` is the city's, "" for the default dispatch.

    `status` 1: lent, since `event_time`, to `domophone` (its MAC); 0: free, and both are empty. `lease` is its last.
    """

    __tablename__ = "sos_numbers"
    id: Mapped[int] = mapped_column(primary_key=True)
    fias: Mapped[str] = mapped_column(sa.String(36), index=True)
    number: Mapped[str] = mapped_column(sa.String(32), unique=True)
    status: Mapped[int] = mapped_column(default=0)
    event_time: Mapped[float | None]
    domophone: Mapped[str | None] = mapped_column(sa.String(12))
    lease: Mapped[str | None] = mapped_column(sa.String(64))


class SosPool(Base):
    """Counts the changes of a city's pool: a node that has seen an older count looks again before it lends."""

    __tablename__ = "sos_pools"
    fias: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    version: Mapped[int] = mapped_column(default=0)


class SosLease(Base):
    """A number lent to a panel, for a call: the history (sos.Lease). It outlives the panel and the number."""

    __tablename__ = "sos_leases"
    __table_args__ = (
        sa.Index(None, "number", "started_at"),
        sa.Index(None, "panel", "started_at"),
        sa.Index(None, "fias", "started_at"),
    )
    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    fias: Mapped[str] = mapped_column(sa.String(36))
    number: Mapped[str] = mapped_column(sa.String(32))
    panel: Mapped[str] = mapped_column(sa.Text)
    domophone: Mapped[str] = mapped_column(sa.String(12))
    call_id: Mapped[str] = mapped_column(sa.String(64))
    node: Mapped[str] = mapped_column(sa.String(64))
    why: Mapped[Why]
    started_at: Mapped[float]
    ended_at: Mapped[float | None]
    held_until: Mapped[float | None]


class SosTest(Base):
    """A test call of a panel's 112: asked for (or planned) for `due_at`, made by a node, with what came of it."""

    __tablename__ = "sos_tests"
    __table_args__ = (sa.Index(None, "panel", "due_at"), sa.Index(None, "started_at", "due_at"))
    id: Mapped[int] = mapped_column(primary_key=True)
    panel: Mapped[str] = mapped_column(sa.String(64))
    by_hand: Mapped[bool]
    due_at: Mapped[float]
    node: Mapped[str] = mapped_column(sa.String(64), default="")
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    passed: Mapped[bool | None]
    result: Mapped[str] = mapped_column(sa.Text, default="")
    call_id: Mapped[str] = mapped_column(sa.String(64), default="")
