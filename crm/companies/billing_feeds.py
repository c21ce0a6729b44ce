"""Billing's feeds of debts and contracts, read by a cursor.

A page is a transaction: what is done and how far it is read are committed together, so that a crash loses and repeats
nothing. When a feed is read next stands in its row; who reads it moves that on first, so that of several processes one
does. Functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from config import BillingConfig
from crm.companies.billing import (
    Billing,
    BillingAway,
    BillingError,
    BillingGone,
    ContractTold,
    DebtTold,
    Page,
    pause_before_next_try,
)
from crm.companies.debts import (
    chunks,
    forget_contracts,
    forget_debts,
    insert,
    place_known,
    take_contracts,
    take_debts,
)
from crm.model import table
from crm.store import Store
from crm.tables.billing import BillingFeed

ERROR_MAX = 255
HOLD_S = 60.0  # beyond the deadline: then who claimed a feed has died

_FEEDS = table(BillingFeed)


class Feed(Enum):
    """What is read from billing, in this order: a debt of a contract that came just before finds its flat."""

    CONTRACTS = "contracts"
    DEBTS = "debts"


@frozen
class FeedState:
    """How a feed stands: read up to `cursor`, to its end at `read_at`; `tries` in vain since, `error` the last one's."""

    name: str
    cursor: str = ""
    due_at: float = 0.0
    read_at: float | None = None
    tries: int = 0
    error: str = ""
    anew_at: float | None = None  # its reading from the beginning began then, and has not reached the end


def read_feed(
    store: Store, billing: Billing, settings: BillingConfig, feed: Feed, clock: Callable[[], float]
) -> int | None:
    """Read a feed to its end, if it is due and nobody else reads it; how many entries, None: it is not due.

    Raises BillingError; what was read until then is done, and the feed is due again after a pause that grows.
    """
    if not _claim(store, settings, feed, clock()):
        return None
    read = 0
    try:
        if feed is Feed.CONTRACTS:
            place_known(store, clock())
        more = True
        while more:
            cursor = feed_state(store, feed).cursor
            page: Page[DebtTold] | Page[ContractTold]
            try:
                page = billing.debts(cursor) if feed is Feed.DEBTS else billing.contracts(cursor)
            except BillingGone:
                if not cursor:
                    raise
                _set(store, feed, cursor="", anew_at=clock())
                continue
            if not _take(store, settings, feed, cursor, page, clock()):
                return read  # another process reads it: this one was too slow
            read += len(page.entries)
            more = page.more
        _end_anew(store, feed, clock())
    except BillingError as error:
        retry_after_s = error.retry_after_s if isinstance(error, BillingAway) else 0.0
        pause_s = max(pause_before_next_try(settings, feed_state(store, feed).tries + 1), retry_after_s)
        values = {"tries": _FEEDS.c.tries + 1, "error": str(error).replace("\0", "�")[:ERROR_MAX]}
        _set(store, feed, due_at=clock() + pause_s, **values)
        raise
    now = clock()
    _set(store, feed, due_at=now + settings.debts_minutes * 60, read_at=now, tries=0, error="")
    return read


def feed_state(store: Store, feed: Feed) -> FeedState:
    """How a feed stands; one that was never read is due."""
    with store.reading() as connection:
        row = connection.execute(sa.select(_FEEDS).where(_FEEDS.c.name == feed.value)).mappings().first()
    return FeedState(**row) if row is not None else FeedState(feed.value)


def read_soon(store: Store, now: float) -> None:
    """Both feeds are due now, by whoever reads them next (Chores)."""
    with store.transaction() as connection:
        connection.execute(sa.update(_FEEDS).where(_FEEDS.c.due_at > now).values(due_at=now))


def _claim(store: Store, settings: BillingConfig, feed: Feed, now: float) -> bool:
    if feed_state(store, feed).due_at > now:
        return False
    with store.transaction() as connection:
        insert(connection, _FEEDS, [{"name": feed.value}], update=())
        due = sa.and_(_FEEDS.c.name == feed.value, _FEEDS.c.due_at <= now)
        hold = sa.update(_FEEDS).where(due).values(due_at=now + settings.deadline_s + HOLD_S)
        return connection.execute(hold).rowcount == 1


def _set(store: Store, feed: Feed, **values: Any) -> None:
    with store.transaction() as connection:
        connection.execute(sa.update(_FEEDS).where(_FEEDS.c.name == feed.value).values(values))


def _end_anew(store: Store, feed: Feed, now: float) -> None:
    """If all was read from the beginning, what was not told again does not hold any more."""
    anew_at = feed_state(store, feed).anew_at
    if anew_at is not None:
        (forget_debts if feed is Feed.DEBTS else forget_contracts)(store, anew_at, now)
        _set(store, feed, anew_at=None)


def _take(
    store: Store,
    settings: BillingConfig,
    feed: Feed,
    cursor: str,
    page: Page[DebtTold] | Page[ContractTold],
    now: float,
) -> bool:
    """Do what a page says, and go on to its cursor; False: another process has gone on meanwhile."""
    with store.transaction() as connection:
        here = sa.and_(_FEEDS.c.name == feed.value, _FEEDS.c.cursor == cursor)
        on = {"cursor": page.next, "due_at": now + settings.deadline_s + HOLD_S}
        if not connection.execute(sa.update(_FEEDS).where(here).values(on)).rowcount:
            return False
        debts = [each for each in page.entries if isinstance(each, DebtTold)]
        contracts = [each for each in page.entries if isinstance(each, ContractTold)]
        for part in chunks(debts):
            take_debts(connection, part, now)
        for some in chunks(contracts):
            take_contracts(connection, some, now)
        return True
