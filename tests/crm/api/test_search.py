"""The search for programs."""

from __future__ import annotations

from functools import partial

import pytest

from crm.api import search as requests
from crm.rights import Reach, Right
from crm.search.search import search
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(requests, "search", partial(search, deadline_s=30.0))


def test_a_program_finds_a_flat_and_the_path_of_its_record(site: TestSite, houses: Houses) -> None:
    api = site.token()
    street = api.post("/api/v1/streets", json={"name": "ул. Ленина", "city_id": houses.city}).json()["id"]
    house = api.post("/api/v1/houses", json={"street_id": street, "number": "5"}).json()["id"]
    flat = api.post("/api/v1/flats", json={"house_id": house, "number": "42"}).json()["id"]

    groups = api.get("/api/v1/search", params={"q": "ленина 5 42"}).json()["groups"]

    assert groups[0]["kind"] == "flat"
    hit = groups[0]["hits"][0]
    assert (hit["entity"], hit["entity_id"], hit["path"]) == ("flat", str(flat), f"/flats/{flat}")
    assert api.get("/api/v1" + hit["path"]).json()["number"] == "42"


def test_a_token_finds_only_what_it_may_see(site: TestSite, houses: Houses) -> None:
    street = site.token().post("/api/v1/streets", json={"name": "ул. Мира", "city_id": houses.city})
    site.token().post("/api/v1/houses", json={"street_id": street.json()["id"], "number": "5"})
    mine = houses.house("1")
    bounded = site.token([Right.HOUSING_VIEW], Reach(houses=frozenset({mine})))

    assert bounded.get("/api/v1/search", params={"q": "мира 5"}).json() == {"groups": []}
    assert site.token([Right.SOS_VIEW]).get("/api/v1/search", params={"q": "мира"}).json() == {"groups": []}


def test_what_is_no_question_is_refused(site: TestSite) -> None:
    api = site.token()

    assert api.get("/api/v1/search").status_code == 400
    assert api.get("/api/v1/search", params={"q": "x" * 201}).status_code == 400
    assert api.get("/api/v1/search", params={"q": "x", "limit": 0}).status_code == 400
