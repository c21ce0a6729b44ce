"""The one door to the database: connections, transactions, and errors that say what to do.

A `Store` owns one engine and its pool; it is synchronous and safe to call from several threads (a node calls
it from worker threads). Making one connects to nothing; the first connection checks that the schema is the
one that this program was written for. SQLite: WAL, so that readers and the one writer do not wait for each
other; a write transaction takes its lock when it begins, so that it never fails half way. PostgreSQL: every
wait is bounded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.orm import Session

import crm.tables  # noqa: F401 - a session needs all that its tables refer to
from crm.model import SCHEMA

UPGRADE_COMMAND = "teledom db upgrade"
MIGRATIONS = Path(__file__).resolve().parent / "migrations"


class StoreError(Exception):
    """Something is wrong with the database; the message says which one, what, and what to do."""


class DatabaseAway(StoreError):
    """The database cannot be reached, refuses, or was locked for too long: trying again later may help."""


class SchemaMismatch(StoreError):
    """The database is there, but its tables are missing, older or newer than this program's."""


class BadUrl(StoreError, ValueError):
    """The database's URL cannot be understood, or names a kind of database that is not supported."""


class Store:
    """The database at `url`: "sqlite:///file.db" or "postgresql://user@host/name".

    `busy_s` is the longest wait for a lock or a statement, `connect_s` for a connection. `durable`: what is committed
    survives a power cut with SQLite too, as it does with PostgreSQL. Raises BadUrl.
    """

    def __init__(
        self, url: str, *, busy_s: float = 5.0, connect_s: float = 3.0, pool: int = 8, durable: bool = False
    ) -> None:
        parsed = _parse(url)
        self.shown = parsed.render_as_string(hide_password=True)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"pool_size": pool, "max_overflow": 0, "pool_timeout": connect_s}
        options["hide_parameters"] = True  # errors end in the log, and there are secrets among the values
        if self.is_sqlite:
            self._engine = sa.create_engine(_sqlite_url(parsed), connect_args={"timeout": busy_s}, **options)
            sa.event.listen(self._engine, "connect", _set_up_durable if durable else _set_up_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
            self._reading = self._engine.execution_options(teledom_reads=True)
        else:
            limits = f"-c statement_timeout={busy_s * 1000:.0f} -c lock_timeout={busy_s * 1000:.0f}"
            arguments = {
                "connect_timeout": max(2, round(connect_s)),
                "options": limits,
                "tcp_user_timeout": round(busy_s * 1000),
                "application_name": "teledom",
            }
            self._engine = sa.create_engine(parsed, connect_args=arguments, **options)
            self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._checked = False  # the schema; set by whichever thread comes first
        self._kept: list[sa.Connection] = []  # one, as taking it out of the pool costs half a lookup

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that nobody uses; the store can be used again."""
        self._let_go()
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reading, each statement by itself. Raises DatabaseAway, SchemaMismatch."""
        with self._explained("reading from"):
            try:
                connection = self._kept.pop()
            except IndexError:
                connection = self._reading.connect()
            try:
                if not self._checked:
                    self._check(connection)
                yield connection
                if connection.in_transaction():
                    connection.rollback()
            except BaseException:
                connection.close()
                self._let_go()  # what is wrong with this one is wrong with the other
                raise
            if self._kept:
                connection.close()
            else:
                self._kept.append(connection)

    def _let_go(self) -> None:
        while self._kept:
            try:
                self._kept.pop().close()
            except IndexError:
                return  # another thread was first

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection in one transaction: committed at the end, rolled back by any error.

        Raises DatabaseAway, SchemaMismatch.
        """
        with self._explained("writing to"):
            if not self._checked:
                self.check()
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def session(self) -> Iterator[Session]:
        """An ORM session in one transaction, committed at the end. Raises DatabaseAway, SchemaMismatch."""
        with self.transaction() as connection, Session(connection) as session:
            yield session
            session.flush()

    def check(self) -> None:
        """See that the database is there and has this schema. Raises DatabaseAway, SchemaMismatch."""
        with self._explained("asking"), self._reading.connect() as connection:
            self._check(connection)

    def _check(self, connection: sa.Connection) -> None:
        try:
            found = connection.execute(_SCHEMA_OF).scalar()
        except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
            if not _is_missing_table(error):
                raise
            found = None
        if found == SCHEMA:
            self._checked = True
            return
        self._checked = False
        if found is None:
            raise SchemaMismatch(f"database {self.shown} has no tables of ours yet: run `{UPGRADE_COMMAND}`")
        if found > SCHEMA:
            raise SchemaMismatch(
                f"database {self.shown} has schema {found}, newer than {SCHEMA}, which this teledom knows: "
                "run the teledom that goes with it"
            )
        raise SchemaMismatch(
            f"database {self.shown} has schema {found}, and {SCHEMA} is needed: run `{UPGRADE_COMMAND}`"
        )

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if _is_missing_table(error):
                self._checked = False
                raise SchemaMismatch(
                    f"database {self.shown} lacks a table or column ({_said(error)}): run `{UPGRADE_COMMAND}`"
                ) from error
            if not _is_away(error):
                raise
            raise DatabaseAway(
                f"{doing} database {self.shown}: {_said(error)}; {self._advice(error)}"
            ) from error

    def _advice(self, error: sa.exc.SQLAlchemyError) -> str:
        if isinstance(error, sa.exc.TimeoutError):
            return "its connections are all in use: see what holds them"
        if not self.is_sqlite:
            return "see that the server runs, and that crm.url in config.toml is right"
        code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return "another program holds its lock: end that, or wait"
            case sqlite3.SQLITE_FULL:
                return "the disk is full: make room"
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
                return "give this user the right to write the file and its folder"
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return "the file is damaged, or no SQLite database: restore a copy of it"
            case _:
                return f"see that the file is there (`{UPGRADE_COMMAND}` makes it) and that you may write it"


def upgrade(url: str) -> None:
    """Bring the database at `url` to the newest schema; a SQLite file is made where there is none.

    Raises DatabaseAway, SchemaMismatch (the database is newer), BadUrl.
    """
    import alembic.command
    import alembic.config
    import alembic.util

    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        file = Path(parsed.database)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        except OSError as error:
            raise DatabaseAway(
                f"making database {file}: {error.strerror}; give this user the right to write there"
            ) from error
    with Store(url) as store:
        script = alembic.config.Config()
        script.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with store._explained("upgrading"), store._engine.begin() as connection:
            script.attributes["connection"] = connection
            try:
                alembic.command.upgrade(script, "head")
            except alembic.util.CommandError as error:
                raise SchemaMismatch(
                    f"database {store.shown} cannot be upgraded to schema {SCHEMA}: {error}; "
                    "run the teledom that goes with it"
                ) from error
        store.check()


_SCHEMA_OF = sa.select(sa.table("alembic_version", sa.column("version_num")).c.version_num)


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise BadUrl(
            "crm.url is no URL of a database: write sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise BadUrl(f"crm.url {url}: a database in a file is needed: sqlite:///FILE")
            return parsed
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
        case kind:
            raise BadUrl(
                f"crm.url names a {kind} database: write sqlite:///FILE or postgresql://USER@HOST/NAME"
            )


def _sqlite_url(parsed: sa.URL) -> sa.URL:
    """Opened as a URI with mode=rw: a file that is away is an error, and no empty one takes its place."""
    file = Path(str(parsed.database)).absolute()
    return parsed.set(database=file.as_uri(), query={"mode": "rw", "uri": "true"})


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours to say
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-1000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _set_up_durable(connection: sqlite3.Connection, record: object) -> None:
    _set_up_sqlite(connection, record)
    connection.execute("PRAGMA synchronous=FULL").close()
    # The log of changes is put into the file by whoever does not mind to wait: 80 MB, before this one does it as well.
    connection.execute("PRAGMA wal_autocheckpoint=20000").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    if "teledom_reads" not in connection.get_execution_options():
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_missing_table(error: sa.exc.SQLAlchemyError) -> bool:
    original = getattr(error, "orig", None)
    if getattr(original, "sqlstate", None) in ("42P01", "42703"):
        return True
    return isinstance(original, sqlite3.OperationalError) and str(original).startswith(
        ("no such table", "no such col")
    )


def _is_away(error: sa.exc.DBAPIError | sa.exc.TimeoutError) -> bool:
    if not isinstance(error, sa.exc.DBAPIError):
        return True
    if isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError)) or error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR)


def _said(error: sa.exc.SQLAlchemyError) -> str:
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
