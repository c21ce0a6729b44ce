"""Campaigns of quality calls in the database: made with a task for each flat, shown with their progress, paused, stopped;
and the flats, houses, cities and panels that people name for them.

All functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds since the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, time
from typing import Any
from zoneinfo import available_timezones

import sqlalchemy as sa

from crm.model import City, Domophone, DomophoneEntrance, EntranceFlat, Flat, House, table
from crm.quality.progress import count_tasks, progress_in
from crm.quality.results import NoSuchHouse, results_of
from crm.quality.tasks import NoSuchFlat, end_campaigns, flats_to_call, read_tasks
from crm.store import Store
from crm.tables.quality import QualityCampaign, QualityFlat, QualityTask
from crm.values.quality import (
    ALLOWED,
    BAD,
    JUDGED,
    Campaign,
    CampaignState,
    Hours,
    Only,
    Progress,
    QualityError,
    Result,
    Scope,
    Task,
    TaskState,
)

HOUSES_AT_ONCE = 200  # a statement each, as PostgreSQL ends one that takes too long
TASKS_AT_ONCE = 5000
REPORT_CHUNK = 1000

_CAMPAIGNS, _TASKS = table(QualityCampaign), table(QualityTask)
_SHARED = ("name", "kind", "only", "spacing_s", "per_house", "attempts", "attempt_spacing_s", "priority")


class NoSuchCampaign(QualityError):
    """There is no campaign with this id."""


class NotAllowed(QualityError):
    """A campaign cannot be made, or not be brought into this state; the message says why."""


class NoSuchPlace(QualityError):
    """The CRM has no such city or panel, or several."""


# --- made ----------------------------------------------------------------------------------------------------------


def create_campaign(store: Store, campaign: Campaign, now: float) -> int:
    """Make a campaign that runs, with a task for each of its flats; its id. Raises NotAllowed: it has no flats.

    The tasks of one panel are due one after another, as it is to be called: so all panels have their first call first.
    """
    spacing_s = max(campaign.spacing_s, 1.0)
    values = {name: getattr(campaign, name) for name in _SHARED} | {
        "scope": json.dumps(
            [campaign.scope.cities, campaign.scope.houses, campaign.scope.panels, campaign.scope.flats]
        ),
        "hours": _hours_text(campaign.hours),
        "zones": "[]",
        "state": CampaignState.RUNNING,
        "created_at": now,
    }
    chosen = sa.and_(_in_scope(campaign.scope), _only(campaign.only))
    with store.transaction() as connection:
        id: int = connection.execute(
            sa.insert(_CAMPAIGNS).values(values).returning(_CAMPAIGNS.c.id)
        ).scalar_one()
        houses = connection.scalars(_houses(campaign.scope)).all()
        for n in range(0, len(houses), HOUSES_AT_ONCE):
            some = houses[n : n + HOUSES_AT_ONCE]
            flats = flats_to_call(sa.and_(Flat.house_id.between(some[0], some[-1]), chosen)).subquery()
            turn = sa.func.row_number().over(partition_by=flats.c.domophone_id, order_by=flats.c.flat_id)
            rows = sa.select(
                *flats.c,
                sa.literal(id).label("campaign_id"),
                sa.literal(campaign.kind, _TASKS.c.kind.type).label("kind"),
                (sa.literal(now, sa.Double()) + (turn - 1) * sa.literal(spacing_s, sa.Double())).label(
                    "due_at"
                ),
            )
            connection.execute(
                sa.insert(_TASKS).from_select([each.name for each in rows.selected_columns], rows)
            )
        mine = _TASKS.c.campaign_id == id
        zones = connection.scalars(sa.select(_TASKS.c.time_zone).where(mine).distinct()).all()
        if not zones:
            raise NotAllowed(
                "no flat is in it: no active panel calls one of this scope whose last verdict is asked for"
            )
        if unknown := sorted(set(zones) - available_timezones()):
            raise NotAllowed(
                f"a city of its flats has the time zone {unknown[0]!r}, which is none: correct that in the CRM"
            )
        known = sa.update(_CAMPAIGNS).where(_CAMPAIGNS.c.id == id)
        connection.execute(known.values(zones=json.dumps(sorted(zones))))
    return id


def _houses(scope: Scope) -> sa.Select[Any]:
    if scope == Scope():
        return sa.select(House.id).order_by(House.id)
    return (
        sa.select(Flat.house_id)
        .join(House, House.id == Flat.house_id)
        .join(EntranceFlat, EntranceFlat.flat_id == Flat.id)
        .join(DomophoneEntrance, DomophoneEntrance.entrance_id == EntranceFlat.entrance_id)
        .join(Domophone, Domophone.id == DomophoneEntrance.domophone_id)
        .where(_in_scope(scope))
        .distinct()
        .order_by(Flat.house_id)
    )


def _in_scope(scope: Scope) -> sa.ColumnElement[bool]:
    named = (
        *((scope.cities, House.city_id.in_(scope.cities)), (scope.houses, House.id.in_(scope.houses))),
        *((scope.panels, Domophone.sip_user.in_(scope.panels)), (scope.flats, Flat.id.in_(scope.flats))),
    )
    some = [condition for names, condition in named if names]
    return sa.or_(*some) if some else sa.true()


def _only(only: Only) -> sa.ColumnElement[bool]:
    last = QualityFlat.verdict
    never, bad = sa.or_(last.is_(None), last.not_in(JUDGED)), last.in_(BAD)
    match only:
        case Only.ALL:
            return sa.true()
        case Only.NEVER:
            return never
        case Only.BAD:
            return bad
        case Only.NEVER_OR_BAD:
            return sa.or_(never, bad)


# --- changed -------------------------------------------------------------------------------------------------------


def set_state(store: Store, id: int, state: CampaignState, now: float) -> None:
    """Pause, resume or stop a campaign; calls that are made just now go on. Raises NoSuchCampaign, NotAllowed."""
    may = [each for each in CampaignState if state in ALLOWED[each]]
    values: dict[str, Any] = {"state": state}
    if state is CampaignState.STOPPED:
        values["ended_at"] = now
    with store.transaction() as connection:
        mine = sa.and_(_CAMPAIGNS.c.id == id, _CAMPAIGNS.c.state.in_(may))
        if not connection.execute(sa.update(_CAMPAIGNS).where(mine).values(values)).rowcount:
            old = connection.scalar(sa.select(_CAMPAIGNS.c.state).where(_CAMPAIGNS.c.id == id))
            if old is None:
                raise NoSuchCampaign(f"there is no campaign {id}")
            raise NotAllowed(_refusal(id, CampaignState(old), state))
    if state is CampaignState.STOPPED:
        _stop_tasks(store, id)
    end_campaigns(store)


def _refusal(id: int, old: CampaignState, new: CampaignState) -> str:
    if old is new:
        return f"campaign {id} is {old.value} already"
    if not ALLOWED[old]:
        return f"campaign {id} is {old.value}, which is for good: make a new one"
    return f"campaign {id} is {old.value}, and cannot be made {new.value} by hand"


def _stop_tasks(store: Store, id: int) -> None:
    """In small steps: nobody begins them any more, and nodes that end calls meanwhile do not wait for all of them."""
    waiting = sa.and_(_TASKS.c.campaign_id == id, _TASKS.c.state == TaskState.WAITING)
    some = sa.select(_TASKS.c.id).where(waiting).order_by(_TASKS.c.flat_id).limit(TASKS_AT_ONCE)
    while True:
        with store.transaction() as connection:
            ids = connection.scalars(some.with_for_update()).all()
            if not ids:
                return
            these = sa.update(_TASKS).where(_TASKS.c.id.in_(ids))
            connection.execute(these.values(state=TaskState.STOPPED))


# --- looked at -----------------------------------------------------------------------------------------------------


def find_campaign(store: Store, id: int) -> Campaign:
    """Raises NoSuchCampaign."""
    with store.reading() as connection:
        known = 0 < id < 2**31  # PostgreSQL takes no other ids
        query = sa.select(_CAMPAIGNS).where(_CAMPAIGNS.c.id == id)
        row = connection.execute(query).first() if known else None
    if row is None:
        raise NoSuchCampaign(f"there is no campaign {id}: `teledom quality campaign list` shows them")
    return _campaign(row)


def running(store: Store) -> list[Campaign]:
    """Those that run, the highest priority first, then the oldest."""
    query = sa.select(_CAMPAIGNS).where(_CAMPAIGNS.c.state == CampaignState.RUNNING)
    with store.reading() as connection:
        rows = connection.execute(query.order_by(_CAMPAIGNS.c.priority.desc(), _CAMPAIGNS.c.id))
        return [_campaign(row) for row in rows]


def campaigns(store: Store, *, limit: int = 50) -> list[tuple[Campaign, Progress]]:
    """The newest first, each with its progress."""
    query = sa.select(_CAMPAIGNS).order_by(_CAMPAIGNS.c.id.desc()).limit(limit)
    with store.reading() as connection:
        found = [_campaign(row) for row in connection.execute(query)]
        return [(each, progress_in(store, connection, each.id, each.state)) for each in found]


def progress(store: Store, id: int) -> Progress:
    """How far a campaign is now."""
    with store.reading() as connection:
        return count_tasks(connection, id)


def about_progress(store: Store, campaign: Campaign) -> Progress:
    """How far it is, or of a large one was a moment ago."""
    with store.reading() as connection:
        return progress_in(store, connection, campaign.id, campaign.state)


def report(store: Store, id: int) -> Iterator[tuple[Task, Result | None]]:
    """A campaign's tasks by flat, each with its newest result; read in portions. Raises NoSuchCampaign."""
    find_campaign(store, id)
    mine = sa.select(_TASKS.c.id, _TASKS.c.flat_id).where(_TASKS.c.campaign_id == id)
    query = mine.order_by(_TASKS.c.flat_id).limit(REPORT_CHUNK)
    after = 0
    while True:
        with store.reading() as connection:
            rows = connection.execute(query.where(_TASKS.c.flat_id > after)).all()
            ids = [row.id for row in rows]
            tasks, found = read_tasks(connection, ids), results_of(connection, ids)
        if not rows:
            return
        yield from ((task, found.get(task.id)) for task in sorted(tasks, key=lambda task: task.flat_id))
        after = rows[-1].flat_id


def _campaign(row: Any) -> Campaign:
    shared = {name: row._mapping[name] for name in (*_SHARED, "id", "state", "created_at", "ended_at")}
    scope = Scope(*map(tuple, json.loads(row.scope)))
    return Campaign(scope=scope, hours=_hours(row.hours), zones=tuple(json.loads(row.zones)), **shared)


def _hours_text(hours: Hours) -> str:
    days, holidays = sorted(hours.days), sorted(day.isoformat() for day in hours.holidays)
    return json.dumps([hours.begin.isoformat(), hours.end.isoformat(), days, holidays])


def _hours(text: str) -> Hours:
    begin, end, days, holidays = json.loads(text)
    free = frozenset(map(date.fromisoformat, holidays))
    return Hours(time.fromisoformat(begin), time.fromisoformat(end), frozenset(days), free)


# --- as people name them -------------------------------------------------------------------------------------------


def find_flat(store: Store, text: str) -> int:
    """The id of a flat: from that, or from its house and number ("ул. Ленина 5, 42"). Raises NoSuchFlat."""
    house, comma, number = text.rpartition(",")
    query = sa.select(Flat.id, City.name, House.street, House.number).join(House, House.id == Flat.house_id)
    query = query.join(City, City.id == House.city_id)
    query = query.where(Flat.number == number.strip() if comma else Flat.id == _id(text))
    with store.reading() as connection:
        found = [id for id, *where in connection.execute(query) if not comma or _is_house(house, *where)]
    if len(found) > 1:
        raise NoSuchFlat(f"several flats are called {text}: write the city before the street, or its id")
    if not found:
        raise NoSuchFlat(f"the CRM has no flat {text}: write its id, or as here: ул. Ленина 5, 42")
    return found[0]


def find_house(store: Store, text: str) -> int:
    """The id of a house: from that, or from its address ("ул. Ленина 5", perhaps with its city). Raises NoSuchHouse."""
    query = sa.select(House.id, City.name, House.street, House.number).join(City, City.id == House.city_id)
    with store.reading() as connection:
        rows = connection.execute(query)
        found = [id for id, *where in rows if id == _id(text) or _is_house(text, *where)]
    if len(found) > 1:
        raise NoSuchHouse(f"several houses are called {text}: write the city before the street, or its id")
    if not found:
        raise NoSuchHouse(f"the CRM has no house {text}: write its id, or as here: ул. Ленина 5")
    return found[0]


def find_city(store: Store, text: str) -> int:
    """The id of a city: from that, from its name, or from its FIAS id. Raises NoSuchPlace."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(City.id, City.name, City.fias)).all()
    names = ((id, {name.casefold(), (fias or "").casefold()} - {""}) for id, name, fias in rows)
    found = [id for id, mine in names if id == _id(text) or text.casefold() in mine]
    if len(found) != 1:
        raise NoSuchPlace(
            f"{'several cities are' if found else 'no city of the CRM is'} called {text}: write its id"
        )
    return found[0]


def find_panel(store: Store, text: str) -> str:
    """The SIP user of an active panel: from that, or from its MAC. Raises NoSuchPlace."""
    mac = "".join(c for c in text.lower() if c not in ":-.")
    is_it = sa.or_(Domophone.sip_user == text, Domophone.mac == mac)
    query = sa.select(Domophone.sip_user).where(is_it, Domophone.active).order_by(Domophone.sip_user != text)
    with store.reading() as connection:
        found = connection.scalar(query.limit(1))
    if found is None:
        raise NoSuchPlace(f"no active panel has the SIP user or MAC {text!r}: see its house in the CRM")
    return found


def _id(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _is_house(text: str, city: str, street: str, number: str) -> bool:
    """Whether a person means this house: "Челябинск, ул. Ленина 5", "Ленина 5"."""
    said = text.replace(",", " ").casefold().split()
    house = f"{street} {number}".casefold().split()
    return len(said) > 1 and said in (house, house[1:], [*city.casefold().split(), *house])
