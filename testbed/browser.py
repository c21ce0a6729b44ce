"""A real Chromium for tests of pages, headless, out of Debian's packages, driven by Playwright's synchronous side.

    with running_browser(tmp_path, get_tree(packages=BROWSER)) as browser, open_pages(browser, ENGLISH) as pages:
        page = pages.page()
        page.goto(url)

It starts itself again for each page, which the tree's loader can't do for it: `testbed/debs.py` wrote the loader's path
into its file. It knows the tree's fonts alone, so that text is as wide on every machine, and reaches 127.0.0.1 alone.
`Pages` is one visitor's: cookies, language, screen. What the pages did wrong is in its `complaints`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, field, frozen
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    WebError,
    WebSocket,
    sync_playwright,
)

from testbed.debs import Tree
from testbed.processes import HOST

PROGRAM = "usr/lib/chromium/chromium"
START_S = 30.0
WAIT_S = 10.0  # for whatever a page should show or do
TIME_ZONE = "Asia/Yekaterinburg"  # not UTC, to tell whether a time is in the zone that it should be in

_OPTIONS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",
)
# Liberation is as wide as the fonts of Windows that it stands for; DejaVu has bars, dots and ticks beside letters.
_FONTS = {
    ("sans-serif", "Arial", "Helvetica"): ("Liberation Sans", "DejaVu Sans"),
    ("serif", "Times New Roman"): ("Liberation Serif", "DejaVu Sans"),
    ("monospace", "Courier New"): ("Liberation Mono", "DejaVu Sans Mono"),
}
_GRAVE = ("serious", "critical")  # of axe's four grades


@frozen
class Screen:
    """What a visitor looks at. A phone is touched, and lays out pages as phones do."""

    width: int
    height: int
    phone: bool = False


DESK = Screen(1366, 768)
PHONE = Screen(390, 844, phone=True)
RUSSIAN = "ru-RU"
ENGLISH = "en-US"


@define(slots=False)  # Playwright notes in it whom it calls back
class Pages:
    """One visitor's pages. `allow` what a test provokes; what else went wrong is in `complaints`."""

    context: BrowserContext
    complaints: list[str] = field(factory=list)
    _allowed: list[re.Pattern[str]] = field(factory=list)

    def page(self) -> Page:
        """A new page of this visitor's."""
        return self.context.new_page()

    def allow(self, pattern: str) -> None:
        """From now on no complaint that this regular expression is found in is noted."""
        self._allowed.append(re.compile(pattern))

    def check(self) -> None:
        """Raise AssertionError with what went wrong since the last time, if anything did."""
        for page in self.context.pages:
            with suppress(Error):  # of a page that is being left
                page.evaluate("0")  # what it said before comes before the answer
        said, self.complaints[:] = "\n".join(self.complaints), []
        assert not said, f"the pages complained:\n{said}"

    def _listen(self) -> None:
        self.context.on("console", self._on_console)
        self.context.on("weberror", self._on_error)
        self.context.on("request", self._on_request)
        self.context.on("page", lambda page: page.on("websocket", self._on_socket))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._complain(f"console: {message.text} ({message.location['url']})")

    def _on_error(self, error: WebError) -> None:
        where = error.page.url if error.page else "?"
        self._complain(f"script: {error.error} ({where})")

    def _on_request(self, request: Request) -> None:
        self._on_address(request.url)

    def _on_socket(self, socket: WebSocket) -> None:
        self._on_address(socket.url)

    def _on_address(self, url: str) -> None:
        if urlsplit(url).hostname not in (None, HOST):  # None: what is in the page itself, as data:
            self._complain(f"foreign host: {url}")

    def _complain(self, complaint: str) -> None:
        if not any(pattern.search(complaint) for pattern in self._allowed):
            self.complaints.append(complaint)


@contextmanager
def running_browser(folder: Path, tree: Tree) -> Iterator[Browser]:
    """Start it, with whatever it keeps in `folder`, and end it when left. Raises Playwright's Error.

    As long as it is there, its thread has an asyncio loop that waits: Trio runs there, other asyncio loops don't.
    """
    home = folder.absolute() / "home"
    home.mkdir(parents=True)
    fonts = folder.absolute() / "fonts.conf"
    fonts.write_text(_fonts_conf(tree, home))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=tree.root / PROGRAM,
            args=_OPTIONS,
            timeout=START_S * 1000,
            env={
                "HOME": str(home),
                "LD_LIBRARY_PATH": tree.library_path,
                "FONTCONFIG_FILE": str(fonts),
                "DBUS_SESSION_BUS_ADDRESS": "disabled:",
                "LC_ALL": "C.UTF-8",
                "TZ": "UTC",
            },
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_pages(
    browser: Browser, language: str = RUSSIAN, screen: Screen = DESK, *, dark: bool = False
) -> Iterator[Pages]:
    """Pages of one more visitor, who is gone when left. Does not check for complaints."""
    context = browser.new_context(
        locale=language,
        viewport={"width": screen.width, "height": screen.height},
        is_mobile=screen.phone,
        has_touch=screen.phone,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        timezone_id=TIME_ZONE,
        service_workers="block",
    )
    context.set_default_timeout(WAIT_S * 1000)
    try:
        pages = Pages(context)
        pages._listen()
        yield pages
    finally:
        context.close()


def accessibility_faults(page: Page, *rules: str) -> list[str]:
    """What axe-core finds on the page that is serious or critical: rule, what is wrong, and where, in lines to read.

    With `rules` it looks for faults of these alone, which is quicker.
    """
    # By the debugger, not as a script element: a page's Content-Security-Policy is not asked.
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page.evaluate(f"{axe};undefined")
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = page.evaluate("options => axe.run(document, options)", options)
    lines = []
    for fault in found["violations"]:
        if fault["impact"] in _GRAVE:
            lines.append(f"{fault['impact']}: {fault['help']} ({fault['id']})")
            for node in fault["nodes"]:
                why = [each["message"] for kind in ("all", "any", "none") for each in node[kind]]
                lines.append(
                    f"    {' '.join(map(str, node['target']))}: {'; '.join(why)}: {node['html'][:120]}"
                )
    return lines


def _fonts_conf(tree: Tree, home: Path) -> str:
    parts = [
        '<?xml version="1.0"?>',
        "<fontconfig>",
        f"<dir>{escape(str(tree.root / 'usr/share/fonts'))}</dir>",
    ]
    parts.append(f"<cachedir>{escape(str(home / 'fontconfig'))}</cachedir>")
    for families, preferred in _FONTS.items():
        names = "".join(f"<family>{name}</family>" for name in preferred)
        for family in families:
            alias = f"<family>{family}</family><prefer>{names}</prefer>"
            parts.append(f'<alias binding="same">{alias}</alias>')
    last = '<edit name="family" mode="append_last"><string>Liberation Sans</string></edit>'
    parts.append(f"<match>{last}</match>")  # what system-ui is here: no family at all
    return "\n".join([*parts, "</fontconfig>", ""])
