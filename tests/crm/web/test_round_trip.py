"""A list as a file is an import again, in either language: nothing of it is wrong, and nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from crm.imports.imports import ImportKind, ImportState, run_import, start_import
from crm.keys.formats import KeyFormat
from crm.keys.keys import add_key, lose_key
from crm.keys.reach import Binding
from crm.model import House, Street, table
from crm.rights import EVERYWHERE, Right
from crm.tables.keys import KeyScope
from crm.who import COMMAND_LINE, SYSTEM
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite

NOW = 1_790_000_000.0
FILES = {
    "houses": ImportKind.HOUSES,
    "flats": ImportKind.FLATS,
    "accounts": ImportKind.ACCOUNTS,
    "domophones": ImportKind.PANELS,
    "keys": ImportKind.KEYS,
}


@pytest.fixture
def full(site: TestSite, houses: Houses) -> TestSite:
    house = houses.house("12а")
    values = {"fias": "0c5b2444-70a0-4932-980c-b4dc0d3f02b5", "own_id": "H-12A", "lat": 55.1}
    with site.store.transaction() as connection:
        city, street = connection.execute(sa.select(House.city_id, House.street)).one()
        made = sa.insert(table(Street)).values(city_id=city, name=street).returning(table(Street).c.id)
        id = connection.execute(made).scalar_one()
        connection.execute(sa.update(table(House)).values(street_id=id, **values))
    entrance = houses.entrance("п. 1", house)
    flat = houses.flat(house, "42", entrance)
    houses.flat(house, "7а", entrance)
    houses.account("7351001", flat)
    houses.panel("500001", entrance)
    add_key(site.store, SYSTEM, "00131465", [Binding(KeyScope.FLAT, flat)], NOW, format=KeyFormat.HEX)
    lost = add_key(site.store, SYSTEM, "04A1B2C3D4E5F6", [Binding(KeyScope.FLAT, flat)], NOW)
    lose_key(site.store, SYSTEM, lost, "in the yard", NOW)
    return site


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize(("name", "kind"), FILES.items())
def test_a_list_as_a_file_goes_in_again_and_changes_nothing(
    full: TestSite, tmp_path: Path, name: str, kind: ImportKind, language: str
) -> None:
    full.employee("office", tuple(Right), EVERYWHERE, language=language)
    file = tmp_path / f"{name}.csv"
    file.write_bytes(full.browser("office").get(f"/{name}.csv").content)
    rows = len(file.read_text().splitlines()) - 1

    id = start_import(full.store, kind, file.name, COMMAND_LINE, NOW)
    view = run_import(full.store, id, file, COMMAND_LINE, NOW, secret_key="")

    assert view.errors == ()
    assert view.state is ImportState.DONE
    assert (view.rows, view.added, view.changed) == (rows, 0, 0)
    assert rows > 0


@pytest.mark.parametrize("text", ["=1+1", "@home", "-Д 7", "+7 351", "'=1+1", "''@home", "'Д-7'", "-7"])
def test_texts_like_formulas_come_back_as_they_were(full: TestSite, tmp_path: Path, text: str) -> None:
    with full.store.transaction() as connection:
        connection.execute(sa.text("UPDATE flats SET contract = :text WHERE number = '42'"), {"text": text})
    file = tmp_path / "flats.csv"
    file.write_bytes(full.browser().get("/flats.csv").content)
    with full.store.transaction() as connection:
        connection.execute(sa.text("UPDATE flats SET contract = 'other' WHERE number = '42'"))

    id = start_import(full.store, ImportKind.FLATS, file.name, COMMAND_LINE, NOW)
    view = run_import(full.store, id, file, COMMAND_LINE, NOW, secret_key="")

    assert (view.errors, view.added, view.changed) == ((), 0, 1)
    with full.store.reading() as connection:
        found = connection.scalar(sa.text("SELECT contract FROM flats WHERE number = '42'"))
    assert found == text


def test_what_was_changed_in_a_lists_file_is_changed(full: TestSite, tmp_path: Path) -> None:
    file = tmp_path / "flats.csv"
    text = full.browser().get("/flats.csv").content.decode("utf-8-sig")
    changed = text.replace(",7а,,,", ",7а,3,Д-7,")
    assert changed != text
    file.write_text(changed)

    id = start_import(full.store, ImportKind.FLATS, file.name, COMMAND_LINE, NOW)
    view = run_import(full.store, id, file, COMMAND_LINE, NOW, secret_key="")

    assert (view.errors, view.added, view.changed) == ((), 0, 1)
    with full.store.reading() as connection:
        row = connection.execute(sa.text("SELECT floor, contract FROM flats WHERE number = '7а'")).one()
    assert tuple(row) == (3, "Д-7")
