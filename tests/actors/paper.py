"""Asterisk on paper: it writes down what a call asks, answers at once, and does what a test says.

Only for tests of orders and races, where every event comes when the test wants it; what a real Asterisk does is tested
in tests/real and tests/conformance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from config import AriConfig
from telephony.ari.client import Ari
from telephony.ari.events import (
    Bridge,
    Channel,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelEnteredBridge,
    ChannelStateChange,
    Playback,
    PlaybackFinished,
    Reply,
    StasisEnd,
    StasisStart,
)
from telephony.ari.lane import Lane, Request
from telephony.push.interface import OnResult, Push, PushResult


class Paper:
    """`requests` is all that was asked, in order; `status` what some requests are answered with instead of 204."""

    def __init__(self) -> None:
        self.ari = Ari(AriConfig(lanes=1), ("TdCall",))
        self.lane: Lane = self.ari.lanes[0]
        self.requests: list[Request] = []
        self.status: dict[str, int] = {}
        self.prompt_state = "done"

    @contextmanager
    def open(self) -> Iterator[Paper]:
        with self.lane.carried_by(self._take):
            yield self

    def _take(self, request_id: str, request: Request) -> None:
        self.requests.append(request)
        status = next((code for part, code in self.status.items() if part in str(request)), 204)
        self.lane.settle(Reply(request_id, status))
        if status >= 400:
            return
        kind, _, rest = request.path.partition("/")
        if request.method == "DELETE" and kind == "channels":
            self.ends(rest, cause=16)
        elif "/play/" in rest:
            channel, _, playback = rest.partition("/play/")
            leg = self.ari.legs.get(channel)
            if leg is not None and not (request.query or {})["media"].startswith("tone:"):
                leg.on_event(PlaybackFinished(Playback(playback, f"channel:{channel}", self.prompt_state)))
        elif rest.endswith("/addChannel"):
            for channel in (request.query or {})["channel"].split(","):
                if (leg := self.ari.legs.get(channel)) is not None:
                    leg.on_event(ChannelEnteredBridge(Channel(channel), Bridge(rest.partition("/")[0])))

    def asked(self, method: str, part: str = "") -> list[Request]:
        """The requests of this method whose path has `part` in it."""
        return [each for each in self.requests if each.method == method and part in each.path]

    # --- what happens ------------------------------------------------------------------------

    def rings(self, channel: str) -> None:
        if (leg := self.ari.legs.get(channel)) is not None:
            leg.on_event(ChannelStateChange(Channel(channel, state="Ringing")))

    def answers(self, channel: str) -> None:
        if (leg := self.ari.legs.get(channel)) is not None:
            leg.on_event(StasisStart("TdCall", Channel(channel, state="Up")))

    def ends(self, channel: str, *, cause: int = 0, sip: int = 0) -> None:
        leg = self.ari.legs.get(channel)
        if leg is None:
            return
        leg.on_event(StasisEnd(Channel(channel)))
        leg.on_event(ChannelDestroyed(Channel(channel), cause, "", sip))

    def presses(self, channel: str, digit: str) -> None:
        if (leg := self.ari.legs.get(channel)) is not None:
            leg.on_event(ChannelDtmfReceived(Channel(channel), digit))


class PaperPush:
    """Keeps what it was to send, and accepts all."""

    def __init__(self) -> None:
        self.sent: list[Push] = []

    def send(self, pushes: Sequence[Push], on_result: OnResult) -> None:
        self.sent += pushes
        for push in pushes:
            on_result(PushResult(push, accepted=True))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        raise AssertionError("it needs no running")
