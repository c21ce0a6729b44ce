"""The pages of companies: their code, who sees it, their houses, weekly runs, billing."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
import sqlalchemy as sa

from config import BillingConfig, CodesConfig
from crm.companies.billing import DebtTold
from crm.companies.chores import Chores
from crm.companies.code_billing import tell_due
from crm.companies.code_runs import codes_of, make_by_hand
from crm.companies.debts import take_debts
from crm.model import BlockKind, Flat, FlatBlock, table
from crm.rights import Reach, Right
from crm.store import Store
from crm.tables.companies import CodeDelivery
from crm.who import SYSTEM
from tests.crm.companies.world import add_company, billing_world
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite, open_site

VIEW = (Right.COMPANIES_VIEW, Right.HOUSING_VIEW)


@pytest.fixture
def site(store: Store) -> Iterator[TestSite]:
    chores = Chores(store, CodesConfig(), BillingConfig())
    with open_site(store, chores=chores) as site:
        yield site


def code_of(store: Store, company: int) -> str:
    holds = [each.code for each in codes_of(store, SYSTEM, company) if each.ended_at is None]
    return holds[0] if holds else ""


def make(store: Store, company: int) -> str:
    return make_by_hand(store, SYSTEM, company, 5, time.time(), billing=False).code


def test_a_company_is_made_and_gets_a_code_by_hand(site: TestSite, store: Store) -> None:
    browser = site.browser()
    made = browser.post("/companies", {"name": "УК Альфа", "inn": "7451 000000", "phone": "8 351 700-00-00"})
    id = int(made.headers["location"].rpartition("/")[2])

    answer = browser.post(f"/company/{id}/code")

    assert answer.status_code == 303
    shown = browser.text(f"/companies/{id}")
    assert code_of(store, id) in shown
    assert "+73517000000" in shown
    assert "7451000000" in shown


def test_what_is_no_inn_or_phone_is_said_beside_the_field(site: TestSite) -> None:
    answer = site.browser().post("/companies", {"name": "УК", "inn": "12", "phone": "x", "email": "nobody"})

    assert answer.status_code == 422
    assert answer.text.count('class="error"') == 3


def test_a_code_is_seen_nowhere_without_its_right(site: TestSite, store: Store, houses: Houses) -> None:
    company = add_company(store, "Альфа", houses.house("1"))
    code = make(store, company)
    site.employee("clerk", [*VIEW, Right.COMPANIES_EDIT, Right.CHANGES_VIEW])
    browser, api = site.browser("clerk"), site.token([*VIEW, Right.CHANGES_VIEW])

    for path in (f"/companies/{company}", "/companies", "/companies.csv", f"/companies/{company}/edit"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert code not in answer.text
    for path in ("/company-codes", "/company-codes.csv", "/weekly-codes", "/code-runs"):
        assert browser.get(path).status_code == 403
    assert code not in api.get(f"/api/v1/companies/{company}").text
    assert api.get(f"/api/v1/companies/{company}/codes").status_code == 403
    assert api.get("/api/v1/company-codes").status_code == 403


def test_a_manager_of_some_houses_sees_the_company_and_its_code_only_with_all_of_them(
    site: TestSite, store: Store, houses: Houses
) -> None:
    mine, other = houses.house("1"), houses.house("2")
    both, foreign = add_company(store, "Альфа", mine, other), add_company(store, "Бета", houses.house("3"))
    code = make(store, both)
    site.employee("part", [*VIEW, Right.CODES_VIEW], Reach(houses=frozenset({mine})))
    site.employee("whole", [*VIEW, Right.CODES_VIEW], Reach(companies=frozenset({both})))
    part, whole = site.browser("part"), site.browser("whole")

    assert code not in part.text(f"/companies/{both}")
    assert "not yours" in part.text(f"/companies/{both}")
    assert "Ленина 2" not in part.text(f"/companies/{both}")
    assert code in whole.text(f"/companies/{both}")
    assert code in whole.text("/company-codes")
    assert code not in part.text("/company-codes")
    assert part.get(f"/companies/{foreign}").status_code == 404
    assert "Бета" not in whole.text("/companies")


def test_an_inactive_company_has_no_code_and_gets_none(site: TestSite, store: Store, houses: Houses) -> None:
    house = houses.house("1")
    panel = houses.panel("101", houses.entrance("п. 1", house))
    company = add_company(store, "Альфа", house)
    code = make(store, company)
    told(store, panel)
    browser = site.browser()

    browser.post(f"/companies/{company}", {"active": "no"})

    assert code_of(store, company) == ""
    assert waiting(store) == [panel]
    assert "1 ещё не забыл прежний" in browser.text(f"/companies/{company}")
    answer = browser.post(f"/company/{company}/code")
    assert answer.status_code == 409
    assert code in browser.text(f"/companies/{company}")  # among those before
    assert browser.post(f"/companies/{company}/delete").status_code == 409


def test_a_house_is_added_and_taken_away_and_its_panels_learn_and_forget(
    site: TestSite, store: Store, houses: Houses
) -> None:
    house = houses.house("1")
    panel = houses.panel("101", houses.entrance("п. 1", house))
    company = add_company(store, "Альфа")
    make(store, company)
    browser = site.browser()

    added = browser.post(f"/company/{company}/houses", {"house": f"Челябинск, ул. Ленина 1 #{house}"})
    assert added.status_code == 303
    assert waiting(store) == [panel]
    told(store, panel)
    assert "Ленина 1" in browser.text(f"/companies/{company}")
    browser.post(f"/company/{company}/houses/{house}/remove")

    assert waiting(store) == [panel]
    assert "Ленина 1" not in browser.text(f"/companies/{company}")
    assert browser.post(f"/company/{company}/houses/{house}/remove").status_code == 404
    assert browser.post(f"/company/{company}/houses", {"house": "nothing"}).status_code == 422


def test_who_may_not_change_a_house_gives_it_to_no_company(
    site: TestSite, store: Store, houses: Houses
) -> None:
    mine, other = houses.house("1"), houses.house("2")
    company = add_company(store, "Альфа", mine)
    rights = [*VIEW, Right.HOUSING_EDIT, Right.COMPANIES_EDIT]
    site.employee("manager", rights, Reach(companies=frozenset({company})))
    browser = site.browser("manager")

    answer = browser.post(f"/company/{company}/houses", {"house": str(other)})

    assert answer.status_code == 422
    assert "Ленина 2" not in browser.text(f"/companies/{company}")


def test_a_code_is_not_made_without_the_right(site: TestSite, store: Store, houses: Houses) -> None:
    company = add_company(store, "Альфа", houses.house("1"))
    site.employee("viewer", [*VIEW, Right.CODES_VIEW])
    browser = site.browser("viewer")

    assert browser.post(f"/company/{company}/code").status_code == 403
    assert browser.post(f"/company/{company}/billing").status_code == 403
    assert browser.post("/billing/read").status_code == 403
    assert code_of(store, company) == ""


def test_billing_is_told_again_and_says_what_is_wrong(store: Store, houses: Houses) -> None:
    with billing_world() as world:
        chores = Chores(store, CodesConfig(), world.settings)
        with open_site(store, chores=chores) as site:
            company = add_company(store, "Альфа", houses.house("1"))
            browser = site.browser()
            assert browser.post(f"/company/{company}/billing").status_code == 409
            browser.post(f"/company/{company}/code")
            tell_due(store, world.client, world.settings, time.time)
            told = browser.text(f"/companies/{company}")
            assert browser.post(f"/company/{company}/billing").status_code == 303
            assert world.settings.url in browser.text("/billing")
            assert browser.post("/billing/read").status_code == 303
    assert "● синхронизирована" in told or "синхронизирована последний раз" in told


def test_the_runs_page_says_when_the_next_one_is(site: TestSite, store: Store, houses: Houses) -> None:
    add_company(store, "Альфа", houses.house("1"))
    chores: Chores = site.parts["chores"]
    chores.do_due()

    shown = site.browser().text("/weekly-codes")

    assert "05:00 Europe/Moscow" in shown
    assert shown.count("1 0 0") == 1  # made, waiting, untold


def test_another_contract_brings_its_debt(site: TestSite, store: Store, houses: Houses) -> None:
    flat = houses.flat(houses.house("1"), "7")
    since = datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC)
    with store.transaction() as connection:
        take_debts(connection, [DebtTold("A-7", since, Decimal(100))], time.time())
    browser = site.browser()
    assert "A-7" in browser.text("/billing")

    browser.post(f"/flats/{flat}", {"contract": "A-7"})

    query = sa.select(FlatBlock.kind, FlatBlock.until).where(FlatBlock.flat_id == flat)
    with store.reading() as connection:
        assert connection.execute(query).all() == [(BlockKind.DEBT.value, None)]
    assert "A-7" not in browser.text("/billing")
    browser.post(f"/flats/{flat}", {"contract": ""})
    with store.reading() as connection:
        assert connection.execute(query).one().until is not None
        assert connection.scalar(sa.select(Flat.contract).where(Flat.id == flat)) == ""


def told(store: Store, panel: int) -> None:
    """The panel has learnt all that it was to."""
    deliveries = table(CodeDelivery)
    mine = sa.update(deliveries).where(deliveries.c.domophone_id == panel)
    with store.transaction() as connection:
        connection.execute(mine.values(done_at=1.0, tries=1, error=""))


def waiting(store: Store) -> list[int]:
    """Panels that are to be told something of codes."""
    query = sa.select(CodeDelivery.domophone_id).where(CodeDelivery.done_at.is_(None))
    with store.reading() as connection:
        return list(connection.scalars(query))
