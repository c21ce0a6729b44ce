"""The sample files of docs/imports, which are what the page offers: each goes in, and again without changing anything."""

from __future__ import annotations

import pytest

from crm.imports.imports import ImportKind, ImportState, describe
from crm.sealed import new_key
from tests.crm.imports.conftest import Desk

ADDED = {"houses": 3, "flats": 1, "accounts": 3, "panels": 3, "keys": 4}
CHANGED = {"houses": 0, "flats": 2, "accounts": 0, "panels": 0, "keys": 0}


def test_samples_go_in_one_after_another(desk: Desk) -> None:
    for kind in ImportKind:
        view = desk.run(kind, describe(kind).sample, secret_key=new_key())
        assert (view.state, view.errors) == (ImportState.DONE, ())
        assert (view.added, view.changed) == (ADDED[kind.value], CHANGED[kind.value]), kind
        assert view.done == view.rows
    assert (
        desk.one("SELECT COUNT(*) FROM flats f JOIN houses h ON h.id = f.house_id WHERE own_id = 'H-1'") == 72
    )


def test_samples_again_change_nothing(desk: Desk) -> None:
    for kind in ImportKind:
        desk.run(kind, describe(kind).sample)
    for kind in ImportKind:
        view = desk.run(kind, describe(kind).sample)
        assert (view.state, view.added, view.changed) == (ImportState.DONE, 0, 0), kind
    assert desk.one("SELECT COUNT(*) FROM changes WHERE entity = 'import'") == 10
    assert desk.one("SELECT COUNT(*) FROM changes WHERE action = 'update'") == 2  # the flats, the first time


@pytest.mark.parametrize("kind", ImportKind)
def test_headings_of_a_kind_are_told_apart(kind: ImportKind) -> None:
    columns = describe(kind).columns
    assert len({column.ru.casefold() for column in columns}) == len(columns)
    assert len({column.en.casefold() for column in columns}) == len(columns)
    assert len({column.name for column in columns}) == len(columns)
