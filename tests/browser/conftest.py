"""Chromium for tests of pages: one for all tests here, and a visitor of its own for each.

A test is an ordinary function, not an async one, and takes `page`, or `pages` for several of one visitor. It fails if the
pages write an error into the console, raise one, or ask another host than 127.0.0.1. What a test provokes itself it
allows: `pages.allow("status of 403")`. Language, screen and colours are fixtures, varied by `both_languages`,
`both_screens` and `both_colours` of harness.py. A server outlives its visitors: its fixture has a wider scope than
theirs, or is an argument before `page`. With CI=true a browser that can't be had is a failure, otherwise a skip.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from testbed.browser import DESK, RUSSIAN, Pages, Screen, open_pages, running_browser
from testbed.debs import BROWSER, TESTBED, PackageSet, TestbedUnavailable, Tree, get_tree
from testbed.threads import running
from tests.browser.crm import Crm, Role, Visitor, open_crm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.real)
            if item.path.name != "test_board_load.py":  # which measures time
                item.add_marker(pytest.mark.pages)


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium: fetched at the first use on a machine, ended after the last test of this folder."""
    with running_browser(tmp_path_factory.mktemp("chromium"), _tree(BROWSER, "the browser")) as browser:
        yield browser


@pytest.fixture(scope="package")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    """The CRM at work beside a node and the testbed, shared by all tests of this folder."""
    with running(open_crm(tmp_path_factory.mktemp("crm"), _tree(TESTBED, "the testbed")), "crm") as crm:
        yield crm


def _tree(packages: PackageSet, what: str) -> Tree:
    try:
        return get_tree(packages=packages)
    except TestbedUnavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} is not to be had: {error}", pytrace=False)
        pytest.skip(f"{what} is not to be had: {error}")


@pytest.fixture
def language() -> str:
    """What the visitor's browser asks pages for."""
    return RUSSIAN


@pytest.fixture
def screen() -> Screen:
    """What the visitor looks at."""
    return DESK


@pytest.fixture
def dark() -> bool:
    """Whether the visitor likes dark pages."""
    return False


@pytest.fixture
def pages(browser: Browser, language: str, screen: Screen, dark: bool) -> Iterator[Pages]:
    """A visitor without cookies."""
    with open_pages(browser, language, screen, dark=dark) as pages:
        yield pages
        pages.check()


@pytest.fixture
def page(pages: Pages) -> Page:
    """The visitor's first page."""
    return pages.page()


@pytest.fixture
def visit(crm: Crm, pages: Pages, language: str) -> Callable[[Role], Visitor]:
    """Makes the visitor an employee, signed in."""
    return lambda role: crm.visitor(pages, role, language)


@pytest.fixture
def admin(visit: Callable[[Role], Visitor]) -> Visitor:
    """The visitor is an administrator, signed in."""
    return visit(Role.ADMIN)
