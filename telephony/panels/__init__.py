"""Panels over their own HTTP interfaces, one file a vendor: the line of a handset, a call, a door, a registration,
keys and codes.

`open_panel` gives the driver of one panel. What all vendors have in common is here: which numbers may be asked for,
the deadline, and of which panel an error speaks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import trio
from attrs import frozen

from telephony.panels.beward import Beward
from telephony.panels.hikvision import Hikvision
from telephony.panels.http import PanelHttp
from telephony.panels.interface import (
    Idle,
    LineTest,
    PanelAccess,
    PanelAway,
    PanelDriver,
    PanelError,
    Registration,
)
from telephony.panels.qtech import Qtech
from telephony.panels.sokol import Sokol
from telephony.panels.uids import check_uid

FLAT_DIGITS = 9
CODE_DIGITS = 8

T = TypeVar("T")


@frozen
class _Vendor:
    driver: Callable[[PanelHttp], PanelDriver]
    auth: Callable[[str, str], httpx.Auth]


_VENDORS = {
    "beward": _Vendor(Beward, httpx.BasicAuth),
    "sokol": _Vendor(Sokol, httpx.BasicAuth),
    "qtech": _Vendor(Qtech, httpx.BasicAuth),
    "hikvision": _Vendor(Hikvision, httpx.DigestAuth),
}
VENDORS = tuple(_VENDORS)


@asynccontextmanager
async def open_panel(
    access: PanelAccess, *, deadline_s: float, on_pin: Callable[[str], None], ours: Collection[str] = ()
) -> AsyncIterator[PanelDriver]:
    """The driver of one panel, over one connection that is made when it is first asked and closed at the end.

    Each method takes `deadline_s` at most. `on_pin` is told the SHA-256 of the certificate, in hex, when none was
    pinned yet, before any password is sent; keep it, and give it in `access` from then on. `ours` are hosts of our own
    that no panel is (where.py). Raises `ValueError` for a vendor that is not in `VENDORS`.
    """
    vendor = _VENDORS.get(access.vendor)
    if vendor is None:
        raise ValueError(
            f"vendor {access.vendor!r} of the panel {access.url} is not one of {', '.join(VENDORS)}"
        )
    async with PanelHttp(access, vendor.auth, on_pin, ours) as http:
        yield _Panel(vendor.driver(http), f"panel {access.url} ({access.vendor})", deadline_s)


class _Panel:
    """A driver whose methods end in time, and whose errors say what they are about."""

    def __init__(self, driver: PanelDriver, name: str, deadline_s: float) -> None:
        self.vendor = driver.vendor
        self.answer_means = driver.answer_means
        self.has_line_test = driver.has_line_test
        self._driver = driver
        self._name = name
        self._deadline_s = deadline_s

    async def line_test(self, flat: str) -> LineTest:
        if not (flat.isascii() and flat.isdecimal() and len(flat) <= FLAT_DIGITS):
            raise ValueError(f"{self._name}: a flat is a number of 1 to {FLAT_DIGITS} digits, not {flat!r}")
        return await self._ask(f"testing the line of flat {flat}", lambda: self._driver.line_test(flat))

    async def idle(self) -> Idle:
        return await self._ask("asking whether it is in a call", self._driver.idle)

    async def open_door(self, door: int = 1) -> None:
        if door < 1:
            raise ValueError(f"{self._name}: doors are counted from 1, there is no door {door}")
        await self._ask(f"opening door {door}", lambda: self._driver.open_door(door))

    async def registration(self) -> Registration:
        return await self._ask("asking for its SIP registration", self._driver.registration)

    async def add_key(self, uid: str) -> None:
        check_uid(uid)
        await self._ask(f"adding key {uid}", lambda: self._driver.add_key(uid))

    async def remove_key(self, uid: str) -> None:
        check_uid(uid)
        await self._ask(f"taking key {uid} away", lambda: self._driver.remove_key(uid))

    async def set_code(self, code: str, old: str) -> None:
        for each in (code, old):
            if each and not (each.isascii() and each.isdecimal() and len(each) <= CODE_DIGITS):
                raise ValueError(f"{self._name}: an access code is a number of 1 to {CODE_DIGITS} digits")
        await self._ask("setting the access code", lambda: self._driver.set_code(code, old))

    async def _ask(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        doing = f"{self._name}, {what}"
        try:
            with trio.move_on_after(self._deadline_s):
                return await work()
            raise PanelAway(f"no answer within {self._deadline_s:g} s: check its power and network")
        except PanelError as error:
            error.doing = doing
            raise
