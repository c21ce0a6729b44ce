"""Children are waited for, ended whatever happens, and tell why when they fail."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from testbed.processes import HOST, Child, ProcessFailed, is_bound, open_port, open_ports


def child(tmp_path: Path, script: str, **more: object) -> Child:
    return Child("child", ["sh", "-c", script], log=tmp_path / "log", **more)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_is_ended_when_its_block_is_left_by_an_error(tmp_path: Path) -> None:
    process = child(tmp_path, "exec sleep 60")

    with suppress(RuntimeError):
        async with process:
            raise RuntimeError

    assert not alive(process.pid)


async def test_a_child_that_ignores_term_is_killed(tmp_path: Path) -> None:
    async def up() -> bool:
        return process.log_lines() == ["up"]

    process = child(tmp_path, "trap '' TERM; echo up; while :; do sleep 0.1; done", ready=up, stop_s=0.2)
    await process.start()

    await process.stop()

    assert await process.wait() == -signal.SIGKILL


async def test_a_child_that_ends_too_early_tells_the_end_of_its_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(ProcessFailed, match=r"(?s)exit code 3.*no such luck"):
        await child(tmp_path, "echo no such luck; exit 3", ready=never).start()


async def test_a_child_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    process = child(tmp_path, "exec sleep 60", ready=never, ready_s=0.1)

    with pytest.raises(ProcessFailed, match=r"not ready after 0\.1 s"):
        await process.start()

    assert not process.running


def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import trio, pathlib\nfrom testbed.processes import Child\n"
        "async def main():\n"
        f"    async with Child('c', ['sleep', '60'], log=pathlib.Path({str(tmp_path / 'log')!r})) as c:\n"
        "        print(c.pid, flush=True)\n        await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        watched = os.pidfd_open(pid)
        parent.kill()

    try:
        trio.run(_ended, watched)
    finally:
        os.close(watched)


async def _ended(descriptor: int) -> None:
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(descriptor)


def test_two_testbeds_have_no_port_in_common() -> None:
    with open_ports() as one, open_ports() as other:
        assert one.base != other.base
        assert one.rtp[0] > one.base


def test_a_port_that_is_taken_is_not_handed_out() -> None:
    with open_ports() as ports, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        first = ports.take()
        taken.bind((HOST, first + 1))

        assert ports.take(2) > first + 1


def test_a_port_alone_is_free_and_nobody_elses() -> None:
    with open_port() as one, open_port() as other, socket.socket(socket.AF_INET) as taker:
        taker.bind((HOST, one))
        assert one != other


def test_that_a_port_is_bound_is_seen_without_taking_it() -> None:
    with open_port() as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        assert not is_bound(port)
        taker.bind((HOST, port))
        assert is_bound(port)
