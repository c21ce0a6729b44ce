"""A SIP peer that stands in Kamailio's place: phones by script, and panels, over one UDP socket.

The scripts are those of the simulated Asterisk's phones, so that one test drives both sides. It speaks just
enough SIP for one dialog at a time per call, to an Asterisk on the same machine that loses no packets:
nothing is sent twice.
"""

from __future__ import annotations

import re
import uuid

import trio
from attrs import Factory, define, field

from testbed.simulated.panels import PanelState
from testbed.simulated.phones import Phone, PhoneBook, user_of

HOST = "127.0.0.1"
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 9 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)
_REASONS = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 487: "Request Terminated"}
_COPIED = ("via", "from", "to", "call-id", "cseq", "record-route")


@define
class Message:
    """A SIP message: its first line, headers by lower-case name (the first of each), all header lines, and
    body.
    """

    first: str
    lines: list[str]
    headers: dict[str, str]
    body: str

    @classmethod
    def parse(cls, data: bytes) -> Message:
        head, _, body = data.decode(errors="replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        return cls(first, lines, headers, body)

    @property
    def method(self) -> str:
        """The request's method, or that of the request that this answers."""
        return self.headers["cseq"].split()[1]

    @property
    def status(self) -> int:
        """0: it is a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else 0


@define(eq=False)
class SipPanel:
    """One panel's call, as the panel sees it."""

    peer: SipPeer
    dialled: str
    panel: str
    call_id: str = Factory(lambda: uuid.uuid4().hex)
    branch: str = Factory(lambda: _branch())
    to: str = ""
    target: str = ""
    cseq: int = 1
    state: PanelState = PanelState.TRYING
    seen: list[tuple[float, PanelState]] = Factory(list)
    code: int | None = None
    cause: int | None = None
    digits: str = ""
    _changed: trio.Event = field(factory=trio.Event, init=False)

    def invite(self) -> None:
        self.to = f"<sip:{self.dialled}@{HOST}>"
        self.target = f"sip:{self.dialled}@{HOST}"
        extra = f"X-Td-Panel: {self.panel}\r\nContent-Type: application/sdp\r\n"
        self._send("INVITE", self.branch, 1, extra, _SDP)

    def _send(self, method: str, branch: str, cseq: int, extra: str = "", body: str = "") -> None:
        self.peer.send(
            f"{method} {self.target} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{self.peer.port};branch={branch}\r\n"
            f'From: "{self.panel}" <sip:{self.panel}@{HOST}>;tag=f\r\nTo: {self.to}\r\n'
            f"Call-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:{self.panel}@{HOST}:{self.peer.port}>\r\n"
            f"{extra}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def on(self, message: Message) -> None:
        status = message.status
        if status and message.method == "INVITE":
            if status >= 200:
                self.to = message.headers["to"]
                self._send("ACK", self.branch if status >= 300 else _branch(), 1)
            if status == 180:
                self._becomes(PanelState.RINGING)
            elif status == 183:
                self._becomes(PanelState.PROGRESS)
            elif status == 200:
                self._becomes(PanelState.ANSWERED)
            elif status >= 300:
                self.code = status
                self._becomes(PanelState.ENDED)
        elif message.first.startswith("BYE"):
            self.peer.reply(message, 200)
            self.cause = _q850(message)
            self._becomes(PanelState.ENDED)
        elif message.first.startswith("INFO"):
            self.peer.reply(message, 200)
            found = re.search(r"Signal= *(\S)", message.body)
            self.digits += found.group(1) if found else ""
            self._wake()

    def _becomes(self, state: PanelState) -> None:
        self.state = state
        self.seen.append((trio.current_time(), state))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self, *states: PanelState) -> PanelState:
        while True:
            for _, state in self.seen:
                if state in states:
                    return state
            await self._changed.wait()

    async def wait_digits(self, digits: str) -> None:
        while digits not in self.digits:
            await self._changed.wait()

    def hangup(self) -> None:
        if self.state is PanelState.ANSWERED:
            self.cseq += 1
            self._send("BYE", _branch(), self.cseq)
            self._becomes(PanelState.ENDED)
        else:
            self._send("CANCEL", self.branch, 1)

    def dtmf(self, digits: str) -> None:
        for digit in digits:
            self.cseq += 1
            body = f"Signal={digit}\r\nDuration=160\r\n"
            self._send("INFO", _branch(), self.cseq, "Content-Type: application/dtmf-relay\r\n", body)


@define(eq=False)
class SipPeer:
    """Phones and panels of one Asterisk. `port` is where Asterisk looks for Kamailio."""

    port: int
    asterisk_port: int
    phones: PhoneBook = Factory(PhoneBook)
    invited: list[str] = Factory(list)  # users, in the order of their INVITEs
    cancels: list[tuple[str, str]] = Factory(list)  # user, and all Reason headers of its CANCEL
    _socket: trio.socket.SocketType = Factory(lambda: trio.socket.socket(type=trio.socket.SOCK_DGRAM))
    _panels: dict[str, SipPanel] = Factory(dict)
    _waiting: dict[str, tuple[Message, str]] = Factory(dict)  # INVITEs to phones without a final answer
    _out: trio.MemorySendChannel[str] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be there until cancelled; started once it can be reached."""
        sender, receiver = trio.open_memory_channel[str](1000)
        self._out = sender
        with self._socket, sender, receiver:
            await self._socket.bind((HOST, self.port))
            task_status.started()
            await self._exchange(receiver)

    async def _exchange(self, receiver: trio.MemoryReceiveChannel[str]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, receiver)
            while True:
                data, _ = await self._socket.recvfrom(65536)
                if data.strip():
                    self._on(Message.parse(data), nursery)

    async def _write(self, receiver: trio.MemoryReceiveChannel[str]) -> None:
        async for text in receiver:
            await self._socket.sendto(text.encode(), (HOST, self.asterisk_port))

    def send(self, text: str) -> None:
        assert self._out is not None
        self._out.send_nowait(text)

    def reply(self, request: Message, status: int, body: str = "") -> None:
        lines = [f"SIP/2.0 {status} {_REASONS.get(status, 'Refused')}"]
        for line in request.lines:
            name = line.partition(":")[0].strip().lower()
            if name in _COPIED:
                lines.append(line + ";tag=x" if name == "to" and "tag=" not in line else line)
        lines.append(f"Contact: <sip:phone@{HOST}:{self.port}>")
        if body:
            lines.append("Content-Type: application/sdp")
        self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]))

    def press(self, panel: str, dialled: str) -> SipPanel:
        call = SipPanel(self, dialled, panel)
        self._panels[call.call_id] = call
        call.invite()
        return call

    def _on(self, message: Message, nursery: trio.Nursery) -> None:
        call_id = message.headers["call-id"]
        if call_id in self._panels:
            self._panels[call_id].on(message)
            return
        match message.first.split()[0]:
            case "INVITE":
                user = user_of(message.headers.get("x-kamailio-uri", ""))
                self.invited.append(user)
                self._waiting[call_id] = message, user
                nursery.start_soon(self._phone, call_id, message, self.phones.get(user))
            case "CANCEL":
                self.reply(message, 200)
                invite, user = self._waiting.pop(call_id, (None, ""))
                reasons = ", ".join(line for line in message.lines if line.lower().startswith("reason"))
                self.cancels.append((user, reasons))
                if invite is not None:
                    self.reply(invite, 487)
            case "BYE" | "OPTIONS" | "INFO":
                self.reply(message, 200)

    async def _phone(self, call_id: str, invite: Message, phone: Phone) -> None:
        self.reply(invite, 100)
        if phone.sleeps or phone.wakes_s is not None:
            self.reply(invite, 183)
            if phone.wakes_s is None:
                return
            await trio.sleep(phone.wakes_s)
        start = trio.current_time()
        if phone.ring_s is not None:
            await trio.sleep_until(start + phone.ring_s)
            self._answer(call_id, 180)
        if phone.refuse is not None:
            await trio.sleep_until(start + phone.refuse_s)
            self._answer(call_id, phone.refuse)
        elif phone.answer_s is not None:
            await trio.sleep_until(start + phone.answer_s)
            if self._answer(call_id, 200):
                await self._talk(invite, phone)

    def _answer(self, call_id: str, status: int) -> bool:
        if call_id not in self._waiting:
            return False
        invite, _ = self._waiting[call_id]
        if status >= 200:
            del self._waiting[call_id]
        self.reply(invite, status, _SDP if status == 200 else "")
        return True

    async def _talk(self, invite: Message, phone: Phone) -> None:
        start = trio.current_time()
        for place, digit in enumerate(phone.dtmf, start=1):
            await trio.sleep_until(start + place * phone.dtmf_s)
            self._within(invite, "INFO", 1 + place, f"Signal={digit}\r\nDuration=160\r\n")
        if phone.hangup_s is not None:
            await trio.sleep_until(start + phone.hangup_s)
            self._within(invite, "BYE", 100)

    def _within(self, invite: Message, method: str, cseq: int, body: str = "") -> None:
        headers = invite.headers
        target = headers["contact"].strip("<>").partition(">")[0]
        kind = "Content-Type: application/dtmf-relay\r\n" if body else ""
        self.send(
            f"{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{self.port};branch={_branch()}\r\n"
            f"From: {headers['to']};tag=x\r\nTo: {headers['from']}\r\nCall-ID: {headers['call-id']}\r\n"
            f"CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )


def _branch() -> str:
    return "z9hG4bK" + uuid.uuid4().hex


def _q850(message: Message) -> int | None:
    for line in message.lines:
        found = re.search(r"^Reason: *Q\.850;cause=(\d+)", line)
        if found:
            return int(found.group(1))
    return None
