"""Lockout: of accounts by growing waits, of addresses, over several processes, and what is written of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crm.staff.lockout import (
    ADDRESS_FAILURES,
    FAILURES,
    LONGEST_WAIT_S,
    WINDOW_S,
    SignInOutcome,
    find_sign_ins,
    locked_until,
    plain_address,
)
from crm.staff.sessions import Origin
from crm.staff.sign_in import SignInFailed, sign_in
from crm.staff.staff import employee_locked_until
from crm.store import Store
from crm.who import SYSTEM
from tests.crm.employees import HERE, NOW, PASSWORD, Employees, cheap

WRONG = SignInOutcome.WRONG_PASSWORD


@pytest.fixture
def staff(store: Store) -> Employees:
    return Employees(store, cheap())


def refused(
    staff: Employees, login: str, password: str = "wrong", now: float = NOW, *, origin: Origin = HERE
) -> SignInFailed:
    with pytest.raises(SignInFailed) as caught:
        sign_in(staff.store, staff.passwords, login, password, origin, now)
    return caught.value


def test_each_failure_after_the_fifth_locks_twice_as_long_up_to_an_hour() -> None:
    tries: list[tuple[float, SignInOutcome]] = [(n, WRONG) for n in range(FAILURES - 1)]
    assert locked_until(tries) is None
    waits, now = [], 10.0
    for _ in range(8):
        tries.append((now, WRONG))
        until = locked_until(tries)
        assert until
        waits.append(until - now)
        now = until + 1
    assert waits == [60, 120, 240, 480, 960, 1920, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_sign_in_or_a_quiet_quarter_of_an_hour_sets_the_count_back() -> None:
    four = [(float(n), WRONG) for n in range(4)]
    assert locked_until([*four, (5, SignInOutcome.SIGNED_IN), (6, WRONG)]) is None
    assert locked_until([*four, (5, SignInOutcome.HALF_WAY), (6, WRONG)]) == 66
    assert locked_until([*four, (3 + WINDOW_S + 1, WRONG)]) is None


def test_after_five_failures_the_right_password_is_refused_until_the_wait_is_over(staff: Employees) -> None:
    for _ in range(FAILURES):
        refused(staff, "root")
    refused(staff, "root", PASSWORD, NOW + 59)
    assert staff.sign_in("root", now=NOW + 61).complete
    assert staff.outcomes()[FAILURES:] == [
        SignInOutcome.LOCK_BEGAN,
        SignInOutcome.LOCKED,
        SignInOutcome.SIGNED_IN,
    ]


def test_tries_while_it_is_locked_do_not_make_it_longer(staff: Employees) -> None:
    for _ in range(FAILURES + 10):
        refused(staff, "root")
    assert employee_locked_until(staff.store, SYSTEM, staff.id("root"), NOW) == NOW + 60


def test_the_lock_holds_in_another_process_and_for_that_account_alone(staff: Employees, url: str) -> None:
    ivan = staff.add("ivan")
    for _ in range(FAILURES):
        refused(staff, "root")
    with Store(url) as other, pytest.raises(SignInFailed):
        sign_in(other, cheap(), "root", PASSWORD, Origin("198.51.100.7"), NOW + 1)
    assert staff.sign_in("ivan").employee_id == ivan


def test_many_tries_at_once_get_no_more_guesses_than_one_after_the_other(staff: Employees) -> None:
    together = threading.Barrier(8)

    def guess(_: int) -> None:
        together.wait()
        refused(staff, "root")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(guess, range(8)))
    looked = staff.outcomes().count(SignInOutcome.WRONG_PASSWORD)
    assert looked <= FAILURES
    assert SignInOutcome.UNFINISHED not in staff.outcomes()


def test_a_try_that_was_cut_off_counts_as_a_failure() -> None:
    assert locked_until([(0, SignInOutcome.UNFINISHED)] * FAILURES) == 60


def test_an_address_with_many_failures_is_refused_for_all_accounts_and_told_how_long(
    staff: Employees,
) -> None:
    for n in range(ADDRESS_FAILURES):
        refused(staff, f"guess{n}", now=NOW + n)
    error = refused(staff, "root", PASSWORD, NOW + 100)
    assert error.retry_after_s == WINDOW_S - 100
    refused(staff, "root", PASSWORD, NOW + 101)
    assert staff.outcomes("root") == [SignInOutcome.ADDRESS_LOCKED]  # once a minute
    elsewhere = Origin("192.0.2.2")
    assert sign_in(staff.store, staff.passwords, "root", PASSWORD, elsewhere, NOW + 102).complete
    assert staff.sign_in("root", now=NOW + WINDOW_S + 1).complete


def test_an_ipv6_network_is_one_address(staff: Employees) -> None:
    for n in range(ADDRESS_FAILURES):
        refused(staff, f"guess{n}", origin=Origin(f"2001:db8::{n:x}"))
    assert refused(staff, "root", PASSWORD, origin=Origin("2001:db8::ffff:1")).retry_after_s
    next_one = Origin("2001:db8:0:1::1")
    assert sign_in(staff.store, staff.passwords, "root", PASSWORD, next_one, NOW).complete


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:0db8:0000:0000:0000:0000:0000:0001"),
        ("fe80::1%eth0", "fe80:0000:0000:0000:0000:0000:0000:0001"),
        ("", ""),
        ("unix\n", "unix"),
    ],
)
def test_an_address_is_written_in_one_way(address: str, plain: str) -> None:
    assert plain_address(address) == plain


def test_an_employee_sees_his_own_sign_ins_and_nobody_elses(staff: Employees) -> None:
    ivan = staff.add("ivan")
    staff.sign_in("ivan")
    staff.sign_in("root")
    who = staff.who(ivan)
    assert [row.login for row in find_sign_ins(staff.store, who, employee_id=ivan)] == ["ivan"]
    with pytest.raises(Exception, match=r"staff\.view"):
        find_sign_ins(staff.store, who, employee_id=staff.id("root"))
    newest, oldest = find_sign_ins(staff.store, SYSTEM)
    assert find_sign_ins(staff.store, SYSTEM, before_id=newest.id) == [oldest]
