"""The journal's file: calls that the database does not have yet, one row a call, safe against `kill -9`.

SQLite in WAL mode without a sync per commit: a killed process loses nothing, a power cut the last moments.
One process owns the file (it is locked); the journal owns the object, and lets one thread at a time use it.
What its methods raise is in `SPOOL_ERRORS`: a disk full or unwritable, or a second node in one state_dir.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")

SPOOL_ERRORS = (sqlite3.Error, OSError)


class SpoolState(Enum):
    """What a row waits for: its call's end, the database, or (refused by it) the next start or a person."""

    OPEN = "open"
    CLOSED = "closed"
    REFUSED = "refused"


SpoolRow = tuple[str, str, bytes]  # call id, state, encoded record

# Pages of about two records: fewer of them to write.
_SCHEMA = """
PRAGMA page_size = 8192;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS spool (call TEXT PRIMARY KEY, state TEXT NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS spool_closed ON spool (state) WHERE state = 'closed';
"""
_REPLACE = " ON CONFLICT (call) DO UPDATE SET state = excluded.state, record = excluded.record"
# Rows in one statement, as many as there are: each statement gives up the interpreter's lock and must win it back. Only
# these numbers of them, as SQLite keeps every text that it has been given.
_AT_ONCE = (64, 16, 4, 1)


class Spool:
    """The file at `path`; closed until `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None

    @property
    def is_open(self) -> bool:
        return self._db is not None

    def open(self) -> None:
        """Open or make the file; one that is no longer readable is put beside, under a name that says so.

        What was refused in an earlier life gets another try in this one: its reason may be gone.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._connect()
        except sqlite3.OperationalError:
            raise  # locked, unwritable, full: the content is not at fault
        except sqlite3.DatabaseError as error:
            aside = self.path.with_name(f"{self.path.name}.unreadable-{int(time.time())}")
            self.path.rename(aside)
            for end in ("-wal", "-shm"):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            log.error("the journal's file cannot be read and was put aside", file=str(aside), why=str(error))
            self._db = self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=0.2, isolation_level=None, check_same_thread=False)
        try:
            db.executescript(_SCHEMA)
            db.execute("UPDATE spool SET state = 'closed' WHERE state = 'refused'")
        except BaseException:
            db.close()
            raise
        return db

    def write(self, rows: Sequence[SpoolRow], gone: Sequence[str]) -> None:
        """Put rows in (or in the place of older ones) and take calls out, all or nothing."""
        db = self._opened()
        db.execute("BEGIN IMMEDIATE")
        try:
            for calls in _portions(gone):
                db.execute(f"DELETE FROM spool WHERE call IN ({','.join('?' * len(calls))})", calls)
            for some in _portions(rows):
                places = ",".join(["(?,?,?)"] * len(some))
                db.execute(f"INSERT INTO spool VALUES {places}{_REPLACE}", [*chain.from_iterable(some)])
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def read(self, state: SpoolState, limit: int = -1) -> list[tuple[str, bytes]]:
        """Calls in this state with their records, oldest first; at most `limit`, -1 for all."""
        query = f"SELECT call, record FROM spool WHERE state = '{state.value}' ORDER BY rowid LIMIT ?"
        return self._opened().execute(query, (limit,)).fetchall()

    def close(self) -> None:
        """Give the file back; may be opened again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self.open()
        assert self._db is not None
        return self._db


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """All items, in their order, cut into portions of the sizes in `_AT_ONCE`."""
    start = 0
    for size in _AT_ONCE:
        while len(items) - start >= size:
            yield items[start : start + size]
            start += size
