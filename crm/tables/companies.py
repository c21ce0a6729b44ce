"""Management companies, their access codes, and how each code got to billing and to the panels.

Times are UTC, in seconds since the epoch.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base, to


class Company(Base):
    """A management company; its houses name it. `code` is the one that holds now ("" for none), since `code_at`.

    `billing_id` is billing's own; `billing_at` when it was last synchronised, `billing_error` what went wrong then.
    """

    __tablename__ = "companies"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    inn: Mapped[str] = mapped_column(sa.String(12), default="", index=True)
    contact: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(sa.String(20), default="")
    email: Mapped[str] = mapped_column(default="")
    active: Mapped[bool] = mapped_column(default=True)
    billing_id: Mapped[str | None] = mapped_column(sa.String(64), unique=True)
    code: Mapped[str] = mapped_column(sa.String(16), default="")
    code_at: Mapped[float | None]
    billing_at: Mapped[float | None]
    billing_error: Mapped[str] = mapped_column(default="")


class CodeRun(Base):
    """One making of new codes for all active companies. `week` is that Monday ("2026-11-23"), in the setting's zone."""

    __tablename__ = "code_runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    week: Mapped[str] = mapped_column(sa.String(10), unique=True)
    due_at: Mapped[float]
    started_at: Mapped[float]
    ended_at: Mapped[float | None]


class CompanyCode(Base):
    """A code that a company has or had. `run_id` None: made by hand.

    `billing_at`: when billing was told; `billing_due_at` when it is to be told next (None: not, or no more).
    """

    __tablename__ = "company_codes"
    __table_args__ = (sa.UniqueConstraint("run_id", "company_id"), sa.Index(None, "code", "made_at"))
    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int] = to("companies.id", index=True)
    run_id: Mapped[int | None] = mapped_column(sa.ForeignKey("code_runs.id"))
    code: Mapped[str] = mapped_column(sa.String(16))
    made_at: Mapped[float]
    made_by: Mapped[str] = mapped_column(default="")
    ended_at: Mapped[float | None]
    billing_at: Mapped[float | None]
    billing_due_at: Mapped[float | None] = mapped_column(index=True)
    billing_tries: Mapped[int] = mapped_column(default=0)
    billing_error: Mapped[str] = mapped_column(default="")


class CodeDelivery(Base):
    """A panel that is to know a code. `done_at` None: still to be told, next at `due_at`."""

    __tablename__ = "code_deliveries"
    __table_args__ = (sa.Index(None, "done_at", "due_at"),)
    code_id: Mapped[int] = to("company_codes.id", primary_key=True)
    domophone_id: Mapped[int] = to("domophones.id", primary_key=True, index=True)
    due_at: Mapped[float]
    done_at: Mapped[float | None]
    tries: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")
