"""Blocks over the API: many flats at once, what stands on one and what that stops, and each kind's right."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from crm.model import table
from crm.rights import Reach, Right
from crm.tables.blocks import BlockKindRow
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite

API = "/api/v1/flat-blocks"
KINDS = table(BlockKindRow)


@pytest.fixture
def flats(houses: Houses) -> dict[str, int]:
    """A house's flats by number, with the house's id as "house"."""
    house = houses.house("5")
    return {"house": house} | {str(n): houses.flat(house, str(n)) for n in range(1, 5)}


def test_flats_are_blocked_by_numbers_once_and_taken_back(site: TestSite, flats: dict[str, int]) -> None:
    api = site.token()
    body = {"kind": "request", "house_id": flats["house"], "flats": "1-2, 4", "reason": "заявление"}
    mine = [flats["1"], flats["2"], flats["4"]]

    assert api.post(f"{API}/preview", json=body).json() == {"flats": mine, "left": []}
    first, again = (api.post(API, json=body, headers={"Idempotency-Key": "b-1"}) for _ in range(2))

    assert first.status_code == again.status_code == 201
    made = first.json()
    assert made == again.json()
    assert (made["flats"], made["left"], len(made["blocks"])) == (mine, [], 3)
    assert api.post(API, json=body).json()["left"] == mine
    listed = api.get(f"{API}?house_id={flats['house']}&state=stands").json()
    assert sorted(each["flat_id"] for each in listed["items"]) == sorted(mine)
    assert api.post(f"{API}/take-back", json={"ids": made["blocks"]}).json() == {"taken_back": 3}
    assert api.post(f"{API}/take-back", json={"ids": made["blocks"]}).status_code == 409
    assert api.get(f"{API}?state=past").json()["total"] == 3


def test_the_mobile_backend_is_told_what_stands_on_a_flat_and_what_it_stops(
    site: TestSite, flats: dict[str, int]
) -> None:
    api = site.token([Right.BLOCKS_VIEW, Right.BLOCKS_ADMIN, Right.BLOCKS_DEBT])
    with site.store.transaction() as connection:
        app_only = {"stops_calls": False, "stops_app": True}
        connection.execute(sa.update(KINDS).where(KINDS.c.code == "admin").values(app_only))
    at = f"/api/v1/flats/{flats['1']}/blocks"
    free = {"calls_blocked": False, "app_blocked": False, "keys_blocked": False, "blocks": []}
    assert api.get(at).json() == free

    api.post(API, json={"kind": "admin", "flat_ids": [flats["1"]]})
    later = {"kind": "debt", "flat_ids": [flats["1"]], "since": "2099-01-01T00:00:00Z"}
    api.post(API, json=later)

    said = api.get(at).json()
    assert (said["calls_blocked"], said["app_blocked"], said["keys_blocked"]) == (False, True, False)
    (block,) = said["blocks"]
    assert (block["kind"], block["source"], block["stops"], block["until"]) == (
        "admin",
        "hand",
        ["app"],
        None,
    )


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"kind": "nothing"}, 422),
        ({"flats": "77"}, 422),
        ({"flats": None}, 422),
        ({"house_id": 999_999}, 404),
        ({"until": "2001-01-01T00:00:00Z"}, 422),
        ({"unknown": 1}, 400),
    ],
)
def test_what_is_wrong_is_said(
    site: TestSite, flats: dict[str, int], change: dict[str, object], status: int
) -> None:
    body = {"kind": "request", "house_id": flats["house"], "flats": "1"} | change
    answer = site.token().post(API, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_token_blocks_and_sees_within_its_houses_only(
    site: TestSite, houses: Houses, flats: dict[str, int]
) -> None:
    away = houses.flat(houses.house("7"), "1")
    reach = Reach(houses=frozenset({flats["house"]}))
    api = site.token([Right.BLOCKS_VIEW, Right.BLOCKS_SET], reach)

    assert api.post(API, json={"kind": "request", "flat_ids": [flats["1"], away]}).status_code == 404
    assert api.post(API, json={"kind": "debt", "flat_ids": [flats["1"]]}).status_code == 403
    assert api.get(f"/api/v1/flats/{away}/blocks").status_code == 404
    assert api.post(API, json={"kind": "request", "flat_ids": [flats["1"]]}).status_code == 201
    assert api.get(API).json()["total"] == 1


def test_a_kind_of_ones_own_is_made_changed_and_kept_while_there_are_blocks_of_it(
    site: TestSite, flats: dict[str, int]
) -> None:
    api = site.token()
    kinds = "/api/v1/block-kinds"
    made = api.post(kinds, json={"name": "на время ремонта", "code": "repair", "prompt": "repair"})
    assert made.status_code == 201
    id = made.json()["id"]
    assert (made.json()["stops_calls"], made.json()["built_in"]) == (True, False)
    assert api.patch(f"{kinds}/{id}", json={"stops_keys": True}).json()["stops_keys"] is True
    assert api.patch(f"{kinds}/{id}", json={"code": "other"}).status_code == 400
    assert api.post(kinds, json={"name": "x", "code": "x", "prompt": "../etc"}).status_code == 422
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    api.post(API, json={"kind": "repair", "flat_ids": [flats["1"]], "until": until})
    assert api.delete(f"{kinds}/{id}").status_code == 409
    debt = next(each["id"] for each in api.get(kinds).json()["items"] if each["code"] == "debt")
    assert api.delete(f"{kinds}/{debt}").status_code == 409
    assert api.patch(f"{kinds}/{debt}", json={"name": "Долги"}).json()["name"] == "Долги"
    free = api.post(kinds, json={"name": "y", "code": "y"}).json()["id"]
    assert api.delete(f"{kinds}/{free}").status_code == 204


def test_kinds_are_made_by_who_may_everywhere_only(site: TestSite, flats: dict[str, int]) -> None:
    reach = Reach(houses=frozenset({flats["house"]}))
    api = site.token([Right.BLOCK_KINDS_EDIT, Right.BLOCKS_VIEW], reach)
    assert api.post("/api/v1/block-kinds", json={"name": "z", "code": "z"}).status_code == 403
