"""Sessions: how long they last, whose they are, what is kept of their tokens, and how they end."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from attrs import evolve

from crm.model import table
from crm.staff.sessions import (
    SEEN_EVERY_S,
    SessionLimits,
    find_session,
    hash_of,
    read_session,
    revoke_session,
    revoke_sessions,
    rotate_session,
    sessions_of,
    start_session,
)
from crm.staff.staff import set_active
from crm.store import Store
from crm.tables.staff import Employee, WebSession
from crm.who import SYSTEM, Forbidden, NotFound
from tests.crm.employees import HERE, NOW, Employees, cheap

LIMITS = SessionLimits(idle_s=600, absolute_s=3600, half_way_s=60)


@pytest.fixture
def staff(store: Store) -> Employees:
    return Employees(store, cheap())


def begin(staff: Employees, *, complete: bool = True, now: float = NOW, login: str = "root") -> str:
    with staff.store.transaction() as connection:
        return start_session(connection, staff.id(login), complete, HERE, now, LIMITS)


def lasts(staff: Employees, token: str, now: float, *, touch: bool = True) -> bool:
    return find_session(staff.store, token, now, touch=touch, limits=LIMITS) is not None


def test_a_token_has_256_random_bits_and_only_its_hash_is_kept(staff: Employees) -> None:
    tokens = {begin(staff) for _ in range(10)}
    assert len(tokens) == 10
    assert {len(token) for token in tokens} == {43}  # 32 bytes in base64
    with staff.store.reading() as connection:
        kept = str(connection.execute(sa.select(table(WebSession))).all())
    assert not any(token in kept for token in tokens)
    assert all(hash_of(token) in kept for token in tokens)


def test_an_unknown_empty_or_broken_token_is_nobodys(staff: Employees) -> None:
    token = begin(staff)
    for wrong in ("", token[:-1], token.swapcase(), hash_of(token), "\ud800", "\0"):
        assert find_session(staff.store, wrong, NOW) is None


def test_a_session_lasts_while_it_is_used_and_no_longer_than_its_time(staff: Employees) -> None:
    token = begin(staff)
    for minute in range(5, 60, 5):
        assert lasts(staff, token, NOW + minute * 60)
    assert lasts(staff, token, NOW + 3599)
    assert not lasts(staff, token, NOW + 3600)


def test_an_idle_session_is_over(staff: Employees) -> None:
    token = begin(staff)
    assert lasts(staff, token, NOW + 599, touch=False)
    assert not lasts(staff, token, NOW + 600)


def test_a_half_way_session_is_over_after_its_minute(staff: Employees) -> None:
    token = begin(staff, complete=False)
    assert lasts(staff, token, NOW + 59)
    assert not lasts(staff, token, NOW + 60)


def test_when_it_was_seen_is_written_once_a_minute(staff: Employees) -> None:
    token = begin(staff)

    def seen_at() -> float:
        found = find_session(staff.store, token, NOW, touch=False, limits=LIMITS)
        assert found
        return found.seen_at

    lasts(staff, token, NOW + SEEN_EVERY_S - 1)
    assert seen_at() == NOW
    lasts(staff, token, NOW + SEEN_EVERY_S)
    assert seen_at() == NOW + SEEN_EVERY_S


def test_a_rotated_session_has_another_token_and_keeps_its_end(staff: Employees) -> None:
    token = begin(staff)
    with staff.store.transaction() as connection:
        session = read_session(connection, token, NOW + 60, LIMITS)
        assert session
        new = rotate_session(connection, session, NOW + 60, LIMITS, complete=True)
    assert not lasts(staff, token, NOW + 60)
    found = find_session(staff.store, new, NOW + 60, limits=LIMITS)
    assert found == evolve(session, id=hash_of(new), seen_at=NOW + 60)


def test_one_that_becomes_complete_lasts_its_full_time(staff: Employees) -> None:
    token = begin(staff, complete=False)
    with staff.store.transaction() as connection:
        session = read_session(connection, token, NOW + 30, LIMITS)
        assert session
        new = rotate_session(connection, session, NOW + 30, LIMITS, complete=True)
    found = find_session(staff.store, new, NOW + 30, limits=LIMITS)
    assert found
    assert (found.complete, found.expires_at) == (True, NOW + 30 + 3600)


def test_a_session_that_was_ended_meanwhile_is_not_rotated_into_life(staff: Employees) -> None:
    token = begin(staff)
    session = find_session(staff.store, token, NOW)
    assert session
    revoke_sessions(staff.store, SYSTEM, staff.id("root"), NOW)
    with pytest.raises(NotFound, match="sign in again"), staff.store.transaction() as connection:
        rotate_session(connection, session, NOW, LIMITS, complete=True)


def test_an_inactive_employee_has_no_session_however_it_was_made(staff: Employees) -> None:
    ivan = staff.add("ivan")
    token = begin(staff, login="ivan")
    with staff.store.transaction() as connection:  # not by set_active, which ends them
        of = table(Employee)
        connection.execute(sa.update(of).where(of.c.id == ivan).values(active=False))
    assert not lasts(staff, token, NOW)
    assert sessions_of(staff.store, ivan, NOW) == []


def test_sessions_are_listed_by_employee_and_half_way_ones_are_none(staff: Employees) -> None:
    staff.add("ivan")
    begin(staff, login="ivan")
    old, new = begin(staff), begin(staff, now=NOW + 10)
    begin(staff, complete=False)
    listed = sessions_of(staff.store, staff.id("root"), NOW + 10)
    assert [session.id for session in listed] == [hash_of(new), hash_of(old)]
    assert (listed[0].address, listed[0].agent) == ("192.0.2.1", "Firefox")


def test_one_ends_ones_own_sessions_and_staff_anybodys(staff: Employees) -> None:
    ivan, petr = staff.add("ivan"), staff.add("petr")
    mine = [begin(staff, login="ivan") for _ in range(3)]
    with pytest.raises(Forbidden):
        revoke_session(staff.store, staff.who(petr), ivan, hash_of(mine[0]), NOW)
    revoke_session(staff.store, staff.who(ivan), ivan, hash_of(mine[0]), NOW)
    assert [lasts(staff, token, NOW) for token in mine] == [False, True, True]
    with pytest.raises(NotFound):
        revoke_session(staff.store, staff.who(ivan), ivan, hash_of(mine[0]), NOW)
    with pytest.raises(NotFound):  # that id is another's
        revoke_session(staff.store, staff.who(petr), petr, hash_of(mine[1]), NOW)
    assert revoke_sessions(staff.store, staff.who(ivan), ivan, NOW, keep=mine[1]) == 1
    assert [lasts(staff, token, NOW) for token in mine] == [False, True, False]
    assert revoke_sessions(staff.store, staff.who(staff.id("root")), ivan, NOW) == 1
    assert staff.changes()[-1][:4] == (f"employee:{staff.id('root')}", "employee", ivan, "end sessions")


def test_deactivating_ends_the_sessions(staff: Employees) -> None:
    ivan = staff.add("ivan")
    begin(staff, login="ivan")
    set_active(staff.store, SYSTEM, ivan, False, NOW)
    with staff.store.reading() as connection:
        assert not connection.execute(sa.select(table(WebSession))).all()
