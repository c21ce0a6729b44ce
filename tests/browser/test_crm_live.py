"""The live board while real calls go on: it moves by itself, holds still under the pointer, and says when it is old."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from testbed.browser import ENGLISH
from tests.browser.crm import FLAT, PANEL, PHONES, Crm, Visitor
from tests.browser.harness import assert_accessible, screenshot

ADDRESS = "ул. Ленина 5, п. 1"


@pytest.fixture
def language() -> str:
    return ENGLISH


@pytest.fixture
def ended(crm: Crm) -> Iterator[None]:
    """Whatever call a test leaves is hung up."""
    yield
    if not crm.node.running:
        crm.do(crm.node.start)
    crm.do(crm.panel.command, "hangupall")


def calls(page: Page) -> Locator:
    return page.locator("#calls > li")


def figure(page: Page, name: str) -> Locator:
    return page.locator(f'[data-figure="{name}"]')


@pytest.mark.usefixtures("ended")
def test_a_call_appears_changes_and_ends_without_a_reload(admin: Visitor, crm: Crm) -> None:
    page = admin.open("/board")
    page.evaluate("window.stays = true")
    expect(figure(page, "calls")).to_have_text("0")
    before = calls(page).count()

    crm.do(crm.ring)
    expect(calls(page)).to_have_count(before + 1)
    newest = calls(page).first
    expect(newest).to_contain_text(ADDRESS)
    expect(newest).to_contain_text("rings 1 phone")
    expect(figure(page, "calls")).to_have_text("1")
    expect(figure(page, "panels")).to_have_text("1")
    assert_accessible(page)

    crm.do(crm.answer)
    expect(newest).to_contain_text("talking")
    expect(newest).to_contain_text(PHONES[0])
    screenshot(page, "board-call")

    crm.do(crm.phones[PHONES[0]].send_digits, "5")
    expect(newest).to_contain_text("door opened")
    crm.do(crm.hang_up)
    expect(newest).to_contain_text("talked")
    expect(figure(page, "calls")).to_have_text("0")
    assert page.evaluate("window.stays"), "the page was loaded again"
    newest.get_by_role("link", name="talked").click()
    expect(page.locator("h1")).to_contain_text(ADDRESS)


@pytest.mark.usefixtures("ended")
def test_a_112_call_stands_above_all_with_the_address_to_be_read_out(admin: Visitor, crm: Crm) -> None:
    page = admin.open("/board")
    expect(page.locator("#sos")).to_be_hidden()

    crm.do(crm.press_sos)
    expect(page.locator("#sos")).to_contain_text(ADDRESS)
    expect(page.get_by_role("alert")).to_have_text(f"112: Челябинск, {ADDRESS}")
    expect(page).to_have_title(re.compile("112"))
    assert_accessible(page)
    screenshot(page, "board-112")
    page.goto(f"{crm.url}/sos")
    expect(page.locator("#sos")).to_contain_text(ADDRESS)

    crm.do(crm.panel.hangup)
    expect(page.locator("#sos")).to_be_hidden()
    admin.says("No 112 call goes on")


@pytest.mark.usefixtures("ended")
def test_the_list_holds_still_under_the_pointer(admin: Visitor, crm: Crm) -> None:
    page = admin.open("/board")
    expect(calls(page).first).to_be_visible()
    before = calls(page).count()
    first = calls(page).first.inner_text()
    calls(page).first.hover()

    crm.do(crm.ring)
    expect(page.locator("#held")).to_contain_text("1 more")
    assert calls(page).count() == before
    assert calls(page).first.inner_text() == first
    expect(figure(page, "calls")).to_have_text("1")

    page.mouse.move(5, 5)
    expect(calls(page)).to_have_count(before + 1)
    expect(page.locator("#held")).to_be_empty()
    crm.do(crm.hang_up)


@pytest.mark.usefixtures("ended")
def test_the_board_says_when_a_node_is_gone_and_when_it_is_back(admin: Visitor, crm: Crm) -> None:
    page = admin.open("/board")
    expect(page.locator("#links")).to_contain_text("ready")

    crm.do(crm.node.stop)
    expect(page.locator("#alarms")).to_contain_text("does not answer")
    expect(page.locator("#links .node .act")).to_be_visible()

    crm.do(crm.node.start)
    expect(page.locator("#alarms")).not_to_contain_text("does not answer")
    expect(page.locator("#links")).to_contain_text("ready")


def test_the_board_says_when_nothing_comes_any_more(admin: Visitor, crm: Crm) -> None:
    page = admin.open("/board")
    expect(page.locator("#stale")).to_be_hidden()

    with crm.stopped():
        expect(page.locator("#stale")).to_contain_text("what is shown is old", timeout=10_000)
        expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#stale")).to_be_hidden()


def test_why_a_phone_did_not_ring_is_read_on_the_calls_page(admin: Visitor) -> None:
    page = admin.open("/calls")
    page.get_by_role("row").filter(has_text="visitor gave up").get_by_role("link").first.click()

    expect(page.locator("h1")).to_contain_text(f"{ADDRESS} → flat 1")
    asleep = page.locator(".verdicts li").filter(has_text="7351002")
    expect(asleep).to_contain_text("push accepted")
    expect(asleep).to_contain_text("registered")
    bar = page.locator("g.bar").first
    bar.focus()
    expect(page.locator("#said")).to_have_text(str(bar.get_attribute("data-say")))
    expect(page.get_by_role("row").filter(has_text="7351002: INVITE sent")).to_be_visible()


@pytest.mark.usefixtures("ended")
def test_a_flats_phones_are_rung_from_its_card_which_says_what_became_of_each(
    admin: Visitor, crm: Crm
) -> None:
    page = admin.open(f"/flats/{crm.flat(PANEL, FLAT)}")
    page.get_by_role("button", name="Ring this flat's phones now").click()
    card = page.locator(".rung")
    expect(card).to_contain_text("rings 1 phone")

    call = page.context.new_page()
    call.goto(crm.url + str(card.get_by_role("link").first.get_attribute("href")))
    expect(call.locator("h1")).to_contain_text("flat 1")
    expect(call.locator("main")).to_contain_text("rings 1 phone")
    assert_accessible(call)

    crm.do(crm.phones[PHONES[0]].accept)
    expect(card).to_contain_text("answered after", timeout=20_000)
    expect(card).to_contain_text("7351002")
    expect(call.locator(".verdicts")).to_contain_text("answered after", timeout=20_000)
