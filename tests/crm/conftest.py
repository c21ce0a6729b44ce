"""An empty database for each test: a SQLite file, and one on the testbed's PostgreSQL, which is started once for the run.

Where TELEDOM_TEST_POSTGRES names an empty database on another PostgreSQL server, that one is taken instead (everything
in it is dropped), or with `-n` new ones beside it. What needs the testbed's is marked as such: with CI=true it is a
failure when that can't be had. A run's tests use the same two `Store`s one after the other, as all of a process does.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm.model import SCHEMA
from crm.store import Store, upgrade
from crm.tables import METADATA
from testbed.databases import new_database
from testbed.debs import Tree
from testbed.postgres import open_postgres
from testbed.threads import running
from tests.crm.houses import Houses
from tests.real.conftest import tree

__all__ = ["tree"]

POSTGRES = os.environ.get("TELEDOM_TEST_POSTGRES", "")
SERVERS = [
    "sqlite",
    pytest.param("postgresql", marks=() if POSTGRES else (pytest.mark.real, pytest.mark.database)),
]
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # nobody cuts its power


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for a statement's plan asks SQLite: PostgreSQL rightly reads a small table as a whole."""
    items[:] = [item for item in items if not ("_whole_table[" in item.name and "postgresql" in item.name)]


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("crm") / "empty.db"
    new_database(file)
    return file


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A PostgreSQL database with our tables."""
    with ExitStack() as stack:
        if POSTGRES:
            url = stack.enter_context(_own_database(POSTGRES))
        else:
            tree: Tree = request.getfixturevalue("tree")
            server = open_postgres(tmp_path_factory.mktemp("postgres"), tree, settings=SETTINGS)
            url = stack.enter_context(running(server, "postgres")).url
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        stack.callback(engine.dispose)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        upgrade(url)
        with engine.begin() as connection:
            connection.execute(sa.text(_as_new()))
        yield engine


@contextmanager
def _own_database(url: str) -> Iterator[str]:
    """Beside other workers of pytest-xdist, a database that is this one's alone."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        yield url
        return
    given = sa.make_url(url).set(drivername="postgresql+psycopg")
    own = given.set(database=f"{given.database}_{worker}")
    engine = sa.create_engine(given, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{own.database}"'))
        connection.execute(sa.text(f'CREATE DATABASE "{own.database}"'))
    yield own.set(drivername="postgresql").render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{own.database}" WITH (FORCE)'))


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, empty_file: Path) -> str:
    if request.param == "postgresql":
        engine: sa.Engine = request.getfixturevalue("postgres")
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT as_new()"))
        return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    file = empty_file.parent / "crm.db"
    try:
        _fill(file, empty_file)
    except sqlite3.DatabaseError:  # a test left no database behind
        for old in file.parent.glob("crm.db*"):
            old.unlink()
        _fill(file, empty_file)
    return f"sqlite:///{file}"


def _fill(file: Path, empty: Path) -> None:
    """In place: a connection that a thread of the test before still has must not stay with a file that is gone."""
    with closing(sqlite3.connect(empty)) as source, closing(sqlite3.connect(file)) as target:
        source.backup(target)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with _store(url) as store:
        yield store


@pytest.fixture
def houses(store: Store) -> Houses:
    return Houses(store)


@cache
def _store(url: str) -> Store:
    """The same for all tests: it compiles a statement once, which takes longer than most tests do."""
    return Store(url)


def _as_new() -> str:
    """A function of PostgreSQL that empties all tables, at a hundredth of what a new database takes; the built-in kinds
    of block stay.
    """
    tables = [table.name for table in reversed(METADATA.sorted_tables) if table.name != "block_kinds"]
    lines = [
        *(f"DELETE FROM {name}" for name in tables),
        "DELETE FROM block_kinds WHERE NOT built_in",
        "UPDATE block_kinds SET stops_calls = true, stops_app = false, stops_keys = false, prompt = ''",
        "PERFORM setval(oid::regclass, 1, false) FROM pg_class"
        " WHERE relkind = 'S' AND relname NOT LIKE 'block_kinds%'",
        "DELETE FROM alembic_version",
        f"INSERT INTO alembic_version VALUES ('{SCHEMA}')",
    ]
    body = ";\n".join(lines)
    return f"CREATE FUNCTION as_new() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n{body};\nEND $$"
