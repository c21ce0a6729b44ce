"""The history of changes in words: whoever reads it needs to know no column, no code and no number of a record."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from crm.changes import note_change
from crm.model import table
from crm.rights import Reach, Right
from crm.store import Store
from crm.tables.staff import Change
from crm.who import SYSTEM
from tests.crm.houses import Houses
from tests.crm.web.site import Browser, TestSite, plain

NOON = 1_780_000_000.0  # 28 May 2026, 20:26:40 UTC, which is the 29th in Yekaterinburg


@pytest.fixture
def readers(site: TestSite) -> dict[str, Browser]:
    for language in ("en", "ru"):
        site.employee(f"reader_{language}", language=language)
    return {language: site.browser(f"reader_{language}") for language in ("en", "ru")}


def note(store: Store, entity: str, id: int, action: str, before: Any = None, after: Any = None) -> None:
    with store.transaction() as connection:
        note_change(connection, SYSTEM, entity, id, action, before, after)


def row(browser: Browser, entity: str) -> str:
    """What the newest change of such a record says, in one line."""
    text = browser.get(f"/staff/changes?entity={entity}").text
    return plain(text.partition("<tbody>")[2].partition("</tr>")[0])


def test_values_are_told_by_labels_names_and_the_clock(
    store: Store, houses: Houses, readers: dict[str, Browser]
) -> None:
    house = houses.house("5")
    flat = houses.flat(house, "42")
    said = {"kind": "by_request", "from": NOON, "until": None, "reason": "переезд"}
    note(store, "flat", flat, "block", None, said)

    en, ru = row(readers["en"], "flat"), row(readers["ru"], "flat")

    assert "Flat Челябинск, ул. Ленина 5, кв. 42" in en
    assert "From 29 May 01:26:40" in en
    assert "Reason переезд" in en
    assert "блокировка Квартира Челябинск, ул. Ленина 5, кв. 42" in ru
    assert "Начало 29 мая 01:26:40" in ru or "С 29 мая 01:26:40" in ru
    for text in (en, ru):
        assert "by_request" not in text
        assert "1780000000" not in text
        assert "None" not in text


def test_choices_yes_and_no_and_references_are_words(
    store: Store, houses: Houses, readers: dict[str, Browser]
) -> None:
    house, other = houses.house("5"), houses.house("7")
    panel = houses.panel("p1", houses.entrance("п. 1", house))
    note(
        store,
        "domophone",
        panel,
        "update",
        {"active": True, "vendor": "beward"},
        {"active": False, "vendor": "sokol"},
    )
    note(store, "flat", houses.flat(house, "1"), "update", {"house_id": house}, {"house_id": other})
    note(store, "employee", 1, "update", {"language": "ru"}, {"language": "en"})

    assert "да" in row(readers["ru"], "domophone").split()
    assert "Beward" in row(readers["ru"], "domophone")
    assert "True" not in row(readers["ru"], "domophone")
    assert "Дом Челябинск, ул. Ленина 5 Дом Челябинск, ул. Ленина 7" in row(readers["ru"], "flat")
    assert "русский" in row(readers["ru"], "employee")
    assert "английский" in row(readers["ru"], "employee")


def test_what_hangs_on_a_record_is_named(site: TestSite, houses: Houses, readers: dict[str, Browser]) -> None:
    house, other = houses.house("5"), houses.house("7")
    gate = houses.entrance("ворота", house)
    site.browser().post(f"/houses/{other}/entrances", {"other": str(gate), "prefix": "2"})

    text = row(readers["ru"], "house")

    assert "привязка: Подъезды и ворота" in text or "привязка: Подъезды" in text
    assert "ворота" in text
    assert "Префикс на панели 2" in text or "2" in text.split()
    assert "entrance_id" not in text


def test_rights_are_told_by_what_they_let_one_do(site: TestSite, readers: dict[str, Browser]) -> None:
    form = {"name": "Ключи", "rights": ["keys.view", "calls.view"], "everywhere": "yes"}
    group = site.browser().post("/staff/groups/new", form).headers["location"]

    assert "Права Звонки: видеть звонки; Ключи: видеть ключи" in row(readers["ru"], "group")
    for page in (group, "/groups", f"{group}#history"):
        text = readers["ru"].text(page)
        assert "keys.view" not in text, page
        assert "видеть ключи" in text, page
    assert "Calls: see calls; Keys: see keys" in readers["en"].text("/groups")
    assert "housing.view" not in readers["en"].text("/groups")


def test_a_change_has_a_page_of_its_own(store: Store, houses: Houses, readers: dict[str, Browser]) -> None:
    house = houses.house("5")
    note(store, "house", house, "update", {"number": "4"}, {"number": "5"})
    with store.reading() as connection:
        id = connection.scalar(sa.select(sa.func.max(table(Change).c.id)))

    text = readers["ru"].text(f"/changes/{id}")

    assert "Дом: изменение" in text
    assert "Челябинск, ул. Ленина 5" in text
    assert "Номер 4 Номер 5" in text
    assert "{" not in text


def test_names_beyond_the_readers_houses_are_not_told(store: Store, site: TestSite, houses: Houses) -> None:
    mine, beyond = houses.house("5"), houses.house("999")
    flat = houses.flat(mine, "1")
    note(store, "flat", flat, "update", {"house_id": beyond}, {"house_id": mine})
    site.employee("manager", [Right.HOUSING_VIEW, Right.CHANGES_VIEW], Reach(houses=frozenset({mine})))

    text = site.browser("manager").text(f"/flats/{flat}")

    assert f"House #{beyond} House Челябинск, ул. Ленина 5" in text
    assert "999" not in text


def test_what_nobody_knows_is_shown_as_it_is(
    store: Store, houses: Houses, readers: dict[str, Browser]
) -> None:
    note(store, "spaceship", 3, "launch", {"fuel_level": 1}, {"fuel_level": [2, {"deep": None}]})
    with store.transaction() as connection:
        values = {
            "at": time.time(),
            "by": "system",
            "who": "x",
            "address": "",
            "before": "{not json",
            "after": "",
        }
        connection.execute(
            sa.insert(table(Change)).values(entity="house", entity_id=9, action="update", **values)
        )

    assert "launch spaceship #3 fuel level 1 fuel level 2, deep: –" in row(readers["en"], "spaceship")
    assert "{not json" in row(readers["en"], "house")
