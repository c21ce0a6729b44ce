"""The search by keyboard alone, in Chromium, against the program itself: "/", arrows, Enter, Escape; and fast typing."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from crm.search.index import reindex_all
from crm.store import Store
from testbed.browser import Pages
from tests.browser.harness import assert_accessible

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a long enough password"


@pytest.fixture(scope="module")
def search_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`teledom crm` over the demo town on SQLite; its URL."""
    folder = tmp_path_factory.mktemp("search")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "config.toml"
    url = f"sqlite:///{folder}/crm.db"
    config.write_text(
        f'[crm]\nurl = "{url}"\n[node]\nstate_dir = "{folder}/var"\n'
        f'[web]\nhttp = "{address}"\ncookies = "plain"\n[log]\nlevel = "error"\n'
    )
    program = [sys.executable, str(ROOT / "teledom.py")]
    chosen = ["--config", str(config)]
    subprocess.run([*program, "db", "demo", *chosen], check=True, capture_output=True)
    with Store(url) as store:
        reindex_all(store)
    make = [*program, "crm", "create-admin", *chosen, "admin"]
    subprocess.run(make, check=True, capture_output=True, input=PASSWORD.encode())
    with subprocess.Popen([*program, "crm", *chosen], stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(f"http://{address}/healthz")
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(url: str) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


@pytest.fixture
def desk(search_site: str, page: Page) -> Page:
    page.goto(f"{search_site}/sign-in")
    page.fill("#login", "admin")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "sign-in" not in url)
    page.goto(f"{search_site}/houses")
    return page


def test_a_place_is_found_and_opened_by_the_keyboard_alone(desk: Page) -> None:
    desk.keyboard.press("/")
    desk.keyboard.type("ленина")
    expect(desk.locator("#found a").first).to_be_visible()
    assert_accessible(desk)
    assert desk.inner_text("#found-said")

    desk.keyboard.press("ArrowDown")
    expect(desk.locator("#found a").first).to_be_focused()
    desk.keyboard.press("ArrowDown")
    expect(desk.locator("#found a").nth(1)).to_be_focused()
    desk.keyboard.press("ArrowUp")
    desk.keyboard.press("ArrowUp")
    expect(desk.locator("#search")).to_be_focused()
    desk.keyboard.press("Enter")

    expect(desk).to_have_url(re.compile(r"/(streets|houses)/\d+$"))


def test_escape_closes_what_was_found(desk: Page) -> None:
    desk.keyboard.press("/")
    desk.keyboard.type("ленина")
    expect(desk.locator("#found a").first).to_be_visible()

    desk.keyboard.press("ArrowDown")
    desk.keyboard.press("Escape")

    expect(desk.locator("#found a")).to_have_count(0)
    expect(desk.locator("#search")).to_be_focused()


def test_enter_before_the_answer_opens_what_was_typed_last(desk: Page, pages: Pages) -> None:
    pages.allow("htmx:sendAbort")
    pages.allow("htmx:afterRequest")
    desk.keyboard.press("/")
    desk.keyboard.type("победы")
    expect(desk.locator("#found a").first).to_be_visible()
    first = desk.locator("#found a").first.get_attribute("href")

    desk.keyboard.press("Control+A")
    desk.keyboard.type("ленина")
    desk.keyboard.press("Enter")

    expect(desk).to_have_url(re.compile(r"/(streets|houses)/\d+$"))
    assert not desk.url.endswith(str(first))


def test_a_slow_older_answer_never_shows_over_a_newer_one(desk: Page, pages: Pages) -> None:
    pages.allow("htmx:sendAbort")  # the older question is taken back
    pages.allow("htmx:afterRequest")
    held: list[Route] = []

    def hold(route: Route) -> None:
        text = parse_qs(urlsplit(route.request.url).query).get("q", [""])[0]
        if text == "победы":
            held.append(route)
        else:
            route.continue_()

    desk.route("**/search?*", hold)
    desk.keyboard.press("/")
    with desk.expect_request(lambda request: "/search?" in request.url):
        desk.keyboard.type("победы")
    desk.keyboard.press("Control+A")
    desk.keyboard.type("ленина")
    expect(desk.locator("[data-found-for='ленина'] a").first).to_be_visible()

    for route in held:
        route.fulfill(status=200, body='<div data-found-for="победы"><a href="/">old</a></div>')

    expect(desk.locator("[data-found-for='ленина'] a").first).to_be_visible()
    expect(desk.locator("[data-found-for='победы']")).to_have_count(0)
