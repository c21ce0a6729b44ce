"""The imports that pages and programs ask for: their files, and who runs them, one at a time.

A file waits in a folder as ID.check, or as ID.write once it is to be written; the import's state says the rest, so that
a program that was ended goes on where it was: what was broken off has written nothing, and is done again. Each run is a
process of its own (crm.imports.process): a large file keeps a processor busy for minutes, which a thread would take from
the pages. One program with this runs over a database.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import msgspec
import structlog
import trio
from attrs import define, evolve, field, frozen

from crm.imports.imports import (
    ImportKind,
    ImportState,
    ImportView,
    ask_again,
    cancel_import,
    describe,
    get_import,
    give_up,
    start_import,
    unfinished_imports,
)
from crm.imports.process import Errand, Step
from crm.imports.reading import MAX_BYTES
from crm.store import Store, StoreError
from crm.who import SYSTEM, Conflict, Invalid, Refused, Who

KEEP_S = 86_400.0  # a file that nobody asks for any more
LOOK_S = 600.0
AGAIN_S = 5.0  # after the database was away
TRIES = 3
PORTION = 2**20
ROOT = Path(__file__).resolve().parents[2]
GOING = (ImportState.CHECKING, ImportState.WRITING)
log = structlog.get_logger("imports")


@frozen
class Upload:
    """A file that was taken in, and its SHA-256."""

    path: Path
    hash: str


@define(eq=False)
class ImportWorker:
    """Takes files in and runs imports. Its functions are for handlers' threads; `run` and `wake` for Trio's."""

    store: Store
    url: str = field(repr=False)
    secret_key: str = field(repr=False)
    folder: Path
    clock: Callable[[], float] = time.time
    _woken: trio.Event = field(factory=trio.Event, init=False)
    _steps: dict[int, Step] = field(factory=dict, init=False)  # of the one that is running
    _addresses: dict[int, str] = field(factory=dict, init=False)
    _tries: dict[int, int] = field(factory=dict, init=False)
    _processes: dict[int, trio.Process] = field(factory=dict, init=False)
    _stopped: set[int] = field(factory=set, init=False)  # broken off, and about to be cancelled
    # Held while an import is put down and its file gets its name: one without a file is given up.
    _adding: threading.Lock = field(factory=threading.Lock, init=False)

    # --- for pages and requests ------------------------------------------------------------------------------------

    def take_in(self, file: IO[bytes]) -> Upload:
        """Copy an uploaded file into the folder. Raises Invalid (too large, empty), Refused (the disk)."""
        path = self.folder / f"{uuid.uuid4().hex}.new"
        hash, size = hashlib.sha256(), 0
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("xb") as kept:
                while portion := file.read(PORTION):
                    size += len(portion)
                    if size > MAX_BYTES:
                        raise Invalid({"file": f"the file has more than {MAX_BYTES // 2**20} MB: split it"})
                    hash.update(portion)
                    kept.write(portion)
            if not size:
                raise Invalid({"file": "choose a file: this one is empty"})
        except OSError as error:
            path.unlink(missing_ok=True)
            raise Refused(f"the file cannot be kept in {self.folder}: {error.strerror}") from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Upload(path, hash.hexdigest())

    def add(
        self,
        upload: Upload,
        kind: ImportKind,
        name: str,
        who: Who,
        choices: Mapping[str, str],
        *,
        write: bool = False,
    ) -> int:
        """Put an import down, to be checked, and with `write` to be written at once if it is right; its id.

        Call `wake` then. Raises as crm.imports.imports.start_import; the file is gone then.
        """
        try:
            with self._adding:
                id = start_import(self.store, kind, name, who, self.clock(), choices)
                upload.path.rename(self._path(id, write=write))
        except BaseException:
            upload.path.unlink(missing_ok=True)
            raise
        self._addresses[id] = who.address
        return id

    def write(self, id: int, who: Who) -> None:
        """Have one that is READY written. Call `wake` then. Raises NotFound, Forbidden, Conflict."""
        with self._adding:
            self._need_file(id, who)
            ask_again(self.store, id, who)
            checked = self._path(id, write=False)
            if checked.exists():
                checked.rename(self._path(id, write=True))
        self._addresses[id] = who.address

    def check(self, id: int, who: Who, choices: Mapping[str, str]) -> None:
        """Have one checked again, with other choices. Call `wake` then. Raises NotFound, Forbidden, Invalid, Conflict."""
        with self._adding:
            self._need_file(id, who)
            ask_again(self.store, id, who, choices)
            asked = self._path(id, write=True)
            if asked.exists():
                asked.rename(self._path(id, write=False))
        self._addresses[id] = who.address

    def cancel(self, id: int, who: Who) -> None:
        """Say of one that nothing of it is to be written; call `stop` before. Raises NotFound, Forbidden, Conflict."""
        try:
            with self._adding:
                cancel_import(self.store, id, who, self.clock())
                path = self.file_of(id)
                if path is not None:
                    path.unlink(missing_ok=True)
        finally:
            self._stopped.discard(id)

    def get(self, id: int, who: Who) -> ImportView:
        """How one stands, to the last second. Raises NotFound, Forbidden."""
        view = get_import(self.store, id, who)
        step = self._steps.get(id)
        if step is None or view.state not in GOING or step.state not in GOING:
            return view
        return evolve(view, state=step.state, done=step.done, rows=step.rows)

    def is_running(self, id: int) -> bool:
        """False: it is over, or waits for its turn."""
        return id in self._steps

    def file_of(self, id: int) -> Path | None:
        """Its file; None: it is not here any more."""
        paths = (self._path(id, write=write) for write in (True, False))
        return next((path for path in paths if path.exists()), None)

    # --- in Trio's thread ------------------------------------------------------------------------------------------

    async def wake(self) -> None:
        """Look now at what there is to do."""
        self._woken.set()

    async def stop(self, id: int) -> None:
        """Break one off if it is running, and begin it no more until `cancel` has ended it."""
        self._stopped.add(id)
        process = self._processes.get(id)
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """Run imports until cancelled; the one that is going on is broken off then, and done again by the next `run`."""
        task_status.started()
        while True:
            self._woken = trio.Event()
            wait_s = LOOK_S
            try:
                await self.work_off()
            except (StoreError, OSError) as error:
                log.warning("imports wait", why=str(error), again_s=AGAIN_S)
                wait_s = AGAIN_S
            with trio.move_on_after(wait_s):
                await self._woken.wait()

    async def work_off(self) -> None:
        """Run all that waits. Raises StoreError, OSError."""
        while (found := await trio.to_thread.run_sync(self._next)) is not None:
            view, path = found
            self._steps[view.id] = Step(view.state, 0, view.rows)
            try:
                code = await self._run(view, path)
            finally:
                del self._steps[view.id]
            await trio.to_thread.run_sync(self._after, view.id, code)

    async def _run(self, view: ImportView, path: Path) -> int:
        """The exit code."""
        errand = Errand(
            self.url,
            self.secret_key,
            view.id,
            str(path),
            view.by,
            self._addresses.get(view.id, ""),
            path.suffix == ".check",
        )
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "crm.imports.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,  # what ends us in a terminal is ours to pass on
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._processes[view.id] = process
        if view.id in self._stopped:
            process.kill()
        try:
            # Its input stays open: its end is how the process knows that we are gone.
            await process.stdin.send_all(msgspec.json.encode(errand) + b"\n")
            rest = b""
            async for portion in process.stdout:
                *lines, rest = (rest + portion).split(b"\n")
                if lines:
                    self._steps[view.id] = msgspec.json.decode(lines[-1], type=Step)
            await process.wait()
        except trio.BrokenResourceError:
            await process.wait()  # it ended before it had read what to do
        finally:
            del self._processes[view.id]
            if process.returncode is None:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
            await trio.aclose_forcefully(process.stdin)
            await trio.aclose_forcefully(process.stdout)
        return process.returncode or 0

    # --- in worker threads -----------------------------------------------------------------------------------------

    def _next(self) -> tuple[ImportView, Path] | None:
        """What is to be run next; what has no file any more is given up."""
        with self._adding:
            self._clear_away()
            for view in unfinished_imports(self.store):
                if not view.by.startswith(("employee:", "token:")):
                    continue  # somebody runs it on the command line
                if view.id in self._stopped:
                    continue
                path = self.file_of(view.id)
                if path is not None:
                    return view, path
                give_up(self.store, view.id, self.clock())
        return None

    def _after(self, id: int, code: int) -> None:
        """Drop the file of one that is over. Raises StoreError: it may be tried again."""
        view = get_import(self.store, id, SYSTEM)
        if id in self._stopped:
            return
        if view.state in GOING and code == 0:
            return  # it ended, and was asked for again in the same moment
        if view.state in GOING:
            self._tries[id] = self._tries.get(id, 0) + 1
            if self._tries[id] < TRIES:
                raise StoreError(f"import {id} was broken off before its end: it is done again")
            give_up(self.store, id, self.clock())
        self._tries.pop(id, None)
        again = view.state is ImportState.REFUSED and any(
            each.options for each in describe(view.kind).choices
        )
        if view.state is not ImportState.READY and not again:
            self._addresses.pop(id, None)
            path = self.file_of(id)
            if path is not None:
                path.unlink(missing_ok=True)

    def _clear_away(self) -> None:
        """Drop files that were not asked for within a day."""
        if not self.folder.is_dir():
            return
        going = {view.id for view in unfinished_imports(self.store)}
        for path in self.folder.iterdir():
            id = int(path.stem) if path.stem.isdecimal() else 0
            try:
                if id not in going and path.stat().st_mtime < self.clock() - KEEP_S:
                    path.unlink()
            except FileNotFoundError:
                continue

    def _need_file(self, id: int, who: Who) -> None:
        get_import(self.store, id, who)
        if self.file_of(id) is None:
            raise Conflict(f"the file of import {id} is not here any more: import it again")

    def _path(self, id: int, *, write: bool) -> Path:
        return self.folder / f"{id}.{'write' if write else 'check'}"
