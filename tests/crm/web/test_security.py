"""What an attacker tries at the pages: forged requests, foreign hosts, strangers' texts, rights that grow by a detour."""

from __future__ import annotations

import json

import httpx
import pytest
import sqlalchemy as sa

from config import WebConfig
from crm.devices.access import check_url, is_own
from crm.model import City, House, Street, table
from crm.rights import EVERYWHERE, Reach, Right
from crm.staff.groups import create_group
from crm.staff.staff import create_employee
from crm.store import Store
from crm.tables.calls import Call
from crm.who import COMMAND_LINE, Invalid
from tests.crm.web.site import CHEAP, PASSWORD, Browser, TestSite
from tests.crm.web.two_companies import CITY, FOREIGN, NOW, OWN, fill
from tests.crm.web.walking import differing, everything, filled, parts_of, routes

SCRIPT = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
VIEWS = tuple(right for right in Right if right.value.endswith(".view"))


def member(site: TestSite, login: str, *groups: tuple[tuple[Right, ...], Reach]) -> Browser:
    """A browser of somebody who is in a group for each of these."""
    ids = [
        create_group(site.store, COMMAND_LINE, f"{login} {n}", rights, reach, NOW)
        for n, (rights, reach) in enumerate(groups)
    ]
    create_employee(site.store, COMMAND_LINE, CHEAP, login, login, PASSWORD, ids, NOW, language="en")
    return site.browser(login)


# --- every answer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("/sign-in", "/profile", "/houses", "/houses.csv", "/nothing/at/all", "/houses/77", "/healthz"),
        *("/static/style.css", "/static/icon.svg", "/static/none.js", "/static/%2e%2e/app.py"),
        *("/api/v1/openapi.json", "/api/v1/houses", "/api/v1/nothing"),
    ],
)
def test_every_answer_forbids_scripts_and_frames_and_guessing_of_types(site: TestSite, path: str) -> None:
    answer = site.browser().get(path)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    if not path.startswith("/static/"):
        assert answer.headers["cache-control"] == "no-store"
    assert "make_app" not in answer.text


def test_what_is_refused_before_it_is_read_carries_the_same_headers(site: TestSite) -> None:
    browser = site.browser()
    form = {"content-type": "application/x-www-form-urlencoded"}

    for answer in (
        browser.client.post("/houses", data={}),
        browser.client.put("/profile"),
        browser.client.post("/sign-in", content=b"x" * 3_000_000, headers=form),
    ):
        assert answer.status_code in (403, 405, 413)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


# --- forged requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "0" * 128])
def test_no_form_is_taken_without_the_token_of_its_browser(site: TestSite, token: str) -> None:
    fill(site.store)
    browser = site.browser()
    before = everything(site.store)
    for _, path in routes(site, "POST", "PUT", "PATCH", "DELETE"):
        if path.startswith(("/api/", "/imports/new/")):  # test_import_pages has the latter
            continue
        for way in list(filled(path, *[OWN] * len(parts_of(path))))[:2]:
            answer = browser.client.post(way, data={"_csrf_token": token}, follow_redirects=False)
            assert answer.status_code == 403, way
    assert differing(before, everything(site.store)) == ""
    assert browser.get("/profile").status_code == 200


def test_the_cookie_against_forgery_can_be_set_by_no_other_host_where_there_is_tls(store: Store) -> None:
    site = TestSite(store, config=WebConfig(cookies="secure"))
    try:
        cookie = site.browser("").get("/sign-in").headers["set-cookie"]
    finally:
        site.close()
    assert cookie.startswith("__Host-csrftoken=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_a_foreign_host_name_is_written_into_no_answer(site: TestSite) -> None:
    browser = site.browser("")
    for path in ("/", "/houses", "/sign-in", "/api/v1/openapi.json"):
        answer: httpx.Response = browser.get(path, host="evil.example")
        assert "evil.example" not in answer.text + str(answer.headers)


# --- strangers' texts ----------------------------------------------------------------------------------------------


def test_what_a_stranger_dials_and_says_of_himself_is_shown_and_never_run(site: TestSite) -> None:
    fill(site.store)
    said = {
        "panel": OWN.panel,
        "dialled": SCRIPT,
        "address": SCRIPT,
        "flat": "<b>",
        "answered_by": SCRIPT[:60],
    }
    entry = {"at": NOW, "kind": "button", "data": {"panel": SCRIPT, "dialled": SCRIPT}}
    with site.store.transaction() as connection:
        mine = sa.update(table(Call)).where(Call.call_id == OWN.call)
        connection.execute(mine.values(**said, entries=json.dumps([entry])))
        house = sa.update(table(House)).where(House.id == OWN.id)
        connection.execute(house.values(street=SCRIPT, number="<i>'\"", own_id=SCRIPT))
    browser = site.browser()

    for path in (
        *("/calls", f"/calls/{OWN.call}", "/houses", f"/houses/{OWN.id}", f"/house/{OWN.id}/grid"),
        *(
            f"/flats/{OWN.id}",
            f"/quality/houses/{OWN.id}",
            f"/domophones/{OWN.id}",
            "/pick/houses",
            "/search?q=1q",
        ),
    ):
        answer = browser.get(path, **{"user-agent": SCRIPT})
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text, path
        assert "<img src=x" not in answer.text, path
    assert "&lt;script&gt;alert" in browser.get(f"/calls/{OWN.call}").text


def test_a_cell_is_no_formula(site: TestSite) -> None:
    fill(site.store)
    with site.store.transaction() as connection:
        house = sa.update(table(House)).where(House.id == OWN.id)
        connection.execute(house.values(own_id='=HYPERLINK("http://x")'))

    text = site.browser().get("/houses.csv").text

    assert "'=HYPERLINK" in text
    assert ',"=HYPERLINK' not in text


# --- rights that grow by a detour ----------------------------------------------------------------------------------


def test_who_sees_everywhere_ties_nothing_of_others_to_his_own_houses(site: TestSite) -> None:
    fill(site.store)
    own = Reach(companies=frozenset({OWN.id}))
    editor = (Right.HOUSING_EDIT, Right.DEVICES_EDIT, Right.DOORS_OPEN, Right.PEOPLE_EDIT)
    browser = member(site, "editor", (VIEWS, EVERYWHERE), (editor, own))
    before = everything(site.store)

    for path in (
        *(f"/houses/{OWN.id}/entrances", f"/entrances/{OWN.id}/houses", f"/entrances/{OWN.id}/domophones"),
        *(f"/entrances/{OWN.id}/flats", f"/flats/{OWN.id}/entrances", f"/domophones/{OWN.id}/entrances"),
        *(f"/accounts/{OWN.id}/flats", f"/residents/{OWN.id}/flats", f"/phones/{OWN.id}/flats"),
    ):
        assert browser.post(path, {"other": f"x #{FOREIGN.id}"}).status_code in (403, 404), path
    assert differing(before, everything(site.store)) == ""


def test_nobody_gets_rights_at_a_house_by_giving_it_to_his_company(site: TestSite) -> None:
    fill(site.store)
    city, own = Reach(cities=frozenset({CITY})), Reach(companies=frozenset({OWN.id}))
    builder = member(site, "builder", ((*VIEWS, Right.HOUSING_EDIT), city), ((Right.DOORS_OPEN,), own))

    refused = builder.post(f"/houses/{FOREIGN.id}", {"company_id": f"x #{OWN.id}"})
    detour = builder.post(f"/company/{OWN.id}/houses", {"house": f"x #{FOREIGN.id}"})
    allowed = builder.post(f"/houses/{OWN.id}", {"own_id": "another"})
    by_admin = site.browser().post(f"/company/{OWN.id}/houses", {"house": f"x #{FOREIGN.id}"})

    assert refused.status_code == 422
    assert "doors.open" in refused.text
    assert detour.status_code == 422
    assert allowed.status_code == 303
    assert by_admin.status_code == 303


def test_nobody_gets_rights_at_a_house_by_moving_it_to_his_city(site: TestSite) -> None:
    fill(site.store)
    with site.store.transaction() as connection:
        there = {"id": 1, "region": "r", "name": "Там", "time_zone": "UTC"}
        connection.execute(sa.insert(table(City)).values(there))
        connection.execute(sa.insert(table(Street)).values(id=1, city_id=1, name="ул. Та"))
    here, there_too = Reach(companies=frozenset({OWN.id})), Reach(cities=frozenset({1}))
    editor = member(site, "editor", ((*VIEWS, Right.HOUSING_EDIT), here), ((Right.CALLS_LISTEN,), there_too))

    assert editor.post(f"/houses/{OWN.id}", {"street_id": "x #1"}).status_code == 422


def test_weekly_runs_which_count_all_companies_are_for_who_sees_all(site: TestSite) -> None:
    fill(site.store)
    site.employee("manager", reach=Reach(companies=frozenset({OWN.id})))
    assert site.browser("manager").get("/weekly-codes").status_code == 403
    assert site.browser().get("/weekly-codes").status_code == 200


def test_a_row_of_the_board_beyond_looks_like_one_that_is_gone(site: TestSite) -> None:
    fill(site.store)
    site.employee("manager", reach=Reach(companies=frozenset({OWN.id})))
    browser = site.browser("manager")

    beyond, gone = browser.get(f"/board/panel/{FOREIGN.panel}"), browser.get("/board/panel/p-none")

    assert beyond.status_code == gone.status_code == 404
    assert beyond.text.replace(FOREIGN.panel, "p-none") == gone.text


# --- where panels are ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("http://169.254.169.254", "http://[fe80::1]", "http://0.0.0.0", "http://224.0.0.1", "http://[::]"),
        *("http://2130706433", "http://127.1", "http://0x7f.0.0.1", "http://[::ffff:169.254.1.1]"),
    ],
)
def test_the_address_of_no_device_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["http://10.1.2.3", "https://192.168.1.5:8443", "http://panel-5.lan", "http://[fd00::5]"]
)
def test_the_address_of_a_device_is_taken(url: str) -> None:
    check_url(url)
    assert not is_own(url)


def test_who_keeps_some_houses_does_not_have_the_server_ask_itself(site: TestSite) -> None:
    fill(site.store)
    site.employee("manager", reach=Reach(companies=frozenset({OWN.id})))
    manager, admin = site.browser("manager"), site.browser()

    for of in ("domophones", "relays"):
        for host in ("127.0.0.1:8089", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
            answer = manager.post(f"/{of}/{OWN.id}", {"url": f"http://{host}"})
            assert answer.status_code == 422, (of, host)
        assert admin.post(f"/{of}/{OWN.id}", {"url": "http://127.0.0.1:8089"}).status_code == 303
        assert manager.post(f"/{of}/{OWN.id}", {"note": "as it was"}).status_code == 303
