"""The tables of what a call asks: cities, houses, flats, people's accounts and phones, panels. The others stand in
`*_model.py`; all of them hang on `Base`.

One model for SQLite and PostgreSQL. Whoever changes it adds a revision under `migrations/` and sets `SCHEMA`
to it; a test compares the two. Times are UTC, in seconds since the epoch. A house's and a city's FIAS id is a
GUID where there is one; the own `id` is what everything hangs on, as new houses have none. The view
`sip_credentials` (username, domain, ha1, kind; of a panel also its `city`, by FIAS, and what it dials for `sos`) is what
Kamailio's auth_db reads.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from config import Ringing
from crm.values.quality import CallType, CampaignState, Only, TaskState
from crm.values.records import LegEnd, Outcome
from crm.values.sos import Why

SCHEMA = "0010"  # the newest revision under migrations/versions


class BlockKind(Enum):
    """The kinds of block that are always there, by their code (block_model.BlockKindRow has all). None touches 112."""

    DEBT = "debt"
    REQUEST = "request"
    ADMIN = "admin"
    TECHNICAL = "technical"


class Role(Enum):
    """Who the holder of an account is to a flat."""

    OWNER = "owner"
    RESIDENT = "resident"


class Platform(Enum):
    """Whose push service reaches a phone."""

    ANDROID = "android"
    IOS = "ios"
    HUAWEI = "huawei"
    RUSTORE = "rustore"


class Vendor(Enum):
    """Who made a panel."""

    BEWARD = "beward"
    HIKVISION = "hikvision"
    QTECH = "qtech"
    SOKOL = "sokol"


class Dialling(Enum):
    """What a panel dials when a flat's number is pressed."""

    FLAT = "flat"  # the number as shown
    PREFIX_FLAT = "prefix_flat"  # the house's prefix and the flat in 4 digits (10042), or prefix#flat (1#42)
    STORED = "stored"  # a number that is stored in the panel for this flat


def enum_type(of: type[Enum]) -> sa.Enum:
    """A text column that holds the values of `of`: a new value needs no change of the schema."""
    return sa.Enum(
        of,
        native_enum=False,
        length=20,
        validate_strings=True,
        values_callable=lambda e: [str(m.value) for m in e],
    )


_ENUMS: tuple[type[Enum], ...] = (
    *(Role, Platform, Vendor, Dialling, Ringing, LegEnd, Outcome, Why),
    *(CallType, CampaignState, TaskState, Only),
)
_COLUMN_TYPES: dict[Any, sa.types.TypeEngine[Any]] = {
    str: sa.String(255),
    float: sa.Double(),
    **{kind: enum_type(kind) for kind in _ENUMS},
}


class Base(DeclarativeBase):
    """All tables of the CRM."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = _COLUMN_TYPES


def to(target: str, **options: Any) -> Mapped[int]:
    """A reference that goes away with what it refers to."""
    return mapped_column(sa.ForeignKey(target, ondelete="CASCADE"), **options)


class City(Base):
    """`time_zone` is an IANA name."""

    __tablename__ = "cities"
    id: Mapped[int] = mapped_column(primary_key=True)
    fias: Mapped[str | None] = mapped_column(sa.String(36), unique=True)
    region: Mapped[str]
    name: Mapped[str]
    time_zone: Mapped[str] = mapped_column(sa.String(64))


class Street(Base):
    """A street of a city, `name` with its kind ("ул. Ленина")."""

    __tablename__ = "streets"
    __table_args__ = (sa.UniqueConstraint("city_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    city_id: Mapped[int] = mapped_column(sa.ForeignKey("cities.id"))
    fias: Mapped[str | None] = mapped_column(sa.String(36), unique=True)
    name: Mapped[str]


class House(Base):
    """`street` with its kind ("ул. Ленина"), `number` with its letter or building ("5а").

    `street` is the name of `street_id`'s row, kept here too as every call reads it: whoever renames a street renames it
    in its houses in the same transaction. `own_id` is the operator's; `time_zone` None: its city's.
    """

    __tablename__ = "houses"
    id: Mapped[int] = mapped_column(primary_key=True)
    city_id: Mapped[int] = mapped_column(sa.ForeignKey("cities.id"), index=True)
    fias: Mapped[str | None] = mapped_column(sa.String(36), unique=True)
    street: Mapped[str]
    number: Mapped[str] = mapped_column(sa.String(20))
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    street_id: Mapped[int | None] = mapped_column(sa.ForeignKey("streets.id"), index=True)
    own_id: Mapped[str | None] = mapped_column(sa.String(64), unique=True, index=True)
    company_id: Mapped[int | None] = mapped_column(sa.ForeignKey("companies.id"), index=True)
    time_zone: Mapped[str | None] = mapped_column(sa.String(64))


class Entrance(Base):
    """A door with a panel: an entrance of a house, or a gate of several. `name` as shown: "п. 2"."""

    __tablename__ = "entrances"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64))


class HouseEntrance(Base):
    """Which houses an entrance serves; `prefix` is the house's at the panel ("" for none)."""

    __tablename__ = "house_entrances"
    entrance_id: Mapped[int] = to("entrances.id", primary_key=True)
    house_id: Mapped[int] = to("houses.id", primary_key=True, index=True)
    prefix: Mapped[str] = mapped_column(sa.String(10), default="")


class Flat(Base):
    """Until `auto_open_until` the door opens by itself for who calls this flat. `code` opens its doors, `contract` is
    the number of that with the operator; each "" for none."""

    __tablename__ = "flats"
    __table_args__ = (sa.UniqueConstraint("house_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    house_id: Mapped[int] = to("houses.id")
    number: Mapped[str] = mapped_column(sa.String(20))
    floor: Mapped[int | None]
    auto_open_until: Mapped[float | None]
    contract: Mapped[str] = mapped_column(sa.String(64), default="", index=True)
    code: Mapped[str] = mapped_column(sa.String(16), default="")


class EntranceFlat(Base):
    """From which entrances a flat is called; `panel_number` is its number at that panel, where it differs,
    `line_level` that of its handset's line there, in the vendor's units."""

    __tablename__ = "entrance_flats"
    __table_args__ = (sa.Index(None, "entrance_id", "panel_number"),)
    flat_id: Mapped[int] = to("flats.id", primary_key=True)
    entrance_id: Mapped[int] = to("entrances.id", primary_key=True)
    panel_number: Mapped[str | None] = mapped_column(sa.String(20))
    line_level: Mapped[float | None]


# When a block ends, in an order that has a place for those that are not to end: after all others. A literal, as an index
# of an expression serves only the very same one.
ENDS: sa.ColumnElement[float] = sa.literal_column("coalesce(until, 1e15)", sa.Double())


class FlatBlock(Base):
    """A block of this kind (its code) stands from `since` until `until` (None: until it is taken back). `source` is who
    set it: "hand", or "billing"."""

    __tablename__ = "flat_blocks"
    __table_args__ = (
        sa.Index(None, "from", "id"),
        sa.Index("ix_flat_blocks_ends_id", ENDS, "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    flat_id: Mapped[int] = to("flats.id", index=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    since: Mapped[float] = mapped_column("from")
    until: Mapped[float | None]
    reason: Mapped[str] = mapped_column(default="")
    source: Mapped[str] = mapped_column(sa.String(20), default="hand")


class Account(Base):
    """A resident's SIP account; `ha1` is MD5(sip_user:realm:password)."""

    __tablename__ = "accounts"
    __table_args__ = (sa.UniqueConstraint("sip_user", "domain"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    sip_user: Mapped[str] = mapped_column(sa.String(64))
    domain: Mapped[str]
    ha1: Mapped[str] = mapped_column(sa.String(32))
    resident_id: Mapped[int | None] = mapped_column(sa.ForeignKey("residents.id"), index=True)


class AccountFlat(Base):
    """Which flats an account belongs to; `rings` is its switch for each."""

    __tablename__ = "account_flats"
    flat_id: Mapped[int] = to("flats.id", primary_key=True)
    account_id: Mapped[int] = to("accounts.id", primary_key=True, index=True)
    role: Mapped[Role] = mapped_column(default=Role.RESIDENT)
    rings: Mapped[bool] = mapped_column(default=True)


class Phone(Base):
    """`voip_token` is the one that wakes an iPhone for a call; where it is set, calls are pushed to it."""

    __tablename__ = "phones"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = to("accounts.id", index=True)
    platform: Mapped[Platform]
    bundle: Mapped[str]
    push_token: Mapped[str] = mapped_column(sa.Text, default="")
    voip_token: Mapped[str] = mapped_column(sa.Text, default="")
    language: Mapped[str] = mapped_column(sa.String(8), default="ru")


class PhoneFlat(Base):
    """The switch of one phone for one flat; a phone without a row rings."""

    __tablename__ = "phone_flats"
    flat_id: Mapped[int] = to("flats.id", primary_key=True)
    phone_id: Mapped[int] = to("phones.id", primary_key=True, index=True)
    rings: Mapped[bool] = mapped_column(default=True)


class Domophone(Base):
    """A panel: `door_dtmf` the digits of which each opens its door, `ringing` None: as config.toml says.

    `floor` and `place` ("у лифта") tell 112 where at the entrance it is; with a `sos_number` of its own it is lent none.
    `sos_dials` is what it dials for 112 beside "SOS"; None: 112, unless that is a flat behind it. `url` is its HTTP
    address ("": none), `http_password` sealed (crm.sealed), `tls_pin` the fingerprint of the certificate that it shows.
    """

    __tablename__ = "domophones"
    id: Mapped[int] = mapped_column(primary_key=True)
    mac: Mapped[str] = mapped_column(sa.String(12), unique=True)
    sip_user: Mapped[str] = mapped_column(sa.String(64), unique=True)
    domain: Mapped[str] = mapped_column(default="teledom")
    ha1: Mapped[str] = mapped_column(sa.String(32))
    vendor: Mapped[Vendor]
    model: Mapped[str] = mapped_column(sa.String(64), default="")
    door_dtmf: Mapped[str] = mapped_column(sa.String(16), default="5")
    dialling: Mapped[Dialling] = mapped_column(default=Dialling.FLAT)
    ringing: Mapped[Ringing | None]
    active: Mapped[bool] = mapped_column(default=True)
    floor: Mapped[int | None]
    place: Mapped[str] = mapped_column(sa.String(64), default="")
    sos_number: Mapped[str | None] = mapped_column(sa.String(32), unique=True)
    sos_dials: Mapped[str | None] = mapped_column(sa.String(32))
    url: Mapped[str] = mapped_column(default="")
    http_user: Mapped[str] = mapped_column(sa.String(64), default="")
    http_password: Mapped[str] = mapped_column(sa.Text, default="")
    tls_pin: Mapped[str | None] = mapped_column(sa.String(128))
    firmware: Mapped[str] = mapped_column(sa.String(64), default="")
    note: Mapped[str] = mapped_column(sa.Text, default="")


class DomophoneEntrance(Base):
    """Which entrances a panel serves."""

    __tablename__ = "domophone_entrances"
    domophone_id: Mapped[int] = to("domophones.id", primary_key=True)
    entrance_id: Mapped[int] = to("entrances.id", primary_key=True, index=True)


def table(of: type[Base]) -> sa.Table:
    """The table of a model class, for statements that need no objects."""
    found = of.__table__
    assert isinstance(found, sa.Table)
    return found
