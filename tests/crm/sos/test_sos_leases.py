"""Numbers and leases in the database: no two nodes lend one number, and who stands behind it is known for ever."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from crm.model import table
from crm.sos.leases import (
    PoolChanged,
    PoolNumber,
    add_numbers,
    all_pools,
    commit,
    find_leases,
    load_pool,
    who,
)
from crm.store import Store
from crm.tables.sos import SosNumber, SosPool
from crm.values.sos import Lease, Why, same_number, ways_to_write
from tests.crm.houses import Houses

CITY, OTHER = "c-1", "c-2"
A, B, RESERVE = "+73512000001", "+73512000002", "+73512000009"
NOW = 1_800_000_000.0
NUMBERS = table(SosNumber)


def lease(number: str = A, panel: str = "500001", at: float = NOW, **changes: Any) -> Lease:
    call = f"{panel}@{at:.0f}"
    made = Lease(call, CITY, number, panel, "0250000001", call, "n1", Why.FREE, at)
    return attrs.evolve(made, **changes)


def row(store: Store, number: str) -> Sequence[Any]:
    """Of the operator's table: status, event_time, domophone (the MAC)."""
    columns = NUMBERS.c.status, NUMBERS.c.event_time, NUMBERS.c.domophone
    with store.reading() as connection:
        return tuple(connection.execute(sa.select(*columns).where(NUMBERS.c.number == number)).one())


@pytest.fixture
def pool(store: Store) -> Store:
    """The same store, with two numbers in the city's pool."""
    assert add_numbers(store, CITY, [A, B]) == 2
    return store


def version(store: Store) -> int:
    return load_pool(store, CITY).version


# --- loaded and committed ------------------------------------------------------------------------------------------


def test_a_pool_that_is_not_there_yet_is_empty_and_is_there_from_then_on(store: Store) -> None:
    state = load_pool(store, CITY)
    assert (state.version, state.numbers) == (0, ())
    with store.reading() as connection:
        assert connection.scalars(sa.select(table(SosPool).c.fias)).all() == [CITY]
    assert load_pool(store, CITY).version == 0
    assert commit(store, CITY, 0, []) == 1


def test_a_pool_has_its_own_numbers_and_their_last_leases_in_the_tables_order(pool: Store) -> None:
    add_numbers(pool, OTHER, ["+73519"])
    first = lease(B)
    commit(pool, CITY, version(pool), [first])
    assert load_pool(pool, CITY).numbers == (PoolNumber(A, False, None), PoolNumber(B, True, first))
    assert [each.number for each in load_pool(pool, OTHER).numbers] == ["+73519"]


def test_the_reserve_is_part_of_the_pool_though_it_is_not_in_the_table(pool: Store) -> None:
    commit(pool, CITY, version(pool), [lease(RESERVE), lease(RESERVE, "500002", NOW + 60)])
    state = load_pool(pool, CITY, [RESERVE, A])
    assert [(each.number, each.lent) for each in state.numbers] == [(A, False), (B, False), (RESERVE, False)]
    last = state.numbers[2].lease
    assert last is not None
    assert last.panel == "500002"


def test_the_operators_table_says_who_has_a_number_and_is_emptied_when_it_is_free(pool: Store) -> None:
    at = version(pool)
    at = commit(pool, CITY, at, [lease()])
    assert row(pool, A) == (1, NOW, "0250000001")
    assert row(pool, B) == (0, None, None)
    ended = lease(ended_at=NOW + 60, held_until=NOW + 1860)
    at = commit(pool, CITY, at, [ended])
    assert row(pool, A) == (1, NOW, "0250000001")
    commit(pool, CITY, at, [], [A])
    assert row(pool, A) == (0, None, None)
    assert load_pool(pool, CITY).numbers[0] == PoolNumber(A, False, ended)


def test_of_two_nodes_that_saw_the_same_pool_one_has_to_look_again(url: str, pool: Store) -> None:
    with Store(url) as other:
        seen, also_seen = load_pool(pool, CITY).version, load_pool(other, CITY).version
        assert commit(pool, CITY, seen, [lease(panel="500001")]) == seen + 1
        with pytest.raises(PoolChanged):
            commit(other, CITY, also_seen, [lease(panel="500002", at=NOW + 1)])
        assert [each.panel for each in find_leases(pool)] == ["500001"], "nothing of the loser's is written"
        again = load_pool(other, CITY)
        assert [each.lent for each in again.numbers] == [True, False]
        commit(other, CITY, again.version, [lease(B, "500002", NOW + 1)])
    assert {each.number: each.panel for each in find_leases(pool)} == {A: "500001", B: "500002"}


def test_of_nodes_that_commit_at_the_same_moment_exactly_one_succeeds(url: str, pool: Store) -> None:
    with Store(url) as other:
        for n in range(10):
            seen = version(pool)
            barrier = threading.Barrier(2)
            won: list[str] = []

            def write(store: Store, node: str, n: int, seen: int, barrier: Any, won: list[str]) -> None:
                barrier.wait()
                try:
                    commit(store, CITY, seen, [lease(A, f"{node}-{n}", NOW + n)])
                    won.append(node)
                except PoolChanged:
                    pass

            threads = [
                threading.Thread(target=write, args=(store, node, n, seen, barrier, won))
                for store, node in ((pool, "n1"), (other, "n2"))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == 1
            assert version(pool) == seen + 1
            assert [each.panel for each in find_leases(pool, limit=1)] == [f"{won[0]}-{n}"]
    assert len(find_leases(pool)) == 10


def test_pools_do_not_disturb_each_other_and_new_numbers_are_a_change(pool: Store) -> None:
    mine, others = load_pool(pool, CITY).version, load_pool(pool, OTHER).version
    commit(pool, OTHER, others, [])
    commit(pool, CITY, mine, [])
    mine += 1
    add_numbers(pool, CITY, ["+73512000003"])
    with pytest.raises(PoolChanged):
        commit(pool, CITY, mine, [lease()])


def test_a_lease_that_is_committed_again_is_replaced(pool: Store) -> None:
    at = version(pool)
    ended = lease(ended_at=NOW + 60, held_until=NOW + 1860)
    for each in (lease(), ended):
        at = commit(pool, CITY, at, [each])
    assert find_leases(pool) == [ended]


def test_of_several_leases_of_a_number_the_newest_is_its_last(pool: Store) -> None:
    old, new = lease(panel="500001"), lease(panel="500002", at=NOW + 60, domophone="0250000002")
    commit(pool, CITY, version(pool), [new, old])
    assert row(pool, A) == (1, NOW + 60, "0250000002")
    assert load_pool(pool, CITY).numbers[0].lease == new
    assert find_leases(pool) == [new, old]


def test_a_late_lease_is_history_alone(pool: Store) -> None:
    now_has = lease(panel="500002", at=NOW + 60, domophone="0250000002")
    at = commit(pool, CITY, version(pool), [now_has])
    late = lease(panel="500001", ended_at=NOW + 30, held_until=NOW + 1830)
    commit(pool, CITY, at, [], late=[late])
    assert row(pool, A) == (1, NOW + 60, "0250000002")
    assert load_pool(pool, CITY).numbers[0].lease == now_has
    assert find_leases(pool) == [now_has, late]


# --- who -----------------------------------------------------------------------------------------------------------


def test_who_had_a_number_last_and_who_had_it_at_a_time(pool: Store) -> None:
    first = lease(panel="500001", ended_at=NOW + 60, held_until=NOW + 1860)
    second = lease(panel="500002", at=NOW + 10_000)
    commit(pool, CITY, version(pool), [first, second])

    def panel(at: float | None = None) -> str | None:
        owner = who(pool, A, at)
        return owner.panel if owner is not None else None

    assert panel() == "500002"
    assert panel(NOW - 1) is None
    assert panel(NOW) == panel(NOW + 30) == panel(NOW + 9_999) == "500001"
    assert panel(NOW + 10_000) == panel(NOW + 1e6) == "500002"
    owner = who(pool, A, NOW + 30)
    assert owner is not None
    assert (owner.number, owner.domophone, owner.lease) == (A, "0250000001", first)
    assert who(pool, B) is None


@pytest.mark.parametrize("stored", [A, "73512000001", "83512000001", "3512000001"])
@pytest.mark.parametrize(
    "asked",
    [A, "73512000001", "83512000001", "3512000001", "+7 (351) 200-00-01", "8 351 200 00 01", "351-200-0001"],
)
def test_a_number_is_found_in_whatever_way_it_is_written(pool: Store, stored: str, asked: str) -> None:
    commit(pool, CITY, version(pool), [lease(stored)])
    owner = who(pool, asked)
    assert owner is not None
    assert (owner.number, owner.panel) == (stored, "500001")
    assert [each.number for each in find_leases(pool, number=asked)] == [stored]
    assert same_number(asked) == same_number(stored)


def test_what_is_no_number_of_ours_is_nobodys(pool: Store) -> None:
    commit(pool, CITY, version(pool), [lease()])
    for number in ("", "112", "+73512000002", "+83512000001x1", "' OR 1=1", "nobody"):
        assert who(pool, number) is None
    assert ways_to_write("") == []


def test_a_panels_own_number_is_its_own_at_any_time(pool: Store, houses: Houses) -> None:
    houses.panel("500007")
    with pool.transaction() as connection:
        connection.exec_driver_sql("UPDATE domophones SET sos_number = '+73512777777'")
    for at in (None, NOW):
        owner = who(pool, "8 351 277-77-77", at)
        assert owner is not None
        assert (owner.number, owner.panel, owner.domophone) == ("+73512777777", "500007", "000000000001")
        assert owner.lease is None


# --- looked at -----------------------------------------------------------------------------------------------------


def test_leases_are_found_by_number_panel_city_and_time_the_newest_first(pool: Store) -> None:
    leases = [
        lease(A, "500001", NOW),
        lease(B, "500002", NOW + 10, domophone="0250000002"),
        lease("+73519", "500003", NOW + 20, fias=OTHER, domophone="0250000003"),
        lease(A, "500002", NOW + 30, domophone="0250000002", why=Why.EXPIRED),
    ]
    commit(pool, CITY, version(pool), leases)
    first, second, third, fourth = leases
    assert find_leases(pool) == [fourth, third, second, first]
    assert find_leases(pool, limit=2) == [fourth, third]
    assert find_leases(pool, number=A) == [fourth, first]
    assert find_leases(pool, panel="500002") == find_leases(pool, panel="02:50:00:00:02") == [fourth, second]
    assert find_leases(pool, fias=OTHER) == [third]
    assert find_leases(pool, since=NOW + 10) == [fourth, third, second]
    assert find_leases(pool, number=A, panel="500001", fias=CITY, since=NOW) == [first]
    assert find_leases(pool, number=A, panel="500003") == []


def test_numbers_are_put_in_once(pool: Store) -> None:
    assert add_numbers(pool, OTHER, [A, "+73519", "+73519"]) == 1
    assert add_numbers(pool, CITY, []) == add_numbers(pool, CITY, [A, B]) == 0
    pools = all_pools(pool)
    assert {fias: [each.number for each in numbers] for fias, numbers in pools.items()} == {
        CITY: [A, B],
        OTHER: ["+73519"],
    }


def test_all_pools_have_their_numbers_last_leases(pool: Store) -> None:
    add_numbers(pool, "", ["+73510"])
    mine = lease()
    commit(pool, CITY, version(pool), [mine])
    assert all_pools(pool) == {
        "": [PoolNumber("+73510", False, None)],
        CITY: [PoolNumber(A, True, mine), PoolNumber(B, False, None)],
    }
