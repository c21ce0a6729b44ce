"""What the tests of panels share: a panel with its server, and a driver that is connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from attrs import evolve

from telephony.panels import open_panel
from telephony.panels.http import Answer, cleaned
from telephony.panels.interface import PanelAccess, PanelDriver
from testbed.panel_state import PanelState
from testbed.panels import open_panel_server


def access_to(panel: PanelState, url: str, pin: str | None = None) -> PanelAccess:
    """The right user and password for a panel."""
    return PanelAccess(vendor=panel.vendor, url=url, user=panel.user, password=panel.password, pin=pin)


def nothing_to_pin(pin: str) -> None:
    raise AssertionError(f"a certificate {pin} was pinned")


@asynccontextmanager
async def connected(
    panel: PanelState,
    *,
    deadline_s: float = 5.0,
    password: str | None = None,
    pin: str | None = None,
    on_pin: Callable[[str], None] = nothing_to_pin,
) -> AsyncIterator[PanelDriver]:
    """A driver of a panel whose server runs."""
    async with open_panel_server(panel) as url:
        access = access_to(panel, url, pin)
        if password is not None:
            access = evolve(access, password=password)
        async with open_panel(access, deadline_s=deadline_s, on_pin=on_pin) as driver:
            yield driver


def answer(content: bytes, status: int = 200) -> Answer:
    return Answer(status, content, cleaned(content.decode("utf-8", "replace")))
