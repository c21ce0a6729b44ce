"""Quality calls: which handset is called when, and what became of it.

The database is the queue and has the results (crm/quality/tasks.py), so that several nodes share the work and none is
lost to a restart. What is due and may be called now is claimed, one task a panel, and called as soon as the panel's own
actor lends its lock. A panel that is not to be had, or is taken by what comes first, costs nothing but time: its task
waits again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote

import trio

from actors.db_queue import DbQueue
from actors.quality_call import APPLICATION, OURS, CameIn, NotNow, QualityCall, QualityWorld
from actors.quality_files import clear
from actors.quality_judge import Judge
from crm.devices.panel_access import find_flat_behind
from crm.quality.campaigns import running
from crm.quality.results import purge_results, save_result
from crm.quality.tasks import claim_task, due_tasks, finish_task, put_back, take_up_lost
from crm.store import Store, StoreError
from crm.values.quality import CallType, Task, TaskState, is_open
from logs import get_logger
from telephony.ari.channels import ignore
from telephony.ari.lane import Request

POLL_S = 1.0
HOUSE_S = 600.0
LOST_S = 600.0  # a task that was begun so long ago was lost with its node
TEST_AGAIN_S, AGAIN_S, FAULT_S = 5.0, 60.0, 3600.0  # to the next try
KEEP_RESULTS_S = 3 * 365 * 86_400.0
FEW = frozenset(
    {"nobody_answered", "busy", "unreachable", "unknown"}
)  # verdicts that another attempt may better

_TYPES = {str(each.value): each for each in CallType}

log = get_logger("quality")


class Quality:
    """The actor: `run` takes what is due; `came_in` is told by the router of channels in our applications."""

    def __init__(
        self,
        world: QualityWorld,
        judge: Judge,
        store: Store,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._world = world
        self._judge = judge
        self._store = store
        self._wall_clock = wall_clock
        self._queue = DbQueue("quality calls", log, 4)
        # All state, changed on Trio's thread by `run`, its tasks and `came_in`, never across an await:
        self._calls: dict[str, QualityCall] = {}  # by TASK_ID
        self._panels: set[str] = set()  # whose tasks this node makes
        self._nursery: trio.Nursery | None = None
        self._cleared = False
        self._campaigns_at = 0.0  # on Trio's clock

    def __len__(self) -> int:
        return len(self._panels)

    def came_in(self, channel_id: str, named: Mapping[str, str]) -> bool:
        """A panel has answered. False: nobody takes it."""
        task_id, came = named.get("TASK_ID", ""), CameIn(channel_id, named.get("RECORDING", ""))
        call = self._calls.get(task_id)
        if call is not None:
            call.came_in(came)
            return True
        if task_id.startswith(OURS) or self._nursery is None:
            return False
        self._nursery.start_soon(self._foreign, came, named)
        return True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        self._calls.clear()
        self._panels.clear()
        self._cleared = False
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._queue.again_and_again, self._keep_house, HOUSE_S)
                # What the panels did before this node was there is not known.
                self._campaigns_at = trio.current_time() + self._world.config.idle_s
                await trio.sleep(self._world.config.test_idle_s)
                await self._queue.again_and_again(partial(self._take_due, nursery), POLL_S)
        finally:
            self._nursery = None

    # --- what is due -----------------------------------------------------------------------------------------

    async def _take_due(self, nursery: trio.Nursery) -> None:
        if not self._cleared:
            now = self._wall_clock()
            await self._queue.in_thread(partial(take_up_lost, self._store, now - LOST_S, self._world.node))
            self._cleared = True
        ari, now = self._world.ari, self._wall_clock()
        if APPLICATION not in ari.attached or not any(lane.ready for lane in ari.lanes):
            return
        room = self._room()
        for test in (
            await self._queue.in_thread(partial(due_tasks, self._store, None, (), now, room)) if room else ()
        ):
            await self._begin(nursery, test, 1_000_000, TEST_AGAIN_S)
        if trio.current_time() < self._campaigns_at:
            return
        for campaign in await self._queue.in_thread(partial(running, self._store)):
            zones = [zone for zone in campaign.zones if is_open(campaign.hours, now, zone)]
            if not (room := self._room()) or not zones:
                continue
            for task in await self._queue.in_thread(
                partial(due_tasks, self._store, campaign.id, zones, now, room)
            ):
                await self._begin(nursery, task, campaign.per_house, campaign.attempt_spacing_s)

    def _room(self) -> int:
        return max(0, self._world.config.at_once - len(self._panels))

    async def _begin(self, nursery: trio.Nursery, task: Task, per_house: int, again_s: float) -> None:
        """Make a task, if it is still to be had."""
        if task.panel in self._panels or not self._room():
            return
        now = self._wall_clock()
        if await self._queue.in_thread(
            partial(claim_task, self._store, task.id, self._world.node, now, per_house)
        ):
            self._panels.add(task.panel)
            nursery.start_soon(self._make, task, again_s)

    async def _make(self, task: Task, again_s: float) -> None:
        """Carry one task; whatever becomes of it, its row says so, or it waits again."""
        write: Callable[[], None] = self._again(task, 0.0, "the node was stopped", counts=False)
        try:
            write = await self._result_of(task, again_s)
        except NotNow as why:
            log.debug("a quality call has to wait", panel=task.panel, flat=task.flat, why=str(why))
            after_s = TEST_AGAIN_S if task.kind is CallType.TEST else AGAIN_S
            write = self._again(task, after_s, str(why), counts=False)
        except Exception:
            log.exception("a quality call failed by a fault of the node", panel=task.panel, flat=task.flat)
            write = self._again(task, FAULT_S, "a fault of the node: see its log", counts=True)
        finally:
            try:
                await self._queue.surely(write)
            finally:
                self._panels.discard(task.panel)

    async def _result_of(self, task: Task, again_s: float) -> Callable[[], None]:
        call = QualityCall(self._world, task, uuid.uuid4().hex[:16])
        self._calls[call.task_id] = call
        try:
            called = await call.run()
        finally:
            del self._calls[call.task_id]
        result = await self._judge.result(call, called)
        if result.verdict not in FEW or task.kind is CallType.TEST:
            return partial(finish_task, self._store, task.id, result)
        await self._queue.surely(partial(save_result, self._store, result))
        return self._again(task, again_s, result.why, counts=True)

    def _again(self, task: Task, after_s: float, why: str, *, counts: bool) -> Callable[[], None]:
        now = self._wall_clock()
        return partial(put_back, self._store, task.id, now + after_s, why, counts, now)

    # --- what others have set in motion ----------------------------------------------------------------------

    async def _foreign(self, came: CameIn, named: Mapping[str, str]) -> None:
        """A call that another program began: carried and judged like ours, if the panel's lock is to be had."""
        mac, flat = named.get("DOMOPHONE", ""), named.get("FLAT_NUM", "")
        try:
            behind = await self._queue.in_thread(partial(find_flat_behind, self._store, mac, flat))
            if behind is None:
                log.warning("a quality call to a flat that the CRM has not", domophone=mac, flat=flat)
                self._hang_up(came.channel_id)
                return
            now = self._wall_clock()
            task = Task(
                id=0,
                campaign_id=None,
                kind=_TYPES.get(named.get("TYPE", ""), CallType.PLANNED),
                flat_id=behind.flat_id,
                flat=flat,
                dialled=flat,
                panel=behind.sip_user,
                domain=behind.domain,
                domophone=mac,
                vendor=behind.vendor,
                house_id=behind.house_id,
                address="",
                time_zone="",
                state=TaskState.CALLING,
                due_at=now,
                attempts=0,
                node=self._world.node,
                started_at=now,
                ended_at=None,
                why="",
                verdict="",
            )
            call = QualityCall(self._world, task, uuid.uuid4().hex[:16], came)
            result = await self._judge.result(call, await call.run())
            await self._queue.surely(partial(save_result, self._store, result))
        except NotNow as why:
            log.info("a quality call of another program gives way", panel=mac, flat=flat, why=str(why))
            self._hang_up(came.channel_id)
        except StoreError as error:
            self._queue.is_away(error)
            self._hang_up(came.channel_id)
        except Exception:
            log.exception("a quality call failed by a fault of the node", domophone=mac, flat=flat)

    def _hang_up(self, channel_id: str) -> None:
        ari = self._world.ari
        request = Request("DELETE", f"channels/{quote(channel_id, safe='')}")
        ari.post_surely(ari.pick_lane(), request, ignore)

    # --- keeping house ---------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        now, config = self._wall_clock(), self._world.config
        await self._queue.in_thread(partial(take_up_lost, self._store, now - LOST_S, ""))
        folder, before = Path(config.recordings), now - config.keep_days * 86_400
        if deleted := await self._queue.in_thread(partial(clear, folder, before, config.keep_mb)):
            log.info("recordings of quality calls were cleared away", files=deleted)
        await self._queue.in_thread(partial(purge_results, self._store, now - KEEP_RESULTS_S))
