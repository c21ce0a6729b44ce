"""A city with two houses, and a way to import a table that a test writes down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import define

from crm.imports.imports import ImportKind, ImportView, run_import, start_import
from crm.store import Store
from crm.who import COMMAND_LINE, Who
from tests.crm.houses import Houses

NOW = 1_790_000_000.0


@define
class Desk:
    """Imports files into a store whose city is Челябинск, with ул. Ленина 5 (own id L5, п. 1 and п. 2) and 7 (L7)."""

    store: Store
    folder: Path
    houses: Houses
    l5: int = 0
    l7: int = 0
    entrance: int = 0
    flat: int = 0

    def run(
        self,
        kind: ImportKind,
        text: str | bytes | Path,
        *,
        who: Who = COMMAND_LINE,
        choices: Mapping[str, str] | None = None,
        **options: Any,
    ) -> ImportView:
        if isinstance(text, Path):
            path = text
        else:
            path = self.folder / "import.csv"
            path.write_bytes(text.encode() if isinstance(text, str) else text)
        id = start_import(self.store, kind, path.name, who, NOW, choices)
        return run_import(self.store, id, path, who, NOW, **{"secret_key": "", **options})

    def errors(self, kind: ImportKind, text: str, **options: Any) -> list[tuple[int, str, str]]:
        view = self.run(kind, text, **options)
        return [(fault.row, fault.column, fault.text) for fault in view.errors]

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        with self.store.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.text(sql))]

    def one(self, sql: str) -> Any:
        return self.all(sql)[0][0]


@pytest.fixture
def desk(store: Store, houses: Houses, tmp_path: Path) -> Desk:
    desk = Desk(store, tmp_path, houses)
    desk.l5, desk.l7 = houses.house("5"), houses.house("7")
    desk.entrance = houses.entrance("п. 1", desk.l5)
    houses.entrance("п. 2", desk.l5)
    houses.entrance("п. 1", desk.l7)
    desk.flat = houses.flat(desk.l5, "42", desk.entrance)
    with store.transaction() as connection:
        for own, id in (("L5", desk.l5), ("L7", desk.l7)):
            connection.execute(
                sa.text("UPDATE houses SET own_id = :own WHERE id = :id"), {"own": own, "id": id}
            )
    return desk
