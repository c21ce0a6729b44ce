"""The tables of finished calls. Times are UTC, in seconds since the epoch."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base
from crm.values.records import LegEnd, Outcome


def by_bytes(length: int) -> sa.String:
    """Text that is found by its beginning, as a range: its order is that of its bytes, whatever the locale."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


class Call(Base):
    """A finished call (records.CallRecord), `entries` as JSON; it outlives the flat and the panel."""

    __tablename__ = "calls"
    __table_args__ = (
        sa.Index(None, "started_at"),
        sa.Index(None, "panel", "started_at"),
        sa.Index(None, "flat", "started_at"),
        sa.Index(None, "flat_id", "started_at"),
        sa.Index(None, "outcome", "started_at"),
        sa.Index(None, "kind", "started_at"),
    )
    call_id: Mapped[str] = mapped_column(by_bytes(64), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    node: Mapped[str] = mapped_column(sa.String(64))
    panel: Mapped[str] = mapped_column(sa.Text)
    dialled: Mapped[str] = mapped_column(sa.Text)
    address: Mapped[str] = mapped_column(sa.Text)
    domophone: Mapped[str] = mapped_column(sa.String(12))
    flat: Mapped[str] = mapped_column(sa.String(20))
    flat_id: Mapped[int | None]
    started_at: Mapped[float]
    answered_at: Mapped[float | None]
    answered_by: Mapped[str] = mapped_column(sa.String(64))
    door_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    outcome: Mapped[Outcome | None]
    number: Mapped[str] = mapped_column(sa.String(32), default="")
    recording: Mapped[str] = mapped_column(default="")
    entries: Mapped[str] = mapped_column(sa.Text)


class Leg(Base):
    """One channel of a call (records.LegRecord); `position` keeps their order."""

    __tablename__ = "legs"
    call_id: Mapped[str] = mapped_column(
        by_bytes(64), sa.ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    channel: Mapped[str]
    role: Mapped[str] = mapped_column(sa.String(20))
    account: Mapped[str] = mapped_column(sa.String(64), index=True)
    invited_at: Mapped[float | None]
    ringing_at: Mapped[float | None]
    answered_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    end: Mapped[LegEnd | None]
    cause: Mapped[int | None]
    sip_code: Mapped[int | None]
