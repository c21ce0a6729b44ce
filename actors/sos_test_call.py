"""The course of one test call: what a 112 call would be, but to the dispatch's test number, and without the panel.

The panel's number, its location and its dispatch's trunks are those of a 112 call; the INVITE is marked as a test. It
takes no lock and no lease, so that no visitor notices. Answered by anybody it has passed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import attrs
import trio
from attrs import frozen

from actors.duty_desk import Kind, State
from actors.sos_course import Course, close_leg
from actors.sos_dial import Attempt, Verdict, await_answer, create
from actors.sos_world import SosWorld
from config import SosConfig
from crm.sos.panels import SosPanel
from crm.values.records import CallRecord, EntryKind, Outcome
from telephony.ari.channels import Leg

KIND = "sos_test"
HOLD_S = 3.0  # for which a test that was answered holds the line
RING_S = 30.0  # a test number that takes longer to answer does not
LIMIT_S = 75.0  # of a whole test
LEFT_S = 10  # after which Asterisk itself ends one whose node has died
WATCH_S = 0.2


@frozen
class Result:
    """What came of a test; `passed` None: it was not made, or given up for something that comes first."""

    passed: bool | None
    text: str


class TestCall(Course):
    """One test call. `run` carries it to its end; the panel itself has no part in it."""

    def __init__(self, world: SosWorld, panel: SosPanel, dispatch: str, number: str) -> None:
        dials = world.dispatches[dispatch].test_number
        record = CallRecord(
            secrets.token_hex(8),
            world.node,
            panel.sip_user,
            dials,
            started_at=time.time(),
            kind=KIND,
            number=number,
        )
        config = attrs.evolve(world.config, ring_s=min(world.config.ring_s, RING_S))
        super().__init__(attrs.evolve(world, config=config), Kind.TEST, record)
        self._panel = panel
        self._dispatch = dispatch
        self._failed: list[str] = []  # of each attempt, why

    def stays(self) -> bool:
        return False

    async def run(self, why_not: Callable[[], str]) -> Result:
        """Call; given up as soon as `why_not` says why it is to be."""
        outcome, result = Outcome.STOPPED, Result(None, "")

        async def watch() -> None:
            nonlocal outcome, result
            while not (why := why_not()):  # noqa: ASYNC110 - nobody tells
                await trio.sleep(WATCH_S)
            outcome, result = Outcome.PREEMPTED, Result(None, why)
            nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                with self.mailbox.owned():
                    result = await self._carry()
                outcome = Outcome.TALKED if result.passed else Outcome.UNREACHABLE
                nursery.cancel_scope.cancel()
        except Exception:
            outcome = Outcome.FAILED
            raise
        finally:
            self.page.close(outcome, result.text)
        return result

    async def _carry(self) -> Result:
        self.page.about(self._panel)
        self.page.note(EntryKind.FOUND, address=self._panel.address)
        self.page.show(State.CALLING, dispatch=self._dispatch)
        with trio.move_on_after(LIMIT_S) as limit:
            for attempt in self.over_trunks(self._dispatch, self.record.dialled):
                if answered := await self._try(attempt):
                    return Result(True, answered)
        if limit.cancelled_caught:
            self._failed.append(f"given up after {LIMIT_S:g} s")
        return Result(False, "; ".join(self._failed) or f"[dispatch.{self._dispatch}] has no trunks")

    async def _try(self, attempt: Attempt) -> str:
        """How it was answered; "": it was not."""
        world, page, panel = self.world, self.page, self._panel
        began = trio.current_time()
        leg = self.new_leg("sos")
        record = page.leg(leg, "dispatch", attempt.trunk)
        try:
            async with leg:
                entity = f"pres:{panel.sip_user}@{panel.domain or 'teledom'}"
                create(leg, attempt, world.location(panel), entity, test=True)
                page.note(EntryKind.INVITE, leg.id, account=attempt.trunk)
                page.show(State.CALLING, trunk=attempt.trunk)
                verdict = await await_answer(
                    world,
                    page,
                    leg,
                    attempt,
                    self.record.number,
                    self.receive,
                    stop=lambda: False,
                    on_ring=lambda: page.show(State.RINGING),
                    blame=False,
                )
                if verdict is Verdict.ANSWERED:
                    after_ms = (trio.current_time() - began) * 1000
                    await self._hold(leg, attempt.trunk)
                    return f"answered over {attempt.trunk} after {after_ms:.0f} ms, {self._told(attempt)}"
        finally:
            if record.ended_at is None:
                close_leg(record, leg)
        self.refused_location = verdict is Verdict.NO_LOCATION
        self._failed.append(f"{attempt.trunk}: {_why(verdict, leg, world.config)}")
        return ""

    async def _hold(self, leg: Leg, trunk: str) -> None:
        self.record.answered_at, self.record.answered_by = time.time(), trunk
        self.page.show(State.TALKING)
        leg.set_variable("TIMEOUT(absolute)", str(LEFT_S))
        with trio.move_on_after(HOLD_S):
            while not leg.gone:
                await self.receive()

    def _told(self, attempt: Attempt) -> str:
        """What the dispatch was told of where the panel is."""
        location = self.world.location(self._panel)
        if not attempt.located:
            return "without a location, as the trunk takes none"
        if location.is_default:
            return (
                "with no location but its city"
                if location.civic.city
                else "without a location, as none is known"
            )
        return "with its location"


def _why(verdict: Verdict, leg: Leg, config: SosConfig) -> str:
    """Why an attempt was not answered."""
    words = f"{f'SIP {leg.tech_cause}' if leg.tech_cause else f'cause {leg.cause}'} {leg.why}".rstrip()
    match verdict:
        case Verdict.SILENT:
            return f"no sign of life in {config.trunk_s:g} s"
        case Verdict.NO_ANSWER:
            return f"it rang for {config.ring_s:g} s, and nobody answered"
        case Verdict.NO_LOCATION:
            return f"refused with a location ({words})"
        case Verdict.BUSY:
            return f"busy ({words})"
        case _:
            return f"refused ({words})"
