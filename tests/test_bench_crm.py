"""The CRM's fleet and its benchmarks at the smallest scale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench import crm, crm_search
from bench.crm_fleet import Filled, Size, open_fleet
from bench.crm_rows import CrmFleet
from bench.crm_search import QUESTIONS, company_manager, measure_search, typed
from crm.model import Base, Flat, House, Street
from crm.search.index import reindex_all
from crm.search.search import Found, search
from crm.store import Store
from crm.tables import METADATA
from crm.tables.search import SearchWord
from crm.who import SYSTEM
from testbed.debs import Tree
from tests.real.conftest import tree

__all__ = ["tree"]
SMALLEST = Size(0.001)


@pytest.fixture(scope="module")
def filled(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with open_fleet(tmp_path_factory.mktemp("fleet"), SMALLEST, tell=False) as filled:
        yield filled


@pytest.fixture
def store(filled: Filled) -> Iterator[Store]:
    with Store(filled.url) as store:
        yield store


@pytest.mark.real
@pytest.mark.database
def test_the_fleet_is_as_large_as_its_size_says(filled: Filled, store: Store) -> None:
    with store.reading() as connection:
        counts = {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in METADATA.tables.values()
        }

    assert counts["domophones"] == 22
    assert (counts["flats"], counts["accounts"], counts["companies"]) == (2000, 730, 4)
    assert (counts["keys"], counts["calls"], counts["legs"]) == (1000, 500, 1000)
    assert sum(counts.values()) - counts["block_kinds"] == filled.rows


@pytest.mark.real
@pytest.mark.database
def test_filling_leaves_the_schema_as_the_migrations_made_it(filled: Filled, store: Store) -> None:
    import alembic.autogenerate
    import alembic.migration

    with store.reading() as connection:
        # PostgreSQL writes an index's expression in its own way: that these are there is all that can be compared.
        options = {"compare_type": True, "include_object": lambda thing, *_: not _has_expression(thing)}
        context = alembic.migration.MigrationContext.configure(connection, opts=options)
        differing = alembic.autogenerate.compare_metadata(context, Base.metadata)
        indexes = sa.inspect(connection).get_indexes("flat_blocks")
        unchecked = connection.scalar(sa.text("SELECT count(*) FROM pg_constraint WHERE NOT convalidated"))

    assert differing == []
    assert "ix_flat_blocks_ends_id" in {each["name"] for each in indexes}
    assert unchecked == 0


def _has_expression(thing: object) -> bool:
    return isinstance(thing, sa.Index) and not all(isinstance(each, sa.Column) for each in thing.expressions)


@pytest.mark.real
@pytest.mark.database
def test_new_rows_get_ids_of_their_own(filled: Filled, store: Store) -> None:
    with store.session() as session:
        city = session.scalars(sa.select(Street.city_id).limit(1)).one()
        house = House(city_id=city, street="ул. Новая", number="1")
        session.add(house)
        session.flush()
        session.add(flat := Flat(house_id=house.id, number="1"))
        session.flush()
        assert flat.id > filled.fleet.flats
        session.rollback()


@pytest.mark.real
@pytest.mark.database
def test_the_words_are_those_that_the_crm_makes_itself(store: Store) -> None:
    every = sa.select(SearchWord.word, SearchWord.kind, SearchWord.ref_id)
    with store.reading() as connection:
        before = {tuple(row) for row in connection.execute(every)}
    reindex_all(store)
    with store.reading() as connection:
        assert {tuple(row) for row in connection.execute(every)} == before


@pytest.mark.real
@pytest.mark.database
def test_every_kind_of_question_finds_what_it_asks_for(filled: Filled, store: Store) -> None:
    found = measure_search(store, filled.fleet, 2)

    assert {kind: each.missed for kind, each in found.items() if each.missed} == {}
    assert all(each.took_ms for each in found.values())


@pytest.mark.real
@pytest.mark.database
def test_a_company_manager_of_the_fleet_sees_only_its_houses(filled: Filled, store: Store) -> None:
    fleet = filled.fleet
    who, beyond = company_manager(0), fleet.street(1)[0]
    number = fleet.house_number(1)

    assert any(group.kind is Found.HOUSE for group in search(store, SYSTEM, f"{beyond} {number}"))
    ids = [
        hit.id
        for group in search(store, who, f"{beyond} {number}", limit_per_group=50)
        if group.kind is Found.HOUSE
        for hit in group.hits
    ]
    assert all((int(id) - 100_001) % fleet.companies == 0 for id in ids)


def test_what_is_typed_is_asked_at_every_third_letter_and_at_its_end() -> None:
    assert list(typed("ленина 5")) == ["лен", "ленина", "ленина 5"]
    assert list(typed("abc")) == ["abc"]


def test_ids_and_numbers_of_a_fleet_do_not_repeat() -> None:
    fleet: CrmFleet = SMALLEST.fleet()

    assert len({fleet.uid(n) for n in range(fleet.keys)}) == fleet.keys
    assert len({fleet.call_id(n) for n in range(fleet.calls)}) == fleet.calls
    assert len({(fleet.street(n), fleet.house_number(n)) for n in range(fleet.houses)}) == fleet.houses
    assert len(QUESTIONS) == 18


def run(monkeypatch: pytest.MonkeyPatch, of: object, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    code: int = of.main()  # type: ignore[attr-defined]
    return code


@pytest.mark.real
@pytest.mark.database
def test_the_search_benchmark_prints_its_figures_last(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--scale", "0.001", "--url", filled.url, "--questions", "1")

    run(monkeypatch, crm_search, *arguments)  # 1 where the machine is too busy for its deadlines
    last = capsys.readouterr().out.splitlines()[-1]
    assert [pair.split("=")[0] for pair in last.split(" ")] == [
        *("searches", "p50_ms", "p95_ms", "p99_ms", "max_ms", "late", "missed", "scanned")
    ]
    assert " missed=0 " in last


@pytest.mark.real
@pytest.mark.database
@pytest.mark.timeout(240)
def test_the_benchmark_prints_its_figures_last(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = ("--scale", "0.001", "--users", "2", "--rounds", "1", "--imported", "300")
    monkeypatch.setattr(crm, "TYPING_S", crm.PAUSE_S)  # nobody types as fast; nothing here is measured

    assert run(monkeypatch, crm, *small) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert [pair.split("=")[0] for pair in last.split(" ")] == [
        *("page_p95_ms", "api_p95_ms", "search_p95_ms", "import_rows_s", "rss_mb")
    ]
    assert all(float(pair.split("=")[1]) > 0 for pair in last.split(" "))


@pytest.mark.parametrize(
    "wrong", [("--scale", "0"), ("--users", "0"), ("--rounds", "-1"), ("--imported", "1")]
)
def test_arguments_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, crm, *wrong)
