"""Relays and what their channels open. How one is reached is set in device_access.py; nothing here reads a password.

A relay is seen by whoever sees one of the entrances that its channels open, and made by who may change devices
everywhere; a channel belongs to whoever may change its entrance's devices. Functions are synchronous and raise crm.who's
Refused errors and crm.store's StoreError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.devices.access import entrances_near, relays_near
from crm.model import Entrance, HouseEntrance, table
from crm.rights import Right
from crm.store import Store
from crm.tables.devices import Relay, RelayChannel
from crm.who import Conflict, Forbidden, Invalid, NotFound, Who

CHANNELS_MOST = 64

_RELAYS, _CHANNELS = table(Relay), table(RelayChannel)


class RelayModel(Enum):
    """Whose dialect a relay speaks (telephony/relays.py)."""

    SHELLY_1 = "shelly-1"  # of the first generation
    SHELLY_2 = "shelly-2"  # of all later ones


@frozen
class Channel:
    """`entrance` is the name of the one that it opens, "" for none."""

    id: int
    number: int
    name: str
    entrance_id: int | None
    entrance: str


@frozen
class RelayInfo:
    """A relay, without its password; `channels` in the order of their numbers."""

    id: int
    name: str
    mac: str
    model: str
    url: str
    http_user: str
    has_password: bool
    tls_pin: str | None
    active: bool
    note: str
    channels: tuple[Channel, ...]


def add_relay(
    store: Store,
    who: Who,
    now: float,
    *,
    name: str,
    mac: str,
    model: RelayModel,
    active: bool = True,
    note: str = "",
) -> int:
    """Add a relay; its id. Raises Invalid, Conflict (its MAC is known), Forbidden."""
    who.need_everywhere(Right.DEVICES_EDIT)
    values = _checked({"name": name, "mac": mac, "model": model.value, "active": active, "note": note})
    with store.transaction() as connection:
        _need_free_mac(connection, values["mac"], None)
        id = int(connection.execute(sa.insert(_RELAYS).values(values).returning(_RELAYS.c.id)).scalar_one())
        note_change(connection, who, "relay", id, "create", None, values, at=now)
        return id


def change_relay(store: Store, who: Who, relay_id: int, now: float, values: Mapping[str, Any]) -> None:
    """Change some of name, mac, model, active, note. Raises Invalid, Conflict, NotFound, Forbidden."""
    with store.transaction() as connection:
        row = _relay(connection, who, relay_id, Right.DEVICES_EDIT)
        new = _checked(values)
        if "mac" in new:
            _need_free_mac(connection, new["mac"], relay_id)
        if new:
            connection.execute(sa.update(_RELAYS).where(_RELAYS.c.id == relay_id).values(new))
        before = {field: getattr(row, field) for field in new}
        note_change(connection, who, "relay", relay_id, "update", before, new, at=now)


def delete_relay(store: Store, who: Who, relay_id: int, now: float) -> None:
    """Delete a relay with its channels. Raises NotFound, Forbidden."""
    who.need_everywhere(Right.DEVICES_EDIT)
    with store.transaction() as connection:
        row = _relay(connection, who, relay_id, Right.DEVICES_EDIT)
        connection.execute(sa.delete(_RELAYS).where(_RELAYS.c.id == relay_id))
        before = {"name": row.name, "mac": row.mac, "model": row.model}
        note_change(connection, who, "relay", relay_id, "delete", before, None, at=now)


def set_channel(
    store: Store, who: Who, relay_id: int, number: int, now: float, *, name: str, entrance_id: int | None
) -> int:
    """Add a channel, counted from 1, or change what it opens; its id. Raises Invalid, NotFound, Forbidden."""
    name = name.strip()
    if not 1 <= number <= CHANNELS_MOST:
        raise Invalid({"number": f"channels are counted from 1 to {CHANNELS_MOST}"})
    if not name or len(name) > 255:
        raise Invalid({"name": "say what it opens, in 255 characters at most"})
    with store.transaction() as connection:
        _relay(connection, who, relay_id, Right.DEVICES_EDIT, new=True)
        mine = sa.and_(_CHANNELS.c.relay_id == relay_id, _CHANNELS.c.number == number)
        row = connection.execute(sa.select(_CHANNELS).where(mine)).first()
        if row is not None:
            _need_near(connection, who, row.entrance_id)
        _need_near(connection, who, entrance_id)
        after = {"number": number, "name": name, "entrance_id": entrance_id}
        if row is None:
            added = sa.insert(_CHANNELS).values(relay_id=relay_id, **after).returning(_CHANNELS.c.id)
            id = int(connection.execute(added).scalar_one())
            before: dict[str, Any] = {}
        else:
            id = row.id
            connection.execute(sa.update(_CHANNELS).where(mine).values(after))
            before = {"number": number, "name": row.name, "entrance_id": row.entrance_id}
        note_change(
            connection, who, "relay", relay_id, "update", {"channel": before}, {"channel": after}, at=now
        )
        return id


def delete_channel(store: Store, who: Who, channel_id: int, now: float) -> None:
    """Raises NotFound, Forbidden."""
    who.need(Right.DEVICES_EDIT)
    with store.transaction() as connection:
        row = connection.execute(sa.select(_CHANNELS).where(_CHANNELS.c.id == channel_id)).first()
        if row is None:
            raise NotFound(f"there is no channel {channel_id} of a relay")
        _relay(connection, who, row.relay_id, Right.DEVICES_EDIT)
        _need_near(connection, who, row.entrance_id)
        connection.execute(sa.delete(_CHANNELS).where(_CHANNELS.c.id == channel_id))
        before = {"channel": {"number": row.number, "name": row.name, "entrance_id": row.entrance_id}}
        note_change(connection, who, "relay", row.relay_id, "update", before, {"channel": None}, at=now)


def get_relay(store: Store, who: Who, relay_id: int) -> RelayInfo:
    """Raises NotFound, Forbidden."""
    with store.reading() as connection:
        row = _relay(connection, who, relay_id, Right.DEVICES_VIEW)
        columns = (_CHANNELS.c[name] for name in ("id", "number", "name", "entrance_id"))
        query: sa.Select[Any] = (
            sa.select(*columns, sa.func.coalesce(Entrance.name, ""))
            .outerjoin(Entrance, Entrance.id == _CHANNELS.c.entrance_id)
            .where(_CHANNELS.c.relay_id == relay_id)
            .order_by(_CHANNELS.c.number)
        )
        channels = tuple(
            Channel(id, number, name, entrance_id, entrance)
            for id, number, name, entrance_id, entrance in connection.execute(query)
        )
    access = (row.url, row.http_user, bool(row.http_password), row.tls_pin)
    return RelayInfo(row.id, row.name, row.mac, row.model, *access, row.active, row.note, channels)


def _relay(connection: sa.Connection, who: Who, relay_id: int, right: Right, *, new: bool = False) -> Any:
    """The row; `new`: one of which no channel opens anything yet is within everybody's reach, too."""
    who.need(right)
    near = relays_near(who.rights.reach(right))
    if new:
        near = sa.or_(near, ~sa.exists().where(_CHANNELS.c.relay_id == relay_id))
    row = connection.execute(sa.select(_RELAYS).where(_RELAYS.c.id == relay_id, near)).first()
    if row is None:
        raise NotFound(f"there is no relay {relay_id}")
    return row


def _need_near(connection: sa.Connection, who: Who, entrance_id: int | None) -> None:
    reach = who.rights.reach(Right.DEVICES_EDIT)
    if entrance_id is None:
        if not reach.everywhere:
            raise Forbidden(
                f"a channel at no entrance is changed by who may change devices everywhere, not {who.name}"
            )
        return
    at = HouseEntrance.entrance_id
    near = sa.select(at).where(at == entrance_id, entrances_near(reach))
    if reach.everywhere:
        near = sa.select(Entrance.id).where(Entrance.id == entrance_id)
    if connection.scalar(near.limit(1)) is None:
        raise Invalid({"entrance_id": f"there is no entrance {entrance_id}"})


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    new, errors = dict(values), dict[str, str]()
    if unknown := set(new) - {"name", "mac", "model", "active", "note"}:
        raise Invalid(dict.fromkeys(sorted(unknown), "this is nothing that a relay has"))
    if "name" in new:
        new["name"] = str(new["name"]).strip()
        if not new["name"] or len(new["name"]) > 255:
            errors["name"] = "a name is needed, of 255 characters at most"
    if "mac" in new:
        new["mac"] = re.sub(r"[\s:.\-]", "", str(new["mac"])).lower()
        if not re.fullmatch(r"[0-9a-f]{12}", new["mac"]):
            errors["mac"] = "a MAC is expected: 12 hex digits, like 18:68:82:31:0c:8a"
    if "model" in new:
        model = new["model"]
        new["model"] = model.value if isinstance(model, RelayModel) else str(model)
        if new["model"] not in {each.value for each in RelayModel}:
            errors["model"] = f"one of {', '.join(each.value for each in RelayModel)} is expected"
    if errors:
        raise Invalid(errors)
    return new


def _need_free_mac(connection: sa.Connection, mac: str, relay_id: int | None) -> None:
    other = connection.scalar(
        sa.select(_RELAYS.c.id).where(_RELAYS.c.mac == mac, _RELAYS.c.id != (relay_id or 0))
    )
    if other is not None:
        raise Conflict(f"there is a relay with the MAC {mac} already")
