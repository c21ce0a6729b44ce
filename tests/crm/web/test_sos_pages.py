"""The pages of 112: what they show, to whom, and what is done by them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm.rights import Reach, Right
from crm.sos.leases import load_pool
from crm.sos.tests import claim_test, finish_test, get_test
from crm.store import Store
from tests.crm.sos.world import CITY, NUMBERS, SosWorld, sos_world


@pytest.fixture
def world(store: Store) -> Iterator[SosWorld]:
    with sos_world(store) as world:
        yield world


def test_the_page_shows_pools_and_who_stands_behind_which_number(world: SosWorld) -> None:
    world.site.employee("duty", [Right.SOS_VIEW])
    text = world.site.browser("duty").text("/sos")

    assert "Челябинск chel 2 free of 4 lent: 1 guaranteed: 1 kept: 0" in text
    assert f"{NUMBERS[0]} in a call since" in text
    assert f"{NUMBERS[1]} guaranteed until" in text
    assert "Ленина 2" in text
    assert "Put in" not in text
    assert "Test now" not in text


def test_one_item_of_the_menu_is_where_somebody_is(world: SosWorld) -> None:
    browser = world.site.browser()

    for path in ("/sos", "/sos/leases", "/sos/overdue", "/cities"):
        here = browser.get(path).text.split('aria-current="page"')
        assert len(here) == 2, path


def test_the_board_has_a_line_for_each_pool_the_emptiest_first(world: SosWorld) -> None:
    world.site.employee("duty", [Right.SOS_VIEW])
    browser = world.site.browser("duty")

    assert "Челябинск 2 of 4 can be lent" in browser.text("/board/pools")
    assert 'class="state look"' in browser.get("/board/pools").text  # no more than [sos] low_numbers
    assert (
        world.site.browser("nobody" if world.site.employee("nobody", []) else "")
        .get("/board/pools")
        .status_code
        == 403
    )


def test_who_stood_behind_a_number_is_told_for_any_time(world: SosWorld) -> None:
    browser = world.site.browser()
    number = NUMBERS[1].replace("+7", "8 ")

    now, before = (
        browser.text(f"/sos?number={number}"),
        browser.text(f"/sos?number={number}&at=2020-01-01T10:00"),
    )

    assert "Ленина 2, п. 1" in now
    assert "Ни одна из видимых вам панелей" in before


def test_who_is_bounded_sees_no_panel_beyond_his_reach(world: SosWorld) -> None:
    world.site.employee("manager", [Right.SOS_VIEW, Right.SOS_EDIT], Reach(houses=frozenset({world.mine})))
    browser = world.site.browser("manager")

    assert "Ленина 2" not in browser.text("/sos")
    assert "Ленина 1" in browser.text("/sos")
    assert "No panel that you may see" in browser.text(f"/sos?number={NUMBERS[1][1:]}")
    assert "p2" not in browser.text("/sos/leases")
    assert browser.get("/sos/leases.csv").text.count("call-") == 1
    assert browser.post("/sos/tests", {"panel": "p2"}).status_code == 404
    assert browser.post("/sos/numbers", {"numbers": "+71", "fias": CITY}).status_code == 403


def test_numbers_are_put_in_and_taken_out_and_a_guaranteed_one_stays(store: Store, world: SosWorld) -> None:
    browser = world.site.browser()
    before = load_pool(store, CITY).version

    put = browser.post(
        "/sos/numbers", {"fias": CITY, "numbers": f"+7 351 200-09-99\n{NUMBERS[2]}", "do": "in"}
    )
    assert put.headers["location"] == "/sos?done=1&left=1&do=in#numbers"
    assert "Добавлено: 1." in browser.text("/sos?done=1&left=1&do=in")
    out = browser.post("/sos/numbers", {"numbers": "+73512000999", "do": "out"})
    assert out.status_code == 303
    held = browser.post("/sos/numbers", {"numbers": f"{NUMBERS[3]}\n{NUMBERS[1]}", "do": "out"})
    wrong = browser.post("/sos/numbers", {"fias": CITY, "numbers": "seven", "do": "in"})

    assert held.status_code == 409
    assert f"{NUMBERS[3]}\n{NUMBERS[1]}" in held.text.replace("\r", "")
    assert wrong.status_code == 422
    pool = load_pool(store, CITY)
    assert [each.number for each in pool.numbers] == NUMBERS
    assert pool.version == before + 2  # nodes see that it has changed, and what failed changed nothing


def test_a_panels_112_is_tested_from_its_page(store: Store, world: SosWorld) -> None:
    browser = world.site.browser()

    page = browser.post("/sos/tests", {"panel": "p1"}).headers["location"]
    id = int(page.rpartition("/")[2])
    assert "ждёт узла" in browser.text(page)
    assert claim_test(store, id, "node1", world.now + 10)
    assert browser.post(f"/sos/tests/{id}/take-back").status_code == 409
    finish_test(store, id, True, "somebody answered", "call-9", world.now + 12)
    text = browser.text(f"/sos/tests/{id}/state")
    assert "прошла ответил somebody" in text
    assert "Проверить ещё раз" in text

    again = int(browser.post("/sos/tests", {"panel": "p1"}).headers["location"].rpartition("/")[2])
    assert browser.post(f"/sos/tests/{again}/take-back").status_code == 303
    assert get_test(store, again) is None


def test_panels_overdue_are_listed_until_they_pass(store: Store, world: SosWorld) -> None:
    browser = world.site.browser()
    assert "Ленина 1" in browser.text("/sos/overdue")

    id = int(browser.post("/sos/tests", {"panel": "p1"}).headers["location"].rpartition("/")[2])
    claim_test(store, id, "node1", world.now + 10)
    finish_test(store, id, True, "answered", "", world.now)

    assert "Ленина 1" not in browser.text("/sos/overdue")
    assert "Ленина 2" in browser.text("/sos/overdue")
