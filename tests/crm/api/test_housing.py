"""The API of houses: made whole, flats by ranges, gates, doors, the grid, ringing, deleting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crm.model import BlockKind, Street
from crm.rights import Reach, Right
from crm.store import Store
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite, open_site
from tests.crm.web.test_housing_pages import NodesThatRing

KEY = {"Idempotency-Key": "0123456789abcdef"}


@pytest.fixture
def nodes() -> NodesThatRing:
    return NodesThatRing()


@pytest.fixture
def site(store: Store, nodes: NodesThatRing) -> Iterator[TestSite]:
    with open_site(store, nodes=nodes) as site:
        yield site


@pytest.fixture
def street(store: Store, houses: Houses) -> int:
    with store.session() as session:
        row = Street(city_id=houses.city, name="ул. Мира")
        session.add(row)
        session.flush()
        return row.id


def whole(street: int, **changes: Any) -> dict[str, Any]:
    entrances = [
        {"name": "1", "flats": "1-36", "floors": "9"},
        {"name": "2", "flats": "37-72", "floors": "2-10", "per_floor": 4},
    ]
    return {"street_id": street, "number": "5", "entrances": entrances, **changes}


def test_a_house_is_made_whole_and_once(site: TestSite, street: int) -> None:
    api = site.token()

    first, again = (api.post("/api/v1/houses/whole", json=whole(street), headers=KEY) for _ in range(2))

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    id = first.json()["id"]
    assert first.json()["title"] == "Челябинск, ул. Мира 5"
    grid = api.get(f"/api/v1/houses/{id}/grid").json()
    assert [door["name"] for door in grid["entrances"]] == ["п. 1", "п. 2"]
    assert grid["floors"] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert [flat["number"] for flat in grid["flats"]][:3] == ["1", "2", "3"]
    assert len(grid["flats"]) == 72
    assert {flat["state"] for flat in grid["flats"]} == {"no_app"}


def test_a_wrong_range_is_named_and_nothing_is_made(site: TestSite, street: int) -> None:
    api = site.token()
    wrong = whole(street, entrances=[{"name": "1", "flats": "1-3"}, {"name": "2", "flats": "3-9"}])

    answer = api.post("/api/v1/houses/whole", json=wrong)

    assert answer.status_code == 422
    assert answer.json()["errors"] == {"entrances.1": "flat 3 is at п. 1 already"}
    assert api.get("/api/v1/houses").json()["items"] == []
    assert api.post("/api/v1/houses/whole", json=whole(street, nonsense=1)).status_code == 400


def test_flats_are_added_by_ranges(site: TestSite, houses: Houses) -> None:
    house = houses.house("1")
    houses.flat(house, "1", houses.entrance("п. 1", house))
    api, path = site.token(), f"/api/v1/houses/{house}/flats"

    added = api.post(path, json={"entrances": [{"name": "1", "flats": "2-4"}, {"name": "2", "flats": "5"}]})
    assert (added.status_code, added.json()) == (201, {"entrances": 1, "flats": 4, "called": 0})
    again = {"entrances": [{"name": "арка", "flats": "1-5"}]}
    assert api.post(path, json=again).status_code == 422
    assert api.post(path, json=again | {"call": True}).json()["called"] == 5
    assert api.post("/api/v1/houses/999/flats", json=again).status_code == 404


def test_a_gate_has_the_prefix_of_each_house(site: TestSite, houses: Houses) -> None:
    first, second = houses.house("1"), houses.house("2")
    houses.flat(first, "42"), houses.flat(second, "42")
    api = site.token()
    body = {
        "name": "ворота",
        "houses": [{"house_id": first, "prefix": "1"}, {"house_id": second, "prefix": "2"}],
    }

    gate = api.post("/api/v1/gates", json=body)

    assert gate.status_code == 201
    doors = api.get(f"/api/v1/houses/{second}/doors").json()
    assert doors == [
        {
            "id": gate.json()["id"],
            "name": "ворота",
            "prefix": "2",
            "houses": [first],
            "flats": 1,
            "renumbered": 0,
            "panels": [],
        }
    ]
    same = body | {"houses": [{"house_id": first}, {"house_id": second}]}
    assert api.post("/api/v1/gates", json=same).json()["errors"]["houses.1"].startswith("flat 42 is in two")
    letters = body | {"houses": [{"house_id": first, "prefix": "x"}]}
    assert api.post("/api/v1/gates", json=letters).status_code == 400


def test_numbers_at_a_panel_are_set_for_a_range(site: TestSite, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    flat = houses.flat(house, "12", entrance)
    api = site.token()
    body = {"entrance_id": entrance, "flats": "12", "how": "added", "number": 112000}

    assert api.post(f"/api/v1/houses/{house}/numbers", json=body).json() == {"flats": 1}
    linked = api.get(f"/api/v1/flats/{flat}/entrances").json()
    assert linked[0]["panel_number"] == "112012"
    assert api.post(f"/api/v1/houses/{house}/numbers", json=body | {"flats": "13"}).status_code == 422


def test_a_flat_is_rung_once_for_one_key(site: TestSite, nodes: NodesThatRing, houses: Houses) -> None:
    flat = houses.flat(houses.house("1"), "7")
    api = site.token()

    answers = [api.post(f"/api/v1/flats/{flat}/ring", headers=KEY) for _ in range(2)]

    assert [each.status_code for each in answers] == [202, 202]
    assert answers[0].json() == answers[1].json() == {"call_id": "84c5a505c31e2aac"}
    assert [id for id, _ in nodes.rung] == [flat]
    nodes.why = "no node is ready"
    assert api.post(f"/api/v1/flats/{flat}/ring").status_code == 409
    assert api.post("/api/v1/flats/999/ring").status_code == 404


def test_a_token_without_the_right_rings_nobody(site: TestSite, nodes: NodesThatRing, houses: Houses) -> None:
    flat = houses.flat(houses.house("1"), "7")
    assert site.token([Right.HOUSING_VIEW]).post(f"/api/v1/flats/{flat}/ring").status_code == 403
    assert nodes.rung == []


def test_a_token_sees_of_the_grid_what_it_may(site: TestSite, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    flat = houses.flat(mine, "1", houses.entrance("п. 1", mine))
    houses.account("7351001", flat)
    houses.block(flat, BlockKind.DEBT, 0.0)
    api = site.token([Right.HOUSING_VIEW], Reach(houses=frozenset({mine})))

    seen = api.get(f"/api/v1/houses/{mine}/grid").json()["flats"][0]
    assert (seen["accounts"], seen["blocks"], seen["state"]) == (None, [], "fine")
    assert api.get(f"/api/v1/houses/{mine}/doors").json()[0]["panels"] is None
    assert api.get(f"/api/v1/houses/{other}/grid").status_code == 404


def test_the_grid_says_what_is_worst_of_a_flat(site: TestSite, houses: Houses) -> None:
    house = houses.house("1")
    flat = houses.flat(house, "1", houses.entrance("п. 1", house))
    houses.phone(houses.account("7351001", flat), "token")
    houses.block(flat, BlockKind.DEBT, 0.0)
    seen = site.token().get(f"/api/v1/houses/{house}/grid").json()["flats"][0]
    assert (seen["state"], seen["accounts"], seen["phones_woken"]) == ("blocked", 1, 1)


def test_a_house_or_entrance_goes_whole_or_not_at_all(site: TestSite, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    houses.flat(house, "1", entrance)
    api = site.token()

    assert api.delete(f"/api/v1/houses/{house}").status_code == 409
    assert api.delete(f"/api/v1/entrances/{entrance}").status_code == 409
    assert api.delete(f"/api/v1/entrances/{entrance}/whole").status_code == 204
    assert api.delete(f"/api/v1/houses/{house}/whole").status_code == 204
    assert api.delete(f"/api/v1/houses/{house}/whole").status_code == 404
    assert api.get("/api/v1/flats").json()["items"] == []
