"""Signing in as people do: in their language, with a second factor, and not after too many wrong passwords."""

from __future__ import annotations

import time

import pyotp
import pytest
from playwright.sync_api import Page, expect

from crm.rights import EVERYWHERE, Right
from testbed.browser import ENGLISH, Pages, Screen
from tests.browser.crm import Crm, Role
from tests.browser.harness import assert_accessible, assert_fits, both_languages, both_screens, screenshot

SIGN_IN = {"ru-RU": "Войти", "en-US": "Sign in"}
FLATS = {"ru-RU": "Квартиры", "en-US": "Flats"}
SIGN_OUT = {"ru-RU": "Выйти", "en-US": "Sign out"}


def enter(page: Page, login: str, password: str) -> None:
    page.fill("#login", login)
    page.fill("#password", password)
    page.keyboard.press("Enter")


@both_languages
def test_who_signs_in_comes_to_where_he_wanted_in_his_language(
    crm: Crm, pages: Pages, page: Page, language: str
) -> None:
    page.goto(f"{crm.url}/flats?number=42")
    expect(page.get_by_role("button", name=SIGN_IN[language])).to_be_visible()
    assert page.locator("html").get_attribute("lang") == language[:2]
    assert_accessible(page)
    screenshot(page, f"sign-in-{language[:2]}")

    enter(page, crm.login(Role.ADMIN, language), crm.password)

    expect(page.locator("h1")).to_have_text(FLATS[language])
    assert page.url == f"{crm.url}/flats?number=42"
    expect(page.get_by_role("row")).to_have_count(1 + 3)  # headings, and a flat 42 in each of three houses
    cookie = next(each for each in pages.context.cookies() if each["name"] == "teledom")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")

    page.get_by_role("button", name=SIGN_OUT[language]).click()
    page.goto(f"{crm.url}/flats")
    assert "/sign-in" in page.url


@both_screens
def test_whoever_enters_something_wrong_is_told_so_and_no_more(
    crm: Crm, pages: Pages, page: Page, screen: Screen
) -> None:
    pages.allow("status of 403")
    said = set()
    for login in (crm.login(Role.DISPATCHER), "nobody-has-this-login"):
        page.goto(f"{crm.url}/sign-in")
        enter(page, login, "this is not the password")
        said.add(page.get_by_role("alert").inner_text())
        assert_fits(page)

    assert len(said) == 1
    assert "/sign-in" in page.url


@pytest.mark.parametrize("language", [ENGLISH])
def test_too_many_wrong_passwords_lock_the_account_for_a_while(
    crm: Crm, pages: Pages, page: Page, language: str
) -> None:
    pages.allow("status of (403|429)")
    crm.add_employee("forgetful", (Right.HOUSING_VIEW,), EVERYWHERE, "en")
    pages.context.set_extra_http_headers({"X-Forwarded-For": "203.0.113.7"})
    for _ in range(5):
        page.goto(f"{crm.url}/sign-in")
        enter(page, "forgetful", "this is not the password")
        expect(page.get_by_role("alert")).to_be_visible()

    enter(page, "forgetful", crm.password)

    expect(page.get_by_role("alert")).to_contain_text("wrong too often: try again, later")
    assert "/sign-in" in page.url, "the right password is refused, too"
    page.goto(f"{crm.url}/flats")
    assert "/sign-in" in page.url


@pytest.mark.parametrize("language", [ENGLISH])
def test_a_second_factor_is_set_up_and_asked_for(crm: Crm, pages: Pages, page: Page, language: str) -> None:
    pages.allow("status of 403")
    crm.add_employee("careful", (Right.HOUSING_VIEW,), EVERYWHERE, "en")
    page.goto(f"{crm.url}/profile")
    enter(page, "careful", crm.password)
    page.get_by_role("button", name="Set it up").click()
    secret = page.locator("code.once").inner_text()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    assert_accessible(page)
    screenshot(page, "second-factor")
    app = pyotp.TOTP(secret)
    page.fill("#code", app.now())
    page.fill("#old", crm.password)
    page.keyboard.press("Enter")
    expect(page.locator("main").get_by_role("status")).to_contain_text("The second factor is on")
    page.get_by_role("button", name="Sign out").click()

    enter(page, "careful", crm.password)
    expect(page.locator("#code")).to_be_visible()
    page.goto(f"{crm.url}/flats")
    assert "/sign-in" in page.url, "the password alone lets nobody in"
    enter(page, "careful", crm.password)
    page.fill("#code", "000000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    page.fill("#code", app.at(time.time() + 30))  # that of this half minute is used up
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert "/sign-in" not in page.url
