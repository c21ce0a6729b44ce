"""Finished calls: written by the journal in batches, read by `teledom calls` and the pages.

Saving a call again replaces it, as a journal that does not know whether a batch got through sends it once more.
All functions are synchronous and raise `DatabaseAway` or `SchemaMismatch` (crm.store).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from crm.model import Domophone, table
from crm.statement import Statement
from crm.store import Store
from crm.tables.calls import Call, Leg
from crm.values.records import CallRecord, Entry, LegRecord

PURGE_CHUNK = 2000  # calls in one transaction: the journal can save between two

_CALLS, _LEGS = table(Call), table(Leg)
_CALL_COLUMNS = tuple(column.key for column in _CALLS.columns if column.key != "entries")
_LEG_COLUMNS = tuple(column.key for column in _LEGS.columns if column.key not in ("call_id", "position"))
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Entry]).decode
_FORGET = sa.delete(_CALLS).where(_CALLS.c.call_id.in_(sa.bindparam("ids", expanding=True)))
_TAKE_OUT = Statement(sa.delete(_CALLS).where(_CALLS.c.call_id == sa.bindparam("call_id")))
_ADD_CALL, _ADD_LEG = Statement(sa.insert(_CALLS)), Statement(sa.insert(_LEGS))


class NoSuchCall(LookupError):
    """No call has this id, or several begin with it; the message says which."""


def save_calls(store: Store, records: Sequence[CallRecord]) -> None:
    """Keep `records`, all or none; one that is there already is replaced."""
    latest = {record.call_id: record for record in records}
    if not latest:
        return
    calls = [_call_row(record) for record in latest.values()]
    legs = [_leg_row(record, n, leg) for record in latest.values() for n, leg in enumerate(record.legs)]
    with store.transaction() as connection:
        _TAKE_OUT.for_each(connection, [{"call_id": call} for call in latest])
        _ADD_CALL.for_each(connection, calls)
        _ADD_LEG.for_each(connection, legs)


def find_calls(
    store: Store,
    *,
    panel: str | None = None,
    flat: str | None = None,
    flat_id: int | None = None,
    since: float | None = None,
    limit: int = 100,
) -> list[CallRecord]:
    """The newest calls first, `limit` at most: of a panel, of flats with this number, of one flat, started at
    `since` (UTC) or later.

    `panel` is its SIP user or its MAC; what is neither is looked for as a part of calls' addresses.
    """
    query = sa.select(_CALLS).order_by(_CALLS.c.started_at.desc(), _CALLS.c.call_id).limit(limit)
    if flat is not None:
        query = query.where(_CALLS.c.flat == flat)
    if flat_id is not None:
        query = query.where(_CALLS.c.flat_id == flat_id)
    if since is not None:
        query = query.where(_CALLS.c.started_at >= since)
    with store.reading() as connection:
        if panel is not None:
            query = query.where(_of_panel(connection, panel))
        return _records(connection, query)


def _of_panel(connection: sa.Connection, panel: str) -> sa.ColumnElement[bool]:
    mac = "".join(c for c in panel.lower() if c not in ":-.")
    users = connection.scalars(
        sa.select(Domophone.sip_user).where(sa.or_(Domophone.sip_user == panel, Domophone.mac == mac))
    ).all()
    # A panel that the CRM does not know is one as well, if it has called.
    if users or connection.scalar(sa.select(sa.exists().where(_CALLS.c.panel == panel))):
        return _CALLS.c.panel.in_([*users, panel])
    # SQLite knows the case of ASCII letters only: "ленина" is to find "Ленина", too.
    ways = {panel, panel.lower(), panel.title(), panel.capitalize()}
    return sa.or_(*(_CALLS.c.address.icontains(way, autoescape=True) for way in sorted(ways)))


def get_call(store: Store, id: str) -> CallRecord:
    """The call with this id, or the only one whose id begins with it. Raises NoSuchCall."""
    if not id or not id.isascii() or not id.isprintable():
        raise NoSuchCall(f"no call has the id {id!r}: `teledom calls` lists them")
    # A call's id is ASCII: this is behind all ids that begin with `id`.
    within = sa.and_(_CALLS.c.call_id >= id, _CALLS.c.call_id < id + "\x7f")
    with store.reading() as connection:
        ids = connection.scalars(
            sa.select(_CALLS.c.call_id).where(within).order_by(_CALLS.c.call_id).limit(6)
        ).all()
        if id in ids:
            ids = [id]
        if not ids:
            raise NoSuchCall(f"no call has an id that begins with {id}: `teledom calls` lists them")
        if len(ids) > 1:
            some = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
            raise NoSuchCall(f"several calls have ids that begin with {id} ({some}): write more of it")
        records = _records(connection, sa.select(_CALLS).where(_CALLS.c.call_id == ids[0]))
    if not records:
        raise NoSuchCall(f"call {ids[0]} has just been dropped: it was older than journal.keep_days")
    return records[0]


def purge(store: Store, older_than: float) -> int:
    """Drop the calls that started before `older_than` (UTC), in small steps; how many they were."""
    old = (
        sa.select(_CALLS.c.call_id)
        .where(_CALLS.c.started_at < older_than)
        .order_by(_CALLS.c.started_at)
        .limit(PURGE_CHUNK)
    )
    dropped = 0
    while True:
        with store.transaction() as connection:
            ids = connection.scalars(old).all()
            if ids:
                connection.execute(_FORGET, {"ids": ids})
        dropped += len(ids)
        if len(ids) < PURGE_CHUNK:
            return dropped


def _call_row(record: CallRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _CALL_COLUMNS}
    row["outcome"] = None if record.outcome is None else record.outcome.value
    row["entries"] = _encode(record.entries).decode()
    # PostgreSQL's text has no NUL, and what a panel dialled is a stranger's text.
    for name in ("panel", "dialled"):
        if "\0" in row[name]:
            row[name] = row[name].replace("\0", "�")
    return row


def _leg_row(record: CallRecord, position: int, leg: LegRecord) -> dict[str, Any]:
    row = {name: getattr(leg, name) for name in _LEG_COLUMNS}
    row["end"] = None if leg.end is None else leg.end.value
    row["call_id"], row["position"] = record.call_id, position
    return row


def _records(connection: sa.Connection, query: sa.Select[Any]) -> list[CallRecord]:
    calls = connection.execute(query).mappings().all()
    legs = _legs(connection, [call["call_id"] for call in calls])
    return [
        CallRecord(
            **{name: call[name] for name in _CALL_COLUMNS},
            entries=_decode(call["entries"]),
            legs=legs.get(call["call_id"], []),
        )
        for call in calls
    ]


def _legs(connection: sa.Connection, ids: Iterable[str]) -> dict[str, list[LegRecord]]:
    query = sa.select(_LEGS).order_by(_LEGS.c.call_id, _LEGS.c.position)
    found: dict[str, list[LegRecord]] = {}
    ids = list(ids)
    for at in range(0, len(ids), 500):
        for row in connection.execute(query.where(_LEGS.c.call_id.in_(ids[at : at + 500]))).mappings():
            leg = LegRecord(**{name: row[name] for name in _LEG_COLUMNS})
            found.setdefault(row["call_id"], []).append(leg)
    return found
