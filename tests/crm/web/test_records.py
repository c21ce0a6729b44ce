"""The pages that all records have, over houses and flats."""

from __future__ import annotations

from crm.rights import Reach, Right
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite


def test_nobody_sees_a_page_before_he_has_signed_in(site: TestSite) -> None:
    answer = site.browser("").get("/houses?city_id=1")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fhouses%3Fcity_id%3D1"


def test_a_house_is_made_changed_and_found_in_the_list(site: TestSite, houses: Houses) -> None:
    browser = site.browser()
    street = browser.post("/streets", {"name": "ул. Ленина", "city_id": f"Челябинск #{houses.city}"})
    id = street.headers["location"].rpartition("/")[2]

    made = browser.post("/houses", {"street_id": f"ул. Ленина #{id}", "number": "5а"})
    browser.post(made.headers["location"], {"number": "5б", "lat": "55,16"})

    assert "Челябинск, ул. Ленина 5б" in browser.text("/houses?number=5б")
    assert "Челябинск" not in browser.text("/houses?number=5а").partition("CSV")[2]
    assert "55.16 °" in browser.text(made.headers["location"])
    assert "5а" in browser.text(made.headers["location"]).partition("История")[2]


def test_what_is_wrong_is_said_and_nothing_that_was_typed_is_lost(site: TestSite, houses: Houses) -> None:
    browser = site.browser()

    answer = browser.post("/cities", {"name": "Копейск", "region": "", "time_zone": "Asia/Nowhere"})

    assert answer.status_code == 422
    assert 'value="Копейск"' in answer.text
    assert answer.text.count('class="error"') == 2


def test_all_that_is_wrong_is_said_at_once(site: TestSite) -> None:
    site.employee("john")
    wrong = {"sip_user": "a b", "mac": "zz", "vendor": "beward", "url": "ftp://x", "floor": "first"}

    answer = site.browser("john").post("/domophones", {**wrong, "sip_password": "x"})

    assert answer.status_code == 422
    for field in ("sip_user", "mac", "url", "floor"):
        assert f'id="f-{field}-error"' in answer.text
        assert f'value="{wrong[field]}"' in answer.text


def test_nobody_sees_beyond_his_reach(site: TestSite, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    flat = houses.flat(other, "7")
    site.employee("manager", [Right.HOUSING_VIEW, Right.HOUSING_EDIT], Reach(houses=frozenset({mine})))
    browser = site.browser("manager")

    listed = browser.text("/houses")

    assert "Ленина 1" in listed
    assert "Ленина 2" not in listed
    assert browser.get(f"/houses/{other}").status_code == 404
    assert browser.get(f"/flats/{flat}").status_code == 404
    assert browser.post(f"/houses/{other}", {"number": "3"}).status_code == 404
    assert browser.post("/flats", {"house_id": str(other), "number": "8"}).status_code == 422
    assert browser.get("/houses.csv").text.count("Ленина") == 2  # title and street of one house
    assert browser.post("/cities", {"name": "X", "region": "Y", "time_zone": "UTC"}).status_code == 403


def test_a_page_is_in_the_language_of_whoever_reads_it(site: TestSite, houses: Houses) -> None:
    site.employee("john", language="en")

    assert "Filter" in site.browser("john").text("/flats")


def test_a_list_goes_on_behind_its_cursor(site: TestSite, houses: Houses) -> None:
    house = houses.house("1")
    for number in range(1, 62):
        houses.flat(house, str(number))
    api = site.token()

    first = api.get(f"/api/v1/flats?house_id={house}&limit=40").json()
    rest = api.get(f"/api/v1/flats?house_id={house}&limit=40&after={first['next']}").json()

    assert [len(first["items"]), len(rest["items"])] == [40, 21]
    assert (first["total"], rest["next"]) == (61, None)
    assert len({each["id"] for each in first["items"] + rest["items"]}) == 61


def test_a_form_without_the_token_against_forgery_is_refused(site: TestSite) -> None:
    browser = site.browser()

    answer = browser.client.post("/cities", data={"name": "X", "region": "Y", "time_zone": "UTC"})

    assert answer.status_code == 403


def test_a_request_with_an_idempotency_key_is_done_once(site: TestSite, houses: Houses) -> None:
    api = site.token()
    key = {"Idempotency-Key": "0123456789abcdef"}
    body = {"name": "Копейск", "region": "Челябинская область", "time_zone": "Asia/Yekaterinburg"}

    first, second = (api.post("/api/v1/cities", json=body, headers=key) for _ in range(2))

    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert api.get("/api/v1/cities?name=Копейск").json()["total"] == 1
    assert api.post("/api/v1/cities", json=body | {"name": "Y"}, headers=key).status_code == 409
