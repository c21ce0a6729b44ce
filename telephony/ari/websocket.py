"""A WebSocket client on Trio, made for many small messages: the one file that knows the framing.

The framing itself is the `websockets` package's protocol without I/O. What is ours is how it meets Trio, because that is
where the time of a busy node goes: a wake-up costs ten times what decoding a frame does. So a read hands over all
messages that have come, and `send` only puts a frame into a buffer that one writer task empties with one call,
however many frames came into it meanwhile. `docs/decisions.md` has the figures beside trio-websocket's.

While messages come thick, readers wait for the next `Tick`, which all sockets to one Asterisk share, so that more of
them share a wake-up; a message that comes after a quiet moment is handed over at once.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
from attrs import frozen
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from telephony.ari.errors import AriAway, AriUnauthorized, BadFrame

READ_BYTES = 262_144
HARD_LIMIT_BYTES = (
    64 * 1_048_576
)  # a frame over this is no longer a message that we leave out, but a broken peer
SEND_BUFFER_BYTES = 8 * 1_048_576
QUIET_S = 0.02
PING_S = 15.0
DEAD_S = 45.0


@frozen
class Oversized:
    """A message that was left out because it was larger than what is allowed."""

    size: int


class Tick:
    """Wakes everybody who waits, together, `every_s` after the first began to wait; 0: at once."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._next: trio.Event | None = None

    async def wait(self) -> None:
        if self._next is not None:
            await self._next.wait()
        elif self.every_s:
            mine = self._next = trio.Event()
            try:
                await trio.sleep(self.every_s)
            finally:
                self._next = None
                mine.set()
        else:
            await trio.lowlevel.checkpoint()


class PlainStream(trio.abc.Stream):
    """TCP that lets others run only when it has to wait: half the task switches of trio's own for small messages."""

    def __init__(self, stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = socket.socket(fileno=stream.socket.detach())
        self._socket.setblocking(False)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while True:
            try:
                return self._socket.recv(max_bytes or READ_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.wait_writable(self._socket)

    async def aclose(self) -> None:
        if self._socket.fileno() != -1:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()


class Socket:
    """One open WebSocket. `messages` belongs to one reader; `send` may be called from anywhere, and never waits."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        protocol: ClientProtocol,
        *,
        peer: str,
        tick: Tick,
        max_bytes: int,
    ) -> None:
        self._peer = peer  # for messages
        self._stream = stream
        self._protocol = protocol
        self._tick = tick
        self._max_bytes = max_bytes
        # All state that changes: the buffer and its wake-up (anyone, through `send`), what was heard last (the reader).
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._wake = trio.Event()
        self._heard_at = 0.0
        self._closed = False

    def send(self, message: bytes) -> None:
        """Queue one text message; AriAway when the connection is gone or does not take what it is sent."""
        if self._closed or self._protocol.state is not State.OPEN:
            raise AriAway(f"sending to {self._peer}: the WebSocket is closed")
        self._protocol.send_text(message)
        self._pump()

    def _pump(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._outgoing.append(data)
                self._outgoing_bytes += len(data)
        if self._outgoing_bytes > SEND_BUFFER_BYTES:
            self._closed = True
        if self._outgoing:
            self._wake.set()

    async def messages(self) -> AsyncIterator[list[bytes | Oversized]]:
        """All messages that have come, a batch at a time, until the connection ends (then AriAway says how)."""
        fragments: list[bytes] = []
        while True:
            asked_at = trio.current_time()
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                raise AriAway(f"reading from {self._peer}: the connection broke ({error})") from error
            now = self._heard_at = trio.current_time()
            if data:
                self._protocol.receive_data(bytes(data))
            else:
                self._protocol.receive_eof()
            batch: list[bytes | Oversized] = []
            for frame in self._protocol.events_received():
                if isinstance(frame, Frame) and frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    fragments.append(bytes(frame.data))
                    if frame.fin:
                        message = fragments[0] if len(fragments) == 1 else b"".join(fragments)
                        fragments.clear()
                        batch.append(message if len(message) <= self._max_bytes else Oversized(len(message)))
            self._pump()
            if batch:
                yield batch
            if self._closed:
                raise AriAway(
                    f"sending to {self._peer}: it takes nothing any more; the connection is given up"
                )
            if not data or self._protocol.state is not State.OPEN:
                broken = self._protocol.parser_exc
                if broken is not None and not isinstance(broken, EOFError):
                    raise BadFrame(f"reading from {self._peer}: {broken}") from broken
                raise AriAway(f"reading from {self._peer}: Asterisk closed the connection")
            if now - asked_at < QUIET_S:
                await self._tick.wait()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            self._outgoing_bytes = 0
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                self._closed = True  # the reader sees the end, too, and says it
                return

    async def _keep_alive(self) -> None:
        """Find out about a peer that is gone without a word."""
        while True:
            await trio.sleep(PING_S)
            if trio.current_time() - self._heard_at > DEAD_S:
                await trio.aclose_forcefully(self._stream)
                return
            if self._protocol.state is State.OPEN:
                self._protocol.send_ping(b"")
                self._pump()

    async def flush(self) -> None:
        """Wait until what was sent has gone out, a second at most."""
        with trio.move_on_after(1.0):
            while self._outgoing and not self._closed:  # noqa: ASYNC110 - once, at the end of a connection
                await trio.sleep(0.005)


@asynccontextmanager
async def open_socket(
    url: str,
    headers: Mapping[str, str],
    *,
    peer: str,
    tls: ssl.SSLContext | None = None,
    tick: Tick | None = None,
    max_bytes: int = 1_048_576,
    deadline_s: float = 5.0,
) -> AsyncIterator[Socket]:
    """Connect, shake hands, and give a Socket that is closed on leaving; what it was sent has gone out by then.

    `peer` is what messages call the other end.

    Raises AriUnauthorized on 401 or 403, AriAway on anything else that keeps the connection from opening; what the
    body raises comes out in an ExceptionGroup.
    """
    with trio.move_on_after(deadline_s) as patience:
        opened, stream = await _handshake(url, headers, tls, tick or Tick(0), max_bytes, peer)
    if patience.cancelled_caught:
        raise AriAway(f"connecting to {peer}: no answer in {deadline_s:g} s")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opened._write)
        nursery.start_soon(opened._keep_alive)
        try:
            yield opened
        finally:
            with trio.CancelScope(shield=True):
                await opened.flush()
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()


async def _handshake(
    url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None, tick: Tick, max_bytes: int, peer: str
) -> tuple[Socket, trio.abc.Stream]:
    uri = parse_uri(url)
    try:
        tcp = await trio.open_tcp_stream(uri.host, uri.port)
    except OSError as error:
        raise AriAway(f"connecting to {peer}: {error}") from error
    stream: trio.abc.Stream = tcp
    try:
        if uri.secure:
            context = tls or ssl.create_default_context()
            stream = trio.SSLStream(tcp, context, server_hostname=uri.host, https_compatible=True)
            await stream.do_handshake()
        else:
            stream = PlainStream(tcp)
        protocol = ClientProtocol(uri, max_size=HARD_LIMIT_BYTES)
        request = protocol.connect()
        request.headers = Headers(request.headers)
        for name, value in headers.items():
            request.headers[name] = value
        protocol.send_request(request)
        opened = Socket(stream, protocol, peer=peer, tick=tick, max_bytes=max_bytes)
        await stream.send_all(b"".join(protocol.data_to_send()))
        while protocol.state is State.CONNECTING:
            if protocol.handshake_exc is not None:
                raise protocol.handshake_exc
            data = await stream.receive_some(READ_BYTES)
            if data:
                protocol.receive_data(bytes(data))
            else:
                protocol.receive_eof()
                if protocol.handshake_exc is None:
                    raise AriAway(f"connecting to {peer}: Asterisk closed the connection")
        leftover = [event for event in protocol.events_received() if not isinstance(event, Response)]
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
        if leftover:  # frames that came with the handshake's answer belong to the reader
            protocol.events.extend(leftover)
        opened._heard_at = trio.current_time()
        return opened, stream
    except BaseException as error:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        match error:
            case InvalidStatus(response=Response(status_code=401 | 403)):
                raise AriUnauthorized(f"connecting to {peer}: {error}") from error
            case WebSocketException() | OSError() | trio.BrokenResourceError() | ssl.SSLError():
                raise AriAway(f"connecting to {peer}: {error.__cause__ or error}") from error
        raise
