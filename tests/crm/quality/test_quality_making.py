"""Campaigns as they are made: a portion at a time, by whoever is there, going on where it stopped, each flat once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
import trio
from trio.testing import MockClock

from crm.model import City, Flat, table
from crm.quality import campaigns as quality_campaigns
from crm.quality import maker, making
from crm.quality.campaigns import campaigns, find_campaign, progress, report, running, set_state
from crm.quality.maker import CampaignMaker
from crm.quality.making import create_campaign, make_some, unmade
from crm.quality.tasks import claim_task, end_campaigns, finish_task
from crm.store import MIGRATIONS, DatabaseAway, SchemaMismatch, Store, upgrade
from crm.tables.quality import QualityTask
from crm.values.quality import Campaign, CampaignState, Making, Only, Progress, Scope
from tests.crm.houses import Houses
from tests.crm.quality.test_quality_tasks import NOW, campaign, due, home, result

TASKS = table(QualityTask)


@pytest.fixture(autouse=True)
def two_houses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "HOUSES_AT_ONCE", 2)


@pytest.fixture
def flats(houses: Houses) -> list[int]:
    """Of five houses with a panel and two flats each."""
    return [flat for n in range(5) for flat in home(houses, 2, str(n), f"p{n}")]


def flats_of(store: Store, id: int) -> list[int]:
    return [task.flat_id for task, _ in report(store, id)]


def make(store: Store, id: int) -> int:
    """To the end; how many portions that took."""
    portions = 0
    while make_some(store, id, NOW + 60):
        portions += 1
    return portions


# --- a portion at a time -------------------------------------------------------------------------------------------


def test_a_large_campaign_is_put_down_without_its_flats(store: Store, flats: list[int]) -> None:
    id = campaign(store)

    found = find_campaign(store, id)
    assert (found.state, found.making) == (CampaignState.MAKING, Making(houses=5, made=0, flats=0))
    assert flats_of(store, id) == []
    assert unmade(store) == [id]


def test_one_of_few_houses_is_made_at_once(store: Store, flats: list[int]) -> None:
    id = campaign(store, scope=Scope(flats=(flats[0], flats[9])))

    found = find_campaign(store, id)
    assert (found.state, found.making, found.zones) == (CampaignState.RUNNING, None, ("Asia/Yekaterinburg",))
    assert flats_of(store, id) == [flats[0], flats[9]]
    assert unmade(store) == []


def test_it_grows_by_some_houses_and_runs_once_the_last_one_is_in(store: Store, flats: list[int]) -> None:
    id = campaign(store)

    assert make_some(store, id, NOW)
    half = find_campaign(store, id)
    ((_, so_far),) = campaigns(store)
    assert (half.state, half.making) == (CampaignState.MAKING, Making(houses=5, made=2, flats=4))
    assert so_far == Progress(total=4, waiting=4)
    assert flats_of(store, id) == flats[:4]
    assert running(store) == []

    assert make(store, id) == 2
    whole = find_campaign(store, id)
    assert (whole.state, whole.making, whole.zones) == (
        CampaignState.RUNNING,
        None,
        ("Asia/Yekaterinburg",),
    )
    assert flats_of(store, id) == flats
    assert not make_some(store, id, NOW)


@pytest.mark.parametrize("named", ["cities", "houses", "panels", "flats"])
def test_whatever_names_them_all_flats_of_a_scope_are_in_it(
    store: Store, houses: Houses, flats: list[int], named: str
) -> None:
    with store.reading() as connection:
        ids = tuple(connection.scalars(sa.select(Flat.house_id).distinct().order_by(Flat.house_id)))
    scopes = {
        "cities": (Scope(cities=(houses.city,)), flats),
        "houses": (Scope(houses=ids[1:]), flats[2:]),
        "panels": (Scope(panels=("p0", "p2", "p4")), flats[:2] + flats[4:6] + flats[8:]),
        "flats": (Scope(flats=tuple(flats[1:7])), flats[1:7]),
    }
    scope, taken = scopes[named]
    id = campaign(store, scope=scope)
    make(store, id)
    assert flats_of(store, id) == taken


def test_of_large_houses_fewer_are_made_at_once(
    store: Store, flats: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "HOUSES_AT_ONCE", 5)
    for flats_at_once, portions in ((4, 3), (3, 5), (1, 5)):
        monkeypatch.setattr(making, "FLATS_AT_ONCE", flats_at_once)
        id = campaign(store)
        assert 1 + make(store, id) == portions  # the first with the campaign
        assert flats_of(store, id) == flats


def test_panels_have_their_first_calls_when_it_was_put_down(store: Store, flats: list[int]) -> None:
    id = campaign(store, spacing_s=100.0)
    make(store, id)
    with store.reading() as connection:
        times = connection.scalars(
            sa.select(TASKS.c.due_at).where(TASKS.c.campaign_id == id).order_by(TASKS.c.flat_id)
        ).all()
    assert times == [NOW, NOW + 100.0] * 5


# --- by whom -------------------------------------------------------------------------------------------------------


def test_a_making_that_was_broken_off_goes_on_where_it_stopped(
    store: Store, flats: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    id = campaign(store)
    make_some(store, id, NOW)

    def breaks(*_: object) -> int:
        raise DatabaseAway("the cable was pulled")

    with monkeypatch.context() as patch:
        patch.setattr(making, "stop_tasks", breaks)
        patch.setattr(making, "available_timezones", breaks)
        patch.setattr(making, "campaign_of", breaks)
        with pytest.raises(DatabaseAway):
            make_some(store, id, NOW)
    assert find_campaign(store, id).making == Making(houses=5, made=2, flats=4)

    assert make(store, id) == 2
    assert flats_of(store, id) == flats


def test_a_portion_whose_end_fails_leaves_none_of_its_flats(
    store: Store, flats: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    id = campaign(store)

    def breaks() -> set[str]:
        raise DatabaseAway("the cable was pulled")

    with monkeypatch.context() as patch:
        patch.setattr(making, "available_timezones", breaks)  # after its tasks are written
        with pytest.raises(DatabaseAway):
            make_some(store, id, NOW)
    assert flats_of(store, id) == []

    make(store, id)
    assert flats_of(store, id) == flats


def test_several_makers_at_once_put_each_flat_into_it_once(store: Store, flats: list[int], url: str) -> None:
    id = campaign(store)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            with Store(url) as own:
                while find_campaign(own, id).state is CampaignState.MAKING:
                    make_some(own, id, NOW)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert flats_of(store, id) == flats
    assert progress(store, id).total == 10


def test_who_comes_second_does_not_wait_for_a_portion(store: Store, flats: list[int], url: str) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite has one writer, and whoever is second waits for that")
    id = campaign(store)
    with store.transaction() as connection:
        connection.exec_driver_sql(f"SELECT id FROM quality_campaigns WHERE id = {id} FOR UPDATE")
        with Store(url, busy_s=1.0) as other:
            assert not make_some(other, id, NOW)
    assert make_some(store, id, NOW)


def test_a_flat_that_moved_to_a_later_house_meanwhile_is_in_it_once(
    store: Store, houses: Houses, flats: list[int]
) -> None:
    id = campaign(store)
    make_some(store, id, NOW)
    with store.transaction() as connection:
        last = connection.scalar(sa.select(Flat.house_id).where(Flat.id == flats[9]))
        moved = sa.update(table(Flat)).where(table(Flat).c.id == flats[0])
        connection.execute(moved.values(house_id=last, number="99"))
    make(store, id)
    assert flats_of(store, id) == flats
    assert find_campaign(store, id).state is CampaignState.RUNNING


# --- of a database that is older ---------------------------------------------------------------------------------


def test_campaigns_of_an_older_database_are_whole(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/crm.db"
    upgrade(url)
    with Store(url) as store:
        flats = home(Houses(store), 2)
        id = create_campaign(store, Campaign(name="old"), NOW)
    to_schema(url, "0009")
    with Store(url) as store, pytest.raises(SchemaMismatch):
        find_campaign(store, id)
    upgrade(url)
    with Store(url) as store:
        found = find_campaign(store, id)
        assert (found.state, found.making, found.why) == (CampaignState.RUNNING, None, "")
        assert flats_of(store, id) == flats
        for task in due(store, id):
            assert claim_task(store, task.id, "n1", NOW, 9)


def to_schema(url: str, revision: str) -> None:
    script = alembic.config.Config()
    script.set_main_option("script_location", str(MIGRATIONS))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        script.attributes["connection"] = connection
        alembic.command.downgrade(script, revision)
    engine.dispose()


# --- paused, stopped, impossible -----------------------------------------------------------------------------------


def test_one_that_is_paused_is_not_made_until_it_goes_on(store: Store, flats: list[int]) -> None:
    id = campaign(store)
    make_some(store, id, NOW)
    set_state(store, id, CampaignState.PAUSED, NOW)
    end_campaigns(store)

    paused = find_campaign(store, id)
    assert not make_some(store, id, NOW)
    assert unmade(store) == []
    assert (paused.state, paused.making) == (CampaignState.PAUSED, Making(houses=5, made=2, flats=4))

    set_state(store, id, CampaignState.RUNNING, NOW)
    assert find_campaign(store, id).state is CampaignState.MAKING
    make(store, id)
    assert find_campaign(store, id).state is CampaignState.RUNNING
    assert flats_of(store, id) == flats


def test_one_that_was_paused_before_its_first_flat_is_not_done(store: Store, flats: list[int]) -> None:
    id = campaign(store)
    set_state(store, id, CampaignState.PAUSED, NOW)
    assert find_campaign(store, id).state is CampaignState.PAUSED


def test_one_that_is_stopped_keeps_what_is_in_it_and_gets_no_more(store: Store, flats: list[int]) -> None:
    id = campaign(store)
    make_some(store, id, NOW)
    set_state(store, id, CampaignState.STOPPED, NOW + 5)

    stopped = find_campaign(store, id)
    assert not make_some(store, id, NOW)
    assert (stopped.state, stopped.making, stopped.ended_at) == (CampaignState.STOPPED, None, NOW + 5)
    assert progress(store, id) == Progress(total=4, stopped=4)


def test_nothing_of_it_is_called_before_all_is_in_it(store: Store, flats: list[int]) -> None:
    id = campaign(store)
    make_some(store, id, NOW)
    with store.reading() as connection:
        first = connection.scalar(sa.select(sa.func.min(TASKS.c.id)))
    assert first is not None
    assert due(store, id) == []
    assert not claim_task(store, first, "n1", NOW, 1)

    make(store, id)
    for _ in range(2):
        for task in due(store, id, NOW + 1e6):
            assert claim_task(store, task.id, "n1", NOW + 1e6, 9)
            finish_task(store, task.id, result(task, at=NOW + 1e6))
    assert progress(store, id).done == 5


def test_a_large_scope_without_flats_ends_with_a_reason(store: Store, flats: list[int]) -> None:
    id = campaign(store, only=Only.BAD)
    make(store, id)

    found = find_campaign(store, id)
    assert (found.state, found.making, found.ended_at) == (CampaignState.IMPOSSIBLE, None, NOW + 60)
    assert found.why.startswith("no flat is in it")
    assert unmade(store) == []


def test_a_time_zone_that_is_none_ends_the_making_with_a_reason(store: Store, flats: list[int]) -> None:
    id = campaign(store)
    make_some(store, id, NOW)
    with store.transaction() as connection:
        connection.execute(sa.update(table(City)).values(time_zone="Asia/Chelyabinsk"))
    make(store, id)

    found = find_campaign(store, id)
    assert found.state is CampaignState.IMPOSSIBLE
    assert "'Asia/Chelyabinsk'" in found.why
    assert progress(store, id) == Progress(total=8, stopped=8)


def test_a_campaign_is_not_made_of_what_came_after_it_was_over(store: Store, flats: list[int]) -> None:
    id = create_campaign(store, Campaign(name="x", scope=Scope(flats=(flats[0],))), NOW)
    set_state(store, id, CampaignState.STOPPED, NOW)
    assert not make_some(store, id, NOW)
    assert flats_of(store, id) == [flats[0]]


# --- by the CRM's process ------------------------------------------------------------------------------------------


async def here(work: Callable[[], Any]) -> Any:
    """The clock jumps while it waits for a thread; so there is none."""
    return work()


async def test_the_maker_makes_all_there_is_and_what_comes(
    store: Store, flats: list[int], autojump_clock: MockClock
) -> None:
    first, second = campaign(store), campaign(store)
    async with trio.open_nursery() as nursery:
        it = CampaignMaker(store, clock=lambda: NOW, thread=here)
        await nursery.start(it.run)
        await trio.sleep(5)
        assert [each.id for each in running(store)] == [first, second]
        third = campaign(store)
        await it.wake()
        await trio.sleep(5)
        assert [each.id for each in running(store)] == [first, second, third]
        fourth = campaign(store)
        await trio.sleep(maker.LOOK_S)
        assert [each.id for each in running(store)] == [first, second, third, fourth]
        nursery.cancel_scope.cancel()
    for id in (first, second, third, fourth):
        assert flats_of(store, id) == flats


async def test_the_maker_stops_what_a_request_has_left(
    store: Store, flats: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality_campaigns, "TASKS_AT_ONCE", 3)
    stopped, other = campaign(store), campaign(store)
    for id in (stopped, other):
        make(store, id)
    set_state(store, stopped, CampaignState.STOPPED, NOW, at_once=False)
    assert progress(store, stopped) == Progress(total=10, waiting=7, stopped=3)

    await CampaignMaker(store, thread=here).work_off()

    assert progress(store, stopped) == Progress(total=10, stopped=10)
    assert progress(store, other) == Progress(total=10, waiting=10)


async def test_the_maker_waits_for_a_database_that_is_away(
    store: Store, flats: list[int], autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = campaign(store)
    tries = 0

    def away(store: Store, id: int, now: float) -> bool:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise DatabaseAway("it is away")
        return make_some(store, id, now)

    monkeypatch.setattr(maker, "make_some", away)
    async with trio.open_nursery() as nursery:
        await nursery.start(CampaignMaker(store, clock=lambda: NOW, thread=here).run)
        await trio.sleep(maker.AWAY_S / 2)
        assert find_campaign(store, id).making == Making(houses=5, made=2, flats=4)
        await trio.sleep(maker.AWAY_S)
        nursery.cancel_scope.cancel()
    assert flats_of(store, id) == flats
    assert find_campaign(store, id).state is CampaignState.RUNNING


async def test_the_maker_looks_again_soon_while_another_program_is_at_it(
    store: Store, flats: list[int], autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = campaign(store)
    monkeypatch.setattr(maker, "make_some", lambda *_: False)
    assert await CampaignMaker(store, thread=here).work_off()
    monkeypatch.undo()
    assert not await CampaignMaker(store, clock=lambda: NOW, thread=here).work_off()
    assert find_campaign(store, id).state is CampaignState.RUNNING
