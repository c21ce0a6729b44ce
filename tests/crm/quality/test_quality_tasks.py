"""Tasks of quality calls: which panel calls a flat, what is due, who may begin it, and what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from crm.directory.directory import find
from crm.model import City, Dialling, Domophone, table
from crm.quality.campaigns import find_campaign, progress, set_state
from crm.quality.making import create_campaign
from crm.quality.tasks import (
    claim_task,
    due_tasks,
    finish_task,
    get_task,
)
from crm.store import Store
from crm.values.quality import CallType, Campaign, CampaignState, Result, Scope, Task, TaskState
from tests.crm.houses import Houses

NOW = 1_780_000_000.0
HOUR, ZONE = 3600.0, "Asia/Yekaterinburg"


def home(houses: Houses, flats: int = 3, number: str = "5", panel: str = "500001") -> list[int]:
    """A house with one panel and some flats."""
    house = houses.house(number)
    door = houses.entrance("п. 1", house)
    houses.panel(panel, door)
    return [houses.flat(house, str(n + 1), door) for n in range(flats)]


def campaign(store: Store, **changes: Any) -> int:
    return create_campaign(store, Campaign(name="a", **changes), NOW)


def due(store: Store, id: int | None, now: float = NOW, limit: int = 50) -> list[Task]:
    return due_tasks(store, id, [ZONE], now, limit)


def the_task(store: Store, id: int) -> Task:
    found = get_task(store, id)
    assert found is not None
    return found


def result(task: Task, verdict: str = "good", at: float = NOW) -> Result:
    return Result(
        task_id=task.id,
        flat_id=task.flat_id,
        campaign_id=task.campaign_id,
        kind=task.kind,
        verdict=verdict,
        panel=task.panel,
        started_at=at - 20,
        ended_at=at,
    )


def call(store: Store, task: Task, verdict: str = "good", at: float = NOW) -> None:
    assert claim_task(store, task.id, "n1", at, 1)
    finish_task(store, task.id, result(task, verdict, at))


# --- which panel, which number -------------------------------------------------------------------------------------


def test_a_task_tells_what_a_call_needs(store: Store, houses: Houses) -> None:
    (flat,) = home(houses, 1)
    (task,) = due(store, id := campaign(store))
    assert task == Task(
        id=task.id,
        campaign_id=id,
        kind=CallType.PLANNED,
        flat_id=flat,
        flat="1",
        dialled="1",
        panel="500001",
        domain="teledom",
        domophone="000000000001",
        vendor="sokol",
        house_id=task.house_id,
        address="Челябинск, ул. Ленина 5, п. 1",
        time_zone=ZONE,
        state=TaskState.WAITING,
        due_at=NOW,
        attempts=0,
        node="",
        started_at=None,
        ended_at=None,
        why="",
        verdict="",
    )


def test_a_flat_is_called_through_its_own_entrance_rather_than_a_gate_then_by_the_lowest_panel(
    store: Store, houses: Houses
) -> None:
    five, seven = houses.house("5"), houses.house("7")
    gate = houses.entrance("ворота", five, seven)
    houses.panel("gate", gate)
    off, first, second = (
        houses.entrance("п. 0", five),
        houses.entrance("п. 1", five),
        houses.entrance("п. 2", five),
    )
    houses.panel("off", off, active=False)
    houses.panel("one", second)
    houses.panel("two", first)
    houses.flat(five, "1", gate, off, first, second)
    houses.flat(seven, "2", gate)
    houses.flat(seven, "3")
    assert sorted((task.flat, task.panel) for task in due(store, campaign(store))) == [
        ("1", "one"),
        ("2", "gate"),
    ]
    through_the_gate = campaign(store, scope=Scope(panels=("gate",)))
    assert {task.panel for task in due(store, through_the_gate)} == {"gate"}
    assert progress(store, through_the_gate).total == 2


@pytest.mark.parametrize(
    ("dialling", "prefix", "number", "panel_number", "dialled"),
    [
        (Dialling.FLAT, "", "42", None, "42"),
        (Dialling.FLAT, "1", "42", "7", "7"),
        (Dialling.PREFIX_FLAT, "1", "42", None, "10042"),
        (Dialling.PREFIX_FLAT, "", "42", None, "0042"),
        (Dialling.PREFIX_FLAT, "12", "42", "7", "120007"),
        (Dialling.PREFIX_FLAT, "3", "42а", None, "3#42а"),
        (Dialling.PREFIX_FLAT, "3", "12345", None, "3#12345"),
        (Dialling.STORED, "", "42", "112042", "112042"),
    ],
)
def test_what_is_dialled_is_what_the_panel_knows_the_flat_by(
    store: Store,
    houses: Houses,
    dialling: Dialling,
    prefix: str,
    number: str,
    panel_number: str | None,
    dialled: str,
) -> None:
    house = houses.house("5")
    door = houses.entrance("п. 1", house, prefixes=(prefix,))
    houses.panel("500001", door, dialling=dialling)
    flat = houses.flat(house, number, door, panel_number=panel_number)
    (task,) = due(store, campaign(store))
    assert (task.flat, task.dialled) == (number, dialled)
    with store.reading() as connection:
        found = find(connection, "500001", dialled, NOW).flat
    assert found is not None
    assert found.id == flat


def test_a_panel_that_was_exchanged_is_called_by_its_new_name(store: Store, houses: Houses) -> None:
    home(houses, 1)
    id = campaign(store)
    with store.transaction() as connection:
        connection.execute(sa.update(table(Domophone)).values(sip_user="new", mac="aa0000000000"))
    (task,) = due(store, id)
    assert (task.panel, task.domophone) == ("new", "aa0000000000")


# --- what is due ---------------------------------------------------------------------------------------------------


def test_every_panel_has_its_first_call_before_any_has_its_second(store: Store, houses: Houses) -> None:
    home(houses, 3, "5", "a")
    home(houses, 2, "7", "b")
    id = campaign(store)
    assert [(task.panel, task.flat) for task in due(store, id, NOW + HOUR)] == [("a", "1"), ("b", "1")]
    call(store, due(store, id, limit=1)[0])
    assert [task.panel for task in due(store, id, NOW + 1)] == ["b"]
    assert len(due(store, id, NOW + HOUR, limit=1)) == 1


def test_only_houses_in_a_time_zone_that_is_open_are_due(store: Store, houses: Houses) -> None:
    home(houses, 1, "5", "a")
    east = City(region="", name="Владивосток", time_zone="Asia/Vladivostok")
    with store.session() as session:
        session.add(east)
        session.flush()
        houses.city = east.id
    home(houses, 1, "7", "b")
    id = campaign(store)
    assert find_campaign(store, id).zones == ("Asia/Vladivostok", ZONE)
    assert [task.panel for task in due_tasks(store, id, ["Asia/Vladivostok"], NOW, 5)] == ["b"]
    assert len(due_tasks(store, id, ["Asia/Vladivostok", ZONE], NOW, 5)) == 2
    assert due_tasks(store, id, [], NOW, 5) == []


def test_nothing_is_due_of_a_campaign_that_does_not_run(store: Store, houses: Houses) -> None:
    home(houses)
    id = campaign(store)
    (task,) = due(store, id)
    set_state(store, id, CampaignState.PAUSED, NOW)
    assert due(store, id) == []
    assert not claim_task(store, task.id, "n1", NOW, 1)
    set_state(store, id, CampaignState.RUNNING, NOW)
    assert claim_task(store, task.id, "n1", NOW, 1)


# --- who begins it -------------------------------------------------------------------------------------------------


def at_once(*work: Callable[[], bool]) -> list[bool]:
    """Do it all in threads of their own, beginning together; what each brought."""
    barrier, brought = threading.Barrier(len(work)), [False] * len(work)

    def run(n: int) -> None:
        barrier.wait()
        brought[n] = work[n]()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return brought


def test_of_two_nodes_one_gets_a_task(url: str, store: Store, houses: Houses) -> None:
    home(houses, 5)
    id = campaign(store)
    with Store(url) as other:
        for n in range(5):
            now = NOW + n * HOUR
            (task,) = due(store, id, now)
            got = at_once(*(partial(claim_task, each, task.id, "n", now, 9) for each in (store, other)))
            assert sorted(got) == [False, True]
            finish_task(store, task.id, result(task, at=now))


def test_two_nodes_never_call_one_panel_at_once_whatever_the_campaigns(
    url: str, store: Store, houses: Houses
) -> None:
    flats = home(houses, 2)
    with Store(url) as other:
        for n in range(5):
            one, two = (campaign(store, scope=Scope(flats=(flat,))) for flat in flats)
            (first,), (second,) = due(store, one), due(store, two)
            got = at_once(
                partial(claim_task, store, first.id, "n1", NOW, 9),
                partial(claim_task, other, second.id, "n2", NOW, 9),
            )
            assert sorted(got) == [False, True], n
            for id in (one, two):
                assert due(store, id) == []
            task = first if got[0] else second
            finish_task(store, task.id, result(task))


def test_no_more_of_a_house_are_called_at_once_than_is_said(url: str, store: Store, houses: Houses) -> None:
    house = houses.house("5")
    for n in range(4):
        door = houses.entrance(f"п. {n}", house)
        houses.panel(f"p{n}", door)
        houses.flat(house, str(n), door)
    tasks = due(store, campaign(store))
    with Store(url) as other:
        stores = (store, other, store, other)
        got = at_once(
            *(partial(claim_task, s, t.id, "n", NOW, 2) for s, t in zip(stores, tasks, strict=True))
        )
    assert sum(got) == 2
