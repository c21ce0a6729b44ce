"""Every page that the menu leads to, and the first record of each list with its form: they fit, and axe finds nothing.

The menu itself says which pages there are, so that a new one is looked at, too. On a desk in English, on a phone in
Russian; with TELEDOM_SCREENSHOTS=1 each is pictured for docs/screenshots.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from testbed.browser import DESK, ENGLISH, PHONE, RUSSIAN, Screen
from tests.browser.crm import Visitor
from tests.browser.harness import assert_accessible, assert_fits, screenshot

FORMS = re.compile(r"-(edit|delete|new|password|add|gate)$")  # they look alike: these alone are pictured
FORMS_PICTURED = {"houses-new", "staff-groups-new", "house-one-add", "key-add", "staff-tokens-new"}
ON_A_PHONE = {"board", "calls-one", "flats-one", "houses-one", "sos", "domophones-one", "residents"}
IN_THE_DARK = {"board", "calls-one", "houses-one", "quality-campaigns"}


def name_of(path: str) -> str:
    """A picture's name for a page: numbers and calls in its address are of this run's own."""
    bare = re.sub(r"/(\d+|[0-9a-f]{16})(?=/|$)", "/one", path.partition("?")[0])
    return re.sub(r"\W+", "-", bare.strip("/")) or "start"


def is_pictured(name: str, screen: Screen) -> bool:
    if screen.phone:
        return name in ON_A_PHONE
    return not FORMS.search(name) or name in FORMS_PICTURED


def look(visitor: Visitor, path: str, screen: Screen) -> list[str]:
    """Look at a page, on a desk in dark colours as well; the pages that it leads to. Raises AssertionError."""
    name = name_of(path)
    page = visitor.open(path)
    expect(page.locator("h1")).to_have_count(1)
    assert_fits(page)
    assert_accessible(page)
    if is_pictured(name, screen):
        screenshot(page, f"{name}-phone" if screen.phone else name, full=not screen.phone)
    if not screen.phone:
        page.emulate_media(color_scheme="dark")
        assert_accessible(page, "color-contrast")
        if name in IN_THE_DARK:
            screenshot(page, f"{name}-dark", full=True)
        page.emulate_media(color_scheme="light")
    links = page.locator("main").locator("tbody th a, a.button:not([download])")
    found = links.evaluate_all("all => all.map(a => a.getAttribute('href'))")
    return [str(link) for link in found if re.fullmatch(r"/[\w/-]+", str(link))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("screen", "language"), [(DESK, ENGLISH), (PHONE, RUSSIAN)], ids=["desk", "phone"])
def test_every_page_fits_and_is_accessible(admin: Visitor, screen: Screen, language: str) -> None:
    admin.open("/profile")
    waiting, seen, faults = ["/profile", *admin.menu()], set[str](), []
    assert len(waiting) > 15
    while waiting:
        path = waiting.pop(0)
        name = name_of(path)
        # One record of each kind is enough; a form to change it has the fields of the one to make it.
        if name in seen or name.replace("-one-edit", "-new") in seen:
            continue
        seen.add(name)
        try:
            waiting += look(admin, path, screen)
        except AssertionError as error:
            faults.append(f"{path}: {error}")
    assert not faults, "\n".join(faults)
    assert "houses-one" in seen
