"""Chromium for tests of pages: one for all tests here, and a visitor of its own for each.

A test is an ordinary function, not an async one, and takes `page`, or `pages` for several of one visitor. It fails if the
pages write an error into the console, raise one, or ask another host than 127.0.0.1. What a test provokes itself it
allows: `pages.allow("status of 403")`. Language, screen and colours are fixtures, varied by `both_languages`,
`both_screens` and `both_colours` of harness.py. A server outlives its visitors: its fixture has a wider scope than
theirs, or is an argument before `page`. With CI=true a browser that can't be had is a failure, otherwise a skip.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from testbed.browser import DESK, RUSSIAN, Pages, Screen, open_pages, running_browser
from testbed.debs import BROWSER, TestbedUnavailable, get_tree


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium: fetched at the first use on a machine, ended after the last test of this folder."""
    try:
        tree = get_tree(packages=BROWSER)
    except TestbedUnavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the browser is not to be had: {error}", pytrace=False)
        pytest.skip(f"the browser is not to be had: {error}")
    with running_browser(tmp_path_factory.mktemp("chromium"), tree) as browser:
        yield browser


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
