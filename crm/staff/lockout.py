"""The sign_ins table: a row for each try to sign in, and who may not try for a while because of them.

A try is written as unfinished before a password is looked at and gets its outcome afterwards, so that many at once get
no more guesses than one after the other. All is computed from the rows: it holds over several processes and restarts.

An account is locked by `FAILURES` failures with no longer pause than `WINDOW_S` between them: for `FIRST_WAIT_S`, and
for each failure after that twice as long, up to `LONGEST_WAIT_S`. A sign-in, or staff, sets it back. Logins that
nobody has are locked as well: otherwise the lock would tell which ones there are. An address (of IPv6 its /64, which is
what a customer gets) is refused while it has `ADDRESS_FAILURES` failures within `WINDOW_S`.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from enum import Enum
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.model import table
from crm.rights import Right
from crm.staff.sessions import AGENT_LENGTH, Origin, clean
from crm.store import Store
from crm.tables.staff import SignIn
from crm.who import Who

_SIGN_INS = table(SignIn)
FAILURES = 5
WINDOW_S = 900.0
FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 3600.0
ADDRESS_FAILURES = 30
MEMORY_S = 86_400.0  # what an account is locked for is not looked for further back
NOTED_EVERY_S = 60.0  # a refused address is written down no more often
LOGIN_LENGTH = 64
IPV6_PREFIX = len("2001:0db8:0000:0000")  # a /64, in an address that is written out


class SignInOutcome(Enum):
    """What came of a try to sign in."""

    SIGNED_IN = "signed_in"
    HALF_WAY = "half_way"  # the password was right, the code is to come
    SIGNED_OUT = "signed_out"
    CONFIRMED = "confirmed"  # who is signed in has entered the password or a code once more, rightly
    UNKNOWN_LOGIN = "unknown_login"
    WRONG_PASSWORD = "wrong_password"
    INACTIVE = "inactive"  # the employee is deactivated
    WRONG_CODE = "wrong_code"  # of the second factor
    LOCKED = "locked"  # refused, as the account is locked; the password may have been right
    LOCK_BEGAN = "lock_began"  # the account is locked from here on
    UNLOCKED = "unlocked"  # by staff
    ADDRESS_LOCKED = "address_locked"  # refused without a look at it: too many failures from this address
    BUSY = "busy"  # sent away: too many sign in at once
    UNFINISHED = "unfinished"  # running now, or cut off


FAILED = frozenset(
    {
        SignInOutcome.UNKNOWN_LOGIN,
        SignInOutcome.WRONG_PASSWORD,
        SignInOutcome.INACTIVE,
        SignInOutcome.WRONG_CODE,
        SignInOutcome.UNFINISHED,
    }
)
SETS_BACK = frozenset({SignInOutcome.SIGNED_IN, SignInOutcome.UNLOCKED})


@frozen
class Try:
    """One that has begun: the row's `id`; `locked`: whatever is entered, it is refused.

    `address_until` (UTC): until then nothing from this address is looked at, and no row was written for this try.
    """

    id: int
    login: str
    locked: bool
    address_until: float | None = None


@frozen
class SignInRow:
    """A try to sign in, from the history."""

    id: int
    at: float
    login: str
    employee_id: int | None
    address: str
    agent: str
    outcome: SignInOutcome


def login_of(text: str) -> str:
    """A login as it is kept and compared: in small letters."""
    return clean(text.strip().lower(), LOGIN_LENGTH)


def begin_try(connection: sa.Connection, login: str, origin: Origin, now: float) -> Try:
    """Write that a try has begun, unless its address is refused, and tell whether the account is locked."""
    login = login_of(login)
    _one_at_a_time(connection, login)
    until = address_locked_until(connection, origin.address, now)
    if until:
        _note_address(connection, login, origin, now)
        return Try(0, login, True, until)
    locked = (account_locked_until(connection, login, now) or 0) > now
    return Try(note_outcome(connection, login, origin, now, SignInOutcome.UNFINISHED), login, locked)


def end_try(
    connection: sa.Connection,
    begun: Try,
    outcome: SignInOutcome,
    employee_id: int | None,
    origin: Origin,
    now: float,
) -> bool:
    """Write what came of it; whether the account is locked from here on."""
    connection.execute(
        sa.update(_SIGN_INS)
        .where(_SIGN_INS.c.id == begun.id)
        .values(outcome=outcome.value, employee_id=employee_id)
    )
    if outcome not in FAILED or (account_locked_until(connection, begun.login, now) or 0) <= now:
        return False
    note_outcome(connection, begun.login, origin, now, SignInOutcome.LOCK_BEGAN, employee_id)
    return True


def note_outcome(
    connection: sa.Connection,
    login: str,
    origin: Origin,
    now: float,
    outcome: SignInOutcome,
    employee_id: int | None = None,
) -> int:
    """Write one row; its id."""
    row = connection.execute(
        sa.insert(_SIGN_INS)
        .values(
            at=now,
            login=login_of(login),
            employee_id=employee_id,
            address=plain_address(origin.address),
            agent=clean(origin.agent, AGENT_LENGTH),
            outcome=outcome.value,
        )
        .returning(_SIGN_INS.c.id)
    )
    return int(row.scalar_one())


def find_sign_ins(
    store: Store,
    who: Who,
    *,
    employee_id: int | None = None,
    login: str = "",
    outcome: SignInOutcome | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[SignInRow]:
    """Tries to sign in, the newest first; those older than row `before_id` for the next page.

    Anybody sees his own by `employee_id`. Raises Forbidden.
    """
    if employee_id is None or who.by != f"employee:{employee_id}":
        who.need_everywhere(Right.STAFF_VIEW)
    columns = ("id", "at", "login", "employee_id", "address", "agent", "outcome")
    rows: sa.Select[Any] = (
        sa.select(*(_SIGN_INS.c[name] for name in columns)).order_by(_SIGN_INS.c.id.desc()).limit(limit)
    )
    if employee_id is not None:
        rows = rows.where(_SIGN_INS.c.employee_id == employee_id)
    if login:
        rows = rows.where(_SIGN_INS.c.login == login_of(login))
    if outcome is not None:
        rows = rows.where(_SIGN_INS.c.outcome == outcome.value)
    if before_id is not None:
        rows = rows.where(_SIGN_INS.c.id < before_id)
    with store.reading() as connection:
        return [
            SignInRow(**{**row._mapping, "outcome": SignInOutcome(row.outcome)})
            for row in connection.execute(rows)
        ]


def account_locked_until(connection: sa.Connection, login: str, now: float) -> float | None:
    """Until when (UTC) this login's account is locked, or was; None: it never was, within a day."""
    rows = connection.execute(
        sa.select(_SIGN_INS.c.at, _SIGN_INS.c.outcome)
        .where(
            _SIGN_INS.c.login == login_of(login),
            _SIGN_INS.c.at > now - MEMORY_S,
            _SIGN_INS.c.outcome.in_([each.value for each in FAILED | SETS_BACK]),
        )
        .order_by(_SIGN_INS.c.at, _SIGN_INS.c.id)
    )
    return locked_until((row.at, SignInOutcome(row.outcome)) for row in rows)


def locked_until(tries: Iterable[tuple[float, SignInOutcome]]) -> float | None:
    """Until when an account with these failures and sign-ins, in their order, is locked; None: it never was."""
    failures, last, until = 0, 0.0, None
    for at, outcome in tries:
        if outcome in SETS_BACK:
            failures, until = 0, None
        if outcome not in FAILED:
            continue
        if at - max(last, until or 0) > WINDOW_S:
            failures = 0
        failures, last = failures + 1, at
        if failures >= FAILURES:
            wait = min(FIRST_WAIT_S * 2.0 ** min(failures - FAILURES, 16), LONGEST_WAIT_S)
            until = max(at + wait, until or 0)
    return until


def address_locked_until(connection: sa.Connection, address: str, now: float) -> float | None:
    """Until when (UTC) nothing from this address is looked at; None: it may try."""
    counted = [each.value for each in FAILED | {SignInOutcome.LOCKED}]
    times = connection.execute(
        sa.select(_SIGN_INS.c.at)
        .where(_from(address), _SIGN_INS.c.at > now - WINDOW_S, _SIGN_INS.c.outcome.in_(counted))
        .order_by(_SIGN_INS.c.at.desc())
        .limit(ADDRESS_FAILURES)
    ).scalars()
    failures = list(times)
    return float(failures[-1]) + WINDOW_S if len(failures) == ADDRESS_FAILURES else None


def plain_address(text: str) -> str:
    """An address in one way of writing: IPv4 as it is, IPv6 in full, so that its beginning tells its network."""
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return clean(text, 64)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.exploded


def network_of(text: str) -> str:
    """Whose address it is: itself, or of IPv6 its /64, as a customer has all of that."""
    plain = plain_address(text)
    return plain[:IPV6_PREFIX] if ":" in plain and len(plain) == 39 else plain


def _from(address: str) -> sa.ColumnElement[bool]:
    plain = plain_address(address)
    if ":" in plain and len(plain) == 39:
        return sa.func.substr(_SIGN_INS.c.address, 1, IPV6_PREFIX) == plain[:IPV6_PREFIX]
    return _SIGN_INS.c.address == plain


def _note_address(connection: sa.Connection, login: str, origin: Origin, now: float) -> None:
    lately = sa.and_(
        _from(origin.address),
        _SIGN_INS.c.at > now - NOTED_EVERY_S,
        _SIGN_INS.c.outcome == SignInOutcome.ADDRESS_LOCKED.value,
    )
    if not connection.execute(sa.select(_SIGN_INS.c.id).where(lately).limit(1)).first():
        note_outcome(connection, login, origin, now, SignInOutcome.ADDRESS_LOCKED)


def _one_at_a_time(connection: sa.Connection, login: str) -> None:
    """Two tries of one login are counted one after the other; a SQLite transaction that writes is alone anyhow."""
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(f"sign-in {login}".encode()).digest()[:8], signed=True)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
