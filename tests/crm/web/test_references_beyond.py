"""Records that refer to what their reader does not see: they can be changed, what they refer to is kept, not told."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest
import sqlalchemy as sa

from crm.model import Account, House, table
from crm.rights import Reach, Right
from crm.tables.companies import Company
from crm.tables.people import Resident
from tests.crm.houses import Houses
from tests.crm.web.site import Browser, TestSite

MANAGER = (Right.HOUSING_VIEW, Right.HOUSING_EDIT, Right.PEOPLE_VIEW, Right.PEOPLE_EDIT)
NAMES = ("Чужой дом", "Уют")
VEILED = "not yours to see"


@pytest.fixture
def house(site: TestSite, houses: Houses) -> int:
    """A house of the manager's, on a street, kept by a company of which he sees nothing."""
    id = houses.house("5")
    with site.store.transaction() as connection:
        for n, name in enumerate(NAMES, 1):
            connection.execute(sa.insert(table(Company)).values(id=n, name=name))
        connection.execute(sa.update(table(House)).where(House.id == id).values(company_id=1))
    street = site.browser().post("/streets", {"name": "ул. Ленина", "city_id": f"#{houses.city}"})
    site.browser().post(f"/houses/{id}", {"street_id": f"#{street.headers['location'].rpartition('/')[2]}"})
    site.employee("manager", MANAGER, Reach(houses=frozenset({id})))
    return id


@pytest.fixture
def browser(site: TestSite, house: int) -> Browser:
    return site.browser("manager")


def fields_of(page: str) -> dict[str, str]:
    """What a browser would send of a form's inputs, if nothing is typed."""
    inputs = re.findall(r'<input id="f-[^>]*name="([^"]+)"[^>]*?value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in inputs}


def company_of(site: TestSite, house: int) -> int | None:
    with site.store.reading() as connection:
        found: int | None = connection.scalar(sa.select(House.company_id).where(House.id == house))
        return found


def test_a_form_is_sent_back_and_keeps_what_it_does_not_show(
    site: TestSite, browser: Browser, house: int
) -> None:
    page = browser.get(f"/houses/{house}/edit").text
    sent = fields_of(page)

    answer = browser.post(f"/houses/{house}", {**sent, "number": "5б"})

    assert NAMES[0] not in html.unescape(page)
    assert sent["company_id"] == f"{VEILED} #1"
    assert answer.status_code == 303
    assert company_of(site, house) == 1
    assert "Ленина 5б" in browser.text(f"/houses/{house}")


def test_nothing_tells_what_a_record_refers_to_beyond(browser: Browser, house: int) -> None:
    for path in ("/houses", f"/houses/{house}", f"/houses/{house}/edit", "/houses.csv"):
        assert NAMES[0] not in html.unescape(browser.get(path).text), path
    assert VEILED in browser.text("/houses")
    assert VEILED in browser.text(f"/houses/{house}")
    assert "/companies/1" not in browser.get(f"/houses/{house}").text


def test_a_file_of_the_list_has_nothing_there(browser: Browser, house: int) -> None:
    (row,) = csv.DictReader(io.StringIO(browser.get("/houses.csv").text))

    assert (row["Company"], row["City"]) == ("", "Челябинск")


def test_a_reference_to_what_one_does_not_see_is_not_newly_made(
    site: TestSite, browser: Browser, house: int
) -> None:
    answer = browser.post(f"/houses/{house}", {"company_id": "#2", "number": "5б"})

    assert answer.status_code == 422
    assert 'id="f-company_id-error"' in answer.text
    assert NAMES[1] not in html.unescape(answer.text)
    assert company_of(site, house) == 1


def test_a_reference_to_what_one_does_not_see_is_taken_away(
    site: TestSite, browser: Browser, house: int
) -> None:
    assert browser.post(f"/houses/{house}", {"company_id": ""}).status_code == 303
    assert company_of(site, house) is None
    assert browser.post(f"/houses/{house}", {"company_id": "#1"}).status_code == 422


def test_who_sees_it_goes_on_to(site: TestSite, house: int) -> None:
    site.employee("keeper", (*MANAGER, Right.COMPANIES_VIEW), Reach(houses=frozenset({house})))
    browser = site.browser("keeper")

    sent = fields_of(browser.get(f"/houses/{house}/edit").text)

    assert sent["company_id"] == f"{NAMES[0]} #1"
    assert NAMES[0] in browser.text("/houses")


def test_an_account_of_a_resident_without_a_flat_is_changed(
    site: TestSite, houses: Houses, browser: Browser, house: int
) -> None:
    account = houses.account("7351001", houses.flat(house, "1"))
    with site.store.transaction() as connection:
        resident = connection.execute(
            sa.insert(table(Resident)).values(name="Анна Петрова").returning(table(Resident).c.id)
        ).scalar_one()
        mine = sa.update(table(Account)).where(Account.id == account)
        connection.execute(mine.values(resident_id=resident))
    page = browser.get(f"/accounts/{account}/edit").text

    answer = browser.post(f"/accounts/{account}", {**fields_of(page), "sip_user": "7351001"})

    assert answer.status_code == 303, answer.text
    assert "Петрова" not in html.unescape(page) + html.unescape(browser.get(f"/accounts/{account}").text)
    with site.store.reading() as connection:
        assert connection.scalar(sa.select(Account.resident_id)) == resident
