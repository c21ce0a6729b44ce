"""baresip out of the private tree: a panel or a phone with real sound, without a sound card or a screen.

It plays a tone and records what it hears (`heard_files`); it is led through its control port (netstrings of JSON),
over which it tells what happens (`events`). The Sokol panel's own SIP stack is baresip too.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

from testbed.audio import write_tone
from testbed.bed import REALM, Bed, Credentials
from testbed.processes import HOST, Child, ProcessFailed

MODULES = ("aufile", "aubridge", "g711", "sndfile")
APPLICATIONS = ("account", "menu", "ctrl_tcp")
HANDSETS = "handsets.invalid"  # no domain of its own account's, or it would call from one of them


class Digits(Enum):
    """How it sends digits: RFC 4733 events in the media, or SIP INFO."""

    RFC4733 = "rtpevent"
    INFO = "info"


@frozen
class Event:
    """Something that baresip told: `kind` is its name (CALL_INCOMING, CALL_ESTABLISHED, …), `data` all of it."""

    kind: str
    data: dict[str, Any]

    @property
    def account(self) -> str:
        """The user of the account that it is about; "" for none."""
        return str(self.data.get("accountaor", "")).removeprefix("sip:").partition("@")[0]


@define
class Baresip:
    """A running user agent. `events` are those since its start; `wait_event` waits for the next of a kind.

    A panel's calls to its handsets are not its own: nobody who waits for those of the panel is told of them.
    """

    user: str
    folder: Path
    child: Child
    _stream: trio.SocketStream
    _account: str = field(repr=False)
    _account_made: bool = False
    _tokens: int = 0
    _replies: dict[str, dict[str, Any]] = field(factory=dict)
    _changed: trio.Event = field(factory=trio.Event)
    _seen: int = 0
    events: list[Event] = field(factory=list)

    async def dial(self, number: str) -> None:
        """Call `number` through Kamailio."""
        await self.command("dial", f"sip:{number}@{REALM}")

    async def accept(self) -> None:
        """Answer the call that rings."""
        await self.command("accept")

    async def hangup(self) -> None:
        """End the call, or refuse the one that rings."""
        await self.command("hangup")

    async def send_digits(self, digits: str) -> None:
        """Press keys in the call that is going on."""
        await self.command("sndcode", digits)

    async def register(self, *, expires_s: int = 300, wait: bool = True) -> None:
        """Register with Kamailio and wait until that is done, unless somebody else waits for events."""
        await self._become(expires_s)
        if wait:
            await self.wait_event("REGISTER_OK")

    async def unregister(self) -> None:
        """Take the registration back; it can still call."""
        await self._become(0)
        await self.wait_event("UNREGISTERING")

    async def _become(self, expires_s: int) -> None:
        # It has no command to register with: its only account is made anew.
        if self._account_made:
            await self.command("uadel", f"sip:{self.user}@{REALM}")
        await self.command("uanew", f"{self._account};regint={expires_s}")
        self._account_made = True

    async def command(self, name: str, parameters: str = "", *, within_s: float = 5) -> str:
        """Send one command; what it answered. Raises ProcessFailed when it is refused or not answered."""
        self._tokens += 1
        token = str(self._tokens)
        text = json.dumps({"command": name, "params": parameters, "token": token}).encode()
        await self._stream.send_all(b"%d:%s," % (len(text), text))
        with trio.move_on_after(within_s):
            while token not in self._replies:
                await self._changed.wait()
            reply = self._replies.pop(token)
            if not reply.get("ok"):
                raise ProcessFailed(
                    f"baresip of {self.user} refused {name} {parameters}: {reply.get('data')}"
                )
            return str(reply.get("data", ""))
        raise ProcessFailed(f"baresip of {self.user} did not answer {name} within {within_s:g} s")

    async def wait_event(self, kind: str, *, handset: str = "", within_s: float = 10) -> Event:
        """The next event of that kind after the one that was last waited for, of a call of its own, or of one to the
        handset with that number. Raises ProcessFailed.
        """
        whose = handset or self.user
        with trio.move_on_after(within_s):
            while True:
                for index in range(self._seen, len(self.events)):
                    event = self.events[index]
                    if event.kind == kind and event.account in ("", whose):
                        self._seen = index + 1
                        return event
                await self._changed.wait()
        told = ", ".join(event.kind for event in self.events[self._seen :]) or "nothing"
        raise ProcessFailed(f"baresip of {self.user}: no {kind} within {within_s:g} s, but {told}")

    def heard_files(self) -> list[Path]:
        """The recordings of what it heard, one a call, oldest first; complete once the call has ended."""
        return sorted((self.folder / "sound").glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime)

    async def _read(self) -> None:
        buffer = b""
        async for chunk in self._stream:
            buffer += chunk
            while b":" in buffer:
                length, _, rest = buffer.partition(b":")
                size = int(length)
                if len(rest) <= size:
                    break
                message = json.loads(rest[:size])
                buffer = rest[size + 1 :]
                if message.get("event"):
                    self.events.append(Event(message["type"], message))
                else:
                    self._replies[str(message.get("token", ""))] = message
                self._changed.set()
                self._changed = trio.Event()


@asynccontextmanager
async def open_baresip(
    bed: Bed,
    user: Credentials,
    *,
    tone: float = 440.0,
    register: bool = True,
    digits: Digits = Digits.RFC4733,
    handsets: Mapping[str, Path] | None = None,
    options: str = "",
) -> AsyncIterator[Baresip]:
    """Run a user agent as `user` that plays `tone` Hz, until the block is left.

    `handsets`: numbers that it is called by as well, as a panel is, each with what is played (WAV, 8 kHz): the handset
    is lifted at once. `options` are further parameters of its account (";mediaenc=…").
    """
    folder = _new_folder(bed.run_dir / "baresip", user.user)
    control = bed.ports.take()
    write_tone(folder / "sound.wav", tone, seconds=30)
    _write_configuration(bed, folder, control)
    _write_handsets(folder, handsets or {})
    media = f"audio_codecs=pcma;answermode=manual;dtmfmode={digits.value}"
    account = (
        f'<sip:{user.user}@{REALM}>;auth_user={user.user};auth_pass={user.password};outbound="sip:{HOST}:'
        f'{bed.kamailio_sip[1]};transport=udp";{media}{options}'
    )
    stream: list[trio.SocketStream] = []

    async def ready() -> bool:
        try:
            stream.append(await trio.open_tcp_stream(HOST, control))
        except OSError:
            return False
        return True

    child = Child(
        f"baresip of {user.user}",
        [*bed.tree.command("usr/bin/baresip"), "-f", str(folder)],
        log=folder / "baresip.log",
        ready=ready,
        cwd=folder,
        stop_s=3,
    )
    async with child, stream[0], trio.open_nursery() as nursery:
        agent = Baresip(user.user, folder, child, stream[0], account)
        nursery.start_soon(agent._read)
        if register:
            await agent.register()
        else:
            await agent._become(0)
        yield agent
        nursery.cancel_scope.cancel()


def _new_folder(parent: Path, user: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{len(os.listdir(parent)):03}-{user}"
    (folder / "sound").mkdir(parents=True)
    return folder


def _write_configuration(bed: Bed, folder: Path, control: int) -> None:
    sip, media = bed.ports.take(2), bed.ports.take(10)  # it takes the port after its own for TLS
    lines = [
        f"net_interface {HOST}",
        f"sip_listen {HOST}:{sip}",
        "audio_source aufile,sound.wav",  # in its folder, where it runs: it cuts off names of files after 127 bytes
        "audio_player aubridge,none",
        "audio_alert aubridge,none",
        f"audio_path {bed.tree.root}/usr/share/baresip",
        "call_max_calls 4",
        "call_local_timeout 120",
        f"rtp_ports {media}-{media + 9}",
        "rtp_timeout 60",
        "snd_path sound",
        f"ctrl_tcp_listen {HOST}:{control}",
        f"module_path {bed.tree.root}/usr/lib/baresip/modules",
        *(f"module {name}.so" for name in MODULES),
        *(f"module_app {name}.so" for name in APPLICATIONS),
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")
    (folder / "contacts").touch()


def _write_handsets(folder: Path, handsets: Mapping[str, Path]) -> None:
    """An account for each handset, which calls nobody and answers by itself."""
    media = "regint=0;audio_codecs=pcma;answermode=auto"
    lines = []
    for n, (number, path) in enumerate(handsets.items()):
        (folder / f"handset-{n}.wav").symlink_to(path.absolute())
        lines.append(f"<sip:{number}@{HANDSETS}>;{media};audio_source=aufile,handset-{n}.wav\n")
    (folder / "accounts").write_text("".join(lines))
