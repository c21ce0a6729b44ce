"""Test calls of 112 in the database: asked for, planned, claimed by one node, and what came of them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial

import attrs
import pytest
import sqlalchemy as sa

from crm.calls.calls import save_calls
from crm.model import table
from crm.sos.test_plan import Plan, plan_tests
from crm.sos.tests import (
    DAY_S,
    NoSuchPanel,
    PanelTest,
    ask_test,
    claim_test,
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
from crm.tables.sos import SosTest
from crm.values.records import CallRecord, Outcome
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
