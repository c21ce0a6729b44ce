"""The search for what has a number or a name of its own: accounts, panels, relays, keys, calls, employees."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from crm.devices.registered import address_of_panel
from crm.keys.formats import TAIL as KEY_TAIL
from crm.keys.formats import reverse, ways
from crm.keys.reach import key_within
from crm.model import (
    Account,
    AccountFlat,
    Domophone,
    DomophoneEntrance,
    Entrance,
    Flat,
    House,
    HouseEntrance,
    table,
)
from crm.rights import Reach
from crm.search.hits import Found, Hit, Sure
from crm.search.index import Indexed
from crm.search.places import begins, homes_of, in_range
from crm.search.text import TAIL, fold, hex_of, phones_of
from crm.tables.calls import Call
from crm.tables.devices import Relay, RelayChannel
from crm.tables.keys import Key
from crm.tables.people import Resident
from crm.tables.search import SearchWord
from crm.tables.staff import Employee

SHORTEST = 3  # characters of a SIP user
CALL_SHORTEST = 4
MAC_LENGTH = 12
PART_LENGTH = 8  # hex digits that may be the last of a longer key
_WORDS = table(SearchWord)


def find_accounts(connection: sa.Connection, reach: Reach, text: str, limit: int) -> list[Hit]:
    """Accounts by how their SIP user begins."""
    names = _sip_users(text)
    if not names:
        return []
    here: sa.ColumnElement[bool] = sa.true()
    if not reach.everywhere:
        flats = sa.join(table(AccountFlat), table(Flat)).join(table(House))
        own = sa.exists().select_from(flats).where(AccountFlat.account_id == Account.id, reach.of_houses())
        here = own.correlate(table(Account))
    statement = (
        sa.select(Account.id, Account.sip_user, Account.resident_id, Resident.name)
        .select_from(sa.outerjoin(table(Account), table(Resident)))
        .where(here)
        .order_by(Account.sip_user)
        .limit(limit + 1)
    )
    # One range at a time: for two at once the whole index would be read.
    ranges = [statement.where(begins(Account.sip_user, name)) for name in names]
    found = [row for each in ranges for row in connection.execute(each)]
    homes = homes_of(connection, [row.resident_id for row in found if row.resident_id], reach)
    return [
        Hit(
            Found.ACCOUNT,
            id,
            user,
            " · ".join(filter(None, (name, homes.get(resident or 0)))),
            ("account", id),
            _sure(user, names),
        )
        for id, user, resident, name in found
    ]


def find_panels(connection: sa.Connection, reach: Reach, text: str, limit: int) -> list[Hit]:
    """Panels by SIP user, MAC (its beginning or end), or the number of their own for 112."""
    ways = [begins(Domophone.sip_user, name) for name in _sip_users(text)]
    mac = hex_of(text)
    if mac:
        ways.append(begins(Domophone.mac, mac))
    phone, _ = phones_of(text)
    if phone:
        ways.append(Domophone.sos_number == phone)
    places = sa.join(table(DomophoneEntrance), table(Entrance)).join(table(HouseEntrance)).join(table(House))
    here = sa.exists().select_from(places).where(DomophoneEntrance.domophone_id == Domophone.id)
    within = sa.true() if reach.everywhere else here.where(reach.of_houses()).correlate(table(Domophone))
    columns = (Domophone.id, Domophone.mac, Domophone.sip_user)
    rows: dict[int, tuple[str, str]] = {}
    for way in ways:
        statement = sa.select(*columns).where(way, within).order_by(Domophone.id).limit(limit + 1)
        rows |= {id: (its_mac, user) for id, its_mac, user in connection.execute(statement)}
    if mac and len(mac) < MAC_LENGTH and len(rows) <= limit:
        # Panels are few, and their MACs lie together in an index: the only look through a whole one.
        ending = sa.select(*columns).where(Domophone.mac.endswith(mac), within)
        ending = ending.order_by(Domophone.id).limit(limit + 1)
        rows |= {id: (its_mac, user) for id, its_mac, user in connection.execute(ending)}
    if not rows:
        return []
    where = sa.select(Domophone.id, address_of_panel(reach)).where(Domophone.id.in_(rows))
    at: dict[int, str | None] = {id: address for id, address in connection.execute(where)}
    typed = [*_sip_users(text), *([mac] if mac else [])]
    return [
        Hit(
            Found.PANEL,
            id,
            user,
            " · ".join(filter(None, (shown_mac(its_mac), at.get(id)))),
            ("domophone", id),
            max(_sure(user, typed), _sure(its_mac, typed)),
        )
        for id, (its_mac, user) in rows.items()
    ]


def find_relays(connection: sa.Connection, reach: Reach, text: str, limit: int) -> list[Hit]:
    """Relays by their MAC, its beginning or end."""
    mac = hex_of(text)
    if not mac:
        return []
    within: sa.ColumnElement[bool] = sa.true()
    if not reach.everywhere:
        doors = sa.join(
            table(RelayChannel), table(HouseEntrance), RelayChannel.entrance_id == HouseEntrance.entrance_id
        ).join(table(House))
        own = sa.exists().select_from(doors).where(RelayChannel.relay_id == Relay.id, reach.of_houses())
        within = own.correlate(table(Relay))
    statement = (
        sa.select(Relay.id, Relay.name, Relay.mac)
        .where(sa.or_(begins(Relay.mac, mac), Relay.mac.endswith(mac)), within)
        .order_by(Relay.id)
        .limit(limit + 1)
    )
    return [
        Hit(Found.RELAY, id, name, shown_mac(its_mac), ("relay", id), _sure(its_mac, [mac]))
        for id, name, its_mac in connection.execute(statement)
    ]


def find_keys(connection: sa.Connection, reach: Reach, text: str, limit: int) -> list[Hit]:
    """Keys by their UID in any way of writing, by the last bytes that a reader tells, or by how it begins."""
    columns = sa.select(Key.id, Key.uid, Key.note, Key.lost_at).where(key_within(reach))
    meant = ways(text)
    hits = []
    if uids := {reading.uid for reading in meant}:
        rows = connection.execute(columns.where(Key.uid.in_(uids)).order_by(Key.uid).limit(limit + 1))
        hits += [_key_hit(row, Sure.WHOLE) for row in rows]
    # A number of four bytes may be all of a key, or the last of five.
    if parts := {reading.uid for reading in meant if reading.part or len(reading.uid) <= PART_LENGTH}:
        words = [TAIL + part[-KEY_TAIL:] for part in parts]
        tails = sa.select(_WORDS.c.ref_id).where(_WORDS.c.kind == Indexed.KEY.value, _WORDS.c.word.in_(words))
        for row in connection.execute(columns.where(Key.id.in_(tails)).order_by(Key.id).limit(limit + 1)):
            if any(row.uid.endswith(part) or reverse(row.uid).endswith(part) for part in parts):
                hits.append(_key_hit(row, Sure.PART))
    if beginning := hex_of(text).upper():
        more = columns.where(begins(Key.uid, beginning)).order_by(Key.uid).limit(limit + 1)
        hits += [_key_hit(row, Sure.BEGINNING) for row in connection.execute(more)]
    return hits


def _key_hit(row: sa.Row[int, str, str, float | None], sure: Sure) -> Hit:
    return Hit(Found.KEY, row.id, row.uid, row.note, ("key", row.id), sure)


def find_calls(connection: sa.Connection, reach: Reach, text: str, limit: int) -> list[Hit]:
    """Calls by how their id begins."""
    id = text.strip().lower()
    if len(id) < CALL_SHORTEST or not id.isascii() or not all(c.isalnum() or c in "-_" for c in id):
        return []
    here: sa.ColumnElement[bool] = sa.true()
    if not reach.everywhere:
        flats = sa.join(table(Flat), table(House))
        called = sa.exists().select_from(flats).where(Flat.id == Call.flat_id, reach.of_houses())
        doors = (
            sa.join(table(Domophone), table(DomophoneEntrance))
            .join(table(HouseEntrance), DomophoneEntrance.entrance_id == HouseEntrance.entrance_id)
            .join(table(House))
        )
        from_there = sa.exists().select_from(doors).where(Domophone.sip_user == Call.panel, reach.of_houses())
        here = sa.or_(
            called.correlate(table(Call)),
            sa.and_(Call.flat_id.is_(None), from_there.correlate(table(Call))),
        )
    statement = (
        sa.select(Call.call_id, Call.address, Call.flat)
        .where(in_range(Call.call_id, id), here)
        .order_by(Call.call_id)
        .limit(limit + 1)
    )
    return [
        Hit(
            Found.CALL,
            call,
            call,
            f"{address}, кв. {flat}" if flat else address,
            ("call", call),
            Sure.WHOLE if call == id else Sure.BEGINNING,
        )
        for call, address, flat in connection.execute(statement)
    ]


def find_employees(connection: sa.Connection, text: str, limit: int) -> list[Hit]:
    """Employees by their login or a word of their name: there are few, so all are looked through."""
    wanted = fold(text).split()
    if not wanted or len("".join(wanted)) < SHORTEST:
        return []
    hits = []
    for id, login, name in connection.execute(
        sa.select(Employee.id, Employee.login, Employee.name).order_by(Employee.login).limit(5000)
    ):
        words = [fold(login), *fold(name).split()]
        if all(any(word.startswith(each) for word in words) for each in wanted):
            sure = Sure.WHOLE if set(words).issuperset(wanted) else Sure.BEGINNING
            hits.append(Hit(Found.EMPLOYEE, id, name, login, ("employee", id), sure))
    return sorted(hits, key=lambda hit: -hit.sure)[: limit + 1]


def shown_mac(mac: str) -> str:
    """As it is printed on the device: AA:BB:CC:DD:EE:FF."""
    return ":".join(mac[n : n + 2] for n in range(0, len(mac), 2)).upper()


def _sip_users(text: str) -> list[str]:
    """How SIP users may begin that were typed so."""
    bare = text.strip()
    names = (
        [bare, bare.lower()] if len(bare) >= SHORTEST and bare.isascii() and len(bare.split()) == 1 else []
    )
    beginning, _ = phones_of(text)
    return list(dict.fromkeys([*names, *([beginning, beginning[1:]] if beginning else [])]))


def _sure(value: str, typed: Sequence[str]) -> Sure:
    if value in typed:
        return Sure.WHOLE
    return Sure.BEGINNING if any(value.startswith(each) for each in typed) else Sure.PART
