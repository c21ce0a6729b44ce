"""One run of an import: the file into temporary tables, all that is wrong, and the one transaction that writes it.

How far it is goes into the table `imports` by a second connection; only the end, DONE, is written together with the rows,
so that it holds if and only if they are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from attrs import define, field

from crm.changes import note_change
from crm.imports.book import Book
from crm.imports.columns import BadCell, Fault, Value, read_headings
from crm.imports.job import MOST_FAULTS, WORDS, Counts, Importer, Job
from crm.imports.kinds.accounts import Accounts
from crm.imports.kinds.flats import Flats
from crm.imports.kinds.houses import Houses
from crm.imports.kinds.keys import Keys
from crm.imports.kinds.panels import Panels
from crm.imports.reading import Line, Sheet, Unreadable
from crm.imports.staging import Staging
from crm.imports.states import ImportKind, ImportState, ImportView, encode_faults
from crm.keys.panels import sync_keys
from crm.model import table
from crm.search.index import add_words, reindex
from crm.store import Store
from crm.tables.imports import Import
from crm.who import Conflict, Who

PROGRESS_S = 0.5  # between two notes of how far it is
MUCH = 3000  # rows, after which the database has to learn what is in its tables now
LOOK_EVERY = 256  # rows between two looks at the clock
NO_COUNTS = Counts(0, 0)

Progress = Callable[[ImportState, int, int], None]
_IMPORTS = table(Import)

KINDS: Mapping[ImportKind, type[Importer]] = {
    ImportKind.HOUSES: Houses,
    ImportKind.FLATS: Flats,
    ImportKind.ACCOUNTS: Accounts,
    ImportKind.PANELS: Panels,
    ImportKind.KEYS: Keys,
}


class FileRefused(Exception):
    """Something is wrong with the rows: nothing is written."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(f"{len(faults)} errors in the file")
        self.faults = faults


@define(eq=False)
class Run:
    """One run. `now` is when it began, UTC; `on_progress` is told what the table is."""

    store: Store
    view: ImportView
    who: Who
    now: float
    secret_key: str
    on_progress: Progress
    rows: int = field(default=0, init=False)
    _began: float = field(factory=time.monotonic, init=False)
    _told: float = field(default=0.0, init=False)

    def tell(self, state: ImportState, done: int = 0) -> None:
        """Put down how far it is."""
        self._told = time.monotonic()
        with self.store.transaction() as connection:
            values = {"state": state.value, "done": done, "rows": self.rows, "errors": "[]", "ended_at": None}
            self._put_down(connection, values)
        self.on_progress(state, done, self.rows)

    def end(self, state: ImportState, faults: tuple[Fault, ...] = (), counts: Counts = NO_COUNTS) -> None:
        """Put down that it ended, and wrote nothing. `counts`: what would come of it."""
        with self.store.transaction() as connection:
            values = {"state": state.value, "errors": encode_faults(faults), "rows": self.rows}
            values |= {"done": self.rows, "added": counts.added, "changed": counts.changed}
            self._put_down(connection, {**values, "ended_at": self._ended_at()})
        self.on_progress(state, self.rows, self.rows)

    def check(self, sheet: Sheet, staging: Staging, *, check_only: bool) -> Importer:
        """Read all rows, and find all that is wrong. Raises FileRefused, Unreadable, StoreError."""
        self.rows = max(0, sheet.rows - 1)
        of = KINDS[self.view.kind]
        book = Book(self.who.rights.reach(of.right))
        book.load(staging.connection)
        for name, columns in of.tables.items():
            staging.create(name, columns)
        if of.puts_words:
            staging.create(WORDS, {"row": "INTEGER", "word": "TEXT"})
        job = Job(
            self.who, book.reach, self.view.choices, self.now, self.secret_key, staging, book, self._step
        )
        importer = of(job)
        self._read(sheet, job, importer)
        staging.close_tables()
        job.wrong = frozenset(fault.row for fault in job.faults)
        importer.check()
        if job.faults:
            faults = sorted(job.faults, key=lambda fault: fault.row)
            if job.more_faults:
                faults.append(Fault(0, "", f"there are more errors than these {MOST_FAULTS}"))
            raise FileRefused(tuple(faults))
        if not check_only:
            importer.prepare()
            self.tell(ImportState.WRITING)
            staging.begin_writing()
        return importer

    def write(self, importer: Importer) -> tuple[str, ...]:
        """Write what was checked; it is there once the staging's transaction ends. The tables that much went into.

        Raises Conflict, StoreError.
        """
        staging = importer.job.staging
        counts = importer.write()
        if importer.indexed is not None:
            kind, name = importer.indexed
            touched = "is_new OR changed"
            if importer.puts_words:
                add_words(
                    staging.connection, kind, f"{WORDS} w JOIN {name} s ON s.row = w.row WHERE s.is_new"
                )
                touched = "changed AND NOT is_new"
            ids = staging.run(f"SELECT id FROM {name} WHERE {touched}").scalars().all()
            reindex(staging.connection, kind, ids)
        if importer.touched_keys:
            sync_keys(staging.connection, staging.run(importer.touched_keys).scalars().all(), self.now)
        values = {"rows": self.rows, "added": counts.added, "changed": counts.changed}
        about = {"kind": self.view.kind.value, "name": self.view.name, **values}
        note_change(staging.connection, self.who, "import", self.view.id, "import", None, about, at=self.now)
        end = {**values, "done": self.rows, "state": ImportState.DONE.value, "ended_at": self._ended_at()}
        if not self._put_down(staging.connection, end):
            raise Conflict(
                f"import {self.view.id} was done by somebody else meanwhile: look at what came of it"
            )
        is_much = staging.taken >= MUCH and counts != NO_COUNTS
        return (*importer.written, "changes") if is_much else ()

    def _read(self, sheet: Sheet, job: Job, importer: Importer) -> None:
        lines = iter(sheet.lines)
        first = next(lines, None)
        if first is None:
            raise Unreadable("the file is empty: its first line has to be the headings of its columns")
        job.headings, faults = read_headings(first, importer.columns)
        if faults:
            raise FileRefused(tuple(faults))
        done = 0
        for line in lines:
            importer.take(line.number, _cells(job, line))
            done += 1
            if done % LOOK_EVERY == 0 and time.monotonic() - self._told >= PROGRESS_S:
                self.rows = max(self.rows, done)
                self.tell(ImportState.CHECKING, done)
        if not done:
            raise Unreadable("the file has headings, and not one row below them")
        self.rows = done

    def _step(self, step: int, steps: int) -> None:
        """A part of the writing is done."""
        done = self.rows * step // (steps + 1)
        if self.store.is_sqlite:  # where the other connection would wait for this one
            self.on_progress(ImportState.WRITING, done, self.rows)
        else:
            self.tell(ImportState.WRITING, done)

    def _ended_at(self) -> float:
        return self.now + time.monotonic() - self._began

    def _put_down(self, connection: sa.Connection, values: Mapping[str, Any]) -> bool:
        """False: it is done already, or was cancelled, which nothing changes any more."""
        over = _IMPORTS.c.state.in_([ImportState.DONE.value, ImportState.FAILED.value])
        mine = sa.and_(_IMPORTS.c.id == self.view.id, sa.not_(over))
        return connection.execute(sa.update(_IMPORTS).where(mine).values(**values)).rowcount == 1


def _cells(job: Job, line: Line) -> dict[str, Value]:
    """The values of a line; what is wrong with a cell is noted, and its value left out."""
    values: dict[str, Value] = {}
    headings, cells, many = job.headings, line.cells, len(line.cells)
    for place, column in headings.places:
        text = cells[place] if place < many else ""
        if line.faults and place in line.faults:
            job.fault(line.number, column.name, line.faults[place])
        elif text:
            try:
                values[column.name] = column.read(text)
            except BadCell as error:
                job.expected(line.number, column, error, text)
        elif column.required:
            job.fault(line.number, column.name, f"this is needed, and empty: {column.about}")
    if many > headings.width and any(cells[headings.width :]):
        wrong = (
            f"{headings.width} cells are expected, as many as there are headings, and there are {many}: "
            "a cell with a delimiter in it has to stand in quotes"
        )
        job.fault(line.number, "", wrong)
    for place in headings.nameless:
        if place < many and cells[place]:
            job.fault(
                line.number, "", f"a heading is expected above each column, and column {place + 1} has none"
            )
    return values
