"""Processes side by side, with real ones: what ends is started again and touches no other, and all end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from all_cli import CRM_NICE, Processes, Program, programs
from config import Config
from restarts import Backoff

TOP = Path(__file__).resolve().parent.parent
QUICK = Backoff(min_s=0.05, max_s=0.1)
LIVES = "import time, sys; sys.stdout.flush(); time.sleep(60)"
DEAF = (
    "import signal, time, pathlib, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
)


def program(name: str, code: str, *arguments: str, nice: int = 0, stop_s: float = 5.0) -> Program:
    return Program(name, [sys.executable, "-c", code, *arguments], nice=nice, stop_s=stop_s)


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not true():  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_one_that_ends_is_started_again_and_the_other_goes_on() -> None:
    processes = Processes([program("node", LIVES), program("crm", LIVES)], QUICK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(processes.run)
        await until(lambda: len(processes.pids) == 2)
        before = dict(processes.pids)
        os.kill(before["crm"], signal.SIGKILL)
        await until(lambda: processes.pids.get("crm") not in (None, before["crm"]))

        assert processes.pids["node"] == before["node"]
        assert alive(before["node"])
        nursery.cancel_scope.cancel()
    assert not alive(before["node"])
    assert not processes.pids
    assert not processes.killed


async def test_one_that_keeps_ending_is_tried_at_longer_and_longer_pauses(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    code = "import sys, time; open(sys.argv[1], 'a').write(f'{time.monotonic()}\\n'); sys.exit(1)"
    backoff = Backoff(min_s=0.05, max_s=60, jitter=0, reset_s=60)
    processes = Processes([program("crm", code, str(lives))], backoff)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(processes.run)
        await until(lambda: lives.exists() and lives.read_text().count("\n") >= 4)
        nursery.cancel_scope.cancel()
    began = [float(line) for line in lives.read_text().split()]
    pauses = [after - before for before, after in pairwise(began)]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2), strict=False))


async def test_the_crm_is_nicer_than_the_node() -> None:
    processes = Processes([program("node", LIVES), program("crm", LIVES, nice=CRM_NICE)], QUICK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(processes.run)
        await until(lambda: len(processes.pids) == 2)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, processes.pids["node"]) == own
        assert os.getpriority(os.PRIO_PROCESS, processes.pids["crm"]) == min(19, own + CRM_NICE)
        assert os.sched_getscheduler(processes.pids["crm"]) == os.SCHED_OTHER
        nursery.cancel_scope.cancel()


async def test_one_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    there = tmp_path / "there"
    processes = Processes([program("crm", DEAF, str(there), stop_s=0.2)], QUICK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(processes.run)
        await until(there.exists)
        pid = processes.pids["crm"]
        nursery.cancel_scope.cancel()
    assert processes.killed == ["crm"]
    assert not alive(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_both_and_the_exit_code_is_0(number: signal.Signals) -> None:
    code = (
        "import logs, sys, trio\n"
        "from config import LogConfig\n"
        "logs.set_up(LogConfig())\n"
        "from all_cli import Processes, Program, run_until_signal\n"
        f"lives = [sys.executable, '-c', {LIVES!r}]\n"
        "processes = Processes([Program('node', lives), Program('crm', lives)])\n"
        "async def main():\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        nursery.start_soon(told)\n"
        "        code = await run_until_signal(processes)\n"
        "    sys.exit(code)\n"
        "async def told():\n"
        "    while len(processes.pids) < 2: await trio.sleep(0.01)\n"
        "    print(*processes.pids.values(), flush=True)\n"
        "trio.run(main)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(  # noqa: ASYNC220 - a test's
        command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        line = await trio.to_thread.run_sync(parent.stdout.readline)
        pids = [int(each) for each in line.split()]
        assert len(pids) == 2
        parent.send_signal(number)
        assert await trio.to_thread.run_sync(parent.wait, 10) == 0
    assert not any(map(alive, pids))


def test_the_programs_are_the_nodes_and_the_crms_with_the_same_settings() -> None:
    node, crm = programs(Config(), "/etc/teledom.toml")
    assert node.command[1:] == [str(TOP / "teledom.py"), "node", "--config", "/etc/teledom.toml"]
    assert crm.command[1:] == [str(TOP / "teledom.py"), "crm", "--config", "/etc/teledom.toml"]
    assert (node.nice, crm.nice) == (0, 10)
    assert node.stop_s > Config().node.stop_s
