"""The course of a visitor's call: from the button to the record of what happened.

It runs in the nursery of its panel's actor, holds the panel's lock while it lasts, and owns the panel's channel, the
bridge and the fan-out. Everything that it learns comes through its one mailbox: events of its two legs, and what the
fan-out tells. The panel hears ringing before anything else is asked. Whatever ends it (a hangup, a limit, a second call,
a bug, the node's stop) leaves through the same context managers, which give everything back.
"""

from __future__ import annotations

import time
from hashlib import blake2b

import structlog
import trio
from attrs import frozen

from actors.account_fanout import AccountFanout, Answered, Fanout, NobodyCame
from actors.actor import Mailbox
from actors.domophone import Hold, Pressed, Talk
from actors.journal import CallLog, Journal
from actors.talk import REFUSALS, CallMailbox, Ends, listen, say_why
from config import CallConfig, Ringing
from crm.directory.directory import Directory, DirectoryAway, FlatInfo, Lookup, PanelInfo
from crm.values.records import CallRecord, EntryKind, LegEnd, LegRecord, Outcome
from metrics import CALLS, RING_SECONDS, TALK_SECONDS
from restarts import divide
from telephony.ari.bridges import Bridge
from telephony.ari.channels import Leg, LegEvent, Refused
from telephony.ari.client import Ari
from telephony.ari.errors import RequestFailed
from telephony.ari.events import (
    ChannelDestroyed,
    StasisEnd,
)
from telephony.push.interface import PushProvider

DOOR_S = 1.5

log = structlog.get_logger("visitor")


@frozen
class World:
    """What a visitor's call works with."""

    node: str
    config: CallConfig
    ari: Ari
    directory: Directory
    journal: Journal
    push: PushProvider


def call_id_of(channel_id: str) -> str:
    """The id of the call that a panel's channel makes: the same for every node that looks, before and after a restart."""
    return blake2b(channel_id.encode(), digest_size=8).hexdigest()


def lose_legs(record: CallRecord, *but: str) -> None:
    """Say of a record's open legs, but for these channels, that nobody saw their end."""
    for leg in record.legs:
        if leg.end is None and leg.channel not in but:
            leg.end = LegEnd.LOST


class VisitorCall:
    """One call. `run` carries it to its end."""

    def __init__(self, world: World, sip_user: str, pressed: Pressed, hold: Hold) -> None:
        self._world = world
        self._pressed = pressed
        self._hold = hold
        call_id = call_id_of(pressed.channel_id)
        # All state, changed by `run`'s task only:
        self._mailbox: CallMailbox = Mailbox(f"call {call_id}", 512)
        if pressed.record is not None:
            self._log: CallLog = world.journal.resume(pressed.record)
        else:
            self._log = world.journal.open(
                CallRecord(call_id, world.node, sip_user, pressed.dialled, started_at=time.time())
            )
        self._record = self._log.record
        self._panel_record = LegRecord(pressed.channel_id, "panel", invited_at=time.time())
        self._ended_by = ""
        self._tone = ""  # a ring tone that plays until it is stopped, for a panel that wants 183

    async def run(self) -> None:
        """Carry the call; whatever happens, its record is closed with how it ended."""
        note = self._log.note
        if self._pressed.record is None:
            note(EntryKind.BUTTON, panel=self._record.panel, dialled=self._record.dialled)
            self._record.legs.append(self._panel_record)
        else:
            note(
                EntryKind.RECOVERED,
                how="the talk goes on" if self._pressed.talk else "the phones are rung again",
            )
            self._panel_record = next(
                (leg for leg in self._record.legs if leg.role == "panel"), self._panel_record
            )
            talk = self._pressed.talk
            lose_legs(self._record, self._panel_record.channel, talk.leg_id if talk else "")
        outcome = Outcome.FAILED
        panel: Leg | None = None
        try:
            lane = self._world.ari.pick_lane()
            panel = Leg(self._world.ari, lane, self._pressed.channel_id, self._deliver, inbound=True)
            with self._mailbox.owned():
                async with panel:
                    outcome = await self._carry(panel)
        except BaseException as error:
            if divide(error)[0] is None:  # nothing but cancellations: it was made to end
                outcome = self._hold.ending
            raise
        finally:
            self._close(outcome, panel)

    def _deliver(self, leg: Leg, event: LegEvent) -> None:
        self._mailbox.tell((leg, event))

    def _refused(self, refused: Refused) -> None:
        self._mailbox.tell(refused)

    def _close(self, outcome: Outcome, panel: Leg | None) -> None:
        record, leg = self._record, self._panel_record
        now = time.time()
        record.ended_at, record.outcome = now, outcome
        leg.ended_at = now
        if panel is not None:
            leg.cause = panel.cause or (panel.dropped if isinstance(panel.dropped, int) else None)
            leg.end = _panel_end(panel, outcome)
        self._log.note(EntryKind.END, outcome=outcome.value, by=self._ended_by)
        self._log.close()
        CALLS.labels(outcome.value).inc()
        if record.answered_at is not None:
            RING_SECONDS.observe(record.answered_at - record.started_at)
            TALK_SECONDS.observe(now - record.answered_at)

    # --- the course ------------------------------------------------------------------------------------------

    async def _carry(self, panel: Leg) -> Outcome:
        if self._pressed.talk is not None:
            return await self._go_on(panel, self._pressed.talk)
        self._ring(panel, self._world.config.ringing)
        deadline = trio.current_time() + self._world.config.ring_s
        match await self._look_up():
            case None:
                refusal = Outcome.DIRECTORY_AWAY
            case Lookup(panel=None):
                refusal = Outcome.UNKNOWN_PANEL
            case Lookup(flat=None):
                refusal = Outcome.UNKNOWN_FLAT
            case Lookup(flat=FlatInfo(blocks=blocks, prompt=prompt)) if blocks:
                return await self._refuse(panel, Outcome.BLOCKED, prompt)
            case Lookup(panel=PanelInfo() as info, flat=FlatInfo(auto_open=True)) if info.door_digits:
                return await self._open_by_itself(panel, info)
            case Lookup(flat=FlatInfo(accounts=())):
                refusal = Outcome.NO_ACCOUNTS
            case Lookup(panel=PanelInfo() as info, flat=FlatInfo() as flat):
                if info.ringing is Ringing.PROGRESS_183 is not self._world.config.ringing:
                    self._ring(panel, Ringing.PROGRESS_183)
                return await self._call_flat(panel, info, flat, deadline)
        return await self._refuse(panel, refusal)

    def _ring(self, panel: Leg, ringing: Ringing) -> None:
        match ringing:
            case Ringing.RINGING_180:
                panel.ring()
            case Ringing.PROGRESS_183:
                panel.progress()
                self._tone = f"td-{self._record.call_id}-ring-1"
                panel.play("tone:ring", self._tone, self._world.config.language)

    def _hush(self, panel: Leg) -> None:
        """End the ring tone: until then Asterisk keeps an answer or a prompt waiting behind it."""
        if self._tone:
            panel.stop_playing(self._tone)
            self._tone = ""

    async def _look_up(self) -> Lookup | None:
        """What the directory says; None when it can't say anything."""
        record = self._record
        try:
            lookup = await self._world.directory.look_up(
                record.panel, record.dialled, self._world.config.directory_deadline_ms / 1000
            )
        except DirectoryAway as away:
            self._log.note(EntryKind.NOT_FOUND, why=str(away))
            return None
        if lookup.panel is not None:
            record.address, record.domophone = lookup.panel.address, lookup.panel.mac
        if lookup.flat is None:
            why = "no such panel" if lookup.panel is None else "no such flat behind this panel"
            self._log.note(EntryKind.NOT_FOUND, why=why)
            return lookup
        flat = lookup.flat
        record.flat, record.flat_id = flat.number, flat.id
        record.address = flat.address or record.address
        found: dict[str, str | int | float] = {
            "address": record.address,
            "flat": flat.number,
            "accounts": len(flat.accounts),
            "phones": sum(len(account.phones) for account in flat.accounts),
        }
        if lookup.stale:
            found["stale"] = 1
        if flat.blocks:
            found["blocks"] = ", ".join(flat.blocks)
        self._log.note(EntryKind.FOUND, "", **found)
        return lookup

    async def _call_flat(self, panel: Leg, info: PanelInfo, flat: FlatInfo, deadline: float) -> Outcome:
        if panel.gone:
            self._ended_by = "panel"
            return Outcome.GAVE_UP
        world = self._world
        fanout = AccountFanout(
            Fanout(
                ari=world.ari,
                lane=panel.lane,
                push=world.push,
                log=self._log,
                config=world.config,
                panel_channel=panel.id,
                panel=info,
                flat=flat,
                deadline=deadline,
                first_leg=self._pressed.first_leg,
            ),
            self._mailbox.tell,
            self._deliver,
        )
        async with trio.open_nursery() as phones:
            phones.start_soon(fanout.run)
            answer = await self._await_answer(panel, deadline)
            if isinstance(answer, Answered):
                outcome = await self._talk(panel, answer.leg, answer.account, info.door_digits)
                phones.cancel_scope.cancel()
                return outcome
            phones.cancel_scope.cancel()
        return answer if answer is Outcome.GAVE_UP else await self._refuse(panel, answer)

    async def _await_answer(self, panel: Leg, deadline: float) -> Answered | Outcome:
        with trio.CancelScope(deadline=deadline):
            while True:
                for message in await self._mailbox.receive_all():
                    match message:
                        case Answered():
                            return message
                        case NobodyCame(outcome=outcome):
                            return outcome
                        case (Leg(), StasisEnd() | ChannelDestroyed()):
                            self._ended_by = "panel"
                            return Outcome.GAVE_UP
                        case (Leg(), Refused() as refused):
                            log.warning("Asterisk refused", call=self._record.call_id, what=str(refused))
        self._ended_by = "limit"
        return Outcome.RING_TIMEOUT

    async def _talk(self, panel: Leg, leg: Leg, account: str, door_digits: str) -> Outcome:
        self._record.answered_at, self._record.answered_by = time.time(), account
        self._panel_record.answered_at = self._record.answered_at
        bridge = Bridge(self._world.ari, panel.lane, f"td-{self._record.call_id}-bridge", self._refused)
        async with bridge:
            self._hush(panel)
            panel.answer()
            bridge.add(panel, leg)
            ends = Ends(panel, leg, account, door_digits)
            return await self._listen(ends, self._world.config.talk_s)

    async def _go_on(self, panel: Leg, talk: Talk) -> Outcome:
        """Take up a talk that went on while no node was there."""
        started = self._record.answered_at
        if started is None:
            started = self._record.answered_at = time.time()
        record = next((leg for leg in self._record.legs if leg.channel == talk.leg_id), None)
        if record is None:
            record = LegRecord(talk.leg_id, "account")
            self._record.legs.append(record)
        account = self._record.answered_by or record.account
        left = max(1.0, self._world.config.talk_s - (time.time() - started))
        leg = Leg(self._world.ari, panel.lane, talk.leg_id, self._deliver, up=True)
        try:
            async with (
                leg,
                Bridge(self._world.ari, panel.lane, talk.bridge_id, self._refused).adopt(),
            ):
                lookup = await self._look_up()
                door_digits = lookup.panel.door_digits if lookup and lookup.panel else ""
                return await self._listen(Ends(panel, leg, account, door_digits), left, bridged=True)
        finally:
            record.ended_at, record.cause = time.time(), leg.cause or None
            record.end = LegEnd.HUNG_UP if leg.dropped is None else LegEnd.DROPPED

    async def _listen(self, ends: Ends, limit_s: float, *, bridged: bool = False) -> Outcome:
        outcome, self._ended_by = await listen(self._mailbox, self._log, ends, limit_s, bridged=bridged)
        return outcome

    async def _open_by_itself(self, panel: Leg, info: PanelInfo) -> Outcome:
        """The flat's door is open for now: the panel's own digit opens it, and nobody is rung."""
        digit = info.door_digits[:1]
        self._hush(panel)
        panel.answer()
        try:
            await panel.send_dtmf(digit)
        except RequestFailed as error:
            if panel.gone:
                self._ended_by = "panel"
                return Outcome.GAVE_UP
            log.error("a door could not be opened", call=self._record.call_id, why=str(error))
            self._ended_by = "Asterisk"
            return Outcome.FAILED
        self._panel_record.answered_at = self._record.door_at = time.time()
        self._log.note(EntryKind.DOOR, digit=digit, by="auto-open")
        with trio.move_on_after(DOOR_S):
            while not panel.gone:
                await self._mailbox.receive_all()
        return Outcome.AUTO_OPENED

    async def _refuse(self, panel: Leg, outcome: Outcome, prompt: str = "") -> Outcome:
        """Say why nobody comes (by `prompt`, if there is one), and hang up with the cause that goes with it."""
        refusal = REFUSALS[outcome]
        self._hush(panel)
        language = self._world.config.language
        await say_why(self._mailbox, self._log, panel, refusal, language, prompt=prompt)
        panel.drop(refusal.cause)
        return outcome


def _panel_end(panel: Leg, outcome: Outcome) -> LegEnd:
    if not panel.gone and panel.dropped is None:
        return LegEnd.LOST
    if panel.dropped is not None:
        return LegEnd.DROPPED
    return LegEnd.CANCELLED if outcome is Outcome.GAVE_UP else LegEnd.HUNG_UP
