"""112 in the demo town: a dispatch that answers at each trunk, and a panel whose SOS is pressed and called back.

The dispatch is SIPp, without sound; the panel is one of the visitors'. What counts is what the node's journal says
became of both calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import attrs
import trio
from attrs import define, field

from config import DispatchConfig
from crm.values.records import CallRecord, Entry, EntryKind, Outcome
from testbed.asterisk import DISPATCHES
from testbed.baresip import Baresip
from testbed.bed import Bed
from testbed.dispatch import dispatch_calls, open_dispatch
from testbed.processes import ProcessFailed
from testbed.town_bed import POLL_S, dispatches

TALK_S, PICK_UP_S = 0.8, 0.4
TEST_NUMBER = "113"


@define
class SosScore:
    """How often SOS was pressed, and what became of it."""

    pressed: int = 0
    called: int = 0
    called_back: int = 0

    def all_went_well(self) -> bool:
        return self.pressed == self.called == self.called_back

    def __str__(self) -> str:
        called = "called" if self.called == self.pressed else "NOT called"
        back = "called back" if self.called_back == self.pressed else "NOT called back"
        return f"112: {called}, {back}"


def tested_dispatches() -> Mapping[str, DispatchConfig]:
    """The town's dispatches, with a number for `teledom sos test`."""
    return {name: attrs.evolve(each, test_number=TEST_NUMBER) for name, each in dispatches().items()}


@define
class Emergency:
    """`score` counts what became of each press of SOS."""

    bed: Bed
    progress: Callable[[str], None]
    score: SosScore = field(factory=SosScore)
    _ended: list[CallRecord] = field(factory=list)

    def on_entry(self, record: CallRecord, entry: Entry) -> None:
        if entry.kind is EntryKind.END and record.kind in ("sos", "call_back"):
            self._ended.append(record)

    async def answer(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """A dispatch at each trunk, until cancelled."""
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as starting:
                for trunk in DISPATCHES:
                    starting.start_soon(nursery.start, self._answer_at, trunk)
            task_status.started()

    async def _answer_at(
        self, trunk: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with open_dispatch(self.bed, trunk, trace=False):
            task_status.started()
            await trio.sleep_forever()

    async def press(self, panel: Baresip) -> None:
        """SOS at this panel, a short talk, and the dispatch's call back to the number that the panel was lent."""
        self.score.pressed += 1
        try:
            call = await self._call(panel)
            self.score.called += 1
            await self._call_back(panel, call)
            self.score.called_back += 1
        except* ProcessFailed as errors:
            self.progress(f"112 went wrong: {errors.exceptions[0]}")
            with contextlib.suppress(ProcessFailed):
                await panel.hangup()
                await panel.wait_event("CALL_CLOSED", within_s=2)

    async def _call(self, panel: Baresip) -> CallRecord:
        known = len(self._ended)
        await panel.dial("SOS")
        await panel.wait_event("CALL_ESTABLISHED")
        await trio.sleep(TALK_S)
        await panel.hangup()
        await panel.wait_event("CALL_CLOSED")
        return await self._talked("sos", panel, known)

    async def _call_back(self, panel: Baresip, call: CallRecord) -> None:
        known = len(self._ended)
        trunk = next((leg.account for leg in call.legs if leg.role == "dispatch" and leg.answered_at), "")
        if not trunk or not call.number:
            raise ProcessFailed("no dispatch answered, or no number was lent: nobody can be called back")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pick_up, panel)
            talk_ms = int(TALK_S * 1000)
            await dispatch_calls(self.bed, trunk, call.number, give_up_ms=10_000, talk_ms=talk_ms)
        await self._talked("call_back", panel, known)

    @staticmethod
    async def _pick_up(panel: Baresip) -> None:
        await panel.wait_event("CALL_INCOMING")
        await trio.sleep(PICK_UP_S)
        await panel.accept()
        await panel.wait_event("CALL_ESTABLISHED")
        await panel.wait_event("CALL_CLOSED")

    async def _talked(self, kind: str, panel: Baresip, known: int) -> CallRecord:
        """The panel's call of that kind behind the `known` ones, once it has ended. Raises ProcessFailed."""
        with trio.move_on_after(5):
            while True:
                for record in self._ended[known:]:
                    if record.kind == kind and record.panel == panel.user:
                        if record.outcome is not Outcome.TALKED:
                            outcome = record.outcome.value if record.outcome else "not known"
                            raise ProcessFailed(f"the outcome of the {kind} of {panel.user} is {outcome}")
                        return record
                await trio.sleep(POLL_S)
        raise ProcessFailed(f"the journal has no end of a {kind} of {panel.user}")
