"""`Leg` and `Bridge`: a channel and a bridge of ours, as async context managers that know their id before they ask.

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
    PlaybackFinished,
    Reply,
    StasisEnd,
    StasisStart,
)
from telephony.ari.lane import Lane, Request

GONE_S = 2.0
NOT_THERE = 404


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


@frozen
class Refused:
    """Asterisk refused a request for this leg; `status` is an HTTP status, 0 when no answer came."""

    what: str
    status: int
    reason: str


LegEvent = ChannelEvent | PlaybackFinished | Refused
Deliver = Callable[["Leg", LegEvent], None]


class Leg:
    """One channel of a call, made with its id: asked of Asterisk by `originate`, or taken over as it is.

    `inbound`: a panel's; `up`: one of ours that was answered already.
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
    ) -> None:
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
        self._ari = ari
        self._gone = trio.Event()
        self._path = f"channels/{quote(channel_id, safe='')}"

    @property
    def gone(self) -> bool:
        return self.state is LegState.GONE

    async def __aenter__(self) -> Leg:
        if self.id in self._ari.legs:
            raise ValueError(f"the channel {self.id} has an owner already")
        self._ari.legs[self.id] = self
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
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

    def stop_playing(self, playback_id: str) -> None:
        """End a playback before its end; what was asked of the channel behind it goes on then."""
        self.lane.post(Request("DELETE", f"playbacks/{quote(playback_id, safe='')}"), _ignore)

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
        """Hand the channel back to the dialplan, behind its Stasis()."""
        self._post("continue")

    def drop(self, reason: DropReason | int = DropReason.NORMAL) -> None:
        """Hang up, once; `reason` may be a Q.850 cause."""
        if self.dropped is not None or self.state is LegState.GONE:
            return
        self.dropped = reason
        query = {"reason_code": str(reason)} if isinstance(reason, int) else {"reason": reason.value}
        self._ari.post_surely(self.lane, Request("DELETE", self._path, query), _ignore)

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
            case ChannelStateChange(channel=Channel(state="Ringing")):
                if self.state is not LegState.ASKED:
                    return
                self.state = LegState.RINGING
            case StasisStart():
                if self.state is LegState.UP:
                    return
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


class Bridge:
    """A mixing bridge. `dtmf_events` in its type: digits pass it, and are reported."""

    KIND = "mixing,dtmf_events"

    def __init__(self, ari: Ari, lane: Lane, bridge_id: str, refused: Callable[[Refused], None]) -> None:
        self.id = bridge_id
        self._ari = ari
        self._lane = lane
        self._refused = refused
        self._path = f"bridges/{quote(bridge_id, safe='')}"
        self._adopted = False

    def adopt(self) -> Bridge:
        """This bridge is there already: entering does not make it anew."""
        self._adopted = True
        return self

    async def __aenter__(self) -> Bridge:
        if self.id in self._ari.bridges:
            raise ValueError(f"the bridge {self.id} has an owner already")
        self._ari.bridges.add(self.id)
        if not self._adopted:
            self._post(Request("POST", self._path, {"type": self.KIND}))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ari.bridges.discard(self.id)
        self._ari.post_surely(self._lane, Request("DELETE", self._path), _ignore)

    def add(self, *legs: Leg) -> None:
        """Put legs in; ChannelEnteredBridge of each says that it is."""
        self._post(Request("POST", f"{self._path}/addChannel", {"channel": ",".join(leg.id for leg in legs)}))

    def _post(self, request: Request) -> None:
        def settle(reply: Reply) -> None:
            if not 200 <= reply.status_code < 300:
                self._refused(
                    Refused(str(request), reply.status_code, reply.message_body or reply.reason_phrase)
                )

        self._lane.post(request, settle)


def _nobody(leg: Leg, event: LegEvent) -> None:
    """Who takes the events of a leg that was left."""


def _ignore(reply: Reply) -> None:
    """Giving back what is gone already is no error; what a lost request leaves over is found by the sweep."""
