"""Keys over the API: whatever a program writes, it is the same key; nothing beyond a token's houses."""

from __future__ import annotations

import pytest

from crm.keys.formats import KeyFormat
from crm.keys.keys import add_key
from crm.keys.reach import Binding
from crm.rights import Reach, Right
from crm.tables.keys import KeyScope
from crm.who import SYSTEM
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite

NOW = 1_700_000_000.0
API = "/api/v1/keys"


@pytest.fixture
def flat(houses: Houses) -> int:
    house = houses.house("5")
    entrance = houses.entrance("п. 1", house)
    houses.panel("500001", entrance)
    return houses.flat(house, "42", entrance)


def test_a_key_is_added_once_found_bound_lost_and_found_again(site: TestSite, flat: int) -> None:
    api = site.token()
    body = {"key": "0012345678 188,24910", "bindings": [{"scope": "flat", "id": flat}], "note": "консьерж"}
    once = {"Idempotency-Key": "k-1"}

    first, again = (api.post(API, json=body, headers=once) for _ in range(2))

    assert first.status_code == again.status_code == 201
    key = first.json()
    assert key == again.json()
    assert (key["uid"], key["format"], key["note"]) == ("00BC614E", "em_printed", "консьерж")
    assert key["bindings"] == [{"scope": "flat", "id": flat, "title": "ул. Ленина 5, 42"}]
    assert key["written"]["decimal"] == "0012345678"
    assert api.post(API, json=body).status_code == 409
    for text in ("4E61BC00", "188,24910", "0012345678", "00:bc:61:4e"):
        assert [each["id"] for each in api.get(f"{API}/find", params={"key": text}).json()] == [key["id"]]
    at = f"{API}/{key['id']}"
    assert [(p["sip_user"], p["wanted"], p["told_at"]) for p in api.get(f"{at}/panels").json()] == [
        ("500001", True, None)
    ]
    lost = api.post(f"{at}/lost", json={"why": "в автобусе"}).json()
    assert lost["lost_at"] is not None
    assert [p["wanted"] for p in api.get(f"{at}/panels").json()] == [False]
    assert api.post(f"{at}/found").json()["lost_at"] is None
    changed = api.post(f"{at}/bindings", json={"remove": [{"scope": "flat", "id": flat}]}).json()
    assert changed["bindings"] == []
    assert api.patch(at, json={"note": "запасной"}).json()["note"] == "запасной"
    assert api.get(API, params={"uid": "188,24910", "state": "in_use"}).json()["total"] == 1


def test_what_a_key_can_mean_is_looked_at_before_an_import(site: TestSite, flat: int) -> None:
    api = site.token()
    add_key(site.store, SYSTEM, "04A1B2C3", [], NOW, format=KeyFormat.HEX)

    seen = api.post(f"{API}/preview", json={"keys": ["C3B2A104", "D4C3B2A1"]}).json()

    assert seen["formats"][0] == {"format": "hex_reversed", "readable": 2, "known": 1, "likely": 0}
    meant = {(r["uid"], r["format"], r["known"]) for r in seen["lines"][0]["readings"]}
    assert ("04A1B2C3", "hex_reversed", True) in meant
    lines = [{"key": text, "bindings": [{"scope": "flat", "id": flat}]} for text in ("C3B2A104", "D4C3B2A1")]
    done = api.post(f"{API}/import", json={"keys": lines, "format": "hex_reversed"})
    assert (done.status_code, done.json()) == (201, {"added": 1, "known": 1})
    wrong = api.post(f"{API}/import", json={"keys": [{"key": "hello"}], "format": "hex"})
    assert (wrong.status_code, list(wrong.json()["errors"])) == (422, ["1"])


def test_a_text_that_means_several_keys_is_refused_until_it_is_said_which(site: TestSite) -> None:
    api = site.token()

    refused = api.post(API, json={"key": "123456"})

    assert refused.status_code == 422
    assert "several ways" in refused.json()["errors"]["uid"]
    made = api.post(API, json={"key": "123456", "format": "hex"})
    assert made.json()["uid"] == "123456"


def test_a_token_sees_and_changes_keys_of_its_houses_only(site: TestSite, houses: Houses, flat: int) -> None:
    other = houses.flat(houses.house("7"), "1")
    away = add_key(site.store, SYSTEM, "04A1B2C3", [Binding(KeyScope.FLAT, other)], NOW, format=KeyFormat.HEX)
    with site.store.reading() as connection:
        house = connection.exec_driver_sql(f"SELECT house_id FROM flats WHERE id = {flat}").scalar()
    assert house is not None
    api = site.token([Right.KEYS_VIEW, Right.KEYS_EDIT], Reach(houses=frozenset({house})))

    assert api.get(f"{API}/find?key=04A1B2C3").json() == []
    assert api.get(f"{API}/{away}/bindings").status_code == 404
    assert api.post(f"{API}/{away}/lost", json={}).status_code == 404
    body = {"key": "04A1B2C4", "format": "hex", "bindings": [{"scope": "flat", "id": other}]}
    assert api.post(API, json=body).status_code == 422
    assert api.post(API, json={**body, "bindings": [{"scope": "everywhere"}]}).status_code == 403
    assert api.post(API, json={**body, "bindings": []}).status_code == 403
    body["bindings"] = [{"scope": "flat", "id": flat}]
    assert api.post(API, json=body).status_code == 201


def test_a_token_that_may_only_see_keys_adds_none(site: TestSite) -> None:
    assert site.token([Right.KEYS_VIEW]).post(API, json={"key": "00BC614E"}).status_code == 403
