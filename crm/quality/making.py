"""Campaigns as they are made: put down at once, and then given a task for each of their flats, some houses at a time.

A fleet's two million tasks take minutes to be written. Each portion is a transaction of its own, which notes how far it
came: what was interrupted goes on there, by whichever program is next (the CRM's process, or `teledom quality campaign`).
Of several programs one writes a portion. No node calls any of its flats before the last one is in.

All functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds since the epoch.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any
from zoneinfo import available_timezones

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.dialects import postgresql, sqlite

from crm.among import among
from crm.model import Domophone, DomophoneEntrance, EntranceFlat, Flat, House, table
from crm.quality.campaigns import SHARED, NotAllowed, campaign_of, stop_tasks
from crm.quality.tasks import flats_to_call
from crm.store import Store
from crm.tables.quality import QualityCampaign, QualityFlat, QualityTask
from crm.values.quality import BAD, JUDGED, Campaign, CampaignState, Hours, Only, Scope, TaskState

# A statement each: PostgreSQL ends one that takes too long, and who pauses or stops the campaign waits for it.
HOUSES_AT_ONCE = 50
FLATS_AT_ONCE = 10_000  # fewer houses, then
EMPTY = "no flat is in it: no active panel calls one of this scope whose last verdict is asked for"
NO_ZONE = "a city of its flats has the time zone %(zone)s, which is none: correct that in the CRM"

_CAMPAIGNS, _TASKS = table(QualityCampaign), table(QualityTask)


def create_campaign(store: Store, campaign: Campaign, now: float) -> int:
    """Put a campaign down; its id. One of few houses is made at once, and runs; another is MAKING: see `make_some`.

    Raises NotAllowed: it is of few houses, and none of its flats can be called.
    """
    values = {name: getattr(campaign, name) for name in SHARED} | {
        "scope": json.dumps(
            [campaign.scope.cities, campaign.scope.houses, campaign.scope.panels, campaign.scope.flats]
        ),
        "hours": _hours_text(campaign.hours),
        "zones": "[]",
        "state": CampaignState.MAKING,
        "created_at": now,
        "made_to": 0,
    }
    count = sa.select(sa.func.count()).select_from(_houses(campaign.scope).subquery())
    with store.transaction() as connection:
        values["houses"] = connection.scalar(count)
        new = sa.insert(_CAMPAIGNS).values(values).returning(_CAMPAIGNS)
        row = connection.execute(new).one()
        if row.houses <= HOUSES_AT_ONCE:
            made = _add_portion(connection, row, now)
            if made["state"] is CampaignState.IMPOSSIBLE:
                raise NotAllowed(made["why"])
        id: int = row.id
    return id


def unmade(store: Store) -> list[int]:
    """The campaigns that are being made, the oldest first."""
    query = sa.select(_CAMPAIGNS.c.id).where(_CAMPAIGNS.c.state == CampaignState.MAKING)
    with store.reading() as connection:
        return list(connection.scalars(query.order_by(_CAMPAIGNS.c.id)))


def make_some(store: Store, id: int, now: float) -> bool:
    """Put the flats of some more houses into a campaign that is being made; after the last it is RUNNING, or IMPOSSIBLE
    and says why. False: it is made, paused or stopped, or another program is at it just now.
    """
    mine = sa.and_(_CAMPAIGNS.c.id == id, _CAMPAIGNS.c.state == CampaignState.MAKING)
    try:
        with store.transaction() as connection:
            query = sa.select(_CAMPAIGNS).where(mine).with_for_update(skip_locked=True)
            row = connection.execute(query).first()
            if row is None:
                return False
            made = _add_portion(connection, row, now)
    except sa.exc.IntegrityError:
        return False  # a flat or a panel was deleted just now: the next try does not see it
    if made["state"] is CampaignState.IMPOSSIBLE:
        stop_tasks(store, id)
    return True


def _add_portion(connection: sa.Connection, row: Any, now: float) -> dict[str, Any]:
    """Add the tasks of the next houses, in the transaction that has the campaign's row; what became of the campaign."""
    campaign = campaign_of(row)
    houses, is_last = _next_houses(connection, campaign.scope, row.made_to)
    added = _add_tasks(connection, campaign, houses) if houses else 0
    here = sa.and_(_TASKS.c.campaign_id == campaign.id, _TASKS.c.state == TaskState.WAITING)
    query = sa.select(_TASKS.c.time_zone).where(here, among(connection, _TASKS.c.house_id, houses)).distinct()
    zones = set(connection.scalars(query)) if added else set()
    made: dict[str, Any] = {
        "state": campaign.state,
        "zones": json.dumps(sorted(zones | set(campaign.zones))),
        "made_to": houses[-1] if houses else row.made_to,
        "houses_made": row.houses_made + len(houses),
        "flats_made": row.flats_made + added,
        "why": "",
    }
    new_zones = zones - set(campaign.zones)
    if unknown := sorted(new_zones - available_timezones() if new_zones else ()):
        made["why"] = NO_ZONE % {"zone": repr(unknown[0])}
    elif is_last:
        if made["flats_made"]:
            made |= {"state": CampaignState.RUNNING, "made_to": None}
        else:
            made["why"] = EMPTY
    if made["why"]:
        made |= {"state": CampaignState.IMPOSSIBLE, "ended_at": now}
    connection.execute(sa.update(_CAMPAIGNS).where(_CAMPAIGNS.c.id == campaign.id).values(made))
    return made


def _next_houses(connection: sa.Connection, scope: Scope, after: int) -> tuple[list[int], bool]:
    """Some houses of a scope behind `after`, as many as one portion takes; and whether these are the last."""
    size = sa.select(sa.func.count()).where(Flat.house_id == House.id).correlate(House).scalar_subquery()
    query = _houses(scope).add_columns(size).where(House.id > after).order_by(House.id)
    found = connection.execute(query.limit(HOUSES_AT_ONCE + 1)).all()
    sizes = accumulate(flats for _, flats in found)
    few = [id for (id, _), sum in zip(found, sizes, strict=True) if sum <= FLATS_AT_ONCE][:HOUSES_AT_ONCE]
    houses = few or [id for id, _ in found[:1]]
    return houses, len(houses) == len(found)


def _add_tasks(connection: sa.Connection, campaign: Campaign, houses: Any) -> int:
    """A task for each flat of these houses that is to be called and has none yet, as it may have come from a house that
    was made before. How many were added.

    Those of one panel are due one after another, as it is to be called: so all panels have their first call first.
    """
    chosen = sa.and_(_in_scope(campaign.scope), _only(campaign.only))
    flats = flats_to_call(sa.and_(among(connection, Flat.house_id, houses), chosen)).subquery()
    turn = sa.func.row_number().over(partition_by=flats.c.domophone_id, order_by=flats.c.flat_id)
    spacing_s: sa.ColumnElement[float] = sa.literal(max(campaign.spacing_s, 1.0), sa.Double())
    begin: sa.ColumnElement[float] = sa.literal(campaign.created_at, sa.Double())
    values = {
        **{each.name: each for each in flats.c},
        "campaign_id": sa.literal(campaign.id),
        "kind": sa.literal(campaign.kind, _TASKS.c.kind.type),
        "due_at": begin + (turn - 1) * spacing_s,
    }
    # Without a condition SQLite would take the ON of what follows for that of a join.
    rows = sa.select(*(value.label(name) for name, value in values.items())).where(sa.true())
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(_TASKS).from_select([*values], rows).on_conflict_do_nothing()
    return connection.execute(new.execution_options(preserve_rowcount=True)).rowcount


def _houses(scope: Scope) -> sa.Select[Any]:
    """The ids of all houses in which there may be flats of a scope."""
    behind = (
        sa.select(Flat.house_id)
        .join(EntranceFlat, EntranceFlat.flat_id == Flat.id)
        .join(DomophoneEntrance, DomophoneEntrance.entrance_id == EntranceFlat.entrance_id)
        .join(Domophone, Domophone.id == DomophoneEntrance.domophone_id)
        .where(Domophone.sip_user.in_(scope.panels))
    )
    of_flats = sa.select(Flat.house_id).where(Flat.id.in_(scope.flats))
    named = (
        *((scope.cities, House.city_id.in_(scope.cities)), (scope.houses, House.id.in_(scope.houses))),
        *((scope.panels, House.id.in_(behind)), (scope.flats, House.id.in_(of_flats))),
    )
    return sa.select(House.id).where(_any_of(named))


def _in_scope(scope: Scope) -> sa.ColumnElement[bool]:
    return _any_of(
        (
            *((scope.cities, House.city_id.in_(scope.cities)), (scope.houses, House.id.in_(scope.houses))),
            *((scope.panels, Domophone.sip_user.in_(scope.panels)), (scope.flats, Flat.id.in_(scope.flats))),
        )
    )


def _any_of(named: tuple[tuple[tuple[Any, ...], sa.ColumnElement[bool]], ...]) -> sa.ColumnElement[bool]:
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


def _hours_text(hours: Hours) -> str:
    days, holidays = sorted(hours.days), sorted(day.isoformat() for day in hours.holidays)
    return json.dumps([hours.begin.isoformat(), hours.end.isoformat(), days, holidays])
