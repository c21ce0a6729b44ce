"""Employees: who they are, what they may do, and how they are made, changed and sent away.

Only who has STAFF_EDIT everywhere changes others, and nobody who has more than he (groups.py says why). A new password
by staff, and deactivating, end all sessions at once; what an employee's keys open follows his groups, and that he is
active. Passwords are hashed before a transaction begins, as that takes long. Employees are never deleted: the history
names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.changes import SECRET, note_change
from crm.keys.panels import sync_employees
from crm.model import table
from crm.rights import Right
from crm.staff import groups as all_groups
from crm.staff import idempotency, sessions
from crm.staff.lockout import SignInOutcome, account_locked_until, login_of, note_outcome
from crm.staff.passwords import Passwords
from crm.staff.rules import LANGUAGES, trimmed, wrong_with
from crm.staff.sessions import Origin, end_sessions
from crm.store import Store
from crm.tables.staff import Employee as EmployeeRow
from crm.tables.staff import EmployeeGroup, SignIn
from crm.who import COMMAND_LINE, Conflict, Forbidden, Invalid, NotFound, Who

_EMPLOYEES, _MEMBERS, _SIGN_INS = table(EmployeeRow), table(EmployeeGroup), table(SignIn)
_SHOWN = ("id", "login", "name", "language", "active", "totp_on", "created_at", "password_at")
KEEP_SIGN_INS_DAYS = 365


@frozen
class Employee:
    """As staff sees him; `groups` are ids. `totp_on`: he signs in with a code, too."""

    id: int
    login: str
    name: str
    language: str
    active: bool
    totp_on: bool
    created_at: float
    password_at: float
    groups: tuple[int, ...]


# --- looking -------------------------------------------------------------------------------------------------------


def who_is(store: Store, employee_id: int, address: str = "") -> Who | None:
    """Who this employee is and what he may do now; None: he is not there, or not active."""
    with store.reading() as connection:
        row = connection.execute(
            sa.select(_EMPLOYEES.c.login, _EMPLOYEES.c.name).where(
                _EMPLOYEES.c.id == employee_id, _EMPLOYEES.c.active == sa.true()
            )
        ).first()
        if not row:
            return None
        rights = all_groups.rights_of(connection, employee_id)
    return Who(f"employee:{employee_id}", row.name or row.login, rights, address)


def get_self(store: Store, employee_id: int) -> Employee:
    """An employee about himself. Raises NotFound."""
    with store.reading() as connection:
        return _read(connection, employee_id)


def get_employee(store: Store, who: Who, id: int) -> Employee:
    """Raises Forbidden, NotFound."""
    who.need_everywhere(Right.STAFF_VIEW)
    return get_self(store, id)


def find_employees(store: Store, who: Who, *, active: bool | None = None) -> list[Employee]:
    """All employees, by login; only the active ones, or only the others. Raises Forbidden."""
    who.need_everywhere(Right.STAFF_VIEW)
    rows: sa.Select[Any] = sa.select(*(_EMPLOYEES.c[name] for name in _SHOWN)).order_by(_EMPLOYEES.c.login)
    if active is not None:
        rows = rows.where(_EMPLOYEES.c.active == active)
    with store.reading() as connection:
        members: dict[int, list[int]] = {}
        for employee, group in connection.execute(
            sa.select(_MEMBERS.c.employee_id, _MEMBERS.c.group_id).order_by(_MEMBERS.c.group_id)
        ):
            members.setdefault(employee, []).append(group)
        return [
            Employee(**row._mapping, groups=tuple(members.get(row.id, ())))
            for row in connection.execute(rows)
        ]


def employee_locked_until(store: Store, who: Who, id: int, now: float) -> float | None:
    """Until when (UTC) this employee's account is locked; None: it is not. Raises Forbidden, NotFound."""
    employee = get_employee(store, who, id)
    with store.reading() as connection:
        until = account_locked_until(connection, employee.login, now)
    return until if until and until > now else None


# --- changing ------------------------------------------------------------------------------------------------------


def create_employee(
    store: Store,
    who: Who,
    passwords: Passwords,
    login: str,
    name: str,
    password: str,
    groups: Iterable[int],
    now: float,
    *,
    language: str = "ru",
) -> int:
    """A new employee; his id. Raises Forbidden, Invalid, Conflict (the login is taken), TooBusy."""
    who.need_everywhere(Right.STAFF_EDIT)
    hash = _new_hash(passwords, login, name, language, password)
    with store.transaction() as connection:
        return _add(connection, who, login, name, language, hash, groups, now)


def create_admin(
    store: Store,
    passwords: Passwords,
    login: str,
    name: str,
    password: str,
    now: float,
    *,
    who: Who = COMMAND_LINE,
) -> int:
    """An administrator, in a group with all rights everywhere, which is made if there is none; his id.

    Raises Invalid, Conflict (the login is taken), TooBusy.
    """
    hash = _new_hash(passwords, login, name, LANGUAGES[0], password)
    with store.transaction() as connection:
        group = all_groups.administrators(connection, now, who)
        return _add(connection, who, login, name, LANGUAGES[0], hash, [group], now)


def change_employee(
    store: Store,
    who: Who,
    id: int,
    *,
    login: str,
    name: str,
    language: str,
    groups: Iterable[int],
    now: float,
) -> None:
    """Raises Forbidden, NotFound, Invalid, Conflict (login taken; or no administrator would be left)."""
    who.need_everywhere(Right.STAFF_EDIT)
    login = login_of(login)
    if errors := wrong_with(login, name, language):
        raise Invalid(errors)
    with store.transaction() as connection:
        before = _begin(connection, who, id)
        had_one = all_groups.has_administrator(connection)
        _need_free(connection, login, id)
        after = sorted(set(groups))
        if tuple(after) != before.groups:
            _put_into(connection, who, id, after)
            sync_employees(connection, [id], now)
        connection.execute(
            sa.update(_EMPLOYEES)
            .where(_EMPLOYEES.c.id == id)
            .values(login=login, name=trimmed(name), language=language)
        )
        if had_one:
            all_groups.need_administrator(connection)
        was, now_is = _noted(before), _noted(_read(connection, id))
        note_change(connection, who, "employee", id, "update", was, now_is, at=now)


def set_language(store: Store, who: Who, employee_id: int, language: str, now: float) -> None:
    """An employee's own choice of the pages' language. Raises Forbidden, Invalid, NotFound."""
    if who.by != f"employee:{employee_id}":
        who.need_everywhere(Right.STAFF_EDIT)
    if language not in LANGUAGES:
        raise Invalid({"language": f"one of {', '.join(LANGUAGES)} is expected"})
    with store.transaction() as connection:
        before = _read(connection, employee_id)
        mine = sa.update(_EMPLOYEES).where(_EMPLOYEES.c.id == employee_id)
        connection.execute(mine.values(language=language))
        was, now_is = {"language": before.language}, {"language": language}
        note_change(connection, who, "employee", employee_id, "update", was, now_is, at=now)


def set_active(store: Store, who: Who, id: int, active: bool, now: float) -> None:
    """Deactivate an employee, which ends his sessions, or let him in again. Raises Forbidden, NotFound, Conflict."""
    who.need_everywhere(Right.STAFF_EDIT)
    with store.transaction() as connection:
        before = _begin(connection, who, id)
        had_one = all_groups.has_administrator(connection)
        connection.execute(sa.update(_EMPLOYEES).where(_EMPLOYEES.c.id == id).values(active=active))
        sync_employees(connection, [id], now)
        if not active:
            end_sessions(connection, id)
            if had_one:
                all_groups.need_administrator(connection)
        was, now_is = {"active": before.active}, {"active": active}
        note_change(connection, who, "employee", id, "update", was, now_is, at=now)


def set_password(store: Store, who: Who, passwords: Passwords, id: int, password: str, now: float) -> None:
    """A new password by staff; it ends all of the employee's sessions. Raises Forbidden, NotFound, Invalid, TooBusy."""
    who.need_everywhere(Right.STAFF_EDIT)
    _need_other(who, id)
    passwords.check_new(password, get_self(store, id).login)
    hash = passwords.hash(password)
    with store.transaction() as connection:
        _begin(connection, who, id)
        write_password(connection, who, id, hash, now)
        end_sessions(connection, id)


def reset_second_factor(store: Store, who: Who, id: int, now: float) -> None:
    """For who has lost his phone: from now on the password is enough. Raises Forbidden, NotFound."""
    who.need_everywhere(Right.STAFF_EDIT)
    _need_other(who, id)
    with store.transaction() as connection:
        before = _begin(connection, who, id)
        off = sa.update(_EMPLOYEES).where(_EMPLOYEES.c.id == id)
        connection.execute(off.values(totp_on=False, totp_secret="", totp_used=0))
        end_sessions(connection, id)
        was, now_is = {"second factor": before.totp_on}, {"second factor": False}
        note_change(connection, who, "employee", id, "update", was, now_is, at=now)


def unlock(store: Store, who: Who, id: int, now: float) -> None:
    """Let an employee whose account is locked try again. Raises Forbidden, NotFound."""
    who.need_everywhere(Right.STAFF_EDIT)
    with store.transaction() as connection:
        employee = _begin(connection, who, id)
        note_outcome(connection, employee.login, Origin(who.address), now, SignInOutcome.UNLOCKED, id)
        note_change(connection, who, "employee", id, "unlock", at=now)


def clear_away(store: Store, now: float, limits: sessions.SessionLimits = sessions.LIMITS) -> None:
    """Delete sessions that are over, answers of requests older than a day, and sign-ins of so many days ago."""
    with store.transaction() as connection:
        sessions.drop_ended(connection, now, limits)
        idempotency.drop_old(connection, now)
        connection.execute(sa.delete(_SIGN_INS).where(_SIGN_INS.c.at <= now - KEEP_SIGN_INS_DAYS * 86_400))


def write_password(connection: sa.Connection, who: Who, id: int, hash: str, now: float) -> None:
    """Keep a new password's hash, and note that it is new."""
    mine = sa.update(_EMPLOYEES).where(_EMPLOYEES.c.id == id)
    connection.execute(mine.values(password_hash=hash, password_at=now))
    note_change(connection, who, "employee", id, "update", after={"password": SECRET}, at=now)


# --- parts ---------------------------------------------------------------------------------------------------------


def _need_other(who: Who, id: int) -> None:
    """Raises Forbidden: one's own is changed by the password or a code, so that no found session does it."""
    if who.by == f"employee:{id}":
        raise Forbidden(
            "what you sign in with yourself is changed in your profile, or by somebody else of the staff"
        )


def _begin(connection: sa.Connection, who: Who, id: int) -> Employee:
    """The employee, whom nobody else changes until this transaction ends. Raises NotFound, Forbidden."""
    all_groups.keep_staff_alone(connection)
    employee = _read(connection, id)
    all_groups.need_to_give(connection, who, all_groups.rights_of(connection, id).reaches)
    return employee


def _read(connection: sa.Connection, id: int) -> Employee:
    shown: sa.Select[Any] = sa.select(*(_EMPLOYEES.c[name] for name in _SHOWN))
    row = connection.execute(shown.where(_EMPLOYEES.c.id == id)).first() if 0 < id < 2**31 else None
    if not row:
        raise NotFound(f"there is no employee {id}")
    mine = sa.select(_MEMBERS.c.group_id).where(_MEMBERS.c.employee_id == id).order_by(_MEMBERS.c.group_id)
    return Employee(**row._mapping, groups=tuple(connection.execute(mine).scalars()))


def _new_hash(passwords: Passwords, login: str, name: str, language: str, password: str) -> str:
    """Of a new employee's password. All that is wrong is said at once."""
    errors = wrong_with(login_of(login), name, language)
    try:
        passwords.check_new(password, login_of(login))
    except Invalid as error:
        errors |= error.errors
    if errors:
        raise Invalid(errors)
    return passwords.hash(password)


def _add(
    connection: sa.Connection,
    who: Who,
    login: str,
    name: str,
    language: str,
    hash: str,
    groups: Iterable[int],
    now: float,
) -> int:
    all_groups.keep_staff_alone(connection)
    login = login_of(login)
    _need_free(connection, login, 0)
    row = {"login": login, "name": trimmed(name), "language": language, "created_at": now}
    inserted = (
        sa.insert(_EMPLOYEES).values(**row, password_hash=hash, password_at=now).returning(_EMPLOYEES.c.id)
    )
    id = int(connection.execute(inserted).scalar_one())
    _put_into(connection, who, id, groups)
    after = {**_noted(_read(connection, id)), "password": SECRET}
    note_change(connection, who, "employee", id, "create", after=after, at=now)
    return id


def _put_into(connection: sa.Connection, who: Who, id: int, groups: Iterable[int]) -> None:
    chosen = sorted(set(groups))
    found = all_groups.read_groups(connection, chosen)
    if len(found) < len(chosen):
        raise Invalid({"groups": "some of them are not there any more"})
    for group in found.values():
        all_groups.need_to_give(connection, who, dict.fromkeys(group.rights, group.reach))
    connection.execute(sa.delete(_MEMBERS).where(_MEMBERS.c.employee_id == id))
    if chosen:
        connection.execute(sa.insert(_MEMBERS), [{"employee_id": id, "group_id": group} for group in chosen])


def _need_free(connection: sa.Connection, login: str, id: int) -> None:
    taken = sa.select(_EMPLOYEES.c.id).where(_EMPLOYEES.c.login == login, _EMPLOYEES.c.id != id)
    if connection.execute(taken).first():
        raise Conflict(f"there is an employee {login} already: take another login")


def _noted(employee: Employee) -> dict[str, object]:
    return {name: getattr(employee, name) for name in ("login", "name", "language", "active", "groups")}
