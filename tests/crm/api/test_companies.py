"""Companies in the API: codes, once for each idempotency key; who sees them; billing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config import BillingConfig, CodesConfig
from crm.companies.chores import Chores
from crm.rights import Reach, Right
from crm.store import Store
from tests.crm.companies.world import add_company
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite, open_site

KEY = {"Idempotency-Key": "0123456789abcdef"}
CODES = (Right.COMPANIES_VIEW, Right.CODES_VIEW, Right.CODES_MAKE)


@pytest.fixture
def site(store: Store) -> Iterator[TestSite]:
    with open_site(store, chores=Chores(store, CodesConfig(), BillingConfig())) as site:
        yield site


def test_a_code_is_made_once_for_a_key(site: TestSite, store: Store, houses: Houses) -> None:
    house = houses.house("1")
    houses.panel("101", houses.entrance("п. 1", house))
    company = add_company(store, "Альфа", house)
    api = site.token()

    first, again = (api.post(f"/api/v1/companies/{company}/codes", json={}, headers=KEY) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    (code,) = api.get(f"/api/v1/companies/{company}/codes").json()
    assert code == first.json()
    assert (code["panels"], code["panels_done"], code["made_by"]) == (1, 0, "a program")
    assert api.get(f"/api/v1/companies/{company}/code-panels").json() == {
        **{"known": 0, "waiting": 1, "cannot": 0, "forget": 0},
        "reasons": [],
    }
    assert api.get(f"/api/v1/company-codes?code={code['code']}").json()["total"] == 1


def test_a_company_that_is_not_active_gets_none(site: TestSite, store: Store, houses: Houses) -> None:
    company = add_company(store, "Альфа", houses.house("1"))
    api = site.token()
    api.post(f"/api/v1/companies/{company}/codes", json={})

    assert api.patch(f"/api/v1/companies/{company}", json={"active": False}).status_code == 200

    refused = api.post(f"/api/v1/companies/{company}/codes", json={})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")
    (code,) = api.get(f"/api/v1/companies/{company}/codes").json()
    assert code["ended_at"] is not None


def test_codes_of_companies_beyond_the_reach_are_not_there(
    site: TestSite, store: Store, houses: Houses
) -> None:
    mine, other = houses.house("1"), houses.house("2")
    own, shared = add_company(store, "Альфа", mine), add_company(store, "Бета", other, houses.house("3"))
    api = site.token(CODES, Reach(houses=frozenset({mine, other})))

    assert api.post(f"/api/v1/companies/{own}/codes", json={}).status_code == 201
    assert api.post(f"/api/v1/companies/{shared}/codes", json={}).status_code == 404
    assert api.get(f"/api/v1/companies/{shared}/codes").status_code == 404
    assert api.get("/api/v1/company-codes").json()["total"] == 1
    assert api.get("/api/v1/billing").status_code == 403
    blind = site.token([Right.COMPANIES_VIEW, Right.CODES_MAKE])
    assert blind.post(f"/api/v1/companies/{own}/codes", json={}).status_code == 403


def test_the_plan_and_billing_are_told(site: TestSite, store: Store, houses: Houses) -> None:
    company = add_company(store, "Альфа", houses.house("1"))
    chores: Chores = site.parts["chores"]
    chores.do_due()
    api = site.token()

    plan = api.get("/api/v1/code-plan").json()

    assert [(run["made"], run["waiting"], run["untold"]) for run in plan["runs"]] == [(1, 0, 0)]
    assert plan["next_week"] > plan["runs"][0]["week"]
    assert api.get("/api/v1/code-runs").json()["items"][0]["made"] == 1
    billing = api.get("/api/v1/billing").json()
    assert [each["name"] for each in billing["feeds"]] == ["contracts", "debts"]
    assert api.post("/api/v1/billing/read").status_code == 204
    assert api.post(f"/api/v1/companies/{company}/billing").status_code == 204
    lone = add_company(store, "Бета", active=False)
    assert api.post(f"/api/v1/companies/{lone}/billing").status_code == 409
