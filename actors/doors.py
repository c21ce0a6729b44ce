"""Doors opened from the CRM: over a panel's own HTTP, or over a relay's channel; who did it is written before it is done.

Two changes are noted for each: that it was asked for, which is committed before anything is sent, and what came of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
import trio

from actors.panel_access import unsealed
from crm.changes import note_change
from crm.devices.access import panel_door, pin_relay_certificate, relay_door
from crm.devices.panel_access import StoredAccess, pin_certificate
from crm.sealed import SealError
from crm.store import Store, StoreError
from crm.who import Who
from logs import get_logger
from telephony.panels import open_panel
from telephony.panels.interface import PanelAccess, PanelAway, PanelError
from telephony.relays import open_relay

DEADLINE_S = 8.0
HELD_S = 3  # for how long a relay's channel is held

log = get_logger("doors")

T = TypeVar("T")


class DoorNotOpened(Exception):
    """A door was not opened, or nobody knows whether it was; the message says why and what to do."""


async def open_door(
    store: Store,
    secret_key: str,
    domophone_id: int,
    door: int,
    who: Who,
    *,
    deadline_s: float = DEADLINE_S,
    ours: Collection[str] = (),
) -> None:
    """Open a door of a panel, counted from 1, for `who`; `ours` are hosts that no panel is (telephony/panels/where.py).

    Raises crm.who's Forbidden, NotFound and Invalid (the panel has no address), DoorNotOpened, StoreError (nothing was
    sent then).
    """
    found = await _in_thread(store, lambda connection: panel_door(connection, who, domophone_id))
    pin = partial(pin_certificate, store, found.mac)

    async def opening(access: PanelAccess, on_pin: Callable[[str], None]) -> None:
        async with open_panel(access, deadline_s=deadline_s, on_pin=on_pin, ours=ours) as panel:
            await panel.open_door(door)

    note = partial(_note, store, who, "domophone", domophone_id, {"door": door})
    await _open(found.access, secret_key, pin, opening, note)


async def open_relay_channel(
    store: Store,
    secret_key: str,
    channel_id: int,
    who: Who,
    *,
    deadline_s: float = DEADLINE_S,
    held_s: int = HELD_S,
    ours: Collection[str] = (),
) -> None:
    """Open what a relay's channel opens, for `who`. Raises as `open_door` does."""
    found = await _in_thread(store, lambda connection: relay_door(connection, who, channel_id))
    pin = partial(pin_relay_certificate, store, found.relay_id)

    async def opening(access: PanelAccess, on_pin: Callable[[str], None]) -> None:
        async with open_relay(access, deadline_s=deadline_s, on_pin=on_pin, ours=ours) as relay:
            await relay.open(found.number, held_s)

    what = {"channel": found.number, "name": found.name}
    await _open(
        found.access, secret_key, pin, opening, partial(_note, store, who, "relay", found.relay_id, what)
    )


async def _open(
    access: StoredAccess,
    secret_key: str,
    pin: Callable[[str], None],
    opening: Callable[[PanelAccess, Callable[[str], None]], Awaitable[None]],
    note: Callable[[str], None],
) -> None:
    await trio.to_thread.run_sync(note, "asked")
    pins: list[str] = []
    outcome = "not known: it was given up half-way"
    try:
        known = unsealed(access, secret_key)
        await opening(known, pins.append)
        outcome = "opened"
    except PanelAway as error:
        outcome = f"not known: {error}"
        raise DoorNotOpened(f"{error}; it may be open all the same") from error
    except (PanelError, SealError, ValueError) as error:
        outcome = f"not opened: {error}"
        raise DoorNotOpened(str(error)) from error
    finally:
        with trio.CancelScope(shield=True):
            try:
                await trio.to_thread.run_sync(note, outcome)
                if pins:
                    await trio.to_thread.run_sync(pin, pins[0])
            except StoreError as error:
                log.error("what came of opening a door could not be written", outcome=outcome, why=str(error))


async def _in_thread(store: Store, read: Callable[[sa.Connection], T]) -> T:
    def work() -> T:
        with store.reading() as connection:
            return read(connection)

    return await trio.to_thread.run_sync(work)


def _note(store: Store, who: Who, entity: str, id: int, what: Mapping[str, object], outcome: str) -> None:
    with store.transaction() as connection:
        note_change(connection, who, entity, id, "open", None, {**what, "outcome": outcome}, at=time.time())
