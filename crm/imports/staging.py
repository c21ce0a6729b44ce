"""Where an import's rows wait until all of them are known to be right: temporary tables of one connection.

They vanish with the connection, however it ends. On PostgreSQL everything is one transaction, and rows come by COPY. On
SQLite, whose one writer others wait for, the rows are collected and checked without any lock; `begin_writing` takes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from attrs import define, field

from crm.store import DatabaseAway, Store

PORTION = 10_000  # rows that go to the database at once
LOCK_WAIT = "30s"
_INDEXED = {"row", "key", "id", "person"}


@define(eq=False)
class Staging:
    """The temporary tables. Each has, beside its own columns, `id`, `is_new` and `changed` for what comes of a row."""

    connection: sa.Connection
    is_sqlite: bool
    _columns: dict[str, str] = field(factory=dict, init=False)
    _waiting: dict[str, list[tuple[Any, ...]]] = field(factory=dict, init=False)
    writing: bool = field(default=False, init=False)
    taken: int = field(default=0, init=False)  # rows that were put into them

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        """A table with these columns (their SQL types), given in this order to `put`."""
        own = dict(columns)
        if "id" not in own:
            own["id"] = "INTEGER"
        own |= dict.fromkeys(("is_new", "changed"), "BOOLEAN DEFAULT FALSE NOT NULL")
        self.run(f"DROP TABLE IF EXISTS {table}")
        self.run(
            f"CREATE TEMPORARY TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in own.items())})"
        )
        if self.is_sqlite:  # which joins two tables by an index, or for each row reads the other as a whole
            for name in own.keys() & _INDEXED:
                self.run(f"CREATE INDEX {table}_{name} ON {table} ({name})")
        self._columns[table] = ", ".join(columns)
        self._waiting[table] = []

    def put(self, table: str, values: tuple[Any, ...]) -> None:
        """Add a row. Raises DatabaseAway."""
        waiting = self._waiting[table]
        waiting.append(values)
        self.taken += 1
        if len(waiting) >= PORTION:
            self._send(table)

    def close_tables(self) -> None:
        """All rows are there: the database is to know how many, before it is asked about them."""
        for table in self._columns:
            self._send(table)
            if not self.is_sqlite:
                self.run(f"ANALYZE {table}")

    def begin_writing(self) -> None:
        """From here on all is one transaction."""
        if self.is_sqlite:
            self.connection.exec_driver_sql("BEGIN IMMEDIATE")
        self.writing = True

    def run(self, sql: str, **values: Any) -> sa.CursorResult[Any]:
        """Run a statement; `:name` in it stands for a value."""
        return self.connection.execute(sa.text(sql), values)

    def json(self, values: Mapping[str, str]) -> str:
        """SQL that makes a JSON object of SQL expressions, without those that are null."""
        pairs = ", ".join(f"'{name}', {value}" for name, value in values.items())
        if self.is_sqlite:
            return f"json_patch('{{}}', json_object({pairs}))"
        return f"CAST(json_strip_nulls(json_build_object({pairs})) AS TEXT)"

    def give_ids(self, table: str, target: str) -> None:
        """Rows that have no id yet are new ones: give them the next ids of `target`."""
        if self.is_sqlite:
            self.run(
                f"UPDATE {table} SET is_new = TRUE, id = fresh.id FROM (SELECT rowid AS place,"
                f" (SELECT COALESCE(MAX(id), 0) FROM {target}) + ROW_NUMBER() OVER (ORDER BY rowid) AS id"
                f" FROM {table} WHERE id IS NULL) AS fresh WHERE {table}.rowid = fresh.place"
            )
        else:
            self.run(
                f"UPDATE {table} SET is_new = TRUE, id = nextval(pg_get_serial_sequence('{target}', 'id'))"
                " WHERE id IS NULL"
            )
            self.run(
                f"ANALYZE {table}"
            )  # what is joined by ids that it thinks are all null, it joins row by row

    def drop(self) -> None:
        for table in self._columns:
            self.run(f"DROP TABLE IF EXISTS {table}")

    def _send(self, table: str) -> None:
        rows, self._waiting[table] = self._waiting[table], []
        if not rows:
            return
        columns = self._columns[table]
        if self.is_sqlite:
            marks = ", ".join("?" * len(rows[0]))
            self.connection.exec_driver_sql("BEGIN")
            self.connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
            self.connection.exec_driver_sql("COMMIT")
            return
        driver: Any = self.connection.connection.driver_connection
        try:
            with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        except self.connection.dialect.loaded_dbapi.Error as error:
            raise DatabaseAway(
                f"copying rows into the database: {error}; see that the server runs"
            ) from error


@contextmanager
def open_staging(store: Store) -> Iterator[Staging]:
    """Staging whose connection is committed at the end, if it was writing, and rolled back by any error.

    Raises DatabaseAway, SchemaMismatch.
    """
    if not store.is_sqlite:
        with store.transaction() as connection:
            connection.exec_driver_sql(
                "SET LOCAL statement_timeout = 0"
            )  # an import takes as long as it takes
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
            staging = Staging(connection, is_sqlite=False)
            yield staging
            staging.drop()
        return
    with store.reading() as connection:
        staging = Staging(connection, is_sqlite=True)
        connection.exec_driver_sql("PRAGMA cache_size=-65536")
        try:
            yield staging
            if staging.writing:
                connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.rollback()
            raise
        finally:
            staging.drop()
            connection.exec_driver_sql("PRAGMA cache_size=-1000")
