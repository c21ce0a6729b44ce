"""When panels are tested: each has one test planned, spread over the days, whoever plans."""

from __future__ import annotations

import random
import time

import sqlalchemy as sa

from config import DEFAULT, DispatchConfig
from crm.model import City, Domophone, table
from crm.sos.test_plan import with_test_number
from crm.sos.tests import DAY_S, ask_test, claim_test, drop_test, finish_test, overdue
from crm.store import Store
from tests.crm.houses import Houses
from tests.crm.sos.test_sos_tests import (
    HOUR,
    NOW,
    all_tests,
    at_once,
    everywhere,
    made,
    panels,
    plan,
    plan_all,
)


def test_two_nodes_that_plan_at_once_plan_one_test_a_panel(url: str, store: Store, houses: Houses) -> None:
    panels(houses, *(f"p{n:02}" for n in range(20)))
    with Store(url) as other:
        at_once(lambda: plan_all(store, plan(), 7), lambda: plan_all(other, plan(random=random.Random(2)), 7))
    assert [each.panel for each in all_tests(store)] == [f"p{n:02}" for n in range(20)]


def test_every_panel_has_one_test_planned_spread_over_the_first_days(store: Store, houses: Houses) -> None:
    panels(houses, *(f"p{n:03}" for n in range(120)))
    for _ in range(2):
        plan_all(store, plan(), 50)
    tests = all_tests(store)
    assert [each.panel for each in tests] == [f"p{n:03}" for n in range(120)]
    assert not any(each.by_hand or each.started_at for each in tests)
    begin = NOW + HOUR
    assert all(begin <= each.due_at < begin + 3 * DAY_S for each in tests)
    by_day = [
        sum(begin + n * DAY_S <= each.due_at < begin + (n + 1) * DAY_S for each in tests) for n in range(3)
    ]
    assert min(by_day) > 20


def test_the_next_one_is_planned_days_after_the_last_ones_day_at_some_second_of_it(
    store: Store, houses: Houses
) -> None:
    panels(houses, "a")
    plan_all(store, plan())
    (first,) = all_tests(store)
    claim_test(store, first.id, "n1", first.due_at + 60)
    plan_all(store, plan(first.due_at + 61))
    assert len(all_tests(store)) == 1, "while one is made no other is planned"

    next_due = plan(first.due_at + 65).next(first.due_at)
    finish_test(store, first.id, True, "", "c", first.due_at + 65, next_due=next_due)
    plan_all(store, plan(first.due_at + 66))
    first, second = all_tests(store)
    assert second.due_at // DAY_S == first.due_at // DAY_S + 3
    seconds = {plan(random=random.Random(n)).next(NOW) % DAY_S for n in range(50)}
    assert len(seconds) > 45
    assert min(seconds) < 0.2 * DAY_S
    assert max(seconds) > 0.8 * DAY_S


def test_a_test_whose_next_one_was_not_planned_at_its_end_is_planned_in_the_next_round(
    store: Store, houses: Houses
) -> None:
    panels(houses, "a")
    plan_all(store, plan())
    (first,) = all_tests(store)
    claim_test(store, first.id, "n1", first.due_at)
    finish_test(store, first.id, True, "", "c", first.due_at + 5)
    plan_all(store, plan(first.due_at + 10))
    assert [each.due_at // DAY_S - first.due_at // DAY_S for each in all_tests(store)] == [0, 3]


def test_after_a_long_stop_tests_are_made_up_for_over_a_day_and_none_in_the_first_hour(
    store: Store, houses: Houses
) -> None:
    panels(houses, *(f"p{n:02}" for n in range(50)))
    plan_all(store, plan())
    later = NOW + 30 * DAY_S
    plan_all(store, plan(later))
    due = [each.due_at for each in all_tests(store)]
    assert len(due) == 50
    assert min(due) >= later + HOUR
    assert max(due) < later + HOUR + DAY_S
    assert max(due) - min(due) > DAY_S / 2
    assert plan(later).next(NOW) >= later + HOUR


def test_one_that_is_a_little_late_is_left_alone(store: Store, houses: Houses) -> None:
    panels(houses, "a")
    plan_all(store, plan())
    before = all_tests(store)
    plan_all(store, plan(before[0].due_at + 600))
    assert all_tests(store) == before


def test_tests_by_hand_do_not_change_the_plan(store: Store, houses: Houses) -> None:
    panels(houses, "a")
    made(store, "a", NOW - 100, True)
    plan_all(store, plan())
    ask_test(store, "a", NOW)
    plan_all(store, plan())
    assert [each.by_hand for each in all_tests(store)] == [True, False, True]


def test_only_panels_of_cities_that_are_tested_are_planned(store: Store, houses: Houses) -> None:
    panels(houses, "a")
    houses.panel("nowhere")
    houses.panel("off", active=False)
    asked: list[str] = []

    def is_tested(fias: str) -> bool:
        asked.append(fias)
        return fias == "c-1"

    plan_all(store, plan(is_tested=is_tested))
    assert [each.panel for each in all_tests(store)] == ["a"]
    assert asked == ["c-1", ""]


def test_which_cities_are_tested_follows_from_their_dispatch() -> None:
    with_number, without = DispatchConfig(fias="x", test_number="1"), DispatchConfig(fias="y")
    of = with_test_number({DEFAULT: DispatchConfig(), "x": with_number, "y": without})
    assert [of(fias) for fias in ("x", "y", "z", "")] == [True, False, False, False]
    of = with_test_number({DEFAULT: DispatchConfig(test_number="2"), "x": with_number, "y": without})
    assert [of(fias) for fias in ("x", "y", "z", "")] == [True, False, True, True]


def test_a_planned_test_can_be_dropped(store: Store, houses: Houses) -> None:
    panels(houses, "a")
    plan_all(store, plan())
    (test,) = all_tests(store)
    drop_test(store, test.id)
    assert all_tests(store) == []


def test_a_round_in_which_all_is_planned_already_is_cheap(store: Store, houses: Houses) -> None:
    """Every node makes one each hour, over more panels than these."""
    with store.transaction() as connection:
        city = connection.scalar(sa.select(City.id))
        assert city is not None
        rows = [
            {"mac": f"{n:012x}", "sip_user": f"p{n}", "ha1": "a" * 32, "vendor": "sokol"}
            for n in range(2_000)
        ]
        connection.execute(sa.insert(table(Domophone)), rows)
    plan_all(store, plan())
    began = time.perf_counter()
    plan_all(store, plan())
    round_s = time.perf_counter() - began
    assert len(all_tests(store)) == 2_000
    assert len(overdue(store, 3, NOW, everywhere)) == 2_000
    assert round_s < 2
