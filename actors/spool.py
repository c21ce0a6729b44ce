"""The journal's file: calls that the database does not have yet, one row a call, safe against `kill -9`.

SQLite in WAL mode without a sync per commit: a killed process loses nothing, a power cut the last moments.
One process owns the file (it is locked); the journal owns the object, and lets one thread at a time use it.
What its methods raise is in `FILE_ERRORS`: a disk full or unwritable, or a second node in one state_dir.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import TypeVar

from actors.local_file import OURS_ALONE, LocalFile

T = TypeVar("T")


class SpoolState(Enum):
    """What a row waits for: its call's end, the database, or (refused by it) the next start or a person."""

    OPEN = "open"
    CLOSED = "closed"
    REFUSED = "refused"


SpoolRow = tuple[str, str, bytes]  # call id, state, encoded record

# Pages of about two records: fewer of them to write.
_SCHEMA = f"""
PRAGMA page_size = 8192;
{OURS_ALONE}
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS spool (call TEXT PRIMARY KEY, state TEXT NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS spool_closed ON spool (state) WHERE state = 'closed';
"""
_REPLACE = " ON CONFLICT (call) DO UPDATE SET state = excluded.state, record = excluded.record"
# Rows in one statement, as many as there are: each statement gives up the interpreter's lock and must win it back. Only
# these numbers of them, as SQLite keeps every text that it has been given.
_AT_ONCE = (64, 16, 4, 1)


class Spool(LocalFile):
    """The file at `path`; closed until `open`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "the journal's file", _SCHEMA)

    def prepare(self, db: sqlite3.Connection) -> None:
        """What was refused in an earlier life gets another try in this one: its reason may be gone."""
        db.execute("UPDATE spool SET state = 'closed' WHERE state = 'refused'")

    def write(self, rows: Sequence[SpoolRow], gone: Sequence[str]) -> None:
        """Put rows in (or in the place of older ones) and take calls out, all or nothing."""
        with self.writing() as db:
            for calls in _portions(gone):
                db.execute(f"DELETE FROM spool WHERE call IN ({','.join('?' * len(calls))})", calls)
            for some in _portions(rows):
                places = ",".join(["(?,?,?)"] * len(some))
                db.execute(f"INSERT INTO spool VALUES {places}{_REPLACE}", [*chain.from_iterable(some)])

    def read(self, state: SpoolState, limit: int = -1) -> list[tuple[str, bytes]]:
        """Calls in this state with their records, oldest first; at most `limit`, -1 for all."""
        query = f"SELECT call, record FROM spool WHERE state = '{state.value}' ORDER BY rowid LIMIT ?"
        return self.opened().execute(query, (limit,)).fetchall()


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """All items, in their order, cut into portions of the sizes in `_AT_ONCE`."""
    start = 0
    for size in _AT_ONCE:
        while len(items) - start >= size:
            yield items[start : start + size]
            start += size
