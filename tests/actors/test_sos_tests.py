"""Test calls of 112 on paper: what is made when, what gives way to what, and what becomes of a test that is not made."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from actors import sos_tests
from actors.duty_desk import Kind, Row, State
from crm.sos.tests import (
    ask_test,
    claim_test,
    due_tests,
    finish_test,
    get_test,
)
from crm.store import DatabaseAway, Store
from crm.values.records import Outcome
from crm.values.sos import Lease, Why
from tests.actors.sos_tests_stage import (
    EPOCH,
    HOUR,
    NUMBER,
    PANEL,
    empty,
    no_threads,
    on_stage,
    store,
    until,
    wall_clock,
)

__all__ = ["empty", "no_threads", "store"]


# --- what is not made ----------------------------------------------------------------------------------------------


async def test_a_pool_whose_numbers_are_all_held_puts_the_test_off_by_an_hour(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        now = wall_clock()
        lease = Lease("l", "c-1", NUMBER, "other", "0" * 12, "l", "n1", Why.FREE, now - 60, now, now + 1800)
        stage.pool.pool.set([(NUMBER, False, lease)])
        id = stage.ask()
        await until(lambda: bool(stage.row(id).result))
        test = stage.row(id)
    assert (test.started_at, test.node) == (None, "")
    assert test.result == "every number of [dispatch.chel] is held for a panel that may be called back"
    assert HOUR <= test.due_at - EPOCH < HOUR + 5
    assert stage.creates() == []


@pytest.mark.parametrize(("panel", "dispatch"), [(PANEL, "default"), ("other", "chel")])
async def test_a_112_call_of_the_panel_or_to_the_dispatch_comes_first(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock, panel: str, dispatch: str
) -> None:
    def real(state: State) -> Row:
        return Row(
            call_id="c1",
            kind=Kind.SOS,
            state=state,
            at=EPOCH,
            started_at=EPOCH,
            panel=panel,
            dispatch=dispatch,
        )

    async with on_stage(tmp_path, store) as stage:
        stage.desk.show(real(State.TALKING))
        id = stage.ask()
        await until(lambda: bool(stage.row(id).result))
        assert stage.row(id).result == "112 call c1 comes first"
        assert stage.creates() == []
        stage.desk.show(real(State.ENDED))
        await until(lambda: stage.desk.rows()[0].state is State.TALKING)
        stage.desk.show(real(State.CALLING))
        await until(lambda: stage.row(id).started_at is None)
        assert stage.records[0].outcome is Outcome.PREEMPTED
        assert not stage.paper.ari.legs
        stage.desk.show(real(State.ENDED))
        assert (await stage.ended(id)).passed
    assert stage.alarms() == {}


async def test_asterisk_away_is_no_failure(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        stage.paper.ari.attached.clear()
        id = stage.ask()
        await trio.sleep(20)
        assert stage.row(id).started_at is None
        stage.paper.ari.attached.add("TdCallSOS")
        await until(lambda: bool(stage.creates()))
        stage.paper.ari.attached.clear()
        await until(lambda: stage.row(id).started_at is None)
        assert stage.row(id).result == "Asterisk is away"
        stage.paper.ari.attached.add("TdCallSOS")
        assert (await stage.ended(id)).passed
    assert stage.alarms() == {}


async def test_a_node_that_is_stopped_gives_its_test_back(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        id = stage.ask()
        await until(lambda: bool(stage.creates()))
    test = get_test(Store(f"sqlite:///{tmp_path}/crm.db"), id)
    assert test is not None
    assert (test.started_at, test.ended_at, test.node) == (None, None, "")
    assert stage.records[0].outcome is Outcome.STOPPED
    assert stage.paper.asked("DELETE", "channels/td-")


async def test_what_cannot_be_made_is_said_to_who_asked_and_dropped_from_the_plan(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store, run=False) as stage:
        stage.houses.panel("nowhere")
        await_none = stage.ask("nowhere")
        gone = stage.ask()
        with store.transaction() as connection:
            connection.exec_driver_sql("UPDATE domophones SET active = 0 WHERE sip_user = '500001'")
            connection.exec_driver_sql(
                "INSERT INTO sos_tests (panel, by_hand, due_at, node, result, call_id) "
                "VALUES ('nowhere', 0, 1, '', '', ''), ('500001', 0, 2, '', '', '')"
            )
        stage.tests._quiet_until = 0
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.tests.run)
            tests = [await stage.ended(await_none), await stage.ended(gone)]
            await until(lambda: not due_tests(store, wall_clock(), 9))
            nursery.cancel_scope.cancel()
    assert [each.passed for each in tests] == [None, None]
    assert tests[0].result == "[dispatch.default] has no test_number"
    assert tests[1].result == "no active panel has this SIP user"
    assert stage.creates() == []
    assert stage.alarms() == {}


async def test_a_fault_of_the_node_puts_one_test_off_and_the_others_go_on(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage(tmp_path, store) as stage:
        stage.panel("500002")
        real = stage.world.register.find

        async def find(sip_user: str, deadline_s: float) -> Any:
            if sip_user == PANEL:
                raise RuntimeError("a bug")
            return await real(sip_user, deadline_s)

        monkeypatch.setattr(stage.world.register, "find", find)
        faulty, good = stage.ask(), stage.ask("500002")
        assert (await stage.ended(good)).passed
        assert stage.row(faulty).result == "a fault of the node: see its log"
        assert stage.row(faulty).due_at > wall_clock() + HOUR - 30


async def test_the_database_away_is_said_once_and_tests_go_on_when_it_is_back(
    tmp_path: Path,
    store: Store,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with on_stage(tmp_path, store) as stage:
        id = stage.ask()
        with monkeypatch.context() as patched:

            def away() -> Any:
                raise DatabaseAway("asking database x: it is away")

            patched.setattr(store, "reading", away)
            patched.setattr(store, "transaction", away)
            await trio.sleep(100)
        said = capsys.readouterr().out
        assert said.count("no test calls are made: asking database x") == 1
        assert (await stage.ended(id)).passed
        assert capsys.readouterr().out.count("test calls go on") == 1


# --- when ----------------------------------------------------------------------------------------------------------


async def test_no_more_than_so_many_at_once_and_one_of_a_panel(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store, tests_at_once=2) as stage:
        for n in range(2, 6):
            stage.panel(f"50000{n}")
        ids = [stage.ask(), stage.ask(), *(stage.ask(f"50000{n}") for n in range(2, 6))]
        for id in ids:
            assert (await stage.ended(id)).passed
    assert stage.most_at_once == 2


async def test_planned_tests_begin_an_hour_after_the_start_and_are_planned_again(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sos_tests, "QUIET_S", 100.0)
    async with on_stage(tmp_path, store, run=False) as stage:
        with store.transaction() as connection:
            connection.exec_driver_sql(
                "INSERT INTO sos_tests (panel, by_hand, due_at, node, result, call_id) "
                f"VALUES ('{PANEL}', 0, {EPOCH - 600}, '', '', '')"
            )
        (planned,) = due_tests(store, EPOCH, 9)
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.tests.run)
            await trio.sleep(95)
            assert stage.row(planned.id).started_at is None
            test = await stage.ended(planned.id, within_s=20)
            (following,) = due_tests(store, EPOCH + 9 * 86_400, 9)
            nursery.cancel_scope.cancel()
    assert test.passed
    assert not following.by_hand
    assert following.due_at // 86_400 == planned.due_at // 86_400 + 3


async def test_every_panel_of_the_city_is_planned_after_the_start(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store) as stage:
        stage.houses.panel("nowhere")
        await until(lambda: bool(due_tests(store, EPOCH + 4 * 86_400, 9)))
        (test,) = due_tests(store, EPOCH + 4 * 86_400, 9)
    assert test.panel == PANEL
    assert test.due_at >= EPOCH + HOUR


async def test_with_test_days_0_only_tests_by_hand_are_made(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sos_tests, "QUIET_S", 0.0)
    async with on_stage(tmp_path, store, test_days=0) as stage:
        assert (await stage.ended(stage.ask())).passed
        await trio.sleep(200)
        assert due_tests(store, EPOCH + 99 * 86_400, 9) == []


# --- other nodes, other lives --------------------------------------------------------------------------------------


async def test_what_this_node_left_over_when_it_died_is_made(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store, run=False) as stage:
        mine, others = stage.ask(), stage.ask()
        claim_test(store, mine, "n1", wall_clock())
        claim_test(store, others, "n2", wall_clock())
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.tests.run)
            await stage.ended(mine)
            assert stage.row(others).ended_at is None
            await stage.ended(others, within_s=1000)
            nursery.cancel_scope.cancel()
    assert len(stage.records) == 2


async def test_a_failure_is_an_alarm_again_after_a_restart_until_another_node_has_passed_it(
    tmp_path: Path, store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with on_stage(tmp_path, store, run=False) as stage:
        stage.panel("500002")
        made = partial(_made, store)
        made(PANEL, "n1", False)
        made("500002", "n1", False)
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.tests.run)
            await until(lambda: set(stage.alarms()) == {PANEL, "500002"})
            await trio.sleep(1)
            made(PANEL, "n2", True)
            await until(lambda: set(stage.alarms()) == {"500002"})
            with store.transaction() as connection:
                connection.exec_driver_sql("UPDATE domophones SET active = 0 WHERE sip_user = '500002'")
            stage.world.register._panels.clear()
            await until(lambda: stage.alarms() == {})
            nursery.cancel_scope.cancel()


def _made(store: Store, panel: str, node: str, passed: bool) -> None:
    id = ask_test(store, panel, wall_clock())
    assert claim_test(store, id, node, wall_clock())
    finish_test(store, id, passed, "", "", wall_clock())
