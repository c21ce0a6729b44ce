"""A small push gateway: the operator's end of the webhook, for the tests, the demo and the benchmarks.

A real HTTP server (h11 on Trio's streams). It records what it is sent, lets `on_push` act on each push that
it accepts (the demo's phones wake by it), and can be told to fail in every way in which gateways do. It owns
`pushes` and `posts`; whoever runs it may change `mode`, `delay_s`, `token` and `refuse` at any time.
`python -m testbed.gateway [--port N]` runs one by itself and prints its URL first.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import assert_never

import h11
import msgspec
import trio
from attrs import Factory, define, frozen

BODY_MAX_BYTES = 1_048_576


class Mode(Enum):
    """What a POST is answered with, after `delay_s`."""

    ACCEPT = "accept"
    REFUSE = "refuse"  # each push, with an error of its own
    UNAVAILABLE = "unavailable"  # 503
    TOO_MANY = "too_many"  # 429 with `retry_after`
    HANG = "hang"  # never
    CLOSE = "close"  # the connection, without an answer
    GARBAGE = "garbage"  # 200, and text that is no JSON
    WRONG_SHAPE = "wrong_shape"  # 200, and JSON of another kind
    SILENT_ON_SOME = "silent_on_some"  # 200, with a result for every second push only


@frozen
class PanelInfo:
    sip_user: str
    mac: str
    address: str


@frozen(kw_only=True)
class GatewayPush:
    """A push as it came over the wire; `ring_s` is None for a cancel, `reason` "" for a ring."""

    id: str
    kind: str
    call: str
    phone: int
    account: str
    platform: str
    bundle: str
    token: str
    panel: PanelInfo
    flat: str
    ring_s: float | None = None
    reason: str = ""


@frozen
class _Post:
    sent_at: str
    pushes: list[GatewayPush]


@frozen
class _Reply:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


_decode = msgspec.json.Decoder(_Post).decode
_encode = msgspec.json.Encoder().encode


@define
class PushGateway:
    """One gateway. `script` holds modes for the next POSTs, one each, before `mode` counts again."""

    on_push: Callable[[GatewayPush], None] | None = None
    refuse: Callable[[GatewayPush], str] | None = None  # an error for this push, or "" to accept it
    mode: Mode = Mode.ACCEPT
    script: deque[Mode] = Factory(deque)
    delay_s: float = 0.0
    retry_after: str = "1"
    token: str = ""  # the bearer token that is asked for; "" asks for none
    pushes: deque[GatewayPush] = Factory(lambda: deque(maxlen=100_000))  # those accepted, the last ones
    posts: int = 0
    connections: int = 0  # open now

    async def run(
        self, port: int = 0, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve on 127.0.0.1 until cancelled; `task_status` gets the URL to post to."""
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
            bound = listeners[0].socket.getsockname()[1]
            task_status.started(f"http://127.0.0.1:{bound}/push")
            await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        self.connections += 1
        try:
            async with stream:
                while await self._request(http, stream):
                    http.start_next_cycle()
        except (trio.BrokenResourceError, h11.ProtocolError):
            return  # the client went away, or speaks something else
        finally:
            self.connections -= 1

    async def _request(self, http: h11.Connection, stream: trio.SocketStream) -> bool:
        """Answer one request. Says whether the connection is good for another."""
        request: h11.Request | None = None
        body = b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_MAX_BYTES:
                    return False
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        assert request is not None
        reply = await self._reply(request, body)
        if reply is None:
            return False
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(reply.body))),
            *reply.headers,
        ]
        out = http.send(h11.Response(status_code=reply.status, headers=headers))
        out = (out or b"") + (http.send(h11.Data(data=reply.body)) or b"")
        await stream.send_all(out + (http.send(h11.EndOfMessage()) or b""))
        return http.our_state is h11.DONE and http.their_state is h11.DONE

    async def _reply(self, request: h11.Request, body: bytes) -> _Reply | None:
        self.posts += 1
        mode = self.script.popleft() if self.script else self.mode
        if self.delay_s:
            await trio.sleep(self.delay_s)
        if self.token and dict(request.headers).get(b"authorization") != b"Bearer " + self.token.encode():
            return _Reply(401, b'{"error":"wrong token"}')
        if request.method != b"POST" or request.target != b"/push":
            return _Reply(404, b'{"error":"POST to /push"}')
        match mode:
            case Mode.ACCEPT | Mode.REFUSE | Mode.SILENT_ON_SOME:
                return self._take(body, mode)
            case Mode.UNAVAILABLE:
                return _Reply(503, b"")
            case Mode.TOO_MANY:
                return _Reply(429, b"", (("retry-after", self.retry_after),))
            case Mode.HANG:
                await trio.sleep_forever()
            case Mode.CLOSE:
                return None
            case Mode.GARBAGE:
                return _Reply(200, b"<html>\xff it works!</html>")
            case Mode.WRONG_SHAPE:
                return _Reply(200, b'{"results":{"1":true}}')
            case _:
                assert_never(mode)

    def _take(self, body: bytes, mode: Mode) -> _Reply:
        try:
            post = _decode(body)
        except msgspec.DecodeError as error:
            return _Reply(400, _encode({"error": str(error)}))
        results: list[dict[str, str | bool]] = []
        for index, push in enumerate(post.pushes):
            error_text = "BadDeviceToken" if mode is Mode.REFUSE else self.refuse(push) if self.refuse else ""
            if error_text:
                results.append({"id": push.id, "accepted": False, "error": error_text})
                continue
            self.pushes.append(push)
            if mode is not Mode.SILENT_ON_SOME or index % 2 == 0:
                results.append({"id": push.id, "accepted": True})
            if self.on_push is not None:
                self.on_push(push)
        return _Reply(200, _encode({"results": results}))


@asynccontextmanager
async def open_gateway(gateway: PushGateway) -> AsyncIterator[str]:
    """Run a gateway until the block is left; its URL. A cancellation from above ends who is in the block first."""
    life = trio.CancelScope(shield=True)

    async def live(*, task_status: trio.TaskStatus[str]) -> None:
        with life:
            await gateway.run(task_status=task_status)

    async with trio.open_nursery() as nursery:
        try:
            yield await nursery.start(live)
        finally:
            life.cancel()


async def _main(port: int) -> None:
    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(PushGateway().run, port)
        print(url, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="testbed.gateway", description="A push gateway that accepts all.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    try:
        trio.run(_main, parser.parse_args().port)
    except* KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
