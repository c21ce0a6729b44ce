"""What 112 must know though the database is away, in a file of the node's own: panels, numbers, leases, trunks.

A copy of what the database said last, and leases that it does not have yet (`OWED`). A lease that is put here survives a
power cut: every commit waits for the disk. One thread at a time uses it, by a limiter of its own, so that nothing
else that the node does keeps a 112 call waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

from actors.local_file import OURS_ALONE, LocalFile

CLOSE_S = 2.0

T = TypeVar("T")

_SCHEMA = f"""
{OURS_ALONE}
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS kept (kind TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
"""
_PUT = "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
_encode = msgspec.msgpack.Encoder().encode


class Keep(Enum):
    """What a row is; its key is in brackets."""

    PANEL = "panel"  # a SosPanel (its SIP user)
    NUMBER = "number"  # a number of a pool, with its last lease (the number)
    OWED = "owed"  # a lease that the database does not have yet (its id)
    PLAIN_TRUNK = "plain_trunk"  # a trunk that refused a location, and when (its endpoint)


Row = tuple[Keep, str, Any]


class SosFile:
    """The file at `path`. Methods raise what is in `local_file.FILE_ERRORS`."""

    def __init__(self, path: Path) -> None:
        self._file = LocalFile(path, "the file of 112", _SCHEMA)
        self._limiter = trio.CapacityLimiter(1)
        self._in_use = threading.Lock()  # by a thread, which may have been left to itself
        self._closed = False

    @property
    def path(self) -> Path:
        return self._file.path

    async def put(self, rows: Iterable[Row], gone: Iterable[tuple[Keep, str]] = ()) -> None:
        """Keep rows, in the place of older ones, and take others out, all or nothing."""
        encoded = [(kind.value, key, _encode(value)) for kind, key, value in rows]
        keys = [(kind.value, key) for kind, key in gone]

        def write() -> None:
            with self._file.writing() as db:
                db.executemany("DELETE FROM kept WHERE kind = ? AND key = ?", keys)
                db.executemany(_PUT, encoded)

        await self._in_thread(write)

    async def read(self, kind: Keep, of: type[T]) -> dict[str, T]:
        """All rows of a kind, by key. One that cannot be read is left out: it was written by another version."""
        decoder = msgspec.msgpack.Decoder(of)

        def read() -> dict[str, T]:
            found = {}
            for key, value in self._file.opened().execute(
                "SELECT key, value FROM kept WHERE kind = ?", (kind.value,)
            ):
                try:
                    found[key] = decoder.decode(value)
                except msgspec.MsgspecError:
                    continue
            return found

        return await self._in_thread(read)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Whoever is cancelled leaves a thread that hangs to itself; the next one waits until it is done."""

        def use() -> T:
            with self._in_use:
                if self._closed:
                    raise OSError(f"{self.path} is closed: the node stops")
                return work()

        return await trio.to_thread.run_sync(use, limiter=self._limiter, abandon_on_cancel=True)

    def close(self) -> None:
        """Give the file back, for good; a thread that still hangs keeps it."""
        if self._in_use.acquire(timeout=CLOSE_S):
            self._closed = True
            self._file.close()
            self._in_use.release()
