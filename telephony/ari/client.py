"""Our end of one Asterisk: a WebSocket for each application's events, lanes for requests, and a look at all there is.

It keeps itself connected: a connection that ends is made again with backoff, and what is wrong is said once. After
every connect the event filter is put again and the handler is told, who then compares what it knows with
`Control.snapshot`, because events are lost while no socket is open, and never sent again.
Requests that a call makes go over lanes; what is asked beside calls (version, filter, lists) goes over HTTP.
"""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from urllib.parse import quote, urlsplit

import trio

from config import AriConfig, AriTransport
from logs import Once, get_logger
from telephony.ari.control import Control
from telephony.ari.errors import AriAway, AriError
from telephony.ari.events import (
    DIAL,
    UNWANTED,
    ApplicationReplaced,
    ChannelEvent,
    Event,
    Malformed,
    PlaybackFinished,
    Reply,
    decode,
)
from telephony.ari.lane import Lane, OnReply, Request
from telephony.ari.precedence import Precedence
from telephony.ari.websocket import Oversized, Socket, Tick, open_socket

URGENT_LANES = 2
STEADY_S = 5.0  # a connection that held this long starts the backoff anew


HandedOver = ChannelEvent | PlaybackFinished
"""The events that reach a handler."""


class LegSink(Protocol):
    """A leg as the reader of events sees it. `confirmed`: Asterisk has had it; `application`: to which its events go."""

    confirmed: bool
    application: str

    def on_event(self, event: HandedOver) -> None: ...


class Handler(Protocol):
    """Who takes the events. Both are called by the reader of a socket: they must return at once."""

    def on_event(self, application: str, event: HandedOver) -> None: ...

    def on_attached(self, application: str) -> None:
        """The application's events come from now on; what happened before is in `Ari.snapshot`."""


class Ari:
    """One Asterisk, over ARI. `run_lanes` and `run_events` are supervised children; the rest never waits.

    Applications that are `urgent` share nothing with the others: they have lanes of their own, and neither their events
    nor the answers to their requests are gathered. They are told how far a dialling is.
    """

    def __init__(self, config: AriConfig, applications: Sequence[str], urgent: Sequence[str] = ()) -> None:
        self.config = config
        self.applications = tuple(applications)
        self._urgent = frozenset(urgent)
        self.control = Control(config, self.applications)
        self.malformed = 0
        # All state that changes: each lane is changed by its own task, `attached` by the application's reader.
        self.lanes = self._make_lanes("teledom-lane", config.lanes)
        self.urgent_lanes = self._make_lanes("teledom-urgent", URGENT_LANES if urgent else 0)
        self.attached: set[str] = set()
        self.legs: dict[str, LegSink] = {}  # by channel id: entered and left by `Leg`, read by the router
        self.bridges: set[str] = set()  # ids of the bridges that are somebody's, likewise
        self.precedence = Precedence()
        self._trouble = ""
        # Nobody waits for the replies to what a call posts: they are read seldomer than events.
        self._event_tick = Tick(config.coalesce_ms / 1000)
        self._reply_tick = Tick(config.reply_coalesce_ms / 1000)
        self._no_tick = Tick(0)
        self._once = Once(get_logger("ari"))
        self._log = get_logger("ari")

    def _make_lanes(self, name: str, count: int) -> list[Lane]:
        late_s, deadline_s = self.config.lane_late_ms / 1000, self.config.request_deadline_s
        return [Lane(f"{name}-{n}", late_s=late_s, deadline_s=deadline_s) for n in range(1, count + 1)]

    # --- what a call uses ------------------------------------------------------------------------------------

    def pick_lane(self) -> Lane:
        """The lane for a new call: open, not late, with the least to do. While none is open, one that carries what is
        posted as soon as it is open again, or says that it was not answered in time.
        """
        return min(self.lanes, key=lambda lane: (not lane.ready, lane.late, lane.load))

    def pick_urgent_lane(self) -> Lane:
        """The same for an urgent application; if its own are all late or not open, any other."""
        own = [lane for lane in self.urgent_lanes if lane.ready]
        if not own or all(lane.late for lane in own):
            own += [lane for lane in self.lanes if lane.ready]
        return min(own or self.urgent_lanes or self.lanes, key=lambda lane: (lane.late, lane.load))

    def post_surely(self, lane: Lane, request: Request, on_reply: OnReply) -> None:
        """Post what gives something back: when its lane is lost before the answer, over another one, until one takes it.

        Only for requests that may be carried out twice without harm (DELETE).
        """

        def settle(reply: Reply) -> None:
            if reply.status_code != 0:
                on_reply(reply)
                return
            every = (*self.lanes, *self.urgent_lanes)
            other = next((each for each in every if each.ready and each is not lane), None)
            if other is None:
                on_reply(reply)  # nobody takes it: what is left over is found by the sweep
            else:
                other.post(request, on_reply)

        if lane.ready or not any(each.ready for each in self.lanes):
            lane.post(request, settle)
        else:
            self.pick_lane().post(request, on_reply)

    def readiness(self) -> str | None:
        """None when calls can be carried, else why not, for `/readyz`."""
        if self._trouble:
            return self._trouble
        missing = [name for name in self.applications if name not in self.attached]
        if missing:
            return f"not attached to {self.config.url} for {', '.join(missing)}"
        for lanes in (self.lanes, self.urgent_lanes):
            if lanes and not any(lane.ready for lane in lanes):
                return f"no lane to {self.config.url} is open"
        return None

    # --- what keeps us connected -----------------------------------------------------------------------------

    async def run_lanes(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep every lane open. Started at once: Asterisk may come later."""
        async with self.control.open(), trio.open_nursery() as nursery:
            for lane in (*self.lanes, *self.urgent_lanes):
                nursery.start_soon(lane.watch)
                nursery.start_soon(self._keep, self._open_lane, lane)
            task_status.started()

    async def run_events(
        self, handler: Handler, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep every application's event socket open. Started at once: Asterisk may come later."""
        async with trio.open_nursery() as nursery:
            for name in self.applications:
                nursery.start_soon(self._keep, self._open_events, name, handler)
            task_status.started()

    async def _keep(self, open_one: Callable[..., Awaitable[None]], *args: object) -> None:
        config = self.config
        pause = config.reconnect_min_s
        while True:
            since = trio.current_time()
            try:
                await open_one(*args)
            except* AriError as group:
                error = _first(group)
                self._trouble = str(error)
                self._once.say("asterisk", type(error).__name__, str(error), url=config.url)
            if trio.current_time() - since > STEADY_S:
                pause = config.reconnect_min_s
            await trio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, config.reconnect_max_s)

    async def _open_lane(self, lane: Lane) -> None:
        if await self.control.probe() is AriTransport.HTTP:
            self._all_is_well()
            await lane.run_on_http(self.control.http)
        else:
            tick = self._no_tick if lane in self.urgent_lanes else self._reply_tick
            async with self._socket(lane.name, tick) as socket:
                self._all_is_well()
                await lane.run_on_socket(socket)

    async def _open_events(self, name: str, handler: Handler) -> None:
        await self.control.probe()
        urgent = name in self._urgent
        async with self._socket(name, self._no_tick if urgent else self._event_tick) as socket:
            unwanted = [kind for kind in UNWANTED if not urgent or kind != DIAL]
            disallowed = {"disallowed": [{"type": kind} for kind in unwanted]}
            await self.control.request("PUT", f"applications/{name}/eventFilter", disallowed)
            self._all_is_well()
            self.attached.add(name)
            self._log.info(
                "attached to Asterisk", application=name, url=self.config.url, version=self.control.version
            )
            try:
                handler.on_attached(name)
                async for batch in socket.messages():
                    if not urgent:
                        await self.precedence.give_way()
                    for message in batch:
                        self._hand_over(name, message, handler)
            finally:
                self.attached.discard(name)

    def _hand_over(self, name: str, message: bytes | Oversized, handler: Handler) -> None:
        if isinstance(message, Oversized):
            event: Event | None = Malformed(
                f"a message of {message.size} bytes is over [ari] max_frame_bytes"
            )
        else:
            event = decode(message)
        match event:
            case None | Reply():
                return
            case Malformed(why=why):
                self.malformed += 1
                self._log.warning("passing over a message from Asterisk", application=name, why=why)
            case ApplicationReplaced():
                raise AriAway(
                    f"another connection took the application {name}: is a second node using {self.config.url}?"
                )
            case _:
                handler.on_event(name, event)

    def _socket(self, application: str, tick: Tick) -> AbstractAsyncContextManager[Socket]:
        parts = urlsplit(self.config.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        url = f"{scheme}://{parts.netloc}{parts.path}/events?app={quote(application)}"
        token = b64encode(f"{self.config.user}:{self.config.password}".encode()).decode()
        return open_socket(
            url,
            {"Authorization": f"Basic {token}"},
            peer=self.config.url,
            tls=self.control.tls,
            tick=tick,
            max_bytes=self.config.max_frame_bytes,
            deadline_s=self.config.request_deadline_s,
        )

    def _all_is_well(self) -> None:
        self._trouble = ""
        self._once.over("asterisk", "Asterisk is there again")


def _first(group: BaseExceptionGroup[AriError]) -> AriError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, AriError)
    return error
