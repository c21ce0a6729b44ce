"""Panels' own HTTP servers on 127.0.0.1, for tests: each vendor's dialect with its login, and all that goes wrong.

Real HTTP (h11 on Trio's streams), over TLS if the panel has a certificate. A server owns its connections; the panel's
state is the test's, which may change it while the server runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import trio

from testbed.panel_dialects import DIALECTS, Dialect
from testbed.panel_state import Fault, PanelState, Reply, Request, Seen

HUGE_BYTES = 10_000_000
CHUNK = 65_536
GARBAGE = b'\xff\x00{"data":\x9f<statusCode>'


@asynccontextmanager
async def open_panel_server(
    panel: PanelState, dialects: Mapping[str, Dialect] = DIALECTS
) -> AsyncIterator[str]:
    """Serve a panel until the block is left; its URL."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, _Server(panel, dialects[panel.vendor]).serve, listeners)
        yield f"{'https' if panel.certificate else 'http'}://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


class _Server:
    def __init__(self, panel: PanelState, dialect: Dialect) -> None:
        self._panel = panel
        self._dialect = dialect

    async def serve(self, stream: trio.SocketStream) -> None:
        self._panel.connections += 1
        certificate = self._panel.certificate
        upper: trio.abc.Stream = stream
        if certificate is not None:
            upper = trio.SSLStream(stream, certificate.context, server_side=True, https_compatible=True)
        http = h11.Connection(h11.SERVER)
        try:
            async with upper:
                while await self._request(http, upper):
                    http.start_next_cycle()
        except (trio.BrokenResourceError, h11.ProtocolError):
            return  # the client went away, or speaks something else

    async def _request(self, http: h11.Connection, stream: trio.abc.Stream) -> bool:
        """Answer one request. Says whether the connection is good for another."""
        request: h11.Request | None = None
        body = b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        assert request is not None
        method, target = request.method.decode(), request.target.decode()
        login = dict(request.headers).get(b"authorization", b"").decode()
        self._panel.seen.append(Seen(method, target, login))
        if self._panel.delay_s:
            await trio.sleep(self._panel.delay_s)
        dialect = self._dialect
        reply = dialect.login(self._panel, method, target, login)
        if reply is None:
            url = urlsplit(target)
            reply = dialect.reply(
                self._panel, Request(method, unquote(url.path), dict(parse_qsl(url.query)), body)
            )
            reply = self._spoilt(reply, login)
        return await self._send(http, stream, reply)

    def _spoilt(self, reply: Reply, login: str) -> Reply:
        match self._panel.fault:
            case Fault.SERVER_ERROR:
                return Reply(500, b"Internal Server Error")
            case Fault.REDIRECT:
                return Reply(302, b"", (("location", "https://127.0.0.1/"),))
            case Fault.GARBAGE:
                return Reply(200, GARBAGE)
            case Fault.ECHO:
                return Reply(500, f"{self._panel.password}\x1b[31m {login}".encode())
            case _:
                return reply

    async def _send(self, http: h11.Connection, stream: trio.abc.Stream, reply: Reply) -> bool:
        fault = self._panel.fault
        if fault is Fault.SILENCE:
            await trio.sleep_forever()
        if fault is Fault.NOT_HTTP:
            await stream.send_all(b"220 panel FTP server ready\r\n")
            return False
        size = HUGE_BYTES if fault is Fault.HUGE else len(reply.body) + (fault is Fault.CUT)
        size = len(reply.body)
        if fault in (Fault.HUGE, Fault.CUT):
            size = HUGE_BYTES
        headers = [*reply.headers, ("content-length", str(size))]
        out = http.send(h11.Response(status_code=reply.status, headers=headers)) or b""
        if fault is Fault.CUT:
            await stream.send_all(out + reply.body)
            return False
        if fault is Fault.HUGE:
            await stream.send_all(out)
            for _ in range(size // CHUNK):
                await stream.send_all(b" " * CHUNK)
            return False
        out += http.send(h11.Data(data=reply.body)) or b""
        await stream.send_all(out + (http.send(h11.EndOfMessage()) or b""))
        return http.our_state is h11.DONE and http.their_state is h11.DONE
