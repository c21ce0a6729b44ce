"""Test calls of 112 on a real Asterisk: the dispatch's test number is called as by the panel, which has no part in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import teledom
from actors import sos_test_call
from actors.duty_desk import Alarm, Kind, State
from crm.sos.leases import find_leases
from crm.sos.tests import PanelTest, ask_test, get_test
from crm.store import Store
from crm.values.records import EntryKind, Outcome
from testbed.dispatch import open_dispatch
from testbed.pidf import sent_location
from testbed.sipp import open_phone, wait_for
from testbed.town_bed import RunningNode, TownBed, open_node, visiting

PANEL, TEST_NUMBER = "500001", "7001"
TESTED: Mapping[str, Any] = {"chel": {"test_number": TEST_NUMBER}}
Output = pytest.CaptureFixture[str]


async def teledom_sos_test(node: RunningNode, *arguments: str) -> int:
    """What `teledom sos test` does beside the node; its exit code."""
    file = node.database.parent / "config.toml"
    file.write_text(f'[crm]\nurl = "sqlite:///{node.database}"\n')
    line = ["sos", "test", *arguments, "--config", str(file)]
    return await trio.to_thread.run_sync(teledom.main, line)


def printed(capsys: Output) -> list[str]:
    """Lines with results; the node's log goes the same way."""
    return [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(f"{PANEL}, ") or "  by hand  " in line
    ]


def alarms(node: RunningNode) -> dict[str, str]:
    """Tests that failed: the panel, and the alarm's text."""
    return {each.about: each.text for each in node.node.sos.desk.alarms() if each.kind is Alarm.TEST_FAILED}


async def row_of(node: RunningNode, id: int, state: str, *, within_s: float = 10) -> PanelTest:
    """The test, once it is "begun", "ended" or "waits" with a reason."""
    with Store(f"sqlite:///{node.database}") as store, trio.fail_after(within_s):
        while True:
            test = await trio.to_thread.run_sync(get_test, store, id)
            assert test is not None
            states = {
                "begun": test.started_at is not None,
                "ended": test.ended_at is not None,
                "waits": test.started_at is None and bool(test.result),
            }
            if states[state]:
                return test
            await trio.sleep(0.05)


async def test_a_test_by_hand_reaches_the_test_number_marked_as_a_test_with_the_panels_location(
    place: TownBed, tmp_path: Path, capsys: Output
) -> None:
    async with (
        open_node(place, tmp_path, dispatch=TESTED) as node,
        open_phone(place.bed, place.panel(PANEL)) as panel,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
    ):
        code = await teledom_sos_test(node, PANEL, "--wait", "20")
        invite = await wait_for(dispatch, "INVITE")
        await wait_for(dispatch, "BYE")
        call = await node.call()
        (row,) = node.node.sos.desk.rows()
        with Store(f"sqlite:///{node.database}") as store:
            leases = find_leases(store)
        await teledom_sos_test(node, "--last")

    made, listed = printed(capsys)
    assert code == 0
    assert made.startswith(f"{PANEL}, Челябинск, ул. Ленина 5, п. 1: passed: answered over dispatch-1 after ")
    assert made.endswith(f" ms, with its location (call {call.call_id})")
    assert "by hand  passed: answered over dispatch-1" in listed

    assert invite.start_line.startswith(f"INVITE sip:{TEST_NUMBER}@")
    assert invite.header("Subject") == "test"
    location = sent_location(invite)
    assert location is not None
    assert location.civic["RD"] == "ул. Ленина"
    assert location.entity == f"pres:{PANEL}@teledom"
    assert call.number
    assert call.number in invite.header("From")

    assert (call.kind, call.panel, call.outcome) == ("sos_test", PANEL, Outcome.TALKED)
    assert 2.9 < (call.ended_at or 0) - (call.answered_at or 0) < 4
    assert (row.kind, row.state, row.call_id) == (Kind.TEST, State.ENDED, call.call_id)
    assert leases == [], "a test is lent nothing"
    assert not any(message.method == "INVITE" for message in panel.messages), "nor is the panel called"
    assert alarms(node) == {}


async def test_a_test_that_reaches_nobody_has_failed_and_is_an_alarm_until_one_passes(
    own_place: TownBed, tmp_path: Path, capsys: Output
) -> None:
    async with open_node(own_place, tmp_path, dispatch=TESTED) as node:
        assert await teledom_sos_test(node, PANEL, "--wait", "30") == 1
        call = await node.call()
        assert list(alarms(node)) == [PANEL]
        assert "dispatch-2" in alarms(node)[PANEL]
        async with open_dispatch(own_place.bed, "dispatch-2"):
            assert await teledom_sos_test(node, PANEL, "--wait", "30") == 0
            assert alarms(node) == {}

    first, second = printed(capsys)
    assert "failed: dispatch-1: " in first
    assert "; dispatch-2: " in first
    assert "passed: answered over dispatch-2" in second
    assert call.outcome is Outcome.UNREACHABLE
    assert [leg.account for leg in call.legs] == ["dispatch-1", "dispatch-2"]


async def test_a_112_call_of_the_panel_ends_its_test_which_is_made_later(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_node(place, tmp_path, dispatch=TESTED) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
    ):
        with Store(f"sqlite:///{node.database}") as store:
            id = await trio.to_thread.run_sync(partial(ask_test, store, PANEL, time.time()))
        await wait_for(dispatch, "ACK")
        async with visiting(place, PANEL, "112", talk_ms=1000) as visit:
            await node.noted(EntryKind.BRIDGED)
            test = await row_of(node, id, "waits")
        calls = await node.calls(2)

    assert visit.result.final_code == 200
    by_kind = {call.kind: call for call in calls}
    assert by_kind["sos"].outcome is Outcome.TALKED
    assert by_kind["sos_test"].outcome is Outcome.PREEMPTED
    assert test.result == f"112 call {by_kind['sos'].call_id} comes first"
    assert test.due_at > time.time()
    assert alarms(node) == {}


async def test_a_node_that_is_stopped_gives_its_test_back(place: TownBed, tmp_path: Path) -> None:
    async with open_dispatch(place.bed, "dispatch-1") as dispatch:
        async with open_node(place, tmp_path, dispatch=TESTED) as node:
            with Store(f"sqlite:///{node.database}") as store:
                id = await trio.to_thread.run_sync(partial(ask_test, store, PANEL, time.time()))
            await wait_for(dispatch, "ACK")
        await place.nothing_left()
        with Store(f"sqlite:///{node.database}") as store:
            test = get_test(store, id)
        assert test is not None
        assert (test.node, test.started_at, test.ended_at) == ("", None, None)
        async with open_node(place, tmp_path, dispatch=TESTED) as node:
            ended = await row_of(node, id, "ended")
    assert ended.passed


async def test_asterisk_ends_by_itself_what_a_node_that_died_has_left(
    place: TownBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sos_test_call, "LEFT_S", 2)
    monkeypatch.setattr(sos_test_call, "HOLD_S", 8)
    async with (
        open_node(place, tmp_path, dispatch=TESTED) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
    ):
        with Store(f"sqlite:///{node.database}") as store:
            await trio.to_thread.run_sync(partial(ask_test, store, PANEL, time.time()))
        await wait_for(dispatch, "ACK")
        began = time.monotonic()
        await wait_for(dispatch, "BYE")
        lasted_s = time.monotonic() - began
        await node.call()
    assert lasted_s < 4
