"""Without a mouse: the content at once, the search from anywhere, a form, and a question before something is done."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Dialog, Page, expect

from testbed.browser import ENGLISH, Pages
from tests.browser.crm import Crm, Visitor


@pytest.fixture
def language() -> str:
    return ENGLISH


def focused(page: Page) -> str:
    """What has the focus: its name, id or text."""
    return str(
        page.evaluate(
            "(({name, id, textContent}) => name || id || textContent.trim())(document.activeElement)"
        )
    )


def tab_to(page: Page, wanted: str, *, most: int = 60) -> None:
    """Press Tab until what is wanted has the focus, and see that it is shown."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if focused(page) == wanted:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"nothing shows that {wanted} has the focus"
            return
    pytest.fail(f"Tab does not lead to {wanted} on {page.url}")


def test_the_first_tab_leads_past_the_menu_to_the_content(admin: Visitor) -> None:
    page = admin.open("/streets")
    page.keyboard.press("Tab")
    skip = page.locator("a.skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_visible()

    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_the_search_is_at_hand_from_anywhere_and_enter_opens_the_first(admin: Visitor, crm: Crm) -> None:
    page = admin.open("/tokens")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("победы 11")
    expect(page.locator("#found a").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#found a").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#search")).to_be_focused()
    expect(page.locator("#found")).to_be_empty()

    page.keyboard.type(" ")
    expect(page.locator("#found a").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("пр. Победы 11")

    page.wait_for_load_state()
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    page.keyboard.type("/")  # in a field it is a letter
    assert page.input_value("#search").endswith("/")


def test_a_street_is_made_renamed_and_deleted_without_a_mouse(admin: Visitor, pages: Pages) -> None:
    page = admin.open("/streets")
    tab_to(page, "New")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{admin.url}/streets/new")
    tab_to(page, "city_id")
    page.keyboard.type("Копейск")
    option = page.locator('datalist option[value*="Копейск"]').first
    option.wait_for(state="attached")
    page.keyboard.press("Control+A")
    page.keyboard.type(str(option.get_attribute("value")))
    page.keyboard.press("Escape")  # the list of suggestions
    page.locator('[name="name"]').focus()
    page.keyboard.type("ул. Клавишная")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("ул. Клавишная")

    tab_to(page, "Edit")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/edit$"))
    tab_to(page, "name")
    page.keyboard.press("Control+A")
    page.keyboard.type("ул. Табличная")
    tab_to(page, "Save")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("ул. Табличная")

    questions: list[str] = []

    def answer(yes: bool) -> None:
        def at(dialog: Dialog) -> None:
            questions.append(dialog.message)
            if yes:
                dialog.accept()
            else:
                dialog.dismiss()

        page.once("dialog", at)

    tab_to(page, "Delete")
    answer(False)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("ул. Табличная")
    answer(True)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Streets")
    expect(page.locator("main")).not_to_contain_text("Табличная")
    assert questions == ["Delete Копейск, ул. Табличная?"] * 2


def test_the_menu_of_a_phone_is_opened_by_its_button(admin: Visitor) -> None:
    page = admin.open("/streets")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#menu")).to_be_hidden()
    tab_to(page, "Menu")
    page.keyboard.press("Enter")
    expect(page.locator("#menu")).to_be_visible()
    tab_to(page, "Houses")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Houses")
