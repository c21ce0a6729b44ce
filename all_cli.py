"""`teledom all`: a node and the CRM's server on one host, as two processes.

The CRM is nice and keeps no real-time priority, so that a busy page never delays a call. Either may end without the
other: it is started again after a pause, which grows while it keeps ending. SIGTERM or SIGINT ends both, the node with
the time that it needs to give its calls back; if we die without that, the kernel ends them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

import logs
from config import Config
from logs import get_logger
from restarts import DEFAULT_BACKOFF, Backoff

TELEDOM = Path(__file__).resolve().with_name("teledom.py")
CRM_NICE = 10
STOP_S = 10.0  # beside [node] stop_s
STOPPED, KILLED = 0, 3  # exit codes, as those of `teledom node`

log = get_logger("all")


@frozen
class Program:
    """What is run. A `nice` one keeps no real-time priority. After SIGTERM it has `stop_s` to end."""

    name: str
    command: Sequence[str]
    nice: int = 0
    stop_s: float = STOP_S


class Processes:
    """Runs programs side by side, each started again when it ends. `pids` are those that run, by name."""

    def __init__(self, programs: Sequence[Program], backoff: Backoff = DEFAULT_BACKOFF) -> None:
        self._programs = tuple(programs)
        self._backoff = backoff
        self.pids: dict[str, int] = {}
        self.killed: list[str] = []  # did not end in time

    async def run(self) -> None:
        """Until cancelled; then all have ended."""
        async with trio.open_nursery() as nursery:
            for program in self._programs:
                nursery.start_soon(self._keep, program)

    async def _keep(self, program: Program) -> None:
        failures = 0
        while True:
            began = trio.current_time()
            code = await self._live(program)
            failures = 1 if trio.current_time() - began >= self._backoff.reset_s else failures + 1
            pause_s = self._backoff.delay_s(failures)
            log.error("a process has ended", name=program.name, code=code, again_in_s=round(pause_s, 2))
            await trio.sleep(pause_s)

    async def _live(self, program: Program) -> int:
        """One life of a program: its exit code (negative: the signal that ended it)."""
        # setpriv: the kernel ends it when the thread that started it dies, which is Trio's own and no worker's.
        dies_with_us = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
        process = subprocess.Popen(  # noqa: ASYNC220
            [*dies_with_us, *program.command],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
        )
        self.pids[program.name] = process.pid
        try:
            if program.nice:
                _be_nice(process.pid, program.nice)
            log.info("a process runs", name=program.name, pid=process.pid)
            return await _ended(process)
        finally:
            with trio.CancelScope(shield=True):
                await self._end(program, process)
            self.pids.pop(program.name, None)

    async def _end(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            return
        process.terminate()
        with trio.move_on_after(program.stop_s):
            await _ended(process)
            return
        log.error("a process did not end in time, and is killed", name=program.name, within_s=program.stop_s)
        self.killed.append(program.name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads its own group
        await _ended(process)


async def _ended(process: subprocess.Popen[bytes]) -> int:
    descriptor = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
    return process.wait()


def _be_nice(pid: int, nice: int) -> None:
    """Before it has threads, which inherit it."""
    if os.sched_getscheduler(pid) != os.SCHED_OTHER:
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + nice))


def programs(config: Config, file: str) -> list[Program]:
    """The node and the CRM, both with the settings in `file`."""
    command = [sys.executable, str(TELEDOM)]
    return [
        Program("node", [*command, "node", "--config", file], stop_s=config.node.stop_s + STOP_S),
        Program("crm", [*command, "crm", "--config", file], nice=CRM_NICE),
    ]


async def run_until_signal(processes: Processes) -> int:
    """Run until SIGTERM or SIGINT: the exit code."""
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            nursery.start_soon(processes.run)
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                nursery.cancel_scope.cancel()
                break
    return KILLED if processes.killed else STOPPED


def add_to(
    commands: Any,
    common: argparse.ArgumentParser,
    *,
    load: Callable[..., Config],
    file: Callable[[argparse.Namespace], str],
) -> None:
    """Add `all` to the command line; `load` reads the settings of `file`."""

    def run(args: argparse.Namespace) -> int:
        config = load(args, need_secrets=True)
        logs.set_up(config.log)
        return trio.run(run_until_signal, Processes(programs(config, file(args))))

    parser = commands.add_parser(
        "all", parents=[common], help="run a node and the CRM's pages, as two processes, until SIGTERM"
    )
    parser.set_defaults(do=run)
