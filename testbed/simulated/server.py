"""The simulated Asterisk's one port: ARI over HTTP, its WebSockets, and the control path /sim/ (control.py).

`open_simulated` runs one beside its caller; `python -m testbed.simulated` runs one as a process of its own.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import trio
from attrs import frozen

from testbed.simulated.asterisk import Simulated
from testbed.simulated.control import control
from testbed.simulated.replies import Reply, refuse
from testbed.simulated.sockets import Socket, answer
from testbed.simulated.world import World

_SERVER = "Asterisk/{}+dfsg+~cs6.17.60671434-1"


@frozen
class Server:
    """What listens at a simulated Asterisk's port."""

    simulated: Simulated

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection: HTTP requests, until one of them asks for a WebSocket."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = await stream.receive_some(65536)
                if not data or len(head) > 65536:
                    return
                head += data
            if b"upgrade: websocket" in head.lower():
                await self._websocket(stream, head)
            else:
                await self._http(stream, head)
        await stream.aclose()

    async def _websocket(self, stream: trio.SocketStream, head: bytes) -> None:
        target = head.split(b" ", 2)[1].decode()
        query = dict(parse_qsl(urlsplit(target).query))
        headers = dict(
            (name.strip().lower(), value.strip())
            for name, _, value in (line.partition(":") for line in head.decode("latin1").split("\r\n")[1:])
        )
        if not self._authorized(headers.get("authorization", ""), query):
            reply = refuse(401, "Authentication required", "Unauthorized")
        elif self.simulated.faults.booting:
            reply = refuse(503, "Asterisk not booted")
        elif urlsplit(target).path != "/ari/events":
            reply = refuse(404, "Resource not found")
        elif not query.get("app"):
            reply = refuse(400, "HTTP request is missing param: [app]")
        else:
            socket = Socket(stream, self.simulated.world, self.simulated.faults, query["app"].split(","))
            self.simulated.sockets.append(socket)
            try:
                await socket.run(head)
            finally:
                self.simulated.sockets.remove(socket)
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in self._headers(reply))
        await stream.send_all(f"HTTP/1.1 {reply.status} {reply.reason}\r\n{lines}\r\n".encode() + reply.body)

    def _authorized(self, header: str, query: dict[str, str]) -> bool:
        wanted = f"{self.simulated.user}:{self.simulated.password}"
        if query.get("api_key") == wanted:
            return True
        return header == "Basic " + base64.b64encode(wanted.encode()).decode()

    def _headers(self, reply: Reply) -> list[tuple[str, str]]:
        headers = [
            ("Server", _SERVER.format(self.simulated.world.version)),
            ("Cache-Control", "no-cache, no-store"),
        ]
        if reply.status == 401:
            headers.append(("WWW-Authenticate", 'Basic realm="Asterisk REST Interface"'))
        if reply.status != 204:
            headers += [("Content-type", "application/json"), ("Content-Length", str(len(reply.body)))]
        return headers

    async def _http(self, stream: trio.SocketStream, head: bytes) -> None:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(head)
        while True:
            request, body = None, b""
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some(65536))
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    return
            assert request is not None
            reply = await self._request(request, body)
            response = h11.Response(
                status_code=reply.status, reason=reply.reason.encode(), headers=self._headers(reply)
            )
            out = connection.send(response) or b""
            if reply.body:
                out += connection.send(h11.Data(data=reply.body)) or b""
            await stream.send_all(out + (connection.send(h11.EndOfMessage()) or b""))
            self.simulated.world.timers.run_soon()
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()

    async def _request(self, request: h11.Request, body: bytes) -> Reply:
        method, target = request.method.decode(), urlsplit(request.target.decode())
        query = dict(parse_qsl(target.query, keep_blank_values=True))
        if target.path.startswith("/sim/"):
            return control(self.simulated, method, target.path[5:], query, body)
        headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        if not self._authorized(headers.get("authorization", ""), query):
            return refuse(401, "Authentication required", "Unauthorized")
        if not target.path.startswith("/ari/"):
            return refuse(404, "Resource not found")
        query.pop("api_key", None)
        if self.simulated.faults.reply_delay_s and self.simulated.faults.hits(target.path):
            await trio.sleep(self.simulated.faults.reply_delay_s)
        return answer(
            self.simulated.world, self.simulated.faults, method, unquote(target.path[5:]), query, body
        )


@asynccontextmanager
async def open_simulated(
    *, port: int = 0, user: str = "teledom", password: str = "secret", version: str = "22.10.1"
) -> AsyncIterator[Simulated]:
    """A simulated Asterisk on 127.0.0.1, until the block is left. Port 0 takes a free one: see `ari_url`."""
    simulated = Simulated(World(version), user, password)
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    simulated.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        simulated.nursery = nursery
        nursery.start_soon(simulated.world.timers.run)
        nursery.start_soon(trio.serve_listeners, Server(simulated).serve, listeners)
        try:
            yield simulated
        finally:
            nursery.cancel_scope.cancel()
