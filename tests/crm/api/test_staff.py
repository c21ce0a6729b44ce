"""Employees, groups and tokens by the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crm.rights import Right
from tests.crm.web.site import PASSWORD, TestSite


def test_an_employee_is_made_changed_and_sent_away(site: TestSite) -> None:
    api = site.token()
    group = api.post(
        "/api/v1/groups", json={"name": "G", "rights": ["housing.view"], "reach": {"everywhere": True}}
    ).json()["id"]
    body = {"login": "petrov", "name": "Пётр", "password": PASSWORD, "groups": [group]}

    made = api.post("/api/v1/employees", json=body)
    id = made.json()["id"]
    petrov = site.browser("petrov")
    changed = api.patch(f"/api/v1/employees/{id}", json={"name": "Пётр Петров", "active": False})

    assert made.status_code == 201
    assert PASSWORD not in made.text
    assert changed.json() | {"name": "Пётр Петров", "active": False, "groups": [group]} == changed.json()
    assert petrov.get("/profile").status_code == 303
    assert api.delete(f"/api/v1/groups/{group}").status_code == 409
    assert api.get("/api/v1/employees?login=petrov").json()["total"] == 1


def test_a_group_is_put_and_read(site: TestSite) -> None:
    api = site.token()
    body = {"name": "G", "rights": ["housing.view"], "reach": {"everywhere": True}}
    id = api.post("/api/v1/groups", json=body).json()["id"]

    put = api.put(f"/api/v1/groups/{id}", json=body | {"rights": ["keys.view", "keys.edit"]})

    assert put.json()["rights"] == ["keys.view", "keys.edit"]
    assert api.get(f"/api/v1/groups/{id}/access").json() == put.json()
    assert api.put(f"/api/v1/groups/{id}", json=body | {"rights": ["everything"]}).status_code == 400
    assert api.delete(f"/api/v1/groups/{id}").status_code == 204


def test_a_token_gives_no_more_than_it_has(site: TestSite) -> None:
    api = site.token([Right.TOKENS_EDIT, Right.HOUSING_VIEW])
    ends = (datetime.now(UTC) + timedelta(days=30)).isoformat()

    more = api.post("/api/v1/tokens", json={"name": "x", "rights": ["staff.edit"], "expires_at": ends})
    same = api.post("/api/v1/tokens", json={"name": "x", "rights": ["housing.view"], "expires_at": ends})

    assert more.status_code == 403
    assert same.status_code == 201
    assert same.json()["token"].startswith("td_")
    assert same.json()["token"] not in api.get("/api/v1/tokens").text


def test_without_the_right_staff_is_closed(site: TestSite) -> None:
    api = site.token([Right.HOUSING_VIEW])

    for path in ("employees", "groups", "tokens", "sign-ins", "changes"):
        assert api.get(f"/api/v1/{path}").status_code == 403
    assert api.patch("/api/v1/employees/1", json={"active": False}).status_code == 403
