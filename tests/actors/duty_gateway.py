"""The duty desk's end of the webhooks: a real HTTP server on the loopback that keeps what it is sent."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import trio
from attrs import Factory, define

HANG = 0  # instead of a status: no answer, ever


@define(eq=False)
class DutyGateway:
    """`script` holds statuses for the next POSTs, one each, before `judge` and then `status` count again."""

    status: int = 200
    script: deque[int] = Factory(deque)
    judge: Callable[[dict[str, Any]], int | None] = lambda event: None
    retry_after: str = ""
    delay_s: float = 0.0
    events: list[dict[str, Any]] = Factory(list)  # those answered with 200
    tried: list[dict[str, Any]] = Factory(list)  # all
    tried_at: list[float] = Factory(list)  # on Trio's clock
    headers: dict[bytes, bytes] = Factory(dict)  # of the last POST
    _arrived: trio.lowlevel.ParkingLot = Factory(trio.lowlevel.ParkingLot)

    def said(self) -> list[str]:
        """What arrived, in short."""
        return [
            f"{event.get('call_id', event.get('about'))} {event.get('state', '')}" for event in self.events
        ]

    async def wait(self, count: int) -> None:
        """Until so many events have arrived."""
        with trio.fail_after(3600):
            while len(self.events) < count:
                await self._arrived.park()

    async def serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            async with stream:
                while await self._answer(http, stream):
                    http.start_next_cycle()
        except (trio.BrokenResourceError, h11.ProtocolError):
            return

    async def _answer(self, http: h11.Connection, stream: trio.SocketStream) -> bool:
        body = b""
        while True:
            event = http.next_event()
            match event:
                case h11.NEED_DATA:
                    http.receive_data(await stream.receive_some())
                case h11.Request():
                    self.headers = dict(event.headers)
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    break
                case _:
                    return False
        said = json.loads(body)
        self.tried.append(said)
        self.tried_at.append(trio.current_time())
        await trio.sleep(self.delay_s)
        status = self.script.popleft() if self.script else self.judge(said) or self.status
        if status == HANG:
            await trio.sleep_forever()
        if status == 200:
            self.events.append(said)
            self._arrived.unpark_all()
        headers = [
            ("content-length", "0"),
            *([("retry-after", self.retry_after)] if self.retry_after else []),
        ]
        out = http.send(h11.Response(status_code=status, headers=headers)) or b""
        await stream.send_all(out + (http.send(h11.EndOfMessage()) or b""))
        return http.our_state is h11.DONE


@asynccontextmanager
async def open_duty(gateway: DutyGateway) -> AsyncIterator[str]:
    """Run the gateway until the block is left; its URL."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, gateway.serve, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/duty"
        nursery.cancel_scope.cancel()
