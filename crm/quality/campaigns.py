"""Campaigns of quality calls in the database: shown with their progress, paused, stopped; and the flats, houses, cities
and panels that people name for them. crm.quality.making makes them.

All functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds since the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, time
from typing import Any

import sqlalchemy as sa

from crm.among import among
from crm.model import City, Domophone, Flat, House, table
from crm.quality.progress import count_tasks, progress_in
from crm.quality.reach import campaign_within, city_within, panel_within
from crm.quality.results import NoSuchHouse, results_of
from crm.quality.tasks import NoSuchFlat, end_campaigns, read_tasks
from crm.rights import EVERYWHERE, Reach
from crm.store import Store
from crm.tables.quality import QualityCampaign, QualityTask
from crm.values.quality import (
    ALLOWED,
    OVER,
    Campaign,
    CampaignState,
    Hours,
    Making,
    Progress,
    QualityError,
    Result,
    Scope,
    Task,
    TaskState,
    words,
)

TASKS_AT_ONCE = 5000
REPORT_CHUNK = 1000

_CAMPAIGNS, _TASKS = table(QualityCampaign), table(QualityTask)
SHARED = ("name", "kind", "only", "spacing_s", "per_house", "attempts", "attempt_spacing_s", "priority")


class NoSuchCampaign(QualityError):
    """There is no campaign with this id."""


class NotAllowed(QualityError):
    """A campaign cannot be made, or not be brought into this state; the message says why."""


class NoSuchPlace(QualityError):
    """The CRM has no such city or panel, or several."""


# --- changed -------------------------------------------------------------------------------------------------------


def set_state(store: Store, id: int, state: CampaignState, now: float, *, at_once: bool = True) -> None:
    """Pause, resume or stop a campaign; calls that are made just now go on. One that was paused before all of its flats
    were in it is being made again when it is resumed. `at_once` False: most tasks of a large one are not stopped with it,
    but by a CampaignMaker. Raises NoSuchCampaign, NotAllowed."""
    may = [each for each in CampaignState if state in ALLOWED[each]]
    values: dict[str, Any] = {"state": state}
    if state is CampaignState.RUNNING:
        made, making = (sa.literal(each, _CAMPAIGNS.c.state.type) for each in (state, CampaignState.MAKING))
        values["state"] = sa.case((_CAMPAIGNS.c.made_to.is_(None), made), else_=making)
    if state is CampaignState.STOPPED:
        values["ended_at"] = now
    with store.transaction() as connection:
        mine = sa.and_(_CAMPAIGNS.c.id == id, _CAMPAIGNS.c.state.in_(may))
        if not connection.execute(sa.update(_CAMPAIGNS).where(mine).values(values)).rowcount:
            old = connection.scalar(sa.select(_CAMPAIGNS.c.state).where(_CAMPAIGNS.c.id == id))
            if old is None:
                raise NoSuchCampaign(f"there is no campaign {id}")
            raise NotAllowed(_refusal(id, CampaignState(old), state))
    if state is CampaignState.STOPPED and at_once:
        stop_tasks(store, id)
    elif state is CampaignState.STOPPED:
        stop_some(store, id)
    end_campaigns(store)


def _refusal(id: int, old: CampaignState, new: CampaignState) -> str:
    if (old, new) == (CampaignState.MAKING, CampaignState.RUNNING):
        return f"campaign {id} is being made, and runs once all of its flats are in it"
    if old is new:
        return f"campaign {id} is {words(old.value)} already"
    if old in OVER:
        return f"campaign {id} is {words(old.value)}, which is for good: make a new one"
    return f"campaign {id} is {words(old.value)}, and cannot be made {words(new.value)} by hand"


def stop_tasks(store: Store, id: int) -> None:
    """Stop what waits of a campaign that is over."""
    after: int | None = 0
    while after is not None:
        after = stop_some(store, id, after)


def stop_some(store: Store, id: int, after: int = 0) -> int | None:
    """The same for some tasks, behind that of the flat `after`; the last one's flat. None: no more of them waits.

    In small steps: nobody begins them any more, and nodes that end calls meanwhile do not wait for all of them.
    """
    waiting = sa.and_(
        _TASKS.c.campaign_id == id, _TASKS.c.state == TaskState.WAITING, _TASKS.c.flat_id > after
    )
    some = sa.select(_TASKS.c.id, _TASKS.c.flat_id).where(waiting).order_by(_TASKS.c.flat_id)
    with store.transaction() as connection:
        rows = connection.execute(some.limit(TASKS_AT_ONCE).with_for_update()).all()
        if rows:
            these = sa.update(_TASKS).where(among(connection, _TASKS.c.id, [row.id for row in rows]))
            connection.execute(these.values(state=TaskState.STOPPED))
    return int(rows[-1].flat_id) if len(rows) == TASKS_AT_ONCE else None


def unstopped(store: Store) -> list[int]:
    """The campaigns that are over, and some of whose tasks wait to be stopped."""
    waits = sa.exists().where(_TASKS.c.campaign_id == _CAMPAIGNS.c.id, _TASKS.c.state == TaskState.WAITING)
    with store.reading() as connection:
        return list(connection.scalars(sa.select(_CAMPAIGNS.c.id).where(_CAMPAIGNS.c.state.in_(OVER), waits)))


# --- looked at -----------------------------------------------------------------------------------------------------


def find_campaign(store: Store, id: int, reach: Reach = EVERYWHERE) -> Campaign:
    """Raises NoSuchCampaign: there is none, or none within `reach`."""
    with store.reading() as connection:
        known = 0 < id < 2**31  # PostgreSQL takes no other ids
        query = sa.select(_CAMPAIGNS).where(_CAMPAIGNS.c.id == id, campaign_within(reach))
        row = connection.execute(query).first() if known else None
    if row is None:
        raise NoSuchCampaign(f"there is no campaign {id}: `teledom quality campaign list` shows them")
    return campaign_of(row)


def running(store: Store) -> list[Campaign]:
    """Those that run, the highest priority first, then the oldest."""
    query = sa.select(_CAMPAIGNS).where(_CAMPAIGNS.c.state == CampaignState.RUNNING)
    with store.reading() as connection:
        rows = connection.execute(query.order_by(_CAMPAIGNS.c.priority.desc(), _CAMPAIGNS.c.id))
        return [campaign_of(row) for row in rows]


def campaigns(store: Store, *, limit: int = 50, reach: Reach = EVERYWHERE) -> list[tuple[Campaign, Progress]]:
    """Those within `reach`, the newest first, each with its progress."""
    query = sa.select(_CAMPAIGNS).where(campaign_within(reach)).order_by(_CAMPAIGNS.c.id.desc()).limit(limit)
    with store.reading() as connection:
        found = [campaign_of(row) for row in connection.execute(query)]
        return [(each, progress_in(store, connection, each)) for each in found]


def progress(store: Store, id: int) -> Progress:
    """How far a campaign is now."""
    with store.reading() as connection:
        return count_tasks(connection, id)


def about_progress(store: Store, campaign: Campaign) -> Progress:
    """How far it is, or of a large one was a moment ago."""
    with store.reading() as connection:
        return progress_in(store, connection, campaign)


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


def campaign_of(row: Any) -> Campaign:
    """A row of the table."""
    shared = {name: row._mapping[name] for name in (*SHARED, "id", "state", "created_at", "ended_at", "why")}
    scope = Scope(*map(tuple, json.loads(row.scope)))
    is_made = row.made_to is None or row.state in OVER
    shared["making"] = None if is_made else Making(row.houses, row.houses_made, row.flats_made)
    return Campaign(scope=scope, hours=_hours(row.hours), zones=tuple(json.loads(row.zones)), **shared)


def _hours(text: str) -> Hours:
    begin, end, days, holidays = json.loads(text)
    free = frozenset(map(date.fromisoformat, holidays))
    return Hours(time.fromisoformat(begin), time.fromisoformat(end), frozenset(days), free)


# --- as people name them -------------------------------------------------------------------------------------------


def find_flat(store: Store, text: str, reach: Reach = EVERYWHERE) -> int:
    """The id of a flat within `reach`: from that, or from its house and number ("ул. Ленина 5, 42").

    Raises NoSuchFlat.
    """
    house, comma, number = text.rpartition(",")
    query = sa.select(Flat.id, City.name, House.street, House.number).join(House, House.id == Flat.house_id)
    query = query.join(City, City.id == House.city_id)
    query = query.where(Flat.number == number.strip() if comma else Flat.id == _id(text), reach.of_houses())
    with store.reading() as connection:
        found = [id for id, *where in connection.execute(query) if not comma or _is_house(house, *where)]
    if len(found) > 1:
        raise NoSuchFlat(f"several flats are called {text}: write the city before the street, or its id")
    if not found:
        raise NoSuchFlat(f"the CRM has no flat {text}: write its id, or as here: ул. Ленина 5, 42")
    return found[0]


def find_house(store: Store, text: str, reach: Reach = EVERYWHERE) -> int:
    """The id of a house within `reach`: from that, or from its address ("ул. Ленина 5", perhaps with its city).

    Raises NoSuchHouse.
    """
    query = sa.select(House.id, City.name, House.street, House.number).join(City, City.id == House.city_id)
    with store.reading() as connection:
        rows = connection.execute(query.where(reach.of_houses()))
        found = [id for id, *where in rows if id == _id(text) or _is_house(text, *where)]
    if len(found) > 1:
        raise NoSuchHouse(f"several houses are called {text}: write the city before the street, or its id")
    if not found:
        raise NoSuchHouse(f"the CRM has no house {text}: write its id, or as here: ул. Ленина 5")
    return found[0]


def find_city(store: Store, text: str, reach: Reach = EVERYWHERE) -> int:
    """The id of a city within `reach`: from that, from its name, or from its FIAS id. Raises NoSuchPlace."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(City.id, City.name, City.fias).where(city_within(reach))).all()
    names = ((id, {name.casefold(), (fias or "").casefold()} - {""}) for id, name, fias in rows)
    found = [id for id, mine in names if id == _id(text) or text.casefold() in mine]
    if len(found) != 1:
        raise NoSuchPlace(
            f"{'several cities are' if found else 'no city of the CRM is'} called {text}: write its id"
        )
    return found[0]


def find_panel(store: Store, text: str, reach: Reach = EVERYWHERE) -> str:
    """The SIP user of an active panel within `reach`: from that, or from its MAC. Raises NoSuchPlace."""
    mac = "".join(c for c in text.lower() if c not in ":-.")
    is_it = sa.or_(Domophone.sip_user == text, Domophone.mac == mac)
    query = sa.select(Domophone.sip_user).where(is_it, Domophone.active, panel_within(reach))
    query = query.order_by(Domophone.sip_user != text)
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
