"""RFID keys: added, bound to what they open, lost and found, and found by any way of writing them.

What panels are to be told of it is put down in the same transaction (crm.keys.panels); actors/deliveries.py tells them. A
key is never deleted: one that opens nothing more is lost, or bound to nothing. Functions are synchronous and raise
crm.who's Refused errors and crm.store's StoreError. Times are UTC seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.keys.formats import KeyFormat, Reading, reverse, tails, ways
from crm.keys.panels import sync_keys
from crm.keys.reach import Binding, check_bindings, key_within, panels_within, seen_within, titles
from crm.model import Domophone, table
from crm.rights import Right
from crm.store import Store
from crm.tables.keys import Key, KeyBinding, KeyDelivery, Technology
from crm.tables.search import SearchWord
from crm.who import Conflict, Forbidden, Invalid, NotFound, Who

FOUND_MOST = 50
BY_TAIL = "key"  # search_words.kind of the last bytes of long keys

_KEYS, _BINDINGS, _DELIVERIES = table(Key), table(KeyBinding), table(KeyDelivery)
_WORDS = table(SearchWord)


@frozen
class KeyInfo:
    """A key as it is known. `bindings` are those within sight of who asks, each with what it is called."""

    id: int
    uid: str
    technology: Technology
    given: str
    format: KeyFormat
    note: str
    created_at: float
    lost_at: float | None
    lost_why: str
    seen_at: float | None
    seen_by: str
    bindings: tuple[tuple[Binding, str], ...]


@frozen
class KeyAtPanel:
    """What a panel knows of a key. `done_at` None: still to be told, at `due_at`; `error`: why not yet, or never."""

    domophone_id: int
    sip_user: str
    wanted: bool
    due_at: float
    done_at: float | None
    tries: int
    error: str


# --- changing ------------------------------------------------------------------------------------------------------


def add_key(
    store: Store,
    who: Who,
    text: str,
    bindings: Iterable[Binding],
    now: float,
    *,
    format: KeyFormat | None = None,
    uid: str = "",
    technology: Technology | None = None,
    note: str = "",
) -> int:
    """Add a key as it is written, with what it opens; its id. `format` None: the surest reading, if there is one.

    `uid`: which of several that a text means in one format.

    Raises Invalid (it cannot be read, or can in several ways; a binding), Conflict (it is known already), Forbidden.
    """
    who.need(Right.KEYS_EDIT)
    reading = read_key(text, format, uid)
    every = tuple(dict.fromkeys(bindings))
    if not every:
        who.need_everywhere(Right.KEYS_EDIT)  # nobody else would see it
    with store.transaction() as connection:
        check_bindings(connection, who, every)
        known = connection.scalar(sa.select(_KEYS.c.id).where(_KEYS.c.uid == reading.uid))
        if known is not None:
            raise Conflict(f"key {reading.uid} is known already: find it, and change what it opens")
        id = insert_keys(connection, [(reading, text, technology, note)], now)[0]
        _bind(connection, id, every)
        note_change(connection, who, "key", id, "create", None, {"uid": reading.uid, **_noted(every)}, at=now)
        sync_keys(connection, [id], now)
        return id


def change_bindings(
    store: Store,
    who: Who,
    key_id: int,
    now: float,
    *,
    add: Iterable[Binding] = (),
    remove: Iterable[Binding] = (),
) -> None:
    """Bind a key to more, and to less; what lies beyond the reach of `who` stays. Raises NotFound, Invalid, Forbidden."""
    with store.transaction() as connection:
        _get(connection, who, key_id, Right.KEYS_EDIT, locked=True)
        more, less = set(add), set(remove)
        check_bindings(connection, who, more | less)
        query = sa.select(_BINDINGS.c.scope, _BINDINGS.c.ref_id).where(_BINDINGS.c.key_id == key_id)
        before = {Binding(*row) for row in connection.execute(query)}
        after = (before - less) | more
        _bind(connection, key_id, after - before)
        for each in before - after:
            one = sa.and_(_BINDINGS.c.scope == each.scope, _BINDINGS.c.ref_id == each.ref_id)
            connection.execute(sa.delete(_BINDINGS).where(_BINDINGS.c.key_id == key_id, one))
        note_change(connection, who, "key", key_id, "update", _noted(before), _noted(after), at=now)
        sync_keys(connection, [key_id], now)


def lose_key(store: Store, who: Who, key_id: int, why: str, now: float) -> None:
    """A key is lost: it opens nothing any more, and all panels are to forget it. Raises NotFound, Forbidden."""
    _set_lost(store, who, key_id, now, why, now)


def find_key_again(store: Store, who: Who, key_id: int, now: float) -> None:
    """A lost key was found: it opens what it is bound to. Raises NotFound, Forbidden."""
    _set_lost(store, who, key_id, None, "", now)


def set_note(store: Store, who: Who, key_id: int, note: str, now: float) -> None:
    """Raises NotFound, Forbidden."""
    with store.transaction() as connection:
        before = _get(connection, who, key_id, Right.KEYS_EDIT, locked=True)
        connection.execute(sa.update(_KEYS).where(_KEYS.c.id == key_id).values(note=note))
        note_change(connection, who, "key", key_id, "update", {"note": before.note}, {"note": note}, at=now)


def key_seen(store: Store, uid: str, sip_user: str, at: float) -> bool:
    """A panel has read a key at `at`. False: no such key is known, or a later time is."""
    newer = sa.or_(_KEYS.c.seen_at.is_(None), _KEYS.c.seen_at < at)
    with store.transaction() as connection:
        seen = sa.update(_KEYS).where(_KEYS.c.uid == uid, newer).values(seen_at=at, seen_by=sip_user)
        return connection.execute(seen).rowcount == 1


def read_key(text: str, format: KeyFormat | None = None, uid: str = "") -> Reading:
    """The reading of a key's text in this format, or the surest one. Raises Invalid: none, or several alike."""
    found = [each for each in ways(text) if format in (None, each.format) and uid in ("", each.uid)]
    if not found:
        how = "" if format is None else f" written as {format.value}"
        raise Invalid({"uid": f"{text.strip()[:40]!r} is no key{how}"})
    if format is None and len({each.uid for each in found if each.sure is found[0].sure}) > 1:
        several = ", ".join(f"{each.format.value} → {each.uid}" for each in found)
        raise Invalid({"uid": f"this can be read in several ways, say in which: {several}"})
    return found[0]


def insert_keys(
    connection: sa.Connection, keys: Sequence[tuple[Reading, str, Technology | None, str]], now: float
) -> list[int]:
    """Insert new keys (how they were read, their text, technology, note); their ids, in the same order."""
    rows = [
        {
            "uid": reading.uid,
            "technology": technology or technology_of(reading),
            "given": text.strip()[:64],
            "format": reading.format.value,
            "note": note,
            "created_at": now,
        }
        for reading, text, technology, note in keys
    ]
    added = sa.insert(_KEYS).returning(_KEYS.c.id, _KEYS.c.uid, sort_by_parameter_order=True)
    made = connection.execute(added, rows).all()
    words = [
        {"word": tail.lower(), "kind": BY_TAIL, "ref_id": id}
        for id, uid in made
        for tail in sorted(tails(uid))
    ]
    if words:
        connection.execute(sa.insert(_WORDS), words)
    return [id for id, _ in made]


def technology_of(reading: Reading) -> Technology:
    """What a key is inside, by its length and how it was written, where that tells."""
    em = (KeyFormat.WIEGAND_26, KeyFormat.WIEGAND_34, KeyFormat.EM_PRINTED)
    if reading.format in em or len(reading.uid) in (6, 10):
        return Technology.EM_MARIN
    return Technology.MIFARE if len(reading.uid) in (14, 20) else Technology.UNKNOWN


# --- reading -------------------------------------------------------------------------------------------------------


def get_key(store: Store, who: Who, key_id: int) -> KeyInfo:
    """Raises NotFound, Forbidden."""
    who.need(Right.KEYS_VIEW)
    with store.reading() as connection:
        return _shown(connection, who, [_get(connection, who, key_id, Right.KEYS_VIEW)])[0]


def find_keys(store: Store, who: Who, text: str, limit: int = 20) -> tuple[KeyInfo, ...]:
    """Keys that a text can mean, in any way of writing, the surest first; then those whose UID begins with it.

    Three lookups in indexes, whatever there is.
    """
    who.need(Right.KEYS_VIEW)
    readings = ways(text)
    shorter = (each.uid[-size:] for each in readings for size in (8, 6) if len(each.uid) in (8, 10))
    order = {uid: n for n, uid in enumerate(dict.fromkeys([*(each.uid for each in readings), *shorter]))}
    limit = min(limit, FOUND_MOST)
    near = key_within(who.rights.reach(Right.KEYS_VIEW))
    with store.reading() as connection:
        exact = sa.select(_KEYS).where(_KEYS.c.uid.in_(order), near)
        rows = sorted(connection.execute(exact), key=lambda row: order[row.uid]) if order else []
        ends = {each.uid for each in readings if len(each.uid) in (6, 8)}
        if ends and len(rows) < limit:
            word = _WORDS.c.word.in_({end[-6:].lower() for end in ends})
            ids = sa.select(_WORDS.c.ref_id).where(word, _WORDS.c.kind == BY_TAIL)
            longer = connection.execute(sa.select(_KEYS).where(_KEYS.c.id.in_(ids), near).limit(FOUND_MOST))
            rows += [
                row
                for row in longer
                if any(row.uid.endswith(end) or reverse(row.uid).endswith(end) for end in ends)
            ]
        begin = "".join(text.upper().removeprefix("0X").split()).translate(_NO_SEPARATORS)
        if len(rows) < limit and 2 <= len(begin) <= 20 and not begin.strip("0123456789ABCDEF"):
            begins = sa.and_(_KEYS.c.uid >= begin, _KEYS.c.uid < begin + "G")
            rows += connection.execute(
                sa.select(_KEYS).where(begins, near).order_by(_KEYS.c.uid).limit(limit)
            ).all()
        return _shown(connection, who, list({row.id: row for row in rows}.values())[:limit])


def keys_bound_to(
    store: Store, who: Who, binding: Binding, after: int = 0, limit: int = 200
) -> tuple[KeyInfo, ...]:
    """The keys of a flat, a house, an employee…, in order of their ids, after this id."""
    who.need(Right.KEYS_VIEW)
    bound = sa.select(_BINDINGS.c.key_id).where(
        _BINDINGS.c.scope == binding.scope, _BINDINGS.c.ref_id == binding.ref_id
    )
    some = sa.select(_KEYS).where(
        _KEYS.c.id.in_(bound), _KEYS.c.id > after, key_within(who.rights.reach(Right.KEYS_VIEW))
    )
    with store.reading() as connection:
        return _shown(connection, who, connection.execute(some.order_by(_KEYS.c.id).limit(limit)).all())


def panels_of_key(store: Store, who: Who, key_id: int, limit: int = 200) -> tuple[KeyAtPanel, ...]:
    """What panels within sight know of a key, those first that are still to be told. Raises NotFound, Forbidden."""
    who.need(Right.KEYS_VIEW)
    reach = who.rights.reach(Right.KEYS_VIEW)
    columns = (_DELIVERIES.c[name] for name in ("wanted", "due_at", "done_at", "tries", "error"))
    query = (
        sa.select(Domophone.id, Domophone.sip_user, *columns)
        .join(_DELIVERIES, _DELIVERIES.c.domophone_id == Domophone.id)
        .where(_DELIVERIES.c.key_id == key_id, sa.true() if reach.everywhere else panels_within(reach))
        .order_by(_DELIVERIES.c.done_at.is_not(None), _DELIVERIES.c.due_at, Domophone.id)
    )
    with store.reading() as connection:
        _get(connection, who, key_id, Right.KEYS_VIEW)
        return tuple(KeyAtPanel(*row) for row in connection.execute(query.limit(limit)))


# --- within --------------------------------------------------------------------------------------------------------

_NO_SEPARATORS = str.maketrans("", "", ":-.")


def _set_lost(store: Store, who: Who, key_id: int, lost_at: float | None, why: str, now: float) -> None:
    with store.transaction() as connection:
        before = _get(connection, who, key_id, Right.KEYS_EDIT, locked=True)
        if (before.lost_at is None) is (lost_at is None):
            return
        connection.execute(sa.update(_KEYS).where(_KEYS.c.id == key_id).values(lost_at=lost_at, lost_why=why))
        was = {"lost_at": before.lost_at, "lost_why": before.lost_why}
        action = "found" if lost_at is None else "lost"
        note_change(
            connection, who, "key", key_id, action, was, {"lost_at": lost_at, "lost_why": why}, at=now
        )
        sync_keys(connection, [key_id], now)


def _get(connection: sa.Connection, who: Who, key_id: int, right: Right, *, locked: bool = False) -> Any:
    who.need(right)
    query = sa.select(_KEYS).where(_KEYS.c.id == key_id)
    if locked:
        query = query.with_for_update()
    row = connection.execute(query.where(key_within(who.rights.reach(right)))).first()
    if row is not None:
        return row
    seen = sa.select(_KEYS.c.id).where(_KEYS.c.id == key_id, key_within(who.rights.reach(Right.KEYS_VIEW)))
    if right is not Right.KEYS_VIEW and connection.scalar(seen) is not None:
        raise Forbidden(f"{who.name} may see this key, not change it")
    raise NotFound(f"there is no key {key_id}")


def _shown(connection: sa.Connection, who: Who, rows: Sequence[Any]) -> tuple[KeyInfo, ...]:
    if not rows:
        return ()
    near = seen_within(who.rights.reach(Right.KEYS_VIEW))
    query = sa.select(_BINDINGS).where(_BINDINGS.c.key_id.in_([row.id for row in rows]), near)
    bound: dict[int, list[Binding]] = {}
    for row in connection.execute(query.order_by(_BINDINGS.c.scope, _BINDINGS.c.ref_id)):
        bound.setdefault(row.key_id, []).append(Binding(row.scope, row.ref_id))
    names = titles(connection, (each for some in bound.values() for each in some))
    return tuple(
        KeyInfo(
            *(row.id, row.uid, row.technology, row.given, KeyFormat(row.format), row.note, row.created_at),
            *(row.lost_at, row.lost_why, row.seen_at, row.seen_by),
            tuple((each, names[each]) for each in bound.get(row.id, ())),
        )
        for row in rows
    )


def _bind(connection: sa.Connection, key_id: int, bindings: Iterable[Binding]) -> None:
    rows = [{"key_id": key_id, "scope": each.scope, "ref_id": each.ref_id} for each in bindings]
    if rows:
        connection.execute(sa.insert(_BINDINGS), rows)


def _noted(bindings: Iterable[Binding]) -> dict[str, list[str]]:
    return {"bindings": sorted(each.text for each in bindings)}
