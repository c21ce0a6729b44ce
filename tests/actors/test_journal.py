"""The journal on real files: what reaches the database, what waits in the spool, what a crash leaves."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import Factory, define
from structlog.testing import capture_logs

from actors import journal as journal_module
from actors import saver as saver_module
from actors.call_log import ENTRIES_MAX, CallLog
from actors.journal import Journal
from actors.spool import Spool, SpoolState
from config import JournalConfig
from crm.values.records import CallRecord, Entry, EntryKind, Outcome

FAST = JournalConfig(flush_ms=20, retry_max_s=0.1)


class Away(Exception):
    """The database is away."""


@define
class Database:
    """A real SQLite file that can be taken away, slowed down, or refuse a call."""

    path: Path
    away: bool = False
    bad: frozenset[str] = frozenset()
    gate: threading.Event = Factory(threading.Event)
    saves: list[list[str]] = Factory(list)
    purged: list[float] = Factory(list)

    def __attrs_post_init__(self) -> None:
        self.gate.set()
        with sqlite3.connect(self.path) as db:
            db.execute("CREATE TABLE calls (call TEXT PRIMARY KEY, outcome TEXT, entries INTEGER)")
        db.close()

    def save(self, records: list[CallRecord]) -> None:
        if not self.gate.wait(10):
            raise AssertionError("the test never opened the gate")
        if self.away:
            raise Away("connection refused")
        if any(record.call_id in self.bad for record in records):
            raise ValueError("no such flat")
        db = sqlite3.connect(self.path)
        with db:
            db.executemany(
                "INSERT OR REPLACE INTO calls VALUES (?, ?, ?)",
                [(r.call_id, r.outcome.value if r.outcome else None, len(r.entries)) for r in records],
            )
        db.close()
        self.saves.append([record.call_id for record in records])

    def purge(self, before: float) -> None:
        if self.away:
            raise Away("connection refused")
        self.purged.append(before)

    def rows(self) -> dict[str, tuple[str | None, int]]:
        db = sqlite3.connect(self.path)
        rows = {call: (outcome, entries) for call, outcome, entries in db.execute("SELECT * FROM calls")}
        db.close()
        return rows


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "crm.db")


@pytest.fixture
def make(tmp_path: Path, database: Database) -> Callable[..., Journal]:
    def make(config: JournalConfig = FAST, state_dir: Path = tmp_path) -> Journal:
        return Journal(config, state_dir, database.save, away=Away, purge=database.purge)

    return make


@asynccontextmanager
async def running(journal: Journal) -> AsyncIterator[Journal]:
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        yield journal
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - what a worker thread and a disk do has no event
            await trio.sleep(0.005)


def a_call(call_id: str) -> CallRecord:
    return CallRecord(call_id, "node1", "panel1", "17", time.time())


def ended(journal: Journal, call_id: str) -> None:
    log = journal.open(a_call(call_id))
    log.note(EntryKind.BUTTON, panel="panel1", dialled="17")
    log.record.outcome = Outcome.TALKED
    log.note(EntryKind.END, outcome="talked")
    log.close()


def spooled(path: Path) -> dict[str, SpoolState]:
    """What is in the file once its journal has given it back."""
    spool = Spool(path / "journal.db")
    try:
        return {call: state for state in SpoolState for call, _ in spool.read(state)}
    finally:
        spool.close()


async def test_a_closed_call_reaches_the_database_and_leaves_nothing_in_the_spool(
    make: Callable[..., Journal], database: Database, tmp_path: Path
) -> None:
    async with running(make()) as journal:
        for number in range(30):
            ended(journal, f"c{number}")
            await trio.sleep(0.003)
        await until(lambda: journal.stats.saved == 30)
    assert set(database.rows().values()) == {("talked", 2)}
    assert spooled(tmp_path) == {}
    assert journal.stats.saved == 30
    assert journal.stats.open_calls == 0


async def test_a_push_result_just_after_the_close_is_still_kept(
    make: Callable[..., Journal], database: Database
) -> None:
    async with running(make(JournalConfig(flush_ms=100))) as journal:
        log = journal.open(a_call("c"))
        log.note(EntryKind.BUTTON)
        log.close()
        await trio.sleep(0.02)
        log.note(EntryKind.PUSH_ACCEPTED, push="cancel")
        await until(lambda: "c" in database.rows())
        log.note(EntryKind.PUSH_ACCEPTED, push="cancel")
        assert journal.stats.late == 1
    assert database.rows() == {"c": (None, 2)}


async def test_an_open_call_is_unfinished_after_a_stop_and_can_be_resumed(
    make: Callable[..., Journal], database: Database, tmp_path: Path
) -> None:
    async with running(make()) as journal:
        log = journal.open(a_call("c"))
        log.note(EntryKind.INVITE, "td-c-account-1", account="1001", cause=16, seconds=0.5)
    again = make()
    (record,) = again.unfinished()
    assert record == log.record
    log = again.resume(record)
    assert again.unfinished() == []
    log.note(EntryKind.RECOVERED, how="bridge found")
    log.record.outcome = Outcome.LOST
    log.close()
    async with running(again):
        await until(lambda: again.stats.saved == 1)
    assert database.rows() == {"c": ("lost", 2)}
    assert spooled(tmp_path) == {}


async def test_a_call_that_began_since_the_start_is_nobodys_to_take_up(
    make: Callable[..., Journal],
) -> None:
    async with running(make()) as journal:
        page = journal.open(a_call("c"))
        page.note(EntryKind.BUTTON, panel="p", dialled="1")
        await until(lambda: page._has_row)
        assert journal.unfinished() == []


async def test_what_is_unfinished_is_asked_for_while_the_file_is_being_opened_without_opening_it_twice(
    make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Spool._connect

    def slowly(spool: Spool) -> sqlite3.Connection:
        connection = connect(spool)
        time.sleep(0.2)
        return connection

    async with running(make()) as journal:
        journal.open(a_call("c")).note(EntryKind.BUTTON)
        await until(lambda: journal._spool.is_open)
    monkeypatch.setattr(Spool, "_connect", slowly)
    with capture_logs() as logs:
        async with running(make()) as journal:
            await trio.sleep(0.1)  # its first flush is under way
            (record,) = journal.unfinished()
    assert record.call_id == "c"
    assert logs == []


KILLED = """
import sys, time, trio
from actors.journal import Journal
from config import JournalConfig
from crm.values.records import CallRecord, EntryKind

class Away(Exception): pass
def save(records): raise Away("gone")

async def main():
    journal = Journal(JournalConfig(flush_ms=20), sys.argv[1], save, away=Away)
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        logs = [journal.open(CallRecord(f"c{n}", "node1", "p", "17", time.time())) for n in range(20)]
        for log in logs:
            for digit in range(25):
                log.note(EntryKind.DTMF, digit=str(digit))
        for log in logs[:5]:
            log.close()
        await trio.sleep(0.5)
        print("ready", flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


async def test_a_killed_node_forgets_no_call(
    make: Callable[..., Journal], database: Database, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with trio.fail_after(20):
        said = b""
        while b"ready" not in said:
            said += await process.stdout.receive_some() or pytest.fail(said.decode())
        process.kill()
        await process.wait()
    await process.stdout.aclose()
    journal = make()
    records = journal.unfinished()
    assert sorted(record.call_id for record in records) == sorted(f"c{n}" for n in range(5, 20))
    assert {len(record.entries) for record in records} == {25}
    async with running(journal):
        await until(lambda: journal.stats.saved == 5)
    assert set(database.rows().values()) == {(None, 25)}
    assert len(spooled(tmp_path)) == 15


async def test_calls_wait_in_the_spool_while_the_database_is_away_and_follow_when_it_is_back(
    make: Callable[..., Journal], database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "RETRY_MIN_S", 0.05)
    monkeypatch.setattr(journal_module, "BATCH", 40)
    database.away = True
    with capture_logs() as logs:
        async with running(make()) as journal:
            for number in range(200):
                ended(journal, f"c{number}")
                await trio.sleep(0.001)
            await until(lambda: journal.away and not journal._closed and not journal._changed)
            database.away = False
            ended(journal, "fresh")
            await until(lambda: journal.stats.saved == 201)
            assert not journal.away
    assert spooled(tmp_path) == {}
    assert sorted(call for save in database.saves for call in save) == sorted(database.rows())
    assert [line["event"].split(":")[0] for line in logs] == ["the database is away", "the database is back"]


async def test_a_record_that_the_database_refuses_blocks_nobody_and_gets_another_try_at_the_next_start(
    make: Callable[..., Journal], database: Database, tmp_path: Path
) -> None:
    database.bad = frozenset({"c3"})
    with capture_logs() as logs:
        async with running(make()) as journal:
            for number in range(6):
                ended(journal, f"c{number}")
            await until(lambda: journal.stats.saved == 5)
    (line,) = logs
    assert line["call"] == "c3"
    assert "no such flat" in line["why"]
    assert journal.stats.refused == 1
    database.bad = frozenset()
    async with running(make()) as journal:
        await until(lambda: journal.stats.saved == 1)
    assert spooled(tmp_path) == {}


async def test_a_save_that_hangs_holds_up_neither_spool_nor_later_calls(
    make: Callable[..., Journal], database: Database, tmp_path: Path
) -> None:
    async with running(make()) as journal:
        database.gate.clear()
        ended(journal, "hangs")
        await until(lambda: journal._busy)
        slow = journal.open(a_call("slow"))
        for number in range(20):  # flushes of open calls race with the save
            slow.note(EntryKind.DTMF, digit=str(number))
            ended(journal, f"c{number}")
            await trio.sleep(0.01)
        await trio.sleep(0.1)  # a few flushes
        copied = Spool(copy_of(tmp_path))
        assert len(copied.read(SpoolState.CLOSED)) == 21  # a kill -9 here would lose nothing
        copied.close()
        slow.close()
        database.gate.set()
        await until(lambda: journal.stats.saved == 22)
    assert database.rows()["slow"] == (None, 20)
    assert sum(len(save) for save in database.saves) == 22
    assert spooled(tmp_path) == {}


def copy_of(folder: Path) -> Path:
    """The spool as a killed process would leave it now."""
    to = folder / "copy"
    to.mkdir()
    for path in folder.glob("journal.db*"):
        (to / path.name).write_bytes(path.read_bytes())
    return to / "journal.db"


async def test_a_stop_saves_what_is_closed_and_does_not_wait_for_a_database_that_hangs(
    make: Callable[..., Journal], database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(make(JournalConfig(flush_ms=10_000))) as journal:
        ended(journal, "quick")
    assert "quick" in database.rows()
    monkeypatch.setattr(journal_module, "STOP_S", 0.2)
    database.gate.clear()
    started = time.monotonic()
    async with running(make()) as journal:
        ended(journal, "hangs")
        await trio.sleep(0.1)
    assert time.monotonic() - started < 2
    assert spooled(tmp_path) == {"hangs": SpoolState.CLOSED}
    database.gate.set()


async def test_calls_go_on_without_a_spool_and_it_is_said_once(
    make: Callable[..., Journal], database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SPOOL_RETRY_S", 0.03)
    blocked = tmp_path / "a_file"
    blocked.write_text("no folder can be here")
    with capture_logs() as logs:
        journal = make(state_dir=blocked)
        assert journal.unfinished() == []
        async with running(journal):
            slow = journal.open(a_call("slow"))
            for number in range(10):
                slow.note(EntryKind.DTMF, digit="1")
                ended(journal, f"c{number}")
                await trio.sleep(0.02)
            slow.close()
            await until(lambda: len(database.rows()) == 11)
            journal.open(a_call("open")).note(EntryKind.BUTTON)
            blocked.unlink()  # whoever looks after the machine puts it right
            await until(lambda: not journal._changed)
    assert spooled(blocked) == {"open": SpoolState.OPEN}
    assert [line["log_level"] for line in logs] == ["error", "info"]


async def test_a_full_disk_and_an_absent_database_cost_the_oldest_calls_and_no_more_memory(
    make: Callable[..., Journal], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "HELD_MAX", 50)
    monkeypatch.setattr(saver_module, "RETRY_MIN_S", 0.02)
    database.away = True
    with capture_logs() as logs:
        async with running(make()) as journal:
            await until(lambda: journal._spool.is_open)
            assert journal._spool._db is not None
            journal._spool._db.execute("PRAGMA max_page_count = 1")
            for number in range(120):
                ended(journal, f"c{number:03}")
                await trio.sleep(0.002)
            await until(lambda: journal._spool_failing)
            assert len(journal._closed) <= 50
            database.away = False
            await until(lambda: len(database.rows()) == 120 - journal.stats.lost)
    assert journal.stats.lost > 0
    assert "c119" in database.rows()
    assert "full" in next(line["why"] for line in logs if line["log_level"] == "error")


async def test_a_second_node_in_one_folder_is_told_so_and_harms_nobody(
    make: Callable[..., Journal], database: Database
) -> None:
    async with running(make()) as first:
        first.open(a_call("c")).note(EntryKind.BUTTON)
        await until(lambda: first._spool.is_open)
        with capture_logs() as logs:
            assert make().unfinished() == []
        assert "locked" in logs[0]["why"]
        assert "second node" in logs[0]["event"]


async def test_a_spool_that_is_no_database_is_put_beside(
    make: Callable[..., Journal], database: Database, tmp_path: Path
) -> None:
    (tmp_path / "journal.db").write_bytes(b"not SQLite at all" * 100)
    with capture_logs() as logs:
        journal = make()
        assert journal.unfinished() == []
        async with running(journal):
            ended(journal, "c")
            await until(lambda: "c" in database.rows())
    assert len([name for name in os.listdir(tmp_path) if name.startswith("journal.db.unreadable-")]) == 1
    assert len(logs) == 1


async def test_listeners_hear_entries_as_they_are_noted_and_a_failing_one_is_dropped(
    make: Callable[..., Journal],
) -> None:
    journal = make()
    heard: list[tuple[str, EntryKind]] = []

    def fails(record: CallRecord, entry: Entry) -> None:
        raise RuntimeError("the screen is gone")

    def hears(record: CallRecord, entry: Entry) -> None:
        heard.append((record.call_id, entry.kind))

    journal.listen(fails)
    stop = journal.listen(hears)
    log = journal.open(a_call("c"))
    with capture_logs() as logs:
        log.note(EntryKind.BUTTON)
        log.note(EntryKind.END)
    stop()
    log.note(EntryKind.DTMF)
    assert heard == [("c", EntryKind.BUTTON), ("c", EntryKind.END)]
    assert len(logs) == 1


async def test_a_stuck_key_does_not_fill_the_memory_but_the_end_is_kept(make: Callable[..., Journal]) -> None:
    log = make().open(a_call("c"))
    for _ in range(2 * ENTRIES_MAX):
        log.note(EntryKind.DTMF, digit="1")
    log.note(EntryKind.END)
    assert len(log.record.entries) == ENTRIES_MAX + 1
    assert log.record.entries[-1].kind is EntryKind.END


async def test_old_calls_are_dropped_daily_and_sooner_again_if_the_database_was_away(
    make: Callable[..., Journal], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PURGE_FIRST_S", 0.0)
    monkeypatch.setattr(saver_module, "DAY_S", 2.4)
    database.away = True
    async with running(make(JournalConfig(flush_ms=20, keep_days=10))):
        await trio.sleep(0.1)
        database.away = False
        await until(lambda: len(database.purged) == 1)
    assert database.purged[0] == pytest.approx(time.time() - 24, abs=5)


async def test_a_quiet_journal_sleeps(make: Callable[..., Journal], database: Database) -> None:
    journal = make()
    async with running(journal):
        ended(journal, "c")
        await until(lambda: "c" in database.rows() and not journal._gone and not journal._backlog)
        flushes = 0
        write = journal._write_spool

        async def counted(taken: list[CallLog], look: bool) -> list[CallRecord]:
            nonlocal flushes
            flushes += 1
            return await write(taken, look)

        journal._write_spool = counted  # type: ignore[method-assign]
        await trio.sleep(0.2)
        assert flushes <= 2
