"""What tests of pages share: what they vary, what they ask of every page, and pictures for docs/."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from testbed.browser import DESK, ENGLISH, PHONE, RUSSIAN, accessibility_faults

HIGHEST = 1300  # px of a picture with all of a page
LARGE = 150_000  # bytes: a picture that is larger gets a palette of 256 colours
SCREENSHOTS = Path(__file__).resolve().parents[2] / "docs/screenshots"

both_languages = pytest.mark.parametrize("language", [RUSSIAN, ENGLISH])
both_screens = pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
both_colours = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


def assert_accessible(page: Page, *rules: str) -> None:
    """axe-core finds nothing serious or critical on the page as it is now; with `rules`: none of these alone."""
    faults = accessibility_faults(page, *rules)
    assert not faults, "\n".join([f"{page.url} has faults of accessibility:", *faults])


def screenshot(page: Page, name: str, *, full: bool = False) -> None:
    """With TELEDOM_SCREENSHOTS=1 a picture of the page becomes docs/screenshots/NAME.png; `full`: with what is
    below, too.
    """
    if os.environ.get("TELEDOM_SCREENSHOTS") != "1":
        return
    screen = page.viewport_size
    if full and screen is not None:  # by a higher screen, so that the menu is as long as the page
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": screen["width"], "height": min(height, HIGHEST)})
    picture = page.screenshot(animations="disabled", caret="hide")
    if full and screen is not None:
        page.set_viewport_size(screen)
    if len(picture) > LARGE:
        small = io.BytesIO()
        with Image.open(io.BytesIO(picture)) as whole:
            whole.convert("RGB").quantize(256).save(small, "PNG", optimize=True)
        picture = small.getvalue()
    SCREENSHOTS.mkdir(exist_ok=True)
    (SCREENSHOTS / f"{name}.png").write_bytes(picture)


def assert_fits(page: Page) -> None:
    """Nothing sticks out at the side: the page is not wider than the screen."""
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= screen, f"{page.url} is {wide} px wide on a screen of {screen} px"
