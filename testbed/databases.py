"""SQLite databases for tests, at the price of a copy: the migrations would take longer than most tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from crm.store import Store, upgrade
from crm.town.town import Town, fill


def new_database(file: Path) -> str:
    """Make an empty one with our tables; its URL."""
    file.write_bytes(_empty())
    return f"sqlite:///{file}"


def write_town(file: Path) -> Town:
    """Make one with the demo town."""
    town, content = _with_town()
    file.write_bytes(content)
    return town


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder, "new.db")
        upgrade(f"sqlite:///{file}")
        return file.read_bytes()


@cache
def _with_town() -> tuple[Town, bytes]:
    with TemporaryDirectory() as folder:
        file = Path(folder, "new.db")
        with Store(new_database(file)) as store:
            town = fill(store)
        return town, file.read_bytes()
