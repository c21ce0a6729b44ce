"""What happened in each call: taken from the calls as it happens, kept in the database, meanwhile in a file.

Calls write into their pages (actors/call_log.py). The journal alone owns what becomes of it, every `flush_ms`:
- `_changed` is whatever the disk does not know in its latest state. It is spooled (actors/spool.py), but for
  closed records that go to the database in the same flush and have no row: most never touch the spool.
- Closed records are saved in a worker thread, one batch at a time; a row leaves the spool after that, in the
  next flush. So a crash may save a record twice (`save` must bear that), and loses none.
- The database away: closed records stay in the spool only, and are tried again with backoff. A record that it
  refuses for its content is set aside there and blocks nobody. The spool failing: records stay in memory,
  bounded, and calls go on.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import structlog
import trio

from actors.call_log import CallLog, JournalStats, Listener, Pages, Stage
from actors.local_file import FILE_ERRORS
from actors.saver import Purge, Save, Saved, Saver
from actors.spool import Spool, SpoolState
from config import JournalConfig
from crm.values.records import CallRecord

__all__ = ["CallLog", "Journal", "JournalStats", "Listener"]

log = structlog.get_logger(__name__)

BATCH = 500  # records in one save
HELD_MAX = 5_000  # closed records in memory while neither database nor spool takes them
SPOOL_RETRY_S = 5.0
STOP_S = 3.0
PURGE_FIRST_S = 60.0  # after the start: calls come first

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CallRecord).decode


class Journal(Pages):
    """The actor.

    `save` (of crm) runs in a worker thread, raises `away` if the database is away, and bears to be given a
    record again; so does `purge`, which drops what ended before a time (UTC, seconds since the epoch).
    """

    def __init__(
        self,
        config: JournalConfig,
        state_dir: str | Path,
        save: Save,
        *,
        away: type[Exception] | tuple[type[Exception], ...],
        purge: Purge | None = None,
    ) -> None:
        super().__init__()
        self._flush_s = config.flush_ms / 1000
        self._saver = Saver(config, save, away, purge)
        self._spool = Spool(Path(state_dir) / "journal.db")
        self._unfinished: dict[str, CallRecord] | None = None
        # All state of calls: `_changed` of `Pages`; closed ones in memory, oldest first; rows to go.
        self._closed: dict[str, CallLog] = {}
        self._gone: list[str] = []
        self._aside: dict[str, CallRecord] = {}  # refused; to be marked so in the spool
        self._backlog = True  # closed rows may wait in the spool
        self._busy = False  # a save or purge is under way
        self._spool_retry_at = -math.inf
        self._spool_failing = False
        self._purge_at = math.inf

    @property
    def away(self) -> bool:
        """Whether the database was away when it was last asked."""
        return self._saver.away

    def open(self, record: CallRecord) -> CallLog:
        """Begin the page of a new call."""
        self._begins(record)
        return CallLog(self, record, has_row=False)

    def unfinished(self) -> list[CallRecord]:
        """Calls that were open when the last node ended and that nobody resumed yet. Read once, at the start."""
        if self._unfinished is None:
            self._unfinished = {}
            try:
                rows = self._spool.read(SpoolState.OPEN)
            except FILE_ERRORS as error:
                self._spool_fails(error)
                rows = []
            ours = self.going_on.keys() | self._changed.keys() | self._closed.keys()  # begun since the start
            for call, blob in rows:
                if call not in ours and (record := self._decoded(call, blob)) is not None:
                    self._unfinished[call] = record
        return list(self._unfinished.values())

    def resume(self, record: CallRecord) -> CallLog:
        """Go on with the page of an unfinished call."""
        if self._unfinished is not None:
            self._unfinished.pop(record.call_id, None)
        self._begins(record)
        return CallLog(self, record, has_row=True)

    def _close(self, page: CallLog) -> None:
        if page._stage is not Stage.OPEN:
            return
        self._is_over(page.record)
        page._stage = Stage.CLOSED
        page._closed_at = trio.current_time()
        self._changed[page.record.call_id] = page
        self._wake.set()
        self._hold([page])

    def _hold(self, pages: list[CallLog]) -> None:
        for page in pages:
            self._closed[page.record.call_id] = page
        while len(self._closed) > HELD_MAX:
            call, page = next(iter(self._closed.items()))
            del self._closed[call]
            page._stage = Stage.TAKEN
            if self._changed.pop(call, None) is None:
                self._backlog = True  # its row is complete
            else:
                self.stats.lost += 1

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Flush until cancelled, and once more then, within a few seconds."""
        self._busy = False
        self._purge_at = trio.current_time() + PURGE_FIRST_S
        self.unfinished()  # before a flush uses the file in its own thread
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    await self._until_due()
                    await self._flush(nursery)
        finally:
            self._busy = False
            with trio.move_on_after(STOP_S, shield=True):
                await self._flush_last()
            self._spool.close()

    async def _until_due(self) -> None:
        self._wake = trio.Event()
        if not (self._changed or self._closed or self._gone or self._aside):
            look_at = max(self._saver.retry_at, self._spool_retry_at) if self._backlog else math.inf
            due = min(look_at, self._purge_at)
            with trio.move_on_at(due):
                await self._wake.wait()
        await trio.sleep(self._flush_s)

    async def _flush(self, nursery: trio.Nursery) -> None:
        now = trio.current_time()
        can_save = not self._busy and now >= self._saver.retry_at
        ripe = now - self._flush_s / 2  # leaves a moment for the results of the last pushes
        pages = self._take(ripe) if can_save else []
        try:
            found = await self._write_spool(pages, can_save)
        except BaseException:
            self._give_back(pages)
            raise
        if pages or found:
            self._busy = True
            nursery.start_soon(self._save, pages, found)
        elif not self._busy and now >= self._purge_at:
            self._busy = True
            nursery.start_soon(self._purge)

    async def _flush_last(self) -> None:
        await self._write_spool([], False)  # everything: the database may take longer than we have
        if pages := self._take(math.inf):
            await self._save(pages, [])
            await self._write_spool([], False)

    def _take(self, closed_before: float) -> list[CallLog]:
        pages: list[CallLog] = []
        for page in self._closed.values():
            if len(pages) == BATCH or page._closed_at > closed_before:
                break
            pages.append(page)
        for page in pages:
            page._stage = Stage.TAKEN
            del self._closed[page.record.call_id]
        return pages

    async def _write_spool(self, taken: list[CallLog], look: bool) -> list[CallRecord]:
        """Bring the spool up to date; with `look`, return closed calls out of it that nobody holds in memory.

        Of the pages just `taken` to be saved, those without a row stay without one as long as that may last.
        """
        look = look and self._backlog
        if not (self._changed or self._gone or self._aside or look):
            return []
        if trio.current_time() < self._spool_retry_at:
            return []
        changed, gone, aside = self._changed, self._gone, self._aside
        held = {*changed, *self._closed, *(page.record.call_id for page in taken)}
        self._changed = {page.record.call_id: page for page in taken if not page._has_row}
        self._gone, self._aside = [], {}
        pages = [page for call, page in changed.items() if call not in self._changed]
        rows = [row for record in aside.values() if (row := _row(record, SpoolState.REFUSED))]
        for page in pages:
            state = SpoolState.OPEN if page._stage is Stage.OPEN else SpoolState.CLOSED
            if row := _row(page.record, state):
                rows.append(row)
                page._has_row = True  # from now on: a save that ends meanwhile must take the row out again
        limit = BATCH + len(held)

        def write() -> list[tuple[str, bytes]]:
            if rows or gone:
                self._spool.write(rows, gone)
            return self._spool.read(SpoolState.CLOSED, limit) if look else []

        try:
            found = await trio.to_thread.run_sync(write) if rows or gone or look else []
        except BaseException as error:
            saved = set(self._gone)
            self._gone, self._aside = gone + self._gone, aside | self._aside
            self._changed = {c: page for c, page in changed.items() if c not in saved} | self._changed
            self._backlog = True
            if not isinstance(error, FILE_ERRORS):
                raise
            self._spool_fails(error)
            return []
        if self._spool_failing:
            self._spool_failing = False
            log.info("the journal's file can be written again", file=str(self._spool.path))
        if self._saver.away:
            self._let_go(pages)
        nobody_holds = [row for row in found if row[0] not in held]
        if look:
            self._backlog = len(found) == limit or len(nobody_holds) > BATCH
        records = [self._decoded(call, blob) for call, blob in nobody_holds[:BATCH]]
        return [record for record in records if record is not None]

    def _spool_fails(self, error: BaseException) -> None:
        self._spool_retry_at = trio.current_time() + SPOOL_RETRY_S
        if not self._spool_failing:
            self._spool_failing = True
            log.error(
                "the journal's file cannot be written: calls go on, and a killed node would forget theirs; "
                "look for a full disk, permissions, or a second node with this node.state_dir",
                file=str(self._spool.path),
                why=str(error),
            )

    def _let_go(self, pages: list[CallLog]) -> None:
        """Closed pages that are in the spool need not be in memory while the database is away."""
        for page in pages:
            call = page.record.call_id
            if call in self._closed and call not in self._changed:
                del self._closed[call]
                page._stage = Stage.TAKEN
                self._backlog = True

    def _decoded(self, call: str, blob: bytes) -> CallRecord | None:
        try:
            return _decode(blob)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.error("a call in the journal's file cannot be read and is dropped", call=call, why=str(error))
            self._gone.append(call)
            return None

    async def _save(self, pages: list[CallLog], found: list[CallRecord]) -> None:
        records = [page.record for page in pages] + found
        result = Saved(0, {})
        try:
            result = await self._saver.save(records)
        finally:
            self._busy = False
            self._wake.set()
            for record in records[: result.done]:
                self._changed.pop(record.call_id, None)
            self._gone += [page.record.call_id for page in pages[: result.done] if page._has_row]
            self._gone += [record.call_id for record in records[len(pages) : result.done]]
            self._give_back(pages[result.done :])
            self._backlog = self._backlog or result.done < len(records)
        self.stats.saved += result.done - len(result.refused)
        self._set_aside({record.call_id: record for record in records}, result.refused)
        if self._saver.away:
            self._let_go(pages[result.done :])

    def _give_back(self, pages: list[CallLog]) -> None:
        newer, self._closed = list(self._closed.values()), {}
        for page in pages:
            page._stage = Stage.CLOSED
        self._hold(pages + newer)

    def _set_aside(self, records: dict[str, CallRecord], refused: dict[str, str]) -> None:
        for call, why in list(refused.items())[:3]:  # if it is the database, it is all of them
            log.error("the database refuses a call: set aside until the next start", call=call, why=why)
        if len(refused) > 3:
            log.error("the database refuses more calls: set aside as well", count=len(refused) - 3)
        self.stats.refused += len(refused)
        for call in refused:
            if len(self._aside) < HELD_MAX:
                self._aside[call] = records[call]
            else:
                self.stats.lost += 1

    async def _purge(self) -> None:
        again_s = math.inf
        try:
            again_s = await self._saver.purge()
        finally:
            self._busy = False
            self._purge_at = trio.current_time() + again_s


def _row(record: CallRecord, state: SpoolState) -> tuple[str, str, bytes] | None:
    try:
        return record.call_id, state.value, _encode(record)
    except Exception:  # one call's odd data must not stop the others'
        log.exception("a call's record cannot be written to the journal's file", call=record.call_id)
        return None
