"""`Leg`: a channel of ours, as an async context manager that knows its id before it asks.

Inside `async with`, events of the channel reach the leg (by `Ari.legs`) and, through `deliver`, whoever owns the call.
A leg's `state`, `cause` and `tech_cause` are what Asterisk said last, and only the reader of events writes them.
Leaving gives back: what is not gone yet is hung up, and its end is waited for, `GONE_S` at most. Nothing is awaited in
between: requests go out one behind the other over the call's lane, and what Asterisk refuses comes back as `Refused`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import TracebackType
from urllib.parse import quote

import trio
from attrs import frozen

from telephony.ari.client import Ari
from telephony.ari.errors import RequestFailed
from telephony.ari.events import (
    Channel,
    ChannelDestroyed,
    ChannelEvent,
    ChannelStateChange,
    Dial,
    PlaybackFinished,
    Reply,
    StasisEnd,
    StasisStart,
)
from telephony.ari.lane import Lane, Request

GONE_S = 2.0
NOT_THERE = 404
FAILED = 500
STOP_TRIES = 100


class LegState(Enum):
    """How far a leg is: asked for, ringing at the far end, answered and ours, or ended."""

    ASKED = "asked"
    RINGING = "ringing"
    UP = "up"
    GONE = "gone"


class DropReason(Enum):
    """What the far end is told: in a CANCEL or a BYE, as Q.850 and, for the second, `Reason: SIP;cause=200`."""

    NORMAL = "normal"
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    LEFT = "left"  # nothing: the dialplan has it


@frozen
class Refused:
    """Asterisk refused a request for this leg; `status` is an HTTP status, 0 when no answer came."""

    what: str
    status: int
    reason: str


LegEvent = ChannelEvent | PlaybackFinished | Refused
Deliver = Callable[["Leg", LegEvent], None]


class Leg:
    """One channel of a call, made with its id: asked of Asterisk by `originate` or by `create` and `dial`, or taken over.

    `inbound`: one that came in by itself; `up`: one of ours that was answered already. Its events are sent to
    `application`. While `stay` says so, leaving it does not hang up: the channel is left to the node that comes next.
    """

    def __init__(
        self,
        ari: Ari,
        lane: Lane,
        channel_id: str,
        deliver: Deliver,
        *,
        inbound: bool = False,
        up: bool = False,
        application: str = "TdCall",
        stay: Callable[[], bool] | None = None,
    ) -> None:
        self.application = application
        self.id = channel_id
        self.deliver = deliver
        self.inbound = inbound
        self.lane = lane
        # Written by the reader of events only:
        self.state = LegState.UP if inbound or up else LegState.ASKED
        self.confirmed = inbound or up  # Asterisk has had it
        self.cause = 0
        self.tech_cause = 0
        self.why = ""  # Asterisk's words for the cause
        # Written by the owner:
        self.dropped: DropReason | int | None = None
        self._created = False  # by `create`: in its application before it is answered
        self._stay = stay
        self._ari = ari
        self._gone = trio.Event()
        self._path = f"channels/{quote(channel_id, safe='')}"

    @property
    def gone(self) -> bool:
        return self.state is LegState.GONE

    async def wait_gone(self) -> None:
        """Wait until it is ours no more: ended, or back in the dialplan."""
        await self._gone.wait()

    async def __aenter__(self) -> Leg:
        if self.id in self._ari.legs:
            raise ValueError(f"the channel {self.id} has an owner already")
        self._ari.legs[self.id] = self
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._stay is not None and self._stay():
                return
            self.drop()
            if self.state is not LegState.GONE:
                with trio.move_on_after(GONE_S, shield=True):
                    await self._gone.wait()
        finally:
            if self._ari.legs.get(self.id) is self:
                del self._ari.legs[self.id]
            self.deliver = (
                _nobody  # a call and its legs know each other: without this, only a collection frees them
            )

    # --- what the owner asks ---------------------------------------------------------------------------------

    def originate(
        self,
        endpoint: str,
        application: str,
        *,
        arguments: str = "",
        caller_id: str = "",
        timeout_s: int = 30,
        originator: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Call `endpoint`; StasisStart comes when it answers. `originator` is the channel whose codecs are offered."""
        query = {
            "endpoint": endpoint,
            "app": application,
            "appArgs": arguments,
            "callerId": caller_id,
            "timeout": str(timeout_s),
        }
        if originator:
            query["originator"] = originator
        body = {"variables": dict(variables)} if variables else None
        self.lane.post(Request("POST", self._path, query, body), self._on_originated)

    def create(
        self, endpoint: str, *, originator: str = "", variables: Mapping[str, str] | None = None
    ) -> None:
        """Make the channel without calling anybody yet; `variables` may hold functions. `dial` calls."""
        self._created = True
        query = {"endpoint": endpoint, "app": self.application, "channelId": self.id}
        if originator:
            query["originator"] = originator
        body = {"variables": dict(variables)} if variables else None
        self.lane.post(Request("POST", "channels/create", query, body), self._on_originated)

    def set_variable(self, name: str, value: str) -> None:
        self._post("variable", {"variable": name, "value": value})

    def dial(self, timeout_s: int) -> None:
        """Call whom the channel was created for. Dial says how far it is, ChannelStateChange (Up) that it is answered."""
        self._post("dial", {"timeout": str(timeout_s)})

    def adopt_created(self) -> Leg:
        """This channel was created and dialled already, by a node before us."""
        self._created = self.confirmed = True
        return self

    def ring(self) -> None:
        """Send 180 Ringing."""
        self._post("ring")

    def progress(self) -> None:
        """Send 183 Session Progress: early media from now on."""
        self._post("progress")

    def answer(self) -> None:
        self._post("answer")

    def play(self, media: str, playback_id: str, language: str) -> None:
        """Play `media`, several joined by commas; PlaybackFinished comes at the end. Early media before an answer."""
        self._post(f"play/{quote(playback_id, safe='')}", {"media": media, "lang": language})

    def silence(self) -> None:
        """Send silence until something is played: an end that is sent nothing may hang up, and is not recorded."""
        self._post("silence")

    def stop_playing(self, playback_id: str, tries: int = STOP_TRIES) -> None:
        """End a playback before its end; what was asked of the channel behind it goes on then."""

        def settle(reply: Reply) -> None:
            # A playback that is just beginning cannot be stopped yet, for milliseconds.
            if reply.status_code == FAILED and tries > 1 and not self.gone:
                self.stop_playing(playback_id, tries - 1)

        self.lane.post(Request("DELETE", f"playbacks/{quote(playback_id, safe='')}"), settle)

    async def send_dtmf(self, digits: str) -> None:
        """Send digits to the far end, and wait until Asterisk has taken them. Raises RequestFailed."""
        query = {"dtmf": digits, "duration": "160", "between": "120"}
        try:
            await self.lane.ask(Request("POST", f"{self._path}/dtmf", query, once=True))
        except RequestFailed as error:
            if error.status == NOT_THERE:
                self._is_not_there(error.reason)
            raise

    def leave(self) -> None:
        """Hand the channel back to the dialplan, behind its Stasis(); it is not hung up any more."""
        if self.dropped is None and self.state is not LegState.GONE:
            self._post("continue")
            self.dropped = DropReason.LEFT

    def drop(self, reason: DropReason | int = DropReason.NORMAL) -> None:
        """Hang up, once; `reason` may be a Q.850 cause."""
        if self.dropped is not None or self.state is LegState.GONE:
            return
        self.dropped = reason
        query = {"reason_code": str(reason)} if isinstance(reason, int) else {"reason": reason.value}
        self._ari.post_surely(self.lane, Request("DELETE", self._path, query), ignore)

    def _post(self, action: str, query: Mapping[str, str] | None = None) -> None:
        request = Request("POST", f"{self._path}/{action}", query)

        def settle(reply: Reply) -> None:
            if 200 <= reply.status_code < 300 or self.state is LegState.GONE:
                return
            reason = reply.message_body or reply.reason_phrase
            if (
                reply.status_code == 404
            ):  # its end came before this leg was there to be told, or is on its way
                self.on_event(ChannelDestroyed(Channel(self.id), 0, reason))
            else:
                self.deliver(self, Refused(str(request), reply.status_code, reason))

        self.lane.post(request, settle)

    def _is_not_there(self, reason: str) -> None:
        """Asterisk has no such channel: its end came before this leg was there to be told, or is on its way."""
        self.on_event(ChannelDestroyed(Channel(self.id), 0, reason))

    def _on_originated(self, reply: Reply) -> None:
        if 200 <= reply.status_code < 300 or reply.status_code == 409:  # 409: sent again, and there already
            self.confirmed = True
            return
        if self.state is not LegState.ASKED:
            return
        if reply.status_code == 0:  # it may have been carried out: give back what may be there
            self.drop()
        reason = reply.message_body or reply.reason_phrase
        self.on_event(ChannelDestroyed(Channel(self.id), 0, f"{reply.status_code or 'no answer'} {reason}"))

    # --- what the reader of events tells ---------------------------------------------------------------------

    def on_event(self, event: LegEvent) -> None:
        """Take note of an event, and pass it on."""
        self.confirmed = True
        if self.state is LegState.GONE:
            return
        match event:
            case (
                ChannelStateChange(channel=Channel(state="Ringing"))
                | Dial(dialstatus="RINGING" | "PROGRESS" | "PROCEEDING")
            ):
                if self.state is not LegState.ASKED:
                    return
                self.state = LegState.RINGING
            case StasisStart(channel=Channel(state=state)) if self._created and state != "Up":
                pass  # it can be dialled from now on
            case StasisStart() | ChannelStateChange(channel=Channel(state="Up")):
                if self.state is LegState.UP:
                    return
                if type(event) is ChannelStateChange and not self._created:
                    return  # answered, and StasisStart comes with it
                self.state = LegState.UP
            case ChannelDestroyed(cause=cause, tech_cause=tech_cause, cause_txt=why):
                self.cause, self.tech_cause, self.why = cause, tech_cause, why
                self._end()
            case StasisEnd() if self.inbound:
                self._end()
        self.deliver(self, event)

    def _end(self) -> None:
        self.state = LegState.GONE
        self._gone.set()


def _nobody(leg: Leg, event: LegEvent) -> None:
    """Who takes the events of a leg that was left."""


def ignore(reply: Reply) -> None:
    """Giving back what is gone already is no error; what a lost request leaves over is found by the sweep."""
