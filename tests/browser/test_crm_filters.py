"""A list is filtered by several values of a choice: without a mouse, with one, and by the form alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from testbed.browser import ENGLISH
from tests.browser.crm import Visitor


@pytest.fixture
def language() -> str:
    return ENGLISH


def box(page: Page, name: str) -> tuple[Locator, Locator]:
    """A filter of several values, and what opens it."""
    of = page.get_by_role("group", name=name, exact=True)
    return of, of.locator("summary")


def test_several_outcomes_are_chosen_by_keys(admin: Visitor) -> None:
    page = admin.open("/calls")
    of, opener = box(page, "Outcome")
    first, second = of.get_by_role("checkbox").nth(0), of.get_by_role("checkbox").nth(1)

    opener.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("Space")
    expect(page).to_have_url(re.compile(r"outcome=talked(&|$)"))
    page.keyboard.press("Tab")
    page.keyboard.press("Space")

    expect(page).to_have_url(re.compile(r"outcome=talked&outcome=auto_opened"))
    expect(opener).to_contain_text("chosen: 2")
    expect(page.get_by_role("link", name="CSV")).to_have_attribute(
        "href", "/calls.csv?outcome=talked&outcome=auto_opened"
    )
    page.keyboard.press("Escape")
    expect(first).to_be_hidden()
    expect(opener).to_be_focused()

    page.reload()
    expect(opener).to_contain_text("chosen: 2")
    opener.click()
    expect(second).to_be_checked()


def test_a_box_closes_when_one_goes_elsewhere_and_lies_within_the_window(admin: Visitor) -> None:
    page = admin.open("/calls")
    of, opener = box(page, "Outcome")
    other, other_opener = box(page, "Kind")

    opener.click()
    expect(of.get_by_role("checkbox").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    other_opener.click()
    expect(of.get_by_role("checkbox").first).to_be_hidden()
    expect(other.get_by_role("checkbox").first).to_be_visible()
    page.locator("h1").click()
    expect(other.get_by_role("checkbox").first).to_be_hidden()


def test_the_form_is_sent_by_its_button_too(admin: Visitor) -> None:
    page = admin.open("/domophones")
    of, opener = box(page, "Vendor")
    opener.click()
    of.get_by_label("Sokol").check()
    of.get_by_label("Beward").check()
    page.evaluate("document.querySelector('form.filters').submit()")  # as without scripts

    expect(page).to_have_url(re.compile(r"vendor=beward&vendor=sokol"))
    expect(opener).to_contain_text("chosen: 2")
