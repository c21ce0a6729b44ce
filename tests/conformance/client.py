"""A small ARI client of the tests' own, on trio-websocket and httpx: the product's is judged by others.

A `Line` is one WebSocket: every message is kept in the order in which it came, and waiting looks through what
came already.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import trio
from attrs import Factory, define, field, frozen
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

Json = dict[str, Any]


@frozen
class Reply:
    status: int
    reason: str
    body: Any
    raw: Json


@define(eq=False)
class Line:
    """One WebSocket to Asterisk: events in, requests out."""

    socket: WebSocketConnection
    messages: list[Json] = Factory(list)
    closed: trio.Event = Factory(trio.Event)
    _ids: itertools.count[int] = Factory(lambda: itertools.count(1))
    _came: trio.Event = Factory(trio.Event)

    @property
    def events(self) -> list[Json]:
        return [message for message in self.messages if message["type"] != "RESTResponse"]

    async def read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                self.messages.append(json.loads(await self.socket.get_message()))
                self._wake()
        self.closed.set()
        self._wake()

    def _wake(self) -> None:
        self._came.set()
        self._came = trio.Event()

    async def send(self, method: str, uri: str, body: Json | None = None, **query: str) -> str:
        """Send a request without waiting; its id."""
        number = f"r{next(self._ids)}"
        request: Json = {"type": "RESTRequest", "request_id": number, "method": method, "uri": uri}
        if query:
            request["query_strings"] = [{"name": name, "value": value} for name, value in query.items()]
        if body is not None:
            request |= {"content_type": "application/json", "message_body": json.dumps(body)}
        await self.socket.send_message(json.dumps(request))
        return number

    async def reply(self, number: str, seconds: float = 3.0) -> Reply:
        """The reply to this request. Raises `trio.TooSlowError`."""
        raw = await self.wait(lambda m: m["type"] == "RESTResponse" and m["request_id"] == number, seconds)
        text = raw.get("message_body", "")
        return Reply(raw["status_code"], raw["reason_phrase"], json.loads(text) if text else None, raw)

    async def ask(self, method: str, uri: str, body: Json | None = None, **query: str) -> Reply:
        return await self.reply(await self.send(method, uri, body, **query))

    async def gone(self, method: str, uri: str, seconds: float = 3.0) -> None:
        """Until this is answered with 404: a real Asterisk says that a thing has ended a moment before it forgets it."""
        with trio.fail_after(seconds):
            while (await self.ask(method, uri)).status != 404:  # noqa: ASYNC110
                await trio.sleep(0.01)

    async def wait(self, matches: Callable[[Json], bool], seconds: float = 3.0) -> Json:
        """The first message that matches, of those that came and those to come."""
        place = 0
        with trio.fail_after(seconds):
            while True:
                for message in self.messages[place:]:
                    if matches(message):
                        return message
                place = len(self.messages)
                await self._came.wait()

    async def event(self, kind: str, channel: str = "", seconds: float = 3.0) -> Json:
        """The first event of this type (about this channel)."""
        return await self.wait(
            lambda m: m["type"] == kind and (not channel or channel_of(m) == channel), seconds
        )

    def kinds(self, channel: str, *, without: tuple[str, ...] = ()) -> list[str]:
        """The types of all events about a channel, in order."""
        return [m["type"] for m in self.events if channel_of(m) == channel and m["type"] not in without]


def channel_of(message: Json) -> str:
    found = message.get("channel") or message.get("peer") or {}
    return str(found.get("id", ""))


@define(eq=False)
class Ari:
    """Where an Asterisk is reached, and as whom."""

    url: str
    user: str
    password: str = field(repr=False)

    @asynccontextmanager
    async def bare_line(self, app: str = "TdCall") -> AsyncIterator[Line]:
        """A WebSocket of this application, as soon as it is open."""
        host, _, path = self.url.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        resource = f"/{path}/events?app={app}&api_key={self.user}:{self.password}"
        # The stream is closed here: a connection that was cut leaves it open.
        async with await trio.open_tcp_stream(name, int(port)) as stream, trio.open_nursery() as nursery:
            line = Line(await wrap_client_stream(nursery, stream, host, resource))
            nursery.start_soon(line.read)
            try:
                yield line
            finally:
                with trio.move_on_after(0.5):
                    await line.socket.aclose()
                nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def line(self, app: str = "TdCall") -> AsyncIterator[Line]:
        """A WebSocket of this application, which is attached."""
        async with self.bare_line(app) as line:
            # The upgrade's reply comes before the application is attached: a first answer says that it is.
            await line.ask("GET", "asterisk/info")
            yield line

    async def http(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        auth: tuple[str, str] | None = None,
        **query: str,
    ) -> httpx.Response:
        async with httpx.AsyncClient(timeout=3) as client:
            return await client.request(
                method, f"{self.url}/{path}", params=query, json=body, auth=auth or (self.user, self.password)
            )
