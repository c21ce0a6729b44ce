"""The journal's file: calls that the database does not have yet, one row a call, safe against `kill -9`.

SQLite in WAL mode without a sync per commit: a killed process loses nothing, a power cut the last moments.
One process owns the file (it is locked); the journal owns the object, and lets one thread at a time use it.
What its methods raise is in `SPOOL_ERRORS`: a disk full or unwritable, or a second node in one state_dir.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from enum import Enum
from itertools import chain
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

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
_AT_ONCE = 64  # rows a statement: each one gives up the interpreter's lock and must win it back


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
            for start in range(0, len(gone), _AT_ONCE):
                calls = gone[start : start + _AT_ONCE]
                db.execute(f"DELETE FROM spool WHERE call IN ({','.join('?' * len(calls))})", calls)
            for start in range(0, len(rows), _AT_ONCE):
                some = rows[start : start + _AT_ONCE]
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
