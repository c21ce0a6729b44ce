"""Relays over their own HTTP interfaces: boxes with channels, each of which opens something for a few seconds.

Two dialects of Shelly, as its documents have them: of the first generation (`/relay/N?turn=on&timer=S`, Basic login), and
of all later ones (`/rpc/Switch.Set`, Digest login with SHA-256, user "admin"). Both close again by themselves. How they
are connected to, and what can go wrong, is as with panels (panels/http.py, panels/interface.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Protocol

import httpx
import trio
from attrs import frozen

from telephony.panels.http import Answer, PanelHttp
from telephony.panels.interface import PanelAccess, PanelAnswer, PanelAway, PanelError, PanelRefused


class RelayDriver(Protocol):
    """One relay. Raises a `PanelError` that says what was being done."""

    async def open(self, channel: int, seconds: int) -> None:
        """Hold a channel, counted from 1, for some seconds. After `PanelAway` it may be open all the same."""


class Shelly1:
    """See `RelayDriver`."""

    def __init__(self, http: PanelHttp) -> None:
        self._http = http

    async def open(self, channel: int, seconds: int) -> None:
        query = {"turn": "on", "timer": str(seconds)}
        switched(await self._http.ask("GET", f"/relay/{channel - 1}", query))


class Shelly2:
    """See `RelayDriver`."""

    def __init__(self, http: PanelHttp) -> None:
        self._http = http

    async def open(self, channel: int, seconds: int) -> None:
        query = {"id": str(channel - 1), "on": "true", "toggle_after": str(seconds)}
        was_set(await self._http.ask("GET", "/rpc/Switch.Set", query))


@frozen
class _Model:
    driver: Callable[[PanelHttp], RelayDriver]
    auth: Callable[[str, str], httpx.Auth]


_MODELS = {"shelly-1": _Model(Shelly1, httpx.BasicAuth), "shelly-2": _Model(Shelly2, httpx.DigestAuth)}
MODELS = tuple(_MODELS)


@asynccontextmanager
async def open_relay(
    access: PanelAccess, *, deadline_s: float, on_pin: Callable[[str], None], ours: Collection[str] = ()
) -> AsyncIterator[RelayDriver]:
    """The driver of one relay; `access.vendor` is its model. All else is as `panels.open_panel`'s.

    Raises `ValueError` for a model that is not in `MODELS`.
    """
    model = _MODELS.get(access.vendor)
    if model is None:
        raise ValueError(
            f"model {access.vendor!r} of the relay {access.url} is not one of {', '.join(MODELS)}"
        )
    async with PanelHttp(access, model.auth, on_pin, ours) as http:
        yield _Relay(model.driver(http), f"relay {access.url} ({access.vendor})", deadline_s)


class _Relay:
    """A driver whose methods end in time, and whose errors say what they are about."""

    def __init__(self, driver: RelayDriver, name: str, deadline_s: float) -> None:
        self._driver = driver
        self._name = name
        self._deadline_s = deadline_s

    async def open(self, channel: int, seconds: int) -> None:
        if channel < 1 or seconds < 1:
            raise ValueError(f"{self._name}: channels are counted from 1, and open for 1 s at least")
        try:
            with trio.move_on_after(self._deadline_s):
                await self._driver.open(channel, seconds)
                return
            raise PanelAway(f"no answer within {self._deadline_s:g} s: check its power and network")
        except PanelError as error:
            error.doing = f"{self._name}, opening channel {channel}"
            raise


def switched(answer: Answer) -> None:
    """Make sure that a first generation's channel is on. Raises `PanelError`."""
    if answer.good().json().get("ison") is not True:
        raise PanelRefused("it does not say that the channel is on", status=answer.status, said=answer.said)


def was_set(answer: Answer) -> None:
    """Make sure that a later generation's channel was set. Raises `PanelError`."""
    match answer.good().json():
        case {"was_on": bool()}:
            return
        case _:
            raise PanelAnswer("it does not say that the channel was set", said=answer.said)
