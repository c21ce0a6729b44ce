"""What every kind of import is made of: its columns, how a row is taken, checked, and written with all the others.

An `Importer` puts what it reads into temporary tables (`take`); asks the database what is wrong with them as a whole
(`check`); and writes them with a handful of statements over all rows (`write`), which `write_rows` is the core of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from attrs import define, field, frozen

from crm.changes import SECRET
from crm.imports.book import Book, Cells
from crm.imports.columns import BadCell, Column, Fault, Headings, shown
from crm.imports.staging import Staging
from crm.rights import Reach, Right
from crm.sealed import Seal
from crm.search.index import Indexed
from crm.who import Who

ROWS, WORDS = "import_rows", "import_words"
MOST_FAULTS = 500  # that are kept and shown
NOTHING: Mapping[str, str] = {}
Tables = Mapping[str, Mapping[str, str]]


@frozen
class Choice:
    """What is chosen for a whole file: one of `options`, or any text where there are none."""

    name: str
    ru: str
    en: str
    default: str
    options: tuple[str, ...] = ()


@frozen
class Counts:
    """Rows that were added, and rows of which something was changed."""

    added: int
    changed: int


@frozen
class Target:
    """A column of the table that rows go to. `default` is what a new row has where the file says nothing, in SQL."""

    name: str
    default: str = "NULL"
    secret: bool = False


@define(eq=False)
class Job:
    """One run of an import: who runs it, how far that reaches, and what was found wrong so far."""

    who: Who
    reach: Reach
    choices: Mapping[str, str]
    now: float
    secret_key: str
    staging: Staging
    book: Book
    on_step: Callable[[int, int], None]
    headings: Headings = field(init=False)
    faults: list[Fault] = field(factory=list, init=False)
    more_faults: bool = field(default=False, init=False)
    wrong: frozenset[int] = field(
        default=frozenset(), init=False
    )  # rows in which something was, when all were read
    _seal: Seal | None = field(default=None, init=False)

    def fault(self, row: int, column: str, text: str) -> None:
        """Note what is wrong; `column` is its name, which is shown as the file's heading."""
        if len(self.faults) >= MOST_FAULTS:
            self.more_faults = True
            return
        heading = self.headings.shown.get(column) or self.headings.others.get(column, "")
        self.faults.append(Fault(row, heading, text))

    def expected(self, row: int, column: Column | str, error: BadCell, found: str) -> None:
        """Note that something else was expected."""
        name = column if isinstance(column, str) else column.name
        there = "what is there" if not isinstance(column, str) and column.secret else shown(found)
        self.fault(row, name, f"{error} is expected, not {there}")

    def find_faults(self, column: str, text: str, query: str | sa.Select[Any]) -> None:
        """For each row that the query finds (its number, then values for the places of `text`), something is wrong.

        Not for rows in which something was wrong when they were read: what they lack may be just that.
        """
        left = max(1, MOST_FAULTS + 1 - len(self.faults))
        limited = sa.text(f"{query} LIMIT {left}") if isinstance(query, str) else query.limit(left)
        for row, *found in self.staging.connection.execute(limited):
            if row in self.wrong:
                continue
            self.fault(row, column, text.format(*(shown(str(each)) for each in found)))

    def find_twins(self, column: str, what: str, by: str, name: str) -> None:
        """Rows whose `by` (SQL) stands in an earlier row already; `what` they are called."""
        self.find_faults(
            column,
            f"a {what} once in the file is expected, and {{0}} stands in row {{1}} already",
            f"SELECT s.row, {name}, twin.first FROM {ROWS} s JOIN (SELECT {by} AS same, MIN(row) AS first FROM {ROWS}"
            f" WHERE {by} IS NOT NULL GROUP BY {by} HAVING COUNT(*) > 1) twin ON twin.same = s.{by}"
            " WHERE s.row > twin.first ORDER BY s.row",
        )

    def house(self, row: int, cells: Cells, *, needed: bool = True) -> int | None:
        """The id of the row's house; None is noted as wrong, except where none is given and none is `needed`."""
        id, column, wrong = self.book.house(cells)
        if wrong:
            self.fault(row, column, wrong)
        elif id is None and needed:
            text = "a house is expected (its FIAS id or own id; or city, street and house number), and none is given"
            self.fault(row, "house" if "house" in self.headings.shown else "city", text)
        return id

    def entrances(self, row: int, house: int, cells: Cells, column: str = "entrances") -> list[int]:
        """The ids of the row's entrances; what is not there is noted."""
        given = cells.get(column)
        found = []
        for name in given if isinstance(given, tuple) else (given,) if given else ():
            try:
                found.append(self.book.entrance(house, str(name)))
            except BadCell as error:
                self.expected(row, column, error, str(name))
        return list(dict.fromkeys(found))

    def put_words(self, row: int, words: Iterable[str]) -> None:
        """By which a row's record is found if it is a new one: found before the database has to wait for it."""
        for word in words:
            self.staging.put(WORDS, (row, word))

    def seal(self, text: str) -> str:
        """Raises SealError: TELEDOM_SECRET_KEY is missing or is no key."""
        if self._seal is None:
            self._seal = Seal(self.secret_key)
        return self._seal.seal(text)


class Importer(ABC):
    """A kind of import, for one run."""

    columns: ClassVar[tuple[Column, ...]]
    right: ClassVar[Right]  # beside Right.IMPORTS_RUN
    choices: ClassVar[tuple[Choice, ...]] = ()
    tables: ClassVar[Tables]
    written: ClassVar[tuple[str, ...]]  # the tables that its rows go to in the end
    indexed: ClassVar[tuple[Indexed, str] | None] = (
        None  # what of it the search finds, and in which table that waits
    )
    puts_words: ClassVar[bool] = False  # those of new ones come by Job.put_words
    touched_keys: ClassVar[str] = ""  # SQL: ids of keys that may open something else now

    def __init__(self, job: Job) -> None:
        self.job = job

    @abstractmethod
    def take(self, row: int, cells: Cells) -> None:
        """Check a row by itself and put it into the tables. Absent from `cells`: empty, or without a column."""

    @abstractmethod
    def check(self) -> None:
        """Note what is wrong with the rows as a whole."""

    def prepare(self) -> None:
        """Do what can be done before others have to wait for the writing. What they change meanwhile that would make the
        writing wrong, the tables' own constraints refuse."""
        return

    @abstractmethod
    def write(self) -> Counts:
        """Write all of it, in the transaction that is open."""


def write_rows(
    job: Job,
    target: str,
    entity: str,
    targets: Sequence[Target],
    *,
    staged: str = ROWS,
    extra: Mapping[str, str] = NOTHING,
) -> None:
    """Bring rows into `target`: those with an id are changed where they differ, the others get one and are added.

    Each leaves an entry in the history, as of an `entity`. An empty cell leaves what is there. `extra`: columns that
    only new rows get, with their values in SQL (:now is the time).
    """
    staging = job.staging
    staging.give_ids(staged, target)
    differs = {
        each.name: f"(s.{each.name} IS NOT NULL AND s.{each.name} IS DISTINCT FROM t.{each.name})"
        for each in targets
    }
    staging.run(
        f"UPDATE {staged} SET changed = TRUE FROM (SELECT s.row FROM {staged} s JOIN {target} t ON t.id = s.id"
        f" WHERE NOT s.is_new AND ({' OR '.join(differs.values())})) AS other WHERE {staged}.row = other.row"
    )

    def picture(of: str) -> str:
        values = {}
        for each in targets:
            value = f"'{SECRET}'" if each.secret else f"{of}.{each.name}"
            values[each.name] = f"CASE WHEN {differs[each.name]} THEN {value} END"
        return staging.json(values)

    _note(
        job,
        entity,
        "update",
        picture("t"),
        picture("s"),
        f"{staged} s JOIN {target} t ON t.id = s.id WHERE s.changed",
    )
    settings = ", ".join(f"{each.name} = COALESCE(s.{each.name}, {target}.{each.name})" for each in targets)
    staging.run(f"UPDATE {target} SET {settings} FROM {staged} s WHERE s.id = {target}.id AND s.changed")
    names = ", ".join(each.name for each in targets)
    values = ", ".join(
        f"s.{each.name}" if each.default == "NULL" else f"COALESCE(s.{each.name}, {each.default})"
        for each in targets
    )
    staging.run(
        f"INSERT INTO {target} ({', '.join(['id', names, *extra])})"
        f" SELECT {', '.join(['s.id', values, *extra.values()])} FROM {staged} s WHERE s.is_new",
        **({"now": job.now} if ":now" in extra.values() else {}),
    )
    after = {
        each.name: f"CASE WHEN s.{each.name} IS NOT NULL THEN '{SECRET}' END"
        if each.secret
        else f"s.{each.name}"
        for each in targets
    }
    _note(job, entity, "create", "''", staging.json(after), f"{staged} s WHERE s.is_new")


def _note(job: Job, entity: str, action: str, before: str, after: str, rows: str) -> None:
    job.staging.run(
        'INSERT INTO changes (at, "by", who, address, entity, entity_id, action, before, after)'
        f" SELECT :at, :by, :who, :address, :entity, s.id, :action, {before}, {after} FROM {rows}",
        at=job.now,
        by=job.who.by,
        who=job.who.name,
        address=job.who.address,
        entity=entity,
        action=action,
    )


def stage_reach(job: Job) -> None:
    """The houses within the reach of who is bounded, for checks in the database: the table import_reach."""
    job.staging.create("import_reach", {"house_id": "INTEGER"})
    for house in job.book.houses.values():
        if house.within:
            job.staging.put("import_reach", (house.id,))


def mark_changed(job: Job, where: str) -> None:
    """Rows that change something elsewhere than in their own table count as changed too."""
    job.staging.run(f"UPDATE {ROWS} SET changed = TRUE WHERE NOT is_new AND NOT changed AND {where}")


def count_rows(job: Job) -> Counts:
    """How many rows are new, and how many change something."""
    found = job.staging.run(
        f"SELECT SUM(CASE WHEN is_new THEN 1 ELSE 0 END), SUM(CASE WHEN changed THEN 1 ELSE 0 END) FROM {ROWS}"
    ).one()
    added, changed = tuple(found)
    return Counts(int(added or 0), int(changed or 0))


def count_found(job: Job) -> Counts:
    """How many rows would be new, and how many are there already, whether or not anything of them differs."""
    found = job.staging.run(f"SELECT COUNT(*) - COUNT(id), COUNT(id) FROM {ROWS}").one()
    added, there = tuple(found)
    return Counts(int(added), int(there))
