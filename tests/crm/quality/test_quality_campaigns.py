"""Campaigns of quality calls: which flats they take, how they stand, what may be made of them, how people name flats."""

from __future__ import annotations

import time as clock
from datetime import date, time
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm.model import City, EntranceFlat, Flat, table
from crm.quality.campaigns import (
    NoSuchCampaign,
    NoSuchPlace,
    NotAllowed,
    campaigns,
    find_campaign,
    find_city,
    find_flat,
    find_house,
    find_panel,
    progress,
    report,
    running,
    set_state,
)
from crm.quality.making import create_campaign, make_some
from crm.quality.results import NoSuchHouse, save_result
from crm.quality.tasks import NoSuchFlat, claim_task
from crm.store import Store, upgrade
from crm.town.town import fill
from crm.values.quality import (
    CallType,
    Campaign,
    CampaignState,
    Hours,
    Only,
    Progress,
    Result,
    Scope,
    TaskState,
)
from tests.crm.houses import Houses
from tests.crm.quality.test_quality_tasks import NOW, call, campaign, due, home


def judged(store: Store, flat: int, verdict: str, at: float = NOW) -> None:
    save_result(
        store, Result(flat_id=flat, kind=CallType.PLANNED, verdict=verdict, started_at=at - 20, ended_at=at)
    )


def flats_of(store: Store, id: int) -> list[int]:
    return [task.flat_id for task, _ in report(store, id)]


# --- which flats ---------------------------------------------------------------------------------------------------


def test_a_scope_takes_all_that_any_of_its_names_takes_and_each_flat_once(
    store: Store, houses: Houses
) -> None:
    five, seven = home(houses, 2, "5", "a"), home(houses, 2, "7", "b")
    there = houses.city
    with store.session() as session:
        session.add(town := City(region="", name="Копейск", time_zone="Asia/Yekaterinburg"))
        session.flush()
        houses.city = town.id
    far = home(houses, 2, "1", "c")
    house = find_house(store, "Челябинск, ул. Ленина 7")

    def taken(scope: Scope) -> list[int]:
        return flats_of(store, campaign(store, scope=scope))

    assert taken(Scope()) == [*five, *seven, *far]
    assert taken(Scope(cities=(there,))) == [*five, *seven]
    assert taken(Scope(houses=(house,))) == seven
    assert taken(Scope(panels=("c",))) == far
    assert taken(Scope(flats=(five[1],), houses=(house,), panels=("b", "c"))) == [five[1], *seven, *far]


def test_only_takes_flats_by_what_was_last_found_out_of_their_handsets(store: Store, houses: Houses) -> None:
    never, nobody, good, bad, mended = home(houses, 5)
    judged(store, nobody, "nobody_answered")
    judged(store, good, "good")
    judged(store, bad, "one_way")
    judged(store, bad, "nobody_answered", NOW + 5)
    judged(store, mended, "dead")
    judged(store, mended, "good", NOW + 5)

    def taken(only: Only) -> list[int]:
        return flats_of(store, campaign(store, only=only))

    assert taken(Only.ALL) == [never, nobody, good, bad, mended]
    assert taken(Only.NEVER) == [never, nobody]
    assert taken(Only.BAD) == [bad]
    assert taken(Only.NEVER_OR_BAD) == [never, nobody, bad]


def test_a_campaign_without_flats_is_not_made(store: Store, houses: Houses) -> None:
    house = houses.house("5")
    houses.flat(house, "1")
    for scope in (Scope(), Scope(houses=(house,)), Scope(flats=(999,))):
        with pytest.raises(NotAllowed, match="no flat is in it"):
            campaign(store, scope=scope)
    assert campaigns(store) == []


def test_a_city_whose_time_zone_is_none_is_named_and_nothing_is_made(store: Store, houses: Houses) -> None:
    home(houses)
    with store.transaction() as connection:
        connection.execute(sa.update(table(City)).values(time_zone="Asia/Chelyabinsk"))
    with pytest.raises(NotAllowed, match=r"'Asia/Chelyabinsk'.*correct that in the CRM"):
        campaign(store)
    assert campaigns(store) == []


def test_twenty_thousand_flats_are_quickly_in_a_campaign_each_once(store: Store, houses: Houses) -> None:
    doors = []
    for n in range(250):
        house = houses.house(str(n))
        doors.append((house, houses.entrance("п. 1", house)))
        houses.panel(f"p{n}", doors[-1][1])
    flats = [
        {"id": 80 * n + k, "house_id": house, "number": str(k)}
        for n, (house, _) in enumerate(doors)
        for k in range(1, 81)
    ]
    behind = [{"flat_id": flat["id"], "entrance_id": doors[n // 80][1]} for n, flat in enumerate(flats)]
    with store.transaction() as connection:
        connection.execute(sa.insert(table(Flat)), flats)
        connection.execute(sa.insert(table(EntranceFlat)), behind)
        # As the database does by itself, a minute later; with what it knows of empty tables it would join row by row.
        connection.execute(sa.text("ANALYZE"))
    began = clock.perf_counter()
    id = campaign(store)
    while make_some(store, id, NOW):
        pass
    assert clock.perf_counter() - began < 5
    assert progress(store, id).total == 20_000
    assert len({task.panel for task in due(store, id, limit=250)}) == 250
    began = clock.perf_counter()
    set_state(store, id, CampaignState.STOPPED, NOW)
    assert clock.perf_counter() - began < 5
    assert progress(store, id).stopped == 20_000


# --- how they stand ------------------------------------------------------------------------------------------------


def test_a_campaign_is_found_as_it_was_made(url: str, store: Store, houses: Houses) -> None:
    (flat,) = home(houses, 1)
    hours = Hours(time(9, 30), time(21), frozenset({0, 6}), frozenset({date(2027, 1, 1)}))
    made = Campaign(
        name="Зима",
        kind=CallType.CONNECTION,
        scope=Scope(houses=(999,), panels=("nobody",), flats=(flat,)),
        only=Only.NEVER_OR_BAD,
        hours=hours,
        spacing_s=60.0,
        per_house=2,
        attempts=5,
        attempt_spacing_s=120.0,
        priority=-3,
    )
    id = create_campaign(store, made, NOW)
    with Store(url) as after_a_restart:
        found = find_campaign(after_a_restart, id)
    assert (found.id, found.created_at, found.zones) == (id, NOW, ("Asia/Yekaterinburg",))
    assert (found.name, found.kind, found.scope, found.only) == ("Зима", made.kind, made.scope, made.only)
    assert (found.hours, found.spacing_s, found.per_house) == (hours, 60.0, 2)
    assert (found.attempts, found.attempt_spacing_s, found.priority) == (5, 120.0, -3)
    with pytest.raises(NoSuchCampaign, match=f"no campaign {id + 1}"):
        find_campaign(store, id + 1)


def test_running_campaigns_come_by_priority_then_by_age(store: Store, houses: Houses) -> None:
    home(houses)
    low, high, also_high, paused = (campaign(store, priority=n) for n in (0, 5, 5, 9))
    set_state(store, paused, CampaignState.PAUSED, NOW)
    assert [each.id for each in running(store)] == [high, also_high, low]


def test_progress_counts_states_and_verdicts_and_the_last_call_ends_the_campaign(
    store: Store, houses: Houses
) -> None:
    for n in range(3):
        home(houses, 1, str(n), f"p{n}")
    id = campaign(store)
    first, second, third = due(store, id)
    call(store, first, "weak", NOW + 1)
    assert claim_task(store, second.id, "n1", NOW, 1)
    assert progress(store, id) == Progress(3, waiting=1, calling=1, done=1, stopped=0, verdicts={"weak": 1})
    set_state(store, id, CampaignState.PAUSED, NOW)
    set_state(store, id, CampaignState.RUNNING, NOW)
    call(store, third, "weak", NOW + 9)
    assert find_campaign(store, id).state is CampaignState.RUNNING
    with store.transaction() as connection:
        connection.exec_driver_sql("UPDATE quality_tasks SET state = 'waiting' WHERE state = 'calling'")
    call(store, second, "good", NOW + 5)
    ((over, stands),) = campaigns(store)
    assert (over.state, over.ended_at) == (CampaignState.DONE, NOW + 9)
    assert (stands.done, stands.verdicts) == (3, {"weak": 2, "good": 1})
    assert running(store) == []


def test_a_report_has_every_task_with_its_newest_result(store: Store, houses: Houses) -> None:
    home(houses, 2)
    id = campaign(store)
    (task,) = due(store, id)
    judged(store, task.flat_id, "dead")  # of no task
    call(store, task, "noisy")
    (first, found), (second, none) = report(store, id)
    assert (first.state, first.verdict) == (TaskState.DONE, "noisy")
    assert found is not None
    assert (found.verdict, found.task_id) == ("noisy", task.id)
    assert (second.state, none) == (TaskState.WAITING, None)


@pytest.mark.parametrize(
    ("before", "to", "says"),
    [
        (None, CampaignState.RUNNING, "is running already"),
        (CampaignState.PAUSED, CampaignState.PAUSED, "is paused already"),
        (None, CampaignState.DONE, "cannot be made done by hand"),
        (CampaignState.STOPPED, CampaignState.RUNNING, "is stopped, which is for good"),
        (CampaignState.STOPPED, CampaignState.STOPPED, "is stopped already"),
    ],
)
def test_what_cannot_be_made_of_a_campaign_is_refused_with_why(
    store: Store, houses: Houses, before: CampaignState | None, to: CampaignState, says: str
) -> None:
    home(houses)
    id = campaign(store)
    if before is not None:
        set_state(store, id, before, NOW)
    with pytest.raises(NotAllowed, match=says):
        set_state(store, id, to, NOW)
    with pytest.raises(NoSuchCampaign):
        set_state(store, id + 1, CampaignState.PAUSED, NOW)


def test_a_stopped_campaign_has_an_end_and_nothing_that_waits(store: Store, houses: Houses) -> None:
    home(houses)
    id = campaign(store)
    set_state(store, id, CampaignState.STOPPED, NOW + 7)
    assert find_campaign(store, id).ended_at == NOW + 7
    assert progress(store, id) == Progress(3, stopped=3)


# --- as people name them -------------------------------------------------------------------------------------------


def test_people_name_flats_houses_cities_and_panels_in_their_ways(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/town.db"
    upgrade(url)
    with Store(url) as store:
        town = fill(store)
        flat = town.panel("500001").dials["1"]
        for text in (str(flat.id), "ул. Ленина 5, 1", "Челябинск, ул. ленина 5, 1", "Ленина 5,1"):
            assert find_flat(store, text) == flat.id
        house = find_house(store, "ул. Ленина 5")
        assert find_house(store, "Челябинск, ул. Ленина 5") == house
        assert find_house(store, str(house)) == house
        assert find_city(store, "копейск") == find_city(store, str(find_city(store, "Копейск")))
        assert find_panel(store, "02:50:00:07:A1:21") == find_panel(store, "500001") == "500001"
        unknown = (
            (find_flat, "ул. Ленина 5, 999", NoSuchFlat),
            (find_flat, "999", NoSuchFlat),
            (find_flat, "nonsense", NoSuchFlat),
            (find_house, "ул. Ленина 99", NoSuchHouse),
            (find_city, "Москва", NoSuchPlace),
            (find_panel, "nobody", NoSuchPlace),
        )
        for find, text, error in unknown:
            with pytest.raises(error):
                find(store, text)
