"""The kinds of block that there are."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base


class BlockKindRow(Base):
    """What a block of this kind stops: calls, the app, keys; 112 is never stopped by any.

    `code` is what flat_blocks.kind says; `prompt` the sound file that the visitor hears, "" for the usual one; `right`
    what one needs to set it (rights.Right's value). `built_in` kinds can be changed, not deleted.
    """

    __tablename__ = "block_kinds"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    name: Mapped[str]
    stops_calls: Mapped[bool] = mapped_column(default=True)
    stops_app: Mapped[bool] = mapped_column(default=False)
    stops_keys: Mapped[bool] = mapped_column(default=False)
    prompt: Mapped[str] = mapped_column(sa.String(64), default="")
    right: Mapped[str] = mapped_column(sa.String(32), default="blocks.set")
    built_in: Mapped[bool] = mapped_column(default=False)
