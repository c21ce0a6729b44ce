"""What the operator's staff does all day, done as it does it: by the labels on the page, from the menu's pages on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from testbed.browser import DESK, ENGLISH, PHONE, Pages, Screen
from tests.browser.crm import COMPANY, COMPANY_PANEL, Crm, Role, Visitor, pick
from tests.browser.harness import assert_accessible, assert_fits, screenshot


@pytest.fixture
def language() -> str:
    return ENGLISH


def save(page: Page, name: str = "Save") -> None:
    page.locator("main").get_by_role("button", name=name, exact=True).click()


def agree(page: Page) -> None:
    page.once("dialog", lambda dialog: dialog.accept())


def test_a_house_is_made_with_all_its_flats_in_one_form_that_shows_it_first(admin: Visitor) -> None:
    page = admin.open("/houses")
    page.get_by_role("link", name="New").click()
    pick(page.get_by_label("Street"), "Ленина")
    page.get_by_label("Number", exact=True).fill("99")
    page.get_by_label("Entrances and flats").fill("1: 1-36; 2: 37-72")
    page.get_by_label("Floors").fill("9")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("2 entrances")
    expect(preview).to_contain_text("72 flats")
    expect(preview.get_by_role("row")).to_have_count(1 + 9)
    expect(preview.get_by_role("row").nth(1)).to_contain_text("36")
    screenshot(page, "houses-new-preview")

    save(page, "Make the house")

    expect(page.locator("h1")).to_have_text("Челябинск, ул. Ленина 99")
    expect(page.locator("#grid a.cell")).to_have_count(72)
    page.locator("#grid a.cell").filter(has_text="37").click()
    expect(page.get_by_role("link", name="37").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]flat=\d+"))
    page.reload()
    expect(page.locator('#grid a.cell[aria-current="true"]')).to_have_count(1)


def test_what_is_wrong_with_a_range_is_said_while_it_is_typed(admin: Visitor) -> None:
    page = admin.open("/houses/new")
    page.get_by_label("Entrances and flats").fill("1: 36-1")
    expect(page.locator("#preview .error")).to_be_visible()
    page.get_by_label("Entrances and flats").fill("1: 1-36; 2: 30-40")
    expect(page.locator("#preview")).to_contain_text("this cannot be made yet")


def test_a_resident_moves_in_with_an_account_and_a_phone_is_rung_for_the_flat(
    admin: Visitor, crm: Crm
) -> None:
    page = admin.open("/move-in")
    pick(page.get_by_label("Flat", exact=True), "Победы 11, кв. 7")
    page.get_by_label("Name").fill("Новосёлов Пётр Ильич")
    page.locator('[name="phone"]').fill("8 912 345-67-89")
    page.locator('[name="sip_user"]').fill("7351777")
    page.locator('[name="password"]').fill("a secret of the phone")
    save(page, "Move in")

    expect(page.locator("h1")).to_have_text("Новосёлов Пётр Ильич")
    admin.says("+79123456789")
    admin.says("пр. Победы 11, кв. 7")
    admin.says("7351777")
    assert "a secret of the phone" not in page.content()
    assert_accessible(page)
    page.get_by_role("link", name="7351777").first.click()
    assert "a secret of the phone" not in page.content()


def test_flats_are_blocked_with_a_reason_and_taken_back(admin: Visitor, crm: Crm) -> None:
    page = admin.open("/blocks/new")
    pick(page.get_by_label("House"), "Ленина 7")
    page.get_by_label("Flats").fill("7, 42")
    page.locator('[name="kind"]').select_option("technical")
    page.get_by_label("Reason").fill("the riser is being repaired")
    expect(page.locator("#preview")).not_to_contain_text("How many flats this is")
    expect(page.locator("#preview")).to_contain_text("2 flats will be blocked")
    screenshot(page, "blocks-new-preview")
    save(page, "Block")

    rows = page.get_by_role("row").filter(has_text="the riser is being repaired")
    expect(rows).to_have_count(2)
    blocks = page.url
    for row in range(2):
        page.goto(blocks)
        rows.nth(row).get_by_role("link").first.click()
        agree(page)
        save(page, "Take back")
        admin.says("past")


def test_an_employee_and_his_group_are_made_and_he_may_do_what_it_says(
    admin: Visitor, crm: Crm, pages: Pages
) -> None:
    page = admin.open("/groups")
    page.get_by_role("link", name="New").click()
    page.get_by_label("Name").fill("Night dispatchers")
    for right in ("board.view", "calls.view"):
        page.locator(f'[name="rights"][value="{right}"]').check()
    page.get_by_label("Everywhere").check()
    save(page)
    expect(page.locator("h1")).to_have_text("Night dispatchers")

    page = admin.open("/employees")
    page.get_by_role("link", name="New").click()
    page.locator('[name="login"]').fill("night")
    page.locator('[name="name"]').fill("Ночной Диспетчер")
    page.locator('[name="password"]').fill(crm.password)
    page.get_by_label("Night dispatchers").check()
    save(page)
    expect(page.locator("h1")).to_have_text("Ночной Диспетчер")
    admin.says("Night dispatchers")

    pages.context.add_cookies([{"name": "teledom", "value": crm.session("night"), "url": crm.url}])
    admin.open("/calls")
    assert set(admin.menu()) == {"/board", "/calls"}


def test_a_companys_new_code_gets_to_its_panels(admin: Visitor, crm: Crm) -> None:
    page = admin.open(f"/companies/{crm.id_of('companies', name=COMPANY)}")
    agree(page)
    page.get_by_role("button", name="New code now").click()

    code = page.locator(".code-now code")
    expect(code).to_have_text(re.compile(r"^\d{5,8}$"))
    state = crm.doors[COMPANY_PANEL]
    until = time.monotonic() + 20
    while state.codes != [code.inner_text()] and time.monotonic() < until:
        page.wait_for_timeout(200)  # Playwright's own: what goes on in the page goes on
    assert state.codes == [code.inner_text()]
    page.reload()
    admin.says("1 panel knows it")


def test_a_door_is_opened_from_the_panels_page_and_who_did_it_stands_there(admin: Visitor, crm: Crm) -> None:
    page = admin.open(f"/domophones/{crm.id_of('domophones', sip_user='500004')}")
    said: list[str] = []

    def answer(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.accept() if len(said) > 1 else dialog.dismiss()

    page.on("dialog", answer)
    page.get_by_role("button", name="Open the door").click()
    assert crm.doors["500004"].doors == []

    page.get_by_role("button", name="Open the door").click()

    expect(page.locator("main").get_by_role("status")).to_contain_text("has opened the door")
    assert crm.doors["500004"].doors == [1]
    assert said == ["Open this door now?"] * 2
    expect(page.locator("#door tbody tr").first).to_contain_text("Mary Test")
    assert crm.doors["500004"].password not in page.content()


def test_a_panel_that_does_not_answer_is_said_to_have_opened_nothing(
    admin: Visitor, crm: Crm, pages: Pages
) -> None:
    pages.allow("status of 502")
    page = admin.open(f"/domophones/{crm.id_of('domophones', sip_user='500006')}")
    right, crm.doors["500006"].password = crm.doors["500006"].password, "another one"
    agree(page)
    page.get_by_role("button", name="Open the door").click()

    expect(page.locator("main")).to_contain_text("password")
    assert crm.doors["500006"].doors == []
    crm.doors["500006"].password = right


def test_a_key_is_added_as_it_is_printed_found_however_it_is_written_and_lost(
    admin: Visitor, crm: Crm
) -> None:
    page = admin.open("/keys")
    page.get_by_role("link", name="Add a key").click()
    page.get_by_label("Key, in any way").fill("0012345678 188,24910")
    expect(page.locator("#readings")).to_contain_text("certain")
    screenshot(page, "key-add-readings")
    page.locator('[name="scope"]').select_option("flat")
    pick(page.get_by_label("which"), "Ленина 5, кв. 2")
    save(page, "Add")
    expect(page.locator("h1")).to_contain_text("BC614E")
    admin.says("ул. Ленина 5, 2")

    page.fill("#search", "12345678")
    expect(page.locator("#found")).to_contain_text("BC614E")
    page.keyboard.press("Escape")

    page.get_by_text("This key is lost").click()
    page.get_by_label("Why", exact=True).fill("fell into a drain")
    agree(page)
    save(page, "Lost: block it everywhere")
    admin.says("lost: it opens nothing")
    admin.says("fell into a drain")


def test_a_file_is_checked_as_a_whole_before_anything_is_written(
    admin: Visitor, crm: Crm, tmp_path: Path
) -> None:
    page = admin.open("/imports")
    page.locator('main a[href="/imports/new/houses"]').click()
    with page.expect_download() as sample:
        page.get_by_role("link", name="Sample file").click()
    heading, first, *_ = Path(sample.value.path()).read_text(encoding="utf-8-sig").splitlines()
    file = tmp_path / "houses.csv"

    wrong = first.replace("Челябинск", "Нигдебург").replace("0b1f2c3d-0000", "no id")
    file.write_text(f"{heading}\n{first}\n{wrong}\n", encoding="utf-8")
    page.locator('[name="file"]').set_input_files(file)
    save(page, "Check the file")
    expect(page.locator("main")).to_contain_text("Nothing of it was written", timeout=20_000)
    expect(page.get_by_role("columnheader", name="What is wrong")).to_be_visible()
    screenshot(page, "imports-errors")

    page.get_by_role("link", name="Another file").click()
    file.write_text(f"{heading}\n{first}\n", encoding="utf-8")
    page.locator('[name="file"]').set_input_files(file)
    save(page, "Check the file")
    expect(page.locator("main")).to_contain_text("nothing is written yet", timeout=20_000)
    screenshot(page, "imports-ready")
    save(page, "Write")
    expect(page.locator("dt", has_text="Added")).to_be_visible(timeout=20_000)
    assert_accessible(page)


def test_the_search_finds_a_flat_a_person_a_panel_and_a_phone_number(admin: Visitor) -> None:
    page = admin.open("/profile")
    found = page.locator("#found")
    for typed, wanted in (
        ("ленина 5 кв 42", "кв. 42"),
        ("кузнецова", "Кузнецова"),
        ("02:50:00:07:a1:21", "500001"),
        ("7351042", "7351042"),
        (COMPANY.lower(), COMPANY),
    ):
        page.fill("#search", typed)
        expect(found).to_contain_text(wanted)
        if typed.startswith("ленина"):
            screenshot(page, "search")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(COMPANY)


def test_a_number_of_112_is_put_in_and_who_stood_behind_one_is_told(admin: Visitor) -> None:
    page = admin.open("/sos")
    expect(page.locator(".pool")).to_have_count(3)
    page.get_by_label("City", exact=True).select_option(label="Копейск")
    page.get_by_label("Numbers", exact=True).fill("+73513900077")
    save(page, "Put in")
    admin.says("Put in: 1.")

    page = admin.open("/sos")
    page.get_by_label("Number", exact=True).fill("+73513900077")
    save(page, "Tell")
    admin.says("No panel that you may see has stood behind this number")


def test_a_quality_campaign_is_started_paused_and_stopped(admin: Visitor) -> None:
    page = admin.open("/quality-campaigns")
    page.get_by_role("link", name="New").first.click()
    page.get_by_label("Name").fill("Autumn")
    page.get_by_label("Houses").fill("пр. Победы 11")
    page.get_by_label("Hours", exact=True).fill("03:00-03:01")
    save(page, "Start")
    expect(page.locator("h1")).to_have_text("Autumn")
    admin.says("0 of 45 flats")

    save(page, "Pause")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    agree(page)
    save(page, "Stop")
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_a_crew_in_a_stairwell_finds_a_flat_and_rings_its_phones(
    visit: Callable[[Role], Visitor], crm: Crm, screen: Screen
) -> None:
    crew = visit(Role.CREW)
    page = crew.open("/houses")
    page.fill("#search", "ленина 5 кв 2")
    page.locator("#found a").filter(has_text="кв. 2").first.click()
    expect(page.locator("h1")).to_contain_text("кв. 2")
    assert_fits(page)

    page.get_by_role("button", name=re.compile("Ring")).first.click()

    crm.do(crm.phones["7351003"].wait_event, "CALL_INCOMING")
    crm.do(crm.phones["7351003"].hangup)
