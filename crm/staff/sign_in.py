"""Signing in and out: a password, then a code where there is a second factor, and a session at the end.

Who fails learns nothing by it: an unknown login, a wrong password, a deactivated employee and a locked account are
refused with the same words, after the same work. What it was stands in the sign_ins table, for staff. Wrong codes and
wrong passwords of one who is signed in count like failures to sign in, so that no stolen cookie gets more guesses.
No transaction is open while a password is hashed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa
from attrs import field, frozen

from crm.changes import note_change
from crm.model import table
from crm.sealed import Seal
from crm.staff.lockout import SignInOutcome, Try, begin_try, end_try, note_outcome
from crm.staff.passwords import Passwords, TooBusy
from crm.staff.sessions import (
    LIMITS,
    Origin,
    Session,
    SessionLimits,
    end_session,
    end_sessions,
    read_session,
    rotate_session,
    start_session,
)
from crm.staff.staff import write_password
from crm.staff.totp import matching_step, use_up
from crm.store import Store
from crm.tables.staff import Employee, WebSession
from crm.who import Refused, Who

__all__ = [
    "Origin",
    "SignInFailed",
    "SignInOutcome",
    "SignedIn",
    "change_own_password",
    "confirm_code",
    "confirm_password",
    "sign_in",
    "sign_out",
    "turn_off_second_factor",
]

_EMPLOYEES, _SESSIONS = table(Employee), table(WebSession)
REFUSED = "the login or the password is wrong, or it was wrong too often: try again, later if need be"
REFUSED_CODE = "the code is wrong, was used before, or it was wrong too often: try again, later if need be"
REFUSED_ADDRESS = "too many tries came from this address: try again in some minutes"
ENDED = "the session has ended meanwhile: sign in again"


class SignInFailed(Refused):
    """What is said of it is the same whatever was wrong. `retry_after_s`: all from this address is refused that long.

    `begin_again`: the half-way session is over, and the password is asked for again.
    """

    def __init__(self, text: str, *, retry_after_s: float | None = None, begin_again: bool = False) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
        self.begin_again = begin_again


@frozen
class SignedIn:
    """`token` goes into the cookie. `complete` False: only the code is taken with it, by `confirm_code`."""

    employee_id: int
    complete: bool
    token: str = field(repr=False)


def sign_in(
    store: Store,
    passwords: Passwords,
    login: str,
    password: str,
    origin: Origin,
    now: float,
    *,
    old_token: str = "",
    limits: SessionLimits = LIMITS,
) -> SignedIn:
    """Check the password and begin a session; the one of `old_token`, the browser's cookie until now, is ended.

    Raises SignInFailed, TooBusy.
    """
    with store.transaction() as connection:
        begun = begin_try(connection, login, origin, now)
        row = connection.execute(
            sa.select(_EMPLOYEES.c.id, _EMPLOYEES.c.password_hash, _EMPLOYEES.c.password_at).where(
                _EMPLOYEES.c.login == begun.login
            )
        ).first()
    _need_address(begun, now)
    with _busy_noted(store, begun, origin, now):
        right = passwords.verify(row.password_hash if row else "", password)
    new_hash = ""
    if row and right and passwords.is_stale(row.password_hash):
        with suppress(TooBusy):  # another time
            new_hash = passwords.hash(password)
    with store.transaction() as connection:
        if row:  # what was decided while the password was checked holds
            mine = sa.select(_EMPLOYEES.c.active, _EMPLOYEES.c.password_at, _EMPLOYEES.c.totp_on)
            mine = mine.where(_EMPLOYEES.c.id == row.id).with_for_update(key_share=True)
            current = connection.execute(mine).one()
            right = right and current.password_at == row.password_at
        if not row:
            outcome = SignInOutcome.UNKNOWN_LOGIN
        elif not current.active:
            outcome = SignInOutcome.INACTIVE
        elif not right:
            outcome = SignInOutcome.WRONG_PASSWORD
        else:
            outcome = SignInOutcome.HALF_WAY if current.totp_on else SignInOutcome.SIGNED_IN
        if begun.locked:
            outcome = SignInOutcome.LOCKED
        end_try(connection, begun, outcome, row.id if row else None, origin, now)
        if row and outcome in (SignInOutcome.SIGNED_IN, SignInOutcome.HALF_WAY):
            if new_hash:
                mine_now = sa.update(_EMPLOYEES).where(_EMPLOYEES.c.id == row.id)
                connection.execute(mine_now.values(password_hash=new_hash))
            if old_token:
                end_session(connection, old_token)
            complete = outcome is SignInOutcome.SIGNED_IN
            token = start_session(connection, row.id, complete, origin, now, limits)
            return SignedIn(row.id, complete, token)
    raise SignInFailed(REFUSED)


def confirm_code(
    store: Store,
    seal: Seal,
    token: str,
    code: str,
    origin: Origin,
    now: float,
    *,
    limits: SessionLimits = LIMITS,
) -> SignedIn:
    """Complete a half-way session by a code; it has a new token from then on. Once the account is locked it is over.

    Raises SignInFailed, SealError.
    """
    session, begun, step = _try_code(store, seal, token, code, origin, now, limits, complete=False)
    with store.transaction() as connection:
        if step is not None and use_up(connection, session.employee_id, step):
            new = rotate_session(connection, session, now, limits, complete=True)
            end_try(connection, begun, SignInOutcome.SIGNED_IN, session.employee_id, origin, now)
            return SignedIn(session.employee_id, True, new)
        locked = _wrong(connection, begun, SignInOutcome.WRONG_CODE, session, origin, now)
        if locked:
            connection.execute(sa.delete(_SESSIONS).where(_SESSIONS.c.id == session.id))
    raise SignInFailed(REFUSED_CODE, begin_again=locked)


def sign_out(store: Store, token: str, origin: Origin, now: float) -> None:
    """End the session of this token, if there is one."""
    with store.transaction() as connection:
        employee = end_session(connection, token)
        if employee is not None:
            login = connection.execute(
                sa.select(_EMPLOYEES.c.login).where(_EMPLOYEES.c.id == employee)
            ).scalar_one()
            note_outcome(connection, login, origin, now, SignInOutcome.SIGNED_OUT, employee)


def change_own_password(
    store: Store,
    passwords: Passwords,
    who: Who,
    token: str,
    old: str,
    new: str,
    origin: Origin,
    now: float,
    *,
    limits: SessionLimits = LIMITS,
) -> str:
    """A new password by the employee of this session; his other sessions end. The session's new token.

    Raises SignInFailed (the old one is wrong, or was too often), Invalid (the new one), TooBusy.
    """
    with store.transaction() as connection:
        session, row = _session(connection, token, now, limits, complete=True)
        passwords.check_new(new, row.login)
        begun = begin_try(connection, row.login, origin, now)
    _need_address(begun, now)
    with _busy_noted(store, begun, origin, now):
        right = passwords.verify(row.password_hash, old) and not begun.locked
        new_hash = passwords.hash(new) if right else ""
    with store.transaction() as connection:
        if not new_hash:
            _wrong(connection, begun, SignInOutcome.WRONG_PASSWORD, session, origin, now)
        else:
            rotated = rotate_session(connection, session, now, limits, complete=True)
            end_sessions(connection, session.employee_id, keep=rotated)
            write_password(connection, who, session.employee_id, new_hash, now)
            end_try(connection, begun, SignInOutcome.CONFIRMED, session.employee_id, origin, now)
            return rotated
    raise SignInFailed(REFUSED)


def confirm_password(
    store: Store,
    passwords: Passwords,
    token: str,
    password: str,
    origin: Origin,
    now: float,
    *,
    limits: SessionLimits = LIMITS,
) -> None:
    """Whoever has this session enters the employee's password once more, before what a found session must not do.

    Raises SignInFailed, TooBusy.
    """
    with store.transaction() as connection:
        session, row = _session(connection, token, now, limits, complete=True)
        begun = begin_try(connection, row.login, origin, now)
    _need_address(begun, now)
    with _busy_noted(store, begun, origin, now):
        right = passwords.verify(row.password_hash, password) and not begun.locked
    with store.transaction() as connection:
        if right:
            end_try(connection, begun, SignInOutcome.CONFIRMED, session.employee_id, origin, now)
        else:
            _wrong(connection, begun, SignInOutcome.WRONG_PASSWORD, session, origin, now)
    if not right:
        raise SignInFailed(REFUSED)


def turn_off_second_factor(
    store: Store,
    seal: Seal,
    who: Who,
    token: str,
    code: str,
    origin: Origin,
    now: float,
    *,
    limits: SessionLimits = LIMITS,
) -> None:
    """The employee of this session gives his second factor up, by a code of it. Raises SignInFailed, SealError."""
    session, begun, step = _try_code(store, seal, token, code, origin, now, limits, complete=True)
    with store.transaction() as connection:
        if well := step is not None and use_up(connection, session.employee_id, step):
            mine = sa.update(_EMPLOYEES).where(_EMPLOYEES.c.id == session.employee_id)
            connection.execute(mine.values(totp_on=False, totp_secret="", totp_used=0))
            end_try(connection, begun, SignInOutcome.CONFIRMED, session.employee_id, origin, now)
            was, now_is = {"second factor": True}, {"second factor": False}
            note_change(connection, who, "employee", session.employee_id, "update", was, now_is, at=now)
        else:
            _wrong(connection, begun, SignInOutcome.WRONG_CODE, session, origin, now)
    if not well:
        raise SignInFailed(REFUSED_CODE)


# --- parts ---------------------------------------------------------------------------------------------------------


def _session(
    connection: sa.Connection, token: str, now: float, limits: SessionLimits, *, complete: bool
) -> tuple[Session, sa.Row[str, str, str, int, bool]]:
    """The session of this token, and what is needed of its employee. Raises SignInFailed: it has ended."""
    session = read_session(connection, token, now, limits)
    if not session or session.complete is not complete:
        raise SignInFailed(ENDED, begin_again=True)
    columns = _EMPLOYEES.c
    row = connection.execute(
        sa.select(
            columns.login, columns.password_hash, columns.totp_secret, columns.totp_used, columns.totp_on
        ).where(columns.id == session.employee_id)
    ).one()
    return session, row


def _try_code(
    store: Store,
    seal: Seal,
    token: str,
    code: str,
    origin: Origin,
    now: float,
    limits: SessionLimits,
    *,
    complete: bool,
) -> tuple[Session, Try, int | None]:
    """Begin a try with a code; its time step, still to be used up. None: it is refused, whatever the reason."""
    with store.transaction() as connection:
        session, row = _session(connection, token, now, limits, complete=complete)
        secret = seal.open(row.totp_secret)
        begun = begin_try(connection, row.login, origin, now)
    _need_address(begun, now)
    if begun.locked or not row.totp_on:
        return session, begun, None
    return session, begun, matching_step(secret, code, row.totp_used, now)


def _wrong(
    connection: sa.Connection,
    begun: Try,
    outcome: SignInOutcome,
    session: Session,
    origin: Origin,
    now: float,
) -> bool:
    """Write a failure of who has a session; whether the account is locked."""
    if begun.locked:
        outcome = SignInOutcome.LOCKED
    return end_try(connection, begun, outcome, session.employee_id, origin, now) or begun.locked


def _need_address(begun: Try, now: float) -> None:
    if begun.address_until is not None:
        raise SignInFailed(REFUSED_ADDRESS, retry_after_s=max(1.0, begun.address_until - now))


@contextmanager
def _busy_noted(store: Store, begun: Try, origin: Origin, now: float) -> Iterator[None]:
    """A try for which there was no place is no failure."""
    try:
        yield
    except TooBusy:
        with store.transaction() as connection:
            end_try(connection, begun, SignInOutcome.BUSY, None, origin, now)
        raise
