"""The index that finds houses, people, companies and keys (crm.search.index makes it)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base
from crm.tables.calls import by_bytes


class SearchWord(Base):
    """The words of a name (small letters, "ё" as "е"), beginning with one of them, or "~" and the end of a number: `kind`
    is search_index.Indexed's value, `ref_id` the id of what is found by it."""

    __tablename__ = "search_words"
    __table_args__ = (sa.Index(None, "kind", "ref_id"),)
    word: Mapped[str] = mapped_column(by_bytes(64), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    ref_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
