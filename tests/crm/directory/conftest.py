"""A SQLite file, a door to it that can be shut, and houses in it: it is moved, renamed and broken here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm.directory import directory
from crm.store import Store
from tests.crm.directory.door import Door
from tests.crm.houses import Houses


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with other things a hop is not late so soon."""
    monkeypatch.setattr(directory, "LATE_S", 5.0)


@pytest.fixture
def file(empty_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty_file, tmp_path / "door.db"))


@pytest.fixture
def door(file: Path) -> Iterator[Door]:
    door = Door(f"sqlite:///{file}")
    yield door
    door.open.set()
    door.close()


@pytest.fixture
def houses(file: Path) -> Iterator[Houses]:
    with Store(f"sqlite:///{file}") as store:
        yield Houses(store)
