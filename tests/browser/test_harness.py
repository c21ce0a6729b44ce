"""The browser that tests of pages rely on: it shows what it should, and nothing that goes wrong in it stays unsaid."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trio
from attrs import define, field
from playwright.sync_api import Browser, Page

from testbed.browser import DESK, PHONE, RUSSIAN, Pages, Screen, open_pages
from tests.browser import harness
from tests.browser.harness import (
    assert_accessible,
    assert_fits,
    both_colours,
    both_languages,
    both_screens,
    screenshot,
)

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'"
GOOD = """<!doctype html><html lang="ru"><head><meta charset="utf-8"><title>Дом</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>ул. Ленина 5, п. 2</h1><p>Ёж: щука, объём ▁▂▅▇ ● ✓ ✗</p></main></body></html>"""
FAULTY = GOOD.replace("<p>", '<form action="/"><input name="flat"></form><p>')
WIDE = GOOD.replace("<p>", "<pre>" + "wide " * 400 + "</pre><p>")


@define
class Site:
    """Pages by path, served on one address; others are not found."""

    address: str
    pages: dict[str, str] = field(factory=dict)
    headers: dict[str, str] = field(factory=dict)
    asked: list[tuple[str, str]] = field(factory=list)  # path, and the languages wanted

    def put(self, text: str, path: str = "/") -> str:
        self.pages[path] = text
        return self.address + path


@contextmanager
def serving(host: str) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append((self.path, self.headers.get("Accept-Language", "")))
            here = self.path in served.pages
            body = served.pages.get(self.path, "not found").encode()
            self.send_response(HTTPStatus.OK if here else HTTPStatus.NOT_FOUND)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html"
            for name, value in {"Content-Type": kind, "Content-Length": len(body), **served.headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer((host, 0), Handler) as server:
        served = Site(f"http://{host}:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="site")
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)  # so that it is there before the visitor, and still when the visitor leaves
def site() -> Iterator[Site]:
    with serving("127.0.0.1") as site:
        site.put("", "/favicon.ico")
        yield site


def fonts_of(page: Page, selector: str) -> dict[str, int]:
    """The fonts that the text of an element was really drawn with, and how many glyphs of each."""
    debugger = page.context.new_cdp_session(page)
    debugger.send("DOM.enable")
    debugger.send("CSS.enable")
    root = debugger.send("DOM.getDocument")["root"]["nodeId"]
    node = debugger.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
    fonts = debugger.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    return {font["familyName"]: int(font["glyphCount"]) for font in fonts}


def width_of(page: Page, text: str) -> float:
    return float(
        page.evaluate("text => new OffscreenCanvas(9, 9).getContext('2d').measureText(text).width", text)
    )


@pytest.mark.parametrize(
    ("family", "font"),
    [
        ("system-ui", "Liberation Sans"),
        ("nowhere, sans-serif", "Liberation Sans"),
        ("Arial", "Liberation Sans"),
        ("serif", "Liberation Serif"),
        ("monospace", "Liberation Mono"),
    ],
)
def test_russian_is_drawn_with_real_letters_of_the_trees_own_fonts(
    page: Page, site: Site, family: str, font: str
) -> None:
    page.goto(site.put(GOOD.replace("<h1>", f"<h1 style='font-family: {family}'>")))

    assert fonts_of(page, "h1") == {font: len("ул. Ленина 5, п. 2")}


def test_letters_have_shapes_and_so_have_bars_and_ticks(page: Page, site: Site) -> None:
    page.goto(site.put(GOOD))

    # The box that stands for a missing letter is as wide for each.
    assert width_of(page, "щ") > width_of(page, "ё") > width_of(page, "г")
    assert fonts_of(page, "p")["DejaVu Sans"] >= len("▁▂▅▇✓✗")


@both_languages
def test_a_visitor_asks_in_a_language(page: Page, site: Site, language: str) -> None:
    page.goto(site.put(GOOD))

    assert page.evaluate("navigator.language") == language
    assert site.asked[0][1].startswith(language)


@both_screens
def test_a_visitor_has_a_screen(page: Page, site: Site, screen: Screen) -> None:
    page.goto(site.put(GOOD))
    assert page.evaluate("[innerWidth, innerHeight]") == [screen.width, screen.height]
    assert page.evaluate("matchMedia('(pointer: coarse)').matches") is screen.phone
    assert_fits(page)

    page.goto(site.put(WIDE))
    with pytest.raises(AssertionError, match="px wide on a screen of"):
        assert_fits(page)


@both_colours
def test_a_visitor_likes_dark_or_light(page: Page, dark: bool) -> None:
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is dark


def test_visitors_share_no_cookies(browser: Browser, page: Page, site: Site) -> None:
    page.goto(site.put(GOOD))
    page.evaluate("document.cookie = 'who=first'")

    with open_pages(browser, RUSSIAN, PHONE) as others:
        other = others.page()
        other.goto(site.address)

        assert other.evaluate("document.cookie") == ""
    assert page.evaluate("document.cookie") == "who=first"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>console.error('no such flat')</script>", "console: no such flat"),
        ("<script>throw new Error('torn')</script>", "script: torn"),
        ("<script>Promise.reject(new Error('late'))</script>", "script: late"),
        ("<script src='/missing.js'></script>", "status of 404"),
    ],
)
def test_what_goes_wrong_in_a_page_fails_its_test(
    pages: Pages, page: Page, site: Site, body: str, complaint: str
) -> None:
    page.goto(site.put(GOOD + body))

    with pytest.raises(AssertionError, match=complaint):
        pages.check()
    pages.check()  # said once


def test_an_inline_script_that_the_policy_forbids_fails_a_test(pages: Pages, page: Page, site: Site) -> None:
    site.headers["Content-Security-Policy"] = POLICY
    page.goto(site.put(GOOD + "<script>document.title = 'done'</script>"))

    assert page.title() == "Дом"
    with pytest.raises(AssertionError, match="Content Security Policy"):
        pages.check()


def test_what_a_test_provokes_it_can_allow(pages: Pages, page: Page, site: Site) -> None:
    pages.allow("status of 404")
    page.goto(site.address + "/nowhere")
    page.evaluate("console.error('something else')")

    assert [each.partition(" (")[0] for each in pages.complaints] == ["console: something else"]
    pages.complaints.clear()


def test_a_log_line_is_no_complaint(pages: Pages, page: Page) -> None:
    page.evaluate("console.log('here'); console.warn('slow')")

    assert pages.complaints == []


def test_another_host_is_not_reached_and_fails_the_test(pages: Pages, page: Page, site: Site) -> None:
    with serving("127.0.0.2") as foreign:
        address = foreign.put("console.log('loaded')", "/lib.js")
        page.goto(
            site.put(f"{GOOD}<script src='{address}'></script><img alt='' src='http://cdn.example/logo.png'>")
        )

        assert foreign.asked == []
    foreign_hosts = [each for each in pages.complaints if each.startswith("foreign host")]
    assert foreign_hosts == [f"foreign host: {address}", "foreign host: http://cdn.example/logo.png"]
    pages.complaints.clear()


def test_a_socket_to_another_host_fails_the_test(pages: Pages, page: Page, site: Site) -> None:
    page.goto(site.put(GOOD))
    with page.expect_console_message():
        page.evaluate("void new WebSocket('ws://127.0.0.2:9/')")

    with pytest.raises(AssertionError, match="foreign host: ws://127"):
        pages.check()


def test_what_is_in_the_page_itself_is_no_other_host(pages: Pages, page: Page, site: Site) -> None:
    page.goto(site.put(GOOD + "<img alt='' src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA='>"))

    assert pages.complaints == []


def test_axe_finds_a_field_without_a_label_whatever_the_policy(page: Page, site: Site) -> None:
    site.headers["Content-Security-Policy"] = POLICY
    page.goto(site.put(GOOD))
    assert_accessible(page)

    page.goto(site.put(FAULTY))
    with pytest.raises(AssertionError, match=r"critical: Form elements must have labels \(label\)\n +input"):
        assert_accessible(page)


def test_a_picture_is_kept_only_when_asked_for(
    page: Page, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "SCREENSHOTS", tmp_path)
    page.goto(site.put(GOOD))

    monkeypatch.delenv("TELEDOM_SCREENSHOTS", raising=False)
    screenshot(page, "house")
    assert list(tmp_path.iterdir()) == []

    monkeypatch.setenv("TELEDOM_SCREENSHOTS", "1")
    screenshot(page, "house")
    header = (tmp_path / "house.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (DESK.width, DESK.height)


async def test_trio_runs_where_the_browser_does(browser: Browser) -> None:
    async def two() -> int:
        await trio.lowlevel.checkpoint()
        return await trio.to_thread.run_sync(lambda: 2)

    assert browser.is_connected()
    assert await two() == 2
