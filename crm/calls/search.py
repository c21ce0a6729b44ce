"""Calls as they are searched for: by address, flat, panel, account, time and what came of them, the newest first.

A call is within the reach of who may see its flat's house; one that reached no flat belongs to the houses of its panel,
and that of an unknown panel to nobody but who sees everywhere. A cursor holds the last call's time and id, so that each
page costs what the first does. All functions are synchronous; times are UTC seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen

from crm.calls.calls import NoSuchCall, get_call
from crm.calls.rows import CallQuery, cursor, is_within, newest_of
from crm.devices.registered import of_first_house
from crm.model import City, Domophone, Flat, House
from crm.rights import Reach, Right
from crm.store import Store
from crm.values.records import CallRecord, Outcome
from crm.who import NotFound, Who

LIMIT_MAX = 500
EXPORT_CHUNK = 2000


@frozen(kw_only=True)
class FoundCall:
    """A call of a list. `zone` is its house's time zone, "" where there is none."""

    call_id: str
    kind: str
    node: str
    panel: str
    dialled: str
    address: str
    flat: str
    flat_id: int | None
    started_at: float
    answered_at: float | None
    answered_by: str
    door_at: float | None
    ended_at: float | None
    outcome: Outcome | None
    recording: str
    zone: str

    @property
    def talked_s(self) -> float | None:
        if self.answered_at is None or self.ended_at is None:
            return None
        return max(0.0, self.ended_at - self.answered_at)


@frozen
class CallPage:
    """A part of a list; `next` is the cursor of the part behind it, "" for the last. `back_to`: not all was looked
    through, only calls since this time; older ones may be found by `next`."""

    calls: tuple[FoundCall, ...]
    next: str
    back_to: float | None = None


def search_calls(store: Store, who: Who, query: CallQuery) -> CallPage:
    """The calls of `query` that `who` may see. Raises Forbidden, Invalid."""
    who.need(Right.CALLS_VIEW)
    with store.reading() as connection:
        return _page(connection, who.rights.reach(Right.CALLS_VIEW), query, min(query.limit, LIMIT_MAX))


def every_call(store: Store, who: Who, query: CallQuery) -> Iterator[FoundCall]:
    """All of them, read in portions."""
    who.need(Right.CALLS_VIEW)
    reach = who.rights.reach(Right.CALLS_VIEW)
    while True:
        with store.reading() as connection:
            page = _page(connection, reach, query, EXPORT_CHUNK)
        yield from page.calls
        if not page.next:
            return
        query = evolve(query, after=page.next)


def see_call(store: Store, who: Who, id: str, right: Right = Right.CALLS_VIEW) -> tuple[CallRecord, str]:
    """A call by its whole id, and its house's time zone ("": not known). Raises Forbidden, NotFound."""
    who.need(right)
    missing = NotFound(f"there is no call {id}")
    try:
        record = get_call(store, id)
    except NoSuchCall:
        raise missing from None
    if record.call_id != id:
        raise missing
    with store.reading() as connection:
        if not is_within(connection, who.rights.reach(right), id):
            raise missing
        return record, _zones(connection, [record]).get(id, "")


def listens(store: Store, who: Who, id: str) -> bool:
    """Whether `who` may hear this call's recording."""
    reach = who.rights.reach(Right.CALLS_LISTEN)
    with store.reading() as connection:
        return bool(reach) and is_within(connection, reach, id)


def _page(connection: sa.Connection, reach: Reach, query: CallQuery, limit: int) -> CallPage:
    limit = max(1, limit)
    rows, seen = newest_of(connection, reach, query, limit + 1)
    shown = rows[:limit]
    zones = _zones(connection, shown)
    calls = tuple(FoundCall(**row._mapping, zone=zones.get(row.call_id, "")) for row in shown)
    if len(rows) > limit:
        return CallPage(calls, cursor(shown[-1].started_at, shown[-1].call_id))
    return CallPage(calls, "" if seen is None else cursor(*seen), None if seen is None else seen[0])


def _zones(connection: sa.Connection, rows: Sequence[Any]) -> dict[str, str]:
    """The time zone of each call's house."""
    zone = sa.func.coalesce(House.time_zone, City.time_zone)
    flats = {row.flat_id for row in rows if row.flat_id is not None}
    panels = {row.panel for row in rows if row.flat_id is None}
    by_flat: dict[int, str] = {}
    by_panel: dict[str, str] = {}
    if flats:
        query = (
            sa.select(Flat.id, zone)
            .join(House, House.id == Flat.house_id)
            .join(City, City.id == House.city_id)
        )
        by_flat = {id: name for id, name in connection.execute(query.where(Flat.id.in_(flats)))}
    if panels:
        of_panels = sa.select(Domophone.sip_user, of_first_house(zone)).where(Domophone.sip_user.in_(panels))
        by_panel = {user: name or "" for user, name in connection.execute(of_panels)}
    return {
        row.call_id: by_flat.get(row.flat_id, "") if row.flat_id is not None else by_panel.get(row.panel, "")
        for row in rows
    }
