"""Houses in imports: their flats by the ranges of a new house's form, and named by the address that lists have."""

from __future__ import annotations

from crm.imports.imports import ImportKind
from tests.crm.imports.conftest import Desk


def test_ranges_of_a_new_house_are_those_of_its_form(desk: Desk) -> None:
    rows = 'Город;Улица;Номер дома;Квартиры\nЧелябинск;ул. Новая;1;"1-2: 1-10; 3: 41-43, 45, 12а (2-6)"\n'
    assert desk.run(ImportKind.HOUSES, rows).errors == ()
    found = desk.all(
        "SELECT e.name, f.number, f.floor FROM flats f JOIN entrance_flats a ON a.flat_id = f.id"
        " JOIN entrances e ON e.id = a.entrance_id JOIN houses h ON h.id = f.house_id"
        " WHERE h.street = 'ул. Новая' ORDER BY f.id"
    )
    assert {row[1] for row in found if row[0] == "п. 2"} == {"6", "7", "8", "9", "10"}
    assert {row[1]: row[2] for row in found if row[0] == "п. 3"} == {
        "41": 2,
        "42": 3,
        "43": 4,
        "45": 5,
        "12а": 6,
    }


def test_a_house_is_named_by_its_address_as_lists_have_it(desk: Desk) -> None:
    heads = "Дом;Квартира;Этаж\n"
    assert desk.run(ImportKind.FLATS, heads + '"Челябинск, ул. Ленина 5";42;7\n').errors == ()
    assert desk.one("SELECT floor FROM flats WHERE number = '42'") == 7
    errors = desk.errors(ImportKind.FLATS, heads + '"Челябинск, ул. Ленина 99";42;7\n')
    assert [(row, column) for row, column, _ in errors] == [(2, "Дом")]
