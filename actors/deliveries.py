"""Panels are told what they are to know: keys to learn and to forget, access codes.

The database is the queue (crm/devices/queue.py), so that nothing is lost to a restart and several processes share the
work. A panel is told all that is due for it over one connection, by one task at a time; what fails waits longer each
time. What a panel's vendor has no way for is done, with an error that says so. Beside that, keys are kept in step with
blocks that begin or end by the clock, and with what was changed by other hands.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

import trio

from actors.db_queue import DbQueue
from actors.panel_access import unsealed
from crm.devices.panel_access import pin_certificate
from crm.devices.queue import Claim, Item, Told, What, claim_panel, due_panels, finish, take_back
from crm.keys.panels import refresh_blocks, sweep_keys
from crm.sealed import SealError
from crm.store import Store
from logs import get_logger
from telephony.panels import open_panel
from telephony.panels.interface import (
    PanelAnswer,
    PanelCannot,
    PanelDriver,
    PanelError,
    PanelRefused,
)

POLL_S = 2.0
LEASE_S = 180.0  # for how long a claim holds, if nobody is there any more
PANEL_S = 90.0  # for all that a panel is told at once
PORTION = 100
FIRST_S, LONGEST_S = 30.0, 3600.0  # to the next try: twice as long each time
IN_A_ROW = 3  # refusals one after the other: then it is the panel, and not what it is told
BLOCKS_S, SWEEP_S = 30.0, 20.0  # a look at blocks, and at the next portion of keys
BLOCKS_BACK_S = 86_400.0  # for how far back blocks are looked at after a start

log = get_logger("deliveries")

T = TypeVar("T")


class Deliveries:
    """The actor: `run` tells panels what is due. `secret_key` opens their passwords, `at_once` panels are told together.

    `deadline_s` is for one thing that a panel is told; `ours` are hosts that no panel is (telephony/panels/where.py).
    """

    def __init__(
        self,
        store: Store,
        secret_key: str,
        *,
        at_once: int = 16,
        deadline_s: float = 10.0,
        wall_clock: Callable[[], float] = time.time,
        ours: Collection[str] = (),
    ) -> None:
        self._store = store
        self._ours = ours
        self._secret_key = secret_key
        self._at_once = at_once
        self._deadline_s = deadline_s
        self._wall_clock = wall_clock
        self._queue = DbQueue("deliveries to panels", log, 4)
        self._threads = trio.CapacityLimiter(4)
        # All state, changed on Trio's thread by `run` and its tasks:
        self._busy: set[int] = set()  # panels that are being told
        self._blocks_at: float | None = None  # up to when blocks were looked at
        self._swept = 0  # the last key that was looked at

    def __len__(self) -> int:
        """How many panels are being told something."""
        return len(self._busy)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        self._busy.clear()
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._queue.again_and_again, self._look_at_blocks, BLOCKS_S)
            nursery.start_soon(self._queue.again_and_again, self._sweep, SWEEP_S)
            await self._queue.again_and_again(partial(self._take_due, nursery), POLL_S)

    # --- what is due -----------------------------------------------------------------------------------------

    async def _take_due(self, nursery: trio.Nursery) -> None:
        room = self._at_once - len(self._busy)
        if room <= 0:
            return
        work = partial(due_panels, self._store, self._wall_clock(), frozenset(self._busy), room)
        for id in await self._in_thread(work):
            claim = await self._in_thread(
                partial(claim_panel, self._store, id, self._wall_clock(), LEASE_S, PORTION)
            )
            if claim is not None:
                self._busy.add(id)
                nursery.start_soon(self._tell, claim)

    async def _tell(self, claim: Claim) -> None:
        """Tell a panel all of a claim; whatever becomes of it, its rows say so, or it is due again."""
        told: list[Told] = []
        try:
            with trio.move_on_after(PANEL_S):
                await self._ask(claim, told)
        except Exception:
            log.exception("telling a panel failed by a fault of ours", panel=claim.sip_user)
            self._fail_rest(claim, told, "a fault of the CRM: see its log")
        finally:
            try:
                await self._queue.surely(partial(self._write, claim, tuple(told)))
            finally:
                self._busy.discard(claim.domophone_id)

    def _write(self, claim: Claim, told: tuple[Told, ...]) -> None:
        now = self._wall_clock()
        finish(self._store, claim.domophone_id, told, now)
        tried = {each.item for each in told}
        left = [item for item in claim.items if item not in tried]
        if left:
            take_back(self._store, claim.domophone_id, left, now)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Ask the database, to the end: whoever is cancelled must not leave a claim that nobody has."""
        return await trio.to_thread.run_sync(work, limiter=self._threads)

    # --- one panel -------------------------------------------------------------------------------------------

    async def _ask(self, claim: Claim, told: list[Told]) -> None:
        access, pins = claim.access, list[str]()
        try:
            known = unsealed(access, self._secret_key)
            connecting = open_panel(known, deadline_s=self._deadline_s, on_pin=pins.append, ours=self._ours)
            async with connecting as panel:
                await self._tell_all(panel, claim, told)
        except (PanelError, SealError, ValueError) as error:
            log.info("a panel could not be told all", panel=claim.sip_user, why=str(error))
            self._fail_rest(claim, told, _text(error))
        finally:
            if pins:
                await self._queue.surely(partial(pin_certificate, self._store, claim.mac, pins[0]))

    async def _tell_all(self, panel: PanelDriver, claim: Claim, told: list[Told]) -> None:
        """Raises PanelError: the panel itself cannot be told anything."""
        refused = 0
        for item in claim.items:
            try:
                await _tell_one(panel, item)
            except PanelCannot as error:
                told.append(Told(item, _text(error)))
            except (PanelRefused, PanelAnswer) as error:
                told.append(self._again(item, _text(error)))
                refused += 1
                if refused == IN_A_ROW or (isinstance(error, PanelRefused) and error.status in (401, 403)):
                    raise
            else:
                told.append(Told(item))
                refused = 0

    def _fail_rest(self, claim: Claim, told: list[Told], error: str) -> None:
        tried = {each.item for each in told}
        told.extend(self._again(item, error) for item in claim.items if item not in tried)

    def _again(self, item: Item, error: str) -> Told:
        after_s = min(LONGEST_S, FIRST_S * 2 ** min(item.tries - 1, 10)) * random.uniform(0.8, 1.2)
        return Told(item, error, self._wall_clock() + after_s)

    # --- keys kept in step -----------------------------------------------------------------------------------

    async def _look_at_blocks(self) -> None:
        now = self._wall_clock()
        since = now - BLOCKS_BACK_S if self._blocks_at is None else self._blocks_at
        await self._in_thread(partial(refresh_blocks, self._store, since, now))
        self._blocks_at = now

    async def _sweep(self) -> None:
        work = partial(sweep_keys, self._store, self._swept, self._wall_clock())
        self._swept = await self._in_thread(work)


def _text(error: Exception) -> str:
    """Why, for the row of what was to be told: which panel that is stands there."""
    if not isinstance(error, PanelError):
        return str(error)
    return f"{error.why} (it said: {error.said})" if error.said else error.why


async def _tell_one(panel: PanelDriver, item: Item) -> None:
    match item.what:
        case What.FORGET_KEY:
            await panel.remove_key(item.text)
        case What.LEARN_KEY:
            await panel.add_key(item.text)
        case What.CODE:
            await panel.set_code(item.text, item.old)
        case What.FORGET_CODE:
            await panel.set_code("", item.text)
