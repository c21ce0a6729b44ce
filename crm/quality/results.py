"""Results of quality calls in the database: the history, each flat's last verdict, and a house's flats for its grid.

All functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds since the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from attrs import frozen

from crm.columns import clean
from crm.columns import table as in_columns
from crm.model import City, Entrance, EntranceFlat, Flat, House, HouseEntrance, table
from crm.store import Store
from crm.tables.quality import QualityCampaign, QualityFlat, QualityResult, QualityTask
from crm.values.quality import JUDGED, OVER, Progress, QualityError, Result, Task, TaskState, words

PURGE_CHUNK = 2000

_RESULTS, _FLATS = table(QualityResult), table(QualityFlat)
_TASKS, _CAMPAIGNS = table(QualityTask), table(QualityCampaign)
_WELL = {True: "well", False: "not well", None: "not known"}
_NAMES = tuple(each.name for each in attrs.fields(Result))
REPORT_COLUMNS = (
    *(
        "id",
        "campaign_id",
        "flat_id",
        "flat",
        "address",
        "panel",
        "domophone",
        "dialled",
        "attempts",
        "state",
    ),
    *("verdict", "confidence", "why", "line", "line_level", "started_at", "ended_at", "recording", "picture"),
    *("call_id", "measures"),
)
"""What `call_json` tells, in the order of a report's file."""


class NoSuchHouse(QualityError):
    """The CRM has no house with this id."""


@frozen
class LastVerdict:
    """What a flat's handset was last found to be, `at` the end of that call. One that says nothing of the handset (nobody
    answered, …) does not take the place of one that does."""

    flat_id: int
    verdict: str
    at: float
    result_id: int


@frozen
class GridFlat:
    """A flat of a house's grid. `entrance`: its own one rather than a gate, "" for none; no `last`: never checked."""

    flat_id: int
    number: str
    floor: int | None
    entrance: str
    last: LastVerdict | None


@frozen
class HouseGrid:
    """A house (`address`: "Челябинск, ул. Ленина 5") and its flats."""

    address: str
    flats: tuple[GridFlat, ...]


def save_result(store: Store, result: Result) -> int:
    """Keep what a call found out, without ending a task: an attempt, or a call of a task that is not ours. Its id."""
    with store.transaction() as connection:
        return write_result(connection, result)


def write_result(connection: sa.Connection, result: Result) -> int:
    """The same, within a transaction."""
    values = {name: _storable(getattr(result, name)) for name in _NAMES}
    id: int = connection.execute(sa.insert(_RESULTS).values(values).returning(_RESULTS.c.id)).scalar_one()
    if result.flat_id is not None:
        _remember(connection, LastVerdict(result.flat_id, result.verdict, result.ended_at, id))
    return id


def _storable(value: Any) -> Any:
    return value.replace("\0", "�") if isinstance(value, str) else value  # PostgreSQL has no NUL in a text


def _remember(connection: sa.Connection, last: LastVerdict) -> None:
    """Make it the flat's last verdict, unless that is newer, or says more."""
    there = sa.select(Flat.id).where(Flat.id == last.flat_id).with_for_update(key_share=True)
    if connection.scalar(there) is None:
        return
    mine = _FLATS.c.flat_id == last.flat_id
    old = connection.execute(sa.select(_FLATS).where(mine)).first()
    values = attrs.asdict(last)
    if old is None:
        connection.execute(sa.insert(_FLATS).values(values))
    elif old.at <= last.at and (last.verdict in JUDGED or old.verdict not in JUDGED):
        connection.execute(sa.update(_FLATS).where(mine).values(values))


# --- looked at -----------------------------------------------------------------------------------------------------


def task_result(store: Store, task_id: int) -> Result | None:
    """The newest result of a task."""
    with store.reading() as connection:
        return results_of(connection, [task_id]).get(task_id)


def results_of(connection: sa.Connection, task_ids: Sequence[int]) -> dict[int, Result]:
    """The newest result of each of some tasks that has one."""
    query = sa.select(_RESULTS).where(_RESULTS.c.task_id.in_(task_ids)).order_by(_RESULTS.c.id)
    return {row.task_id: _result(row._mapping) for row in connection.execute(query)}


def results(store: Store, *, flat_id: int, limit: int = 50) -> list[Result]:
    """The newest results of a flat first."""
    query = sa.select(_RESULTS).where(_RESULTS.c.flat_id == flat_id)
    with store.reading() as connection:
        rows = connection.execute(
            query.order_by(_RESULTS.c.started_at.desc(), _RESULTS.c.id.desc()).limit(limit)
        )
        return [_result(row._mapping) for row in rows]


def last_verdicts(store: Store, house_id: int) -> dict[int, LastVerdict]:
    """The last verdict of each flat of a house that has one, by the flat's id."""
    query = sa.select(_FLATS).join(Flat, Flat.id == _FLATS.c.flat_id).where(Flat.house_id == house_id)
    with store.reading() as connection:
        return {row.flat_id: LastVerdict(**row._mapping) for row in connection.execute(query)}


def gates_last() -> sa.ColumnElement[int]:
    """In an order of EntranceFlat: a flat's own entrances before gates, which serve several houses."""
    houses = sa.select(sa.func.count()).where(HouseEntrance.entrance_id == EntranceFlat.entrance_id)
    return sa.case((houses.scalar_subquery() > 1, 1), else_=0)


def house_grid(store: Store, house_id: int) -> HouseGrid:
    """A house's flats with their last verdicts. Raises NoSuchHouse."""
    of_house = sa.select(City.name, House.street, House.number).join(City, City.id == House.city_id)
    query = (
        sa.select(Flat.id, Flat.number, Flat.floor, Entrance.name)
        .outerjoin(EntranceFlat, EntranceFlat.flat_id == Flat.id)
        .outerjoin(Entrance, Entrance.id == EntranceFlat.entrance_id)
        .where(Flat.house_id == house_id)
        .order_by(Flat.id, gates_last(), Entrance.id)
    )
    last = last_verdicts(store, house_id)
    flats: dict[int, GridFlat] = {}
    with store.reading() as connection:
        house = connection.execute(of_house.where(House.id == house_id)).first()
        if house is None:
            raise NoSuchHouse(f"the CRM has no house {house_id}")
        for id, number, floor, entrance in connection.execute(query):
            flats.setdefault(id, GridFlat(id, number, floor, entrance or "", last.get(id)))
    return HouseGrid(f"{house[0]}, {house[1]} {house[2]}", tuple(flats.values()))


# --- told -----------------------------------------------------------------------------------------------------------


def call_json(task: Task, result: Result | None) -> dict[str, Any]:
    """A task with its newest result, as plain values; what only a result tells is None, or empty, without one."""
    names = ("id", "campaign_id", "flat_id", "flat", "address", "panel", "domophone", "dialled", "attempts")
    ended: dict[str, Any] = {"state": task.state.value, "verdict": task.verdict, "why": task.why}
    found = dict.fromkeys(("confidence", "line_level", "started_at", "ended_at"), None)
    shown = {name: getattr(task, name) for name in names} | ended | found
    shown |= dict.fromkeys(("line", "recording", "picture", "call_id"), "") | {"measures": []}
    if result is not None:
        told = (*found, "line", "recording", "picture", "call_id")
        shown |= {name: getattr(result, name) for name in told} | {"measures": json.loads(result.measures)}
        shown["why"] = task.why or result.why
    return shown


def verdict_counts(progress: Progress) -> str:
    """ "12 good, 3 weak": the most frequent first."""
    by_count = sorted(progress.verdicts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count} {words(verdict)}" for verdict, count in by_count)


def result_lines(row: Mapping[str, Any]) -> list[str]:
    """A call for people: `row` as from `call_json`."""
    sure = f", confidence {row['confidence']:.2f}" if row["confidence"] is not None else ""
    why = f": {row['why']}" if row["why"] else ""
    lines = [clean(f"{row['address']}, flat {row['flat']}"), clean(f"{words(row['verdict'])}{sure}{why}")]
    if row["line"]:
        level = f", level {row['line_level']:g}" if row["line_level"] is not None else ""
        lines.append(clean(f"line test: {row['line']}{level}"))
    measures = [
        (
            *(each["name"], _number(each["value"]), _number(each["threshold"]), each["unit"]),
            _WELL[each["well"]],
        )
        for each in row["measures"]
    ]
    return lines + (in_columns(("MEASURE", "VALUE", "THRESHOLD", "UNIT", ""), measures) if measures else [])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


# --- dropped -------------------------------------------------------------------------------------------------------


def purge_results(store: Store, before: float) -> int:
    """Drop results of calls that began before `before`, in small steps; how many they were. A flat's last verdict stays,
    with its result. Campaigns and tests that ended before then go as well."""
    lasting = sa.exists().where(_FLATS.c.flat_id == _RESULTS.c.flat_id, _FLATS.c.result_id == _RESULTS.c.id)
    dropped = _drop(store, _RESULTS, sa.and_(_RESULTS.c.started_at < before, ~lasting))
    old = sa.and_(_CAMPAIGNS.c.state.in_(OVER), _CAMPAIGNS.c.ended_at < before)
    ended = _TASKS.c.campaign_id.in_(sa.select(_CAMPAIGNS.c.id).where(old))
    tests = sa.and_(
        _TASKS.c.campaign_id.is_(None), _TASKS.c.state == TaskState.DONE, _TASKS.c.ended_at < before
    )
    still = _TASKS.c.state == TaskState.CALLING
    _drop(store, _TASKS, sa.and_(sa.or_(ended, tests), ~still))
    _drop(store, _CAMPAIGNS, sa.and_(old, ~sa.exists().where(_TASKS.c.campaign_id == _CAMPAIGNS.c.id)))
    return dropped


def _drop(store: Store, of: sa.Table, where: sa.ColumnElement[bool]) -> int:
    dropped = 0
    while True:
        with store.transaction() as connection:
            ids = connection.scalars(sa.select(of.c.id).where(where).limit(PURGE_CHUNK)).all()
            if ids:
                connection.execute(sa.delete(of).where(of.c.id.in_(ids)))
        dropped += len(ids)
        if len(ids) < PURGE_CHUNK:
            return dropped


def _result(row: Any) -> Result:
    return Result(**{name: row[name] for name in _NAMES})
