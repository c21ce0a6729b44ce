"""A house as a grid: each flat with what is known of it now, in a handful of statements however many flats there are.

What who asks has no right to (people, blocks, calls, verdicts) is not read, and says nothing in a flat's state. Times are
UTC seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.housing.plan import natural
from crm.model import (
    Account,
    AccountFlat,
    City,
    Entrance,
    EntranceFlat,
    Flat,
    FlatBlock,
    House,
    HouseEntrance,
    Phone,
    PhoneFlat,
    Platform,
    table,
)
from crm.rights import Right
from crm.tables.blocks import BlockKindRow
from crm.tables.calls import Call, Leg
from crm.tables.quality import QualityFlat
from crm.values.quality import BAD
from crm.values.records import Outcome
from crm.who import Who

CALLED = ("visitor", "test_ring")  # the kinds of call that ring a flat's phones


class FlatState(Enum):
    """How a flat is, the worst first."""

    BLOCKED = "blocked"  # a block stands that stops its calls
    HANDSET_BAD = "handset_bad"
    SILENT = "silent"  # at its last call no phone rang, though some should have
    ASLEEP = "asleep"  # some phones cannot be woken: they have no token
    NO_APP = "no_app"  # no account rings
    NEVER_CALLED = "never_called"
    FINE = "fine"


@frozen
class Handset:
    """What a flat's handset was last found to be."""

    verdict: str
    at: float
    result_id: int

    @property
    def is_bad(self) -> bool:
        return self.verdict in BAD


@frozen
class LastCall:
    """The last call that rang, or would have rung, a flat's phones. `silent`: accounts were called, and none rang."""

    id: str
    at: float
    outcome: Outcome | None
    answered: bool
    silent: bool = False


@frozen
class Phones:
    """What rings for a flat: accounts that do, of all; their phones that do, and those of them that can be woken."""

    accounts: int = 0
    ringing: int = 0
    phones: int = 0
    woken: int = 0

    @property
    def some_asleep(self) -> bool:
        return self.woken < self.phones or (self.ringing > 0 and self.phones == 0)


@frozen
class GridFlat:
    """A flat. `blocks` are the names of those that stand, `stopped`: one of them stops calls. None: not known, or not
    told to who asks."""

    id: int
    number: str
    floor: int | None
    doors: tuple[int, ...]
    phones: Phones | None
    blocks: tuple[str, ...]
    stopped: bool
    handset: Handset | None
    call: LastCall | None
    auto_open: bool
    state: FlatState


@frozen
class GridDoor:
    """A column: an entrance, or None for flats that are called from nowhere."""

    id: int | None
    name: str
    is_gate: bool = False


@frozen
class HouseGrid:
    """`cells` are the flats by entrance and floor, each in the order of people. `floors` from the top; None: not told."""

    doors: tuple[GridDoor, ...]
    floors: tuple[int | None, ...]
    cells: Mapping[tuple[int | None, int | None], Sequence[GridFlat]]
    flats: Sequence[GridFlat]
    rights: frozenset[Right]

    def at(self, door: int | None, floor: int | None) -> Sequence[GridFlat]:
        return self.cells.get((door, floor), ())


_RIGHTS = (
    *(Right.PEOPLE_VIEW, Right.BLOCKS_VIEW, Right.CALLS_VIEW, Right.QUALITY_VIEW, Right.KEYS_VIEW),
    *(Right.DEVICES_VIEW, Right.HOUSING_EDIT, Right.CALLS_MAKE, Right.BLOCKS_SET, Right.PEOPLE_EDIT),
)


def rights_at(connection: sa.Connection, who: Who, house_id: int) -> frozenset[Right]:
    """Which of the rights that a house's page asks for `who` has in this house."""
    reaches = [who.rights.reach(right) for right in _RIGHTS]
    house = sa.select(*(sa.case((each.of_houses(), 1), else_=0) for each in reaches)).select_from(House)
    row = connection.execute(house.where(House.id == house_id)).first()
    found = zip(_RIGHTS, row, strict=True) if row is not None else ()
    return frozenset(right for right, within in found if within)


def zone_of(connection: sa.Connection, house_id: int) -> str:
    """The time zone of a house: its own, or its city's."""
    query = sa.select(sa.func.coalesce(House.time_zone, City.time_zone)).join(City, City.id == House.city_id)
    return connection.scalar(query.where(House.id == house_id)) or ""


def grid_of(connection: sa.Connection, who: Who, house_id: int, now: float) -> HouseGrid:
    """The grid of a house that `who` may see."""
    rights = rights_at(connection, who, house_id)
    phones = _phones(connection, house_id) if Right.PEOPLE_VIEW in rights else None
    blocks = _blocks(connection, house_id, now) if Right.BLOCKS_VIEW in rights else {}
    calls = _calls(connection, house_id) if Right.CALLS_VIEW in rights else None
    handsets = _handsets(connection, house_id) if Right.QUALITY_VIEW in rights else {}
    doors, behind = _doors(connection, house_id)
    flats = []
    query = sa.select(Flat.id, Flat.number, Flat.floor, Flat.auto_open_until).where(Flat.house_id == house_id)
    for id, number, floor, open_until in connection.execute(query):
        mine = None if phones is None else phones.get(id, Phones())
        names, stopped = blocks.get(id, ((), False))
        call = None if calls is None else calls.get(id)
        handset = handsets.get(id)
        silent = call is not None and call.silent
        state = _state(mine, stopped, handset, called=calls is None or call is not None, silent=silent)
        opens = open_until is not None and now < open_until
        through = behind.get(id, ())
        flats.append(GridFlat(id, number, floor, through, mine, names, stopped, handset, call, opens, state))
    flats.sort(key=lambda flat: natural(flat.number))
    return _arranged(doors, flats, rights)


def _arranged(doors: Sequence[GridDoor], flats: Sequence[GridFlat], rights: frozenset[Right]) -> HouseGrid:
    """Each flat in the column of its own entrance, before that of a gate; a gate that has none is no column."""
    place = {door.id: n for n, door in enumerate(doors)}
    cells: dict[tuple[int | None, int | None], list[GridFlat]] = {}
    for flat in flats:
        door = min((each for each in flat.doors if each in place), key=lambda d: place[d], default=None)
        cells.setdefault((door, flat.floor), []).append(flat)
    used = {each for each, _ in cells}
    shown = [each for each in doors if each.id in used or not each.is_gate]
    if None in used:
        shown.append(GridDoor(None, ""))
    floors: list[int | None] = [*sorted({floor for _, floor in cells if floor is not None}, reverse=True)]
    if any(floor is None for _, floor in cells):
        floors.append(None)
    return HouseGrid(tuple(shown), tuple(floors), cells, flats, rights)


def _state(
    phones: Phones | None, stopped: bool, handset: Handset | None, *, called: bool, silent: bool
) -> FlatState:
    if stopped:
        return FlatState.BLOCKED
    if handset is not None and handset.is_bad:
        return FlatState.HANDSET_BAD
    if phones is not None and not phones.ringing:
        return FlatState.NO_APP
    if silent:
        return FlatState.SILENT
    if phones is not None and phones.some_asleep:
        return FlatState.ASLEEP
    return FlatState.FINE if called else FlatState.NEVER_CALLED


def _doors(connection: sa.Connection, house_id: int) -> tuple[list[GridDoor], dict[int, tuple[int, ...]]]:
    """The house's entrances, own ones first; and from which each flat is called."""
    served = HouseEntrance.__table__.alias()
    houses = sa.select(sa.func.count()).where(served.c.entrance_id == Entrance.id).scalar_subquery()
    query = (
        sa.select(Entrance.id, Entrance.name, houses)
        .join(HouseEntrance, HouseEntrance.entrance_id == Entrance.id)
        .where(HouseEntrance.house_id == house_id)
    )
    doors = [GridDoor(id, name, count > 1) for id, name, count in connection.execute(query)]
    doors.sort(key=lambda door: (door.is_gate, natural(door.name), door.id or 0))
    behind: dict[int, list[int]] = {}
    links = (
        sa.select(EntranceFlat.flat_id, EntranceFlat.entrance_id)
        .join(Flat, Flat.id == EntranceFlat.flat_id)
        .where(Flat.house_id == house_id)
    )
    for flat, entrance in connection.execute(links):
        behind.setdefault(flat, []).append(entrance)
    return doors, {flat: tuple(ids) for flat, ids in behind.items()}


def wakes(platform: Any, push_token: Any, voip_token: Any) -> sa.ColumnElement[bool]:
    """The condition on a phone that a push wakes it for a call: an iPhone has a token of its own for that."""
    return sa.or_(voip_token != "", sa.and_(push_token != "", platform != Platform.IOS))


def _phones(connection: sa.Connection, house_id: int) -> dict[int, Phones]:
    rings = sa.and_(AccountFlat.rings, sa.func.coalesce(PhoneFlat.rings, sa.true()))
    there = sa.and_(Phone.id.is_not(None), rings)
    awake = sa.and_(there, wakes(Phone.platform, Phone.push_token, Phone.voip_token))
    query = (
        sa.select(
            AccountFlat.flat_id,
            sa.func.count(sa.distinct(AccountFlat.account_id)),
            sa.func.count(sa.distinct(sa.case((AccountFlat.rings, AccountFlat.account_id)))),
            sa.func.count(sa.case((there, 1))),
            sa.func.count(sa.case((awake, 1))),
        )
        .join(Flat, Flat.id == AccountFlat.flat_id)
        .join(Account, Account.id == AccountFlat.account_id)
        .outerjoin(Phone, Phone.account_id == Account.id)
        .outerjoin(
            PhoneFlat, sa.and_(PhoneFlat.phone_id == Phone.id, PhoneFlat.flat_id == AccountFlat.flat_id)
        )
        .where(Flat.house_id == house_id)
        .group_by(AccountFlat.flat_id)
    )
    return {row[0]: Phones(*row[1:]) for row in connection.execute(query)}


def standing(now: float) -> sa.ColumnElement[bool]:
    """The condition on a block that it stands at `now`."""
    return sa.and_(FlatBlock.since <= now, sa.or_(FlatBlock.until.is_(None), FlatBlock.until > now))


def _blocks(connection: sa.Connection, house_id: int, now: float) -> dict[int, tuple[tuple[str, ...], bool]]:
    query = (
        sa.select(FlatBlock.flat_id, FlatBlock.kind, BlockKindRow.name, BlockKindRow.stops_calls)
        .join(Flat, Flat.id == FlatBlock.flat_id)
        .outerjoin(BlockKindRow, BlockKindRow.code == FlatBlock.kind)
        .where(Flat.house_id == house_id, standing(now))
        .order_by(FlatBlock.id)
    )
    found: dict[int, tuple[tuple[str, ...], bool]] = {}
    for flat, kind, name, stops in connection.execute(query):
        names, stopped = found.get(flat, ((), False))
        # A kind that there is no more stops calls, as the node has it.
        found[flat] = tuple(dict.fromkeys((*names, name or kind))), stopped or stops is None or stops
    return found


def _handsets(connection: sa.Connection, house_id: int) -> dict[int, Handset]:
    of = table(QualityFlat)
    query = sa.select(of).join(Flat, Flat.id == of.c.flat_id).where(Flat.house_id == house_id)
    return {row.flat_id: Handset(row.verdict, row.at, row.result_id) for row in connection.execute(query)}


def _calls(connection: sa.Connection, house_id: int) -> dict[int, LastCall]:
    """Each flat's last call, by its index: one look for each, whatever the history's length."""
    call, last = table(Call), table(Call).alias("last")
    newest = (
        sa.select(call.c.call_id)
        .where(call.c.flat_id == Flat.id, call.c.kind.in_(CALLED))
        .order_by(call.c.started_at.desc())
        .limit(1)
    )
    leg = table(Leg)
    tried = sa.select(leg.c.call_id).where(leg.c.call_id == last.c.call_id, leg.c.role == "account")
    rang = tried.where(sa.or_(leg.c.ringing_at.is_not(None), leg.c.answered_at.is_not(None)))
    silent = sa.and_(tried.exists(), sa.not_(rang.exists())).label("silent")
    columns = (last.c.call_id, last.c.flat_id, last.c.started_at, last.c.outcome, last.c.answered_at)
    query = (
        sa.select(*columns, silent)
        .select_from(table(Flat).join(last, last.c.call_id == newest.scalar_subquery()))
        .where(Flat.house_id == house_id)
    )
    return {
        row.flat_id: LastCall(
            row.call_id, row.started_at, row.outcome, row.answered_at is not None, bool(row.silent)
        )
        for row in connection.execute(query)
    }


def counted(flats: Iterable[GridFlat]) -> dict[FlatState, int]:
    """How many flats are in each state that one of them is in."""
    found = dict.fromkeys(FlatState, 0)
    for flat in flats:
        found[flat.state] += 1
    return {state: count for state, count in found.items() if count}
