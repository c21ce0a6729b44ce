"""What panels are still to be told: keys to learn and to forget, access codes. Claimed by one process for each panel.

The rows are `key_deliveries` and `code_deliveries`. Whoever tells a panel claims all that is due for it, with the panel's
row locked, so that of several processes only one does; a claim whose process went away is over after `lease_s`. All
functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.companies.code_panels import forgotten, is_wanted, sync_codes
from crm.devices.panel_access import StoredAccess
from crm.keys.panels import BEING_TOLD
from crm.model import Domophone, House, table
from crm.rights import EVERYWHERE, Reach
from crm.store import Store
from crm.tables.companies import CodeDelivery, Company, CompanyCode
from crm.tables.keys import Key, KeyDelivery

LOOK_AT = 20_000  # due rows of a kind among which panels are chosen
PARKED_S = 3600.0  # for a panel that is not to be reached

_KEYS, _CODES, _PANELS = table(KeyDelivery), table(CodeDelivery), table(Domophone)
_MADE = table(CompanyCode)


class What(Enum):
    """What a panel is told."""

    FORGET_KEY = "forget_key"
    FORGET_CODE = "forget_code"
    CODE = "code"
    LEARN_KEY = "learn_key"


_OF_CODES = (What.FORGET_CODE, What.CODE)


@frozen
class Item:
    """One thing to be told. `ref_id` is the key's or the code's id; `text` its UID, or the code, and `old` that before.

    `tries`: how often it was tried, this time too.
    """

    what: What
    ref_id: int
    text: str
    old: str
    tries: int


@frozen
class Claim:
    """All that a panel is to be told now, in the order in which it is: first what it is to forget."""

    domophone_id: int
    mac: str
    sip_user: str
    access: StoredAccess
    items: tuple[Item, ...]


@frozen
class Told:
    """What became of an item. `again_at` None: it is done, `error` saying why the panel will never have it."""

    item: Item
    error: str = ""
    again_at: float | None = None


def due_panels(store: Store, now: float, busy: Collection[int], limit: int) -> list[int]:
    """Panels for which something is due, the longest waiting first, without those of `busy`."""
    waits: dict[int, float] = {}
    with store.reading() as connection:
        for of in (_KEYS, _CODES):
            due = sa.and_(of.c.done_at.is_(None), of.c.due_at <= now)
            some = (
                sa.select(of.c.domophone_id, of.c.due_at)
                .where(due)
                .order_by(of.c.due_at)
                .limit(LOOK_AT)
                .subquery()
            )
            first = sa.func.min(some.c.due_at)
            query = sa.select(some.c.domophone_id, first).group_by(some.c.domophone_id).order_by(first)
            for id, due_at in connection.execute(query.limit(limit + len(busy))):
                waits[id] = min(due_at, waits.get(id, due_at))
    return [id for id in sorted(waits, key=lambda id: (waits[id], id)) if id not in busy][:limit]


def claim_panel(store: Store, domophone_id: int, now: float, lease_s: float, limit: int) -> Claim | None:
    """Take what is due for a panel, `limit` things at most. None: nothing is, somebody else tells it, or nobody can.

    What waits for a panel that is not active or has no address is put off, with the reason as its error.
    """
    with store.transaction() as connection:
        locked = sa.select(_PANELS).where(_PANELS.c.id == domophone_id).with_for_update(key_share=True)
        panel = connection.execute(locked).first()
        if panel is None:
            return None
        for of in (_KEYS, _CODES):
            told = sa.and_(of.c.error == BEING_TOLD, of.c.due_at > now, of.c.done_at.is_(None))
            if connection.scalar(sa.select(sa.exists().where(of.c.domophone_id == domophone_id, told))):
                return None
        if not panel.active or not panel.url:
            why = "the panel has no address" if panel.active else "the panel is not in use"
            for of in (_KEYS, _CODES):
                put_off = sa.update(of).where(_due(of, domophone_id, now))
                connection.execute(put_off.values(due_at=now + PARKED_S, error=why))
            return None
        _end_old_codes(connection, domophone_id, now)
        items = _due_items(connection, domophone_id, now, limit)
        if not items:
            return None
        for of, name, ids in _by_table(items):
            mine = sa.and_(of.c.domophone_id == domophone_id, of.c[name].in_(ids))
            claimed = {"due_at": now + lease_s, "tries": of.c.tries + 1, "error": BEING_TOLD}
            connection.execute(sa.update(of).where(mine).values(claimed))
    access = StoredAccess(panel.vendor.value, panel.url, panel.http_user, panel.http_password, panel.tls_pin)
    return Claim(domophone_id, panel.mac, panel.sip_user, access, tuple(items))


def finish(store: Store, domophone_id: int, told: Collection[Told], now: float) -> None:
    """Write what became of the items of a claim; what is wanted otherwise meanwhile is due at once."""
    with store.transaction() as connection:
        for each in told:
            of, name = _place(each.item.what)
            mine = sa.and_(of.c.domophone_id == domophone_id, of.c[name] == each.item.ref_id)
            mine = sa.and_(mine, of.c.error == BEING_TOLD)
            values: dict[str, Any] = {"error": each.error.replace("\0", "�")[:255]}
            if each.again_at is None:
                values["done_at"] = now
            else:
                values["due_at"] = each.again_at
            if of is _KEYS:
                wanted = each.item.what is What.LEARN_KEY
                turned = sa.update(of).where(mine, of.c.wanted != wanted)
                connection.execute(turned.values(due_at=now, error="", tries=0))
                mine = sa.and_(mine, of.c.wanted == wanted)
            connection.execute(sa.update(of).where(mine).values(values))
        done = [each.item for each in told if each.again_at is None]
        gone = [item.ref_id for item in done if item.what is What.FORGET_CODE]
        if gone:
            forgotten(connection, domophone_id, gone, now)
        if any(item.what in _OF_CODES for item in done):
            sync_codes(connection, now, panels=[domophone_id])


def take_back(store: Store, domophone_id: int, items: Iterable[Item], now: float) -> None:
    """Items that were claimed and not tried are due again."""
    with store.transaction() as connection:
        for of, name, ids in _by_table(items):
            mine = sa.and_(of.c.domophone_id == domophone_id, of.c[name].in_(ids), of.c.error == BEING_TOLD)
            connection.execute(sa.update(of).where(mine).values(due_at=now, tries=of.c.tries - 1, error=""))


def wake_panels(connection: sa.Connection, domophone_ids: Collection[int], now: float) -> None:
    """What waits for these panels is due at once: they can be reached now. In the caller's transaction."""
    for of in (_KEYS, _CODES):
        waiting = sa.and_(of.c.done_at.is_(None), of.c.due_at > now, of.c.error != BEING_TOLD)
        mine = of.c.domophone_id.in_(sorted(domophone_ids))
        connection.execute(sa.update(of).where(mine, waiting).values(due_at=now))


def tell_all_again(connection: sa.Connection, domophone_id: int, now: float) -> None:
    """A panel was exchanged or reset: all that it is to know is due at once. In the caller's transaction."""
    for of in (_KEYS, _CODES):
        mine = sa.and_(of.c.domophone_id == domophone_id, of.c.error != BEING_TOLD)
        holds = sa.exists().where(_MADE.c.id == _CODES.c.code_id, _MADE.c.ended_at.is_(None))
        meant = of.c.wanted if of is _KEYS else holds
        connection.execute(
            sa.update(of).where(mine, meant).values(done_at=None, due_at=now, tries=0, error="")
        )


@frozen
class Waiting:
    """Something that a panel is still to be told: a key, or a company's code. `error`: why the last try failed."""

    what: What
    key_id: int | None
    text: str  # the UID, or the company's name
    due_at: float
    tries: int
    error: str


def waiting_for(
    connection: sa.Connection, domophone_id: int, limit: int = 50, companies: Reach = EVERYWHERE
) -> list[Waiting]:
    """What a panel is still to be told, the next first; of codes also whose, where `companies` reaches that."""
    house = sa.exists().where(House.company_id == Company.id, companies.of_houses()).correlate(table(Company))
    seen = sa.true() if companies.everywhere else sa.or_(Company.id.in_(sorted(companies.companies)), house)
    named = sa.case((seen, Company.name), else_="")
    keys = (
        sa.select(_KEYS.c.key_id, Key.uid, _KEYS.c.wanted, _KEYS.c.due_at, _KEYS.c.tries, _KEYS.c.error)
        .join(Key, Key.id == _KEYS.c.key_id)
        .where(_KEYS.c.domophone_id == domophone_id, _KEYS.c.done_at.is_(None))
        .order_by(_KEYS.c.due_at)
        .limit(limit)
    )
    codes = (
        sa.select(named, is_wanted(_CODES), _CODES.c.due_at, _CODES.c.tries, _CODES.c.error)
        .join(_MADE, _MADE.c.id == _CODES.c.code_id)
        .join(Company, Company.id == _MADE.c.company_id)
        .where(_CODES.c.domophone_id == domophone_id, _CODES.c.done_at.is_(None))
        .order_by(_CODES.c.due_at)
        .limit(limit)
    )
    found = [
        Waiting(What.CODE if wanted else What.FORGET_CODE, None, name, *rest)
        for name, wanted, *rest in connection.execute(codes)
    ]
    for id, uid, wanted, *rest in connection.execute(keys):
        found.append(Waiting(What.LEARN_KEY if wanted else What.FORGET_KEY, id, uid, *rest))
    return sorted(found, key=lambda each: each.due_at)[:limit]


def count_waiting(store: Store, now: float) -> Mapping[str, int]:
    """How much is still to be told, and how much of that has failed before: "keys", "codes", "failed"."""
    with store.reading() as connection:
        waits = [sa.select(sa.func.count()).where(of.c.done_at.is_(None)) for of in (_KEYS, _CODES)]
        failed = [
            query.where(of.c.error.not_in(("", BEING_TOLD)))
            for query, of in zip(waits, (_KEYS, _CODES), strict=True)
        ]
        keys, codes = (connection.scalar(query) or 0 for query in waits)
        return {
            "keys": keys,
            "codes": codes,
            "failed": sum(connection.scalar(query) or 0 for query in failed),
        }


def _due(of: sa.Table, domophone_id: int, now: float) -> sa.ColumnElement[bool]:
    return sa.and_(of.c.domophone_id == domophone_id, of.c.done_at.is_(None), of.c.due_at <= now)


def _due_items(connection: sa.Connection, domophone_id: int, now: float, limit: int) -> list[Item]:
    keys = (
        sa.select(_KEYS.c.key_id, Key.uid, _KEYS.c.wanted, _KEYS.c.tries)
        .join(Key, Key.id == _KEYS.c.key_id)
        .where(_due(_KEYS, domophone_id, now))
        .order_by(_KEYS.c.wanted, _KEYS.c.due_at, _KEYS.c.key_id)
        .limit(limit)
    )
    before, told = _MADE.alias("before"), _CODES.alias("told")
    # The code that this panel still has: the newest one of the company before this that it was told.
    old = (
        sa.select(before.c.code)
        .join(told, sa.and_(told.c.code_id == before.c.id, told.c.domophone_id == domophone_id))
        .where(before.c.company_id == _MADE.c.company_id, before.c.id != _MADE.c.id)
        .where(before.c.made_at <= _MADE.c.made_at, told.c.done_at.is_not(None), told.c.error == "")
        .order_by(before.c.made_at.desc(), before.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    codes = (
        sa.select(_CODES.c.code_id, _MADE.c.code, _CODES.c.tries, old, is_wanted(_CODES))
        .join(_MADE, _MADE.c.id == _CODES.c.code_id)
        .where(_due(_CODES, domophone_id, now))
        .order_by(_MADE.c.made_at, _MADE.c.id)
        .limit(limit)
    )
    items = [
        Item(What.CODE, id, code, was or "", tries + 1)
        if wanted
        else Item(What.FORGET_CODE, id, code, "", tries + 1)
        for id, code, tries, was, wanted in connection.execute(codes)
    ]
    for id, uid, wanted, tries in connection.execute(keys):
        what = What.LEARN_KEY if wanted else What.FORGET_KEY
        items.append(Item(what, id, uid, "", tries + 1))
    order = list(What)
    return sorted(items, key=lambda item: order.index(item.what))[:limit]


def _end_old_codes(connection: sa.Connection, domophone_id: int, now: float) -> None:
    """Codes that came too late for this panel, as their company has a newer one, are not told any more."""
    over = sa.select(_MADE.c.id).where(_MADE.c.id == _CODES.c.code_id, _MADE.c.ended_at.is_not(None))
    late = sa.update(_CODES).where(_due(_CODES, domophone_id, now), sa.exists(over), is_wanted(_CODES))
    connection.execute(late.values(done_at=now, error="the code was over before the panel could be told"))


def _place(what: What) -> tuple[sa.Table, str]:
    return (_CODES, "code_id") if what in _OF_CODES else (_KEYS, "key_id")


def _by_table(items: Iterable[Item]) -> list[tuple[sa.Table, str, list[int]]]:
    every = list(items)
    codes = [item.ref_id for item in every if item.what in _OF_CODES]
    keys = [item.ref_id for item in every if item.what not in _OF_CODES]
    return [(of, name, ids) for of, name, ids in ((_CODES, "code_id", codes), (_KEYS, "key_id", keys)) if ids]
