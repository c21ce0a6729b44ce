"""What is known of one flat, gathered for its card: people, accounts and phones, keys, blocks, calls, handset, doors.

Only what who asks has the right to see in this house; what he may not see is None. Times are UTC seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from attrs import frozen

from crm.housing.grid import CALLED, Handset, rights_at, standing, wakes
from crm.model import (
    Account,
    AccountFlat,
    Dialling,
    Domophone,
    DomophoneEntrance,
    Entrance,
    EntranceFlat,
    Flat,
    FlatBlock,
    HouseEntrance,
    Phone,
    PhoneFlat,
    Platform,
    Role,
    table,
)
from crm.rights import Right
from crm.tables.blocks import BlockKindRow
from crm.tables.calls import Call
from crm.tables.keys import Key, KeyBinding, KeyScope
from crm.tables.people import Resident, ResidentFlat
from crm.tables.quality import QualityFlat
from crm.values.records import Outcome
from crm.who import Who

_MOST = 30  # of each kind of thing


@frozen
class CardPerson:
    id: int
    name: str
    phone: str
    role: Role


@frozen
class CardPhone:
    """`rings`: its switch for this flat; `wakes`: it has the token that a push needs to wake it."""

    id: int
    platform: Platform
    rings: bool
    wakes: bool


@frozen
class CardAccount:
    id: int
    sip_user: str
    role: Role
    rings: bool
    phones: tuple[CardPhone, ...]


@frozen
class CardKey:
    """`whose` is the resident's name, "" for a key of the flat itself."""

    id: int
    uid: str
    lost: bool
    whose: str
    seen_at: float | None


@frozen
class CardBlock:
    """`standing`: it stands now; else it is still to come."""

    id: int
    name: str
    since: float
    until: float | None
    reason: str
    stops_calls: bool
    standing: bool


@frozen
class CardCall:
    id: str
    kind: str
    at: float
    panel: str
    outcome: Outcome | None


@frozen
class CardDoor:
    """An entrance from which the flat is called: `dialled` is its number there, `panels` (id, SIP user) stand at it."""

    id: int
    name: str
    dialled: str
    line_level: float | None
    panels: tuple[tuple[int, str], ...]


@frozen
class FlatCard:
    id: int
    house_id: int
    number: str
    floor: int | None
    auto_open_until: float | None
    rights: frozenset[Right]
    doors: tuple[CardDoor, ...]
    people: tuple[CardPerson, ...] | None
    accounts: tuple[CardAccount, ...] | None
    keys: tuple[CardKey, ...] | None
    blocks: tuple[CardBlock, ...] | None
    calls: tuple[CardCall, ...] | None
    handset: Handset | None

    @property
    def rings(self) -> int:
        """How many phones ring; those of accounts without a phone that is known count as one."""
        accounts = [each for each in self.accounts or () if each.rings]
        return sum(max(1, sum(phone.rings for phone in each.phones)) for each in accounts)


def card_of(connection: sa.Connection, who: Who, flat_id: int, now: float) -> FlatCard | None:
    """The card of a flat that `who` may see; None: it is gone."""
    query = sa.select(Flat.house_id, Flat.number, Flat.floor, Flat.auto_open_until).where(Flat.id == flat_id)
    flat = connection.execute(query).first()
    if flat is None:
        return None
    rights = rights_at(connection, who, flat.house_id)
    people = Right.PEOPLE_VIEW in rights
    return FlatCard(
        flat_id,
        flat.house_id,
        flat.number,
        flat.floor,
        flat.auto_open_until,
        rights,
        doors=_doors(connection, flat_id, flat.house_id, flat.number),
        people=_people(connection, flat_id) if people else None,
        accounts=_accounts(connection, flat_id) if people else None,
        keys=_keys(connection, flat_id) if Right.KEYS_VIEW in rights else None,
        blocks=_blocks(connection, flat_id, now) if Right.BLOCKS_VIEW in rights else None,
        calls=_calls(connection, flat_id) if Right.CALLS_VIEW in rights else None,
        handset=_handset(connection, flat_id) if Right.QUALITY_VIEW in rights else None,
    )


def _doors(connection: sa.Connection, flat_id: int, house_id: int, number: str) -> tuple[CardDoor, ...]:
    query = (
        sa.select(
            *(Entrance.id, Entrance.name, EntranceFlat.panel_number, EntranceFlat.line_level),
            *(HouseEntrance.prefix, Domophone.id, Domophone.sip_user, Domophone.dialling),
        )
        .select_from(EntranceFlat)
        .join(Entrance, Entrance.id == EntranceFlat.entrance_id)
        .outerjoin(
            HouseEntrance,
            sa.and_(HouseEntrance.entrance_id == Entrance.id, HouseEntrance.house_id == house_id),
        )
        .outerjoin(DomophoneEntrance, DomophoneEntrance.entrance_id == Entrance.id)
        .outerjoin(Domophone, Domophone.id == DomophoneEntrance.domophone_id)
        .where(EntranceFlat.flat_id == flat_id)
        .order_by(Entrance.id, Domophone.id)
    )
    found: dict[int, CardDoor] = {}
    for id, name, at_panel, level, prefix, panel, sip_user, dialling in connection.execute(query):
        dialled = at_panel or number
        if dialling is Dialling.PREFIX_FLAT and prefix:
            dialled = f"{prefix}#{dialled}"
        panels = found[id].panels if id in found else ()
        panels = panels if panel is None else (*panels, (panel, sip_user))
        found[id] = CardDoor(id, name, dialled, level, panels)
    return tuple(found.values())


def _people(connection: sa.Connection, flat_id: int) -> tuple[CardPerson, ...]:
    query = (
        sa.select(Resident.id, Resident.name, Resident.phone, ResidentFlat.role)
        .join(ResidentFlat, ResidentFlat.resident_id == Resident.id)
        .where(ResidentFlat.flat_id == flat_id)
        .order_by(Resident.id)
        .limit(_MOST)
    )
    return tuple(CardPerson(*row) for row in connection.execute(query))


def _accounts(connection: sa.Connection, flat_id: int) -> tuple[CardAccount, ...]:
    query = (
        sa.select(
            *(Account.id, Account.sip_user, AccountFlat.role, AccountFlat.rings),
            *(Phone.id, Phone.platform, PhoneFlat.rings),
            wakes(Phone.platform, Phone.push_token, Phone.voip_token),
        )
        .select_from(AccountFlat)
        .join(Account, Account.id == AccountFlat.account_id)
        .outerjoin(Phone, Phone.account_id == Account.id)
        .outerjoin(
            PhoneFlat, sa.and_(PhoneFlat.phone_id == Phone.id, PhoneFlat.flat_id == AccountFlat.flat_id)
        )
        .where(AccountFlat.flat_id == flat_id)
        .order_by(Account.id, Phone.id)
        .limit(_MOST * 3)
    )
    found: dict[int, CardAccount] = {}
    for id, sip_user, role, rings, phone, platform, on, awake in connection.execute(query):
        phones: Sequence[CardPhone] = found[id].phones if id in found else ()
        if phone is not None:
            phones = (*phones, CardPhone(phone, platform, on is None or on, bool(awake)))
        found[id] = CardAccount(id, sip_user, role, rings, tuple(phones))
    return tuple(found.values())


def _keys(connection: sa.Connection, flat_id: int) -> tuple[CardKey, ...]:
    lives = sa.select(ResidentFlat.resident_id).where(ResidentFlat.flat_id == flat_id)
    scope, ref = KeyBinding.scope, KeyBinding.ref_id
    mine = sa.or_(
        sa.and_(scope == KeyScope.FLAT, ref == flat_id),
        sa.and_(scope == KeyScope.RESIDENT, ref.in_(lives)),
    )
    query = (
        sa.select(Key.id, Key.uid, Key.lost_at, Resident.name, Key.seen_at)
        .join(KeyBinding, KeyBinding.key_id == Key.id)
        .outerjoin(Resident, sa.and_(scope == KeyScope.RESIDENT, Resident.id == ref))
        .where(mine)
        .order_by(Key.id)
        .limit(_MOST)
    )
    found: dict[int, CardKey] = {}
    for id, uid, lost_at, name, seen_at in connection.execute(query):
        whose = (found[id].whose if id in found else "") or name or ""
        found[id] = CardKey(id, uid, lost_at is not None, whose, seen_at)
    return tuple(found.values())


def _blocks(connection: sa.Connection, flat_id: int, now: float) -> tuple[CardBlock, ...]:
    query = (
        sa.select(
            *(FlatBlock.id, sa.func.coalesce(BlockKindRow.name, FlatBlock.kind), FlatBlock.since),
            *(FlatBlock.until, FlatBlock.reason, sa.func.coalesce(BlockKindRow.stops_calls, sa.true())),
            standing(now),
        )
        .outerjoin(BlockKindRow, BlockKindRow.code == FlatBlock.kind)
        .where(FlatBlock.flat_id == flat_id, sa.or_(FlatBlock.until.is_(None), FlatBlock.until > now))
        .order_by(FlatBlock.since)
        .limit(_MOST)
    )
    return tuple(CardBlock(*row[:5], bool(row[5]), bool(row[6])) for row in connection.execute(query))


def _calls(connection: sa.Connection, flat_id: int, most: int = 5) -> tuple[CardCall, ...]:
    query = (
        sa.select(Call.call_id, Call.kind, Call.started_at, Call.panel, Call.outcome)
        .where(Call.flat_id == flat_id, Call.kind.in_(CALLED))
        .order_by(Call.started_at.desc())
        .limit(most)
    )
    return tuple(CardCall(*row) for row in connection.execute(query))


def _handset(connection: sa.Connection, flat_id: int) -> Handset | None:
    of = table(QualityFlat)
    row = connection.execute(sa.select(of).where(of.c.flat_id == flat_id)).first()
    return None if row is None else Handset(row.verdict, row.at, row.result_id)
