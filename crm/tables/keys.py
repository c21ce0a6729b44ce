"""RFID keys, and what each opens. Times are UTC, in seconds since the epoch."""

from __future__ import annotations

from enum import Enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base, enum_type, to

_LOST = sa.text("lost_at IS NOT NULL")  # so few of all that an index of them alone is small


class Technology(Enum):
    """What a key is inside."""

    EM_MARIN = "em_marin"  # 125 kHz, 5 bytes, of which readers tell 3, 4 or 5
    MIFARE = "mifare"  # 13.56 MHz, 4 or 7 bytes
    UNKNOWN = "unknown"


class KeyScope(Enum):
    """Where a key opens, or whose it is."""

    EVERYWHERE = "everywhere"
    COMPANY = "company"
    HOUSE = "house"
    ENTRANCE = "entrance"
    FLAT = "flat"
    RESIDENT = "resident"
    EMPLOYEE = "employee"


class Key(Base):
    """`uid` is the raw UID as hex, capitals, in the order in which the key sends it; `given` as it was written when it
    came in, and `format` how that was read. `lost_at`: it opens nothing any more. `seen_at` when, `seen_by` at which
    panel (a SIP user) it was last used.
    """

    __tablename__ = "keys"
    __table_args__ = (sa.Index("ix_keys_lost", "id", postgresql_where=_LOST, sqlite_where=_LOST),)
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(sa.String(20), unique=True)
    technology: Mapped[Technology] = mapped_column(enum_type(Technology), default=Technology.UNKNOWN)
    given: Mapped[str] = mapped_column(sa.String(64), default="")
    format: Mapped[str] = mapped_column(sa.String(20), default="hex")
    note: Mapped[str] = mapped_column(default="")
    created_at: Mapped[float]
    lost_at: Mapped[float | None]
    lost_why: Mapped[str] = mapped_column(default="")
    seen_at: Mapped[float | None]
    seen_by: Mapped[str] = mapped_column(sa.String(64), default="")


class KeyBinding(Base):
    """What a key is bound to: `ref_id` is the id of what `scope` names (0 for everywhere)."""

    __tablename__ = "key_bindings"
    __table_args__ = (sa.Index(None, "scope", "ref_id"),)
    key_id: Mapped[int] = to("keys.id", primary_key=True)
    scope: Mapped[KeyScope] = mapped_column(enum_type(KeyScope), primary_key=True)
    ref_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class KeyDelivery(Base):
    """A panel that is to learn (`wanted`) or to forget a key. `done_at` None: still to be told, next at `due_at`."""

    __tablename__ = "key_deliveries"
    __table_args__ = (sa.Index(None, "done_at", "due_at"),)
    key_id: Mapped[int] = to("keys.id", primary_key=True)
    domophone_id: Mapped[int] = to("domophones.id", primary_key=True, index=True)
    wanted: Mapped[bool]
    due_at: Mapped[float]
    done_at: Mapped[float | None]
    tries: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")
