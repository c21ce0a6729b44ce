"""The course of a 112 call: from the panel's button to the dispatch, over whatever trunk gets there.

It runs in the nursery of its panel's actor, which it has from whatever was there before, and owns the panel's channel,
the legs to dispatches and the bridge. While the lease is being committed the trunk's channel is made. A call that the
node cannot carry (a bug, no trunk that takes it) is handed back to the dialplan, which dials the dispatch itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import attrs
import structlog
import trio
from attrs import frozen

from actors.domophone import Found, Hold, SosPressed
from actors.duty_desk import Alarm, Kind, State
from actors.sos_course import Course, close_leg
from actors.sos_dial import Attempt, Verdict, await_answer, create
from actors.sos_ring import Callee, ring
from actors.sos_world import FIND_S, SosWorld
from actors.talk import Ends, Refusal, say_why
from actors.visitor import call_id_of, lose_legs
from config import DEFAULT
from crm.sos.panels import SosPanel
from crm.values.records import CallRecord, EntryKind, Outcome
from restarts import divide
from said import Says, said
from telephony.ari.channels import Leg

BUSY = Refusal("sos-busy", "busy", 17)
AGAIN = Refusal("sos-again", "congestion", 34)
DUTY = Refusal("sos-duty", "congestion", 34)
TONE = "tone:ring"
GIVE_BACK_S, HUSH_AGAIN_S = 2.0, 0.2
PAUSE = Attempt("", "", "", located=False)  # between two rounds of trunks

log = structlog.get_logger("sos")


@frozen
class Again:
    """SOS was pressed again while this call stands."""

    pressed: SosPressed


class SosCall(Course):
    """One call. `run` carries it to its end."""

    def __init__(self, world: SosWorld, sip_user: str, pressed: SosPressed, hold: Hold) -> None:
        record = pressed.record or CallRecord(
            call_id_of(pressed.channel_id),
            world.node,
            sip_user,
            "112",
            started_at=time.time(),
            kind=Kind.SOS.value,
            recording=pressed.recording,
        )
        resumed = pressed.record is not None
        super().__init__(world, Kind.SOS, record, resumed=resumed, first_leg=pressed.first_leg)
        self._pressed = pressed
        self._hold = hold
        self._panel = self.inbound(pressed.channel_id)
        self._panels = AsyncExitStack()  # its channels: a second press brings another
        self._info = SosPanel(sip_user, "", "", pressed.city)
        self._dispatch = DEFAULT
        self._lent: str | None = None
        self._tone = ""
        self._tones = sum(entry.data.get("media") == TONE for entry in record.entries)
        self._was_busy = False  # in this round

    def stays(self) -> bool:
        return super().stays() and self._hold.ending is Outcome.STOPPED

    async def run(self) -> None:
        """Carry the call; whatever happens, its record is closed with how it ended, unless it goes on."""
        self._begin()
        outcome = Outcome.FAILED
        try:
            with self.mailbox.owned():
                async with self._panels:
                    await self._panels.enter_async_context(self._panel)
                    try:
                        outcome = await self._carry()
                    except BaseException as error:
                        if (
                            divide(error)[0] is not None
                        ):  # a bug must not cost the call: the dialplan has it now
                            await self._give_back()
                        raise
        except BaseException as error:
            if divide(error)[0] is None:
                outcome = self._hold.ending
            raise
        finally:
            self._hold.on_press = None
            if not self.stays():
                self._close(outcome)

    def _begin(self) -> None:
        self._hold.on_press = self._press
        while self._hold.presses:
            self._press(self._hold.presses.pop(0))
        if self._pressed.record is None:
            self.page.note(EntryKind.BUTTON, panel=self.record.panel, dialled=self.record.dialled)
        else:
            found = self._pressed.found
            self.page.note(EntryKind.RECOVERED, how="the call goes on" if found else "112 is called again")
            lose_legs(self.record, self._pressed.channel_id, found.leg_id if found else "")
        self.page.leg(self._panel, "panel", "")

    def _press(self, pressed: SosPressed) -> None:
        self.mailbox.tell(Again(pressed))

    def _close(self, outcome: Outcome) -> None:
        desk, record = self.world.desk, self.record
        close_leg(self.page.leg(self._panel, "panel", ""), self._panel)
        if self._lent and not self._info.own_number:
            self.world.pools[self._dispatch].ended(self._lent, record.call_id)
        if outcome in (Outcome.FAILED, Outcome.UNREACHABLE):
            place = record.address or record.panel
            failed = said(Says.CALL_FAILED, place=place, outcome=outcome.value, call=record.call_id)
            desk.alarm(Alarm.CALL_FAILED, record.panel, failed, lasting_s=self.world.config.hold_s)
        elif outcome is Outcome.TALKED:
            desk.over(Alarm.CALL_FAILED, record.panel, "its next call got through")
        self.page.close(outcome)

    # --- the course ------------------------------------------------------------------------------------------

    async def _carry(self) -> Outcome:
        if self._pressed.stood:  # a tone that still plays would hold up all that is asked of the channel
            self._tones += 1
            for number in range(1, self._tones + 1):
                self._panel.stop_playing(self._tone_id(number))
        await self._know()
        if self._pressed.found is not None:
            outcome = await self._go_on()
            if outcome is not None:
                return outcome
        self._panel.progress()
        self._ring()
        for attempt in self._attempts():
            outcome = await (self._pause() if attempt is PAUSE else self._try(attempt))
            if outcome is not None:
                return outcome
        return await self._last_resort()

    async def _know(self) -> None:
        """What is known of the panel, and so whom to call."""
        world, page = self.world, self.page
        found = await world.register.find(self._info.sip_user, FIND_S)
        if found is not None:
            self._info = found
            page.about(found)
            page.note(EntryKind.FOUND, address=found.address)
        else:
            page.note(EntryKind.NOT_FOUND, why="no such panel in the node's copy, nor in the database")
        if not self._info.fias and self._pressed.city:  # what Kamailio knows
            region, city = world.register.area(self._pressed.city)
            self._info = attrs.evolve(self._info, fias=self._pressed.city, region=region, city=city)
        self._dispatch = world.dispatch_of(self._info.fias)
        about = self._info.sip_user
        if self._dispatch == DEFAULT:
            why = Says.CITY_UNSERVED if self._info.fias else Says.CITY_UNKNOWN
            world.desk.alarm(Alarm.CITY_UNKNOWN, about, said(why, panel=about))
        else:
            world.desk.over(Alarm.CITY_UNKNOWN, about)
        page.show(State.CALLING, dispatch=self._dispatch)

    async def _number(self) -> str:
        """The number that the dispatch is to see: lent once, and committed, before anybody is called."""
        if self._lent is None:
            began = trio.current_time()
            self._lent, why = await self.world.lend(self._dispatch, self._info, self.record.call_id)
            self.record.number = self._lent
            took_ms = round((trio.current_time() - began) * 1000, 1)
            self.page.note(EntryKind.LENT, number=self._lent, why=why, took_ms=took_ms)
        return self._lent

    def _attempts(self) -> Iterator[Attempt]:
        """Whom to try, in which order: the city's trunks, and the default dispatch's when none of them can be used.

        While the city's dispatch is there, but busy, it is tried again before the default one is called.
        """
        rounds, dispatches = self.world.config.rounds, self.world.dispatches
        for n in range(1, rounds + 1):
            self._was_busy = False
            yield from self.over_trunks(self._dispatch, dispatches[self._dispatch].number)
            if self._dispatch != DEFAULT and (not self._was_busy or n == rounds):
                yield from self.over_trunks(DEFAULT, dispatches[DEFAULT].number)
            if n < rounds:
                yield PAUSE

    async def _try(self, attempt: Attempt) -> Outcome | None:
        """One attempt; None: it did not get through."""
        world, page = self.world, self.page
        async with self.new_leg("sos") as leg:
            entity = f"pres:{self._info.sip_user}@{self._info.domain or 'teledom'}"
            create(leg, attempt, world.location(self._info), entity, originator=self._panel.id)
            await self._number()
            page.note(EntryKind.INVITE, leg.id, account=attempt.trunk)
            page.show(State.CALLING, dispatch=attempt.dispatch, trunk=attempt.trunk)
            verdict = await self._answer(leg, attempt)
            if self.refused_location and verdict in (Verdict.ANSWERED, Verdict.BUSY, Verdict.NO_ANSWER):
                await world.trunks.refuses_location(attempt.trunk)
            if verdict is Verdict.ANSWERED:
                return await self._talk(leg, attempt.trunk)
        if verdict is Verdict.STOPPED:
            return self._gave_up()
        self._was_busy = self._was_busy or verdict is Verdict.BUSY
        self.refused_location = verdict is Verdict.NO_LOCATION
        return None

    async def _answer(self, leg: Leg, attempt: Attempt, *, dialled: bool = False) -> Verdict:
        return await await_answer(
            self.world,
            self.page,
            leg,
            attempt,
            self._lent or "",
            self.receive,
            stop=self._is_gone,
            on_ring=lambda: self.page.show(State.RINGING),
            dialled=dialled,
        )

    def _is_gone(self) -> bool:
        return self._panel.gone

    def _gave_up(self) -> Outcome:
        self.page.by = "panel"
        return Outcome.GAVE_UP

    async def _pause(self) -> Outcome | None:
        """Between two rounds: the person hears what goes on."""
        if self._was_busy:
            self.page.show(State.BUSY)
        await self._say(BUSY if self._was_busy else AGAIN)
        with trio.move_on_after(self.world.config.pause_s):
            while not self._panel.gone:
                await self.receive()
        if self._panel.gone:
            return self._gave_up()
        self._ring()
        return None

    async def _last_resort(self) -> Outcome:
        """No dispatch could be reached: the duty desk; and if that does not answer, the dialplan tries once more."""
        self.page.show(State.CALLING, "no dispatch can be reached: the duty desk is called")
        await self._say(DUTY)
        if self.world.duty and not self._panel.gone:
            self._ring()
            async with self.new_leg("duty") as leg:
                duty = Callee("duty", self.world.duty, self.world.config.ring_s)
                caller = await self._number() or self._info.sip_user
                if await ring(self.world, self.page, leg, duty, caller, self.receive, self._is_gone):
                    return await self._talk(leg, duty.account)
        self._hush()
        if self._panel.gone:
            return self._gave_up()
        await self._give_back()
        return Outcome.UNREACHABLE

    async def _talk(self, leg: Leg, who: str, found: Found | None = None) -> Outcome:
        self._hush()
        role = "duty" if who == self.world.duty else "dispatch"
        return await self.talk(Ends(self._panel, leg, who, ""), role, found)

    async def _go_on(self) -> Outcome | None:
        """Take up the leg that stood while no node was there."""
        found = self._pressed.found
        assert found is not None
        await self._number()  # the same again: so the pool's actor knows of the call
        leg = self.adopted(found.leg_id, up=found.up)
        trunk = next((each.account for each in self.record.legs if each.channel == leg.id), "")
        async with leg:
            if not found.up:
                attempt = Attempt(self._dispatch, trunk, "", located=False)
                verdict = await self._answer(leg, attempt, dialled=True)
                if verdict is Verdict.STOPPED:
                    return self._gave_up()
                if verdict is not Verdict.ANSWERED:
                    return None
            return await self._talk(leg, trunk, found)

    # --- the panel -------------------------------------------------------------------------------------------

    async def other(self, message: object) -> None:
        match message:
            case Again(pressed=pressed):
                await self._press_again(pressed)
            case _:
                await super().other(message)

    async def _press_again(self, pressed: SosPressed) -> None:
        """The panel's new channel takes the place of the old one, whose end was lost; the dispatch's leg stays."""
        old, self._panel = self._panel, self.inbound(pressed.channel_id)
        await self._panels.enter_async_context(self._panel)
        self.page.note(EntryKind.PRESSED_AGAIN, self._panel.id)
        close_leg(self.page.leg(old, "panel", ""), old)
        self.page.leg(self._panel, "panel", "")
        if self.ends is not None and self.bridge is not None:
            self._panel.answer()
            self.bridge.add(self._panel)
            self.ends.panel = self._panel
        else:
            self._panel.progress()
            self._ring()
        old.drop()

    def _ring(self) -> None:
        """A ring tone, until it is hushed."""
        self._tones += 1
        self._tone = self._tone_id(self._tones)
        self.page.note(EntryKind.PROMPT, media=TONE)
        self._panel.play(TONE, self._tone, self.world.call.language)

    def _tone_id(self, number: int) -> str:
        return f"td-{self.record.call_id}-ring-{number}"

    async def _give_back(self) -> None:
        """Leave the panel's channel to the dialplan. Behind a tone it would wait there for ever: so that is ended again
        and again."""
        self._panel.leave()
        with trio.move_on_after(GIVE_BACK_S, shield=True):
            while not self._panel.gone:
                self._panel.stop_playing(self._tone_id(self._tones))
                with trio.move_on_after(HUSH_AGAIN_S):
                    await self._panel.wait_gone()

    def _hush(self) -> None:
        if self._tone:
            self._panel.stop_playing(self._tone)
            self._tone = ""

    async def _say(self, what: Refusal) -> None:
        self._hush()
        await say_why(
            self.mailbox, self.page.log, self._panel, what, self.world.call.language, other=self.other
        )
