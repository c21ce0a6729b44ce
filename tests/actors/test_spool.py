"""The journal's file by itself: any number of rows in and out, with a few statements."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from actors.spool import Spool, SpoolState


@pytest.mark.parametrize("count", [0, 1, 3, 4, 63, 64, 65, 200])
def test_any_number_of_calls_goes_in_and_out(tmp_path: Path, count: int) -> None:
    spool = Spool(tmp_path / "journal.db")
    calls = [f"call{n}" for n in range(count)]

    spool.write([(call, "closed", call.encode()) for call in calls], [])
    assert spool.read(SpoolState.CLOSED) == [(call, call.encode()) for call in calls]
    spool.write([("one more", "open", b"")], calls)
    assert spool.read(SpoolState.CLOSED) == []
    assert spool.read(SpoolState.OPEN) == [("one more", b"")]
    spool.close()


def test_the_statements_do_not_grow_with_the_numbers_of_calls(tmp_path: Path) -> None:
    """A driver keeps what it has prepared: a text for each number would fill the memory for weeks."""
    texts: set[str] = set()

    class Listening(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            texts.add(sql)
            return super().execute(sql, *parameters)

    spool = Spool(tmp_path / "journal.db")
    spool.open()
    assert spool._db is not None
    spool._db.close()
    spool._db = sqlite3.connect(spool.path, factory=Listening, isolation_level=None)
    for count in range(1, 200):
        calls = [f"call{n}" for n in range(count)]
        spool.write([(call, "closed", b"") for call in calls], calls)
    spool.close()

    assert len(texts) <= 12
