"""Campaigns and tests of single flats over the API."""

from __future__ import annotations

from typing import Any

import pytest

from crm.quality import making
from crm.quality.making import make_some
from crm.rights import Reach, Right
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite


@pytest.fixture
def flat(houses: Houses) -> int:
    house = houses.house("5")
    door = houses.entrance("п. 1", house)
    houses.panel("p1", door)
    return houses.flat(house, "42", door)


def test_a_campaign_is_made_once_for_a_key_and_changed(site: TestSite, flat: int) -> None:
    api = site.token()
    new: dict[str, Any] = {"name": "Осень", "scope": {"flats": [flat]}}

    made = [
        api.post("/api/v1/quality-campaigns", json=new, headers={"Idempotency-Key": "k1"}) for _ in range(2)
    ]
    id = made[0].json()["id"]
    paused = api.post(f"/api/v1/quality-campaigns/{id}/state", json={"state": "paused"})
    again = api.post(f"/api/v1/quality-campaigns/{id}/state", json={"state": "paused"})

    assert [each.status_code for each in made] == [201, 201]
    assert made[0].json() == made[1].json()
    assert made[0].json()["progress"]["total"] == 1
    assert (paused.json()["state"], again.status_code) == ("paused", 409)
    assert len(api.get("/api/v1/quality-campaigns").json()["items"]) == 1
    assert api.get(f"/api/v1/quality-campaigns/{id}/progress").json()["progress"]["waiting"] == 1


def test_a_large_campaign_is_put_down_and_tells_how_far_its_making_is(
    site: TestSite, flat: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "HOUSES_AT_ONCE", 0)
    api = site.token()
    made = api.post("/api/v1/quality-campaigns", json={"name": "Осень", "scope": {}})
    id = made.json()["id"]

    assert made.status_code == 201
    assert (made.json()["state"], made.json()["why"]) == ("being_made", "")
    assert made.json()["making"] == {"houses": 1, "made": 0, "flats": 0}
    assert api.get("/api/v1/quality-campaigns?state=being_made").json()["total"] == 1
    assert api.post(f"/api/v1/quality-campaigns/{id}/state", json={"state": "running"}).status_code == 409
    paused = api.post(f"/api/v1/quality-campaigns/{id}/state", json={"state": "paused"})
    going_on = api.post(f"/api/v1/quality-campaigns/{id}/state", json={"state": "running"})
    assert [each.json()["state"] for each in (paused, going_on)] == ["paused", "being_made"]

    monkeypatch.undo()
    assert make_some(site.store, id, 1.0)
    running = api.get(f"/api/v1/quality-campaigns/{id}/progress").json()
    assert (running["state"], running["making"], running["progress"]["total"]) == ("running", None, 1)


def test_a_campaign_without_flats_is_refused(site: TestSite, flat: int) -> None:
    answer = site.token().post("/api/v1/quality-campaigns", json={"name": "x", "scope": {"flats": [999]}})

    assert answer.status_code == 409


def test_a_flat_is_tested_once_for_a_key(site: TestSite, flat: int) -> None:
    api = site.token()

    asked = [
        api.post(f"/api/v1/flats/{flat}/quality-test", headers={"Idempotency-Key": "k2"}) for _ in range(2)
    ]
    task = asked[0].json()["task_id"]

    assert [each.status_code for each in asked] == [202, 202]
    assert asked[1].json()["task_id"] == task
    state = api.get(f"/api/v1/quality-tests/{task}").json()
    assert (state["state"], state["verdict"], state["result_id"]) == ("waiting", "", None)


def test_a_token_does_no_more_than_it_may(site: TestSite, flat: int, houses: Houses) -> None:
    elsewhere = Reach(houses=frozenset({houses.house("7")}))
    bounded, reader = site.token(tuple(Right), elsewhere), site.token([Right.QUALITY_VIEW])

    assert bounded.post(f"/api/v1/flats/{flat}/quality-test").status_code == 404
    assert bounded.post("/api/v1/quality-campaigns", json={"name": "x", "scope": {}}).status_code == 422
    assert reader.post("/api/v1/quality-campaigns", json={"name": "x", "scope": {}}).status_code == 403
    assert reader.post(f"/api/v1/flats/{flat}/quality-test").status_code == 403
