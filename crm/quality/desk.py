"""Quality calls as somebody asks for them: campaigns made, paused, stopped; one flat tested now. Rights, reach, history.

All functions are synchronous. They raise crm.who's Refused errors, and crm.store's StoreError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.desk.desk import Desk
from crm.model import table
from crm.quality.campaigns import (
    NoSuchCampaign,
    about_progress,
    campaigns,
    find_campaign,
    find_city,
    find_flat,
    find_house,
    find_panel,
    set_state,
)
from crm.quality.forecast import Forecast, forecast
from crm.quality.making import create_campaign
from crm.quality.reach import names_beyond
from crm.quality.tasks import add_test, get_task
from crm.rights import Reach, Right
from crm.store import Store
from crm.tables.calls import Call
from crm.tables.quality import QualityResult
from crm.values.quality import Campaign, CampaignState, Progress, QualityError, Result, Scope, Task
from crm.who import Conflict, Forbidden, Invalid, NotFound, Who

T = TypeVar("T")
ENTITY = "quality_campaign"
LINES_MAX = 500
NAME_PLACES = "name cities, houses, panels or flats: only who has this right everywhere calls all flats"


@frozen
class CampaignNow:
    """A campaign, how far it is, and when it will be through."""

    campaign: Campaign
    progress: Progress
    forecast: Forecast

    @property
    def share(self) -> float:
        """What is done or stopped, of all (0 to 1); of one that is being made how far that is."""
        making, total = self.campaign.making, self.progress.total
        if making is not None:
            return making.made / making.houses if making.houses else 0.0
        if self.campaign.state is CampaignState.IMPOSSIBLE:
            return 0.0
        return (self.progress.done + self.progress.stopped) / total if total else 1.0


@contextmanager
def _explained() -> Iterator[None]:
    """What cannot be done as a Refused error."""
    try:
        yield
    except NoSuchCampaign as error:
        raise NotFound(str(error).partition(":")[0]) from None
    except QualityError as error:
        raise Conflict(str(error)) from None


def list_campaigns(store: Store, who: Who, now: float, limit: int = 50) -> list[CampaignNow]:
    """Those within reach, the newest first. Raises Forbidden."""
    who.need(Right.QUALITY_VIEW)
    found = campaigns(store, limit=limit, reach=who.rights.reach(Right.QUALITY_VIEW))
    return [CampaignNow(each, how_far, forecast(each, how_far, now)) for each, how_far in found]


def get_campaign(
    store: Store, who: Who, id: int, now: float, right: Right = Right.QUALITY_VIEW
) -> CampaignNow:
    """One within the reach of `right`. Raises Forbidden, NotFound."""
    who.need(right)
    with _explained():
        campaign = find_campaign(store, id, who.rights.reach(right))
    how_far = about_progress(store, campaign)
    return CampaignNow(campaign, how_far, forecast(campaign, how_far, now))


def may_change(store: Store, who: Who, id: int) -> bool:
    """Whether somebody may pause, resume and stop this one."""
    try:
        find_campaign(store, id, who.rights.reach(Right.QUALITY_EDIT))
    except NoSuchCampaign:
        return False
    return True


def make_campaign(store: Store, who: Who, campaign: Campaign, now: float) -> int:
    """Put one down; its id. Wake the CampaignMaker then. Raises Forbidden, Invalid (not all of its scope is within reach:
    errors by "cities", "houses", "panels", "flats", "" for the whole), Conflict (no flat is in it)."""
    who.need(Right.QUALITY_EDIT)
    reach = who.rights.reach(Right.QUALITY_EDIT)
    if not reach.everywhere:
        if campaign.scope == Scope():
            raise Invalid({"": NAME_PLACES})
        if beyond := names_beyond(store, reach, campaign.scope):
            raise Invalid({name: f"not found: {', '.join(names[:20])}" for name, names in beyond.items()})
    with _explained():
        id = create_campaign(store, campaign, now)
    with store.transaction() as connection:
        note_change(connection, who, ENTITY, id, "create", None, {"name": campaign.name}, at=now)
    return id


def change_state(store: Store, who: Who, id: int, state: CampaignState, now: float) -> None:
    """Pause, resume or stop one. Wake the CampaignMaker then. Raises Forbidden, NotFound, Conflict."""
    who.need(Right.QUALITY_EDIT)
    with _explained():
        if not may_change(store, who, id):
            find_campaign(store, id, who.rights.reach(Right.QUALITY_VIEW))
            raise Forbidden(f"{who.name} may see this campaign, not change it")
        was = find_campaign(store, id).state
        set_state(store, id, state, now, at_once=False)
    with store.transaction() as connection:
        before, after = {"state": was.value}, {"state": state.value}
        note_change(connection, who, ENTITY, id, "update", before, after, at=now)


def read_scope(store: Store, who: Who, cities: str, houses: str, panels: str, flats: str) -> Scope:
    """Places as they are typed, one a line: an id, a name or address, or "… #7". What is not within reach is not there.
    Raises Invalid."""
    reach = who.rights.reach(Right.QUALITY_EDIT)
    errors: dict[str, str] = {}

    def each(name: str, text: str, find: Callable[[Store, str, Reach], T]) -> tuple[T, ...]:
        found: list[T] = []
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) > LINES_MAX:
            errors[name] = f"no more than {LINES_MAX} lines"
            return ()
        for line in lines:
            bare = line.rpartition("#")[2] if "#" in line else line
            try:
                found.append(find(store, bare.strip(), reach))
            except QualityError as error:
                errors[name] = str(error)
        return tuple(dict.fromkeys(found))

    scope = Scope(
        each("cities", cities, find_city),
        each("houses", houses, find_house),
        each("panels", panels, find_panel),
        each("flats", flats, find_flat),
    )
    if errors:
        raise Invalid(errors)
    return scope


def ask_test(desk: Desk, who: Who, flat_id: int, now: float) -> int:
    """Have one flat's handset called once its panel is idle; the task's id. Raises Forbidden, NotFound, Conflict."""
    with desk.store.reading() as connection:
        desk.get_in(connection, who, desk.resource("flats"), flat_id, Right.QUALITY_EDIT)
    with _explained():
        id = add_test(desk.store, flat_id, now)
    with desk.store.transaction() as connection:
        note_change(connection, who, "flat", flat_id, "quality test", None, {"task": id}, at=now)
    return id


def look_at_test(desk: Desk, who: Who, task_id: int) -> tuple[Task, Result | None, int | None]:
    """A task, its newest result and that one's id. Raises Forbidden, NotFound."""
    desk.get(who, desk.resource("quality-tasks"), task_id)
    task = get_task(desk.store, task_id)
    if task is None:
        raise NotFound(f"there is no task {task_id}")
    found = result_of_task(desk.store, task_id)
    return (task, None, None) if found is None else (task, found[1], found[0])


def get_result(desk: Desk, who: Who, id: int) -> tuple[Result, str]:
    """A result, and the node that made its recording ("": not known). Raises Forbidden, NotFound."""
    desk.get(who, desk.resource("quality-results"), id)
    found = _results(desk.store, QualityResult.id == id)
    if found is None:
        raise NotFound(f"there is no result {id}")
    return found[1], node_of(desk.store, found[1].call_id)


def result_of_task(store: Store, task_id: int) -> tuple[int, Result] | None:
    """The newest result of a task, with its id."""
    return _results(store, QualityResult.task_id == task_id)


def _results(store: Store, where: sa.ColumnElement[bool]) -> tuple[int, Result] | None:
    of = table(QualityResult)
    with store.reading() as connection:
        row = connection.execute(sa.select(of).where(where).order_by(of.c.id.desc()).limit(1)).first()
    if row is None:
        return None
    values = dict(row._mapping)
    id = int(values.pop("id"))
    return id, Result(**values)


def node_of(store: Store, call_id: str) -> str:
    """The node that carried a call."""
    with store.reading() as connection:
        return connection.scalar(sa.select(Call.node).where(Call.call_id == call_id)) or ""
