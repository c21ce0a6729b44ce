"""Relays of the demo town: one at the gate, with a channel for the barrier and one for the wicket beside it."""

from __future__ import annotations

import sqlalchemy as sa

from crm.devices.relays import RelayModel
from crm.model import Domophone, DomophoneEntrance, table
from crm.store import Store
from crm.tables.devices import Relay, RelayChannel

_RELAYS, _CHANNELS = table(Relay), table(RelayChannel)
GATE = "500003"  # the SIP user of the panel at the gate
MAC = "0250ba771e12"


def fill_devices(store: Store) -> None:
    """Once."""
    with store.transaction() as connection:
        if connection.scalar(sa.select(_RELAYS.c.id).where(_RELAYS.c.mac == MAC)) is not None:
            return
        at = sa.select(DomophoneEntrance.entrance_id).join(
            Domophone, Domophone.id == DomophoneEntrance.domophone_id
        )
        gate = connection.scalar(at.where(Domophone.sip_user == GATE).limit(1))
        row = {"name": "Ворота, шкаф у въезда", "mac": MAC, "model": RelayModel.SHELLY_2.value}
        made = sa.insert(_RELAYS).values(**row).returning(_RELAYS.c.id)
        id = int(connection.execute(made).scalar_one())
        channels = [
            {"relay_id": id, "number": number, "name": name, "entrance_id": gate}
            for number, name in ((1, "шлагбаум"), (2, "калитка"))
        ]
        connection.execute(sa.insert(_CHANNELS), channels)
