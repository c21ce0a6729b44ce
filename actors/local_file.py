"""A SQLite file of this node alone, for what must survive a restart: opened when used, locked, put aside if damaged.

Whoever owns the object lets one thread at a time use it. What its methods raise is in `FILE_ERRORS`: a disk full or
unwritable, or a second node in one state_dir.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

FILE_ERRORS = (sqlite3.Error, OSError)
OURS_ALONE = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
"""Stands in each schema, behind the size of its pages if that is another."""


class LocalFile:
    """The file at `path`, which `name` says in the log; `schema` is run whenever it is opened, and makes it."""

    def __init__(self, path: Path, name: str, schema: str) -> None:
        self.path = path
        self._name = name
        self._schema = schema
        self._db: sqlite3.Connection | None = None

    @property
    def is_open(self) -> bool:
        return self._db is not None

    def prepare(self, db: sqlite3.Connection) -> None:
        """What is done to a file that has just been opened."""

    def open(self) -> None:
        """Open or make the file; one that is no longer readable is put beside, under a name that says so."""
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
            log.error("cannot be read, and was put aside", what=self._name, file=str(aside), why=str(error))
            self._db = self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=0.2, isolation_level=None, check_same_thread=False)
        try:
            db.executescript(self._schema)
            self.prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def opened(self) -> sqlite3.Connection:
        """The connection, made now if there is none yet."""
        if self._db is None:
            self.open()
        assert self._db is not None
        return self._db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing."""
        db = self.opened()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Give the file back; may be opened again."""
        if self._db is not None:
            self._db.close()
            self._db = None
