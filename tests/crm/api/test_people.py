"""Residents and accounts by the API: moving in once, and what rings."""

from __future__ import annotations

from crm.rights import Reach, Right
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite


def test_moving_in_with_an_idempotency_key_is_done_once(site: TestSite, houses: Houses) -> None:
    flat = houses.flat(houses.house("5"), "42")
    api = site.token()
    body = {"flat_id": flat, "name": "Иванова Мария", "sip_user": "7351001", "password": "secret"}

    first, again = (
        api.post("/api/v1/move-in", json=body, headers={"Idempotency-Key": "k1"}) for _ in range(2)
    )

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    account = first.json()["account_id"]
    assert api.get("/api/v1/residents?name=мария").json()["total"] == 1
    rings = api.get(f"/api/v1/accounts/{account}/rings").json()
    assert [(each["flat_id"], each["silences"]) for each in rings] == [(flat, ["no_panel", "no_phone"])]
    assert "ha1" not in api.get(f"/api/v1/accounts/{account}").text


def test_what_is_wrong_is_told_by_field(site: TestSite, houses: Houses) -> None:
    flat = houses.flat(houses.house("5"), "42")

    answer = site.token().post("/api/v1/move-in", json={"flat_id": flat, "name": "", "sip_user": "7351001"})

    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"name", "password"}


def test_a_bounded_token_moves_nobody_into_other_houses(site: TestSite, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    far = houses.flat(other, "8")
    hidden = houses.account("222", far)
    rights = [Right.HOUSING_VIEW, Right.PEOPLE_VIEW, Right.PEOPLE_EDIT]
    api = site.token(rights, Reach(houses=frozenset({mine})))

    assert api.post("/api/v1/move-in", json={"flat_id": far, "name": "Чужой"}).status_code == 404
    assert api.get("/api/v1/accounts").json()["items"] == []
    assert api.get(f"/api/v1/accounts/{hidden}/rings").status_code == 404


def test_moving_out_says_how_many_accounts_rang(site: TestSite, houses: Houses) -> None:
    flat = houses.flat(houses.house("5"), "42")
    api = site.token()
    body = {"flat_id": flat, "name": "Иванова Мария", "sip_user": "7351001", "password": "secret"}
    made = api.post("/api/v1/move-in", json=body).json()
    who = {"resident_id": made["resident_id"], "flat_id": flat}

    answer = api.post("/api/v1/move-out", json=who)

    assert (answer.status_code, answer.json()) == (200, {"accounts": 1})
    assert api.get(f"/api/v1/accounts/{made['account_id']}/rings").json() == []
    assert api.get(f"/api/v1/residents/{made['resident_id']}/flats").json() == []
    assert api.post("/api/v1/move-out", json=who).status_code == 404
