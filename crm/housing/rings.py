"""Which phones ring for which flats, and why one does not: what support is asked all day.

Read from the same tables that a call asks (crm.directory.lookup); whether a phone can really be reached just now, only
its last calls tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.model import (
    Account,
    AccountFlat,
    EntranceFlat,
    FlatBlock,
    Phone,
    PhoneFlat,
    table,
)
from crm.rights import Reach
from crm.sections.shared import FLAT_TITLE, FLATS, FLATS_IN_HOUSES
from crm.tables.blocks import BlockKindRow

_ACCOUNTS, _PHONES = table(Account), table(Phone)
_HAS, _AT, _BLOCKS, _KINDS, _RINGS = (
    table(AccountFlat),
    table(PhoneFlat),
    table(FlatBlock),
    table(BlockKindRow),
    table(EntranceFlat),
)
MOST = 500  # phones of one resident or account, by their flats


class Silence(Enum):
    """Why a phone does not ring for a flat."""

    BLOCKED = "the flat is blocked"
    NO_PANEL = "no entrance calls this flat"
    ACCOUNT_OFF = "the account is switched off for this flat"
    PHONE_OFF = "the phone is switched off for this flat"
    NO_TOKEN = "no push token: it rings only while the app is open"
    NO_PHONE = "no phone: the account rings only where it is registered by itself"


@frozen
class Ringing:
    """A phone of an account for a flat; `phone_id` None: the account has none. No `silences`: it rings."""

    flat_id: int
    flat: str
    account_id: int
    sip_user: str
    phone_id: int | None
    platform: str
    silences: tuple[Silence, ...]

    @property
    def rings(self) -> bool:
        """Whether a call to this flat rings it, as far as is known here."""
        return not self.silences

    @property
    def only_open(self) -> bool:
        """It may ring yet: nothing else is wrong than that it cannot be woken."""
        return bool(self.silences) and set(self.silences) <= {Silence.NO_TOKEN, Silence.NO_PHONE}


def rings_of_accounts(
    connection: sa.Connection, accounts: Iterable[int], reach: Reach, now: float
) -> tuple[Ringing, ...]:
    """For each flat of these accounts within reach, and each of their phones: whether it rings."""
    chosen = sorted(set(accounts))
    if not chosen:
        return ()
    rows = connection.execute(
        sa.select(
            *(FLATS.c.id, FLAT_TITLE, _ACCOUNTS.c.id, _ACCOUNTS.c.sip_user, _PHONES.c.id, _PHONES.c.platform),
            *(_HAS.c.rings, _AT.c.rings, _PHONES.c.push_token, _PHONES.c.voip_token),
        )
        .select_from(
            FLATS_IN_HOUSES.join(_HAS, _HAS.c.flat_id == FLATS.c.id)
            .join(_ACCOUNTS, _ACCOUNTS.c.id == _HAS.c.account_id)
            .outerjoin(_PHONES, _PHONES.c.account_id == _ACCOUNTS.c.id)
            .outerjoin(_AT, sa.and_(_AT.c.phone_id == _PHONES.c.id, _AT.c.flat_id == FLATS.c.id))
        )
        .where(_ACCOUNTS.c.id.in_(chosen), reach.of_houses())
        .order_by(FLATS.c.id, _ACCOUNTS.c.id, _PHONES.c.id)
        .limit(MOST)
    ).all()
    flats = sorted({row[0] for row in rows})
    blocked, called = _blocked(connection, flats, now), _called(connection, flats)
    return tuple(
        Ringing(
            flat_id=row[0],
            flat=row[1],
            account_id=row[2],
            sip_user=row[3],
            phone_id=row[4],
            platform=row[5].value if row[5] is not None else "",
            silences=tuple(_silences(row, row[0] in blocked, row[0] in called)),
        )
        for row in rows
    )


def accounts_of_resident(connection: sa.Connection, resident: int) -> Sequence[int]:
    """The ids of a resident's accounts."""
    mine = sa.select(_ACCOUNTS.c.id).where(_ACCOUNTS.c.resident_id == resident).order_by(_ACCOUNTS.c.id)
    return connection.scalars(mine.limit(MOST)).all()


def _silences(row: Any, blocked: bool, called: bool) -> Iterable[Silence]:
    _, _, _, _, phone, _, account_rings, phone_rings, push, voip = row
    if blocked:
        yield Silence.BLOCKED
    if not called:
        yield Silence.NO_PANEL
    if not account_rings:
        yield Silence.ACCOUNT_OFF
    if phone is None:
        yield Silence.NO_PHONE
        return
    if phone_rings is not None and not phone_rings:
        yield Silence.PHONE_OFF
    if not (push or voip):
        yield Silence.NO_TOKEN


def _blocked(connection: sa.Connection, flats: Sequence[int], now: float) -> set[int]:
    """Those of the flats where a block stands that stops calls."""
    standing = sa.and_(
        _BLOCKS.c["from"] <= now,
        sa.or_(_BLOCKS.c.until.is_(None), _BLOCKS.c.until > now),
        _KINDS.c.stops_calls,
    )
    kinds = _BLOCKS.join(_KINDS, _KINDS.c.code == _BLOCKS.c.kind)
    found = sa.select(_BLOCKS.c.flat_id).select_from(kinds).where(_BLOCKS.c.flat_id.in_(flats), standing)
    return set(connection.scalars(found))


def _called(connection: sa.Connection, flats: Sequence[int]) -> set[int]:
    return set(connection.scalars(sa.select(_RINGS.c.flat_id).where(_RINGS.c.flat_id.in_(flats))))
