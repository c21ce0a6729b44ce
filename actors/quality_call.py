"""The course of one quality call: a flat's handset is called through its panel, hears two prompts, and is listened to.

It borrows the panel's lock, which it never holds against anybody: when a visitor, 112 or a call-back wants the panel, the
call is cancelled at once, and its legs are hung up on the way out. The call itself is the dialplan's (obzvon_domophonov,
ari_apps), which records it; the channel to the panel comes into our application with its TASK_ID when the panel has
answered. What was heard is measured later, without the lock.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import msgspec
import structlog
import trio
from attrs import Factory, define, field, frozen

from actors.actor import Mailbox
from actors.domophone import Claim, DomophoneMessage, borrowed
from actors.journal import CallLog, Journal
from actors.keyed import KeyedSupervisor
from actors.quality_look import Look, PanelInCall, PanelLooks
from config import CallConfig, QualityConfig
from crm.values.quality import CallType, Task
from crm.values.records import CallRecord, EntryKind, LegEnd, LegRecord, Outcome
from telephony.ari.channels import Leg, LegEvent, Refused
from telephony.ari.client import Ari
from telephony.ari.errors import AriError
from telephony.ari.events import ChannelDestroyed, PlaybackFinished, StasisEnd
from telephony.ari.lane import Request
from telephony.recording import Ended

APPLICATION, TEST_APPLICATION = "TdCallerQuality", "TdCallerQualityTest"
ENTRY = "Local/start_call@obzvon_domophonov/n"
PROMPTS = ("quality-hello", "quality-again")
GOODBYE = "quality-bye"
PROMPT_S = 15.0  # a prompt is over by then
TALK_S = 120.0  # all of the call after the answer
STATISTICS_S = 1.0
FOUND_S = 3.0  # beside `answer_s`, until Asterisk says what became of the call
OURS = "td-"  # TASK_IDs of calls that this node makes

log = structlog.get_logger("quality")


@frozen
class Played:
    """A prompt, in seconds from the start of the recording."""

    name: str
    began_s: float
    ended_s: float


@frozen
class RtpStatistics:
    """What Asterisk counted of what came from the panel: packets, packets lost, jitter in its own unit (seconds)."""

    rxcount: int = 0
    rxploss: int = 0
    rxjitter: float = 0.0


@define
class Called:
    """What a call came to. `recording` is a file under Asterisk's spool folder of recordings, "" for none."""

    ended: Ended
    cause: int = 0
    recording: str = ""
    played: list[Played] = Factory(list)
    listened_s: float = 0.0  # from the start of the recording to its end
    rtp: RtpStatistics | None = None
    look: Look = Factory(Look)


@frozen
class CameIn:
    """The panel has answered: its channel stands in our application."""

    channel_id: str
    recording: str


@frozen
class QualityWorld:
    """What quality calls work with."""

    node: str
    config: QualityConfig
    call: CallConfig
    ari: Ari
    domophones: KeyedSupervisor[str, DomophoneMessage]
    journal: Journal
    looks: PanelLooks


class NotNow(Exception):
    """The panel is not to be had, or was taken by what comes first: the task waits for its next turn."""


_Message = CameIn | tuple[Leg, LegEvent]


@define(eq=False)
class QualityCall:
    """One call of `task`. `run` carries it; `came_in` is told by the router. `came`: somebody else's, which is there."""

    world: QualityWorld
    task: Task
    call_id: str
    came: CameIn | None = None
    record: CallRecord = field(init=False)
    _page: CallLog = field(init=False)
    _mailbox: Mailbox[_Message] = field(init=False)

    def __attrs_post_init__(self) -> None:
        task = self.task
        self.record = CallRecord(
            self.call_id,
            self.world.node,
            task.panel,
            task.dialled,
            started_at=time.time(),
            kind="quality",
            address=task.address,
            domophone=task.domophone,
            flat=task.flat,
            flat_id=task.flat_id,
        )
        self._mailbox = Mailbox(f"quality {self.call_id}", 256)

    @property
    def task_id(self) -> str:
        """The TASK_ID that the dialplan gives back."""
        return OURS + self.call_id

    @property
    def _application(self) -> str:
        return TEST_APPLICATION if self.task.kind is CallType.TEST else APPLICATION

    def came_in(self, came: CameIn) -> None:
        self._mailbox.tell(came)

    async def run(self) -> Called:
        """Carry the call to its end. Raises NotNow."""
        world = self.world
        mailbox = world.domophones.ensure(self.task.panel)
        idle_s = world.config.test_idle_s if self.task.kind is CallType.TEST else world.config.idle_s
        if self.came is not None:
            idle_s = 0.0  # the panel has answered already
        called, why = None, "the panel was taken by a call that comes first"
        async with borrowed(mailbox, Claim.QUALITY, idle_s=idle_s) as loan:
            if loan is None:
                why = "the panel has a call, or had one a moment ago"
            else:
                called, why = await self._at_panel()
        if called is None:
            raise NotNow(why)
        return called

    async def _at_panel(self) -> tuple[Called | None, str]:
        """The panel is ours: look at it, and call."""
        try:
            look = await self.world.looks.look(self.task) if self.came is None else Look()
        except PanelInCall:
            return None, "the panel says that it has a call"
        called = await self._journaled()
        called.look = look
        return called, ""

    async def _journaled(self) -> Called:
        self._page = self.world.journal.open(self.record)
        self._page.note(EntryKind.FOUND, address=self.task.address, flat=self.task.flat)
        outcome = Outcome.PREEMPTED  # by what cancels it
        try:
            with self._mailbox.owned():
                called = await self._carry()
            outcome = _OUTCOMES[called.ended]
            return called
        except Exception:
            outcome = Outcome.FAILED
            raise
        finally:
            self.record.ended_at, self.record.outcome = time.time(), outcome
            self._page.note(EntryKind.END, outcome=outcome.value, by="")
            self._page.close()

    # --- the course ------------------------------------------------------------------------------------------

    async def _carry(self) -> Called:
        async with AsyncExitStack() as legs:
            came = self.came
            if came is None:
                carrier = await legs.enter_async_context(self._leg(f"td-{self.call_id}-quality-1"))
                self._call(carrier)
                came = await self._answer(carrier)
                if came is None:
                    return self._unanswered(carrier)
            panel = await legs.enter_async_context(self._leg(came.channel_id, inbound=True))
            return await self._talk(panel, came)

    def _leg(self, channel_id: str, *, inbound: bool = False) -> Leg:
        ari = self.world.ari
        return Leg(
            ari, ari.pick_lane(), channel_id, self._deliver, inbound=inbound, application=self._application
        )

    def _deliver(self, leg: Leg, event: LegEvent) -> None:
        self._mailbox.tell((leg, event))

    def _call(self, carrier: Leg) -> None:
        """The dialplan's Dial() is behind a Local channel: its first half is ours, and never answers."""
        task, config = self.task, self.world.config
        self._note_leg(carrier.id)
        carrier.originate(
            ENTRY,
            self._application,
            arguments="carrier",
            timeout_s=round(config.answer_s + FOUND_S + TALK_S),
            variables={
                "SIP_ACC": f"sip:{task.panel}@{task.domain}",
                "FLAT_NUM": task.flat,
                "PANEL_NUM": task.dialled,
                "DOMOPHONE": task.domophone,
                "TASK_ID": self.task_id,
                "TYPE": str(task.kind.value),
                "ANSWER_S": str(round(config.answer_s)),
            },
        )
        self._page.note(EntryKind.INVITE, carrier.id, account=f"{task.panel}@{task.domain}")

    def _note_leg(self, channel_id: str) -> None:
        self.record.legs.append(LegRecord(channel_id, "panel", self.task.panel, invited_at=time.time()))

    async def _answer(self, carrier: Leg) -> CameIn | None:
        """Wait for the panel's answer."""
        with trio.move_on_after(self.world.config.answer_s + FOUND_S):
            while not carrier.gone:
                for message in await self._mailbox.receive_all():
                    if isinstance(message, CameIn):
                        return message
        return None

    def _unanswered(self, carrier: Leg) -> Called:
        leg = self.record.legs[-1]
        leg.ended_at, leg.cause = time.time(), carrier.cause or None
        ended = _ENDS.get(carrier.cause, Ended.UNREACHABLE) if carrier.gone else Ended.NOBODY
        leg.end = _LEG_ENDS[ended]
        self._page.note(
            EntryKind.LEG_ENDED, carrier.id, account=self.task.panel, end=leg.end.value, cause=carrier.cause
        )
        return Called(ended, carrier.cause)

    async def _talk(self, panel: Leg, came: CameIn) -> Called:
        """Two prompts, each followed by silence to speak into, and a goodbye."""
        began, config = trio.current_time(), self.world.config
        called = Called(Ended.ANSWERED, recording=came.recording)
        self.record.recording, self.record.answered_at = came.recording, time.time()
        self.record.answered_by = self.task.panel
        if not self.record.legs:
            self._note_leg(panel.id)
        leg = self.record.legs[-1]
        leg.answered_at = time.time()
        self._page.note(EntryKind.ANSWERED, panel.id, account=self.task.panel)
        with trio.move_on_after(TALK_S):
            for number, name in enumerate((*PROMPTS, GOODBYE), 1):
                start_s = trio.current_time() - began
                await self._play(panel, f"td-{self.call_id}-prompt-{number}", name)
                called.played.append(Played(name, start_s, trio.current_time() - began))
                if name != GOODBYE:
                    panel.silence()
                    await self._until_gone(panel, config.listen_s)
                if panel.gone:
                    break
            called.rtp = await self._statistics(panel)
        called.listened_s = trio.current_time() - began
        leg.ended_at = time.time()
        leg.end = LegEnd.HUNG_UP if panel.gone else LegEnd.DROPPED
        return called

    async def _play(self, panel: Leg, playback_id: str, name: str) -> None:
        media = f"sound:teledom/{name}"
        self._page.note(EntryKind.PROMPT, panel.id, media=media)
        panel.play(media, playback_id, self.world.call.language)
        with trio.move_on_after(PROMPT_S):
            while not panel.gone:
                for message in await self._mailbox.receive_all():
                    match message:
                        case (Leg(), PlaybackFinished(playback=playback)) if playback.id == playback_id:
                            return
                        case (Leg(), Refused() as refused):
                            log.warning("a prompt could not be played", call=self.call_id, why=str(refused))
                            return
                        case (Leg() as leg, ChannelDestroyed() | StasisEnd()) if leg is panel:
                            return

    async def _until_gone(self, panel: Leg, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while not panel.gone:
                await self._mailbox.receive_all()

    async def _statistics(self, panel: Leg) -> RtpStatistics | None:
        """What Asterisk counted; it forgets with the channel."""
        if panel.gone:
            return None
        with trio.move_on_after(STATISTICS_S):
            try:
                reply = await panel.lane.ask(Request("GET", f"channels/{panel.id}/rtp_statistics"))
                return msgspec.json.decode(reply.message_body, type=RtpStatistics)
            except (AriError, msgspec.MsgspecError) as error:
                log.info("a call's packets were not counted", call=self.call_id, why=str(error))
        return None


# Q.850, as the dialplan hangs up with it. 19 is 480, the panel's own: nobody lifted the handset.
_ENDS = {17: Ended.BUSY, 18: Ended.NOBODY, 19: Ended.NOBODY, 0: Ended.NOBODY, 16: Ended.NOBODY}
_LEG_ENDS = {
    Ended.NOBODY: LegEnd.NO_ANSWER,
    Ended.BUSY: LegEnd.BUSY,
    Ended.UNREACHABLE: LegEnd.UNREACHABLE,
}
_OUTCOMES = {
    Ended.ANSWERED: Outcome.TALKED,
    Ended.NOBODY: Outcome.NOBODY_ANSWERED,
    Ended.BUSY: Outcome.DECLINED,
    Ended.UNREACHABLE: Outcome.UNREACHABLE,
}
