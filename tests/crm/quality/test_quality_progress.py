"""How far campaigns are: what is remembered of large ones, for how long, and when they are counted anew."""

from __future__ import annotations

import sqlalchemy as sa
from attrs import define

from crm.quality.progress import OVER_S, TIMES, ProgressMemory
from crm.store import Store
from crm.values.quality import CampaignState
from tests.crm.houses import Houses
from tests.crm.quality.test_quality_tasks import campaign, home

COUNTING_S = 0.5


@define
class Clock:
    """Counting takes half a second."""

    now: float = 100.0

    def __call__(self) -> float:
        self.now += COUNTING_S / 2
        return self.now


def three_tasks(store: Store, houses: Houses) -> int:
    for n in range(3):
        home(houses, 1, str(n), f"p{n}")
    return campaign(store)


def end(store: Store, id: int, tasks: int, verdict: str = "good") -> None:
    some = f"SELECT id FROM quality_tasks WHERE campaign_id = {id} AND state = 'waiting' LIMIT {tasks}"
    with store.transaction() as connection:
        connection.execute(
            sa.text(f"UPDATE quality_tasks SET state = 'done', verdict = :verdict WHERE id IN ({some})"),
            {"verdict": verdict},
        )


def done(memory: ProgressMemory, store: Store, id: int, state: CampaignState = CampaignState.RUNNING) -> int:
    with store.reading() as connection:
        return memory.progress(connection, id, state).done


def test_a_small_campaign_is_counted_each_time(store: Store, houses: Houses) -> None:
    id, memory = three_tasks(store, houses), ProgressMemory(large=4, clock=Clock())
    assert done(memory, store, id) == 0
    end(store, id, 1)
    assert done(memory, store, id) == 1


def test_a_large_campaign_is_counted_again_after_twenty_times_what_that_took(
    store: Store, houses: Houses
) -> None:
    clock = Clock()
    id, memory = three_tasks(store, houses), ProgressMemory(large=3, clock=clock)
    assert done(memory, store, id) == 0
    end(store, id, 1)
    clock.now += TIMES * COUNTING_S / 4
    assert done(memory, store, id) == 0
    clock.now += TIMES * COUNTING_S
    assert done(memory, store, id) == 1


def test_a_campaign_in_another_state_is_counted_at_once(store: Store, houses: Houses) -> None:
    id, memory = three_tasks(store, houses), ProgressMemory(large=3, clock=Clock())
    assert done(memory, store, id) == 0
    end(store, id, 2)
    assert done(memory, store, id, CampaignState.PAUSED) == 2


def test_a_large_campaign_that_is_over_is_remembered_for_an_hour(store: Store, houses: Houses) -> None:
    clock = Clock()
    id, memory = three_tasks(store, houses), ProgressMemory(large=3, clock=clock)
    end(store, id, 3)
    assert done(memory, store, id, CampaignState.DONE) == 3
    with store.transaction() as connection:
        connection.exec_driver_sql(f"DELETE FROM quality_tasks WHERE campaign_id = {id}")
    clock.now += OVER_S / 2
    assert done(memory, store, id, CampaignState.DONE) == 3
    clock.now += OVER_S
    assert done(memory, store, id, CampaignState.DONE) == 0


def test_a_campaign_that_was_stopped_is_not_over_while_it_has_calls(store: Store, houses: Houses) -> None:
    clock = Clock()
    id, memory = three_tasks(store, houses), ProgressMemory(large=3, clock=clock)
    end(store, id, 2)
    with store.transaction() as connection:
        connection.exec_driver_sql("UPDATE quality_tasks SET state = 'calling' WHERE state = 'waiting'")
    assert done(memory, store, id, CampaignState.STOPPED) == 2
    with store.transaction() as connection:
        connection.exec_driver_sql("UPDATE quality_tasks SET state = 'done' WHERE state = 'calling'")
    clock.now += 2 * TIMES * COUNTING_S
    assert done(memory, store, id, CampaignState.STOPPED) == 3
