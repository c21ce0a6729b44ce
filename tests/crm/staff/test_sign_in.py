"""Signing in: what is refused and how little is said of it, lockout, the second factor, and what staff is told."""

from __future__ import annotations

from typing import Any

import pyotp
import pytest
import sqlalchemy as sa

from crm.model import table
from crm.sealed import Seal, SealError, new_key
from crm.staff.lockout import (
    FAILURES,
    SignInOutcome,
    find_sign_ins,
)
from crm.staff.passwords import TooBusy
from crm.staff.sessions import Origin, find_session, sessions_of
from crm.staff.sign_in import (
    REFUSED,
    SignInFailed,
    change_own_password,
    confirm_code,
    sign_in,
    sign_out,
    turn_off_second_factor,
)
from crm.staff.staff import get_employee, set_active
from crm.staff.totp import confirm, enrol
from crm.store import Store
from crm.tables.staff import Employee
from crm.who import SYSTEM, Invalid
from tests.crm.employees import HERE, NOW, PASSWORD, Employees, cheap

OTHER = "another good one"
SEAL = Seal(new_key())


@pytest.fixture
def staff(store: Store) -> Employees:
    return Employees(store, cheap())


def refused(
    staff: Employees, login: str, password: str = "wrong", now: float = NOW, **options: Any
) -> SignInFailed:
    origin = options.pop("origin", HERE)
    with pytest.raises(SignInFailed) as caught:
        sign_in(staff.store, staff.passwords, login, password, origin, now, **options)
    return caught.value


def with_second_factor(staff: Employees, login: str, now: float = NOW - 600) -> pyotp.TOTP:
    """The employee has one; the app on his phone."""
    token = staff.sign_in(login, now=now).token
    id = staff.id(login)
    app = pyotp.TOTP(enrol(staff.store, SEAL, id).secret)
    confirm(staff.store, SEAL, staff.who(id), id, app.at(int(now)), token, now)
    return app


# --- passwords -----------------------------------------------------------------------------------------------------


def test_who_signs_in_has_a_session_and_is_in_the_history(staff: Employees) -> None:
    signed = staff.sign_in(" Root ")
    session = find_session(staff.store, signed.token, NOW)
    assert session
    assert (session.employee_id, session.complete, session.login) == (staff.id("root"), True, "root")
    (row,) = find_sign_ins(staff.store, SYSTEM, login="root")
    assert (row.at, row.employee_id, row.address, row.agent) == (
        NOW,
        staff.id("root"),
        "192.0.2.1",
        "Firefox",
    )
    assert row.outcome is SignInOutcome.SIGNED_IN


def test_nothing_that_is_said_tells_why_it_was_refused_and_staff_knows(staff: Employees) -> None:
    ivan = staff.add("ivan")
    set_active(staff.store, SYSTEM, ivan, False, NOW)
    said = {
        str(refused(staff, "nobody", PASSWORD)),
        str(refused(staff, "root")),
        str(refused(staff, "root", "")),
        str(refused(staff, "ivan", PASSWORD)),
        str(refused(staff, "", PASSWORD)),
    }
    for _ in range(FAILURES):
        refused(staff, "root")
    said.add(str(refused(staff, "root", PASSWORD)))
    assert said == {REFUSED}
    assert staff.outcomes("nobody") == [SignInOutcome.UNKNOWN_LOGIN]
    assert staff.outcomes("ivan") == [SignInOutcome.INACTIVE]
    assert staff.outcomes("root")[:2] == [SignInOutcome.WRONG_PASSWORD] * 2
    assert staff.outcomes("root")[-1] is SignInOutcome.LOCKED


def test_the_same_work_is_done_for_a_login_that_nobody_has(
    staff: Employees, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    verify = staff.passwords._hasher.verify

    def counted(hash: str, password: bytes) -> bool:
        checked.append(hash.rsplit("$", 2)[0])
        return verify(hash, password)

    monkeypatch.setattr(staff.passwords, "_hasher", _Counting(staff.passwords._hasher, counted))
    refused(staff, "root")
    refused(staff, "nobody")
    set_active(staff.store, SYSTEM, staff.add("ivan"), False, NOW)
    refused(staff, "ivan")
    assert len(checked) == 3
    assert len(set(checked)) == 1  # the parameters, on which the time depends


class _Counting:
    def __init__(self, of: Any, verify: Any) -> None:
        self._of, self.verify = of, verify

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


def test_a_hash_with_old_parameters_is_made_anew_by_signing_in(staff: Employees) -> None:
    staff.passwords = cheap(time_cost=2)
    staff.sign_in("root")
    with staff.store.reading() as connection:
        hash = connection.execute(sa.select(table(Employee).c.password_hash)).scalar_one()
    assert "t=2," in hash
    staff.sign_in("root")


def test_a_strangers_text_is_kept_as_one_harmless_line(staff: Employees) -> None:
    origin = Origin("192.0.2.1", "a\0b\nc\u202e" + "x" * 1000)
    refused(staff, "no\0body\n" + "y" * 500, origin=origin)
    (row,) = find_sign_ins(staff.store, SYSTEM)
    assert row.login == ("nobody" + "y" * 500)[:64]
    assert row.agent == ("abc" + "x" * 1000)[:255]
    refused(staff, "nobody", "\ud800")


def test_the_browsers_old_session_ends_when_it_signs_in_anew(staff: Employees) -> None:
    old = staff.sign_in("root").token
    new = staff.sign_in("root", old_token=old).token
    assert find_session(staff.store, old, NOW) is None
    assert find_session(staff.store, new, NOW)


def test_a_try_for_which_there_was_no_place_is_no_failure(staff: Employees) -> None:
    staff.passwords = cheap(at_once=1, waiting=0)
    for _ in range(FAILURES):
        with staff.passwords._place(), pytest.raises(TooBusy):
            staff.sign_in("root")
    assert staff.outcomes() == [SignInOutcome.BUSY] * FAILURES
    staff.sign_in("root")


def test_who_signs_out_has_no_session_and_is_in_the_history(staff: Employees) -> None:
    token = staff.sign_in("root").token
    sign_out(staff.store, token, HERE, NOW)
    sign_out(staff.store, token, HERE, NOW)
    assert find_session(staff.store, token, NOW) is None
    assert staff.outcomes() == [SignInOutcome.SIGNED_IN, SignInOutcome.SIGNED_OUT]


# --- the second factor ---------------------------------------------------------------------------------------------


def test_with_a_second_factor_the_password_leads_half_way_and_the_code_to_the_end(staff: Employees) -> None:
    app = with_second_factor(staff, "root")
    half = staff.sign_in("root")
    session = find_session(staff.store, half.token, NOW)
    assert not half.complete
    assert session
    assert not session.complete
    whole = confirm_code(staff.store, SEAL, half.token, app.at(int(NOW)), HERE, NOW)
    assert whole.complete
    assert find_session(staff.store, half.token, NOW) is None
    session = find_session(staff.store, whole.token, NOW)
    assert session
    assert session.complete
    assert staff.outcomes()[-2:] == [SignInOutcome.HALF_WAY, SignInOutcome.SIGNED_IN]


def test_a_code_is_good_for_one_sign_in(staff: Employees) -> None:
    app = with_second_factor(staff, "root")
    code = app.at(int(NOW))
    confirm_code(staff.store, SEAL, staff.sign_in("root").token, code, HERE, NOW)
    again = staff.sign_in("root").token
    with pytest.raises(SignInFailed) as caught:
        confirm_code(staff.store, SEAL, again, code, HERE, NOW + 1)
    assert not caught.value.begin_again
    confirm_code(staff.store, SEAL, again, app.at(int(NOW) + 30), HERE, NOW + 30)


def test_wrong_codes_lock_the_account_and_end_the_half_way_session(staff: Employees) -> None:
    app = with_second_factor(staff, "root")
    half = staff.sign_in("root").token
    for n in range(FAILURES):
        with pytest.raises(SignInFailed) as caught:
            confirm_code(staff.store, SEAL, half, "000000", HERE, NOW)
        assert caught.value.begin_again is (n == FAILURES - 1)
    with pytest.raises(SignInFailed, match="sign in again"):
        confirm_code(staff.store, SEAL, half, app.at(int(NOW)), HERE, NOW)
    refused(staff, "root", PASSWORD)
    assert staff.outcomes().count(SignInOutcome.WRONG_CODE) == FAILURES


def test_the_right_code_is_refused_while_the_account_is_locked(staff: Employees) -> None:
    app = with_second_factor(staff, "root")
    half = staff.sign_in("root").token
    for _ in range(FAILURES):
        refused(staff, "root")
    with pytest.raises(SignInFailed) as caught:
        confirm_code(staff.store, SEAL, half, app.at(int(NOW)), HERE, NOW)
    assert caught.value.begin_again


def test_the_password_alone_does_not_set_the_count_of_wrong_codes_back(staff: Employees) -> None:
    with_second_factor(staff, "root")
    for _ in range(FAILURES):
        half = staff.sign_in("root").token
        with pytest.raises(SignInFailed):
            confirm_code(staff.store, SEAL, half, "000000", HERE, NOW)
    refused(staff, "root", PASSWORD)


def test_half_way_lasts_five_minutes(staff: Employees) -> None:
    app = with_second_factor(staff, "root")
    half = staff.sign_in("root").token
    with pytest.raises(SignInFailed) as caught:
        confirm_code(staff.store, SEAL, half, app.at(int(NOW) + 300), HERE, NOW + 300)
    assert caught.value.begin_again


def test_a_complete_session_is_not_completed_again(staff: Employees) -> None:
    token = staff.sign_in("root").token
    with pytest.raises(SignInFailed, match="sign in again"):
        confirm_code(staff.store, SEAL, token, "000000", HERE, NOW)


def test_another_key_is_no_failure_of_who_signs_in(staff: Employees) -> None:
    app = with_second_factor(staff, "root")
    half = staff.sign_in("root").token
    before = staff.outcomes()
    with pytest.raises(SealError):
        confirm_code(staff.store, Seal(new_key()), half, app.at(int(NOW)), HERE, NOW)
    assert staff.outcomes() == before


def test_the_second_factor_is_given_up_by_a_code_of_it(staff: Employees) -> None:
    app = with_second_factor(staff, "root")
    half = staff.sign_in("root").token
    token = confirm_code(staff.store, SEAL, half, app.at(int(NOW)), HERE, NOW).token
    who = staff.who(staff.id("root"))
    with pytest.raises(SignInFailed):
        turn_off_second_factor(staff.store, SEAL, who, token, app.at(int(NOW)), HERE, NOW)
    turn_off_second_factor(staff.store, SEAL, who, token, app.at(int(NOW) + 30), HERE, NOW + 30)
    assert staff.changes()[-1][4:] == ('{"second factor":true}', '{"second factor":false}')
    assert staff.sign_in("root", now=NOW + 31).complete
    assert staff.outcomes()[-3:-1] == [SignInOutcome.WRONG_CODE, SignInOutcome.CONFIRMED]


# --- one's own password --------------------------------------------------------------------------------------------


def test_a_new_password_of_ones_own_rotates_the_session_and_ends_the_others(staff: Employees) -> None:
    root = staff.id("root")
    other, mine = staff.sign_in("root").token, staff.sign_in("root").token
    new = change_own_password(staff.store, staff.passwords, staff.who(root), mine, PASSWORD, OTHER, HERE, NOW)
    assert find_session(staff.store, mine, NOW) is None
    assert find_session(staff.store, other, NOW) is None
    assert len(sessions_of(staff.store, root, NOW)) == 1
    assert find_session(staff.store, new, NOW)
    assert get_employee(staff.store, SYSTEM, root).password_at == NOW
    assert staff.changes()[-1][3:] == ("update", "", '{"password":"•••"}')
    refused(staff, "root", PASSWORD)
    staff.sign_in("root", OTHER)


def test_a_stolen_session_gets_no_more_guesses_at_the_password(staff: Employees) -> None:
    root = staff.who(staff.id("root"))
    token = staff.sign_in("root").token
    for _ in range(FAILURES):
        with pytest.raises(SignInFailed):
            change_own_password(staff.store, staff.passwords, root, token, "wrong", OTHER, HERE, NOW)
    with pytest.raises(SignInFailed):
        change_own_password(staff.store, staff.passwords, root, token, PASSWORD, OTHER, HERE, NOW)
    assert find_session(staff.store, token, NOW)  # whoever sat there goes on


def test_a_new_password_that_is_none_is_no_failure(staff: Employees) -> None:
    token = staff.sign_in("root").token
    before = staff.outcomes()
    with pytest.raises(Invalid):
        change_own_password(
            staff.store, staff.passwords, staff.who(staff.id("root")), token, PASSWORD, "short", HERE, NOW
        )
    assert staff.outcomes() == before
