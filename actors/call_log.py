"""A call's page of the journal, and what pages need of it: a list of what changed, and who listens.

A call opens a `CallLog`, notes entries in it and closes it: all synchronous, a few µs, never waiting. `Pages` is
the journal as its pages see it: they write `_changed` and wake it, and the journal does the rest.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from enum import Enum

import structlog
import trio
from attrs import define

from crm.values.records import CallRecord, Entry, EntryKind
from live import Pace

log = structlog.get_logger(__name__)

Listener = Callable[[CallRecord, Entry], None]

ENTRIES_MAX = 1_000  # of one call; a stuck key must not fill the memory
JUST_OVER = 100  # calls that have ended are remembered, the last ones


class Stage(Enum):
    """How far a page has come."""

    OPEN = "open"
    CLOSED = "closed"  # waits to be saved; results of its last pushes may still be noted
    TAKEN = "taken"  # being saved, saved, or in the spool alone


_TAKEN = Stage.TAKEN  # looked up for every entry


@define
class JournalStats:
    """Counts since the start; `open_calls` is now."""

    open_calls: int = 0
    saved: int = 0
    refused: int = 0
    lost: int = 0  # records dropped: the database away, and the spool full
    late: int = 0  # entries that came after their record was saved


class Pages(ABC):
    """What the journal is to its pages."""

    def __init__(self) -> None:
        self.stats = JournalStats()
        self._changed: dict[str, CallLog] = {}  # what the disk does not know in its latest state
        self._wake = trio.Event()
        self._listeners: tuple[Listener, ...] = ()
        # For the live board, which reads them: calls that go on, the oldest first, and those that ended last.
        self.going_on: dict[str, CallRecord] = {}
        self.just_over: deque[CallRecord] = deque(maxlen=JUST_OVER)
        self.pace = Pace()

    def _begins(self, record: CallRecord) -> None:
        self.stats.open_calls += 1
        self.going_on[record.call_id] = record
        self.pace.count(record.started_at)

    def _is_over(self, record: CallRecord) -> None:
        self.stats.open_calls -= 1
        if self.going_on.get(record.call_id) is record:
            del self.going_on[record.call_id]
        self.just_over.append(record)

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call back for every entry as it is noted; returns what ends it. One that raises is dropped."""
        self._listeners = (*self._listeners, callback)
        return lambda: self._unlisten(callback)

    def _unlisten(self, callback: Listener) -> None:
        self._listeners = tuple(each for each in self._listeners if each is not callback)

    def _tell(self, record: CallRecord, entry: Entry) -> None:
        for listener in self._listeners:
            try:
                listener(record, entry)
            except Exception:
                log.exception("a listener to the journal failed and is dropped", call=record.call_id)
                self._unlisten(listener)

    @abstractmethod
    def _close(self, page: CallLog) -> None:
        """A record is complete."""


class CallLog:
    """One call's page of the journal. The call changes `record`, and notes what happened."""

    __slots__ = ("_closed_at", "_has_row", "_journal", "_stage", "record")

    def __init__(self, journal: Pages, record: CallRecord, has_row: bool) -> None:
        self.record = record
        self._journal = journal
        self._stage = Stage.OPEN
        self._has_row = has_row
        self._closed_at = math.inf

    def note(self, kind: EntryKind, leg: str = "", **data: str | int | float) -> None:
        """Add an entry, stamped now; with it, changes of the record's fields reach the disk."""
        journal, record = self._journal, self.record
        entry = Entry(time.time(), kind, leg, data)
        entries = record.entries
        if self._stage is _TAKEN:
            journal.stats.late += 1
        elif len(entries) < ENTRIES_MAX or kind is EntryKind.END:
            entries.append(entry)
            changed = journal._changed
            if not changed:
                journal._wake.set()
            changed[record.call_id] = self
        if journal._listeners:
            journal._tell(record, entry)

    def close(self) -> None:
        """The record is complete. Entries are still taken until it is saved, a moment later."""
        self._journal._close(self)
