"""What a panel says of itself when somebody asks for it from the CRM: whether it is registered at SIP, and idle.

Nothing is changed at the panel. It is reached as for opening its door: at its own address, with its own password and pin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import TypeVar

import trio
from attrs import frozen

from actors.panel_access import unsealed
from crm.devices.access import PanelDoor, panel_to_ask
from crm.devices.panel_access import pin_certificate
from crm.sealed import SealError
from crm.store import Store, StoreError
from crm.who import Who
from logs import get_logger
from telephony.panels import open_panel
from telephony.panels.interface import Idle, PanelBusy, PanelError, Registration

DEADLINE_S = 4.0  # for each of the two questions

log = get_logger("panels")

T = TypeVar("T")


class PanelNotAsked(Exception):
    """A panel did not say anything; the message says why."""


@frozen
class PanelSays:
    """What a panel has said of itself."""

    registration: Registration
    idle: Idle


async def ask_panel(
    store: Store,
    secret_key: str,
    domophone_id: int,
    who: Who,
    *,
    deadline_s: float = DEADLINE_S,
    ours: Collection[str] = (),
) -> PanelSays:
    """Ask a panel, for `who`, who may change it; `ours` are hosts that no panel is (telephony/panels/where.py).

    Raises crm.who's Forbidden, NotFound and Invalid (the panel has no address), PanelNotAsked, StoreError.
    """
    found = await trio.to_thread.run_sync(_find, store, who, domophone_id)
    access, pins = found.access, list[str]()
    try:
        known = unsealed(access, secret_key)
        async with open_panel(known, deadline_s=deadline_s, on_pin=pins.append, ours=ours) as panel:
            registration = await _unless_busy(panel.registration)
            idle = await _unless_busy(panel.idle)
    except (PanelError, SealError, ValueError) as error:
        raise PanelNotAsked(str(error)) from error
    finally:
        if pins:
            await _keep(store, found, pins[0])
    busy = registration is None or idle is None
    return PanelSays(registration or Registration.NOT_TOLD, Idle.NO if busy else idle or Idle.NOT_TOLD)


async def _unless_busy(ask: Callable[[], Awaitable[T]]) -> T | None:
    """None: it says that it is in a call."""
    try:
        return await ask()
    except PanelBusy:
        return None


async def _keep(store: Store, found: PanelDoor, pin: str) -> None:
    """The certificate that was seen first, whatever came of the rest."""
    with trio.CancelScope(shield=True):
        try:
            await trio.to_thread.run_sync(partial(pin_certificate, store, found.mac, pin))
        except StoreError as error:
            log.error("a panel's certificate could not be kept", panel=found.sip_user, why=str(error))


def _find(store: Store, who: Who, domophone_id: int) -> PanelDoor:
    with store.reading() as connection:
        return panel_to_ask(connection, who, domophone_id)
