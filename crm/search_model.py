"""The index that finds houses, people and companies by words."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.call_model import by_bytes
from crm.model import Base


class SearchWord(Base):
    """A word (small letters, "ё" as "е") of what is found by it: `kind` "house", "resident" or "company", and its id."""

    __tablename__ = "search_words"
    __table_args__ = (sa.Index(None, "kind", "ref_id"),)
    word: Mapped[str] = mapped_column(by_bytes(64), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    ref_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
