"""Imports of files: what came of each. Times are UTC, in seconds since the epoch."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base


class Import(Base):
    """One file. `state`: checking, refused (`errors` says why), ready, writing, done, failed; `done` of `rows` so far.

    `errors` is JSON: a list of [row, column, text]; `choices` JSON too: what was chosen for this kind (byte order, …).
    """

    __tablename__ = "imports"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    name: Mapped[str]
    state: Mapped[str] = mapped_column(sa.String(20))
    by: Mapped[str] = mapped_column(sa.String(32))
    who: Mapped[str]
    rows: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    added: Mapped[int] = mapped_column(default=0)
    changed: Mapped[int] = mapped_column(default=0)
    errors: Mapped[str] = mapped_column(sa.Text, default="[]")
    choices: Mapped[str] = mapped_column(sa.Text, default="{}")
    created_at: Mapped[float] = mapped_column(index=True)
    ended_at: Mapped[float | None]
