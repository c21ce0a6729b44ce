"""What comes of billing's debts and contracts in the database: blocks of flats, and flats' contracts.

Both come as feeds of changes that are read by a cursor, a page a transaction: what is done and how far it is read are
committed together, so that a crash loses and repeats nothing. What billing says of a contract that no flat has yet is
kept, and holds once one does. Functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store).
Times are UTC seconds since the epoch.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.dialects import postgresql, sqlite

from config import BillingConfig
from crm.billing import (
    Billing,
    BillingAway,
    BillingError,
    ContractTold,
    DebtTold,
    Page,
    pause_before_next_try,
)
from crm.billing_model import BillingFeed, Debt, UnknownContract
from crm.changes import note_change
from crm.model import BlockKind, Flat, FlatBlock, House, table
from crm.store import Store
from crm.who import BILLING

SOURCE = "billing"
ERROR_MAX = 255
CHUNK = 500
HOLD_S = 60.0  # beyond the deadline: then who claimed a feed has died

T = TypeVar("T")

_FEEDS, _DEBTS, _UNKNOWN = table(BillingFeed), table(Debt), table(UnknownContract)
_FLATS, _HOUSES, _BLOCKS = table(Flat), table(House), table(FlatBlock)


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


@frozen
class UnknownDebt:
    """A debt of a contract that no flat has; `amount` in roubles."""

    contract: str
    since: float
    amount: str
    told_at: float


@frozen
class Unplaced:
    """A contract for whose house (`fias` or `own_id`) and flat number no flat is known."""

    contract: str
    fias: str
    own_id: str
    flat: str
    told_at: float


# --- reading -------------------------------------------------------------------------------------------------------


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
            page = billing.debts(cursor) if feed is Feed.DEBTS else billing.contracts(cursor)
            if not _take(store, settings, feed, cursor, page, clock()):
                return read  # another process reads it: this one was too slow
            read += len(page.entries)
            more = page.more
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


def _claim(store: Store, settings: BillingConfig, feed: Feed, now: float) -> bool:
    if feed_state(store, feed).due_at > now:
        return False
    with store.transaction() as connection:
        _insert(connection, _FEEDS, [{"name": feed.value}], update=())
        due = sa.and_(_FEEDS.c.name == feed.value, _FEEDS.c.due_at <= now)
        hold = sa.update(_FEEDS).where(due).values(due_at=now + settings.deadline_s + HOLD_S)
        return connection.execute(hold).rowcount == 1


def _set(store: Store, feed: Feed, **values: Any) -> None:
    with store.transaction() as connection:
        connection.execute(sa.update(_FEEDS).where(_FEEDS.c.name == feed.value).values(values))


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
        for part in _chunks(debts):
            take_debts(connection, part, now)
        for some in _chunks(contracts):
            take_contracts(connection, some, now)
        return True


# --- debts ---------------------------------------------------------------------------------------------------------


def take_debts(connection: sa.Connection, debts: Sequence[DebtTold], now: float) -> None:
    """Keep what billing says of these contracts, the last word on each, and block or unblock their flats."""
    last = {each.contract: each for each in debts}
    owing = [each for each in last.values() if each.amount > 0]
    rows = [
        {
            "contract": each.contract,
            "since": each.since.timestamp(),
            "amount": f"{each.amount:f}"[:32],
            "told_at": now,
        }
        for each in owing
    ]
    paid = last.keys() - {each.contract for each in owing}
    connection.execute(sa.delete(_DEBTS).where(_DEBTS.c.contract.in_(sorted(paid))))
    _insert(connection, _DEBTS, rows, update=("since", "amount", "told_at"))
    flats = sa.select(_FLATS.c.id).where(_FLATS.c.contract.in_(sorted(last)))
    settle(connection, connection.scalars(flats).all(), now)


def settle(connection: sa.Connection, flat_ids: Iterable[int], now: float) -> None:
    """Billing's blocks of these flats are set and taken back as its debts say; for whoever changes flats' contracts."""
    for ids in _chunks(sorted(set(flat_ids))):
        owes = (
            sa.select(_FLATS.c.id, _DEBTS.c.since, _DEBTS.c.amount)
            .join(_DEBTS, _DEBTS.c.contract == _FLATS.c.contract)
            .where(_FLATS.c.id.in_(ids), _FLATS.c.contract != "")
        )
        wanted = {row.id: _reason(row.amount, row.since) for row in connection.execute(owes)}
        mine = sa.and_(_BLOCKS.c.source == SOURCE, _BLOCKS.c.kind == BlockKind.DEBT.value)
        stands = sa.or_(_BLOCKS.c.until.is_(None), _BLOCKS.c.until > now)
        query = sa.select(_BLOCKS).where(_BLOCKS.c.flat_id.in_(ids), mine, stands)
        standing = {row.flat_id: row for row in connection.execute(query)}
        for flat_id in ids:
            _settle_one(connection, flat_id, wanted.get(flat_id), standing.get(flat_id), now)


def _settle_one(connection: sa.Connection, flat_id: int, reason: str | None, block: Any, now: float) -> None:
    kind = BlockKind.DEBT.value
    if reason is not None and block is None:
        row = {"flat_id": flat_id, "kind": kind, "from": now, "reason": reason, "source": SOURCE}
        connection.execute(sa.insert(_BLOCKS).values(row))
        note_change(
            connection, BILLING, "flat", flat_id, "block", None, {"kind": kind, "reason": reason}, at=now
        )
    elif reason is None and block is not None:
        connection.execute(sa.update(_BLOCKS).where(_BLOCKS.c.id == block.id).values(until=now))
        before = {"kind": kind, "reason": block.reason}
        note_change(connection, BILLING, "flat", flat_id, "unblock", before, None, at=now)
    elif block is not None and block.reason != reason:
        connection.execute(sa.update(_BLOCKS).where(_BLOCKS.c.id == block.id).values(reason=reason))
        before, after = {"reason": block.reason}, {"reason": reason}
        note_change(connection, BILLING, "flat", flat_id, "update", before, after, at=now)


def _reason(amount: str, since: float) -> str:
    return f"{amount} ₽, {datetime.datetime.fromtimestamp(since, datetime.UTC):%Y-%m-%d}"


def unknown_debts(store: Store, limit: int = 500) -> list[UnknownDebt]:
    """Debts of contracts that no flat has, by contract."""
    known = sa.exists().where(_FLATS.c.contract == _DEBTS.c.contract)
    query = sa.select(_DEBTS).where(~known).order_by(_DEBTS.c.contract).limit(limit)
    with store.reading() as connection:
        return [UnknownDebt(**row) for row in connection.execute(query).mappings()]


# --- contracts -----------------------------------------------------------------------------------------------------


def take_contracts(connection: sa.Connection, contracts: Sequence[ContractTold], now: float) -> None:
    """Give these contracts to their flats, the last word on each; those of which none is known are kept."""
    last = {each.contract: each for each in contracts}
    connection.execute(sa.delete(_UNKNOWN).where(_UNKNOWN.c.contract.in_(sorted(last))))
    rows = [
        {
            "contract": each.contract,
            "fias": each.house.fias.lower(),
            "own_id": each.house.own_id,
            "flat": each.flat,
            "told_at": now,
        }
        for each in last.values()
        if each.active
    ]
    _insert(connection, _UNKNOWN, rows, update=())
    placed = _placeable(connection, last)
    _give(connection, {each.contract: placed.get(each.contract) for each in last.values()}, now)


def place_known(store: Store, now: float) -> int:
    """Contracts kept as unknown whose flat is there by now are given to it; how many."""
    placed = 0
    while True:
        with store.transaction() as connection:
            found = _placeable(connection, None)
            _give(connection, found, now)
        placed += len(found)
        if not found:
            return placed


def unknown_contracts(store: Store, limit: int = 500) -> list[Unplaced]:
    """Contracts for which no flat is known, by contract."""
    with store.reading() as connection:
        query = sa.select(_UNKNOWN).order_by(_UNKNOWN.c.contract).limit(limit)
        return [Unplaced(**row) for row in connection.execute(query).mappings()]


def _placeable(connection: sa.Connection, contracts: Iterable[str] | None) -> dict[str, int | None]:
    """The flats of contracts that are kept as unknown, where they are known: of all (some at a time), or of these."""
    ours = sa.or_(
        sa.and_(_UNKNOWN.c.fias != "", _HOUSES.c.fias == _UNKNOWN.c.fias),
        sa.and_(_UNKNOWN.c.fias == "", _UNKNOWN.c.own_id != "", _HOUSES.c.own_id == _UNKNOWN.c.own_id),
    )
    query = (
        sa.select(_UNKNOWN.c.contract, _FLATS.c.id)
        .join(_HOUSES, ours)
        .join(_FLATS, sa.and_(_FLATS.c.house_id == _HOUSES.c.id, _FLATS.c.number == _UNKNOWN.c.flat))
    )
    query = (
        query.limit(CHUNK) if contracts is None else query.where(_UNKNOWN.c.contract.in_(sorted(contracts)))
    )
    return {row.contract: row.id for row in connection.execute(query)}


def _give(connection: sa.Connection, flats: Mapping[str, int | None], now: float) -> None:
    """Each contract is that of this flat alone, of none where it says None."""
    held = sa.select(_FLATS.c.id, _FLATS.c.contract).where(_FLATS.c.contract.in_(sorted(flats)))
    lose = {row.id: row.contract for row in connection.execute(held) if flats[row.contract] != row.id}
    gain = {flat_id: contract for contract, flat_id in flats.items() if flat_id is not None}
    query = sa.select(_FLATS.c.id, _FLATS.c.contract).where(_FLATS.c.id.in_(sorted({*lose, *gain})))
    changed: list[int] = []
    for row in connection.execute(query).all():
        contract = gain.get(row.id, "")
        if contract == row.contract:
            continue
        connection.execute(sa.update(_FLATS).where(_FLATS.c.id == row.id).values(contract=contract))
        before, after = {"contract": row.contract}, {"contract": contract}
        note_change(connection, BILLING, "flat", row.id, "update", before, after, at=now)
        changed.append(row.id)
    given = [contract for contract, flat_id in flats.items() if flat_id is not None]
    connection.execute(sa.delete(_UNKNOWN).where(_UNKNOWN.c.contract.in_(sorted(given))))
    settle(connection, changed, now)


# --- alike ---------------------------------------------------------------------------------------------------------


def _insert(
    connection: sa.Connection, into: sa.Table, rows: Sequence[Mapping[str, Any]], *, update: Sequence[str]
) -> None:
    """Insert rows; of those that are there already, these columns are set anew."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(into)
    key = [each.name for each in into.primary_key]
    if update:
        values = {name: statement.excluded[name] for name in update}
        connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values), rows)
    else:
        connection.execute(statement.on_conflict_do_nothing(index_elements=key), rows)


def _chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
