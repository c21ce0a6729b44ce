"""Test calls of 112 in the database: asked for, planned, claimed by one node, and what came of them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial

import attrs
import pytest
import sqlalchemy as sa

from config import DEFAULT, DispatchConfig
from crm.calls import save_calls
from crm.model import City, Domophone, SosTest, table
from crm.records import CallRecord, Outcome
from crm.sos_test_plan import Plan, plan_tests, with_test_number
from crm.sos_tests import (
    DAY_S,
    NoSuchPanel,
    PanelTest,
    ask_test,
    claim_test,
    drop_test,
    due_tests,
    failing,
    finish_test,
    get_test,
    last_tests,
    overdue,
    passed_last,
    purge_tests,
    put_back,
    take_up_lost,
    withdraw_test,
)
from crm.store import Store
from tests.crm.houses import Houses

NOW = 20_000 * DAY_S + 40_000.0
HOUR = 3600.0
SOS_TESTS = table(SosTest)


def everywhere(fias: str) -> bool:
    return True


def nowhere(fias: str) -> bool:
    return False


def plan(now: float = NOW, **changes: object) -> Plan:
    made = Plan(days=3, now=now, not_before=now + HOUR, is_tested=everywhere, random=random.Random(1))
    return attrs.evolve(made, **changes)  # type: ignore[arg-type]


def plan_all(store: Store, how: Plan, portion: int = 200) -> None:
    after = 0
    while after >= 0:
        after = plan_tests(store, after, portion, how)


def all_tests(store: Store) -> list[PanelTest]:
    names = [each.name for each in attrs.fields(PanelTest)]
    with store.reading() as connection:
        rows = connection.execute(sa.select(SOS_TESTS).order_by(SOS_TESTS.c.panel, SOS_TESTS.c.id)).mappings()
        return [PanelTest(**{name: row[name] for name in names}) for row in rows]


def panels(houses: Houses, *sip_users: str) -> None:
    door = houses.entrance("п. 1", houses.house("5"))
    for sip_user in sip_users:
        houses.panel(sip_user, door)


def made(store: Store, panel: str, at: float, passed: bool | None, result: str = "", node: str = "n1") -> int:
    """A test by hand from its beginning to its end."""
    id = ask_test(store, panel, at)
    assert claim_test(store, id, node, at)
    finish_test(store, id, passed, result, f"call-{id}", at + 5)
    return id


# --- by hand -------------------------------------------------------------------------------------------------------


def test_a_test_by_hand_is_due_at_once_and_has_its_result(store: Store, houses: Houses) -> None:
    panels(houses, "500001")
    id = ask_test(store, "500001", NOW)
    assert [each.id for each in due_tests(store, NOW, 5)] == [id]
    assert claim_test(store, id, "n1", NOW + 1)
    assert due_tests(store, NOW + 1, 5) == []
    finish_test(store, id, True, "answered\0over it", "abc", NOW + 5)
    assert get_test(store, id) == PanelTest(
        id, "500001", True, NOW, "n1", NOW + 1, NOW + 5, True, "answered�over it", "abc"
    )
    assert get_test(store, id + 1) is None


def test_a_panel_is_named_by_its_sip_user_or_by_its_mac_in_any_way_of_writing_it(
    store: Store, houses: Houses
) -> None:
    panels(houses, "500001", "500002")
    tests = [
        get_test(store, ask_test(store, name, NOW))
        for name in ("500001", "00:00:00:00:00:02", "000000000002")
    ]
    assert [each.panel for each in tests if each] == ["500001", "500002", "500002"]


def test_a_panel_that_is_not_known_or_not_active_cannot_be_tested(store: Store, houses: Houses) -> None:
    houses.panel("off", active=False)
    for name in ("nobody", "off", ""):
        with pytest.raises(NoSuchPanel, match="no active panel"):
            ask_test(store, name, NOW)
    assert all_tests(store) == []


def test_a_test_that_was_not_begun_can_be_taken_back(store: Store, houses: Houses) -> None:
    panels(houses, "500001")
    first, second = ask_test(store, "500001", NOW), ask_test(store, "500001", NOW)
    assert claim_test(store, second, "n1", NOW)
    assert withdraw_test(store, first)
    assert not withdraw_test(store, first)
    assert not withdraw_test(store, second)
    assert not claim_test(store, first, "n1", NOW)


def test_those_by_hand_come_first_then_the_longest_due(store: Store, houses: Houses) -> None:
    panels(houses, "a", "b", "c")
    plan_all(store, plan(NOW - 10 * DAY_S))
    by_hand = ask_test(store, "c", NOW)
    due = due_tests(store, NOW, 5)
    assert due[0].id == by_hand
    assert [each.by_hand for each in due] == [True, False, False, False]
    assert [each.due_at for each in due[1:]] == sorted(each.due_at for each in due[1:])
    assert [each.id for each in due_tests(store, NOW, 5, only_by_hand=True)] == [by_hand]
    assert len(due_tests(store, NOW, 2)) == 2


# --- several nodes -------------------------------------------------------------------------------------------------


def at_once(*work: Callable[[], object]) -> list[object]:
    """Do it all in threads of their own, beginning together; what each brought."""
    barrier, brought = threading.Barrier(len(work)), [object()] * len(work)

    def run(n: int) -> None:
        barrier.wait()
        brought[n] = work[n]()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return brought


def test_only_one_of_two_nodes_gets_a_test(url: str, store: Store, houses: Houses) -> None:
    panels(houses, "500001")
    with Store(url) as other:
        for _ in range(5):
            id = ask_test(store, "500001", NOW)
            got = at_once(
                partial(claim_test, store, id, "n1", NOW), partial(claim_test, other, id, "n2", NOW)
            )
            assert sorted(got) == [False, True]  # type: ignore[type-var]
            test = get_test(store, id)
            assert test is not None
            assert test.node == ("n1" if got[0] else "n2")


def test_two_nodes_that_plan_at_once_plan_one_test_a_panel(url: str, store: Store, houses: Houses) -> None:
    panels(houses, *(f"p{n:02}" for n in range(20)))
    with Store(url) as other:
        at_once(lambda: plan_all(store, plan(), 7), lambda: plan_all(other, plan(random=random.Random(2)), 7))
    assert [each.panel for each in all_tests(store)] == [f"p{n:02}" for n in range(20)]


def test_a_test_of_a_node_that_died_is_taken_up_again(store: Store, houses: Houses) -> None:
    panels(houses, "a", "b")
    lost, fresh = ask_test(store, "a", NOW), ask_test(store, "b", NOW)
    assert claim_test(store, lost, "n1", NOW)
    assert claim_test(store, fresh, "n2", NOW + 1000)
    assert take_up_lost(store, NOW + 900, since=NOW + 500) == 0
    assert take_up_lost(store, NOW + 900) == 1
    assert [each.id for each in due_tests(store, NOW + 1000, 5)] == [lost]
    assert take_up_lost(store, NOW, node="n2") == 1
    assert len(due_tests(store, NOW + 1000, 5)) == 2
    made(store, "a", NOW, True)
    assert take_up_lost(store, NOW + 9000, node="n1") == 0


def test_a_test_that_could_not_be_made_waits_again(store: Store, houses: Houses) -> None:
    panels(houses, "a")
    id = ask_test(store, "a", NOW)
    claim_test(store, id, "n1", NOW)
    put_back(store, id)
    assert [each.due_at for each in due_tests(store, NOW, 5)] == [NOW]
    claim_test(store, id, "n1", NOW)
    put_back(store, id, NOW + HOUR, "no number is free")
    assert due_tests(store, NOW, 5) == []
    assert not claim_test(store, id, "n2", NOW)
    (test,) = due_tests(store, NOW + HOUR, 5)
    assert (test.result, test.node, test.started_at) == ("no number is free", "", None)
    assert claim_test(store, id, "n2", NOW + HOUR)
    finish_test(store, id, False, "busy", "c", NOW + HOUR + 5)
    put_back(store, id, NOW, "too late")
    finish_test(store, id, True, "too late", "d", NOW + HOUR + 9)
    ended = get_test(store, id)
    assert ended is not None
    assert (ended.passed, ended.result, ended.call_id) == (False, "busy", "c")


# --- planned -------------------------------------------------------------------------------------------------------


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


# --- looked at -----------------------------------------------------------------------------------------------------


def test_the_last_results_the_newest_first_of_all_or_of_one_panel(store: Store, houses: Houses) -> None:
    panels(houses, "a", "b")
    plan_all(store, plan())
    ids = [made(store, panel, NOW + n, True) for n, panel in enumerate("aba")]
    ask_test(store, "a", NOW + 10)
    assert [each.id for each in last_tests(store)] == ids[::-1]
    assert [each.id for each in last_tests(store, limit=1)] == ids[2:]
    assert [each.id for each in last_tests(store, panel="b")] == [ids[1]]
    assert [each.id for each in last_tests(store, panel="00:00:00:00:00:01")] == [ids[2], ids[0]]


def test_a_panel_is_overdue_whose_last_good_test_is_older_than_the_days_and_one(
    store: Store, houses: Houses
) -> None:
    panels(houses, "fresh", "old", "never", "failed", "called", "rang")
    houses.panel("off", active=False)
    made(store, "fresh", NOW - 3.9 * DAY_S, True)
    made(store, "old", NOW - 4.1 * DAY_S, True)
    made(store, "failed", NOW - 9 * DAY_S, True)
    made(store, "failed", NOW - DAY_S, False, "busy")
    sos = CallRecord("c1", "n1", "called", "112", NOW - DAY_S, kind="sos", outcome=Outcome.TALKED)
    rang = CallRecord("c2", "n1", "rang", "112", NOW - DAY_S, kind="sos", outcome=Outcome.UNREACHABLE)
    visitor = CallRecord("c3", "n1", "rang", "12", NOW - DAY_S, outcome=Outcome.TALKED)
    save_calls(store, [sos, rang, visitor])

    found = overdue(store, 3, NOW, everywhere)
    assert [each.panel.sip_user for each in found] == ["never", "rang", "failed", "old"]
    by_panel = {each.panel.sip_user: each for each in found}
    assert (by_panel["never"].passed_at, by_panel["never"].last) == (None, None)
    failed = by_panel["failed"]
    assert failed.passed_at == NOW - 9 * DAY_S + 5
    assert failed.last is not None
    assert (failed.last.passed, failed.last.result) == (False, "busy")
    assert failed.panel.address == "Челябинск, ул. Ленина 5, п. 1"
    assert overdue(store, 3, NOW, nowhere) == []


def test_a_failure_stands_until_any_node_has_passed_a_test_of_the_panel(store: Store, houses: Houses) -> None:
    panels(houses, "a", "b")
    made(store, "a", NOW, False, "busy")
    made(store, "b", NOW, None, "not made")
    assert [each.panel for each in failing(store, "n1", NOW - DAY_S)] == ["a"]
    assert failing(store, "n2", NOW - DAY_S) == failing(store, "n1", NOW + 1) == []
    assert passed_last(store, ["a", "b"]) == set()
    made(store, "a", NOW + 100, True, node="n2")
    made(store, "a", NOW + 200, None, "not made")
    assert failing(store, "n1", NOW - DAY_S) == []
    assert passed_last(store, ["a", "b"]) == {"a"}


def test_old_results_are_purged_and_what_waits_is_not(store: Store, houses: Houses) -> None:
    panels(houses, "a")
    made(store, "a", NOW - 400 * DAY_S, True)
    kept = [made(store, "a", NOW - DAY_S, True), ask_test(store, "a", NOW - 500 * DAY_S)]
    assert purge_tests(store, NOW - 365 * DAY_S) == 1
    assert [each.id for each in all_tests(store)] == kept


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
