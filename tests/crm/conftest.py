"""An empty database for each test: a SQLite file, and one on the testbed's PostgreSQL, which is started once for the run.

Where TELEDOM_TEST_POSTGRES names an empty database on another PostgreSQL server, that one is taken instead (everything
in it is dropped). What needs the testbed's is marked as such: with CI=true it is a failure when that can't be had.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm.model import SCHEMA
from crm.store import Store, upgrade
from crm.tables import METADATA
from testbed.debs import Tree
from testbed.postgres import running_postgres
from tests.crm.houses import Houses
from tests.real.conftest import tree

__all__ = ["tree"]

POSTGRES = os.environ.get("TELEDOM_TEST_POSTGRES", "")
SERVERS = ["sqlite", pytest.param("postgresql", marks=() if POSTGRES else pytest.mark.real)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for a statement's plan asks SQLite: PostgreSQL rightly reads a small table as a whole."""
    items[:] = [item for item in items if not ("_whole_table[" in item.name and "postgresql" in item.name)]


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("crm") / "empty.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A PostgreSQL database with our tables."""
    with ExitStack() as stack:
        url = POSTGRES
        if not url:
            tree: Tree = request.getfixturevalue("tree")
            server = running_postgres(tmp_path_factory.mktemp("postgres"), tree, settings={"fsync": "off"})
            url = stack.enter_context(server).url
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        stack.callback(engine.dispose)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        upgrade(url)
        yield engine


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, empty_file: Path, tmp_path: Path) -> str:
    if request.param == "postgresql":
        engine: sa.Engine = request.getfixturevalue("postgres")
        empty(engine)
        return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    shutil.copy(empty_file, tmp_path / "crm.db")
    return f"sqlite:///{tmp_path}/crm.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as store:
        yield store


@pytest.fixture
def houses(store: Store) -> Houses:
    return Houses(store)


def empty(engine: sa.Engine) -> None:
    """As new, at a tenth of what a new database takes; the built-in kinds of block stay."""
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            kept = table.name == "block_kinds"
            connection.execute(table.delete().where(sa.not_(table.c.built_in)) if kept else table.delete())
            if kept:
                usual = {"stops_calls": True, "stops_app": False, "stops_keys": False, "prompt": ""}
                connection.execute(table.update().values(usual))
        connection.execute(
            sa.text(
                "SELECT setval(oid::regclass, 1, false) FROM pg_class"
                " WHERE relkind = 'S' AND relname NOT LIKE 'block_kinds%'"
            )
        )
        connection.execute(sa.text("DELETE FROM alembic_version"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:schema)"), {"schema": SCHEMA})
