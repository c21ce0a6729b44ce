"""One lookup of the directory, as plain functions: SIP user and dialled number in, panel, flat and phones out.

`find` asks the database with three small statements, each over indexes only, so that its cost does not grow with the
town. What comes back is an `Answer`: it holds the times of blocks and of auto-open, and `Answer.at` says what they
mean at a moment, so that an answer from memory is as right about them as a new one.

Which flat is meant: the one for which the panel has this number (`panel_number`), or else the one whose own number it
is. Where that fits two flats, nobody is rung: a stranger's phone must not be guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import field, frozen

from config import Ringing
from crm.model import (
    Account,
    AccountFlat,
    City,
    Dialling,
    Domophone,
    DomophoneEntrance,
    Entrance,
    EntranceFlat,
    Flat,
    FlatBlock,
    House,
    HouseEntrance,
    Phone,
    PhoneFlat,
    Platform,
    Vendor,
    table,
)
from crm.statement import Statement
from crm.tables.blocks import BlockKindRow

LONGEST_DIALLED = 40  # more than any panel dials


@frozen
class PanelInfo:
    """A panel. `address` as shown ("Челябинск, ул. Ленина 5, п. 2"); `ringing` None: as the settings say.

    Each of `door_digits` opens its door; `city_fias` is "" where the city has none.
    """

    id: int
    sip_user: str
    mac: str
    vendor: Vendor
    address: str
    city_fias: str
    door_digits: str
    ringing: Ringing | None


@frozen
class PhoneInfo:
    """A phone to push to; `token` is the one that a call is pushed to."""

    id: int
    platform: str  # the value of a model.Platform
    bundle: str
    token: str = field(repr=False)
    language: str


@frozen
class AccountInfo:
    """A SIP account that rings for the flat, and its phones that do."""

    sip_user: str
    domain: str
    phones: tuple[PhoneInfo, ...]


@frozen
class FlatInfo:
    """A flat: `blocks` that stand and stop calls, and `auto_open`, at the moment of the lookup; the accounts to ring.

    `prompt` is what a visitor who is stopped hears, "" for what is usual (a sound's name, no path).
    `address` is that of its house, with the door at which the panel stands ("Челябинск, ул. Ленина 5, ворота").
    """

    id: int
    number: str
    address: str
    blocks: tuple[str, ...]
    auto_open: bool
    accounts: tuple[AccountInfo, ...]
    prompt: str = ""


@frozen
class Lookup:
    """What a call is told. No `panel`: unknown, or switched off; no `flat`: none that is surely meant.

    `stale`: from memory, as the database is away.
    """

    panel: PanelInfo | None
    flat: FlatInfo | None
    stale: bool = False


@frozen
class Block:
    """A block that stops calls, with its kind's prompt: from `since` until `until` (None: until it is taken back)."""

    kind: str
    since: float
    until: float | None
    prompt: str = ""


@frozen
class Answer:
    """What the database said; `flat` is without what depends on the time."""

    panel: PanelInfo | None = None
    flat: FlatInfo | None = None
    blocks: tuple[Block, ...] = ()
    auto_open_until: float | None = None

    def at(self, now: float, *, stale: bool = False) -> Lookup:
        """What it means at `now` (UTC)."""
        flat = self.flat
        if flat is not None and (self.blocks or self.auto_open_until is not None):
            standing = [b for b in self.blocks if b.since <= now and (b.until is None or now < b.until)]
            standing.sort(key=lambda block: (block.since, block.kind))
            blocks = tuple(dict.fromkeys(b.kind for b in standing))
            opens = self.auto_open_until is not None and now < self.auto_open_until
            # Of several blocks the visitor hears the one that began first, of those that have something to say.
            prompt = next((b.prompt for b in standing if b.prompt), "")
            flat = FlatInfo(flat.id, flat.number, flat.address, blocks, opens, flat.accounts, prompt)
        return Lookup(self.panel, flat, stale)


@frozen
class _Door:
    """One row of a panel: a house that it serves, at an entrance."""

    entrance_id: int | None
    entrance: str | None
    house_id: int | None
    prefix: str | None
    street: str | None
    number: str | None
    city: str | None
    city_fias: str | None


@frozen
class _Candidate:
    """A flat that has the dialled number, as its own or at the panel."""

    id: int
    house_id: int
    number: str
    auto_open_until: float | None
    entrance_id: int
    panel_number: str | None


def find(connection: sa.Connection, sip_user: str, dialled: str, now: float) -> Lookup:
    """The panel with `sip_user` and the flat that it means by `dialled`, at `now` (UTC)."""
    return ask(connection, sip_user, dialled, now).at(now)


def ask(connection: sa.Connection, sip_user: str, dialled: str, now: float) -> Answer:
    """As `find`, but with the times that `Answer.at` needs; blocks that ended before `now` are left out."""
    if not sip_user.isprintable():
        return Answer()
    rows = _PANEL.rows(connection, sip_user=sip_user)
    if not rows:
        return Answer()
    id, sip_user, mac, vendor, digits, ringing, kind = rows[0][:7]
    dialling = Dialling(kind)
    doors = [_Door(*row[7:]) for row in rows]
    fias = next((door.city_fias for door in doors if door.city_fias), "")
    address = _panel_address(doors)
    shown = None if ringing is None else Ringing(ringing)
    panel = PanelInfo(id, sip_user, mac, Vendor(vendor), address, fias, digits, shown)

    meant = _parse(dialling, dialled)
    if meant is None:
        return Answer(panel)
    prefix, number = meant
    found: dict[_Candidate, list[Block]] = {}
    for row in _FLATS.rows(connection, domophone=id, number=number, now=now):
        blocks = found.setdefault(_Candidate(*row[:6]), [])
        kind, since, until, stops, prompt = row[6:]
        # A kind that nobody knows stops calls, as every kind did once.
        if kind is not None and (stops is None or stops):
            blocks.append(Block(kind, since, until, prompt or ""))
    chosen = _choose(dialling, prefix, number, found, doors)
    if chosen is None:
        return Answer(panel)
    accounts = accounts_of(connection, chosen.id)
    address = _flat_address(chosen, doors) or panel.address
    flat = FlatInfo(chosen.id, chosen.number, address, (), False, accounts)
    return Answer(panel, flat, tuple(dict.fromkeys(found[chosen])), chosen.auto_open_until)


def accounts_of(connection: sa.Connection, flat_id: int) -> tuple[AccountInfo, ...]:
    """The accounts that ring for a flat, with their phones that do."""
    return _accounts(_PEOPLE.rows(connection, flat=flat_id))


def _parse(dialling: Dialling, dialled: str) -> tuple[str, str] | None:
    """Prefix ("" for none) and number; None for what no panel of this kind dials."""
    if not dialled or len(dialled) > LONGEST_DIALLED or not dialled.isprintable():
        return None
    if dialling is not Dialling.PREFIX_FLAT:
        return "", dialled
    # In a SIP URI the # is escaped; some panels do, some do not.
    prefix, hash, number = dialled.replace("%23", "#").partition("#")
    if not hash:
        prefix, number = dialled[:-4], dialled[-4:]
    number = number.lstrip("0")
    return (prefix, number) if number else None


def _choose(
    dialling: Dialling, prefix: str, number: str, candidates: Iterable[_Candidate], doors: Sequence[_Door]
) -> _Candidate | None:
    """The one flat that is meant, or None."""
    if dialling is Dialling.PREFIX_FLAT:
        served = {(door.entrance_id, door.house_id) for door in doors if (door.prefix or "") == prefix}
        candidates = [each for each in candidates if (each.entrance_id, each.house_id) in served]
    # The same flat behind two entrances of one panel is one flat.
    by_panel = {each.id: each for each in candidates if each.panel_number == number}
    if dialling is not Dialling.STORED:
        # No number of the panel's own: then it shows the flats', first of those for which it has none.
        own = [each for each in candidates if each.number == number]
        by_panel = by_panel or {each.id: each for each in own if each.panel_number is None}
        by_panel = by_panel or {each.id: each for each in own}
    return next(iter(by_panel.values())) if len(by_panel) == 1 else None


def _accounts(rows: Sequence[Any]) -> tuple[AccountInfo, ...]:
    """Accounts in order of their id. One whose phones are all switched off for the flat is left out."""
    phones: dict[tuple[str, str], list[PhoneInfo]] = {}
    switched_off: set[tuple[str, str]] = set()
    for user, domain, phone, platform, bundle, push_token, voip_token, language, rings in rows:
        mine = phones.setdefault((user, domain), [])
        if phone is None:
            continue
        if rings is not None and not rings:
            switched_off.add((user, domain))
            continue
        mine.append(PhoneInfo(phone, Platform(platform).value, bundle, voip_token or push_token, language))
    return tuple(
        AccountInfo(*account, tuple(mine))
        for account, mine in phones.items()
        if mine or account not in switched_off
    )


def _house(door: _Door) -> str:
    return f"{door.street} {door.number}"


def _panel_address(doors: Sequence[_Door]) -> str:
    """All houses that a panel serves: "Копейск, ул. Мира 1, ул. Мира 3, ворота"."""
    parts = dict.fromkeys(door.city for door in doors if door.city)
    parts |= dict.fromkeys(_house(door) for door in doors if door.house_id is not None)
    parts |= dict.fromkeys(door.entrance for door in doors if door.entrance)
    return ", ".join(part for part in parts if part)


def _flat_address(flat: _Candidate, doors: Sequence[_Door]) -> str:
    for door in doors:
        if (door.entrance_id, door.house_id) == (flat.entrance_id, flat.house_id):
            return ", ".join(part for part in (door.city, _house(door), door.entrance) if part)
    return ""


def _flats_statement() -> sa.CompoundSelect[Any]:
    served, at, house = table(DomophoneEntrance), table(EntranceFlat), table(HouseEntrance)
    flat, block, kind = table(Flat), table(FlatBlock), table(BlockKindRow)
    standing = sa.and_(
        block.c.flat_id == flat.c.id,
        sa.or_(block.c.until.is_(None), block.c.until > sa.bindparam("now", type_=sa.Double())),
    )
    columns = (
        *(flat.c.id, flat.c.house_id, flat.c.number, flat.c.auto_open_until),
        *(at.c.entrance_id, at.c.panel_number, block.c.kind, block.c["from"], block.c.until),
        *(kind.c.stops_calls, kind.c.prompt),
    )
    here = served.c.domophone_id == sa.bindparam("domophone", type_=sa.Integer())
    number = sa.bindparam("number", type_=sa.String())
    stored = (
        sa.select(*columns)
        .select_from(
            served.join(at, at.c.entrance_id == served.c.entrance_id)
            .join(flat, flat.c.id == at.c.flat_id)
            .outerjoin(block, standing)
            .outerjoin(kind, kind.c.code == block.c.kind)
        )
        .where(here, at.c.panel_number == number)
    )
    own = (
        sa.select(*columns)
        .select_from(
            served.join(house, house.c.entrance_id == served.c.entrance_id)
            .join(flat, flat.c.house_id == house.c.house_id)
            .join(at, sa.and_(at.c.flat_id == flat.c.id, at.c.entrance_id == served.c.entrance_id))
            .outerjoin(block, standing)
            .outerjoin(kind, kind.c.code == block.c.kind)
        )
        .where(here, flat.c.number == number)
    )
    return sa.union_all(stored, own)


_PANEL = Statement(
    sa.select(
        *(Domophone.id, Domophone.sip_user, Domophone.mac, Domophone.vendor, Domophone.door_dtmf),
        *(Domophone.ringing, Domophone.dialling, Entrance.id, Entrance.name, House.id, HouseEntrance.prefix),
        *(House.street, House.number, City.name, City.fias),
    )
    .outerjoin(DomophoneEntrance, DomophoneEntrance.domophone_id == Domophone.id)
    .outerjoin(Entrance, Entrance.id == DomophoneEntrance.entrance_id)
    .outerjoin(HouseEntrance, HouseEntrance.entrance_id == Entrance.id)
    .outerjoin(House, House.id == HouseEntrance.house_id)
    .outerjoin(City, City.id == House.city_id)
    .where(Domophone.sip_user == sa.bindparam("sip_user", type_=sa.String()), Domophone.active)
    .order_by(Entrance.id, House.id)
)
_FLATS = Statement(_flats_statement())
_PEOPLE = Statement(
    sa.select(
        *(Account.sip_user, Account.domain, Phone.id, Phone.platform, Phone.bundle, Phone.push_token),
        *(Phone.voip_token, Phone.language, PhoneFlat.rings),
    )
    .select_from(AccountFlat)
    .join(Account, Account.id == AccountFlat.account_id)
    .outerjoin(Phone, Phone.account_id == Account.id)
    .outerjoin(PhoneFlat, sa.and_(PhoneFlat.phone_id == Phone.id, PhoneFlat.flat_id == AccountFlat.flat_id))
    .where(AccountFlat.flat_id == sa.bindparam("flat", type_=sa.Integer()), AccountFlat.rings)
    .order_by(Account.id, Phone.id)
)
