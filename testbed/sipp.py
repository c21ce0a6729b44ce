"""SIPp out of the private tree: panels and phones with exact SIP behaviour, and what they sent and got.

The scenarios are in scenarios/; their `@…@` places are filled in here. A panel is one run of SIPp (`panel_calls`), a
phone a server (`open_phone`) whose account is registered with Kamailio unless it sleeps. Neither sends media: where
sound is to be proved, take testbed.baresip.
"""

from __future__ import annotations

import csv
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from itertools import count
from pathlib import Path

import trio
from attrs import Factory, define, frozen

from testbed.bed import Bed, Credentials
from testbed.processes import HOST, Child, ProcessFailed, is_bound

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
REFUSALS = (403, 404, 407, 408, 410, 480, 484, 486, 487, 488, 500, 502, 503, 504, 600, 603)
_run_numbers = count(1)


class Media(Enum):
    """What an offer or answer has: sound (PCMA and RFC 4733 digits), or H.264 video too."""

    AUDIO = "audio.sdp"
    VIDEO = "video.sdp"


@frozen
class SipMessage:
    """One message that a SIPp sent or got."""

    sent: bool
    start_line: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def method(self) -> str:
        """The request's method; "" for a reply."""
        return "" if self.code else self.start_line.split(" ", 1)[0]

    @property
    def code(self) -> int:
        """The reply's code; 0 for a request."""
        return int(self.start_line.split(" ")[1]) if self.start_line.startswith("SIP/2.0 ") else 0

    def header(self, name: str) -> str:
        """The first header of that name; "" when there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def media(self, kind: str) -> str:
        """The SDP's m-line of `kind` ("audio", "video"); "" when there is none or its port is 0."""
        for line in self.body.splitlines():
            if line.startswith(f"m={kind} ") and not line.startswith(f"m={kind} 0 "):
                return line
        return ""


@frozen
class SippResult:
    """What a run of SIPp came to."""

    exit_code: int
    succeeded: int
    failed: int
    messages: tuple[SipMessage, ...]
    errors: str

    @property
    def final_code(self) -> int:
        """The last final reply to an INVITE that was got, the first question for a password aside; 0 for none."""
        codes = [message.code for message in self.got("INVITE") if message.code >= 200]
        if codes[:1] == [407]:
            del codes[0]
        return codes[-1] if codes else 0

    def got(self, method: str) -> list[SipMessage]:
        """The requests with that method, and the replies to it, that were received."""
        return [m for m in self.messages if not m.sent and m.header("CSeq").endswith(method)]


@define
class Sipp:
    """One SIPp and its files. It calls `calls`, or Kamailio. `under` stands before its command: nice, chrt."""

    bed: Bed
    scenario: str
    places: dict[str, str]
    options: Sequence[str] = ()
    port: int = 0
    folder: Path = Factory(Path)
    child: Child | None = None
    calls: tuple[str, int] | None = None
    under: Sequence[str] = ()

    def prepare(self, rows: Iterable[Sequence[str]] = (), *, server: bool, trace: bool = True) -> Child:
        """Write its scenario and users into a folder of its own; the process to start."""
        self.folder = self.bed.run_dir / "sipp" / f"{next(_run_numbers):05}-{self.scenario}"
        self.folder.mkdir(parents=True)
        text = (SCENARIOS / f"{self.scenario}.xml").read_text()
        for name, value in self.places.items():
            text = text.replace(f"@{name}@", value)
        # A header that isn't wanted leaves an empty line, which would end the headers.
        text = re.sub(r"\n *@[A-Z_]+@ *(?=\n)", "", text)
        (self.folder / "scenario.xml").write_text(text)
        self.port = self.port or self.bed.ports.take()
        command = [*self.under, *self.bed.tree.command("usr/bin/sipp"), "-sf", "scenario.xml", "-i", HOST]
        command += ["-p", str(self.port), "-nostdin", "-aa", "-timeout_error"]
        command += ["-min_rtp_port", str(self.bed.ports.rtp[0]), "-max_rtp_port", str(self.bed.ports.rtp[1])]
        command += ["-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log"]
        if trace:
            command += ["-trace_msg", "-message_file", "messages.log"]
        if rows:
            lines = ["SEQUENTIAL", *(";".join(row) for row in rows)]
            (self.folder / "users.csv").write_text("\n".join(lines) + "\n")
            command += ["-inf", "users.csv"]
        command += self.options
        if not server:
            host, port = self.calls or self.bed.kamailio_sip
            command.append(f"{host}:{port}")
        self.child = Child(
            f"SIPp {self.scenario}",
            command,
            log=self.folder / "screen.log",
            cwd=self.folder,
            env={"TERM": "dumb"},
            ready=self._bound if server else None,
            stop_s=2,
        )
        return self.child

    async def _bound(self) -> bool:
        return is_bound(self.port)

    @property
    def messages(self) -> tuple[SipMessage, ...]:
        """All that it sent and got so far."""
        log = self.folder / "messages.log"
        return parse_messages(log.read_text(errors="replace")) if log.exists() else ()

    def result(self, exit_code: int) -> SippResult:
        succeeded = failed = 0
        statistics = self.folder / "stat.csv"
        if statistics.exists():
            rows = list(csv.DictReader(statistics.read_text().splitlines(), delimiter=";"))
            if rows:
                succeeded, failed = (int(rows[-1][f"{what}(C)"]) for what in ("SuccessfulCall", "FailedCall"))
        log = self.folder / "errors.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        # That a wait was over is what the scenarios are made of, and no error.
        errors = [line for line in lines if "jumping to label" not in line]
        return SippResult(exit_code, succeeded, failed, self.messages, "\n".join(errors))

    async def run(self, rows: Iterable[Sequence[str]] = (), *, trace: bool = True) -> SippResult:
        """Run it to its end."""
        child = self.prepare(rows, server=False, trace=trace)
        async with child:
            exit_code = await child.wait()
        return self.result(exit_code)


async def register(
    bed: Bed, users: Iterable[Credentials], port: int, *, expires_s: int = 300, user_agent: str = "SIPp"
) -> None:
    """Register `users` with Kamailio, to be called at `port`; `expires_s` 0 unregisters. Raises ProcessFailed."""
    rows = [(user.user, user.password) for user in users]
    sipp = Sipp(
        bed,
        "register",
        {"PORT": str(port), "EXPIRES": str(expires_s), "AGENT": user_agent},
        ["-m", str(len(rows)), "-r", "200", "-timeout", "10s"],
    )
    result = await sipp.run(rows)
    if result.exit_code or result.succeeded != len(rows):
        raise ProcessFailed(
            f"registering {len(rows)} users with Kamailio failed: see {sipp.folder}: {result.errors}"
        )


async def panel_calls(
    bed: Bed,
    panel: Credentials,
    dialled: str,
    *,
    media: Media = Media.AUDIO,
    give_up_ms: int = 40_000,
    talk_ms: int = 500,
    must_be_answered: bool = False,
    headers: str = "",
) -> SippResult:
    """A panel calls `dialled` once: gives up `give_up_ms` after the last reply, hangs up `talk_ms` after the answer.

    `headers` are further lines of its INVITE. Unless it `must_be_answered`, any final reply is a good end: look at
    `final_code`.
    """
    sipp = panel_sipp(
        bed,
        media=media,
        give_up_ms=give_up_ms,
        talk_ms=talk_ms,
        must_be_answered=must_be_answered,
        headers=headers,
    )
    return await sipp.run([(panel.user, panel.password, dialled)])


def panel_sipp(
    bed: Bed,
    *,
    media: Media = Media.AUDIO,
    media_port: int = 0,
    give_up_ms: int = 40_000,
    talk_ms: int = 500,
    must_be_answered: bool = True,
    headers: str = "",
    options: Sequence[str] = ("-m", "1", "-timeout", "120s"),
) -> Sipp:
    """A SIPp for panels' calls, for a load too: `options` such as -r and -m; its users are run(rows=(user, password,
    dialled)). `media_port`: whoever listens there and behind it is its media."""
    refusals = [
        f'<recv response="{code}" optional="true" next="refused" timeout="{give_up_ms}" ontimeout="cancel"/>'
        for code in REFUSALS
    ]
    return Sipp(
        bed,
        "panel",
        {
            "SDP": sdp(media, media_port),
            "GIVE_UP_MS": str(give_up_ms),
            "TALK_MS": str(talk_ms),
            "REFUSALS": "" if must_be_answered else "\n  ".join(refusals),
            **({"HEADERS": headers} if headers else {}),
        },
        options,
    )


@asynccontextmanager
async def open_phone(
    bed: Bed,
    *accounts: Credentials,
    ring_ms: int = 200,
    talk_ms: int = 60_000,
    refuses_with: int = 0,
    media: Media = Media.AUDIO,
    media_port: int = 0,
    asleep: bool = False,
    trace: bool = True,
) -> AsyncIterator[Sipp]:
    """A phone with these accounts, as long as the block lasts: rings for `ring_ms`, then answers, or refuses with a
    SIP code; hangs up after `talk_ms`. One that is `asleep` doesn't register: `register(bed, accounts, phone.port)`
    wakes it. What it sent and got is `phone.messages`; `media_port` as for a panel.
    """
    places = {"RING_MS": str(ring_ms), "TALK_MS": str(talk_ms), "CODE": str(refuses_with)}
    places["SDP"] = sdp(media, media_port)
    phone = Sipp(bed, "phone_refuses" if refuses_with else "phone", places)
    async with phone.prepare(server=True, trace=trace):
        if not asleep:
            await register(bed, accounts, phone.port)
        try:
            yield phone
        finally:
            with trio.CancelScope(shield=True), suppress(ProcessFailed):
                if bed.kamailio.running:
                    await register(bed, accounts, phone.port, expires_s=0)


async def wait_for(phone: Sipp, method: str, *, code: int = 0, within_s: float = 10) -> SipMessage:
    """The first request `method` (or reply `code` to it) that `phone` got. Raises ProcessFailed when none comes."""
    with trio.move_on_after(within_s):
        while True:
            for message in phone.messages:
                if not message.sent and message.header("CSeq").endswith(method) and message.code == code:
                    return message
            await trio.sleep(0.02)
    raise ProcessFailed(f"no {method} {code or ''} within {within_s:g} s: see {phone.folder}/messages.log")


def parse_messages(log: str) -> tuple[SipMessage, ...]:
    """The messages in a SIPp's message log, in their order."""
    parts = re.split(r"^-{20,} .*\n(?:UDP|TCP) message (sent|received).*\n\n", log, flags=re.MULTILINE)
    messages = []
    for direction, text in zip(parts[1::2], parts[2::2], strict=True):
        head, _, body = text.replace("\r\n", "\n").partition("\n\n")
        start_line, *lines = head.strip().split("\n")
        headers = tuple(
            (name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
        )
        messages.append(SipMessage(direction == "sent", start_line, headers, body.strip()))
    return tuple(messages)


def sdp(media: Media, port: int = 0) -> str:
    """A scenario's offer or answer. `port`: that of the sound, the second behind it of the video; 0: ports where
    nobody is."""
    text = (SCENARIOS / media.value).read_text().strip()
    if port:
        text = text.replace("[auto_media_port+2]", str(port + 2)).replace("[auto_media_port]", str(port))
    return text.replace("\n", "\n      ")
