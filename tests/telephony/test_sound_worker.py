"""The process for work on sound: it answers, and neither a slow job, a crash nor our own death leaves anything behind."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from config import HandsetConfig
from telephony.recording import CallFacts, Ended, Judgement, Prompt, SoundError, Verdict
from telephony.sound_worker import HOME, Job, SoundWorkers, answer

# A worker whose job is told by the file's name: sleep, crash, or say the process's own id.
FAKE = """
import os, time
from pathlib import Path
import telephony.recording_measures, telephony.sound_worker

def judge(handset: Path) -> int:
    print("a line that is no answer")
    if handset.name == "sleep":
        time.sleep(60)
    if handset.name == "crash":
        os._exit(9)
    return os.getpid()

telephony.recording_measures.judge = judge
telephony.sound_worker.main()
"""
DEADLINE_S = 20.0


@asynccontextmanager
async def running(command: tuple[str, ...] = (sys.executable, "-c", FAKE)) -> AsyncIterator[SoundWorkers]:
    workers = SoundWorkers(command)
    async with trio.open_nursery() as nursery:
        await nursery.start(workers.run)
        yield workers
        nursery.cancel_scope.cancel()


async def ask(workers: SoundWorkers, name: str, deadline_s: float = DEADLINE_S) -> int:
    return await workers.do(Job.JUDGE, {"handset": Path("/", name)}, int, deadline_s, f"measuring {name}")


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> bool:
    """Whether it ends, with all its threads, within 10 s."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        with trio.move_on_after(10):
            await trio.lowlevel.wait_readable(descriptor)
            return True
        return False
    finally:
        os.close(descriptor)


def silent(path: Path, seconds: int = 8) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000 * seconds))
    return path


async def test_a_recording_is_measured_in_the_worker(tmp_path: Path) -> None:
    facts = CallFacts(Ended.ANSWERED, (Prompt(0.5, 2.0),), lifted=True)
    workers = SoundWorkers()
    async with trio.open_nursery() as nursery:
        await nursery.start(workers.run)
        handset, sent = silent(tmp_path / "handset.wav"), silent(tmp_path / "sent.wav")

        found = await workers.measure(handset, sent, facts, HandsetConfig(), DEADLINE_S)

        assert isinstance(found, Judgement)
        assert found.verdict is Verdict.DEAD
        assert {"speech", "echo", "r_factor"} <= {measure.name for measure in found.measures}
        nursery.cancel_scope.cancel()


async def test_a_recording_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with running((sys.executable, "-m", "telephony.sound_worker")) as workers:
        none = tmp_path / "none.wav"

        with pytest.raises(
            SoundError, match=r"measuring .*none\.wav failed: reading the recording .* No such file"
        ):
            await workers.measure(none, none, CallFacts(Ended.ANSWERED), HandsetConfig(), DEADLINE_S)


async def test_jobs_share_one_process_and_each_has_its_own_answer() -> None:
    async with running() as workers:
        pids = [await ask(workers, "pid") for _ in range(3)]

        assert len(set(pids)) == 1
        assert pids[0] != os.getpid()


async def test_a_crash_fails_its_job_and_the_next_one_has_a_new_process() -> None:
    async with running() as workers:
        before = await ask(workers, "pid")

        with pytest.raises(
            SoundError, match=r"measuring crash failed: the worker process ended with exit code 9"
        ):
            await ask(workers, "crash")

        assert await ask(workers, "pid") != before


async def test_a_worker_that_died_while_idle_fails_no_job() -> None:
    async with running() as workers:
        before = await ask(workers, "pid")
        os.kill(before, 9)
        assert await gone(before)

        assert await ask(workers, "pid") != before


async def test_a_late_job_ends_its_process_and_holds_up_no_other() -> None:
    async with running() as workers:
        before = await ask(workers, "pid")

        with pytest.raises(SoundError, match=r"measuring sleep took longer than 0\.3 s"):
            await ask(workers, "sleep", 0.3)

        assert await ask(workers, "pid") != before
        assert not is_there(before)


async def test_a_job_whose_time_is_over_before_its_turn_leaves_the_process_alone() -> None:
    async with running() as workers, trio.open_nursery() as nursery:
        before = await ask(workers, "pid")
        nursery.start_soon(_fails, workers, "sleep", 1.5)
        await trio.sleep(0.1)

        with pytest.raises(SoundError, match="took longer"):
            await ask(workers, "crash", 0.2)

        assert is_there(before)


async def _fails(workers: SoundWorkers, name: str, deadline_s: float) -> None:
    with pytest.raises(SoundError):
        await ask(workers, name, deadline_s)


async def test_a_stop_ends_the_process_and_fails_what_waits() -> None:
    failed: list[str] = []

    async def fail(name: str) -> None:
        with pytest.raises(SoundError) as caught:
            await ask(workers, name)
        failed.append(str(caught.value))

    workers = SoundWorkers((sys.executable, "-c", FAKE))
    async with trio.open_nursery() as asking:
        async with trio.open_nursery() as nursery:
            await nursery.start(workers.run)
            pid = await ask(workers, "pid")
            asking.start_soon(fail, "sleep")
            await trio.sleep(0.1)
            asking.start_soon(fail, "pid")
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()

    assert not is_there(pid)
    assert sorted(failed) == [
        "measuring pid was not done: the node stops",
        "measuring sleep was cut short: the node stops",
    ]


async def test_the_process_dies_with_its_parent_even_in_the_middle_of_a_job(tmp_path: Path) -> None:
    parent = f"""
import sys, trio
from pathlib import Path
from telephony.sound_worker import Job, SoundWorkers

async def main():
    workers = SoundWorkers((sys.executable, "-c", {FAKE!r}))
    async with trio.open_nursery() as nursery:
        await nursery.start(workers.run)
        print(await workers.do(Job.JUDGE, {{"handset": Path("/pid")}}, int, 20, "a test"), flush=True)
        await workers.do(Job.JUDGE, {{"handset": Path("/sleep")}}, int, 60, "a test")

trio.run(main)
"""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=HOME
    )
    assert process.stdout is not None
    async with process.stdout:
        pid = int(await process.stdout.receive_some())
        await trio.sleep(0.2)
        process.kill()
        await process.wait()

        assert await gone(pid)


def test_nothing_but_a_known_job_is_run() -> None:
    said = answer(b'{"job": "os.system", "arguments": {"command": "true"}}').decode()

    assert "'os.system' is not a valid Job" in said
