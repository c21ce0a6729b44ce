"""Sessions of browsers. The cookie holds a random token of 256 bits; the database only its SHA-256.

A session begins half way (the password was right, the code is still to come) or complete, belongs to an active
employee, and ends when it was idle for too long, at its hour whatever happens, or when somebody ends it. At each step
that gives it more it gets a new token (`rotate_session`), so that one that was known before is worth nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.model import table
from crm.rights import Right
from crm.store import DatabaseAway, Store
from crm.tables.staff import Employee, WebSession
from crm.who import NotFound, Who

_SESSIONS, _EMPLOYEES = table(WebSession), table(Employee)
SEEN_EVERY_S = 60.0  # when it was last seen is written no more often
AGENT_LENGTH = 255


@frozen
class SessionLimits:
    """After `idle_s` without a request it is over, after `absolute_s` in any case; half way it lasts `half_way_s`."""

    idle_s: float = 3600.0
    absolute_s: float = 12 * 3600.0  # a shift of the duty desk
    half_way_s: float = 300.0


LIMITS = SessionLimits()


@frozen
class Origin:
    """Where a request comes from: the client's IP address (not a proxy's) and its User-Agent, as shown to staff."""

    address: str = ""
    agent: str = ""


@frozen
class Session:
    """A session that lasts. `id` is the token's hash: it may be shown. `complete` False: the code is still to come.

    `login` and `language` are its employee's.
    """

    id: str
    employee_id: int
    complete: bool
    created_at: float
    seen_at: float
    expires_at: float
    address: str
    agent: str
    login: str
    language: str


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def start_session(
    connection: sa.Connection,
    employee_id: int,
    complete: bool,
    origin: Origin,
    now: float,
    limits: SessionLimits = LIMITS,
) -> str:
    """A new session; its token, for the cookie."""
    token = secrets.token_urlsafe(32)
    connection.execute(
        sa.insert(_SESSIONS).values(
            id=hash_of(token),
            employee_id=employee_id,
            second_factor=complete,
            created_at=now,
            seen_at=now,
            expires_at=now + (limits.absolute_s if complete else limits.half_way_s),
            address=clean(origin.address, 64),
            agent=clean(origin.agent, AGENT_LENGTH),
        )
    )
    return token


def find_session(
    store: Store, token: str, now: float, *, touch: bool = True, limits: SessionLimits = LIMITS
) -> Session | None:
    """The session of this token, half way or complete; None: there is none, or it is over.

    `touch` False where a page asks by itself: that does not keep the session from being idle.
    """
    if not token:
        return None
    with store.reading() as connection:
        found = read_session(connection, token, now, limits)
    if found and touch and now - found.seen_at >= SEEN_EVERY_S:
        with (
            suppress(DatabaseAway),
            store.transaction() as connection,
        ):  # somebody writes for long: another time
            connection.execute(sa.update(_SESSIONS).where(_SESSIONS.c.id == found.id).values(seen_at=now))
    return found


def read_session(
    connection: sa.Connection, token: str, now: float, limits: SessionLimits = LIMITS
) -> Session | None:
    """The same within a transaction, without touching it."""
    row = connection.execute(_lasting(now, limits).where(_SESSIONS.c.id == hash_of(token))).first()
    return Session(*row) if row else None


def rotate_session(
    connection: sa.Connection, session: Session, now: float, limits: SessionLimits = LIMITS, *, complete: bool
) -> str:
    """Give it a new token, and end the old one. One that becomes complete by it lasts its full time from now on."""
    token = secrets.token_urlsafe(32)
    expires_at = now + limits.absolute_s if complete and not session.complete else session.expires_at
    changed = connection.execute(
        sa.update(_SESSIONS)
        .where(_SESSIONS.c.id == session.id)
        .values(id=hash_of(token), second_factor=complete, seen_at=now, expires_at=expires_at)
    )
    if not changed.rowcount:
        raise NotFound("the session has ended meanwhile: sign in again")
    return token


def sessions_of(store: Store, employee_id: int, now: float, limits: SessionLimits = LIMITS) -> list[Session]:
    """An employee's complete sessions, the last used first."""
    lasting = _lasting(now, limits).where(
        _SESSIONS.c.employee_id == employee_id, _SESSIONS.c.second_factor == sa.true()
    )
    with store.reading() as connection:
        return [Session(*row) for row in connection.execute(lasting.order_by(_SESSIONS.c.seen_at.desc()))]


def revoke_session(store: Store, who: Who, employee_id: int, id: str, now: float) -> None:
    """End one of an employee's sessions by its id: one's own, or anybody's by who keeps the staff.

    Raises Forbidden, NotFound.
    """
    _need_own(who, employee_id)
    with store.transaction() as connection:
        found = sa.and_(_SESSIONS.c.id == id, _SESSIONS.c.employee_id == employee_id)
        if not connection.execute(sa.delete(_SESSIONS).where(found)).rowcount:
            raise NotFound("there is no such session: it may have ended by itself")
        note_change(connection, who, "employee", employee_id, "end session", at=now)


def revoke_sessions(store: Store, who: Who, employee_id: int, now: float, *, keep: str = "") -> int:
    """End all of an employee's sessions but that of the token `keep`; how many there were. Raises Forbidden."""
    _need_own(who, employee_id)
    with store.transaction() as connection:
        ended = end_sessions(connection, employee_id, keep=keep)
        if ended:
            note_change(connection, who, "employee", employee_id, "end sessions", at=now)
        return ended


def end_session(connection: sa.Connection, token: str) -> int | None:
    """End the session of this token; whose it was. None: there was none."""
    deleted = connection.execute(
        sa.delete(_SESSIONS).where(_SESSIONS.c.id == hash_of(token)).returning(_SESSIONS.c.employee_id)
    )
    return deleted.scalar()


def end_sessions(connection: sa.Connection, employee_id: int, *, keep: str = "") -> int:
    """End an employee's sessions but that of the token `keep`; how many."""
    mine = sa.delete(_SESSIONS).where(_SESSIONS.c.employee_id == employee_id)
    return connection.execute(mine.where(_SESSIONS.c.id != hash_of(keep)) if keep else mine).rowcount


def drop_ended(connection: sa.Connection, now: float, limits: SessionLimits = LIMITS) -> int:
    """Delete the sessions that are over; how many."""
    over = sa.or_(_SESSIONS.c.expires_at <= now, _SESSIONS.c.seen_at <= now - limits.idle_s)
    return connection.execute(sa.delete(_SESSIONS).where(over)).rowcount


def clean(text: str, length: int) -> str:
    """A stranger's text as it can be kept: printable, and not longer than `length`."""
    return "".join(each for each in text if each.isprintable())[:length]


def _need_own(who: Who, employee_id: int) -> None:
    if who.by != f"employee:{employee_id}":
        who.need_everywhere(Right.STAFF_EDIT)


def _lasting(now: float, limits: SessionLimits) -> sa.Select[Any]:
    columns = (
        "id",
        "employee_id",
        "second_factor",
        "created_at",
        "seen_at",
        "expires_at",
        "address",
        "agent",
    )
    return (
        sa.select(*(_SESSIONS.c[name] for name in columns), _EMPLOYEES.c.login, _EMPLOYEES.c.language)
        .join(_EMPLOYEES, _EMPLOYEES.c.id == _SESSIONS.c.employee_id)
        .where(
            _EMPLOYEES.c.active == sa.true(),
            _SESSIONS.c.expires_at > now,
            _SESSIONS.c.seen_at > now - limits.idle_s,
        )
    )
