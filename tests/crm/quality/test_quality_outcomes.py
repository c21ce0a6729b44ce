"""What becomes of a quality call that was begun: done, put back, or lost with its node; and calls by hand."""

from __future__ import annotations

import pytest

from crm.quality.campaigns import find_campaign, progress, set_state
from crm.quality.results import last_verdicts, save_result, task_result
from crm.quality.tasks import (
    NoSuchFlat,
    add_test,
    claim_task,
    due_tasks,
    finish_task,
    get_task,
    put_back,
    take_up_lost,
    withdraw_test,
)
from crm.store import Store
from crm.values.quality import SPACING_S, CallType, CampaignState, Task, TaskState
from tests.crm.houses import Houses
from tests.crm.quality.test_quality_tasks import (
    HOUR,
    NOW,
    at_once,
    call,
    campaign,
    due,
    home,
    result,
    the_task,
)

# --- what becomes of it --------------------------------------------------------------------------------------------


def test_a_call_ends_its_task_and_its_panel_waits_for_the_spacing(store: Store, houses: Houses) -> None:
    home(houses, 2, "5", "a")
    home(houses, 1, "7", "b")
    id = campaign(store, spacing_s=600.0)
    other = campaign(store, spacing_s=60.0)
    first, beside = due(store, id)
    end = NOW + 30
    call(store, first, "weak", end)
    done = the_task(store, first.id)
    assert (done.state, done.verdict, done.attempts, done.ended_at) == (TaskState.DONE, "weak", 1, end)
    assert task_result(store, first.id) == result(first, "weak", end)
    assert [task.id for task in due(store, id, end)] == [beside.id]
    assert [task.panel for task in due(store, other, end + 599)] == ["b"]
    assert "a" in {task.panel for task in due(store, other, end + 600)}
    assert [task.flat for task in due(store, id, end + 600) if task.panel == "a"] == ["2"]


def test_a_call_that_could_not_be_made_waits_again_and_costs_no_attempt(store: Store, houses: Houses) -> None:
    home(houses, 1)
    id = campaign(store, attempts=1)
    (task,) = due(store, id)
    assert claim_task(store, task.id, "n1", NOW, 1)
    put_back(store, task.id, NOW + HOUR, "a visitor\0calls", False, NOW)
    assert due(store, id, NOW + HOUR - 1) == []
    (again,) = due(store, id, NOW + HOUR)
    assert (again.attempts, again.why, again.node, again.started_at) == (0, "a visitor�calls", "", None)
    assert claim_task(store, task.id, "n2", NOW + HOUR, 1)
    put_back(store, task.id, NOW + HOUR, "sooner than the panel may be called", False, NOW + HOUR)
    assert the_task(store, task.id).due_at == NOW + HOUR + SPACING_S


def test_the_last_attempt_ends_a_task_with_its_verdict(store: Store, houses: Houses) -> None:
    home(houses, 1)
    id = campaign(store, attempts=2)
    for n, verdict in enumerate(("busy", "nobody_answered")):
        now = NOW + n * HOUR
        (task,) = due(store, id, now)
        assert claim_task(store, task.id, "n1", now, 1)
        save_result(store, result(task, verdict, now))
        put_back(store, task.id, now + HOUR, verdict, True, now)
    done = the_task(store, task.id)
    assert (done.state, done.verdict, done.attempts) == (TaskState.DONE, "nobody_answered", 2)
    assert done.ended_at == NOW + HOUR
    assert find_campaign(store, id).state is CampaignState.DONE


def test_attempts_without_any_result_end_as_unknown(store: Store, houses: Houses) -> None:
    home(houses, 1)
    (task,) = due(store, campaign(store, attempts=1))
    assert claim_task(store, task.id, "n1", NOW, 1)
    put_back(store, task.id, NOW, "a fault", True, NOW)
    assert (the_task(store, task.id).verdict, the_task(store, task.id).why) == ("unknown", "a fault")
    put_back(store, task.id, NOW, "too late", True, NOW)
    assert the_task(store, task.id).attempts == 1


def test_tasks_of_a_node_that_died_wait_again(store: Store, houses: Houses) -> None:
    for n, panel in enumerate("abc"):
        home(houses, 1, str(n), panel)
    id = campaign(store)
    tasks = due(store, id)
    for task, node, at in zip(tasks, ("n1", "n2", "n3"), (NOW, NOW + 500, NOW + 500), strict=True):
        assert claim_task(store, task.id, node, at, 1)
    assert take_up_lost(store, NOW, "") == 0
    assert take_up_lost(store, NOW + 100, "") == 1
    assert take_up_lost(store, NOW, "n2") == 1
    assert [task.panel for task in due(store, id, NOW + 500)] == ["a", "b"]
    assert due(store, id, NOW + 500)[0].attempts == 0
    assert the_task(store, tasks[2].id).state is TaskState.CALLING


def test_the_result_of_a_task_that_was_taken_up_by_another_is_kept_and_ends_nothing(
    store: Store, houses: Houses
) -> None:
    (flat,) = home(houses, 1)
    (task,) = due(store, campaign(store))
    assert claim_task(store, task.id, "n1", NOW, 1)
    assert take_up_lost(store, NOW, "n1") == 1
    finish_task(store, task.id, result(task, "dead"))
    assert the_task(store, task.id).state is TaskState.WAITING
    assert last_verdicts(store, task.house_id)[flat].verdict == "dead"


def test_a_task_put_back_after_its_campaign_was_stopped_is_stopped(store: Store, houses: Houses) -> None:
    for n, panel in enumerate("abc"):
        home(houses, 1, str(n), panel)
    id = campaign(store)
    back, lost, done = due(store, id)
    for task, node in ((back, "n1"), (lost, "n2"), (done, "n1")):
        assert claim_task(store, task.id, node, NOW, 1)
    set_state(store, id, CampaignState.STOPPED, NOW)
    put_back(store, back.id, NOW, "", False, NOW)
    take_up_lost(store, NOW, "n2")
    finish_task(store, done.id, result(done))
    states = [the_task(store, task.id).state for task in (back, lost, done)]
    assert states == [TaskState.STOPPED, TaskState.STOPPED, TaskState.DONE]
    assert find_campaign(store, id).state is CampaignState.STOPPED


def test_a_stop_and_nodes_that_end_calls_do_not_block_each_other(
    url: str, store: Store, houses: Houses
) -> None:
    home(houses, 40)
    with Store(url) as other:
        for _ in range(4):
            id = campaign(store)
            (task,) = due(store, id)
            assert claim_task(store, task.id, "n1", NOW, 1)

            def stop(id: int = id) -> bool:
                set_state(other, id, CampaignState.STOPPED, NOW)
                return True

            def back(task: Task = task) -> bool:
                put_back(store, task.id, NOW, "", False, NOW)
                return True

            assert at_once(stop, back) == [True, True]
            stands = progress(store, id)
            assert (stands.waiting, stands.stopped) == (0, 40)


# --- by hand -------------------------------------------------------------------------------------------------------


def test_a_test_by_hand_is_due_at_once_whatever_the_hour_and_waits_for_no_spacing(
    store: Store, houses: Houses
) -> None:
    flats = home(houses, 2)
    planned = due(store, campaign(store))[0]
    ids = [add_test(store, flat, NOW) for flat in flats]
    (test,) = due_tasks(store, None, [], NOW, 5)
    assert (test.id, test.kind, test.campaign_id) == (ids[0], CallType.TEST, None)
    assert claim_task(store, test.id, "n1", NOW, 1)
    assert not claim_task(store, planned.id, "n1", NOW, 1)
    assert due_tasks(store, None, [], NOW, 5) == []
    finish_task(store, test.id, result(test, "noisy"))
    assert the_task(store, test.id).verdict == "noisy"
    assert [each.id for each in due_tasks(store, None, [], NOW, 5)] == [ids[1]]
    assert the_task(store, planned.id).due_at == NOW + SPACING_S


def test_a_test_can_be_taken_back_until_it_is_begun(store: Store, houses: Houses) -> None:
    (flat,) = home(houses, 1)
    first, second = add_test(store, flat, NOW), add_test(store, flat, NOW)
    assert claim_task(store, first, "n1", NOW, 1)
    assert not withdraw_test(store, first)
    assert withdraw_test(store, second)
    assert get_task(store, second) is None


def test_a_flat_that_no_panel_calls_cannot_be_tested(store: Store, houses: Houses) -> None:
    house = houses.house("5")
    with pytest.raises(NoSuchFlat, match="no active panel"):
        add_test(store, houses.flat(house, "1"), NOW)
