"""What comes of billing's debts and contracts in the database: blocks of flats, and flats' contracts.

What billing says of a contract that no flat has yet is kept, and holds once one does. Functions are synchronous; most
work in their caller's transaction, the others raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds
since the epoch.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.dialects import postgresql, sqlite

from crm.changes import note_change
from crm.companies.billing import ContractTold, DebtTold
from crm.keys.panels import sync_flats
from crm.model import BlockKind, Flat, FlatBlock, House, table
from crm.store import Store
from crm.tables.billing import Debt, UnknownContract
from crm.tables.blocks import BlockKindRow
from crm.who import BILLING

SOURCE = "billing"
CHUNK = 500

T = TypeVar("T")

_DEBTS, _UNKNOWN = table(Debt), table(UnknownContract)
_FLATS, _HOUSES, _BLOCKS = table(Flat), table(House), table(FlatBlock)


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
    insert(connection, _DEBTS, rows, update=("since", "amount", "told_at"))
    flats = sa.select(_FLATS.c.id).where(_FLATS.c.contract.in_(sorted(last)))
    settle(connection, connection.scalars(flats).all(), now)


def forget_debts(store: Store, before: float, now: float) -> None:
    """Debts that were told before then, and not since, are none any more."""
    while True:
        with store.transaction() as connection:
            old = sa.select(_DEBTS.c.contract).where(_DEBTS.c.told_at < before).limit(CHUNK)
            contracts = connection.scalars(old).all()
            connection.execute(sa.delete(_DEBTS).where(_DEBTS.c.contract.in_(contracts)))
            flats = sa.select(_FLATS.c.id).where(_FLATS.c.contract.in_(contracts))
            settle(connection, connection.scalars(flats).all(), now)
        if not contracts:
            return


def settle(connection: sa.Connection, flat_ids: Iterable[int], now: float) -> None:
    """Billing's blocks of these flats are set and taken back as its debts say; for whoever changes flats' contracts."""
    for ids in chunks(sorted(set(flat_ids))):
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
        stops_keys = sa.select(BlockKindRow.stops_keys).where(BlockKindRow.code == BlockKind.DEBT.value)
        if wanted.keys() != standing.keys() and connection.scalar(stops_keys):
            sync_flats(connection, wanted.keys() ^ standing.keys(), now)


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
    insert(connection, _UNKNOWN, rows, update=())
    placed = _placeable(connection, last)
    _give(connection, {each.contract: placed.get(each.contract) for each in last.values()}, now)


def forget_contracts(store: Store, before: float, _now: float) -> None:
    """Unknown contracts that were told before then, and not since, are dropped; those that flats have stay theirs."""
    with store.transaction() as connection:
        connection.execute(sa.delete(_UNKNOWN).where(_UNKNOWN.c.told_at < before))


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


def insert(
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


def chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
