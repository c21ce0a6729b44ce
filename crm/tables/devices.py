"""Relays: boxes with channels, each of which opens something."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base, to


class Relay(Base):
    """`url` is its HTTP address, `http_password` sealed (crm.sealed), `tls_pin` its certificate's fingerprint."""

    __tablename__ = "relays"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    mac: Mapped[str] = mapped_column(sa.String(12), unique=True)
    model: Mapped[str] = mapped_column(sa.String(64), default="")
    url: Mapped[str] = mapped_column(default="")
    http_user: Mapped[str] = mapped_column(sa.String(64), default="")
    http_password: Mapped[str] = mapped_column(sa.Text, default="")
    tls_pin: Mapped[str | None] = mapped_column(sa.String(128))
    active: Mapped[bool] = mapped_column(default=True)
    note: Mapped[str] = mapped_column(sa.Text, default="")


class RelayChannel(Base):
    """Channel `number` of a relay opens what `name` says, at an entrance where there is one."""

    __tablename__ = "relay_channels"
    __table_args__ = (sa.UniqueConstraint("relay_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    relay_id: Mapped[int] = to("relays.id")
    number: Mapped[int]
    name: Mapped[str]
    entrance_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("entrances.id", ondelete="SET NULL"), index=True
    )
