"""Quality calls to be made, in the database: taken by one node each, put back or finished, and asked for by hand.

A panel has one call at a time, and a house no more than its campaign says: who claims a task locks the rows of the
house, then of the panel, so that of several nodes only one can find the panel free. What a call is told (numbers,
address) is read when the task is, so that it is as the CRM has it then. All functions are synchronous and raise
DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from crm.model import (
    City,
    Dialling,
    Domophone,
    DomophoneEntrance,
    Entrance,
    EntranceFlat,
    Flat,
    House,
    HouseEntrance,
    table,
)
from crm.quality.results import gates_last, results_of, write_result
from crm.store import Store
from crm.tables.quality import QualityCampaign, QualityFlat, QualityTask
from crm.values.quality import (
    ATTEMPTS,
    SPACING_S,
    UNKNOWN,
    CallType,
    CampaignState,
    QualityError,
    Result,
    Task,
    TaskState,
)

_TASKS, _CAMPAIGNS = table(QualityTask), table(QualityCampaign)
_WAITS, _CALLS = _TASKS.c.state == TaskState.WAITING, _TASKS.c.state == TaskState.CALLING


class NoSuchFlat(QualityError):
    """The CRM has no such flat, or no active panel that calls it."""


# --- which panel calls a flat --------------------------------------------------------------------------------------


def flats_to_call(where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Flats, each with the one panel that it is called through.

    Columns: flat_id, house_id, domophone_id, entrance_id, time_zone. `where` is a condition on Flat, House, Domophone or
    QualityFlat. Of several panels that satisfy it one at an entrance of one house rather than a gate, then the lowest id.
    """
    order = (gates_last(), Domophone.id, EntranceFlat.entrance_id)
    ways = (
        sa.select(
            *(Flat.id.label("flat_id"), Flat.house_id, Domophone.id.label("domophone_id")),
            *(EntranceFlat.entrance_id, City.time_zone),
            sa.func.row_number().over(partition_by=Flat.id, order_by=order).label("way"),
        )
        .join(House, House.id == Flat.house_id)
        .join(City, City.id == House.city_id)
        .join(EntranceFlat, EntranceFlat.flat_id == Flat.id)
        .join(DomophoneEntrance, DomophoneEntrance.entrance_id == EntranceFlat.entrance_id)
        .join(Domophone, Domophone.id == DomophoneEntrance.domophone_id)
        .outerjoin(QualityFlat, QualityFlat.flat_id == Flat.id)
        .where(Domophone.active, where)
        .subquery()
    )
    return sa.select(*(each for each in ways.c if each.name != "way")).where(ways.c.way == 1)


# --- by hand -------------------------------------------------------------------------------------------------------


def add_test(store: Store, flat_id: int, now: float) -> int:
    """Ask for a test call of one flat, at once; the task's id. Raises NoSuchFlat."""
    with store.transaction() as connection:
        way = connection.execute(flats_to_call(Flat.id == flat_id)).first()
        if way is None:
            raise NoSuchFlat(f"flat {flat_id} cannot be called: the CRM has no active panel for it")
        values = {**way._mapping, "kind": CallType.TEST, "due_at": now}
        id: int = connection.execute(sa.insert(_TASKS).values(values).returning(_TASKS.c.id)).scalar_one()
        return id


def withdraw_test(store: Store, id: int) -> bool:
    """Take back a test that no node calls; False: one does, or it has ended."""
    with store.transaction() as connection:
        gone = sa.delete(_TASKS).where(_TASKS.c.id == id, _TASKS.c.campaign_id.is_(None), _WAITS)
        return connection.execute(gone).rowcount == 1


# --- made by a node ------------------------------------------------------------------------------------------------


def get_task(store: Store, id: int) -> Task | None:
    with store.reading() as connection:
        return next(iter(read_tasks(connection, [id])), None)


def due_tasks(
    store: Store, campaign_id: int | None, zones_open: Collection[str], now: float, limit: int
) -> list[Task]:
    """Tasks of a campaign that could be begun, the oldest due first, one for each panel, of houses in `zones_open`.

    None: the tests by hand, in any time zone.
    """
    running = sa.exists().where(_CAMPAIGNS.c.id == campaign_id, _CAMPAIGNS.c.state == CampaignState.RUNNING)
    busy, first = _TASKS.alias("busy"), _TASKS.alias("first")
    here = busy.c.domophone_id == _TASKS.c.domophone_id
    calling = sa.exists().where(here, busy.c.state == TaskState.CALLING)
    waiting = sa.and_(
        first.c.domophone_id == _TASKS.c.domophone_id,
        first.c.state == TaskState.WAITING,
        _of(first, campaign_id),
    )
    # As a value, and no condition on other rows: PostgreSQL would look for those of all tasks at once.
    next_one = sa.select(first.c.id).where(waiting).order_by(first.c.due_at, first.c.id).limit(1)
    query = (
        sa.select(_TASKS.c.due_at, _TASKS.c.id)
        .where(_of(_TASKS, campaign_id), _WAITS, _TASKS.c.due_at <= now)
        .where(~calling, _TASKS.c.id == next_one.scalar_subquery())
        .order_by(_TASKS.c.due_at, _TASKS.c.id)
        .limit(limit)
    )
    # A zone each, as an index has them in the order of their time then.
    queries = (
        [query]
        if campaign_id is None
        else [query.where(_TASKS.c.time_zone == zone, running) for zone in sorted(zones_open)]
    )
    with store.reading() as connection:
        due = sorted(tuple(row) for each in queries for row in connection.execute(each))[:limit]
        found = {task.id: task for task in read_tasks(connection, [id for _, id in due])}
    return [found[id] for _, id in due if id in found]


def _of(tasks: sa.FromClause, campaign_id: int | None) -> sa.ColumnElement[bool]:
    return tasks.c.campaign_id.is_(None) if campaign_id is None else tasks.c.campaign_id == campaign_id


def claim_task(store: Store, id: int, node: str, now: float, per_house: int) -> bool:
    """Begin a task, if it still waits, its campaign runs, its panel has no other and its house fewer than `per_house`."""
    with store.transaction() as connection:
        task = connection.execute(sa.select(_TASKS).where(_TASKS.c.id == id, _WAITS)).first()
        if task is None:
            return False
        for of, key in ((House, task.house_id), (Domophone, task.domophone_id)):
            connection.execute(sa.select(of.id).where(of.id == key).with_for_update(key_share=True))
        other = _TASKS.alias("other")
        calls = sa.select(sa.func.count()).where(other.c.state == TaskState.CALLING)
        at_panel = calls.where(other.c.domophone_id == task.domophone_id).scalar_subquery()
        in_house = calls.where(other.c.house_id == task.house_id).scalar_subquery()
        running = sa.exists().where(
            _CAMPAIGNS.c.id == _TASKS.c.campaign_id, _CAMPAIGNS.c.state == CampaignState.RUNNING
        )
        mine = connection.execute(
            sa.update(_TASKS)
            .where(_TASKS.c.id == id, _WAITS, _TASKS.c.due_at <= now, at_panel == 0, in_house < per_house)
            .where(sa.or_(_TASKS.c.campaign_id.is_(None), running))
            .values(state=TaskState.CALLING, node=node, started_at=now, why="")
        )
        return mine.rowcount == 1


def put_back(store: Store, id: int, due_at: float, why: str, counts: bool, now: float) -> None:
    """A task that was begun waits again, until `due_at` and until its panel may be called again.

    `counts`: an attempt was made; after the last one it is done, with the verdict of its newest result (save_result).
    """
    with store.transaction() as connection:
        task = _begun(connection, id)
        if task is None:
            return
        made = task.attempts + counts
        values: dict[str, Any] = {"attempts": made, "why": why.replace("\0", "�")}
        if counts and made >= (task.allowed or ATTEMPTS):
            result = results_of(connection, [id]).get(id)
            verdict = result.verdict if result is not None else UNKNOWN
            values |= {"state": TaskState.DONE, "verdict": verdict, "ended_at": now}
        else:
            values |= {"state": _again(task), "due_at": due_at, "node": "", "started_at": None}
        connection.execute(sa.update(_TASKS).where(_TASKS.c.id == id).values(values))
        _space(connection, task, now)
    end_campaigns(store)


def finish_task(store: Store, id: int, result: Result) -> None:
    """A task is done, and its result kept; that of a task that was taken from its node meanwhile is kept as well."""
    with store.transaction() as connection:
        task = _begun(connection, id)
        write_result(connection, result)
        if task is not None:
            values = {"state": TaskState.DONE, "verdict": result.verdict, "ended_at": result.ended_at}
            mine = _TASKS.c.id == id
            connection.execute(sa.update(_TASKS).where(mine).values(values | {"attempts": task.attempts + 1}))
            _space(connection, task, result.ended_at)
    end_campaigns(store)


def take_up_lost(store: Store, before: float, node: str) -> int:
    """Tasks wait again that were begun before `before` and never ended, of `node` ("": of none) all; how many."""
    lost = sa.and_(_CALLS, _TASKS.c.started_at < before)
    if node:
        lost = sa.or_(lost, sa.and_(_CALLS, _TASKS.c.node == node))
    with store.reading() as connection:  # there mostly are none, and nobody is to wait for that
        ids = connection.scalars(sa.select(_TASKS.c.id).where(lost)).all()
    taken = 0
    for id in ids:
        with store.transaction() as connection:
            task = _begun(connection, id)
            if task is None:
                continue
            values = {"state": _again(task), "node": "", "started_at": None, "why": "its node went away"}
            again = connection.execute(sa.update(_TASKS).where(_TASKS.c.id == id, lost).values(values))
            taken += again.rowcount
    end_campaigns(store)
    return taken


def end_campaigns(store: Store) -> None:
    """Campaigns of which no task waits or is called are done.

    After the tasks are committed: so the last of several nodes that end some at once sees that none is left.
    """
    open_states = (CampaignState.RUNNING, CampaignState.PAUSED)
    left = sa.exists().where(
        _TASKS.c.campaign_id == _CAMPAIGNS.c.id,
        _TASKS.c.state.in_((TaskState.WAITING, TaskState.CALLING)),
    )
    over = sa.and_(_CAMPAIGNS.c.state.in_(open_states), _CAMPAIGNS.c.made_to.is_(None), ~left)
    with store.reading() as connection:
        ids = connection.scalars(sa.select(_CAMPAIGNS.c.id).where(over)).all()
    if not ids:
        return
    last = sa.select(sa.func.max(_TASKS.c.ended_at)).where(_TASKS.c.campaign_id == _CAMPAIGNS.c.id)
    ended_at = sa.func.coalesce(last.scalar_subquery(), _CAMPAIGNS.c.created_at)
    with store.transaction() as connection:
        done = sa.update(_CAMPAIGNS).where(_CAMPAIGNS.c.id.in_(ids), over)
        connection.execute(done.values(state=CampaignState.DONE, ended_at=ended_at))


def _begun(connection: sa.Connection, id: int) -> Any:
    """The task, locked, with what its campaign says; None: no node calls it.

    Its campaign is locked first: one that is being stopped is to see what becomes of the task, or the task that.
    """
    campaign = sa.select(_TASKS.c.campaign_id).where(_TASKS.c.id == id).scalar_subquery()
    connection.execute(
        sa.select(_CAMPAIGNS.c.id).where(_CAMPAIGNS.c.id == campaign).with_for_update(read=True)
    )
    query = (
        sa.select(
            _TASKS,
            _CAMPAIGNS.c.attempts.label("allowed"),
            _CAMPAIGNS.c.spacing_s,
            _CAMPAIGNS.c.state.label("campaign_state"),
        )
        .outerjoin(_CAMPAIGNS, _CAMPAIGNS.c.id == _TASKS.c.campaign_id)
        .where(_TASKS.c.id == id, _CALLS)
        .with_for_update(of=_TASKS)
    )
    return connection.execute(query).first()


def _again(task: Any) -> TaskState:
    """What becomes of a task that was not finished."""
    return TaskState.STOPPED if task.campaign_state is CampaignState.STOPPED else TaskState.WAITING


def _space(connection: sa.Connection, task: Any, now: float) -> None:
    """Campaigns' waiting tasks of this panel wait for at least as long as there is to be between two calls of it."""
    until = now + (SPACING_S if task.spacing_s is None else task.spacing_s)
    waiting = sa.and_(_TASKS.c.domophone_id == task.domophone_id, _WAITS, _TASKS.c.due_at < until)
    theirs = sa.and_(waiting, _TASKS.c.campaign_id.is_not(None))
    # Locked in the order in which a campaign that is stopped locks them: neither waits for the other in a circle.
    some = sa.select(_TASKS.c.id).where(theirs).order_by(_TASKS.c.flat_id, _TASKS.c.id).with_for_update()
    ids = connection.scalars(some).all()
    if ids:
        connection.execute(sa.update(_TASKS).where(_TASKS.c.id.in_(ids)).values(due_at=until))


# --- read ----------------------------------------------------------------------------------------------------------


def read_tasks(connection: sa.Connection, ids: Sequence[int]) -> list[Task]:
    """Some tasks, in order of their id."""
    return [_task(row) for row in connection.execute(_ROWS.where(_TASKS.c.id.in_(ids)))] if ids else []


def _task(row: Any) -> Task:
    values = {name: row._mapping[name] for name in _OWN}
    address = ", ".join(filter(None, (row.city, f"{row.street} {row.house}", row.entrance)))
    dialled = _dialled(row.dialling, row.prefix or "", row.panel_number or row.flat)
    vendor = row.vendor.value
    panel = {"panel": row.sip_user, "domain": row.domain, "domophone": row.mac, "vendor": vendor}
    return Task(flat=row.flat, address=address, dialled=dialled, **panel, **values)


def _dialled(dialling: Dialling, prefix: str, number: str) -> str:
    """What the panel itself would dial for the flat (Dialling)."""
    if dialling is not Dialling.PREFIX_FLAT:
        return number
    return f"{prefix}{number:0>4}" if number.isdigit() and len(number) <= 4 else f"{prefix}#{number}"


_OWN = (
    *("id", "campaign_id", "kind", "flat_id", "house_id", "time_zone", "state", "due_at", "attempts", "node"),
    *("started_at", "ended_at", "why", "verdict"),
)
_ROWS = (
    sa.select(
        *(_TASKS.c[name] for name in _OWN),
        *(Flat.number.label("flat"), City.name.label("city"), House.street, House.number.label("house")),
        *(Entrance.name.label("entrance"), EntranceFlat.panel_number, HouseEntrance.prefix),
        *(Domophone.sip_user, Domophone.domain, Domophone.mac, Domophone.vendor, Domophone.dialling),
    )
    .select_from(_TASKS)
    .join(Flat, Flat.id == _TASKS.c.flat_id)
    .join(House, House.id == Flat.house_id)
    .join(City, City.id == House.city_id)
    .join(Domophone, Domophone.id == _TASKS.c.domophone_id)
    .outerjoin(Entrance, Entrance.id == _TASKS.c.entrance_id)
    .outerjoin(
        EntranceFlat,
        sa.and_(EntranceFlat.flat_id == Flat.id, EntranceFlat.entrance_id == _TASKS.c.entrance_id),
    )
    .outerjoin(
        HouseEntrance,
        sa.and_(HouseEntrance.entrance_id == _TASKS.c.entrance_id, HouseEntrance.house_id == House.id),
    )
    .order_by(_TASKS.c.id)
)
