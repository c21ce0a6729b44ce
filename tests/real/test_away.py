"""What ringing does not need may be away: the push gateway, and the database."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from crm.values.records import CallRecord, EntryKind, Outcome
from testbed.gateway import Mode, PushGateway, open_gateway
from testbed.processes import HOST
from testbed.sipp import SipMessage, Sipp, open_phone, wait_for
from testbed.town_bed import RunningNode, TownBed, Visit, copy_database, kinds, moment, open_node, visiting

PANEL, FLAT = "500001", "1"
PROMPTLY_S = 0.5  # from the panel's INVITE to the phone's, on a machine that does much else


def _pressed(message: SipMessage) -> bool:
    return message.sent and message.header("CSeq") == "2 INVITE"


def _took_s(visit: Visit, phone: Sipp) -> float:
    """From the panel's INVITE to the phone's."""
    return moment(phone, lambda message: message.method == "INVITE") - moment(visit.sipp, _pressed)


async def _call(
    place: TownBed, running: RunningNode, number: int, dialled: str = FLAT
) -> tuple[float, CallRecord]:
    """A visitor's call; how long the first phone's INVITE took, and its record."""
    async with open_phone(place.bed, *place.accounts(PANEL, dialled)[:1]) as phone:
        async with visiting(place, PANEL, dialled) as visit:
            pass
        took_s = _took_s(visit, phone)
        return took_s, (await running.calls(number))[-1]


@pytest.mark.parametrize("mode", [Mode.HANG, Mode.UNAVAILABLE, Mode.REFUSE, Mode.CLOSE, Mode.GARBAGE])
async def test_no_call_is_later_by_a_push_gateway_that_fails(
    place: TownBed, tmp_path: Path, mode: Mode
) -> None:
    gateway = PushGateway(mode=mode)
    async with (
        open_gateway(gateway) as url,
        open_node(place, tmp_path, push={"url": url, "deadline_s": 1}) as running,
    ):
        took_s, record = await _call(place, running, 1)
        await running.noted(EntryKind.PUSH_REFUSED)

    assert gateway.posts
    assert took_s < PROMPTLY_S
    assert record.outcome is Outcome.TALKED


async def test_no_call_is_later_by_a_push_gateway_that_is_away(place: TownBed, tmp_path: Path) -> None:
    url = f"http://{HOST}:{place.bed.ports.take()}/push"
    async with open_node(place, tmp_path, push={"url": url}) as running:
        took_s, record = await _call(place, running, 1)

    assert took_s < PROMPTLY_S
    assert record.outcome is Outcome.TALKED


async def test_no_call_is_later_by_a_slow_push_gateway(place: TownBed, tmp_path: Path) -> None:
    gateway = PushGateway(delay_s=2)
    async with (
        open_gateway(gateway) as url,
        open_node(place, tmp_path, push={"url": url}) as running,
    ):
        took_s, record = await _call(place, running, 1)

    assert took_s < PROMPTLY_S
    assert record.outcome is Outcome.TALKED


@asynccontextmanager
async def _moved(running: RunningNode) -> AsyncIterator[None]:
    """The database's file is gone, and open connections with it."""
    away = running.database.with_suffix(".away")
    running.node.store.close()
    running.database.rename(away)
    yield
    away.rename(running.database)


def _has_it(running: RunningNode, database: sqlite3.Connection) -> bool:
    running.node.disconnect()
    try:
        database.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return False
    return True


@asynccontextmanager
async def _locked(running: RunningNode) -> AsyncIterator[None]:
    """Another program has the database for itself."""
    # 112 and quality calls look at their tables every few seconds, and keep the connection.
    with closing(sqlite3.connect(running.database, isolation_level=None, timeout=0)) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        with trio.fail_after(10):
            while not _has_it(running, database):  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.05)
        yield


@pytest.mark.parametrize("away", [_moved, _locked])
async def test_known_flats_ring_while_the_database_is_away_and_their_calls_are_saved_later(
    place: TownBed, tmp_path: Path, away: object
) -> None:
    assert callable(away)
    async with open_node(
        place, tmp_path, crm={"fresh_s": 0.01}, call={"directory_deadline_ms": 300}
    ) as running:
        _, before = await _call(place, running, 1)
        async with away(running), open_phone(place.bed, *place.accounts(PANEL, FLAT)[:1]) as phone:
            async with visiting(place, PANEL, FLAT) as visit:
                await wait_for(phone, "INVITE")
            assert _took_s(visit, phone) < PROMPTLY_S + 0.3
            async with visiting(place, PANEL, "2") as unknown:
                pass
            await running.noted(EntryKind.END, outcome=Outcome.DIRECTORY_AWAY.value)
        calls = await running.calls(3, within_s=15)

    assert before.outcome is Outcome.TALKED
    assert [call.outcome for call in calls] == [Outcome.TALKED, Outcome.TALKED, Outcome.DIRECTORY_AWAY]
    found = next(entry for entry in calls[1].entries if entry.kind is EntryKind.FOUND)
    assert found.data["stale"] == 1
    assert EntryKind.INVITE in kinds(calls[1])
    assert unknown.result.final_code == 502


async def test_a_node_that_starts_without_its_database_takes_calls_when_it_comes(
    place: TownBed, tmp_path: Path
) -> None:
    (tmp_path / "node.db").touch()  # no copy is made; and an empty file has no tables
    async with open_node(place, tmp_path) as running:
        async with visiting(place, PANEL, FLAT) as refused:
            pass
        running.node.store.close()
        copy_database(place.database, tmp_path / "node.db")
        with trio.fail_after(5):
            while running.node.directory.why_away:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.02)
        _, record = await _call(place, running, 2)

    assert refused.result.final_code == 502
    assert record.outcome is Outcome.TALKED
