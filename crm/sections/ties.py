"""What follows when a flat, an entrance, a house or a panel is tied to another, or is no more: panels learn and forget.

Most are a Link's `changed` (crm.desk.resource), with the two ids in its order: it works in the transaction that ties.
"""

from __future__ import annotations

import time

import sqlalchemy as sa

from crm.companies.code_panels import sync_codes
from crm.keys.panels import sync_flats, sync_panels
from crm.model import DomophoneEntrance, HouseEntrance, table

_AT, _SERVES = table(DomophoneEntrance), table(HouseEntrance)


def flat_to_entrance(connection: sa.Connection, flat_id: int, _entrance_id: int) -> None:
    """A flat is called from an entrance: its keys open what stands there."""
    sync_flats(connection, [flat_id], time.time())


def entrance_to_flat(connection: sa.Connection, _entrance_id: int, flat_id: int) -> None:
    sync_flats(connection, [flat_id], time.time())


def panel_to_entrance(connection: sa.Connection, domophone_id: int, _entrance_id: int) -> None:
    """A panel stands at an entrance: it knows the keys and the codes of all that the entrance serves."""
    _panels_changed(connection, [domophone_id])


def entrance_to_panel(connection: sa.Connection, _entrance_id: int, domophone_id: int) -> None:
    _panels_changed(connection, [domophone_id])


def entrance_to_house(connection: sa.Connection, entrance_id: int, _house_id: int) -> None:
    """An entrance serves a house: its panels know the keys and the code of the house."""
    here = sa.select(_AT.c.domophone_id).where(_AT.c.entrance_id == entrance_id)
    _panels_changed(connection, list(connection.scalars(here)))


def house_to_entrance(connection: sa.Connection, _house_id: int, entrance_id: int) -> None:
    entrance_to_house(connection, entrance_id, _house_id)


def house_is_anothers(connection: sa.Connection, house_id: int) -> None:
    """A house has another company, or lies in another city: its panels know other keys and another code."""
    here = sa.select(_AT.c.domophone_id).join(_SERVES, _SERVES.c.entrance_id == _AT.c.entrance_id)
    _panels_changed(connection, list(connection.scalars(here.where(_SERVES.c.house_id == house_id))))


def _panels_changed(connection: sa.Connection, panels: list[int]) -> None:
    now = time.time()
    sync_panels(connection, panels, now)
    sync_codes(connection, now, panels=panels)
