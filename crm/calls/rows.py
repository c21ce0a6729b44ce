"""How calls are found in the database: what a search asks for, and the newest calls of it, within somebody's reach.

What no index knows of a call (its node, whether a door was opened, whose house it is) is found by looking through newer
calls first, in portions, and no further than `MOST_LOOKED` of them at once: so each look takes about as long.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from attrs import frozen

from crm.among import among
from crm.model import Domophone, DomophoneEntrance, Flat, House, HouseEntrance, table
from crm.rights import Reach
from crm.search.index import Indexed
from crm.search.places import words_match
from crm.search.text import readings
from crm.tables.calls import Call, Leg
from crm.tables.search import SearchWord
from crm.values.records import Outcome
from crm.who import Invalid

HOUSES_KNOWN = 2000  # so many houses that an address means are named to the database one by one
FEW_HOUSES = 100
PORTION, MOST_LOOKED = (
    250,
    5000,
)  # calls that are looked through: first, then ever twice as many; and for a page
KINDS = ("visitor", "test_ring", "quality", "sos", "call_back", "sos_test")

_CALLS, _LEGS, _WORDS = table(Call), table(Leg), table(SearchWord)
_FLATS, _PANELS, _HOUSES = table(Flat), table(Domophone), table(House)
_COLUMNS = (
    *(_CALLS.c.call_id, _CALLS.c.kind, _CALLS.c.node, _CALLS.c.panel, _CALLS.c.dialled, _CALLS.c.address),
    *(_CALLS.c.flat, _CALLS.c.flat_id, _CALLS.c.started_at, _CALLS.c.answered_at, _CALLS.c.answered_by),
    *(_CALLS.c.door_at, _CALLS.c.ended_at, _CALLS.c.outcome, _CALLS.c.recording),
)


@frozen(kw_only=True)
class CallQuery:
    """What is searched for; "" and None: anything. `address` are words ("Ленина 5", perhaps with the flat), `flat` its
    number, `panel` a SIP user or MAC, `account` one that was rung, `door` whether it was opened. `outcome` and `kind` may
    be several, with commas between them."""

    address: str = ""
    house_id: int | None = None
    flat: str = ""
    flat_id: int | None = None
    panel: str = ""
    account: str = ""
    since: float | None = None
    until: float | None = None
    outcome: str = ""
    kind: str = ""
    door: bool | None = None
    node: str = ""
    after: str = ""
    limit: int = 50


_Others = Callable[[Any], list[sa.ColumnElement[bool]]]


def newest_of(
    connection: sa.Connection, reach: Reach, query: CallQuery, limit: int
) -> tuple[Sequence[Any], tuple[float, str] | None]:
    """The newest calls of a query; where there are more to look through, behind which one (its time, its id).

    The calls of few houses are looked up by their flats and panels.
    """
    places = _places(connection, query)
    known, several, others = _conditions(connection, query)
    if reach.everywhere and places is None and not others(_CALLS.c):
        every = sa.select(*_COLUMNS).where(*known)
        return connection.execute(_newest_of_several(every, several, limit)).all(), None
    if places is not None or not reach.everywhere:
        ways = places if places is not None else [("", sa.true())]
        few = [(flat, _few_houses(connection, sa.and_(reach.of_houses(), houses))) for flat, houses in ways]
        if all(ids is not None for _, ids in few):
            where = [*known, sa.or_(*several), *others(_CALLS.c)]
            found = [row for flat, ids in few for row in _of_few(connection, flat, ids or [], where, limit)]
            unique = {row.call_id: row for row in found}
            ordered = sorted(unique.values(), key=lambda row: (row.started_at, row.call_id), reverse=True)
            return ordered[:limit], None
    return _looked_through(connection, reach, places, known, several, others, limit)


def _few_houses(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Sequence[int] | None:
    """The ids of the houses, if they are few."""
    ids = connection.scalars(sa.select(House.id).where(where).limit(FEW_HOUSES + 1)).all()
    return ids if len(ids) <= FEW_HOUSES else None


def _of_few(
    connection: sa.Connection,
    flat: str,
    houses: Sequence[int],
    where: list[sa.ColumnElement[bool]],
    limit: int,
) -> list[Any]:
    """The newest calls of some houses: of their flats, and those of their panels that reached no flat."""
    panels = connection.scalars(_panels_at(houses)).all()
    at = [among(connection, _FLATS.c.house_id, houses), *([Flat.number == flat] if flat else [])]
    # Read once, so that no call's flat is looked for in the table of all of them.
    near = sa.select(Flat.id).where(*at).cte("near").prefix_with("MATERIALIZED")
    of_flats = sa.select(*_COLUMNS).join_from(_CALLS, near, near.c.id == _CALLS.c.flat_id)
    found = list(connection.execute(_newest(of_flats.where(*where), _CALLS.c, limit)).all())
    if panels and not flat:
        mine = sa.and_(_CALLS.c.flat_id.is_(None), _CALLS.c.panel.in_(panels))
        found += connection.execute(_newest(sa.select(*_COLUMNS).where(mine, *where), _CALLS.c, limit)).all()
    return found


def _looked_through(
    connection: sa.Connection,
    reach: Reach,
    places: list[tuple[str, sa.ColumnElement[bool]]] | None,
    known: list[sa.ColumnElement[bool]],
    several: list[sa.ColumnElement[bool]],
    others: _Others,
    limit: int,
) -> tuple[Sequence[Any], tuple[float, str] | None]:
    c = _CALLS.c
    suits = sa.and_(sa.true(), *others(c)).label("suits")
    look = sa.select(c.call_id, c.started_at, c.panel, c.flat, c.flat_id, suits).where(*known)
    found: list[str] = []
    behind: tuple[float, str] | None = None
    looked, portion = 0, PORTION
    while looked < MOST_LOOKED and len(found) < limit:
        after = [] if behind is None else [_is_behind(*behind)]
        some = connection.execute(_newest_of_several(look.where(*after), several, portion)).all()
        near = [call for call in some if call.suits]
        if places is not None or not reach.everywhere:
            near = _at_houses(connection, near, reach, places)
        found += [call.call_id for call in near]
        behind = (some[-1].started_at, some[-1].call_id) if len(some) == portion else None
        if behind is None:
            break
        looked += portion
        portion = min(2 * portion, MOST_LOOKED - looked)
    mine = among(connection, c.call_id, found[:limit])
    rows = connection.execute(_newest(sa.select(*_COLUMNS).where(mine), c, limit)).all()
    return rows, behind if len(found) < limit else None


def _at_houses(
    connection: sa.Connection,
    calls: Sequence[Any],
    reach: Reach,
    places: list[tuple[str, sa.ColumnElement[bool]]] | None,
) -> list[Any]:
    """Of some calls those that are within reach and at the houses that are asked for.

    Flats and panels are looked up by their ids, so that no database takes it for better to read all of them.
    """
    kept: set[str] = set()
    for flat, houses in places or [("", sa.true())]:
        mine = [call for call in calls if not flat or call.flat == flat]
        where = sa.and_(reach.of_houses(), houses)
        ids = {call.flat_id for call in mine if call.flat_id is not None}
        users = {call.panel for call in mine if call.flat_id is None}
        flats: set[int] = set()
        panels: set[str] = set()
        if ids:
            of_flats = sa.select(Flat.id).join(House, House.id == Flat.house_id)
            flats.update(connection.scalars(of_flats.where(among(connection, _FLATS.c.id, ids), where)))
        if users:
            of_panels = (
                sa.select(Domophone.sip_user)
                .join(DomophoneEntrance, DomophoneEntrance.domophone_id == Domophone.id)
                .join(HouseEntrance, HouseEntrance.entrance_id == DomophoneEntrance.entrance_id)
                .join(House, House.id == HouseEntrance.house_id)
                .where(among(connection, _PANELS.c.sip_user, users), where)
            )
            panels.update(connection.scalars(of_panels))
        kept.update(
            call.call_id
            for call in mine
            if (call.flat_id in flats if call.flat_id is not None else call.panel in panels)
        )
    return [call for call in calls if call.call_id in kept]


def _newest(statement: sa.Select[Any], c: Any, limit: int) -> sa.Select[Any]:
    return statement.order_by(c.started_at.desc(), c.call_id.desc()).limit(limit)


def _newest_of_several(
    statement: sa.Select[Any], ways: list[sa.ColumnElement[bool]], limit: int
) -> sa.Select[Any]:
    """The newest that meet one of these ways. Each is asked for by itself, as an index has its calls in their order; of
    several values together none has."""
    if len(ways) == 1:
        return _newest(statement.where(*ways), _CALLS.c, limit)
    parts = (_newest(statement.where(way), _CALLS.c, limit).subquery() for way in ways)
    every = sa.union_all(*(sa.select(part) for part in parts)).subquery()
    return _newest(sa.select(every), every.c, limit)


def _is_behind(at: float, id: str) -> sa.ColumnElement[bool]:
    here = sa.tuple_(_CALLS.c.started_at, _CALLS.c.call_id)
    there = sa.tuple_(sa.literal(at, sa.Double()), sa.literal(id, _CALLS.c.call_id.type))
    return sa.and_(here < there, _CALLS.c.started_at <= at)


def is_within(connection: sa.Connection, reach: Reach, id: str) -> bool:
    """Whether a call is within reach."""
    if reach.everywhere:
        return True
    one = connection.execute(sa.select(*_COLUMNS).where(_CALLS.c.call_id == id)).all()
    return bool(_at_houses(connection, one, reach, None))


def _panels_at(houses: Sequence[int]) -> sa.Select[Any]:
    return (
        sa.select(Domophone.sip_user)
        .join(DomophoneEntrance, DomophoneEntrance.domophone_id == Domophone.id)
        .join(HouseEntrance, HouseEntrance.entrance_id == DomophoneEntrance.entrance_id)
        .where(HouseEntrance.house_id.in_(houses))
        .distinct()
    )


def _places(connection: sa.Connection, query: CallQuery) -> list[tuple[str, sa.ColumnElement[bool]]] | None:
    """Which houses are meant, each reading of the address with its flat ("": any); None: any house."""
    exactly = [] if query.house_id is None else [House.id == query.house_id]
    if not query.address:
        return [("", exactly[0])] if exactly else None
    ways: list[tuple[str, sa.ColumnElement[bool]]] = []
    for reading in readings(query.address):
        matching = words_match(Indexed.HOUSE, reading.words)
        if matching is None:
            continue
        named = sa.select(_WORDS.c.ref_id).where(matching).distinct()
        ids = connection.scalars(named.limit(HOUSES_KNOWN + 1)).all()
        # Named each, so that the planner knows how many they are.
        houses = House.id.in_(named) if len(ids) > HOUSES_KNOWN else among(connection, _HOUSES.c.id, ids)
        if ids:
            ways.append((reading.flat, sa.and_(houses, *exactly)))
    return ways or [("", sa.false())]


def _conditions(
    connection: sa.Connection, query: CallQuery
) -> tuple[list[sa.ColumnElement[bool]], list[sa.ColumnElement[bool]], _Others]:
    """Those on a call that an index knows; those of which one is to hold; and the others. Raises Invalid."""
    texts = {name: getattr(query, name) for name in ("address", "flat", "panel", "account", "node")}
    errors = {
        name: "there are characters in it that cannot be searched for"
        for name, text in texts.items()
        if "\0" in text
    }
    outcomes, kinds = _several(query.outcome), _several(query.kind)
    if not {each.value for each in Outcome}.issuperset(outcomes):
        errors["outcome"] = "this list has no such filter"
    if not set(KINDS).issuperset(kinds):
        errors["kind"] = "this list has no such filter"
    if errors:
        raise Invalid(errors)
    c = _CALLS.c
    ways = [c.outcome == Outcome(each) for each in outcomes] or [c.kind == each for each in kinds]
    found: list[sa.ColumnElement[bool]] = []
    if query.flat:
        found.append(c.flat == query.flat)
    if query.flat_id is not None:
        found.append(c.flat_id == query.flat_id)
    if query.panel:
        found.append(c.panel.in_(_users_of(connection, query.panel)))
    if query.account:
        found.append(c.call_id.in_(sa.select(_LEGS.c.call_id).where(_LEGS.c.account == query.account)))
    if query.since is not None:
        found.append(c.started_at >= query.since)
    if query.until is not None:
        found.append(c.started_at < query.until)
    if outcomes and kinds:
        found.append(c.kind.in_(kinds))
    if query.after:
        found.append(_is_behind(*_read_cursor(query.after)))

    def others(of: Any) -> list[sa.ColumnElement[bool]]:
        rest: list[sa.ColumnElement[bool]] = []
        if query.door is not None:
            rest.append(of.door_at.is_not(None) if query.door else of.door_at.is_(None))
        if query.node:
            rest.append(of.node == query.node)
        return rest

    return found, ways or [sa.true()], others


def _several(text: str) -> list[str]:
    """The values of a filter, each once."""
    return list(dict.fromkeys(text.split(","))) if text else []


def _users_of(connection: sa.Connection, panel: str) -> list[str]:
    """SIP users that a panel may have called as, by one of them or its MAC."""
    mac = "".join(each for each in panel.lower() if each not in ":-. ")
    known = sa.select(Domophone.sip_user).where(sa.or_(Domophone.sip_user == panel, Domophone.mac == mac))
    return sorted({panel, *connection.scalars(known)})


def cursor(at: float, id: str) -> str:
    """The place behind a call, as a list's address has it."""
    return base64.urlsafe_b64encode(msgspec.json.encode((at, id))).decode().rstrip("=")


def _read_cursor(text: str) -> tuple[float, str]:
    try:
        at, id = msgspec.json.decode(
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=tuple[float, str]
        )
    except (ValueError, msgspec.MsgspecError):
        raise Invalid({"after": "this is no cursor of this list: begin at its first page"}) from None
    if "\0" in id:
        raise Invalid({"after": "this is no cursor of this list: begin at its first page"})
    return at, id
