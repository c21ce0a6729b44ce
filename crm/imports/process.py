"""One run of an import in a process of its own, so that pages stay quick while a large file is read.

`python -m crm.imports.process`: what to do comes as a line of JSON on the standard input, where no list of processes
shows it; how far it is goes out as lines of JSON. It ends with whoever started it, which then wrote nothing.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import msgspec

from crm.imports.imports import ImportState, give_up, run_import
from crm.staff.staff import who_is
from crm.staff.tokens import who_has_token
from crm.store import Store, StoreError
from crm.who import Refused, Who

NICE = 10


class Errand(msgspec.Struct):
    """What to do: the file at `path` for the import `id`, as whoever asked for it (`by`) may now."""

    url: str
    secret_key: str
    id: int
    path: str
    by: str
    address: str
    check_only: bool


class Step(msgspec.Struct, array_like=True):
    """How far it is."""

    state: ImportState
    done: int
    rows: int


def who_now(store: Store, by: str, now: float, address: str = "") -> Who | None:
    """An employee or a program with a token, with the rights of now; None: not there any more."""
    kind, _, id = by.partition(":")
    match kind:
        case "employee":
            return who_is(store, int(id), address)
        case "token":
            return who_has_token(store, int(id), now)
    return None


def do(errand: Errand) -> int:
    """The exit code. What is wrong with the file stands in the table; other errors go to the standard error too."""
    now = time.time()
    try:
        with Store(errand.url, pool=3) as store:
            who = who_now(store, errand.by, now, errand.address)
            if who is None:
                give_up(
                    store, errand.id, now, "whoever asked for it is not there any more: nothing was written"
                )
                return 1
            run_import(
                store,
                errand.id,
                Path(errand.path),
                who,
                now,
                check_only=errand.check_only,
                secret_key=errand.secret_key,
                on_progress=_tell,
            )
    except (Refused, StoreError) as error:
        print(f"import {errand.id}: {error}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    errand = msgspec.json.decode(sys.stdin.buffer.readline(), type=Errand)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(NICE)
    return do(errand)


def _tell(state: ImportState, done: int, rows: int) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(Step(state, done, rows)) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_parent() -> None:
    while os.read(0, 1):  # not by the buffered reader, whose lock is not to be held when we end
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
