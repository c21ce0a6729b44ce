"""One field over everything: addresses, flats, people, phone numbers, MACs, SIP users, keys, companies, call ids.

What was typed is read in every way that it may mean; each kind that somebody may view is looked for within that right's
reach. Every look is by an index, and all together end at a deadline, in the database as well: what was not looked
through by then is said to be late. Where nothing is found, the text is read as typed on the other keyboard.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import sqlalchemy.exc
from attrs import evolve

from crm.rights import Reach, Right
from crm.search.hits import Found, Group, Hit, Sure, group
from crm.search.places import (
    find_companies,
    find_flats,
    find_houses,
    find_phones,
    find_residents,
    find_streets,
)
from crm.search.text import Address, other_layout, readings, words_of
from crm.search.things import (
    find_accounts,
    find_calls,
    find_employees,
    find_keys,
    find_panels,
    find_relays,
)
from crm.store import Store
from crm.who import Who

__all__ = ["Found", "Group", "Hit", "Sure", "search"]

DEADLINE_S = 0.5
LONGEST = 120  # characters; the rest is nobody's typing
EXACTLY_S = 0.05  # by which a statement may be over it
STEPS = 2000  # of SQLite's machine between two looks at the clock

_RIGHTS = {
    Found.FLAT: Right.HOUSING_VIEW,
    Found.HOUSE: Right.HOUSING_VIEW,
    Found.STREET: Right.HOUSING_VIEW,
    Found.PANEL: Right.DEVICES_VIEW,
    Found.RELAY: Right.DEVICES_VIEW,
    Found.KEY: Right.KEYS_VIEW,
    Found.PHONE: Right.PEOPLE_VIEW,
    Found.ACCOUNT: Right.PEOPLE_VIEW,
    Found.CALL: Right.CALLS_VIEW,
    Found.RESIDENT: Right.PEOPLE_VIEW,
    Found.COMPANY: Right.COMPANIES_VIEW,
    Found.EMPLOYEE: Right.STAFF_VIEW,
}
_ORDER = list(Found)


def search(
    store: Store, who: Who, text: str, *, limit_per_group: int = 5, deadline_s: float = DEADLINE_S
) -> tuple[Group, ...]:
    """What `text` finds of what `who` may see: groups with hits, the surest first; then those that were late.

    Raises DatabaseAway, SchemaMismatch.
    """
    # Neither NUL nor half a character can be put into the database's language.
    text = text.replace("\0", " ").encode(errors="ignore").decode()
    text = " ".join(text.split())[:LONGEST]
    if not text:
        return ()
    ends = time.monotonic() + deadline_s
    with store.reading() as connection, _bounded(connection, ends) as clock:
        groups = _look(connection, who, text, limit_per_group, clock)
        other = other_layout(text)
        if other and not any(each.hits or each.late for each in groups):
            groups = _look(connection, who, other, limit_per_group, clock)
    found = [each for each in groups if each.hits or each.late]
    return tuple(sorted(found, key=lambda each: (not each.hits, -each.sure, _ORDER.index(each.kind))))


def _look(connection: sa.Connection, who: Who, text: str, limit: int, clock: _Clock) -> list[Group]:
    groups = []
    meant, words = readings(text), words_of(text)
    for kinds, right, find in _finders(connection, text, meant, words, limit):
        reach = who.rights.reach(right)
        if not reach or (kinds == (Found.EMPLOYEE,) and not reach.everywhere):
            continue
        try:
            hits = find(reach) if clock.left() else None
        except sa.exc.OperationalError as error:
            if not _is_late(error):
                raise
            hits = None
        for kind in kinds:
            if hits is None:
                groups.append(Group(kind, (), late=True))
            else:
                groups.append(group(kind, [hit for hit in hits if hit.kind is kind], limit))
    return groups


_Finder = tuple[tuple[Found, ...], Right, Callable[[Reach], list[Hit]]]


def _finders(
    connection: sa.Connection,
    text: str,
    meant: tuple[Address, ...],
    words: tuple[str, ...],
    limit: int,
) -> Iterator[_Finder]:
    """The looks to be had, those first that cost least."""

    def look(find: Callable[[Reach], list[Hit]], *kinds: Found) -> _Finder:
        return kinds, _RIGHTS[kinds[0]], find

    yield look(lambda reach: find_panels(connection, reach, text, limit), Found.PANEL)
    yield look(lambda reach: find_relays(connection, reach, text, limit), Found.RELAY)
    yield look(lambda reach: find_keys(connection, reach, text, limit), Found.KEY)
    yield look(lambda reach: find_calls(connection, reach, text, limit), Found.CALL)
    yield look(lambda reach: find_accounts(connection, reach, text, limit), Found.ACCOUNT)
    yield look(lambda reach: find_phones(connection, reach, text, limit), Found.PHONE)
    yield look(lambda reach: _places(connection, reach, meant, text, limit), Found.FLAT, Found.HOUSE)
    yield look(lambda reach: _streets(connection, reach, meant, limit), Found.STREET)
    yield look(lambda reach: find_companies(connection, reach, words, limit), Found.COMPANY)
    yield look(lambda reach: find_residents(connection, reach, words, limit), Found.RESIDENT)
    yield look(lambda reach: find_employees(connection, text, limit), Found.EMPLOYEE)


def _places(
    connection: sa.Connection, reach: Reach, meant: tuple[Address, ...], text: str, limit: int
) -> list[Hit]:
    flats, around = find_flats(connection, reach, meant, text, limit)
    houses = [
        hit
        for asked in meant
        if not asked.flat
        for hit in find_houses(connection, reach, asked, 4 * (limit + 1))
    ]
    # A house is not all that was typed where there was a flat behind it.
    houses.extend(evolve(hit, sure=Sure.PART) for hit in around)
    return [*flats, *houses]


def _streets(connection: sa.Connection, reach: Reach, meant: tuple[Address, ...], limit: int) -> list[Hit]:
    return [hit for asked in meant for hit in find_streets(connection, reach, asked, limit + 1)]


class _Clock:
    """The deadline of a search: whether time is left, and the database's own limit of it for the next statement."""

    def __init__(self, connection: sa.Connection, ends: float) -> None:
        self._connection, self._ends = connection, ends
        self._set_at = 0.0

    def left(self) -> bool:
        now = time.monotonic()
        if now >= self._ends:
            return False
        if not _is_sqlite(self._connection) and now - self._set_at > EXACTLY_S:
            # A plan that is good for any value is a bad one for a range: each statement is planned with its own.
            settings = sa.select(
                sa.func.set_config("statement_timeout", str(max(1, round((self._ends - now) * 1000))), False),
                sa.func.set_config("plan_cache_mode", "force_custom_plan", False),
            )
            self._connection.execute(settings)
            self._set_at = now
        return True


@contextmanager
def _bounded(connection: sa.Connection, ends: float) -> Iterator[_Clock]:
    """Every statement on this connection ends by then (`time.monotonic()`)."""
    driver: object = connection.connection.dbapi_connection
    if isinstance(driver, sqlite3.Connection):
        driver.set_progress_handler(lambda: time.monotonic() >= ends, STEPS)
        try:
            yield _Clock(connection, ends)
        finally:
            driver.set_progress_handler(None, 0)
        return
    try:
        yield _Clock(connection, ends)
        connection.exec_driver_sql("RESET statement_timeout")
        connection.exec_driver_sql("RESET plan_cache_mode")
    except BaseException:
        connection.invalidate()  # nobody else is to have these settings
        raise


def _is_sqlite(connection: sa.Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _is_late(error: sa.exc.OperationalError) -> bool:
    """Whether the deadline ended the statement."""
    cancelled = getattr(error.orig, "sqlstate", None) == "57014"
    return cancelled or getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT
