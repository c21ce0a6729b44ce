"""The demo town: two cities, five houses, panels of four vendors, and flats of every kind.

`fill` writes it into a database, once, and tells what simulated panels and phones need to take part: passwords, and
what each panel dials for which flat. All of it is made up, FIAS ids included, and the same every time.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping

import sqlalchemy as sa
from attrs import field, frozen
from sqlalchemy.orm import Session

from crm.model import (
    Account,
    AccountFlat,
    BlockKind,
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
    Role,
    Vendor,
)
from crm.sos.leases import add_numbers
from crm.store import Store
from crm.town.more import fill_more

FAR_FUTURE = 4102444800.0  # the year 2100
DEBT_SINCE = 1735689600.0  # 1 January 2025
BUNDLE = "ru.example.teledom"


@frozen
class TownPhone:
    """A phone; `rings` is its switch for the flat."""

    platform: Platform
    token: str
    language: str = "ru"
    rings: bool = True


@frozen
class TownAccount:
    """A resident's account. `asleep`: its phone is not registered until a push wakes it."""

    sip_user: str
    password: str = field(repr=False)
    domain: str
    phones: tuple[TownPhone, ...]
    asleep: bool = False


@frozen
class TownFlat:
    """A flat, with the accounts that ring for it."""

    id: int
    number: str
    address: str
    accounts: tuple[TownAccount, ...]
    blocked: bool = False
    auto_open: bool = False


@frozen
class TownPanel:
    """A panel; `dials` is what it dials for each flat that it can call (a gate, in both of its ways)."""

    sip_user: str
    password: str = field(repr=False)
    mac: str
    vendor: Vendor
    address: str
    door_digits: str
    dials: Mapping[str, TownFlat]


@frozen
class Town:
    """What simulated panels and phones need to know."""

    realm: str
    panels: tuple[TownPanel, ...]

    def panel(self, sip_user: str) -> TownPanel:
        """The panel with this SIP user. Raises KeyError."""
        return {panel.sip_user: panel for panel in self.panels}[sip_user]


@frozen
class _Person:
    """An account to be made; with `user`, a second use of one that is made elsewhere."""

    user: str
    phones: tuple[tuple[Platform, str], ...] = ((Platform.ANDROID, "ru"),)
    asleep: bool = False
    rings: bool = True
    off: bool = False  # its last phone is switched off for this flat


@frozen
class _Home:
    """A flat to be made, behind `doors`; `stored` is its number at the panel of the first."""

    house: str
    number: str
    doors: tuple[str, ...]
    people: tuple[_Person, ...] = ()
    stored: str | None = None
    blocked: bool = False
    auto_open: bool = False


@frozen
class _Door:
    """An entrance or gate to be made, with its panel. `houses`: the prefix of each."""

    name: str
    houses: Mapping[str, str]
    vendor: Vendor
    model: str
    dialling: Dialling = Dialling.FLAT
    digits: str = "5"


_A, _I, _H, _R = Platform.ANDROID, Platform.IOS, Platform.HUAWEI, Platform.RUSTORE
_TWO_PHONES = ((_A, "ru"), (_I, "en"))
_CITIES = (("Челябинск", "l5", "l7", "p11"), ("Копейск", "m1", "k3"))
_HOUSES = {
    "l5": ("ул. Ленина", "5", 55.1599, 61.4026),
    "l7": ("ул. Ленина", "7", 55.1602, 61.4041),
    "p11": ("пр. Победы", "11", 55.1853, 61.3718),
    "m1": ("ул. Мира", "1", 55.1168, 61.6179),
    "k3": ("пр. Коммунистический", "3", None, None),
}
_DOORS = {
    "500001": _Door("п. 1", {"l5": ""}, Vendor.BEWARD, "DKS15122"),
    "500002": _Door("п. 2", {"l5": ""}, Vendor.SOKOL, "Sokol"),
    "500003": _Door("ворота", {"l5": "1", "l7": "2"}, Vendor.QTECH, "QDB-27C-H", Dialling.PREFIX_FLAT, "0"),
    "500004": _Door("п. 1", {"p11": ""}, Vendor.HIKVISION, "DS-KD8003", digits="#"),
    "500005": _Door("п. 1", {"m1": ""}, Vendor.SOKOL, "Sokol", Dialling.STORED),
    "500006": _Door("п. 1", {"k3": ""}, Vendor.BEWARD, "DKS15103", digits="15"),
}
_HOMES = (
    _Home("l5", "1", ("500001", "500003"), (_Person("7351001"), _Person("7351002", ((_I, "ru"),)))),
    _Home("l5", "2", ("500001", "500003"), (_Person("7351003", _TWO_PHONES),)),
    _Home("l5", "3", ("500001", "500003"), (_Person("7351004"),), blocked=True),
    _Home("l5", "4", ("500001", "500003")),
    _Home("l5", "5", ("500001", "500003"), (_Person("7351005"),), auto_open=True),
    _Home(
        "l5", "42", ("500002", "500003"), (_Person("7351042"), _Person("7351043", ((_I, "ru"),), asleep=True))
    ),
    _Home("l5", "43", ("500002", "500003"), (_Person("7351044"), _Person("7351045", rings=False))),
    # The same number as in the other house behind the gate: only the prefix says which.
    _Home("l7", "42", ("500003",), (_Person("7351046", ((_H, "ru"),)), _Person("7351047", ((_R, "ru"),)))),
    _Home("l7", "7", ("500003",), (_Person("7351042"), _Person("7351048"))),
    _Home(
        "p11",
        "7",
        ("500004",),
        (_Person("7351388"), _Person("7351389"), _Person("7351390", _TWO_PHONES, off=True)),
    ),
    _Home("m1", "12", ("500005",), (_Person("7352012"), _Person("7352013", ((_I, "ru"),))), stored="112012"),
    _Home("m1", "14", ("500005",), (_Person("7352014"),), stored="112014"),
    _Home("k3", "9", ("500006",), tuple(_Person(f"735209{n}") for n in range(4))),
)


def city_fias(name: str) -> str:
    """The demo's FIAS id of a city, by its name."""
    return _fias(name)


# Numbers to lend for 112, by city; "" is the default dispatch's.
SOS_NUMBERS = {
    "Челябинск": tuple(f"+7351200000{n}" for n in range(1, 5)),
    "Копейск": tuple(f"+7351390000{n}" for n in range(1, 4)),
    "": tuple(f"+7351000000{n}" for n in range(1, 4)),
}


def password(user: str) -> str:
    """The demo's password of a SIP user: no secret, and the same every time."""
    return hashlib.sha256(f"teledom demo {user}".encode()).hexdigest()[:16]


def ha1(user: str, realm: str, password: str) -> str:
    """What SIP's digest needs of a password: MD5(user:realm:password), RFC 2617."""
    return hashlib.md5(f"{user}:{realm}:{password}".encode()).hexdigest()


def fill(store: Store, *, realm: str = "teledom") -> Town:
    """Write the town, unless it is there already, and tell what it is. Raises StoreError."""
    with store.session() as session:
        if session.scalar(sa.select(City.id).where(City.fias == _fias(_CITIES[0][0]))) is None:
            _write(session, realm)
        ids = {
            (fias, number): id
            for fias, number, id in session.execute(
                sa.select(House.fias, Flat.number, Flat.id)
                .join(House, House.id == Flat.house_id)
                .where(House.fias.in_([_fias(house) for house in _HOUSES]))
            )
        }
    for name, numbers in SOS_NUMBERS.items():
        add_numbers(store, city_fias(name) if name else "", numbers)
    panels = []
    for user, door in _DOORS.items():
        dials: dict[str, TownFlat] = {}
        for home in _HOMES:
            if user in home.doors:
                flat = _flat(home, ids[_fias(home.house), home.number], door.name, realm)
                dials |= dict.fromkeys(_dialled(door, home), flat)
        address = ", ".join([_city(next(iter(door.houses))), *map(_street, door.houses), door.name])
        panels.append(TownPanel(user, password(user), _mac(user), door.vendor, address, door.digits, dials))
    fill_more(store)
    return Town(realm, tuple(panels))


def _write(session: Session, realm: str) -> None:
    houses: dict[str, House] = {}
    for name, *keys in _CITIES:
        city = City(fias=_fias(name), region="Челябинская область", name=name, time_zone="Asia/Yekaterinburg")
        session.add(city)
        session.flush()
        for key in keys:
            street, number, lat, lon = _HOUSES[key]
            houses[key] = House(
                city_id=city.id, fias=_fias(key), street=street, number=number, lat=lat, lon=lon
            )
    session.add_all(houses.values())
    entrances = {user: Entrance(name=door.name) for user, door in _DOORS.items()}
    session.add_all(entrances.values())
    session.flush()
    for user, door in _DOORS.items():
        panel = Domophone(
            mac=_mac(user),
            sip_user=user,
            domain=realm,
            ha1=ha1(user, realm, password(user)),
            vendor=door.vendor,
            model=door.model,
            door_dtmf=door.digits,
            dialling=door.dialling,
        )
        session.add(panel)
        session.flush()
        session.add(DomophoneEntrance(domophone_id=panel.id, entrance_id=entrances[user].id))
        for key, prefix in door.houses.items():
            session.add(HouseEntrance(entrance_id=entrances[user].id, house_id=houses[key].id, prefix=prefix))
    people: dict[str, tuple[Account, list[Phone]]] = {}
    for home in _HOMES:
        flat = Flat(house_id=houses[home.house].id, number=home.number, floor=1 + int(home.number) // 4 % 9)
        flat.auto_open_until = FAR_FUTURE if home.auto_open else None
        session.add(flat)
        session.flush()
        if home.blocked:
            session.add(
                FlatBlock(
                    flat_id=flat.id, kind=BlockKind.DEBT.value, since=DEBT_SINCE, reason="долг за 3 месяца"
                )
            )
        for n, user in enumerate(home.doors):
            stored = home.stored if n == 0 else None
            session.add(EntranceFlat(entrance_id=entrances[user].id, flat_id=flat.id, panel_number=stored))
        for n, person in enumerate(home.people):
            if person.user not in people:
                people[person.user] = _move_in(session, person, realm)
            account, phones = people[person.user]
            role = Role.RESIDENT if n else Role.OWNER
            session.add(AccountFlat(account_id=account.id, flat_id=flat.id, role=role, rings=person.rings))
            if person.off:
                session.add(PhoneFlat(phone_id=phones[-1].id, flat_id=flat.id, rings=False))


def _move_in(session: Session, person: _Person, realm: str) -> tuple[Account, list[Phone]]:
    account = Account(sip_user=person.user, domain=realm, ha1=ha1(person.user, realm, password(person.user)))
    session.add(account)
    session.flush()
    phones = []
    for phone in _phones(person):
        tokens = {"voip_token" if phone.platform is Platform.IOS else "push_token": phone.token}
        of = {"account_id": account.id, "bundle": BUNDLE}
        phones.append(Phone(platform=phone.platform, language=phone.language, **of, **tokens))
    session.add_all(phones)
    session.flush()
    return account, phones


def _phones(person: _Person) -> tuple[TownPhone, ...]:
    last = len(person.phones) - 1
    return tuple(
        TownPhone(
            platform,
            f"demo-{person.user}-{platform.value}",
            language,
            rings=not (person.off and n == last),
        )
        for n, (platform, language) in enumerate(person.phones)
    )


def _flat(home: _Home, id: int, door: str, realm: str) -> TownFlat:
    accounts = tuple(
        TownAccount(p.user, password(p.user), realm, _phones(p), p.asleep) for p in home.people if p.rings
    )
    address = f"{_city(home.house)}, {_street(home.house)}, {door}"
    return TownFlat(id, home.number, address, accounts, home.blocked, home.auto_open)


def _dialled(door: _Door, home: _Home) -> tuple[str, ...]:
    prefix = door.houses[home.house]
    match door.dialling:
        case Dialling.FLAT:
            return (home.number,)
        case Dialling.PREFIX_FLAT:
            return f"{prefix}{home.number:0>4}", f"{prefix}#{home.number}"
        case Dialling.STORED:
            return (home.stored or home.number,)


def _city(house: str) -> str:
    return next(name for name, *keys in _CITIES if house in keys)


def _street(house: str) -> str:
    return f"{_HOUSES[house][0]} {_HOUSES[house][1]}"


def _fias(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"teledom:demo:{name}"))


def _mac(user: str) -> str:
    return f"0250{int(user):08x}"
