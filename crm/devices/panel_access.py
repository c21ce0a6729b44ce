"""How a panel is reached over HTTP, as the CRM has it; and a flat behind a panel, for whoever only knows its MAC.

All functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store).
"""

from __future__ import annotations

import sqlalchemy as sa
from attrs import field, frozen

from crm.model import Domophone, DomophoneEntrance, EntranceFlat, Flat, table
from crm.store import Store

_DOMOPHONES = table(Domophone)


@frozen
class StoredAccess:
    """A panel's HTTP interface: `url` "" for none, `sealed` the password (crm.sealed), `pin` of its certificate."""

    vendor: str
    url: str
    user: str
    sealed: str = field(repr=False)
    pin: str | None


@frozen
class FlatBehind:
    """A flat, and the panel that it was called through."""

    flat_id: int
    house_id: int
    sip_user: str
    domain: str
    vendor: str


def find_access(store: Store, mac: str) -> StoredAccess | None:
    """How a panel is reached; None: it is not known."""
    columns = (
        Domophone.vendor,
        Domophone.url,
        Domophone.http_user,
        Domophone.http_password,
        Domophone.tls_pin,
    )
    with store.reading() as connection:
        row = connection.execute(sa.select(*columns).where(Domophone.mac == mac)).first()
    return StoredAccess(row[0].value, *row[1:]) if row is not None else None


def pin_certificate(store: Store, mac: str, pin: str) -> None:
    """Keep the certificate that a panel showed first."""
    with store.transaction() as connection:
        first = sa.update(_DOMOPHONES).where(_DOMOPHONES.c.mac == mac, _DOMOPHONES.c.tls_pin.is_(None))
        connection.execute(first.values(tls_pin=pin))


def find_flat_behind(store: Store, mac: str, flat: str) -> FlatBehind | None:
    """The flat with this number behind the panel with this MAC (however it is written)."""
    bare = "".join(each for each in mac.lower() if each in "0123456789abcdef")
    query = (
        sa.select(Flat.id, Flat.house_id, Domophone.sip_user, Domophone.domain, Domophone.vendor)
        .join(EntranceFlat, EntranceFlat.flat_id == Flat.id)
        .join(DomophoneEntrance, DomophoneEntrance.entrance_id == EntranceFlat.entrance_id)
        .join(Domophone, Domophone.id == DomophoneEntrance.domophone_id)
        .where(Domophone.mac == bare, Flat.number == flat)
        .order_by(Flat.id)
    )
    with store.reading() as connection:
        row = connection.execute(query).first()
    return FlatBehind(*row[:4], row[4].value) if row is not None else None
