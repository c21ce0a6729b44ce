"""How panels and relays are reached, as somebody sets it: address, user, and a password that is never shown again.

Also how a relay is reached to open something, and what of both is within whose reach. Functions are synchronous and
raise crm.who's Refused errors and crm.store's StoreError.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from attrs import frozen

from crm.changes import SECRET, note_change
from crm.devices.panel_access import StoredAccess
from crm.devices.queue import tell_all_again, wake_panels
from crm.model import Domophone, DomophoneEntrance, House, HouseEntrance, table
from crm.rights import Reach, Right
from crm.sealed import Seal
from crm.store import Store
from crm.tables.devices import Relay, RelayChannel
from crm.who import Forbidden, Invalid, NotFound, Who

_PANELS, _RELAYS, _CHANNELS = table(Domophone), table(Relay), table(RelayChannel)
_NUMBERS = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*\.?")


@frozen
class PanelDoor:
    """A panel whose door is to be opened, or that is to be asked for its state."""

    domophone_id: int
    mac: str
    sip_user: str
    access: StoredAccess


@frozen
class RelayDoor:
    """A relay's channel that is to open something: `name` is what, `number` counted from 1."""

    channel_id: int
    relay_id: int
    number: int
    name: str
    access: StoredAccess  # `vendor` is the relay's model


def set_panel_access(
    store: Store,
    secret_key: str,
    who: Who,
    domophone_id: int,
    now: float,
    *,
    url: str,
    user: str,
    password: str | None,
) -> None:
    """Set how a panel is reached; `password` None leaves it, "" takes it away. What waits for the panel is due at once.

    Another address forgets the certificate that was pinned. Raises Invalid, NotFound, Forbidden, SealError (crm.sealed).
    """
    _set(store, secret_key, who, _PANELS, domophone_id, now, url, user, password)


def set_relay_access(
    store: Store,
    secret_key: str,
    who: Who,
    relay_id: int,
    now: float,
    *,
    url: str,
    user: str,
    password: str | None,
) -> None:
    """The same for a relay."""
    _set(store, secret_key, who, _RELAYS, relay_id, now, url, user, password)


def forget_certificate(store: Store, who: Who, domophone_id: int, now: float) -> None:
    """The panel was exchanged or reset: the next certificate that it shows is pinned. Raises NotFound, Forbidden."""
    _forget(store, who, _PANELS, domophone_id, now)


def panel_was_reset(store: Store, who: Who, domophone_id: int, now: float) -> None:
    """The same, and the panel knows nothing any more: it is told all keys and codes again."""
    with store.transaction() as connection:
        row = _get(connection, who, _PANELS, domophone_id, Right.DEVICES_EDIT)
        mine = _PANELS.c.id == domophone_id
        connection.execute(sa.update(_PANELS).where(mine).values(tls_pin=None))
        tell_all_again(connection, domophone_id, now)
        note_change(connection, who, "domophone", domophone_id, "reset", {"tls_pin": row.tls_pin}, at=now)


def forget_relay_certificate(store: Store, who: Who, relay_id: int, now: float) -> None:
    """The same for a relay."""
    _forget(store, who, _RELAYS, relay_id, now)


def pin_relay_certificate(store: Store, relay_id: int, pin: str) -> None:
    """Keep the certificate that a relay showed first."""
    first = sa.update(_RELAYS).where(_RELAYS.c.id == relay_id, _RELAYS.c.tls_pin.is_(None))
    with store.transaction() as connection:
        connection.execute(first.values(tls_pin=pin))


def panel_door(connection: sa.Connection, who: Who, domophone_id: int) -> PanelDoor:
    """The panel, for whoever may open its door. Raises NotFound, Forbidden, Invalid (it has no address)."""
    return _panel(connection, who, domophone_id, Right.DOORS_OPEN)


def panel_to_ask(connection: sa.Connection, who: Who, domophone_id: int) -> PanelDoor:
    """The panel, for whoever may change it, and so ask it for its state. Raises as `panel_door` does."""
    return _panel(connection, who, domophone_id, Right.DEVICES_EDIT)


def _panel(connection: sa.Connection, who: Who, domophone_id: int, right: Right) -> PanelDoor:
    row = _get(connection, who, _PANELS, domophone_id, right)
    access = StoredAccess(row.vendor.value, row.url, row.http_user, row.http_password, row.tls_pin)
    _check_reachable(row, f"panel {row.sip_user}")
    return PanelDoor(row.id, row.mac, row.sip_user, access)


def relay_door(connection: sa.Connection, who: Who, channel_id: int) -> RelayDoor:
    """The relay of a channel, for whoever may open that. Raises NotFound, Forbidden, Invalid (it has no address)."""
    who.need(Right.DOORS_OPEN)
    channel = connection.execute(sa.select(_CHANNELS).where(_CHANNELS.c.id == channel_id)).first()
    if channel is None or not _channel_near(
        connection, who.rights.reach(Right.DOORS_OPEN), channel.entrance_id
    ):
        raise NotFound(f"there is no channel {channel_id} of a relay")
    relay = connection.execute(sa.select(_RELAYS).where(_RELAYS.c.id == channel.relay_id)).one()
    _check_reachable(relay, f"relay {relay.name}")
    access = StoredAccess(relay.model, relay.url, relay.http_user, relay.http_password, relay.tls_pin)
    return RelayDoor(channel_id, relay.id, channel.number, channel.name, access)


def entrances_near(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on HouseEntrance that its entrance serves a house within reach."""
    return HouseEntrance.house_id.in_(sa.select(House.id).where(reach.of_houses()).correlate(None))


def relays_near(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on Relay that one of its channels opens something within reach."""
    if reach.everywhere:
        return sa.true()
    near = sa.select(HouseEntrance.entrance_id).where(entrances_near(reach)).correlate(None)
    mine = sa.exists().where(_CHANNELS.c.relay_id == _RELAYS.c.id, _CHANNELS.c.entrance_id.in_(near))
    return mine.correlate(_RELAYS)  # not with what a query joins beside


def panels_near(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on Domophone that it serves an entrance of a house within reach."""
    if reach.everywhere:
        return sa.true()
    near = sa.select(HouseEntrance.entrance_id).where(entrances_near(reach)).correlate(None)
    at = table(DomophoneEntrance)
    mine = sa.exists().where(at.c.domophone_id == _PANELS.c.id, at.c.entrance_id.in_(near))
    return mine.correlate(_PANELS)


def check_url(url: str) -> None:
    """Raises Invalid: it is no address of a device's web interface."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise Invalid({"url": "this is no address: write http://10.1.2.3 or https://10.1.2.3"}) from None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password)
    if url and not (parts.scheme in ("http", "https") and parts.hostname and plain and port_fits):
        raise Invalid(
            {"url": "an address is http://host or https://host, with a port or without, and nothing more"}
        )
    host = parts.hostname or ""
    address = _ip_address(host)
    # The addresses of clouds' metadata are link-local; "127.1" and "2130706433" are ways to write one that hide it.
    nobodys = address is not None and (
        address.is_link_local or address.is_multicast or address.is_unspecified
    )
    if nobodys or (address is None and _NUMBERS.fullmatch(host)):
        raise Invalid({"url": "no panel or relay can have this address"})


def is_own(url: str) -> bool:
    """Whether it leads to the machine that asks: there are services on it that trust whoever is on it."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    address = _ip_address(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _ip_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that `host` is, if it is one and no name."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def same_host(before: str, after: str) -> bool:
    """Whether what is sent to `after` gets to the host of `before`, and not less protected."""
    was, now = urlsplit(before), urlsplit(after)
    return was.hostname == now.hostname and (was.scheme, now.scheme) != ("https", "http")


def _set(
    store: Store,
    secret_key: str,
    who: Who,
    of: sa.Table,
    id: int,
    now: float,
    url: str,
    user: str,
    password: str | None,
) -> None:
    url = url.strip().rstrip("/")
    check_url(url)
    if not user.isprintable() or any(char in ':"\\' for char in user) or len(user) > 64:
        raise Invalid({"http_user": 'HTTP cannot carry this name: at most 64 characters, without : " and \\'})
    with store.transaction() as connection:
        row = _get(connection, who, of, id, Right.DEVICES_EDIT)
        values: dict[str, Any] = {"url": url, "http_user": user}
        if password is not None:
            values["http_password"] = Seal(secret_key).seal(password)
        if url != row.url:
            values["tls_pin"] = None
        connection.execute(sa.update(of).where(of.c.id == id).values(values))
        before = {"url": row.url, "http_user": row.http_user}
        after: dict[str, Any] = {"url": url, "http_user": user}
        if password is not None:
            after["http_password"] = SECRET if password else ""
        note_change(connection, who, _entity(of), id, "update", before, after, at=now)
        if of is _PANELS:
            wake_panels(connection, [id], now)


def _forget(store: Store, who: Who, of: sa.Table, id: int, now: float) -> None:
    with store.transaction() as connection:
        row = _get(connection, who, of, id, Right.DEVICES_EDIT)
        connection.execute(sa.update(of).where(of.c.id == id).values(tls_pin=None))
        note_change(
            connection, who, _entity(of), id, "update", {"tls_pin": row.tls_pin}, {"tls_pin": None}, at=now
        )
        if of is _PANELS:
            wake_panels(connection, [id], now)


def _get(connection: sa.Connection, who: Who, of: sa.Table, id: int, right: Right) -> Any:
    who.need(right)
    near = panels_near if of is _PANELS else relays_near
    row = connection.execute(sa.select(of).where(of.c.id == id, near(who.rights.reach(right)))).first()
    if row is not None:
        return row
    seen = sa.select(of.c.id).where(of.c.id == id, near(who.rights.reach(Right.DEVICES_VIEW)))
    if who.rights.may(Right.DEVICES_VIEW) and connection.scalar(seen) is not None:
        raise Forbidden(f"{who.name} may see this {_entity(of)}, and has no right {right.value} there")
    raise NotFound(f"there is no {_entity(of)} {id}")


def _channel_near(connection: sa.Connection, reach: Reach, entrance_id: int | None) -> bool:
    if reach.everywhere:
        return True
    near = sa.select(HouseEntrance.entrance_id).where(
        HouseEntrance.entrance_id == entrance_id, entrances_near(reach)
    )
    return entrance_id is not None and connection.scalar(near.limit(1)) is not None


def _check_reachable(row: Any, name: str) -> None:
    if not row.url:
        raise Invalid({"": f"{name} has no address: enter the one of its web interface"})


def _entity(of: sa.Table) -> str:
    return "domophone" if of is _PANELS else "relay"
