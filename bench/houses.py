"""Houses for a load of calls: panels that each serve one flat, with so many accounts, one phone each.

Every panel dials another number, so that a call can be told by what was dialled alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm import model
from crm.store import Store, upgrade

REALM = "teledom"
PASSWORD = "bench"


@frozen
class BenchFlat:
    """A flat, the panel before it, and whose phones ring."""

    panel: str
    dialled: str
    accounts: tuple[str, ...]


def make_houses(url: str, flats: int, accounts: int) -> list[BenchFlat]:
    """Make the database at `url` and fill it. Raises StoreError."""
    upgrade(url)
    made = [
        BenchFlat(f"panel{n}", str(n), tuple(f"acc{n}-{a}" for a in range(1, accounts + 1)))
        for n in range(1, flats + 1)
    ]
    rows: dict[type[model.Base], list[dict[str, Any]]] = {
        model.City: [{"id": 1, "region": "Bench", "name": "Bench", "time_zone": "Europe/Moscow"}]
    }
    for n, flat in enumerate(made, start=1):
        _add(rows, model.House, id=n, city_id=1, street="Bench", number=str(n))
        _add(rows, model.Entrance, id=n, name="1")
        _add(rows, model.HouseEntrance, entrance_id=n, house_id=n, prefix="")
        _add(rows, model.Flat, id=n, house_id=n, number=flat.dialled)
        _add(rows, model.EntranceFlat, flat_id=n, entrance_id=n)
        _add(
            rows,
            model.Domophone,
            id=n,
            mac=f"{n:012x}",
            sip_user=flat.panel,
            domain=REALM,
            ha1=_ha1(flat.panel),
            vendor=model.Vendor.SOKOL,
            door_dtmf="5",
            dialling=model.Dialling.FLAT,
        )
        _add(rows, model.DomophoneEntrance, domophone_id=n, entrance_id=n)
        for place, account in enumerate(flat.accounts):
            number = n * 100 + place
            _add(rows, model.Account, id=number, sip_user=account, domain=REALM, ha1=_ha1(account))
            _add(rows, model.AccountFlat, flat_id=n, account_id=number)
            _add(
                rows,
                model.Phone,
                id=number,
                account_id=number,
                platform=model.Platform.ANDROID,
                bundle="bench",
                push_token=f"token-{account}",
            )
    with Store(url) as store, store.transaction() as connection:
        for table, values in rows.items():
            connection.execute(sa.insert(model.table(table)), values)
    return made


def _add(rows: dict[type[model.Base], list[dict[str, Any]]], table: type[model.Base], **values: Any) -> None:
    rows.setdefault(table, []).append(values)


def _ha1(user: str) -> str:
    return hashlib.md5(f"{user}:{REALM}:{PASSWORD}".encode(), usedforsecurity=False).hexdigest()
