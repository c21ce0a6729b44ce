"""One WebSocket of the simulated Asterisk: events out, requests in, one after the other, as the real one does
them.

The handshake and the parsing of frames are the `websockets` package's, without its I/O; outgoing text frames,
of which there are thousands a second, get their header here.
"""

from __future__ import annotations

import struct

import msgspec
import trio
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

from testbed.simulated.faults import Faults
from testbed.simulated.replies import Reply, Request, parse_body, refuse
from testbed.simulated.rest import handle
from testbed.simulated.shapes import ENTITY_ID, App, encode
from testbed.simulated.world import World


class _Pair(msgspec.Struct):
    name: str
    value: str = ""


class _RestRequest(msgspec.Struct):
    type: str = ""
    request_id: str = ""
    transaction_id: str = ""
    method: str = ""
    uri: str = ""
    query_strings: list[_Pair] = []
    content_type: str = ""
    message_body: str = ""


_decode = msgspec.json.Decoder(_RestRequest).decode
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "OPTIONS"})
_ENTITY = b'","asterisk_id":' + encode(ENTITY_ID) + b"}"


def frame(payload: bytes) -> bytes:
    """A text frame as a server sends it: one piece, unmasked."""
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((size,)) + payload
    if size < 65536:
        return b"\x81\x7e" + struct.pack("!H", size) + payload
    return b"\x81\x7f" + struct.pack("!Q", size) + payload


class Socket:
    """A WebSocket on `stream`, whose handshake's bytes have been read already."""

    def __init__(self, stream: trio.SocketStream, world: World, faults: Faults, apps: list[str]) -> None:
        self.apps: list[App] = []
        self._names = apps
        self._stream = stream
        self._world = world
        self._faults = faults
        self._protocol = ServerProtocol(max_size=1 << 20)
        self._out: list[bytes] = []
        self._more = trio.Event()
        self._pieces: list[bytes] = []
        self._held: list[bytes] = []
        self._closing = False

    def event(self, payload: bytes) -> None:
        """An application's sink."""
        if not self._faults.mute_events:
            self.send(payload)

    def send(self, payload: bytes) -> None:
        self._out.append(frame(payload))
        self._more.set()

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        self._stream.socket.close()

    async def run(self, head: bytes) -> None:
        """Until either end closes it."""
        self._protocol.receive_data(head)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                await self._read()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                nursery.cancel_scope.cancel()
            finally:
                for app in self.apps:
                    self._world.detach(app, self.event)
            # What is left to send is our close frame, if anything.
            self._closing = True
            self._more.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._more.wait()
                self._more = trio.Event()
                data = b"".join(self._out)
                self._out.clear()
                await self._stream.send_all(data)
                if self._closing:
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _read(self) -> None:
        while True:
            for item in self._protocol.events_received():
                if isinstance(item, Handshake):
                    self._protocol.send_response(self._protocol.accept(item))
                    self._flush()
                    self.apps = [self._world.attach(name, self.event) for name in self._names]
                elif isinstance(item, Frame):
                    await self._on_frame(item)
            self._flush()
            if self._protocol.close_expected():
                return
            data = await self._stream.receive_some(65536)
            if not data:
                return
            try:
                self._protocol.receive_data(data)
            except ProtocolError:
                return

    def _flush(self) -> None:
        data = self._protocol.data_to_send()
        if data:
            self._out.extend(data)
            self._more.set()

    async def _on_frame(self, item: Frame) -> None:
        if item.opcode not in (Opcode.TEXT, Opcode.CONT):
            return
        self._pieces.append(bytes(item.data))
        if item.fin:
            text = b"".join(self._pieces)
            self._pieces.clear()
            await self._on_message(text)

    async def _on_message(self, text: bytes) -> None:
        if not self._world.takes_requests_over_websockets:
            return  # an older Asterisk reads what comes over its event socket, and does nothing with it
        request = _RestRequest()
        try:
            request = _decode(text)
        except msgspec.DecodeError:
            self._reply(request, Reply(400, "Failed to parse request message JSON"))
            return
        faults = self._faults
        if faults.any and faults.hits(request.uri):
            if faults.hang:
                await trio.sleep_forever()
            if faults.reply_delay_s:
                await trio.sleep(faults.reply_delay_s)
        self._reply(request, self._do(request))
        self._world.timers.run_soon()

    def _do(self, request: _RestRequest) -> Reply:
        if request.type != "RESTRequest":
            return refuse(400, "Unknown request type.", "Bad request")
        if not request.uri:
            return refuse(400, "Empty or missing 'uri' property.", "Bad request")
        if request.method not in _METHODS:
            return refuse(400, "Unknown or missing 'method' property.", "Bad request")
        path, _, query_text = request.uri.partition("?")
        query = dict(part.partition("=")[::2] for part in query_text.split("&")) if query_text else {}
        for pair in request.query_strings:
            query[pair.name] = pair.value
        return answer(self._world, self._faults, request.method, path, query, request.message_body)

    def _reply(self, request: _RestRequest, reply: Reply) -> None:
        faults, app = self._faults, self.apps[0]
        if app.sink == self.event and not app.wants("RESTResponse"):
            return  # a filter that does not allow it swallows the reply
        payload = (
            b'{"type":"RESTResponse","transaction_id":%s,"request_id":%s,"status_code":%d,"reason_phrase":%s,"uri":%s'
            % (
                encode(request.transaction_id),
                encode(request.request_id),
                reply.status,
                encode(reply.reason),
                encode(request.uri.partition("?")[0]),
            )
        )
        if reply.body:
            payload += b',"content_type":"application/json","message_body":' + encode(reply.body.decode())
        payload += (
            b',"application":' + encode(app.name) + b',"timestamp":"' + self._world.stamp().encode() + _ENTITY
        )
        if faults.reorder:
            self._held.append(payload)
            if len(self._held) < faults.reorder:
                return
            while self._held:
                self.send(self._held.pop())
            return
        self.send(payload)


def answer(
    world: World, faults: Faults, method: str, path: str, query: dict[str, str], raw: str | bytes
) -> Reply:
    """Do one request, however it came; body fields that are query parameters too count as those."""
    if faults.any and faults.hits(path):
        if faults.booting:
            return refuse(503, "Asterisk not booted")
        if faults.refuse_status:
            return refuse(faults.refuse_status, "refused on demand", "Refused")
        if faults.refuse_stops and (method, path.split("/")[0]) == ("DELETE", "playbacks"):
            faults.refuse_stops -= 1
            return refuse(500, "Could not stop playback")
    try:
        body = parse_body(raw)
    except (msgspec.DecodeError, ValueError):
        return refuse(400, "Request could not be parsed", "Bad Request")
    for name, value in body.items():
        if isinstance(value, str | int) and name not in query:
            query[name] = str(value)
    return handle(world, Request(method, tuple(path.strip("/").split("/")), query, body))
