"""Blocks of flats: set for many flats at once, taken back, and what those that stand stop.

Each block has a kind (its code; block_model.BlockKindRow says what it stops) and its own time. Several stand at once:
of different kinds, or from different sources. By hand no flat gets a second one of a kind for the same time: it keeps
the one that it has. Who sets or takes back one needs the kind's right in the flat's house; billing's blocks are
billing's. 112 is stopped by none. Functions are synchronous and raise crm.who's Refused errors and crm.store's
StoreError. Times are UTC seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.keys.panels import sync_flats
from crm.model import Flat, FlatBlock, House, table
from crm.rights import NOWHERE, Reach, Right
from crm.store import Store
from crm.tables.blocks import BlockKindRow
from crm.who import Conflict, Forbidden, Invalid, NotFound, Who

HAND, BILLING = "hand", "billing"  # FlatBlock.source
FLATS_MOST = 5000  # in one go
REASON_LONGEST = 255
ALL = "*"  # written instead of flats' numbers
_CHUNK = 500

_KINDS, _BLOCKS, _FLATS, _HOUSES = table(BlockKindRow), table(FlatBlock), table(Flat), table(House)
_RANGE = re.compile(r"(\d{1,9})\s*[-–—]\s*(\d{1,9})")


@frozen
class KindInfo:
    """A kind of block; `right` is what one needs to set it."""

    code: str
    name: str
    stops_calls: bool
    stops_app: bool
    stops_keys: bool
    right: Right


@frozen
class NewBlock:
    """What flats are to be blocked by. `since` may lie ahead; `until` None: until it is taken back."""

    kind: str
    since: float
    until: float | None = None
    reason: str = ""


@frozen
class Blocked:
    """What became of it, or would: `flats` are blocked; `left` have a block of this kind by hand in that time already."""

    flats: tuple[int, ...]
    left: tuple[int, ...]


@frozen
class Standing:
    """A block that stands on a flat now, with what its kind stops."""

    id: int
    kind: str
    name: str
    since: float
    until: float | None
    reason: str
    source: str
    stops_calls: bool
    stops_app: bool
    stops_keys: bool


def settable_kinds(store: Store, who: Who) -> tuple[KindInfo, ...]:
    """The kinds that `who` may set anywhere, in the order in which they were made."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(_KINDS).order_by(_KINDS.c.id))
        return tuple(kind for row in rows if who.rights.may((kind := _kind(row)).right))


def flats_of(store: Store, who: Who, house_id: int, text: str) -> tuple[tuple[int, str], ...]:
    """The flats (id, number) of a house that a text like "1-36, 40, 12а" names; "*" names all.

    Raises Invalid: what it names is not there; NotFound: no such house within sight.
    """
    with store.reading() as connection:
        seen = sa.select(_HOUSES.c.id).where(_HOUSES.c.id == house_id, _sight(who).of_houses())
        if connection.scalar(seen) is None:
            raise NotFound(f"there is no house {house_id}")
        query = sa.select(_FLATS.c.id, _FLATS.c.number).where(_FLATS.c.house_id == house_id)
        found = [(int(id), str(number)) for id, number in connection.execute(query)]
    return _named(found, text)


def preview_blocks(store: Store, who: Who, flat_ids: Sequence[int], block: NewBlock) -> Blocked:
    """What `block_flats` would do. Raises what it does."""
    with store.reading() as connection:
        return _plan(connection, who, flat_ids, block)[1]


def block_flats(
    store: Store, who: Who, flat_ids: Sequence[int], block: NewBlock, now: float
) -> tuple[Blocked, tuple[int, ...]]:
    """Block flats, all in one transaction: what became of it, and the new blocks' ids, in the order of the flats.

    Raises Invalid (the times, the kind, too many flats), Forbidden, NotFound (a flat).
    """
    with store.transaction() as connection:
        kind, plan = _plan(connection, who, flat_ids, block, locked=True)
        ids: list[int] = []
        for some in _chunks(plan.flats):
            rows = [
                {
                    "flat_id": flat_id,
                    "kind": kind.code,
                    "from": block.since,
                    "until": block.until,
                    "reason": block.reason.strip(),
                    "source": HAND,
                }
                for flat_id in some
            ]
            new = sa.insert(_BLOCKS).returning(_BLOCKS.c.id, sort_by_parameter_order=True)
            ids += connection.scalars(new, rows).all()
        said = {
            "kind": kind.code,
            "from": block.since,
            "until": block.until,
            "reason": block.reason.strip(),
        }
        for flat_id in plan.flats:
            note_change(connection, who, "flat", flat_id, "block", None, said, at=now)
        if kind.stops_keys:
            sync_flats(connection, plan.flats, now)
    return plan, tuple(ids)


def take_back(store: Store, who: Who, block_ids: Sequence[int], now: float) -> int:
    """End blocks that stand, delete those to come, all or none; how many.

    Raises NotFound, Forbidden, Conflict: billing's, or over already.
    """
    wanted = sorted(set(block_ids))
    if len(wanted) > FLATS_MOST:
        raise Invalid({"": f"at most {FLATS_MOST} blocks are taken back in one go"})
    with store.transaction() as connection:
        kinds = {row.code: _kind(row) for row in connection.execute(sa.select(_KINDS))}
        mine = [(_BLOCKS.c.kind == code, _reach(who, each).of_houses()) for code, each in kinds.items()]
        may = sa.case(*mine, else_=who.rights.reach(Right.BLOCKS_ADMIN).of_houses())
        flats: set[int] = set()
        for some in _chunks(wanted):
            query = (
                sa.select(_BLOCKS, may.label("may"))
                .join(_FLATS, _FLATS.c.id == _BLOCKS.c.flat_id)
                .join(_HOUSES, _HOUSES.c.id == _FLATS.c.house_id)
                .where(_BLOCKS.c.id.in_(some), _sight(who).of_houses())
                .with_for_update(of=_BLOCKS)
            )
            rows = connection.execute(query).all()
            if missing := set(some) - {row.id for row in rows}:
                raise NotFound(f"there is no block {min(missing)}")
            for row in rows:
                kind = kinds.get(row.kind)
                if not row.may:
                    needed = Right.BLOCKS_ADMIN if kind is None else kind.right
                    raise Forbidden(
                        f"to take back a block of this kind needs the right {needed.value} in this house"
                    )
                _end(connection, who, row, now)
                if kind is None or kind.stops_keys:
                    flats.add(row.flat_id)
        sync_flats(connection, flats, now)
    return len(wanted)


def standing_blocks(
    store: Store, who: Who, flat_id: int, now: float, right: Right = Right.BLOCKS_VIEW
) -> tuple[Standing, ...]:
    """The blocks that stand on a flat, the oldest first. Raises Forbidden, NotFound."""
    who.need(right)
    with store.reading() as connection:
        near = (
            sa.select(_FLATS.c.id)
            .join(_HOUSES, _HOUSES.c.id == _FLATS.c.house_id)
            .where(_FLATS.c.id == flat_id, who.rights.reach(right).of_houses())
        )
        if connection.scalar(near) is None:
            raise NotFound(f"there is no flat {flat_id}")
        query = (
            sa.select(
                *(_BLOCKS.c.id, _BLOCKS.c.kind, sa.func.coalesce(_KINDS.c.name, _BLOCKS.c.kind)),
                *(_BLOCKS.c["from"], _BLOCKS.c.until, _BLOCKS.c.reason, _BLOCKS.c.source),
                sa.func.coalesce(_KINDS.c.stops_calls, sa.true()),
                sa.func.coalesce(_KINDS.c.stops_app, sa.false()),
                sa.func.coalesce(_KINDS.c.stops_keys, sa.false()),
            )
            .outerjoin(_KINDS, _KINDS.c.code == _BLOCKS.c.kind)
            .where(_BLOCKS.c.flat_id == flat_id, _BLOCKS.c["from"] <= now)
            .where(sa.or_(_BLOCKS.c.until.is_(None), _BLOCKS.c.until > now))
            .order_by(_BLOCKS.c["from"], _BLOCKS.c.id)
        )
        return tuple(Standing(*row[:7], *map(bool, row[7:])) for row in connection.execute(query))


# --- within --------------------------------------------------------------------------------------------------------


def _plan(
    connection: sa.Connection,
    who: Who,
    flat_ids: Sequence[int],
    block: NewBlock,
    *,
    locked: bool = False,
) -> tuple[KindInfo, Blocked]:
    row = connection.execute(sa.select(_KINDS).where(_KINDS.c.code == block.kind)).first()
    if row is None:
        raise Invalid({"kind": f"there is no kind of block {block.kind[:40]}"})
    kind = _kind(row)
    reach = _reach(who, kind)
    if not reach:
        raise Forbidden(f"to set a block of this kind needs the right {kind.right.value}")
    if block.until is not None and block.until <= block.since:
        raise Invalid({"until": "a time after its beginning is expected"})
    if len(block.reason.strip()) > REASON_LONGEST:
        raise Invalid({"reason": f"at most {REASON_LONGEST} characters are expected"})
    wanted = sorted(set(flat_ids))
    if not 0 < len(wanted) <= FLATS_MOST:
        raise Invalid({"flats": f"1 to {FLATS_MOST} flats are expected"})
    near: set[int] = set()
    left: set[int] = set()
    for some in _chunks(wanted):
        query = (
            sa.select(_FLATS.c.id)
            .join(_HOUSES, _HOUSES.c.id == _FLATS.c.house_id)
            .where(_FLATS.c.id.in_(some), reach.of_houses())
        )
        near |= set(connection.scalars(query.with_for_update(of=_FLATS) if locked else query))
        end = sa.true() if block.until is None else _BLOCKS.c["from"] < block.until
        there = sa.select(_BLOCKS.c.flat_id).where(
            _BLOCKS.c.flat_id.in_(some),
            _BLOCKS.c.kind == kind.code,
            _BLOCKS.c.source == HAND,
            end,
            sa.or_(_BLOCKS.c.until.is_(None), _BLOCKS.c.until > block.since),
        )
        left |= set(connection.scalars(there))
    if missing := set(wanted) - near:
        raise NotFound(f"there is no flat {min(missing)} that {who.name} may block so")
    return kind, Blocked(tuple(id for id in wanted if id not in left), tuple(sorted(left)))


def _end(connection: sa.Connection, who: Who, row: Any, now: float) -> None:
    if row.source != HAND:
        raise Conflict("billing has set this block: it ends when billing says that the debt is paid")
    if row.until is not None and row.until <= now:
        raise Conflict("this block is over already")
    since = getattr(row, "from")
    if since > now:
        connection.execute(sa.delete(_BLOCKS).where(_BLOCKS.c.id == row.id))
    else:
        connection.execute(sa.update(_BLOCKS).where(_BLOCKS.c.id == row.id).values(until=now))
    before = {"kind": row.kind, "from": since, "until": row.until, "reason": row.reason}
    note_change(connection, who, "flat", row.flat_id, "unblock", before, None, at=now)


def _named(flats: Sequence[tuple[int, str]], text: str) -> tuple[tuple[int, str], ...]:
    """Those of a house's flats that a text names. Raises Invalid."""
    if text.strip() == ALL:
        if not flats:
            raise Invalid({"flats": "this house has no flats"})
        return tuple(flats)
    numbers = {number.lower(): (id, number) for id, number in flats}
    chosen: dict[int, str] = {}
    missing: list[str] = []
    for part in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*[-–—]\s*", "-", text.strip()))):
        if each := numbers.get(part.lower()):
            chosen[each[0]] = each[1]
        elif match := _RANGE.fullmatch(part):
            low, high = int(match[1]), int(match[2])
            # "12а" lies between 12 and 13: a range of flats has them all.
            some = [each for each in flats if (n := re.match(r"\d+", each[1])) and low <= int(n[0]) <= high]
            chosen |= dict(some)
            missing += [] if some else [part]
        else:
            missing.append(part)
    if missing:
        raise Invalid({"flats": f"this house has no flat {', '.join(missing)[:100]}"})
    if not chosen:
        raise Invalid({"flats": "flats are expected, like 1-36, 40"})
    return tuple(chosen.items())


def _kind(row: Any) -> KindInfo:
    known = {right.value: right for right in Right}
    right = known.get(row.right, Right.BLOCKS_ADMIN)
    return KindInfo(row.code, row.name, row.stops_calls, row.stops_app, row.stops_keys, right)


def _sight(who: Who) -> Reach:
    """Where `who` sees flats or blocks at all."""
    reach = NOWHERE
    for right in (Right.HOUSING_VIEW, Right.BLOCKS_VIEW):
        reach = reach | who.rights.reach(right)
    return reach


def _reach(who: Who, kind: KindInfo) -> Reach:
    return who.rights.reach(kind.right)


def _chunks(ids: Iterable[int]) -> Iterator[Sequence[int]]:
    every = list(ids)
    for at in range(0, len(every), _CHUNK):
        yield every[at : at + _CHUNK]
