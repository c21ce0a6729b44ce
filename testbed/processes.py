"""Real processes under Trio: started, waited for, and ended whatever happens.

A `Child` is one process of ours with its log file; it is ended by its own id (TERM, then KILL) when its `async with`
is left, and by the kernel when we die without leaving it. `open_ports` hands out ports of 127.0.0.1 that no other
testbed on this machine uses, `open_port` one alone.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import trio
from attrs import define, field, frozen

HOST = "127.0.0.1"
SLOT_PORTS = (
    4000  # a testbed's own ports: the first CONTROL_PORTS for SIP, HTTP and control, the rest for RTP
)
CONTROL_PORTS = 1000
FIRST_PORT = 12_000
SLOTS = 13
SINGLE_PORTS = range(10_000, 11_000)


class ProcessFailed(Exception):
    """A process didn't start, wasn't ready in time or ended too early; the message has the end of its log."""


@define
class Child:
    """One process of ours. Use it as an async context manager, or `start` and `stop` it.

    `ready` is asked every 20 ms until it says True, for `ready_s` at most.
    """

    name: str
    command: list[str]
    log: Path
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_s: float = 15.0
    stop_s: float = 5.0
    cwd: Path | None = None
    env: Mapping[str, str] = field(factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Its process id. Raises ProcessFailed before it was started."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises ProcessFailed, after ending it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # setpriv: the kernel ends it when the thread that started it dies, even of SIGKILL. That is why it is started
        # here and not in one of Trio's worker threads, which come and go.
        dies_with_us = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220
                [*dies_with_us, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env={**os.environ, **self.env},
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle, in our order
            )
        if self.ready is None:
            return
        try:
            with trio.move_on_after(self.ready_s):
                while True:
                    if self._process.poll() is not None:
                        raise ProcessFailed(
                            f"{self.name} ended with exit code {self._process.returncode}{self._log_end()}"
                        )
                    if await self.ready():
                        return
                    await trio.sleep(0.02)
            raise ProcessFailed(f"{self.name} was not ready after {self.ready_s:g} s{self._log_end()}")
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Wait for its end; its exit code (negative: the signal that ended it)."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} was not started")
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self._process.pid)
            try:
                await trio.lowlevel.wait_readable(descriptor)
            finally:
                os.close(descriptor)
        return self._process.wait()

    async def stop(self) -> None:
        """End it: TERM, after `stop_s` KILL. Never fails, and isn't cut short by a cancellation."""
        process = self._process
        if process is None:
            return
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.terminate()
                with trio.move_on_after(self.stop_s):
                    await self.wait()
            await self.kill()

    async def kill(self) -> None:
        """End it and what it started with KILL, as a crash would."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads its own group
        with trio.CancelScope(shield=True):
            await self.wait()

    async def restart(self) -> None:
        """End it and start it again."""
        await self.stop()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def log_lines(self) -> list[str]:
        """Its log so far."""
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def _log_end(self) -> str:
        lines = self.log_lines()[-12:]
        return f"; the end of {self.log}:\n" + "\n".join(lines) if lines else f"; {self.log} is empty"


@frozen
class Ports:
    """One testbed's own ports of 127.0.0.1, from `base` on."""

    base: int
    _next: Iterator[int]

    @property
    def rtp(self) -> tuple[int, int]:
        """First and last port for Asterisk's media."""
        return self.base + CONTROL_PORTS, self.base + SLOT_PORTS - 1

    def take(self, count: int = 1) -> int:
        """The first of `count` ports in a row that are free on UDP and TCP and not yet handed out."""
        run: list[int] = []
        for port in self._next:
            run = [*run, port] if port_is_free(port) else []
            if len(run) == count:
                return run[0]
        raise ProcessFailed(f"no {count} ports in a row are left from {self.base} on")


@contextmanager
def open_ports() -> Iterator[Ports]:
    """Ports for one testbed, until the block is left or this process dies."""
    # Below 32768 first: above it the kernel picks ports for whoever asks for any.
    slots = random.sample(range(5), 5) + random.sample(range(5, SLOTS), SLOTS - 5)
    for slot in slots:
        base = FIRST_PORT + slot * SLOT_PORTS
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
            if not _claimed(claim, base):
                continue
            yield Ports(base, iter(range(base, base + CONTROL_PORTS)))
            return
    raise ProcessFailed(f"{SLOTS} testbeds are running on this machine already: end one of them")


@contextmanager
def open_port() -> Iterator[int]:
    """One port alone, for what is no testbed, until the block is left or this process dies."""
    for port in random.sample(SINGLE_PORTS, len(SINGLE_PORTS)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
            if _claimed(claim, port) and port_is_free(port):
                yield port
                return
    raise ProcessFailed(f"no port from {SINGLE_PORTS[0]} to {SINGLE_PORTS[-1]} is free: end some programs")


def _claimed(claim: socket.socket, port: int) -> bool:
    """The kernel lets one process have a name, and forgets it for us."""
    try:
        claim.bind(f"\0teledom-testbed-{port}")
    except OSError:
        return False
    return True


def port_is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True


def is_bound(port: int) -> bool:
    """Whether somebody has this UDP port. It is only looked at: to try it would take it from whoever is about to."""
    table = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(int(line.split()[1].partition(":")[2], 16) == port for line in table)
