"""Residents, and the flats that they live in or own. Their accounts hang on them (model.Account.resident_id)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base, Role, to


class Resident(Base):
    """A person: `phone` in E.164 ("+73512000001") or "", `note` for the staff."""

    __tablename__ = "residents"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    phone: Mapped[str] = mapped_column(sa.String(20), default="", index=True)
    email: Mapped[str] = mapped_column(default="")
    note: Mapped[str] = mapped_column(sa.Text, default="")


class ResidentFlat(Base):
    """Who lives in a flat, or owns it."""

    __tablename__ = "resident_flats"
    flat_id: Mapped[int] = to("flats.id", primary_key=True)
    resident_id: Mapped[int] = to("residents.id", primary_key=True, index=True)
    role: Mapped[Role] = mapped_column(default=Role.RESIDENT)
