"""What each kind checks, with the row, the column and what was expected; and what it writes."""

from __future__ import annotations

import hashlib

import pytest

from crm.imports.imports import ImportKind, ImportState, start_import
from crm.rights import Reach, Right, Rights
from crm.sealed import Seal, new_key
from crm.who import Forbidden, Invalid, Who
from tests.crm.imports.conftest import NOW, Desk

HOUSES = "City;Street;House number;FIAS;Own id;Latitude;Time zone;Company;Entrances;Flats\n"
FLATS = "House;City;Street;House number;Flat;Floor;Entrances;Panel number;Code\n"
ACCOUNTS = "SIP user;Domain;Password;SIP HA1;Resident;Phone;House;Flats;Role;Rings\n"
PANELS = "MAC;SIP user;SIP password;Vendor;URL;HTTP password;House;Entrances;Dialling;Door digits\n"
KEYS = "Key;Opens;House;Entrances;Flats;Company\n"
FIAS = "0b1f2c3d-0000-4000-8000-000000000001"

WRONG = [
    (ImportKind.HOUSES, HOUSES + "Омск;a;1;;;;;;;\n", "City", "a city that is there"),
    (ImportKind.HOUSES, HOUSES + "Челябинск;;1;;;;;;;\n", "Street", "this is needed, and empty"),
    (ImportKind.HOUSES, HOUSES + "Челябинск;a;1;12-34;;;;;;\n", "FIAS", "a GUID as FIAS has it, 8-4-4-4-12"),
    (ImportKind.HOUSES, HOUSES + "Челябинск;a;1;;;91;;;;\n", "Latitude", "degrees from -90 to 90"),
    (ImportKind.HOUSES, HOUSES + "Челябинск;a;1;;;;Asia;;;\n", "Time zone", "the IANA name of a time zone"),
    (
        ImportKind.HOUSES,
        HOUSES + "Челябинск;a;1;;;;;Уют;;\n",
        "Company",
        "name or INN of a management company",
    ),
    (ImportKind.HOUSES, HOUSES + "Челябинск;a;1;;;;;;4-1;\n", "Entrances", "a range of at most 100"),
    (ImportKind.HOUSES, HOUSES + "Челябинск;a;1;;;;;;;1-36\n", "Flats", "ranges of flats by entrance"),
    (ImportKind.HOUSES, HOUSES + "Челябинск;a;1;;;;;;;1: 1-4 (5)\n", "Flats", "ranges of flats by entrance"),
    (
        ImportKind.HOUSES,
        HOUSES + "Челябинск;a;1;;;;;;;\nЧелябинск;A; 1;;;;;;;\n",
        "House number",
        "stands in row",
    ),
    (
        ImportKind.HOUSES,
        HOUSES + "Челябинск;ул. Ленина;7;;L5;;;;;\n",
        "Own id",
        "the address is that of another",
    ),
    (ImportKind.FLATS, FLATS + "L9;;;;1;;;;\n", "House", "a house is expected that is there"),
    (ImportKind.FLATS, FLATS + ";;;;1;;;;\n", "House", "a house is expected (its FIAS id or own id"),
    (ImportKind.FLATS, FLATS + ";Челябинск;ул. Ленина;;1;;;;\n", "House number", "all three"),
    (
        ImportKind.FLATS,
        FLATS + "L5;;;;1;x;;;\n",
        "Floor",
        'a whole number from -5 to 200 is expected, not "x"',
    ),
    (
        ImportKind.FLATS,
        FLATS + "L5;;;;1;;3;;\n",
        "Entrances",
        "an entrance of this house (there: п. 1, п. 2)",
    ),
    (ImportKind.FLATS, FLATS + "L5;;;;1;;;101;\n", "Panel number", "the entrances at whose panels"),
    (ImportKind.FLATS, FLATS + "L5;;;;1;;1,2;1,2,3;\n", "Panel number", "for each of 2 entrances"),
    (ImportKind.FLATS, FLATS + "L5;;;;1;;1;9;\nL5;;;;2;;1;9;\n", "Panel number", 'as "9" is that of row'),
    (ImportKind.FLATS, FLATS + "L5;;;;1;;;;12\n", "Code", "4 to 16 digits"),
    (ImportKind.FLATS, FLATS + "L5;;;;1;;;;\nL5;;;;1;;;;\n", "Flat", '"1" stands in row "2" already'),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;;;;;;;;\n", "Password", "expected for the new account"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;x;;;12;;;;\n", "Phone", "a phone number, as +73512000001"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;x;" + "0" * 32 + ";;;;;;\n", "SIP HA1", "the HA1 of this password"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;x;;;;L5;;;\n", "Flats", "flats of this house are expected"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;x;;;;;42;;\n", "House", "a house is expected"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;x;;;;L5;43;;\n", "Flats", 'the house has no "43"'),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;x;;;;L5;42;cat;\n", "Role", "one of owner, resident"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;x;;;;L5;42;;often\n", "Rings", "yes or no"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "1;;x;;;;;;;\n1;;y;;;;;;;\n", "SIP user", "stands in row"),
    (ImportKind.PANELS, PANELS + "0250;1;x;sokol;;;;;;\n", "MAC", "a MAC of 12 hexadecimal digits"),
    (
        ImportKind.PANELS,
        PANELS + "025000000001;1;x;;;;;;;\n",
        "Vendor",
        "a vendor is expected for the new panel",
    ),
    (
        ImportKind.PANELS,
        PANELS + "025000000001;;;sokol;;;;;;\n",
        "SIP user",
        "a SIP user is expected for the new",
    ),
    (
        ImportKind.PANELS,
        PANELS + "025000000001;1;;sokol;;;;;;\n",
        "SIP password",
        "a password or HA1 is expected",
    ),
    (
        ImportKind.PANELS,
        PANELS + "025000000001;1;x;sokol;ftp://a;;;;;\n",
        "URL",
        "an address as http://10.0.0.5",
    ),
    (ImportKind.PANELS, PANELS + "025000000001;1;x;sokol;;y;;;;\n", "HTTP password", "TELEDOM_SECRET_KEY"),
    (
        ImportKind.PANELS,
        PANELS + "025000000001;1;x;sokol;;;L5;9;;\n",
        "Entrances",
        "an entrance of this house",
    ),
    (
        ImportKind.PANELS,
        PANELS + "025000000001;1;x;sokol;;;;;loud;\n",
        "Dialling",
        "one of flat, prefix_flat",
    ),
    (ImportKind.PANELS, PANELS + "025000000001;1;x;sokol;;;;;;Z\n", "Door digits", "digits, * or #"),
    (ImportKind.PANELS, PANELS + "000000000001;500;;;;;;;;\n", "SIP user", 'as "000000000001" takes another'),
    (ImportKind.PANELS, PANELS + "025000000001;501;x;sokol;;;;;;\n", "SIP user", '"501" is taken'),
    (ImportKind.KEYS, KEYS + "hello;везде;;;;\n", "Key", "is no key"),
    (ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;;;;\n", "Key", "what it opens is expected too"),
    (ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;flat;L5;;;\n", "Flats", "the flats that it opens"),
    (ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;L5;;43;\n", "Flats", 'the house has no "43"'),
    (ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;;;;Уют\n", "Company", "name or INN"),
    (ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;resident;;;;\n", "Opens", "one of everywhere, company"),
    (
        ImportKind.KEYS,
        KEYS + "04A1B2C3D4E5F6;везде;;;;\n04:A1:B2:C3:D4:E5:F6;везде;;;;\n",
        "Key",
        'in row "2"',
    ),
]


@pytest.mark.parametrize(("kind", "text", "column", "says"), WRONG)
def test_wrong_cell_is_named(desk: Desk, kind: ImportKind, text: str, column: str, says: str) -> None:
    desk.houses.panel("501", desk.entrance)
    errors = desk.errors(kind, text)
    assert (errors[0][0], errors[0][1]) == (text.count("\n"), column)
    assert says in errors[0][2]
    assert len(errors) == 1


def test_all_errors_are_told_in_the_order_of_rows(desk: Desk) -> None:
    errors = desk.errors(ImportKind.FLATS, FLATS + "L5;;;;1;x;;;\nL9;;;;2;;;;\nL5;;;;;y;;;\nL5;;;;3;;;;1\n")
    assert [error[:2] for error in errors] == [
        (2, "Floor"),
        (3, "House"),
        (4, "Flat"),
        (4, "Floor"),
        (5, "Code"),
    ]


def test_errors_beyond_the_most_are_said_to_be_there(desk: Desk) -> None:
    errors = desk.errors(ImportKind.FLATS, FLATS + "L9;;;;1;;;;\n" * 700)
    assert len(errors) == 501
    assert errors[-1] == (0, "", "there are more errors than these 500")


def test_password_is_not_shown_in_an_error(desk: Desk) -> None:
    errors = desk.errors(ImportKind.ACCOUNTS, ACCOUNTS + "1;;" + "secret" * 30 + ";;;;;;;\n")
    told = "a text of at most 128 characters is expected, not what is there"
    assert errors == [(2, "Password", told)]
    assert "secret" not in str(errors)


def test_unknown_heading_is_named_with_the_nearest(desk: Desk) -> None:
    errors = desk.errors(ImportKind.FLATS, "Дом;Кваритра;Этаж\nL5;1;2\n")
    assert errors[0] == (1, "Кваритра", 'there is no such column here; the nearest one is "Квартира"')
    assert errors[1][:2] == (1, "Квартира")


def test_headings_in_any_order_case_and_language(desk: Desk) -> None:
    view = desk.run(ImportKind.FLATS, "FLOOR ; кварТира*;own; House\n".replace("own; ", "") + "3;42;L5\n")
    assert (view.state, view.changed) == (ImportState.DONE, 1)
    assert desk.one("SELECT floor FROM flats WHERE number = '42'") == 3


def test_house_with_entrances_and_flats_by_floors(desk: Desk) -> None:
    row = f'Челябинск;ул. ленина;9;{FIAS};L9;55,1;;;1-2;"1: 1-4 (2); 2: 5-8 (2-3)"\n'
    assert desk.run(ImportKind.HOUSES, HOUSES + row).added == 1
    found = desk.all(
        "SELECT h.street, e.name, f.number, f.floor FROM flats f JOIN houses h ON h.id = f.house_id"
        " JOIN entrance_flats x ON x.flat_id = f.id JOIN entrances e ON e.id = x.entrance_id"
        " WHERE h.own_id = 'L9' ORDER BY f.number"
    )
    expected = [(1, 1), (1, 1), (1, 2), (1, 2), (2, 2), (2, 2), (2, 3), (2, 3)]
    assert found == [("ул. Ленина", f"п. {e}", str(n), floor) for n, (e, floor) in enumerate(expected, 1)]


def test_known_house_is_found_by_each_of_its_names(desk: Desk) -> None:
    row = f"Челябинск;ул. Ленина;5;{FIAS};;;;;1-3;\n"
    view = desk.run(ImportKind.HOUSES, HOUSES + row)
    assert (view.added, view.changed) == (0, 1)
    moved = f"Челябинск;ул. Мира;1;{FIAS.upper()};;;Asia/Omsk;;;\n"
    assert desk.run(ImportKind.HOUSES, HOUSES + moved).changed == 1
    assert desk.all(f"SELECT own_id, street, time_zone FROM houses WHERE fias = '{FIAS}'") == [
        ("L5", "ул. Мира", "Asia/Omsk")
    ]
    assert desk.one(f"SELECT COUNT(*) FROM house_entrances WHERE house_id = {desk.l5}") == 3


def test_account_gets_ha1_resident_and_flats(desk: Desk) -> None:
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;sip.example.org;pw;;Anna;8 351 900-00-01;L5;42;owner;no\n")
    ha1 = hashlib.md5(b"100:sip.example.org:pw").hexdigest()
    assert desk.all("SELECT ha1, name, phone FROM accounts a JOIN residents r ON r.id = a.resident_id") == [
        (ha1, "Anna", "+73519000001")
    ]
    assert [(role, bool(rings)) for role, rings in desk.all("SELECT role, rings FROM account_flats")] == [
        ("owner", False)
    ]
    assert desk.all("SELECT flat_id, role FROM resident_flats") == [(desk.flat, "owner")]


def test_accounts_with_one_phone_number_are_one_resident(desk: Desk) -> None:
    rows = "100;;a;;Anna;+73519000001;L5;42;;\n101;;b;;Anna;8(351)9000001;L5;42;;\n102;;c;;Boris;;;;;\n"
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + rows)
    assert desk.all("SELECT name, phone FROM residents ORDER BY id") == [
        ("Anna", "+73519000001"),
        ("Boris", ""),
    ]
    assert desk.one("SELECT COUNT(*) FROM resident_flats") == 1


def test_empty_cells_leave_what_is_there(desk: Desk) -> None:
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;;a;;Anna;+73519000001;L5;42;owner;no\n")
    before = desk.all("SELECT ha1, resident_id FROM accounts")
    view = desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;;;;;;L5;42;;\n")
    assert (view.added, view.changed) == (0, 0)
    assert desk.all("SELECT ha1, resident_id FROM accounts") == before
    assert desk.one("SELECT role FROM account_flats") == "owner"


def test_panels_password_is_sealed(desk: Desk) -> None:
    key = new_key()
    row = "02-50-00-00-00-01;600;x;sokol;http://10.0.0.5/;secret;L5;1;;\n"
    view = desk.run(ImportKind.PANELS, PANELS + row, secret_key=key)
    assert view.added == 1
    ((mac, url, sealed, dtmf),) = desk.all("SELECT mac, url, http_password, door_dtmf FROM domophones")
    assert (mac, url, dtmf) == ("025000000001", "http://10.0.0.5", "5")
    assert Seal(key).open(sealed) == "secret"
    assert sealed not in str(desk.all("SELECT after FROM changes"))
    assert desk.all("SELECT entrance_id FROM domophone_entrances") == [(desk.entrance,)]


def test_keys_of_a_file_are_read_in_the_chosen_format(desk: Desk) -> None:
    text = KEYS + "C3B2A104;;L5;;42;\n"
    desk.run(ImportKind.KEYS, text, choices={"format": "hex_reversed"})
    assert desk.all("SELECT uid, given, format FROM keys") == [("04A1B2C3", "C3B2A104", "hex_reversed")]
    assert desk.all("SELECT scope, ref_id FROM key_bindings") == [("flat", desk.flat)]


def test_imported_key_goes_to_the_panels_that_it_opens(desk: Desk) -> None:
    desk.houses.panel("500", desk.entrance)
    desk.run(ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;L5;1;;\n")
    assert desk.one("SELECT COUNT(*) FROM key_deliveries") == 1


def test_lost_key_is_refused(desk: Desk) -> None:
    desk.run(ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;L5;1;;\n")
    with desk.store.transaction() as connection:
        connection.exec_driver_sql("UPDATE keys SET lost_at = 5")
    errors = desk.errors(ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;L7;1;;\n")
    assert [error[:2] for error in errors] == [(2, "Key")]
    assert "not lost" in errors[0][2]


# --- rights --------------------------------------------------------------------------------------------------------


def manager(desk: Desk) -> Who:
    """May do everything, at ул. Ленина 7 only."""
    reach = Reach(houses=frozenset({desk.l7}))
    return Who("employee:7", "Manager", Rights(dict.fromkeys(Right, reach)))


BEYOND = [
    (ImportKind.HOUSES, HOUSES + "Челябинск;ул. Ленина;5;;L5;;;;1-9;\n", "lies beyond it"),
    (ImportKind.HOUSES, HOUSES + "Челябинск;ул. Ленина;99;;;;;;;\n", "lies beyond it"),
    (ImportKind.FLATS, FLATS + "L5;;;;1;;;;\n", "that is there and that you may edit"),
    (ImportKind.FLATS, FLATS + ";Челябинск;ул. Ленина;5;1;;;;\n", "that is there and that you may edit"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "900;;x;;;;;;;\n", "you may only edit residents of some houses"),
    (ImportKind.ACCOUNTS, ACCOUNTS + "800;;x;;;;;;;\n", '"800@teledom" lies beyond them'),
    (ImportKind.PANELS, PANELS + "025000000001;1;x;sokol;;;;;;\n", "you may only edit panels of some houses"),
    (ImportKind.PANELS, PANELS + "000000000001;;;;http://10.0.0.9;;;;;\n", "lies beyond them"),
    (ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;L7;1;;\n", "lies beyond them"),
    (ImportKind.KEYS, KEYS + "04A1B2C3D4E5A7;везде;;;;\n", "everywhere is more than that"),
]


@pytest.mark.parametrize(("kind", "text", "says"), BEYOND)
def test_rows_beyond_the_reach_are_refused(desk: Desk, kind: ImportKind, text: str, says: str) -> None:
    desk.houses.panel("500", desk.entrance)
    desk.houses.account("800", desk.flat)
    desk.run(ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;L5;1;;\n")
    errors = desk.errors(kind, text, who=manager(desk))
    assert [error[0] for error in errors] == [2]
    assert says in errors[0][2]


def test_rows_within_the_reach_go_in(desk: Desk) -> None:
    who = manager(desk)
    assert desk.run(ImportKind.FLATS, FLATS + "L7;;;;1;2;1;;\n", who=who).added == 1
    assert desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "900;;x;;;;L7;1;;\n", who=who).added == 1
    assert desk.run(ImportKind.PANELS, PANELS + "025000000009;9;x;sokol;;;L7;1;;\n", who=who).added == 1
    assert desk.run(ImportKind.KEYS, KEYS + "04A1B2C3D4E5F6;;L7;;1;\n", who=who).added == 1
    assert desk.run(ImportKind.HOUSES, HOUSES + "Челябинск;ул. Ленина;7;;;55;;;;\n", who=who).changed == 1


def test_resident_beyond_the_reach_is_not_touched_by_his_phone_number(desk: Desk) -> None:
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "800;;x;;Anna;+73519000001;L5;42;;\n")
    desk.houses.flat(desk.l7, "1")
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "900;;x;;Eve;+73519000001;L7;1;;\n", who=manager(desk))
    assert desk.all("SELECT name FROM residents ORDER BY id") == [("Anna",), ("Eve",)]


@pytest.mark.parametrize("missing", [Right.IMPORTS_RUN, Right.PEOPLE_EDIT])
def test_both_rights_are_needed(desk: Desk, missing: Right) -> None:
    rights = {right: Reach(everywhere=True) for right in Right if right is not missing}
    with pytest.raises(Forbidden):
        start_import(desk.store, ImportKind.ACCOUNTS, "a.csv", Who("employee:7", "A", Rights(rights)), NOW)


def test_unknown_choice_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid) as refused:
        desk.run(ImportKind.KEYS, KEYS, choices={"format": "base64", "colour": "red"})
    assert set(refused.value.errors) == {"format", "colour"}
