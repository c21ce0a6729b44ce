"""An empty database for each test: a SQLite file and, where TELEDOM_TEST_POSTGRES names an empty database on a
PostgreSQL server, that one as well (everything in it is dropped)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm.store import Store, upgrade
from tests.crm.houses import Houses

POSTGRES = os.environ.get("TELEDOM_TEST_POSTGRES", "")


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("crm") / "empty.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", *(["postgresql"] if POSTGRES else [])])
def url(request: pytest.FixtureRequest, empty_file: Path, tmp_path: Path) -> str:
    if request.param == "postgresql":
        drop_all(POSTGRES)
        upgrade(POSTGRES)
        return POSTGRES
    shutil.copy(empty_file, tmp_path / "crm.db")
    return f"sqlite:///{tmp_path}/crm.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as store:
        yield store


@pytest.fixture
def houses(store: Store) -> Houses:
    return Houses(store)


def drop_all(url: str) -> None:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
