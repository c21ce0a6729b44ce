"""112 in the API: pools, leases, who stood behind a number, tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm.rights import Reach, Right
from crm.store import Store
from tests.crm.sos.world import CITY, NUMBERS, SosWorld, sos_world


@pytest.fixture
def world(store: Store) -> Iterator[SosWorld]:
    with sos_world(store) as world:
        yield world


def test_pools_leases_and_owners_are_told(world: SosWorld) -> None:
    api = world.site.token()

    (pool,) = [each for each in api.get("/api/v1/sos/pools").json() if each["dispatch"] == "chel"]
    leases = api.get("/api/v1/sos/leases?limit=1").json()
    rest = api.get(f"/api/v1/sos/leases?after={leases['next']}").json()
    owner = api.get("/api/v1/sos/who", params={"number": NUMBERS[1], "at": world.now - 550}).json()

    assert [pool[name] for name in ("numbers", "free", "in_call", "guaranteed")] == [4, 2, 1, 1]
    assert [each["standing"] for each in pool["stand"]] == ["in_call", "held", "free", "free"]
    assert [each["id"] for each in leases["items"] + rest["items"]] == ["call-1", "call-2"]
    assert (owner["panel"], owner["standing"], owner["lease"]["why"]) == ("p2", "in_call", "free")
    assert api.get("/api/v1/sos/who?number=1").status_code == 404


def test_nobody_is_told_of_panels_beyond_his_reach(world: SosWorld) -> None:
    api = world.site.token([Right.SOS_VIEW, Right.SOS_EDIT], Reach(houses=frozenset({world.mine})))

    assert [each["panel"] for each in api.get("/api/v1/sos/leases").json()["items"]] == ["p1"]
    assert [each["panel"] for each in api.get("/api/v1/sos/overdue").json()] == ["p1"]
    assert "p2" not in api.get("/api/v1/sos/pools").text
    assert api.get("/api/v1/sos/who", params={"number": NUMBERS[1]}).status_code == 404
    assert api.post("/api/v1/sos/tests", json={"panel": "p2"}).status_code == 404
    assert api.post("/api/v1/sos/numbers", json={"fias": CITY, "numbers": ["+71"]}).status_code == 403
    assert world.site.token([Right.KEYS_VIEW]).get("/api/v1/sos/pools").status_code == 403


def test_a_test_is_asked_for_once_however_often_it_is_sent(world: SosWorld) -> None:
    api = world.site.token()
    key = {"Idempotency-Key": "0123456789abcdef"}

    made = [api.post("/api/v1/sos/tests", json={"panel": "p1"}, headers=key) for _ in range(2)]

    assert [each.status_code for each in made] == [201, 201]
    assert made[0].json() == made[1].json()
    listed = api.get("/api/v1/sos-tests?panel=p1").json()["items"]
    assert [(each["id"], each["by_hand"]) for each in listed] == [(made[0].json()["id"], True)]


def test_numbers_are_put_in_and_taken_out(world: SosWorld) -> None:
    api = world.site.token()
    number = "+73512000999"

    put = api.post("/api/v1/sos/numbers", json={"fias": CITY, "numbers": [number, NUMBERS[0]]})
    listed = api.get("/api/v1/sos-numbers", params={"number": number}).json()["items"]
    gone = api.post("/api/v1/sos/numbers/take-out", json={"numbers": [number]})
    held = api.post("/api/v1/sos/numbers/take-out", json={"numbers": [NUMBERS[0]]})

    assert put.json() == gone.json() == {"numbers": [number]}
    assert [each["city"] for each in listed] == ["Челябинск"]
    assert held.status_code == 409
    assert api.post("/api/v1/sos/numbers", json={"fias": "no-city", "numbers": ["1"]}).status_code == 422
