"""How long a visitor waits for a panel that has a quality call, on the testbed's real Asterisk and Kamailio.

The node runs as a process of its own. SIPp is the panels that are pressed, their flats' phones, and what answers quality
calls, registered as those panels. Several panels side by side are each pressed in turns: once while a test call of their
handset stands, once while none does. The moments of the first are spread over the test call: its ringing, both prompts,
both times of listening. Which presses met one is the journal's word. Asterisk, Kamailio and the node run in real time
where this user may, as Asterisk does by Debian's own unit, and the visitors' SIPp above them.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio
from attrs import Factory, define, frozen

from bench.calls import open_node
from bench.houses import PASSWORD, BenchFlat, make_houses
from bench.priority import INSTRUMENTS, make_real_time, may_be_real_time
from bench.real_load import SHORT, open_real
from crm.calls.calls import find_calls
from crm.quality.tasks import add_test, get_task, withdraw_test
from crm.store import Store
from crm.values.quality import TaskState
from crm.values.records import CallRecord, Outcome
from testbed.bed import Bed, Credentials, Kind
from testbed.processes import ProcessFailed, open_ports
from testbed.sipp import open_phone, panel_sipp

PANELS = 15
RING_S = 3.0
SPREAD_S = 19.0  # of a test call's 24 s: presses meet it before its goodbye, which ends by itself
PAUSE_S = 1.0  # between two calls of a panel
POLL_S = 0.2
GIVE_UP_MS = 10_000.0
SAVED_S = 2.0  # the last calls are in the database by then
ROUND_S, START_S = 40.0, 90.0  # no two presses of a panel, and nothing before the first, take longer
SETTINGS = '[quality]\nrecordings = "{recordings}"\nidle_s = 0.2\ntest_idle_s = 0.2\nanswer_s = 5.0\nlisten_s = 3.0\n'

T = TypeVar("T")


@frozen
class Press:
    """When a panel's INVITE with its password went out (UTC, s), and how long its 180 took [ms]; None: the call did not
    get through."""

    panel: str
    at: float
    rang_ms: float | None

    @property
    def waited_ms(self) -> float:
        """Who did not get through waited until the panel gave up."""
        return GIVE_UP_MS if self.rang_ms is None else self.rang_ms


@frozen
class HandOver:
    """The presses that met a quality call while it rang, those that met one later, and those that met none."""

    ringing: list[Press]
    answered: list[Press]
    unmet: list[Press]

    @property
    def met(self) -> list[Press]:
        return [*self.ringing, *self.answered]

    @property
    def lost(self) -> int:
        """Visitors' calls that did not get through."""
        return sum(press.rang_ms is None for press in (*self.met, *self.unmet))

    @property
    def delays_ms(self) -> list[float]:
        """What a quality call made each visitor wait [ms], never below 0; `GIVE_UP_MS` or so where one was lost."""
        usual_ms = statistics.median(press.waited_ms for press in self.unmet)
        return [max(0.0, press.waited_ms - usual_ms) for press in self.met]


async def measure(folder: Path, presses: int, seed: int) -> HandOver:
    """At least `presses` that are to meet a quality call, and as many that are not, with all files in `folder`.

    Raises TestbedUnavailable, ProcessFailed, StoreError, trio.TooSlowError.
    """
    rounds = math.ceil(presses / PANELS)
    url = f"sqlite:///{folder}/crm.db"
    flats = make_houses(url, PANELS, 1)
    real_time = may_be_real_time()
    under = ["chrt", "-r", str(INSTRUMENTS)] if real_time else []
    with trio.fail_after(START_S + rounds * ROUND_S):
        async with AsyncExitStack() as stack:
            ports = stack.enter_context(open_ports())
            load = await stack.enter_async_context(
                open_real(folder, flats, answer_s=0.2, talk_s=0.3, under=under)
            )
            more = SETTINGS.format(recordings=load.bed.recordings)
            node = await stack.enter_async_context(open_node(folder, load, ports, more))
            panels = [Credentials(flat.panel, PASSWORD, Kind.PANEL) for flat in flats]
            await stack.enter_async_context(
                open_phone(load.bed, *panels, ring_ms=round(RING_S * 1000), trace=False)
            )
            if real_time:
                for child in (load.bed.asterisk, load.bed.kamailio, node):
                    make_real_time(child)
            priority = "in real time" if real_time else "at the usual priority"
            print(f"{rounds} rounds on {PANELS} panels; the node is ready, {priority}", flush=True)
            store = stack.enter_context(Store(url))
            visitors = _Visitors(load.bed, store, under)
            await visitors.press_all(flats, _moments(rounds * PANELS, random.Random(f"moments {seed}")))
            await trio.sleep(SAVED_S)
            calls = await trio.to_thread.run_sync(partial(find_calls, store, limit=100_000))
    return tell_apart(visitors.presses, calls)


def _moments(number: int, chance: random.Random) -> list[float]:
    """Spread evenly over a test call, from its start [s], in any order."""
    moments = [(n + chance.random()) / number * SPREAD_S for n in range(number)]
    chance.shuffle(moments)
    return moments


def tell_apart(presses: Sequence[Press], calls: Sequence[CallRecord]) -> HandOver:
    """Which presses ended a quality call, by the calls that the journal has."""
    ended = [call for call in calls if call.kind == "quality" and call.outcome is Outcome.PREEMPTED]
    found = HandOver([], [], [])
    for press in presses:
        met = [
            call
            for call in ended
            if call.panel == press.panel and call.started_at <= press.at <= (call.ended_at or math.inf)
        ]
        if not met:
            found.unmet.append(press)
        elif any(call.answered_at is not None and call.answered_at <= press.at for call in met):
            found.answered.append(press)
        else:
            found.ringing.append(press)
    return found


@define
class _Visitors:
    """Presses on all panels at once; `presses` so far."""

    bed: Bed
    store: Store
    under: Sequence[str]
    presses: list[Press] = Factory(list)

    async def press_all(self, flats: Sequence[BenchFlat], moments: Sequence[float]) -> None:
        async with trio.open_nursery() as nursery:
            for flat_id, flat in enumerate(flats, 1):  # as make_houses counts them
                nursery.start_soon(self._in_turns, flat, flat_id, moments[flat_id - 1 :: len(flats)])

    async def _in_turns(self, flat: BenchFlat, flat_id: int, moments: Sequence[float]) -> None:
        for moment_s in moments:
            await trio.sleep(PAUSE_S)
            task_id = await _in_thread(partial(add_test, self.store, flat_id, time.time()))
            while await self._state(task_id) is TaskState.WAITING:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(POLL_S)
            await trio.sleep(moment_s)
            await self._press(flat)
            while await self._state(task_id) is TaskState.CALLING:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(POLL_S)
            await _in_thread(partial(withdraw_test, self.store, task_id))
            await trio.sleep(PAUSE_S)
            await self._press(flat)

    async def _state(self, task_id: int) -> TaskState:
        task = await _in_thread(partial(get_task, self.store, task_id))
        if task is None:
            raise ProcessFailed(f"test call {task_id} is not in the database any more")
        return task.state

    async def _press(self, flat: BenchFlat) -> None:
        """A visitor's call, to its end."""
        options = ["-m", "1", "-timeout", "30s", *SHORT]
        sipp = panel_sipp(self.bed, give_up_ms=round(GIVE_UP_MS), talk_ms=5000, options=options)
        sipp.under = self.under
        result = await sipp.run([(flat.panel, PASSWORD, flat.dialled)], trace=False)
        sent = rang = None
        for line in (sipp.folder / "short.log").read_text(errors="replace").splitlines():
            match line.split("\t"):
                case [_, _, at, "S", _, "CSeq:2 INVITE", first] if first.startswith("INVITE "):
                    sent = sent or float(at)
                case [_, _, at, "R", _, "CSeq:2 INVITE", first] if first.startswith("SIP/2.0 180"):
                    rang = rang or float(at)
        if sent is None:
            raise ProcessFailed(f"{flat.panel} could not call with its password: see {sipp.folder}")
        through = result.succeeded == 1 and rang is not None
        self.presses.append(Press(flat.panel, sent, (rang - sent) * 1000 if through and rang else None))


async def _in_thread(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work)
