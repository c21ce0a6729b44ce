"""Imports of CSV and XLSX files: houses, flats, accounts, panels and keys, checked as a whole and written as a whole.

`start_import` puts an import down, `run_import` does it; both are synchronous. Nothing of a file is written unless all of
it is right, and all of it is written in one transaction together with the import's end: whatever dies on the way, it was
either done or nothing of it was, and `run_import` does it again from the start. What a page needs of each kind says
`describe`. Functions raise crm.who's Refused errors and crm.store's StoreError.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import sqlalchemy as sa
import sqlalchemy.exc
from attrs import frozen

from config import SECRET_KEY
from crm.imports.columns import Column, Fault
from crm.imports.job import Choice, Counts, count_found
from crm.imports.reading import MAX_BYTES, MAX_ROWS, Unreadable, open_sheet
from crm.imports.run import KINDS, FileRefused, Progress, Run
from crm.imports.staging import open_staging
from crm.imports.states import GOING, ImportKind, ImportState, ImportView, encode_faults, view_of
from crm.imports.statistics import refresh_statistics
from crm.model import table
from crm.rights import Right
from crm.store import Store, StoreError
from crm.tables.imports import Import
from crm.who import Conflict, Invalid, NotFound, Who

__all__ = [
    "MAX_BYTES",
    "MAX_ROWS",
    "Choice",
    "Column",
    "Fault",
    "ImportKind",
    "ImportState",
    "ImportView",
    "KindInfo",
    "Progress",
    "ask_again",
    "cancel_import",
    "describe",
    "get_import",
    "give_up",
    "list_imports",
    "run_import",
    "start_import",
    "unfinished_imports",
]

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "imports"
CHOICE_MOST = 255  # characters
_BROKEN_OFF = "broken off, nothing was written: import the file again"
_IMPORTS = table(Import)


@frozen
class KindInfo:
    """What a page says of a kind: its columns, what is chosen for a file, the right beside imports.run, a sample file."""

    kind: ImportKind
    columns: tuple[Column, ...]
    choices: tuple[Choice, ...]
    right: Right
    sample: Path


def describe(kind: ImportKind) -> KindInfo:
    """What there is to know of a kind before a file is chosen."""
    of = KINDS[kind]
    return KindInfo(kind, of.columns, of.choices, of.right, SAMPLES / f"{kind.value}.csv")


def start_import(
    store: Store, kind: ImportKind, name: str, who: Who, now: float, choices: Mapping[str, str] | None = None
) -> int:
    """Put an import of the file called `name` down; its id. Raises Forbidden, Invalid (a choice)."""
    _need(who, kind)
    chosen = _chosen(kind, choices or {})
    values = {
        **{
            "kind": kind.value,
            "name": name[:255],
            "state": ImportState.CHECKING.value,
            "by": who.by,
            "who": who.name,
        },
        **{"rows": 0, "done": 0, "added": 0, "changed": 0, "errors": "[]", "created_at": now},
        "choices": msgspec.json.encode(chosen).decode(),
    }
    with store.transaction() as connection:
        return int(
            connection.execute(sa.insert(_IMPORTS).values(**values).returning(_IMPORTS.c.id)).scalar_one()
        )


def run_import(
    store: Store,
    import_id: int,
    path: Path,
    who: Who,
    now: float,
    *,
    check_only: bool = False,
    secret_key: str | None = None,
    on_progress: Progress | None = None,
) -> ImportView:
    """Check the file at `path`, and write it if all of it is right; with `check_only` it is READY then, and says how many
    of its rows would be added, and how many are there already (`changed`, though of some nothing may differ).

    Called again, it does an import anew that was broken off, refused, failed or only checked; one that is done stays as
    it is. `secret_key` seals panels' passwords; None: that of the environment. `on_progress` is told the state, rows done
    and rows in all. What is wrong with the file is in the answer. Raises NotFound, Forbidden, Conflict (somebody changed
    the same things meanwhile), and whatever else broke it off, after it was noted as FAILED.
    """
    view = _get(store, import_id)
    _need(who, view.kind)
    if view.state is ImportState.DONE:
        return view
    key = os.environ.get(SECRET_KEY, "") if secret_key is None else secret_key
    run = Run(store, view, who, now, key, on_progress or (lambda state, done, rows: None))
    run.tell(ImportState.CHECKING)
    counts = Counts(0, 0)
    written: tuple[str, ...] = ()
    try:
        with open_sheet(path) as sheet, open_staging(store) as staging:
            importer = run.check(sheet, staging, check_only=check_only)
            if check_only:
                counts = count_found(importer.job)
            else:
                written = run.write(importer)
        if check_only:
            run.end(ImportState.READY, counts=counts)
    except FileRefused as refused:
        run.end(ImportState.REFUSED, refused.faults)
    except Unreadable as error:
        run.end(ImportState.REFUSED, (Fault(0, "", str(error)),))
    except sa.exc.IntegrityError as error:
        text = "somebody changed the same things at the same time: nothing was written; do it again"
        run.end(ImportState.FAILED, (Fault(0, "", text),))
        raise Conflict(f"importing {view.name}: {text}") from error
    except BaseException as error:
        with suppress(StoreError):
            said = str(error) or type(error).__name__
            run.end(ImportState.FAILED, (Fault(0, "", f"broken off, nothing was written: {said}"),))
        raise
    refresh_statistics(store, written)
    return _get(store, import_id)


def list_imports(
    store: Store, who: Who, *, limit: int = 50, before: int | None = None
) -> tuple[ImportView, ...]:
    """The newest first, from before the id `before`: all, to who may import everywhere; to others their own."""
    who.need(Right.IMPORTS_RUN)
    query = sa.select(_IMPORTS).order_by(_IMPORTS.c.id.desc()).limit(limit)
    if not who.rights.may_everywhere(Right.IMPORTS_RUN):
        query = query.where(_IMPORTS.c.by == who.by)
    if before is not None:
        query = query.where(_IMPORTS.c.id < before)
    with store.reading() as connection:
        return tuple(view_of(row) for row in connection.execute(query))


def get_import(store: Store, import_id: int, who: Who) -> ImportView:
    """How an import stands. Raises NotFound, Forbidden."""
    who.need(Right.IMPORTS_RUN)
    view = _get(store, import_id)
    if view.by != who.by and not who.rights.may_everywhere(Right.IMPORTS_RUN):
        raise NotFound(f"there is no import {import_id}")
    return view


def unfinished_imports(store: Store) -> tuple[ImportView, ...]:
    """Those that were going on: when the program that runs them starts, each is to be run again, or given up."""
    going = _IMPORTS.c.state.in_([state.value for state in GOING])
    with store.reading() as connection:
        rows = connection.execute(sa.select(_IMPORTS).where(going).order_by(_IMPORTS.c.id))
        return tuple(view_of(row) for row in rows)


def ask_again(store: Store, import_id: int, who: Who, choices: Mapping[str, str] | None = None) -> ImportView:
    """Put down that one is to be run again, by `who`: one that is READY, to be written; or, with `choices`, one that is
    READY or REFUSED, to be checked with these. Raises NotFound, Forbidden, Invalid (a choice), Conflict.
    """
    view = get_import(store, import_id, who)
    _need(who, view.kind)
    values = {"state": ImportState.CHECKING.value, "by": who.by, "who": who.name, "done": 0}
    states = [ImportState.READY.value]
    if choices is not None:
        states.append(ImportState.REFUSED.value)
        values["choices"] = msgspec.json.encode(_chosen(view.kind, choices)).decode()
    mine = sa.and_(_IMPORTS.c.id == import_id, _IMPORTS.c.state.in_(states))
    with store.transaction() as connection:
        if connection.execute(sa.update(_IMPORTS).where(mine).values(**values)).rowcount != 1:
            raise Conflict(f"import {import_id} is not waiting for anybody: look how it stands")
    return _get(store, import_id)


def give_up(store: Store, import_id: int, now: float, why: str = _BROKEN_OFF) -> None:
    """Say of one that was broken off, and whose file is gone, that nothing of it was written."""
    fault = Fault(0, "", why)
    mine = sa.and_(_IMPORTS.c.id == import_id, _IMPORTS.c.state.in_([state.value for state in GOING]))
    values = {"state": ImportState.FAILED.value, "errors": encode_faults([fault]), "ended_at": now}
    with store.transaction() as connection:
        connection.execute(sa.update(_IMPORTS).where(mine).values(**values))


def cancel_import(store: Store, import_id: int, who: Who, now: float) -> None:
    """End one that goes on or waits to be written: nothing of it is written. Raises NotFound, Forbidden, Conflict."""
    view = get_import(store, import_id, who)
    _need(who, view.kind)
    fault = Fault(0, "", f"{who.name} has cancelled it: nothing was written")
    states = [state.value for state in (*GOING, ImportState.READY)]
    mine = sa.and_(_IMPORTS.c.id == import_id, _IMPORTS.c.state.in_(states))
    values = {"state": ImportState.FAILED.value, "errors": encode_faults([fault]), "ended_at": now}
    with store.transaction() as connection:
        if connection.execute(sa.update(_IMPORTS).where(mine).values(**values)).rowcount != 1:
            raise Conflict(f"import {import_id} is over already: look what came of it")


def _need(who: Who, kind: ImportKind) -> None:
    who.need(Right.IMPORTS_RUN)
    who.need(KINDS[kind].right)


def _chosen(kind: ImportKind, choices: Mapping[str, str]) -> dict[str, str]:
    """All choices of this kind, those not made with their defaults. Raises Invalid."""
    known = {choice.name: choice for choice in KINDS[kind].choices}
    errors = {name: f"{kind.value} have no such choice" for name in choices if name not in known}
    chosen = {name: choices.get(name) or choice.default for name, choice in known.items()}
    for name, value in chosen.items():
        options = known[name].options
        if options and value not in options:
            errors[name] = f"one of {', '.join(options)} is expected, not {value[:40]}"
        elif len(value) > CHOICE_MOST:
            errors[name] = f"at most {CHOICE_MOST} characters are expected"
    if errors:
        raise Invalid(errors)
    return chosen


def _get(store: Store, import_id: int) -> ImportView:
    with store.reading() as connection:
        row = connection.execute(sa.select(_IMPORTS).where(_IMPORTS.c.id == import_id)).first()
    if row is None:
        raise NotFound(f"there is no import {import_id}")
    return view_of(row)
