"""Which panels are within somebody's reach: those at an entrance of one of his houses. Panels are known by SIP users."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from crm.model import Domophone, DomophoneEntrance, House, HouseEntrance, table
from crm.rights import Reach
from crm.store import Store

_PANELS, _AT, _OF, _HOUSES = table(Domophone), table(DomophoneEntrance), table(HouseEntrance), table(House)


def panel_within(reach: Reach, sip_user: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """The condition that the panel with this SIP user is within `reach`. One that is gone is within none but all."""
    if reach.everywhere:
        return sa.true()
    return sa.exists(_within(reach).where(_PANELS.c.sip_user == sip_user))


def panels_within(store: Store, reach: Reach) -> frozenset[str] | None:
    """The SIP users of the panels within `reach`; None: all there are. Raises DatabaseAway, SchemaMismatch."""
    if reach.everywhere:
        return None
    with store.reading() as connection:
        return frozenset(connection.scalars(_within(reach).distinct()))


def _within(reach: Reach) -> sa.Select[Any]:
    return (
        sa.select(_PANELS.c.sip_user)
        .join(_AT, _AT.c.domophone_id == _PANELS.c.id)
        .join(_OF, _OF.c.entrance_id == _AT.c.entrance_id)
        .join(_HOUSES, _HOUSES.c.id == _OF.c.house_id)
        .where(reach.of_houses())
    )
