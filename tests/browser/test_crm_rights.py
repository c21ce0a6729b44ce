"""Rights as one meets them: nobody finds anything beyond his reach, in pages, search, files and the API."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect

from crm.rights import Right
from crm.staff.groups import find_groups
from crm.staff.tokens import create_token
from crm.store import Store
from crm.who import COMMAND_LINE
from testbed.browser import ENGLISH, Pages
from tests.browser.crm import COMPANY, COMPANY_PANEL, HOUSE, Crm, Role, Visitor

OTHER_HOUSE = "ул. Ленина 5"


@pytest.fixture
def language() -> str:
    return ENGLISH


@pytest.fixture
def manager(visit: Callable[[Role], Visitor]) -> Visitor:
    """Of a company with one house."""
    return visit(Role.MANAGER)


def flats_of_company(crm: Crm) -> list[int]:
    (house,) = crm.ids("houses", company_id=str(crm.id_of("companies", name=COMPANY)))
    return crm.ids("flats", house_id=str(house))


def test_a_companys_manager_sees_his_house_and_no_other_in_every_list(manager: Visitor) -> None:
    manager.open("/houses")
    lists = manager.menu()
    assert {"/houses", "/flats", "/residents", "/domophones"} <= set(lists)
    for path in lists:
        page = manager.open(path)
        expect(page.locator("h1")).to_have_count(1)
        text = page.locator("main").inner_text()
        assert OTHER_HOUSE not in text, path

    manager.open("/houses")
    manager.says(HOUSE)
    manager.open("/companies")
    manager.says(COMPANY)


def test_a_manager_finds_no_other_houses_flats_people_or_panels(manager: Visitor, crm: Crm) -> None:
    page = manager.open("/houses")
    for typed, beyond in (("Ленина", "Ленина"), ("500001", "500001"), ("Победы", "Победы")):
        with page.expect_response(lambda answer: "/search?" in answer.url):
            page.fill("#search", typed)
        expect(page.locator("#found")).not_to_contain_text(beyond)
    with page.expect_response(lambda answer: "/search?" in answer.url):
        page.fill("#search", "мира")
    expect(page.locator("#found")).to_contain_text(HOUSE)


def test_a_record_beyond_is_as_if_it_were_not_there(manager: Visitor, pages: Pages, crm: Crm) -> None:
    pages.allow("status of 404")
    for resource, filters in (
        ("domophones", {"sip_user": "500001"}),
        ("accounts", {"sip_user": "7351001"}),
    ):
        manager.open(f"/{resource}/{crm.id_of(resource, **filters)}", 404)
    manager.open(f"/flats/{crm.flat('500001', '1')}", 404)
    manager.open(f"/flats/{crm.flat(COMPANY_PANEL, '112012')}")


def test_a_file_of_a_list_ends_where_ones_reach_does(manager: Visitor, pages: Pages, crm: Crm) -> None:
    answer = pages.context.request.get(f"{crm.url}/flats.csv")

    lines = answer.text().splitlines()
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(lines) == 1 + len(flats_of_company(crm))
    assert all(HOUSE in line for line in lines[1:])


def test_a_token_of_the_managers_group_reaches_no_further(crm: Crm) -> None:
    with Store(crm.database) as store:
        groups = {group.name: group.id for group in find_groups(store, COMMAND_LINE)}
        now = time.time()

        def first_flats(group: int | None) -> tuple[set[int], int]:
            token = create_token(
                store, COMMAND_LINE, f"program of {group}", [Right.HOUSING_VIEW], group, now + 60, now
            )
            headers = {"Authorization": f"Bearer {token.secret}"}
            with httpx.Client(base_url=f"{crm.url}/api/v1", headers=headers) as client:
                flats = client.get("/flats").json()["items"]
                other = client.get(f"/flats/{crm.flat('500001', '1')}")
                refused = client.get("/residents")
            assert refused.status_code == 403
            assert refused.headers["content-type"] == "application/problem+json"
            return {flat["id"] for flat in flats}, other.status_code

        everywhere, status = first_flats(None)
        assert (len(everywhere), status) == (50, 200)  # a page
        mine, status = first_flats(groups[f"group of {crm.login(Role.MANAGER)}"])
        assert (mine, status) == (set(flats_of_company(crm)), 404)


def test_the_menu_shows_what_one_may_see_and_the_rest_is_refused(
    visit: Callable[[Role], Visitor], pages: Pages
) -> None:
    pages.allow("status of 403")
    dispatcher = visit(Role.DISPATCHER)
    dispatcher.open("/board")
    menu = set(dispatcher.menu())

    assert {"/board", "/calls", "/houses"} <= menu
    assert not menu & {"/employees", "/groups", "/keys", "/companies", "/residents", "/tokens"}
    for path in ("/residents", "/employees", "/keys"):
        dispatcher.open(path, 403)
    page = dispatcher.open("/houses")
    assert page.get_by_role("link", name="New").count() == 0
