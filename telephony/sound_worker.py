"""A process of its own for work on sound: measuring recordings, drawing them. The node's loop never waits for it.

`SoundWorkers` is a child for a supervisor. It owns the process, which is started when the first job comes, works on one
job after the other, and is ended with the node; a job that is late or crashes takes the process with it, and the next job
gets a new one. Run as a program, this module is that process: a job is a line of JSON on its standard input, the answer a
line on its standard output; when its input ends, as it does when the node dies, it ends at once.

What may be run is in `Job`: the dotted names of functions of ours, whose arguments and result are records, paths,
enums, numbers and texts.
"""

from __future__ import annotations

import importlib
import os
import queue
import subprocess
import sys
import threading
import typing
from collections import deque
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio
from attrs import define, field

from config import HandsetConfig
from logs import get_logger
from telephony.recording import CallFacts, Judgement, SoundError

T = TypeVar("T")

COMMAND = (sys.executable, "-m", "telephony.sound_worker")
HOME = Path(__file__).parents[1]
NICENESS = 10  # calls come first
ANSWER_BYTES = 1_048_576
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}  # a job does not take the cores that calls need

log = get_logger("sound")


class Job(Enum):
    """What a worker may be asked to do."""

    JUDGE = "telephony.recording_measures.judge"
    DRAW = "telephony.sound_picture.draw"


@define(eq=False)
class _Asked:
    line: bytes
    what: str
    due: float  # on Trio's clock
    ended: trio.Event = field(factory=trio.Event, init=False)
    answer: Any = field(default=None, init=False)
    failure: str = field(default="", init=False)

    def end(self, *, answer: Any = None, failure: str = "") -> None:
        self.answer, self.failure = answer, failure
        self.ended.set()


class SoundWorkers:
    """Runs jobs in a process that `command` starts."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = [*command]
        # All state: jobs that wait, oldest first, and the process, which only `run` starts, feeds and ends.
        self._waiting: deque[_Asked] = deque()
        self._wake = trio.Event()
        self._process: trio.Process | None = None
        self._unread = b""

    async def measure(
        self, handset: Path, sent: Path, facts: CallFacts, thresholds: HandsetConfig, deadline_s: float
    ) -> Judgement:
        """What recording_measures.judge says of a call, within `deadline_s`; absolute paths. Raises SoundError."""
        arguments = {"handset": handset, "sent": sent, "facts": facts, "thresholds": thresholds}
        return await self.do(Job.JUDGE, arguments, Judgement, deadline_s, f"measuring {handset}")

    async def do(
        self, job: Job, arguments: dict[str, Any], result: type[T], deadline_s: float, what: str
    ) -> T:
        """The `result` of a job with these arguments, within `deadline_s` from now. Raises SoundError.

        `what` says for the error what is done to which file: "measuring FILE". Paths must be absolute.
        """
        line = msgspec.json.encode({"job": job, "arguments": arguments}, enc_hook=_plain) + b"\n"
        asked = _Asked(line, what, trio.current_time() + deadline_s)
        self._waiting.append(asked)
        self._wake.set()
        try:
            with trio.move_on_at(asked.due):
                await asked.ended.wait()
        finally:
            if asked in self._waiting:
                self._waiting.remove(asked)
        if not asked.ended.is_set():
            raise SoundError(
                f"{what} took longer than {deadline_s:g} s: see whether this machine is overloaded"
            )
        if asked.failure:
            raise SoundError(asked.failure)
        return msgspec.convert(asked.answer, result, dec_hook=_rich)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work on jobs until cancelled; those that wait then fail."""
        try:
            task_status.started()
            while True:
                self._wake = trio.Event()
                if not self._waiting:
                    await self._wake.wait()
                    continue
                await self._work(self._waiting.popleft())
        finally:
            await self._end()
            while self._waiting:
                asked = self._waiting.popleft()
                asked.end(failure=f"{asked.what} was not done: the node stops")

    async def _work(self, asked: _Asked) -> None:
        """One job, until its end or its deadline: then the process goes, as nothing else ends a function in it."""
        failure = f"{asked.what} was cut short: the node stops"
        try:
            with trio.move_on_at(asked.due) as scope:
                reply = msgspec.json.decode(await self._exchange(asked.line))
                failure = f"{asked.what} failed: {reply['failed']}" if reply["failed"] else ""
                asked.end(answer=reply["result"], failure=failure)
            if scope.cancelled_caught:
                log.warning("a job on sound was late: its worker is ended", what=asked.what)
        except (OSError, trio.BrokenResourceError, msgspec.DecodeError, _Crashed) as error:
            why = str(error) or "broke"
            failure = (
                f"{asked.what} failed: the worker process {why}: try it again, and see the log if it lasts"
            )
            log.error("the worker for sound ended", what=asked.what, why=why)
        finally:
            if not asked.ended.is_set():
                await self._end()
                if trio.current_time() < asked.due:
                    asked.end(failure=failure)

    async def _exchange(self, line: bytes) -> bytes:
        """The answer to a line, from the process; started if there is none."""
        if self._process is None or self._process.poll() is not None:
            await self._end()
            self._process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=HOME,
                env={**os.environ, **ONE_THREAD},
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send_all(line)
        while b"\n" not in self._unread:
            data = await process.stdout.receive_some()
            if not data or len(self._unread) > ANSWER_BYTES:
                raise _Crashed(
                    f"ended with exit code {await process.wait()}" if not data else "says too much"
                )
            self._unread += data
        answer, _, self._unread = self._unread.partition(b"\n")
        return answer

    async def _end(self) -> None:
        process, self._process, self._unread = self._process, None, b""
        if process is None:
            return
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()


class _Crashed(Exception):
    """The process ended, or says what it should not."""


def _plain(value: object) -> str:
    """A path as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be handed to a worker for sound")


def _rich(kind: type[Any], value: Any) -> Any:
    """And back."""
    if kind is Path:
        return Path(value)
    raise TypeError(f"{kind.__name__} cannot be handed to a worker for sound")


def answer(line: bytes) -> bytes:
    """Do the job that a line asks for; the line that answers it."""
    result: Any = None
    failed = ""
    try:
        asked = msgspec.json.decode(line)
        module, _, name = Job(asked["job"]).value.rpartition(".")
        function = getattr(importlib.import_module(module), name)
        kinds = typing.get_type_hints(function)
        arguments = {
            each: msgspec.convert(value, kinds[each], dec_hook=_rich)
            for each, value in asked["arguments"].items()
        }
        result = msgspec.to_builtins(function(**arguments), enc_hook=_plain)
    except (
        Exception
    ) as error:  # whatever a recording brings about: the next one is to be measured all the same
        foreseen = isinstance(error, SoundError)  # it says all
        failed = str(error) if foreseen else f"{type(error).__name__}: {error}: report it, with the recording"
    return msgspec.json.encode({"result": result, "failed": failed}) + b"\n"


def main() -> None:
    """Be the worker: answer lines until there are no more."""
    os.nice(NICENESS)
    # What a job prints by mistake belongs into the log, not between the answers.
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(2, 1)
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(lines,), daemon=True).start()
        while True:
            answers.write(answer(lines.get()))


def _read(lines: queue.SimpleQueue[bytes]) -> None:
    """Take jobs in, and end the process, in whatever work, once nobody is there to give any."""
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
