"""Test calls of panels' 112: by hand at once, and planned ones, to the test number of the panel's dispatch.

The database is the queue and has the results (crm/sos/tests.py), so that several nodes share the work. Tests give way to
real calls: none begins, and none goes on, while a 112 call of the same panel or to the same dispatch stands. What keeps
one from being made is no failure: it goes back to the plan. A failure is an alarm until a later test of the panel passes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

import trio

from actors.db_queue import DbQueue
from actors.duty_desk import Alarm, Kind
from actors.sos_test_call import TestCall
from actors.sos_world import APPLICATION, FIND_S, SosWorld
from config import SosConfig
from crm.sos.panels import SosPanel
from crm.sos.test_plan import Plan, plan_tests, with_test_number
from crm.sos.tests import (
    DAY_S,
    PanelTest,
    claim_test,
    drop_test,
    due_tests,
    failing,
    finish_test,
    passed_last,
    purge_tests,
    put_back,
    take_up_lost,
)
from crm.store import Store
from logs import get_logger
from said import Says, said

POLL_S = 2.0
HOUSE_S = 60.0
QUIET_S = 3600.0  # after the start: no planned test
PLAN_S = 3600.0
PORTION, PAUSE_S = 200, 0.05
KEEP_S = 365 * DAY_S
LOST_S = 900.0  # a test that was begun so long ago was lost with its node
BUSY_S, BUSY_BY_HAND_S, NO_NUMBER_S, FAULT_S = 60.0, 10.0, 3600.0, 3600.0  # to the next try
FAILED_S = 30 * DAY_S  # for which a failure is an alarm again after a restart

log = get_logger("sos")


class SosTests:
    """The actor: `run` takes what is due, and sees that each panel has its next test planned."""

    def __init__(
        self,
        world: SosWorld,
        store: Store,
        config: SosConfig,
        node: str,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._world = world
        self._store = store
        self._config = config
        self._node = node
        self._wall_clock = wall_clock
        self._is_tested = with_test_number(world.dispatches)
        self._random = random.Random()
        self._queue = DbQueue("test calls", log, 2)
        # All state, changed by `run` and its tasks only:
        self._running: set[str] = set()  # panels whose test this node makes
        self._quiet_until: float | None = None  # planned tests begin then
        self._cleared = False  # what this node left over when it ended last waits again
        self._plan_at = self._purge_at = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        self._running.clear()
        self._cleared = False
        if self._quiet_until is None:
            self._quiet_until = self._wall_clock() + QUIET_S
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._queue.again_and_again, self._keep_house, HOUSE_S)
            nursery.start_soon(self._queue.again_and_again, partial(self._take_due, nursery), POLL_S)

    # --- what is due -----------------------------------------------------------------------------------------

    async def _take_due(self, nursery: trio.Nursery) -> None:
        if not self._cleared:
            now = self._wall_clock()
            await self._queue.in_thread(partial(take_up_lost, self._store, now - LOST_S, node=self._node))
            for test in await self._queue.in_thread(
                partial(failing, self._store, self._node, now - FAILED_S)
            ):
                self._alarm(test.panel, test.panel, test.result)
            self._cleared = True
        most = self._config.tests_at_once
        if len(self._running) >= most or self._asterisk_is_away():
            return
        now = self._wall_clock()
        only_by_hand = not self._config.test_days or now < (self._quiet_until or 0.0)
        waiting = partial(due_tests, self._store, now, most + 1, only_by_hand=only_by_hand)
        for test in await self._queue.in_thread(waiting):
            if test.panel not in self._running and len(self._running) < most:
                if await self._queue.in_thread(partial(claim_test, self._store, test.id, self._node, now)):
                    self._running.add(test.panel)
                    nursery.start_soon(self._make, test)

    def _asterisk_is_away(self) -> bool:
        ari = self._world.ari
        lanes = (*ari.urgent_lanes, *ari.lanes)
        return APPLICATION not in ari.attached or not any(lane.ready for lane in lanes)

    async def _make(self, test: PanelTest) -> None:
        """Carry one test; whatever becomes of it, its row says so, or it waits again."""
        write: Callable[[], None] = partial(put_back, self._store, test.id)
        try:
            write = await self._result_of(test)
        except Exception:
            log.exception("a test call failed by a fault of the node", panel=test.panel)
            write = self._later(test, FAULT_S, "a fault of the node: see its log")
        finally:
            try:
                await self._queue.surely(write)
            finally:
                self._running.discard(test.panel)

    async def _result_of(self, test: PanelTest) -> Callable[[], None]:
        """Make the test: what is to be written of it."""
        world = self._world
        panel = await world.register.find(test.panel, FIND_S)
        if panel is None:
            return self._never(test, "no active panel has this SIP user")
        name = world.dispatch_of(panel.fias)
        if not world.dispatches[name].test_number:
            return self._never(test, f"[dispatch.{name}] has no test_number")
        why_not = partial(self._why_not, panel.sip_user, name)
        if why := why_not():
            return self._later(test, BUSY_BY_HAND_S if test.by_hand else BUSY_S, why)
        number = self._number(panel, name)
        if number is None:
            why = f"every number of [dispatch.{name}] is held for a panel that may be called back"
            return self._later(test, NO_NUMBER_S, why)
        call = TestCall(world, panel, name, number)
        result = await call.run(why_not)
        if result.passed is None:
            return self._later(test, BUSY_BY_HAND_S if test.by_hand else BUSY_S, result.text)
        if result.passed:
            world.desk.over(Alarm.TEST_FAILED, panel.sip_user, "its next test passed")
        else:
            self._alarm(panel.sip_user, panel.address or panel.sip_user, result.text)
        now, days = self._wall_clock(), self._config.test_days
        next_due = self._plan(now).next(test.due_at) if days and not test.by_hand else None
        return partial(
            finish_test,
            self._store,
            test.id,
            result.passed,
            result.text,
            call.record.call_id,
            now,
            next_due=next_due,
        )

    def _why_not(self, sip_user: str, dispatch: str) -> str:
        """Why a test may not go on now: what comes first; "": nothing."""
        if self._asterisk_is_away():
            return "Asterisk is away"
        for row in self._world.desk.rows():
            if row.is_over or row.kind is Kind.TEST:
                continue
            if row.panel == sip_user or row.dispatch == dispatch:
                return f"112 call {row.call_id} comes first"
        return ""

    def _number(self, panel: SosPanel, dispatch: str) -> str | None:
        """The number to show, "" where a 112 call would have none either; None: there is none to spare now."""
        if panel.own_number:
            return panel.own_number
        pool = self._world.pools[dispatch]
        return pool.next_free(panel.sip_user) or (None if pool.pool.numbers else "")

    def _later(self, test: PanelTest, after_s: float, why: str) -> Callable[[], None]:
        return partial(put_back, self._store, test.id, self._wall_clock() + after_s, why)

    def _never(self, test: PanelTest, why: str) -> Callable[[], None]:
        """It can't be made: who asked for it is told; a planned one is none any more."""
        if test.by_hand:
            return partial(finish_test, self._store, test.id, None, why, "", self._wall_clock())
        return partial(drop_test, self._store, test.id)

    def _alarm(self, sip_user: str, name: str, why: str) -> None:
        self._world.desk.alarm(Alarm.TEST_FAILED, sip_user, said(Says.TEST_FAILED, place=name, why=why))

    # --- what is planned -------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        now = self._wall_clock()
        day_ago = now - DAY_S  # what is older has waited since the start
        await self._queue.in_thread(partial(take_up_lost, self._store, now - LOST_S, since=day_ago))
        await self._end_alarms()
        if self._config.test_days and now >= self._plan_at:
            after = 0
            while after >= 0:
                work = partial(plan_tests, self._store, after, PORTION, self._plan(self._wall_clock()))
                after = await self._queue.in_thread(work)
                await trio.sleep(PAUSE_S)
            self._plan_at = now + PLAN_S
        if now >= self._purge_at:
            await self._queue.in_thread(partial(purge_tests, self._store, now - KEEP_S))
            self._purge_at = now + DAY_S

    def _plan(self, now: float) -> Plan:
        quiet_until = self._quiet_until or 0.0
        return Plan(self._config.test_days, now, quiet_until, self._is_tested, self._random)

    async def _end_alarms(self) -> None:
        """Of panels that have passed a test that another node made, or are gone."""
        desk = self._world.desk
        about = [each.about for each in desk.alarms() if each.kind is Alarm.TEST_FAILED]
        passed = await self._queue.in_thread(partial(passed_last, self._store, about)) if about else set()
        for panel in about:
            if panel in passed:
                desk.over(Alarm.TEST_FAILED, panel, "its next test passed")
            elif await self._world.register.find(panel, FIND_S) is None:
                desk.over(Alarm.TEST_FAILED, panel, "no such panel is active any more")
