"""What the CRM's process does for campaigns beside the requests: flats are put into those that are being made, portion by
portion, each campaign in turn, and taken out of those that were stopped.

How far each one is stands in the database (crm.quality.making), so that several processes share the work, and a restart
goes on. No error ends it: one that lasts is said once, and tried again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
from attrs import define, field

from crm.quality.campaigns import stop_some, unstopped
from crm.quality.making import make_some, unmade
from crm.site import Site, wait_for
from crm.store import Store, StoreError
from logs import Once, get_logger

LOOK_S = 30.0  # how often it looks by itself: another program may have put one down, or left it
BUSY_S = 1.0  # after another program was at all of them
AWAY_S = 5.0
# SQLite has one lock, and who waits for it only looks now and then whether it is free.
REST_S = 0.1

Thread = Callable[[Callable[[], Any]], Awaitable[Any]]


async def _in_thread(work: Callable[[], Any]) -> Any:
    """A cancellation leaves the thread to itself: a portion is whole, or is not there."""
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def wake_maker(site: Site) -> None:
    """From a handler's worker thread: a campaign was put down, goes on, or was stopped."""
    maker: CampaignMaker | None = site.parts.get("campaigns")
    if maker is not None:
        wait_for(maker.wake)


@define(eq=False)
class CampaignMaker:
    """Makes campaigns. `wake` and `run` are for Trio's thread, and `thread` runs a function off it; `clock` tells UTC
    seconds."""

    store: Store
    clock: Callable[[], float] = time.time
    thread: Thread = _in_thread
    _once: Once = field(init=False, factory=lambda: Once(get_logger("campaigns")))
    _woken: trio.Event = field(init=False, factory=trio.Event)

    async def wake(self) -> None:
        """Look now at what there is to do."""
        self._woken.set()

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """Make and stop what is to be until cancelled."""
        task_status.started()
        while True:
            self._woken = trio.Event()
            with trio.move_on_after(await self._work()):
                await self._woken.wait()

    async def _work(self) -> float:
        """Make all there is; in how many seconds to look again."""
        try:
            left = await self.work_off()
        except StoreError as error:
            self._once.say(
                "database", str(error), "the making of campaigns waits for the database", why=str(error)
            )
            return AWAY_S
        except Exception:
            self._once.log.exception("making campaigns: a bug: tried again later", again_s=LOOK_S)
            return LOOK_S
        self._once.over("database", "the making of campaigns goes on")
        return BUSY_S if left else LOOK_S

    async def work_off(self) -> bool:
        """Stop and make all there is; True: what is left other programs are making. Raises StoreError."""
        for id in await self.thread(partial(unstopped, self.store)):
            after: int | None = 0
            while after is not None:
                after = await self.thread(partial(stop_some, self.store, id, after))
                await self._rest()
        while ids := await self.thread(partial(unmade, self.store)):
            made = False
            for id in ids:
                some = partial(make_some, self.store, id, self.clock())
                made = await self.thread(some) or made
                await self._rest()
            if not made:
                return True
        return False

    async def _rest(self) -> None:
        if self.store.is_sqlite:
            await trio.sleep(REST_S)
