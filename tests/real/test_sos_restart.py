"""112 through faults: the node killed or stopped, Asterisk restarted, the database away. No panel is forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import trio

from crm.sos.leases import find_leases
from crm.store import Store
from crm.values.records import CallRecord, EntryKind, Outcome
from crm.values.sos import Lease, Why
from testbed.baresip import open_baresip
from testbed.dispatch import dispatch_calls, open_dispatch, trunk_is
from testbed.node_process import node_child, open_process
from testbed.processes import Child
from testbed.sipp import open_phone, wait_for
from testbed.town_bed import TownBed, configure, copy_database, kinds, open_node, saved_calls, visiting
from tests.real.test_sos import invites

PANEL, NUMBER, RESERVE = "500001", "+73512000001", "+73512000000"
KILL_ONCE = """
import os, pathlib, signal
import actors.sos_call
mark = pathlib.Path({mark!r})
dial = actors.sos_call.await_answer
async def killed(*arguments, **named):
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return await dial(*arguments, **named)
actors.sos_call.await_answer = killed
"""


def leases(folder: Path) -> list[Lease]:
    with Store(f"sqlite:///{folder}/node.db") as store:
        return find_leases(store)[::-1]


async def bridged(place: TownBed) -> None:
    with trio.fail_after(10):
        while not any("-bridge" in each for each in await place.left_over()):  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.02)


async def talked(folder: Path, number: int = 1) -> list[CallRecord]:
    return await saved_calls(folder / "node.db", number)


async def calls_back(place: TownBed) -> None:
    """The dispatch calls the number back, and the panel answers."""
    async with open_phone(place.bed, place.panel(PANEL)) as panel:
        result = await dispatch_calls(place.bed, "dispatch-1", NUMBER, talk_ms=200)
        await wait_for(panel, "INVITE")
    assert result.final_code == 200


@asynccontextmanager
async def process_after_a_call(place: TownBed, folder: Path) -> AsyncIterator[Child]:
    """A node as a process, and a 112 call that is over."""
    async with open_process(place, folder) as child:
        async with (
            open_dispatch(place.bed, "dispatch-1"),
            visiting(place, PANEL, "112", talk_ms=100) as visit,
        ):
            pass
        assert visit.result.final_code == 200
        await talked(folder)
        yield child


async def test_a_node_killed_between_lease_and_invite_calls_when_it_is_back(
    place: TownBed, tmp_path: Path
) -> None:
    copy_database(place.database, tmp_path / "node.db")
    first = KILL_ONCE.format(mark=str(tmp_path / "killed"))
    child = node_child(configure(place, tmp_path), tmp_path, first=first)
    async with child, open_dispatch(place.bed, "dispatch-1") as dispatch:
        async with visiting(place, PANEL, "112", talk_ms=300) as visit:
            with trio.fail_after(10):
                while not (tmp_path / "killed").exists():  # noqa: ASYNC110 - nobody tells
                    await trio.sleep(0.02)
            await trio.sleep(0.2)
            (before,) = leases(tmp_path)
            assert invites(dispatch) == []
            await child.kill()
            await child.start()
            invite = await wait_for(dispatch, "INVITE")
        (record,) = await talked(tmp_path)
    assert visit.result.final_code == 200
    assert NUMBER in invite.header("From")
    assert record.outcome is Outcome.TALKED
    (after,) = leases(tmp_path)
    assert (after.id, after.number, after.started_at) == (before.id, before.number, before.started_at)
    assert after.ended_at is not None


async def test_a_call_goes_on_through_a_killed_node_and_is_called_back_afterwards(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_process(place, tmp_path) as child,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        open_baresip(place.bed, place.panel(PANEL), tone=440, register=False) as panel,
    ):
        await panel.dial("112")
        await panel.wait_event("CALL_ESTABLISHED")
        await bridged(place)
        await trio.sleep(0.3)  # the journal's file is written every 20 ms
        await child.kill()
        assert len(await place.left_over()) == 3
        await child.start()
        await trio.sleep(0.3)  # it is ready once the call has been handed to the panel's actor
        await panel.hangup()
        assert len(invites(dispatch)) == 1
        (record,) = await talked(tmp_path)
        await place.nothing_left()
        await calls_back(place)
        _, back = await talked(tmp_path, 2)
    assert record.outcome is Outcome.TALKED
    assert EntryKind.RECOVERED in kinds(record)
    assert (back.kind, back.outcome, back.panel) == ("call_back", Outcome.TALKED, PANEL)


async def test_a_dispatch_that_answers_while_no_node_is_there_is_not_called_twice(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_process(place, tmp_path) as child,
        open_dispatch(place.bed, "dispatch-1", ring_ms=1500) as dispatch,
    ):
        async with visiting(place, PANEL, "112", talk_ms=500) as visit:
            await wait_for(dispatch, "INVITE")
            await trio.sleep(0.3)
            await child.kill()
            await wait_for(dispatch, "ACK")
            await child.start()
        assert visit.result.final_code == 200
        assert len(invites(dispatch)) == 1
        (record,) = await talked(tmp_path)
    assert record.outcome is Outcome.TALKED


async def test_a_stopped_node_leaves_the_talk_to_the_next_one(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_process(place, tmp_path) as child,
        open_dispatch(place.bed, "dispatch-1"),
        open_baresip(place.bed, place.panel(PANEL), tone=440, register=False) as panel,
    ):
        await panel.dial("112")
        await panel.wait_event("CALL_ESTABLISHED")
        await bridged(place)
        await child.restart()
        assert len(await place.left_over()) == 3
        await trio.sleep(0.3)  # it is ready once the call has been handed to the panel's actor
        await panel.hangup()
        (record,) = await talked(tmp_path)
        await place.nothing_left()
    assert record.outcome is Outcome.TALKED


async def test_a_call_back_goes_on_through_a_killed_node(place: TownBed, tmp_path: Path) -> None:
    async with process_after_a_call(place, tmp_path) as child, open_phone(place.bed, place.panel(PANEL)):
        async with trio.open_nursery() as nursery:
            codes: list[int] = []

            async def call_back() -> None:
                result = await dispatch_calls(place.bed, "dispatch-1", NUMBER, talk_ms=6000)
                codes.append(result.final_code)

            nursery.start_soon(call_back)
            await bridged(place)
            await trio.sleep(0.3)
            await child.kill()
            await child.start()
        _, back = await talked(tmp_path, 2)
    assert codes == [200]
    assert back.outcome is Outcome.TALKED
    assert back.answered_at is not None
    assert back.ended_at is not None
    assert back.ended_at - back.answered_at > 2
    assert leases(tmp_path)[0].held_until is not None


async def test_a_call_back_finds_its_panel_after_a_restart_of_the_node(
    place: TownBed, tmp_path: Path
) -> None:
    async with process_after_a_call(place, tmp_path) as child:
        await child.kill()
        await child.start()
        await calls_back(place)


async def test_a_call_back_finds_its_panel_after_a_restart_of_asterisk(
    own_place: TownBed, tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    async with process_after_a_call(own_place, folder):
        await own_place.bed.asterisk.kill()
        await own_place.bed.asterisk.start()
        await trio.sleep(2)  # the node connects again
        await calls_back(own_place)


async def test_a_call_back_finds_its_panel_after_a_restart_of_both(
    own_place: TownBed, tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    async with process_after_a_call(own_place, folder) as child:
        await child.kill()
        await own_place.bed.asterisk.kill()
        await own_place.bed.asterisk.start()
        await child.start()
        await calls_back(own_place)


async def test_without_the_database_the_reserve_is_lent_and_the_books_are_balanced_later(
    place: TownBed, tmp_path: Path
) -> None:
    database = tmp_path / "node.db"
    async with open_node(place, tmp_path) as node, open_dispatch(place.bed, "dispatch-1") as dispatch:
        pool = node.node.sos.pools["chel"]
        database.rename(tmp_path / "away.db")
        node.node.disconnect()  # an open connection would still find the file
        async with visiting(place, PANEL, "112", talk_ms=100) as visit:
            first = await wait_for(dispatch, "INVITE")
        assert visit.result.final_code == 200
        with trio.fail_after(10):
            while "database_away" not in {each.kind.value for each in node.node.sos.desk.alarms()}:  # noqa: ASYNC110
                await trio.sleep(0.05)
        async with visiting(place, "500002", "112", talk_ms=100) as visit:
            await node.noted(EntryKind.LENT, number=2)
        assert visit.result.final_code == 200
        numbers = [str(entry.data["number"]) for _, entry in node.entries if entry.kind is EntryKind.LENT]
        (tmp_path / "away.db").rename(database)
        with trio.fail_after(15):
            while len(leases(tmp_path)) < 2:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.05)
        assert pool.last(numbers[0]) is not None
        async with open_phone(place.bed, place.panel("500002")) as panel:
            result = await dispatch_calls(place.bed, "dispatch-1", numbers[1], talk_ms=100)
            await wait_for(panel, "INVITE")
        assert result.final_code == 200
    assert numbers[0] in first.header("From")
    assert RESERVE in numbers
    assert {lease.number for lease in leases(tmp_path)} == set(numbers)
    assert all(lease.why is Why.FREE for lease in leases(tmp_path))
    with closing(sqlite3.connect(database)) as connection:
        lent = dict(
            connection.execute("SELECT number, domophone FROM sos_numbers WHERE status = 1").fetchall()
        )
    assert set(lent) == set(numbers) - {RESERVE}


async def test_a_node_that_starts_without_the_database_knows_whose_the_numbers_are(
    place: TownBed, tmp_path: Path
) -> None:
    async with process_after_a_call(place, tmp_path) as child:
        await trio.sleep(0.5)
        await child.stop()
        (tmp_path / "node.db").rename(tmp_path / "away.db")
        await child.start()
        await trunk_is(place.bed, "dispatch-1", "offline")
        await calls_back(place)
        async with open_dispatch(place.bed, "dispatch-1") as dispatch:
            async with visiting(place, PANEL, "112", talk_ms=100) as visit:
                invite = await wait_for(dispatch, "INVITE")
        assert visit.result.final_code == 200
        assert NUMBER in invite.header("From"), "its own lease, known to the node's file"
        (tmp_path / "away.db").rename(tmp_path / "node.db")


async def test_a_call_that_the_dialplan_sent_is_called_back_once_the_node_is_there(
    place: TownBed, tmp_path: Path
) -> None:
    async with open_dispatch(place.bed, "dispatch-1") as dispatch:
        async with visiting(place, "500002", "112", talk_ms=100) as visit:
            invite = await wait_for(dispatch, "INVITE")
        assert visit.result.final_code == 200
        assert RESERVE in invite.header("From")
    async with open_node(place, tmp_path), open_phone(place.bed, place.panel("500002")) as panel:
        result = await dispatch_calls(place.bed, "dispatch-1", RESERVE, talk_ms=100)
        await wait_for(panel, "INVITE")
    assert result.final_code == 200
