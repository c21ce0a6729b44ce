"""Panels as a list of those that are not registered needs them: all that are in use, and what is shown of some.

All functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.devices.access import panels_near
from crm.model import City, Domophone, DomophoneEntrance, Entrance, House, HouseEntrance, Vendor, table
from crm.rights import EVERYWHERE, Reach
from crm.store import Store
from crm.tables.calls import Call

_PANELS = table(Domophone)


@frozen
class PanelShown:
    """A panel: where it stands, what it is, and when it called last, if ever."""

    id: int
    sip_user: str
    address: str
    vendor: Vendor
    model: str
    last_call_at: float | None


def address_of_panel(seen: Reach = EVERYWHERE) -> Any:
    """Where a panel stands, as a column of a query: the first of the houses that it serves, and that are `seen`."""
    return of_first_house(House.street + " " + House.number + ", " + Entrance.name, seen)


def of_first_house(what: sa.ColumnElement[Any], seen: Reach = EVERYWHERE) -> Any:
    """`what` (of House, its City, or the Entrance) of the first of the houses that a panel serves, and that are `seen`,
    as a column of a query over panels."""
    at, serves = table(DomophoneEntrance), table(HouseEntrance)
    return (
        sa.select(what)
        .select_from(House)
        .join(City, City.id == House.city_id)
        .join(serves, serves.c.house_id == House.id)
        .join(at, at.c.entrance_id == serves.c.entrance_id)
        .join(Entrance, Entrance.id == at.c.entrance_id)
        .where(at.c.domophone_id == _PANELS.c.id, seen.of_houses())
        .order_by(House.id, Entrance.id)
        .limit(1)
        .correlate(_PANELS)
        .scalar_subquery()
    )


def last_call_of_panel() -> Any:
    """When a panel called last, as a column of a query."""
    calls = table(Call)
    last = sa.select(sa.func.max(calls.c.started_at)).where(calls.c.panel == _PANELS.c.sip_user)
    return last.correlate(_PANELS).scalar_subquery()


def panels_in_use(connection: sa.Connection, reach: Reach) -> dict[str, int]:
    """The ids of all panels in use within reach, by their SIP users, in the order of these."""
    query = sa.select(_PANELS.c.sip_user, _PANELS.c.id).where(_PANELS.c.active, panels_near(reach))
    return {user: id for user, id in connection.execute(query.order_by(_PANELS.c.sip_user))}


def panels_shown(connection: sa.Connection, ids: Collection[int], seen: Reach) -> list[PanelShown]:
    """These panels, in the order of their SIP users, at houses that are `seen`."""
    query = (
        sa.select(
            *(_PANELS.c.id, _PANELS.c.sip_user, sa.func.coalesce(address_of_panel(seen), "")),
            *(_PANELS.c.vendor, _PANELS.c.model, last_call_of_panel()),
        )
        .where(_PANELS.c.id.in_(ids))
        .order_by(_PANELS.c.sip_user)
    )
    return [PanelShown(*row) for row in connection.execute(query)]


@frozen
class Unregistered:
    """Panels in use that are not registered: the first of `total`, out of `asked`. `why`: why that is not known."""

    asked: int
    total: int
    panels: list[PanelShown]
    why: str = ""


def unregistered(store: Store, reach: Reach, ask: Callable[[list[str]], Any], *, limit: int) -> Unregistered:
    """The panels within reach that `ask` (nodes.Nodes.registered_of) does not know to be registered."""
    with store.reading() as connection:
        ids = panels_in_use(connection, reach)
    answer = ask(list(ids))
    if answer.why:
        return Unregistered(len(ids), 0, [], answer.why)
    there = frozenset(answer.registered)
    missing = [id for user, id in ids.items() if user not in there]
    with store.reading() as connection:
        return Unregistered(len(ids), len(missing), panels_shown(connection, missing[:limit], reach))
