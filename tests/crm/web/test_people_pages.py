"""Residents, accounts and phones in pages: moving in, what rings, and nobody beyond his houses."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from crm.model import Account, BlockKind, table
from crm.rights import Reach, Right
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite

FLAT_RIGHTS = [Right.HOUSING_VIEW, Right.PEOPLE_VIEW, Right.PEOPLE_EDIT]


def test_somebody_moves_in_by_one_form_and_is_found_by_name_and_number(
    site: TestSite, houses: Houses
) -> None:
    flat = houses.flat(houses.house("5"), "42")
    browser = site.browser()
    person = {"name": "Иванова Мария", "phone": "8 912 345-67-89", "role": "owner"}
    account = {"sip_user": "7351001", "domain": "teledom", "password": "secret", "rings": "yes"}

    made = browser.post("/move-in", {"flat_id": str(flat), **person, **account})

    assert made.status_code == 303
    page = browser.text(made.headers["location"])
    assert "+79123456789" in page
    assert "Ленина 5, кв. 42" in page
    assert "Иванова" in browser.text("/residents?name=мария")
    assert "Иванова" in browser.text("/residents?phone=8912345")
    assert "Иванова" in browser.text("/accounts?sip_user=7351")
    with site.store.reading() as connection:
        ha1 = connection.execute(sa.select(table(Account).c.ha1)).scalar_one()
    assert ha1 == hashlib.md5(b"7351001:teledom:secret").hexdigest()
    assert ha1 not in browser.get("/accounts/1").text


def test_nothing_that_was_typed_is_lost_but_the_password(site: TestSite, houses: Houses) -> None:
    flat = houses.flat(houses.house("5"), "42")

    answer = site.browser().post(
        "/move-in",
        {"flat_id": str(flat), "name": "", "phone": "12", "sip_user": "7351001", "password": "hush-hush"},
    )

    assert answer.status_code == 422
    assert answer.text.count('class="error"') == 2
    assert 'value="7351001"' in answer.text
    assert "hush-hush" not in answer.text


def test_a_page_says_why_a_phone_does_not_ring(site: TestSite, houses: Houses) -> None:
    house = houses.house("5")
    fine, off, blocked = (
        houses.flat(house, number, houses.entrance(number, house)) for number in ("1", "2", "3")
    )
    houses.block(blocked, BlockKind.DEBT, 0.0)
    account = houses.account("7351001", fine, off, blocked)
    houses.phone(account, "a-token", off_for=off)
    houses.phone(account, "")
    site.employee("john")

    text = site.browser("john").text(f"/accounts/{account}")
    rows = text.partition("Which phones ring")[2]

    assert rows.count("the phone is switched off for this flat") == 1
    assert rows.count("no push token") == 3
    assert rows.count("the flat is blocked") == 2


def test_a_manager_sees_and_changes_only_people_of_his_houses(site: TestSite, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    near, far = houses.flat(mine, "7"), houses.flat(other, "8")
    seen, hidden = houses.account("111", near), houses.account("222", far)
    houses.phone(hidden, "a-token")
    shared = houses.account("333", near, far)
    site.employee("manager", FLAT_RIGHTS, Reach(houses=frozenset({mine})))
    browser = site.browser("manager")

    listed = browser.text("/accounts")

    assert "111" in listed
    assert "222" not in listed
    assert browser.get(f"/accounts/{hidden}").status_code == 404
    assert browser.post(f"/accounts/{hidden}", {"password": "x"}).status_code == 404
    assert "222" not in browser.text("/phones")
    assert browser.post("/move-in", {"flat_id": str(near), "name": "Свой"}).status_code == 303
    assert browser.post("/move-in", {"flat_id": str(far), "name": "Чужой"}).status_code == 422
    assert browser.post("/residents", {"name": "Ничей"}).status_code == 422
    assert browser.post(f"/accounts/{seen}/flats", {"other": str(far)}).status_code == 404
    assert browser.post(f"/accounts/{shared}/flats/{far}/remove").status_code == 404
    assert browser.post(f"/accounts/{shared}/delete").status_code == 403
    assert browser.post(f"/accounts/{seen}/delete").status_code == 303


def test_an_account_cannot_take_the_name_of_a_panel(site: TestSite, houses: Houses) -> None:
    houses.panel("500001")

    answer = site.browser().post("/accounts", {"sip_user": "500001", "domain": "teledom", "password": "x"})

    assert answer.status_code == 422
    assert "500001" in answer.text


def test_another_sip_user_needs_the_password_again(site: TestSite, houses: Houses) -> None:
    id = houses.account("111", houses.flat(houses.house("1"), "7"))
    browser = site.browser()

    assert browser.post(f"/accounts/{id}", {"sip_user": "112", "password": ""}).status_code == 422
    assert browser.post(f"/accounts/{id}", {"sip_user": "112", "password": "x"}).status_code == 303
    assert "112" in browser.text(f"/accounts/{id}")


def test_a_push_token_is_shown_shortened(site: TestSite, houses: Houses) -> None:
    phone = houses.phone(
        houses.account("111", houses.flat(houses.house("1"), "7")), "abcdefgh" + "x" * 60 + "wxyz"
    )

    text = site.browser().get(f"/phones/{phone}").text

    assert "abcdefgh…wxyz" in text
    assert "x" * 60 not in text


def test_who_moves_out_is_rung_there_no_more_and_stays_elsewhere(site: TestSite, houses: Houses) -> None:
    house = houses.house("5")
    left, kept = houses.flat(house, "41"), houses.flat(house, "42")
    browser = site.browser()
    person = {"name": "Соколова Анна", "sip_user": "7351777", "password": "secret"}
    resident = browser.post("/move-in", {"flat_id": str(left), **person}).headers["location"]
    id = resident.rpartition("/")[2]
    browser.post(
        "/move-in", {"flat_id": str(kept), "resident_id": id, "sip_user": "7351778", "password": "s"}
    )
    browser.post("/accounts/1/flats", {"other": str(kept), "rings": "yes"})

    answer = browser.post(f"/resident/{id}/move-out/{left}")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/flats/{left}"
    card = browser.get(f"/flats/{left}").text.partition("<article")[2].partition("</article>")[0]
    assert "Соколова" not in card
    assert "7351777" not in card
    homes = browser.get(resident).text.partition('id="link-flats"')[2].partition("</table>")[0]
    assert "кв. 42" in homes
    assert "кв. 41" not in homes
    assert "7351778" in browser.text(f"/flats/{kept}")
    assert browser.post(f"/resident/{id}/move-out/{left}").status_code == 404


def test_nobody_is_moved_out_of_other_houses(site: TestSite, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    near, far = houses.flat(mine, "7"), houses.flat(other, "8")
    admin = site.browser()
    resident = admin.post("/move-in", {"flat_id": str(near), "name": "Свой"}).headers["location"]
    id = resident.rpartition("/")[2]
    admin.post("/move-in", {"flat_id": str(far), "resident_id": id})
    site.employee("manager", FLAT_RIGHTS, Reach(houses=frozenset({mine})))
    browser = site.browser("manager")

    assert browser.post(f"/resident/{id}/move-out/{far}").status_code == 404
    assert browser.post(f"/resident/{id}/move-out/{near}").status_code == 303
    homes = admin.get(resident).text.partition('id="link-flats"')[2].partition("</table>")[0]
    assert "кв. 8" in homes
    assert "кв. 7" not in homes


def test_a_list_says_where_somebody_lives_by_a_flat_that_the_reader_may_see(
    site: TestSite, houses: Houses
) -> None:
    mine, other = houses.house("1"), houses.house("2")
    far, near = houses.flat(other, "77"), houses.flat(mine, "42")
    admin = site.browser()
    account = {"sip_user": "7351778", "password": "s"}
    id = (
        admin.post("/move-in", {"flat_id": str(far), "name": "Свой", **account})
        .headers["location"]
        .rpartition("/")[2]
    )
    admin.post("/move-in", {"flat_id": str(near), "resident_id": id})
    site.employee("manager", [Right.PEOPLE_VIEW], Reach(houses=frozenset({mine})))

    assert "ул. Ленина 2, кв. 77" in admin.text("/residents")
    assert "ул. Ленина 2, кв. 77" in admin.text("/accounts")
    assert "ул. Ленина 1, кв. 42" in site.browser("manager").text("/residents")
