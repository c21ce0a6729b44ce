"""The course of a test call of 112 on paper: over which trunks, with what, and what its end is taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
import trio.testing

from actors.duty_desk import Kind, State
from config import DispatchConfig
from crm.store import Store
from crm.values.records import Outcome
from tests.actors.sos_tests_stage import (
    NUMBER,
    PANEL,
    empty,
    no_threads,
    on_stage,
    store,
    until,
)

__all__ = ["empty", "no_threads", "store"]


async def test_a_test_by_hand_is_made_at_once_held_for_three_seconds_and_hung_up(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        id = stage.ask()
        began = trio.current_time()
        await until(lambda: bool(stage.creates()), 3)
        await until(lambda: stage.desk.rows()[0].state is State.TALKING)
        test = await stage.ended(id)
        assert 3 <= trio.current_time() - began < 6
        (create,) = stage.creates()
        (record,) = stage.records
        (row,) = stage.desk.rows()

    assert (test.passed, test.node, test.call_id) == (True, "n1", record.call_id)
    assert test.result.startswith("answered over one after ")
    assert test.result.endswith(" ms, with its location")
    assert (create.query or {})["endpoint"] == "PJSIP/7001@one"
    body: Any = create.body
    assert body["variables"]["PJSIP_HEADER(add,Subject)"] == "test"
    assert (record.kind, record.panel, record.number, record.outcome) == (
        "sos_test",
        PANEL,
        NUMBER,
        Outcome.TALKED,
    )
    assert record.legs[0].ended_at is not None
    assert (row.kind, row.state, row.dispatch, row.note) == (Kind.TEST, State.ENDED, "chel", test.result)
    assert stage.paper.asked("DELETE", "channels/td-")
    assert stage.pool.pool.numbers[NUMBER].lease is None
    assert stage.alarms() == {}


async def test_trunks_are_tried_in_their_order_until_one_is_answered(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        stage.does["one"] = 503
        test = await stage.ended(stage.ask())
    assert test.passed
    assert test.result.startswith("answered over two")


async def test_a_test_that_nobody_answers_has_failed_and_is_an_alarm_until_one_passes(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        stage.does |= {"one": "silent", "two": 486}
        test = await stage.ended(stage.ask())
        assert test.passed is False
        assert test.result == "one: no sign of life in 4 s; two: busy (SIP 486)"
        assert stage.alarms() == {
            PANEL: f"Челябинск, ул. Ленина 5, п. 1: a test of its 112 failed: {test.result}"
        }
        assert stage.records[-1].outcome is Outcome.UNREACHABLE
        assert stage.desk.rows()[0].state is State.FAILED
        stage.does["two"] = "answers"
        await stage.ended(stage.ask())
        assert stage.alarms() == {}


async def test_a_trunk_that_refuses_a_location_is_tried_without_and_112_is_not_told_less_for_it(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        stage.does["one"] = (415, "answers")
        test = await stage.ended(stage.ask())
        assert test.result.endswith("without a location, as the trunk takes none")
        assert stage.trunks.takes_location("one")
    assert len(stage.records[0].legs) == 2


async def test_a_panels_own_number_is_shown(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        with store.transaction() as connection:
            connection.exec_driver_sql("UPDATE domophones SET sos_number = '+73512999999'")
        await stage.ended(stage.ask())
    assert stage.records[0].number == "+73512999999"


async def test_without_any_number_it_is_called_as_a_112_call_would_be(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        stage.pool.pool.set([])
        test = await stage.ended(stage.ask())
    assert test.passed
    assert stage.records[0].number == ""


async def test_a_dispatch_without_trunks_has_failed(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    city = DispatchConfig(fias="c-1", test_number="7001")
    async with on_stage(tmp_path, store, city=city) as stage:
        test = await stage.ended(stage.ask())
    assert (test.passed, test.result) == (False, "[dispatch.chel] has no trunks")
