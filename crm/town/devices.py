"""Relays of the demo town: one at the gate, with a channel for the barrier and one for the wicket beside it."""

from __future__ import annotations

import sqlalchemy as sa

from crm.desk.desk import Desk
from crm.devices.relays import RelayModel
from crm.model import Domophone, DomophoneEntrance, table
from crm.sections import all_resources
from crm.store import Store
from crm.tables.devices import Relay
from crm.who import SYSTEM

GATE = "500003"  # the SIP user of the panel at the gate
MAC = "0250ba771e12"


def fill_devices(store: Store) -> None:
    """Once."""
    with store.reading() as connection:
        if connection.scalar(sa.select(table(Relay).c.id).where(table(Relay).c.mac == MAC)) is not None:
            return
        at = sa.select(DomophoneEntrance.entrance_id).join(
            Domophone, Domophone.id == DomophoneEntrance.domophone_id
        )
        gate = connection.scalar(at.where(Domophone.sip_user == GATE).limit(1))
    desk = Desk(store, all_resources())
    relay = {"name": "Ворота, шкаф у въезда", "mac": MAC, "model": RelayModel.SHELLY_2.value}
    id = desk.create(SYSTEM, desk.resource("relays"), relay)
    for number, name in ((1, "шлагбаум"), (2, "калитка")):
        channel = {"relay_id": id, "number": number, "name": name, "entrance_id": gate}
        desk.create(SYSTEM, desk.resource("relay-channels"), channel)
