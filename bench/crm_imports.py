"""How fast an import goes: a file of residents' accounts, each with its flat, into whatever database there is.

Houses of 200 flats are imported first, in a city of their own. The rate is of the whole run: reading, checking, writing,
history and search index. A part of bench/crm.py.
"""

from __future__ import annotations

import csv
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from crm.imports.imports import ImportKind, ImportState, run_import, start_import
from crm.model import City, table
from crm.store import Store
from crm.who import COMMAND_LINE

FLATS = 200  # of a house
RANGES = "1: 1-50 (10); 2: 51-100 (10); 3: 101-150 (10); 4: 151-200 (10)"
NAMES = ("Анна", "Пётр", "Ольга", "Иван", "Марина", "Сергей", "Алия", "Тимур")


class ImportRefused(Exception):
    """What was made up here did not go in."""


def measure_imports(url: str, rows: int) -> float:
    """Import `rows` accounts into the database at `url`, whose schema is the newest; rows per second.

    Raises StoreError, ImportRefused.
    """
    mark = uuid.uuid4().hex[:8]
    with Store(url, busy_s=60) as store, tempfile.TemporaryDirectory() as folder:
        with store.transaction() as connection:
            city = {"region": "Bench", "name": f"Импорт {mark}", "time_zone": "Europe/Moscow"}
            connection.execute(sa.insert(table(City)).values(**city))
        houses, accounts = Path(folder) / "houses.csv", Path(folder) / "accounts.csv"
        _write(houses, _houses(mark, rows))
        _write(accounts, _accounts(mark, rows))
        _run(store, ImportKind.HOUSES, houses)
        return rows / _run(store, ImportKind.ACCOUNTS, accounts)


def _run(store: Store, kind: ImportKind, path: Path) -> float:
    """Seconds."""
    now, began = time.time(), time.monotonic()
    view = run_import(store, start_import(store, kind, path.name, COMMAND_LINE, now), path, COMMAND_LINE, now)
    if view.state is not ImportState.DONE:
        raise ImportRefused(f"importing {kind.value}: {view.errors[:3]}")
    return time.monotonic() - began


def _write(path: Path, rows: Iterator[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)


def _houses(mark: str, rows: int) -> Iterator[tuple[object, ...]]:
    yield "City", "Street", "House number", "Own id", "Flats"
    for n in range(-(-rows // FLATS)):
        yield f"Импорт {mark}", f"ул. {n // 50}-я", n % 50 + 1, f"{mark}-{n}", RANGES


def _accounts(mark: str, rows: int) -> Iterator[tuple[object, ...]]:
    yield "SIP user", "Password", "Resident", "Phone", "House", "Flats", "Role", "Rings"
    start = int(mark, 16) % 900 * 1_000_000
    for n in range(rows):
        name = f"{NAMES[n % len(NAMES)]} Жителева-{n % 9973}"
        phone = f"+79{start + n:09}"
        flat = n % FLATS + 1
        yield (
            f"{mark}{n}",
            f"pass{n}",
            name,
            phone,
            f"{mark}-{n // FLATS}",
            flat,
            "owner" if n % 3 else "",
            "yes",
        )
