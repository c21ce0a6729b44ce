"""Employees: made, changed and sent away, by whom, and what the history keeps of it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.model import table
from crm.rights import Right
from crm.staff.groups import find_groups
from crm.staff.passwords import LONGEST, Passwords, TooBusy
from crm.staff.sessions import SessionLimits, find_session, sessions_of
from crm.staff.sign_in import SignInFailed
from crm.staff.staff import (
    change_employee,
    clear_away,
    create_admin,
    create_employee,
    employee_locked_until,
    find_employees,
    get_employee,
    reset_second_factor,
    set_active,
    set_language,
    set_password,
    unlock,
    who_is,
)
from crm.store import Store
from crm.tables.staff import Group, SignIn, WebSession
from crm.who import SYSTEM, Conflict, Forbidden, Invalid, NotFound
from tests.crm.employees import NOW, PASSWORD, Employees, cheap

DAY = 86_400.0


@pytest.fixture
def staff(store: Store) -> Employees:
    return Employees(store, cheap())


def count(store: Store, of: type[SignIn] | type[WebSession]) -> int:
    with store.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table(of))).scalar_one()


def test_the_first_administrator_may_do_everything_everywhere(staff: Employees) -> None:
    who = staff.who(staff.id("root"))
    assert (who.by, who.name, who.address) == (f"employee:{staff.id('root')}", "Root", "192.0.2.1")
    assert all(who.rights.may_everywhere(right) for right in Right)


def test_a_second_administrator_comes_into_the_same_group(staff: Employees) -> None:
    create_admin(staff.store, staff.passwords, "Second", "Second", PASSWORD, NOW)
    groups = {each.login: each.groups for each in find_employees(staff.store, SYSTEM)}
    assert groups["second"] == groups["root"]


def test_a_group_named_administrators_that_has_less_is_left_as_it_is(staff: Employees) -> None:
    with staff.store.transaction() as connection:
        connection.execute(sa.update(table(Group)).values(rights=Right.CALLS_VIEW.value))
    create_admin(staff.store, staff.passwords, "second", "Second", PASSWORD, NOW)
    first, second = find_groups(staff.store, SYSTEM)
    assert (first.name, first.rights, first.members) == ("Administrators", frozenset({Right.CALLS_VIEW}), 1)
    assert (second.name, second.rights, second.members) == ("Administrators 2", frozenset(Right), 1)


def test_an_employee_has_the_rights_of_all_his_groups(staff: Employees) -> None:
    calls, keys = staff.group("Calls", [Right.CALLS_VIEW]), staff.group("Keys", [Right.KEYS_EDIT])
    who = staff.who(staff.add("ivan", calls, keys))
    assert {right for right in Right if who.rights.may(right)} == {Right.CALLS_VIEW, Right.KEYS_EDIT}


def test_nobody_is_who_is_not_there_or_deactivated(staff: Employees) -> None:
    ivan = staff.add("ivan")
    set_active(staff.store, SYSTEM, ivan, False, NOW)
    assert who_is(staff.store, ivan) is None
    assert who_is(staff.store, 999) is None
    set_active(staff.store, SYSTEM, ivan, True, NOW)
    assert who_is(staff.store, ivan)


@pytest.mark.parametrize(
    ("login", "name", "password", "wrong"),
    [
        ("a", "A", PASSWORD, {"login"}),
        ("иван", "A", PASSWORD, {"login"}),
        ("with space", "A", PASSWORD, {"login"}),
        ("ivan", " ", "short", {"name", "password"}),
        ("ivan", "A", "x" * (LONGEST + 1), {"password"}),
        ("ivan.petrov", "A", "Ivan.Petrov", {"password"}),
        ("ivan", "A", "Qwerty12345", {"password"}),
        ("ivan", "A", "aaaaabbbbbccccc", {"password"}),
    ],
)
def test_all_that_is_wrong_with_a_new_employee_is_said_at_once(
    staff: Employees, login: str, name: str, password: str, wrong: set[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        create_employee(staff.store, SYSTEM, staff.passwords, login, name, password, [], NOW)
    assert set(caught.value.errors) == wrong
    assert password not in str(caught.value)


def test_a_login_is_taken_whatever_the_case_of_its_letters(staff: Employees) -> None:
    staff.add("ivan")
    with pytest.raises(Conflict, match="employee ivan already"):
        staff.add("IVAN")
    other = staff.add("petr")
    with pytest.raises(Conflict, match="employee ivan already"):
        change_employee(staff.store, SYSTEM, other, login="Ivan", name="P", language="ru", groups=[], now=NOW)


def test_a_change_is_written_with_what_was_before_and_never_a_password(staff: Employees) -> None:
    group = staff.group("Calls", [Right.CALLS_VIEW])
    ivan = staff.add("ivan")
    root = staff.who(staff.id("root"))
    change_employee(
        staff.store, root, ivan, login="ivan", name="Иван", language="en", groups=[group], now=NOW
    )
    by, entity, id, action, before, after = staff.changes()[-1]
    assert (by, entity, id, action) == (root.by, "employee", ivan, "update")
    assert before == '{"name":"ivan","language":"ru","groups":[]}'
    assert after == f'{{"name":"Иван","language":"en","groups":[{group}]}}'
    set_password(staff.store, root, staff.passwords, ivan, "another good one", NOW)
    assert staff.changes()[-1][3:] == ("update", "", '{"password":"•••"}')
    assert "argon2" not in str(staff.changes())


def test_without_the_right_everywhere_nothing_of_staff_is_seen_or_changed(staff: Employees) -> None:
    who, ivan = staff.who(staff.add("petr")), staff.add("ivan")
    for forbidden in (
        lambda: find_employees(staff.store, who),
        lambda: get_employee(staff.store, who, ivan),
        lambda: create_employee(staff.store, who, staff.passwords, "new", "New", PASSWORD, [], NOW),
        lambda: set_active(staff.store, who, ivan, False, NOW),
        lambda: set_password(staff.store, who, staff.passwords, ivan, "another good one", NOW),
        lambda: reset_second_factor(staff.store, who, ivan, NOW),
        lambda: unlock(staff.store, who, ivan, NOW),
        lambda: set_language(staff.store, who, ivan, "en", NOW),
    ):
        with pytest.raises(Forbidden):
            forbidden()


def test_who_keeps_the_staff_cannot_take_over_an_administrator(staff: Employees) -> None:
    group = staff.group("Staff", [Right.STAFF_VIEW, Right.STAFF_EDIT])
    who, root = staff.who(staff.add("petr", group)), staff.id("root")
    with pytest.raises(Forbidden, match="does not have"):
        set_password(staff.store, who, staff.passwords, root, "another good one", NOW)
    with pytest.raises(Forbidden, match="does not have"):
        reset_second_factor(staff.store, who, root, NOW)
    with pytest.raises(Forbidden, match="does not have"):
        set_active(staff.store, who, root, False, NOW)
    assert staff.sign_in("root").complete


def test_nobody_puts_himself_into_a_group_that_has_more(staff: Employees) -> None:
    keepers = staff.group("Staff", [Right.STAFF_VIEW, Right.STAFF_EDIT])
    doors = staff.group("Doors", [Right.DOORS_OPEN])
    petr = staff.add("petr", keepers)
    who = staff.who(petr)
    with pytest.raises(Forbidden, match=r"doors\.open"):
        change_employee(
            staff.store, who, petr, login="petr", name="P", language="ru", groups=[keepers, doors], now=NOW
        )
    assert get_employee(staff.store, who, petr).groups == (keepers,)


def test_the_last_administrator_can_be_neither_deactivated_nor_taken_out_of_his_group(
    staff: Employees,
) -> None:
    root = staff.id("root")
    who = staff.who(root)
    with pytest.raises(Conflict, match="nobody would be left"):
        set_active(staff.store, who, root, False, NOW)
    with pytest.raises(Conflict, match="nobody would be left"):
        change_employee(staff.store, who, root, login="root", name="R", language="ru", groups=[], now=NOW)
    create_admin(staff.store, staff.passwords, "second", "Second", PASSWORD, NOW)
    set_active(staff.store, who, root, False, NOW)


def test_a_group_that_is_gone_is_named_as_wrong(staff: Employees) -> None:
    with pytest.raises(Invalid) as caught:
        staff.add("ivan", 99)
    assert set(caught.value.errors) == {"groups"}


def test_a_new_password_by_staff_and_deactivating_end_all_sessions(staff: Employees) -> None:
    ivan = staff.add("ivan")
    token = staff.sign_in("ivan").token
    set_password(staff.store, SYSTEM, staff.passwords, ivan, "another good one", NOW)
    assert find_session(staff.store, token, NOW) is None
    with pytest.raises(SignInFailed):
        staff.sign_in("ivan")
    staff.sign_in("ivan", "another good one")
    set_active(staff.store, SYSTEM, ivan, False, NOW)
    set_active(staff.store, SYSTEM, ivan, True, NOW)
    assert sessions_of(staff.store, ivan, NOW) == []


def test_an_employee_chooses_his_language(staff: Employees) -> None:
    ivan = staff.add("ivan")
    set_language(staff.store, staff.who(ivan), ivan, "en", NOW)
    assert get_employee(staff.store, SYSTEM, ivan).language == "en"
    with pytest.raises(Invalid):
        set_language(staff.store, staff.who(ivan), ivan, "xx", NOW)


def test_staff_lets_a_locked_employee_try_again(staff: Employees) -> None:
    ivan = staff.add("ivan")
    for _ in range(5):
        with pytest.raises(SignInFailed):
            staff.sign_in("ivan", "wrong")
    assert employee_locked_until(staff.store, SYSTEM, ivan, NOW) == NOW + 60
    unlock(staff.store, SYSTEM, ivan, NOW + 1)
    assert employee_locked_until(staff.store, SYSTEM, ivan, NOW + 1) is None
    assert staff.sign_in("ivan", now=NOW + 2).complete


def test_who_is_not_there_is_said(staff: Employees) -> None:
    with pytest.raises(NotFound, match="no employee 99"):
        set_active(staff.store, SYSTEM, 99, False, NOW)


def test_what_is_over_is_cleared_away_and_the_rest_stays(staff: Employees) -> None:
    staff.sign_in("root", now=NOW - 400 * DAY)
    token = staff.sign_in("root").token
    clear_away(staff.store, NOW)
    assert (count(staff.store, WebSession), count(staff.store, SignIn)) == (1, 1)
    assert find_session(staff.store, token, NOW)


def test_a_session_is_not_cleared_away_before_it_is_over_by_the_settings(staff: Employees) -> None:
    limits = SessionLimits(idle_s=7200.0)
    token = staff.sign_in("root").token
    clear_away(staff.store, NOW + 5000, limits)
    assert find_session(staff.store, token, NOW + 5000, limits=limits)
    clear_away(staff.store, NOW + 20_000, limits)
    assert count(staff.store, WebSession) == 0


def test_nobody_makes_his_own_password_new_as_staff(staff: Employees) -> None:
    """Who has found a session would sign in with it, and not know the old one."""
    root = staff.id("root")
    with pytest.raises(Forbidden, match="profile"):
        set_password(staff.store, staff.who(root), staff.passwords, root, "another good one", NOW)
    with pytest.raises(Forbidden, match="profile"):
        reset_second_factor(staff.store, staff.who(root), root, NOW)
    assert staff.sign_in("root").complete


# --- passwords -----------------------------------------------------------------------------------------------------


def test_a_password_is_the_same_however_a_keyboard_sends_its_letters() -> None:
    passwords = cheap()
    assert passwords.verify(passwords.hash("пароль мой й"), "пароль мой и\u0306")
    assert not passwords.verify(passwords.hash("пароль мой й"), "пароль мой и")


def test_an_empty_hash_is_nobodys_password() -> None:
    passwords = cheap()
    assert not passwords.verify("", "nobody has this one")
    assert not passwords.verify("", "")
    assert not passwords.verify("no hash", PASSWORD)


def test_a_huge_password_and_broken_letters_are_just_wrong() -> None:
    passwords = cheap()
    hash = passwords.hash(PASSWORD)
    assert not passwords.verify(hash, "x" * 10_000_000)
    assert not passwords.verify(hash, "\ud800\0")


def test_hashes_are_argon2id_with_the_stated_cost() -> None:
    assert Passwords().hash(PASSWORD).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_hash_with_other_parameters_is_stale() -> None:
    hash = cheap().hash(PASSWORD)
    assert not cheap().is_stale(hash)
    assert cheap(time_cost=2).is_stale(hash)


def test_who_comes_when_all_places_are_taken_is_sent_away_and_later_served() -> None:
    passwords = cheap(at_once=1, waiting=1, wait_s=0.01)
    with passwords._place():
        with pytest.raises(TooBusy, match="takes too long"):
            passwords.hash(PASSWORD)
        passwords._places.acquire()
        with pytest.raises(TooBusy, match="too many"):
            passwords.hash(PASSWORD)
        passwords._places.release()
    assert passwords.verify(passwords.hash(PASSWORD), PASSWORD)
