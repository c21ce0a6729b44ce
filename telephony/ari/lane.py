"""A lane: an ordered way for requests to Asterisk, which answers them one after the other.

All requests of one call go over one lane, one behind the other without waiting: Asterisk carries them out in order. So
one stuck channel holds up its own lane only, and a lane whose reply is late is given no new calls (`late`).
A lane runs over a WebSocket of its own (Asterisk 22.4+, 20.14+), or over HTTP with an older one; who posts sees no
difference. Whatever becomes of a request, its `on_reply` is called once: with Asterisk's answer, or with status 0
when none came in time.

A connection that is lost is made again, and what has no answer yet is sent again: since we choose the ids, a request
that comes twice does nothing twice. Those that would (`once`) get status 0 instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count

import httpx
import msgspec
import trio
from attrs import define, frozen

from telephony.ari.errors import AriAway, RequestFailed
from telephony.ari.events import Malformed, Reply, decode
from telephony.ari.websocket import Oversized, Socket

WATCH_S = 0.1
MOST_PENDING = 10_000

OnReply = Callable[[Reply], None]
Transmit = Callable[[str, "Request"], None]


@frozen
class Request:
    """One request of ARI: `path` without a leading slash; `body` is sent as JSON; `once`: never sent again."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: object | None = None
    once: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@define(eq=False)
class _Pending:
    request: Request
    on_reply: OnReply
    sent_at: float


@define
class LaneCounts:
    """What a lane has seen since the start, for the metrics."""

    requests: int = 0
    refused: int = 0
    unanswered: int = 0
    strangers: int = 0  # replies to nothing that we asked, or messages that could not be read


class Lane:
    """One lane. Anybody on Trio's thread may post; replies are handed out by the lane's own task."""

    def __init__(self, name: str, *, late_s: float, deadline_s: float) -> None:
        self.name = name
        self.counts = LaneCounts()
        self._late_s = late_s
        self._deadline_s = deadline_s
        # All state that changes, by `post` and by the one task that runs the lane:
        self._ids = count(1)
        self._pending: dict[str, _Pending] = {}
        self._transmit: Transmit | None = None
        self._late = False
        self._stuck = trio.Event()  # this connection's requests are no longer answered

    @property
    def ready(self) -> bool:
        return self._transmit is not None

    @property
    def late(self) -> bool:
        return self._late

    @property
    def load(self) -> int:
        """Requests that have no answer yet."""
        return len(self._pending)

    def post(self, request: Request, on_reply: OnReply) -> None:
        """Send a request behind those before it; never waits, never raises. `on_reply` may be called at once."""
        self.counts.requests += 1
        if len(self._pending) >= MOST_PENDING:
            self.counts.unanswered += 1
            on_reply(Reply("", 0, "Asterisk is away, and too much waits for it"))
            return
        request_id = str(next(self._ids))
        self._pending[request_id] = _Pending(request, on_reply, trio.current_time())
        self._send(request_id, request)

    def _send(self, request_id: str, request: Request) -> None:
        if self._transmit is not None:
            with suppress(AriAway):  # the connection is going: it is sent over the next one
                self._transmit(request_id, request)

    async def ask(self, request: Request) -> Reply:
        """Send a request and wait for its answer; RequestFailed when it is an error, or does not come."""
        answered = trio.Event()
        replies: list[Reply] = []

        def keep(reply: Reply) -> None:
            replies.append(reply)
            answered.set()

        self.post(request, keep)
        await answered.wait()
        reply = replies[0]
        if not 200 <= reply.status_code < 300:
            raise RequestFailed(str(request), reply.status_code, reply.message_body or reply.reason_phrase)
        return reply

    def settle(self, reply: Reply) -> None:
        """Hand an answer to who asked."""
        pending = self._pending.pop(reply.request_id, None)
        if pending is None:
            self.counts.strangers += 1
            return
        if reply.status_code == 0:
            self.counts.unanswered += 1
        elif reply.status_code >= 400:
            self.counts.refused += 1
        pending.on_reply(reply)

    @contextmanager
    def carried_by(self, transmit: Transmit) -> Iterator[None]:
        """The lane is open inside, and `transmit` carries its requests, those first that have no answer yet."""
        self._transmit = transmit
        self._stuck = trio.Event()
        for request_id, pending in list(self._pending.items()):
            self._send(request_id, pending.request)
        try:
            yield
        finally:
            self._transmit = None
            self._late = False
            for request_id in [each for each, pending in self._pending.items() if pending.request.once]:
                self.settle(Reply(request_id, 0, "the connection was lost"))

    async def watch(self) -> None:
        """Mark the lane late; give up requests past the deadline, and with them the connection. Runs for good."""
        while True:
            await trio.sleep(WATCH_S)
            oldest = next(iter(self._pending.values()), None)
            age = trio.current_time() - oldest.sent_at if oldest is not None else 0.0
            self._late = self.ready and age > self._late_s
            if age > self._deadline_s:
                due = trio.current_time() - self._deadline_s
                for request_id in [each for each, pending in self._pending.items() if pending.sent_at < due]:
                    self.settle(Reply(request_id, 0, f"no answer in {self._deadline_s:g} s"))
                self._stuck.set()

    async def _until_stuck(self) -> None:
        await self._stuck.wait()
        raise AriAway(f"a request got no answer on {self.name} in {self._deadline_s:g} s")

    async def run_on_socket(self, socket: Socket) -> None:
        """Carry requests over this WebSocket until it ends (AriAway, in a group)."""

        def transmit(request_id: str, request: Request) -> None:
            socket.send(_encode(request_id, request))

        with self.carried_by(transmit):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_stuck)
                async for batch in socket.messages():
                    for message in batch:
                        event = Malformed("oversized") if isinstance(message, Oversized) else decode(message)
                        match event:
                            case Reply():
                                self.settle(event)
                            case Malformed():
                                self.counts.strangers += 1
                            case _:
                                pass

    async def run_on_http(self, client: httpx.AsyncClient) -> None:
        """Carry requests over HTTP, each after the one before, until Asterisk can't be reached (AriAway, in a group)."""
        waiting: deque[tuple[str, Request]] = deque()
        wake = trio.Event()

        def transmit(request_id: str, request: Request) -> None:
            waiting.append((request_id, request))
            wake.set()

        with self.carried_by(transmit):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_stuck)
                while True:
                    await wake.wait()
                    wake = trio.Event()
                    while waiting:
                        request_id, request = waiting.popleft()
                        try:
                            response = await client.request(
                                request.method, request.path, params=request.query, json=request.body
                            )
                        except httpx.HTTPError as error:
                            what = f"{request} at {client.base_url}"
                            raise AriAway(f"{what}: {error or type(error).__name__}") from error
                        self.settle(
                            Reply(request_id, response.status_code, response.reason_phrase, response.text)
                        )


_json = msgspec.json.Encoder()


def _encode(request_id: str, request: Request) -> bytes:
    message: dict[str, object] = {
        "type": "RESTRequest",
        "request_id": request_id,
        "method": request.method,
        "uri": request.path,
    }
    if request.query:
        message["query_strings"] = [{"name": k, "value": v} for k, v in request.query.items()]
    if request.body is not None:
        message["content_type"] = "application/json"
        message["message_body"] = _json.encode(request.body).decode()
    return _json.encode(message)
