"""Just enough of ARI for the testbed's own tests: requests over HTTP, and the events of some applications."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from attrs import define, field
from trio_websocket import wrap_client_stream

from testbed.bed import Bed

Event = dict[str, Any]


@define
class Ari:
    """One attached application."""

    _client: httpx.AsyncClient
    events: list[Event] = field(factory=list)
    _changed: trio.Event = field(factory=trio.Event)
    _panels: int = 0

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        reply = await self._client.request(method, path, params=query, json=body)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    async def wait(self, wanted: Callable[[Event], bool], within_s: float = 8) -> Event:
        with trio.fail_after(within_s):
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                await self._changed.wait()

    async def panel(self) -> Event:
        """The next StasisStart of a panel's call."""
        with trio.fail_after(8):
            while True:
                starts = [e for e in self.events if e["type"] == "StasisStart" and "leg" not in e["args"]]
                if len(starts) > self._panels:
                    self._panels += 1
                    return starts[self._panels - 1]
                await self._changed.wait()

    async def ring(self, account: str, channel: str, **more: Any) -> None:
        """A leg to `account`; `more` are further parameters of the originate."""
        variables = {
            "PJSIP_HEADER(add,X-Kamailio-URI)": f"sip:{account}@teledom",
            "PJSIP_HEADER(add,X-URI-Type)": "mobile",
            "PJSIP_HEADER(add,X-Td-Call)": "call-1",
        }
        await self.ask(
            "POST",
            "/channels",
            {"variables": variables},
            endpoint="PJSIP/televoip",
            app="TdCall",
            appArgs="leg",
            channelId=channel,
            **more,
        )

    async def ended(self, channel: str, within_s: float = 8) -> Event:
        return await self.wait(_about("ChannelDestroyed", channel), within_s)

    async def answered(self, channel: str) -> Event:
        return await self.wait(_about("StasisStart", channel))

    async def rings(self, channel: str) -> Event:
        return await self.wait(_about("ChannelStateChange", channel))


def _about(kind: str, channel: str) -> Callable[[Event], bool]:
    return lambda event: event["type"] == kind and event["channel"]["id"] == channel


@asynccontextmanager
async def attach(bed: Bed, applications: str = "TdCall") -> AsyncIterator[Ari]:
    where = urlsplit(bed.ari_url)
    assert where.hostname is not None
    assert where.port is not None
    path = f"{where.path}/events?app={applications}&api_key={bed.ari_user}:{bed.ari_password}"
    async with (
        httpx.AsyncClient(base_url=bed.ari_url, auth=(bed.ari_user, bed.ari_password)) as client,
        # trio-websocket leaves the stream open where the other end closes first, or the handshake is cut short.
        await trio.open_tcp_stream(where.hostname, where.port) as stream,
        trio.open_nursery() as nursery,
    ):
        socket = await wrap_client_stream(nursery, stream, where.netloc, path)
        ari = Ari(client)

        async def read() -> None:
            while True:
                ari.events.append(json.loads(await socket.get_message()))
                ari._changed.set()
                ari._changed = trio.Event()

        async with trio.open_nursery() as reading:
            reading.start_soon(read)
            yield ari
            reading.cancel_scope.cancel()
        with trio.move_on_after(1):
            await socket.aclose()  # Asterisk has let the application go when it has said goodbye
        nursery.cancel_scope.cancel()
