"""The search: a part of the page while typing, a page of its own, and nobody finds what he may not see."""

from __future__ import annotations

from functools import partial

import pytest

from crm.rights import Reach, Right
from crm.search.search import Found, Group, search
from crm.web import search_pages
from tests.crm.houses import Houses
from tests.crm.web.site import Browser, TestSite, plain


def type_in(browser: Browser, text: str) -> str:
    answer = browser.client.get(
        "/search", params={"q": text}, headers={"hx-request": "true", "hx-target": "found"}
    )
    assert answer.status_code == 200
    return answer.text


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(search_pages, "search", partial(search, deadline_s=30.0))


@pytest.fixture
def town(site: TestSite, houses: Houses) -> int:
    api = site.token()
    street = api.post("/api/v1/streets", json={"name": "ул. Ленина", "city_id": houses.city}).json()["id"]
    house = api.post("/api/v1/houses", json={"street_id": street, "number": "5"}).json()["id"]
    api.post("/api/v1/flats", json={"house_id": house, "number": "42"})
    return int(house)


def test_while_typing_only_a_part_is_answered_which_leads_to_records(site: TestSite, town: int) -> None:
    part = type_in(site.browser(), "ленина 5")

    assert "<html" not in part
    assert f'href="/houses/{town}"' in part
    assert 'data-found-for="ленина 5"' in part


def test_without_a_script_the_search_is_a_page(site: TestSite, town: int) -> None:
    page = site.browser().get("/search?q=ленина 5-42")

    assert "<html" in page.text
    assert "Ленина 5, кв. 42" in plain(page.text)
    assert page.text.count("<h1>") == 1


def test_an_empty_field_empties_what_was_found(site: TestSite, town: int) -> None:
    assert type_in(site.browser(), "  ") == ""
    assert "Что найти" in site.browser().text("/search")


def test_where_nothing_is_found_that_is_said(site: TestSite, town: int) -> None:
    part = type_in(site.browser(), "такогонет")

    assert plain(part).count("Ничего не найдено") == 2  # to be seen, and to be heard


def test_what_was_typed_is_never_markup(site: TestSite, town: int) -> None:
    browser = site.browser()

    for text in ('"><script>alert(1)</script>', "{{7*7}}", "%s%(n)s", "\x00"):
        assert "<script>alert" not in type_in(browser, text)
        assert browser.client.get("/search", params={"q": text}).status_code == 200


def test_a_late_answer_says_that_it_is_not_all(
    site: TestSite, town: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = (Group(Found.HOUSE, (), late=True),)
    monkeypatch.setattr(search_pages, "search", lambda *_, **__: late)

    part = plain(type_in(site.browser(), "ленина"))

    assert "Не всё успели просмотреть" in part
    assert "Ничего не найдено" not in part


def test_nobody_finds_what_he_may_not_see(site: TestSite, town: int, houses: Houses) -> None:
    other = houses.house("9")
    site.employee("manager", [Right.HOUSING_VIEW], Reach(houses=frozenset({other})))
    site.employee("crew", [Right.KEYS_VIEW])

    assert "/houses/" not in type_in(site.browser("manager"), "ленина 5")
    assert "/houses/" not in type_in(site.browser("crew"), "ленина 5")
    assert site.browser("").get("/search?q=1").status_code == 303
