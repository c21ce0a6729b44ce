"""After a large import PostgreSQL plans by what is in its tables now, and not by what was there before."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.imports import run as import_run
from crm.imports.imports import ImportKind, ImportState, describe, list_imports
from crm.imports.run import KINDS, MUCH
from crm.imports.states import ImportView
from crm.imports.statistics import refresh_statistics
from crm.sealed import new_key
from crm.store import Store
from crm.who import COMMAND_LINE
from tests.crm.imports.conftest import Desk

FLATS = "House;Flat;Entrances;Floor\n"
ALWAYS = {"changes", "imports"}


@pytest.fixture
def postgres_desk(desk: Desk) -> Desk:
    if desk.store.is_sqlite:
        pytest.skip("SQLite has no such statistics")
    refresh_statistics(desk.store, ["flats"])  # what tests before this one left of them
    return desk


def many_flats(rows: int) -> str:
    return FLATS + "".join(f"L5;{n};п. 1;{n % 9 + 1}\n" for n in range(1000, 1000 + rows))


def known(desk: Desk, table: str) -> int:
    """How many rows PostgreSQL thinks a table has."""
    return int(desk.one(f"SELECT reltuples FROM pg_class WHERE oid = '{table}'::regclass"))


def test_a_large_import_leaves_fresh_statistics(postgres_desk: Desk) -> None:
    view = postgres_desk.run(ImportKind.FLATS, many_flats(MUCH))

    assert view.state is ImportState.DONE
    for table in ("flats", "entrance_flats", "key_deliveries", "changes"):
        assert known(postgres_desk, table) == postgres_desk.one(f"SELECT COUNT(*) FROM {table}"), table
    assert known(postgres_desk, "flats") == MUCH + 1
    values = "SELECT n_distinct FROM pg_stats WHERE tablename = 'flats' AND attname = 'floor'"
    assert postgres_desk.one(values) == 9


def test_a_small_one_and_one_that_changes_nothing_are_not_looked_at(
    postgres_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres_desk.run(ImportKind.FLATS, many_flats(20))
    monkeypatch.setattr(import_run, "MUCH", 20)
    postgres_desk.run(ImportKind.FLATS, many_flats(20))

    assert (known(postgres_desk, "flats"), postgres_desk.one("SELECT COUNT(*) FROM flats")) == (1, 21)


def test_it_is_done_when_its_rows_are_there(postgres_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ImportView] = []

    def look(store: Store, tables: object) -> None:
        seen.extend(list_imports(store, COMMAND_LINE))

    monkeypatch.setattr("crm.imports.imports.refresh_statistics", look)
    postgres_desk.run(ImportKind.FLATS, many_flats(20))

    assert [(view.state, view.added) for view in seen] == [(ImportState.DONE, 20)]


def test_what_the_database_refuses_is_logged_and_no_error(
    postgres_desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    refresh_statistics(postgres_desk.store, ["pg_authid", "flats"])

    (said,) = caplog.messages
    assert said.startswith("the statistics of pg_authid stay old for a while: permission denied")


def test_a_database_that_is_away_is_logged_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with Store("postgresql://nobody@127.0.0.1:1/x") as store:
        refresh_statistics(store, ["flats", "keys"])

    (said,) = caplog.messages
    assert said.startswith("the statistics of flats and others stay old for a while")


def test_each_kind_names_all_tables_that_it_writes(desk: Desk) -> None:
    missed = {}
    for kind in ImportKind:
        before = contents(desk)
        assert desk.run(kind, describe(kind).sample, secret_key=new_key()).state is ImportState.DONE
        after = contents(desk)
        written = {name for name in after if after[name] != before[name]} - ALWAYS
        assert written
        missed[kind] = written - set(KINDS[kind].written)
    assert not any(missed.values()), missed


def contents(desk: Desk) -> dict[str, list[str]]:
    """The rows of all tables."""
    names = sa.inspect(desk.store._engine).get_table_names()
    return {name: sorted(map(str, desk.all(f"SELECT * FROM {name}"))) for name in names}
