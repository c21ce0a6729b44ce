"""The index of words (`search_words`) by which houses, residents and companies are found, and keys by their last bytes.

Whoever changes the street, number or city of houses, the name or phone of residents, the name or INN of companies, or
adds keys, calls `reindex` in the same transaction; `reindex_all` makes all of it anew. A row holds a name's words,
beginning with one of them, so that several typed words are looked for in one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum

import psycopg
import sqlalchemy as sa

from crm.model import City, House, table
from crm.search.text import company_words, house_words, key_words, resident_words
from crm.store import Store
from crm.tables.companies import Company
from crm.tables.keys import Key
from crm.tables.people import Resident
from crm.tables.search import SearchWord

CHUNK = 1000  # records at a time: as many ids fit into one statement of either database
_WORDS = table(SearchWord)

Progress = Callable[["Indexed", int], None]
_Row = tuple[str, str, int]


class Indexed(Enum):
    """What is found by words; the value is `search_words.kind`."""

    HOUSE = "house"
    RESIDENT = "resident"
    COMPANY = "company"
    KEY = "key"


def reindex(connection: sa.Connection, kind: Indexed, ids: Iterable[int]) -> None:
    """Make the words of these records anew, in the caller's transaction; of those that are gone they are taken out."""
    every = sorted(set(ids))
    for at in range(0, len(every), CHUNK):
        some = every[at : at + CHUNK]
        connection.execute(sa.delete(_WORDS).where(_WORDS.c.kind == kind.value, _WORDS.c.ref_id.in_(some)))
        _add(connection, list(_rows(connection, kind, _source(kind).c.id.in_(some))))


def add_words(connection: sa.Connection, kind: Indexed, waiting: str) -> None:
    """The words of many new records, in one statement: `waiting` is the SQL from which each comes, as w.word with the
    record's id, s.id. In their order, as the index has them, so that each part of it is written once."""
    columns = "word, kind, ref_id"
    order = f"ORDER BY w.word{_BY_BYTES[connection.dialect.name]}"
    some = f"SELECT w.word, CAST(:kind AS VARCHAR(20)), s.id FROM {waiting} {order}"
    statement = f"INSERT INTO search_words ({columns}) {some} ON CONFLICT ({columns}) DO NOTHING"
    connection.execute(sa.text(statement), {"kind": kind.value})


def reindex_all(store: Store, progress: Progress = lambda kind, done: None) -> int:
    """Make the whole index anew, a part in each transaction: meanwhile everything is found, by its old words or its new
    ones. How many records there are; `progress` is told after each part. Raises DatabaseAway, SchemaMismatch."""
    total = 0
    for kind in Indexed:
        last, done = 0, 0
        while True:
            with store.transaction() as connection:
                id = _source(kind).c.id
                ids = connection.scalars(sa.select(id).where(id > last).order_by(id).limit(CHUNK)).all()
                # Words of records between two that are there, or behind the last one, are nobody's any more.
                ref = _WORDS.c.ref_id
                mine = sa.and_(_WORDS.c.kind == kind.value, ref > last)
                if len(ids) == CHUNK:
                    mine = sa.and_(mine, ref <= ids[-1])
                connection.execute(sa.delete(_WORDS).where(mine))
                if ids:
                    _add(connection, list(_rows(connection, kind, sa.and_(id > last, id <= ids[-1]))))
            done += len(ids)
            progress(kind, done)
            if len(ids) < CHUNK:
                break
            last = ids[-1]
        total += done
    return total


def _source(kind: Indexed) -> sa.Table:
    match kind:
        case Indexed.HOUSE:
            return table(House)
        case Indexed.RESIDENT:
            return table(Resident)
        case Indexed.COMPANY:
            return table(Company)
        case Indexed.KEY:
            return table(Key)


def _rows(connection: sa.Connection, kind: Indexed, which: sa.ColumnElement[bool]) -> Iterator[_Row]:
    match kind:
        case Indexed.HOUSE:
            houses = sa.select(House.id, House.street, House.number, City.name).join(City)
            for id, street, number, city in connection.execute(houses.where(which)):
                yield from ((word, kind.value, id) for word in house_words(street, number, city))
        case Indexed.RESIDENT:
            people = sa.select(Resident.id, Resident.name, Resident.phone).where(which)
            for id, name, phone in connection.execute(people):
                yield from ((word, kind.value, id) for word in resident_words(name, phone))
        case Indexed.COMPANY:
            companies = sa.select(Company.id, Company.name, Company.inn).where(which)
            for id, name, inn in connection.execute(companies):
                yield from ((word, kind.value, id) for word in company_words(name, inn))
        case Indexed.KEY:
            for id, uid in connection.execute(sa.select(Key.id, Key.uid).where(which)):
                yield from ((word, kind.value, id) for word in key_words(uid))


def _add(connection: sa.Connection, rows: Sequence[_Row]) -> None:
    distinct = dict.fromkeys(rows)
    if not distinct:
        return
    if connection.dialect.name == "postgresql":
        driver: object = connection.connection.dbapi_connection
        assert isinstance(driver, psycopg.Connection)
        with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in distinct:
                copy.write_row(row)
        return
    connection.execute(sa.insert(_WORDS), [dict(zip(_NAMES, row, strict=True)) for row in distinct])


_BY_BYTES = {"postgresql": ' COLLATE "C"', "sqlite": ""}
_NAMES = ("word", "kind", "ref_id")
_COPY = "COPY search_words (word, kind, ref_id) FROM STDIN"
