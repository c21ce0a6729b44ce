"""One field over everything: every way of asking, what somebody may see of it, and the deadline."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.model import Account, Base, City, Domophone, Flat, House, Street, table
from crm.rights import ALL_RIGHTS, Reach, Right, Rights
from crm.search.index import Indexed, reindex, reindex_all
from crm.search.search import Found, Group, Sure, search
from crm.search.text import Address, house_words, other_layout, phones_of, readings
from crm.store import Store
from crm.tables.calls import Call
from crm.tables.companies import Company
from crm.tables.devices import Relay, RelayChannel
from crm.tables.keys import Key, KeyBinding, KeyScope
from crm.tables.people import Resident, ResidentFlat
from crm.tables.search import SearchWord
from crm.tables.staff import Employee
from crm.who import SYSTEM, Who
from tests.crm.houses import Houses

PATIENT_S = 30.0  # however busy the machine is


class Town:
    """A city with two streets, a flat with all that hangs on it, and another city with a street of the same name."""

    def __init__(self, store: Store, houses: Houses) -> None:
        self.store, self.houses = store, houses
        self.ours = self.add(Company(name="УК «Зелёный двор»", inn="7451000001"))
        self.others = self.add(Company(name="ООО Комфорт", inn="7453000002"))
        self.kopeysk = self.add(
            City(region="Челябинская область", name="Копейск", time_zone="Asia/Yekaterinburg")
        )
        self.lenina = self.add(Street(city_id=houses.city, name="ул. Ленина"))
        self.l5 = self.house("5", self.lenina, "ул. Ленина", self.ours)
        self.l5k2 = self.house("5 корп. 2", self.lenina, "ул. Ленина", self.ours)
        self.l55 = self.house("55А", self.lenina, "ул. Ленина", self.others)
        self.kirov = self.house("5", None, "пр. Королёва", self.others)
        self.march = self.house("8", None, "ул. 8 Марта", self.others)
        self.march1 = self.house("18", None, "ул. 8 Марта", self.others)
        self.far = self.house("5", None, "ул. Ленина", self.others, self.kopeysk)
        self.entrance = houses.entrance("п. 2", self.l5)
        self.panel = houses.panel("panel7001", self.entrance)
        self.flat = houses.flat(self.l5, "42", self.entrance)
        self.far_flat = houses.flat(self.far, "42")
        self.account = houses.account("acc73510001", self.flat)
        self.resident = self.person("Иванов Пётр Ильич", "+79123450042", self.flat)
        self.other_resident = self.person("Иванова Мария Петровна", "+79510002153", self.far_flat)
        with store.transaction() as connection:
            connection.execute(
                sa.update(Account).where(Account.id == self.account).values(resident_id=self.resident)
            )
            connection.execute(sa.update(Flat).where(Flat.id == self.flat).values(contract="Д-100042"))
            connection.execute(
                sa.update(Domophone).where(Domophone.id == self.panel).values(mac="08ed02a1b2c3")
            )
        self.relay = self.add(Relay(name="Шлагбаум", mac="f0f1f2f3f4f5"))
        self.add(RelayChannel(relay_id=self.relay, number=1, name="ворота", entrance_id=self.entrance))
        self.key = self.add(Key(uid="4B00BC614E", created_at=0.0))
        self.add(KeyBinding(key_id=self.key, scope=KeyScope.FLAT, ref_id=self.flat), id=False)
        self.call = "9f3a5c77d0e1f2a3"
        self.add(
            Call(
                **{name: "" for name in ("kind", "node", "dialled", "domophone", "answered_by", "entries")},
                call_id=self.call,
                panel="panel7001",
                address="ул. Ленина 5, п. 2",
                flat="42",
                flat_id=self.flat,
                started_at=1.0,
            ),
            id=False,
        )
        self.employee = self.add(Employee(login="sidorova", name="Сидорова Анна", created_at=0.0))
        reindex_all(store)

    def add(self, row: Base, *, id: bool = True) -> int:
        if id:
            return self.houses._add(row)
        self.houses._put(row)
        return 0

    def house(self, number: str, street_id: int | None, street: str, company: int, city: int = 0) -> int:
        return self.add(
            House(
                city_id=city or self.houses.city,
                street_id=street_id,
                street=street,
                number=number,
                company_id=company,
            )
        )

    def person(self, name: str, phone: str, flat: int) -> int:
        id = self.add(Resident(name=name, phone=phone))
        self.add(ResidentFlat(flat_id=flat, resident_id=id), id=False)
        return id

    def found(self, text: str, who: Who = SYSTEM, **options: Any) -> dict[Found, list[int | str]]:
        groups = search(self.store, who, text, deadline_s=PATIENT_S, **options)
        assert not any(group.late for group in groups)
        return {group.kind: [hit.id for hit in group.hits] for group in groups}

    def first(self, text: str, who: Who = SYSTEM) -> tuple[Found, int | str]:
        group = search(self.store, who, text, deadline_s=PATIENT_S)[0]
        return group.kind, group.hits[0].id


@pytest.fixture
def town(store: Store, houses: Houses) -> Town:
    return Town(store, houses)


def somebody(*rights: Right, reach: Reach) -> Who:
    return Who("employee:1", "Анна", Rights(dict.fromkeys(rights, reach)))


@pytest.mark.parametrize(
    "text",
    [
        "ленина 5 42",
        "ленина 5 кв 42",
        "Ленина, д.5, кв.42",
        "ул. Ленина, дом 5, квартира 42",
        "г. Челябинск, ул Ленина 5-42",
        "челябинск ленина 5 42",
        "лен 5 42",
        "ленина 5 п. 2 кв. 42",
        "ktybyf 5 42",
        "ktybyf? 5? rd/42",
    ],
)
def test_a_flat_is_found_by_its_address_in_any_writing(town: Town, text: str) -> None:
    assert town.first(text) == (Found.FLAT, town.flat)


def test_what_was_written_anew_keeps_its_place_among_what_is_as_sure(town: Town) -> None:
    before = town.found("ленина 5 42")
    with town.store.transaction() as connection:  # PostgreSQL puts what was changed behind all others
        connection.execute(sa.update(Flat).where(Flat.id == town.flat).values(contract="Д-100043"))
        connection.execute(sa.update(House).where(House.id == town.l5).values(lat=55.1))
    assert town.found("ленина 5 42") == before
    assert before[Found.FLAT] == [town.flat, town.far_flat]


def test_a_flat_that_is_not_there_leads_to_its_house(town: Town) -> None:
    found = town.found("ленина 5 кв 999")

    assert Found.FLAT not in found
    assert found[Found.HOUSE] == [town.l5, town.far] or found[Found.HOUSE] == [town.far, town.l5]


def test_the_house_with_just_this_number_comes_before_those_that_begin_so(town: Town) -> None:
    found = town.found("челябинск ленина 5")[Found.HOUSE]

    assert found[0] == town.l5
    assert set(found) == {town.l5, town.l5k2, town.l55}


@pytest.mark.parametrize("text", ["ленина 5к2", "ленина 5 к 2", "ленина, 5 корпус 2", "ленина 5 корп.2"])
def test_a_building_of_a_house_is_found_in_any_writing(town: Town, text: str) -> None:
    assert town.first(text) == (Found.HOUSE, town.l5k2)


@pytest.mark.parametrize("text", ["ленина 55а", "ленина 55 А", "Ленина 55A"])
def test_a_houses_letter_is_found_in_any_writing(town: Town, text: str) -> None:
    assert town.first(text) == (Found.HOUSE, town.l55)


@pytest.mark.parametrize(
    "text", ["королева 5", "Королёва 5", "пр королева 5", "пр-кт Королёва, 5", "rjhjktdf 5"]
)
def test_letters_that_are_often_mixed_up_are_alike(town: Town, text: str) -> None:
    assert town.first(text) == (Found.HOUSE, town.kirov)


def test_another_kind_of_street_is_another_street(town: Town) -> None:
    assert Found.HOUSE not in town.found("бульвар королева 5")


def test_a_number_in_a_streets_name_is_not_taken_for_the_houses(town: Town) -> None:
    assert town.first("8 марта 8") == (Found.HOUSE, town.march)
    assert town.first("8 марта 18") == (Found.HOUSE, town.march1)
    flat = town.houses.flat(town.march, "18")
    groups = search(town.store, SYSTEM, "8 марта 18", deadline_s=PATIENT_S)
    assert [(group.kind, group.hits[0].id) for group in groups] == [
        (Found.HOUSE, town.march1),
        (Found.FLAT, flat),
    ]


def test_a_city_tells_streets_of_the_same_name_apart(town: Town) -> None:
    assert town.found("копейск ленина 5")[Found.HOUSE] == [town.far]
    assert town.found("ленина 5 копейск")[Found.HOUSE] == [town.far]


def test_a_street_is_found_while_it_is_typed(town: Town) -> None:
    for typed in ("ле", "лен", "ленин", "ул лен"):
        assert town.found(typed)[Found.STREET] == [town.lenina]
    assert town.first("ленина") == (Found.STREET, town.lenina)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("+79123450042", Found.PHONE),
        ("8 912 345-00-42", Found.PHONE),
        ("8(912)3450042", Found.PHONE),
        ("79123450042", Found.PHONE),
        ("9123450042", Found.PHONE),
        ("+7 912 345", Found.PHONE),
        ("8912345", Found.PHONE),
        ("0042", Found.PHONE),
        ("345-00-42", Found.PHONE),
    ],
)
def test_a_phone_number_is_found_in_any_writing_and_by_its_last_digits(
    town: Town, text: str, found: Found
) -> None:
    assert town.found(text)[found] == [town.resident]


def test_three_digits_are_no_phone_number(town: Town) -> None:
    assert Found.PHONE not in town.found("042")


@pytest.mark.parametrize(
    "text",
    ["08:ED:02:A1:B2:C3", "08-ed-02-a1-b2-c3", "08ed.02a1.b2c3", "08ED02A1B2C3", "08ed", "a1:b2:c3", "b2c3"],
)
def test_a_panel_is_found_by_its_mac_or_a_part_of_it(town: Town, text: str) -> None:
    assert town.found(text)[Found.PANEL] == [town.panel]


def test_a_whole_mac_comes_first(town: Town) -> None:
    groups = search(town.store, SYSTEM, "08ed02a1b2c3", deadline_s=PATIENT_S)

    assert groups[0].kind is Found.PANEL
    assert groups[0].hits[0].sure is Sure.WHOLE
    assert groups[0].hits[0].leads == ("domophone", town.panel)
    assert groups[0].hits[0].detail == "08:ED:02:A1:B2:C3 · ул. Ленина 5, п. 2"


def test_a_relay_is_found_by_its_mac(town: Town) -> None:
    assert town.first("F0:F1:F2:F3:F4:F5") == (Found.RELAY, town.relay)
    assert town.found("f4f5")[Found.RELAY] == [town.relay]


def test_sip_users_are_found_by_their_beginning(town: Town) -> None:
    assert town.found("acc7351")[Found.ACCOUNT] == [town.account]
    assert town.found("panel70")[Found.PANEL] == [town.panel]
    assert town.found("фсс7351")[Found.ACCOUNT] == [town.account]


@pytest.mark.parametrize(
    "text",
    [
        "4B00BC614E",
        "4b:00:bc:61:4e",
        "4E61BC004B",
        "0012345678",
        "188,24910",
        "0012345678 188,24910",
        "4b00bc",
    ],
)
def test_a_key_is_found_in_any_writing(town: Town, text: str) -> None:
    assert town.found(text)[Found.KEY] == [town.key]


def test_a_call_is_found_by_the_beginning_of_its_id(town: Town) -> None:
    assert town.found("9f3a5c")[Found.CALL] == [town.call]
    assert town.first(town.call) == (Found.CALL, town.call)


@pytest.mark.parametrize("text", ["иванов петр", "Пётр Ильич", "петр иванов", "ильич ив", "bdfyjd gtnh"])
def test_a_resident_is_found_by_names_in_any_order(town: Town, text: str) -> None:
    assert town.first(text) == (Found.RESIDENT, town.resident)


def test_the_whole_word_comes_before_those_that_begin_so(town: Town) -> None:
    assert town.found("иванов")[Found.RESIDENT] == [town.resident, town.other_resident]


def test_companies_are_found_by_name_and_inn(town: Town) -> None:
    assert town.found("зеленый")[Found.COMPANY] == [town.ours]
    assert town.found("ук зел")[Found.COMPANY] == [town.ours]
    assert town.first("7453000002") == (Found.COMPANY, town.others)


def test_a_flat_is_found_by_its_contract(town: Town) -> None:
    assert town.first("Д-100042") == (Found.FLAT, town.flat)


def test_an_employee_is_found_by_login_and_name(town: Town) -> None:
    assert town.first("sidorova") == (Found.EMPLOYEE, town.employee)
    assert town.first("сидорова") == (Found.EMPLOYEE, town.employee)


@pytest.mark.parametrize(
    "text", ["", "   ", "\0", "%", "_", "'", "\\", "—", "кв", "5", "я", "?" * 500, "%%%%"]
)
def test_what_means_nothing_finds_nothing(town: Town, text: str) -> None:
    assert search(town.store, SYSTEM, text) == ()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=30)
    | st.text("лен5 42кпд.,-/+7:абв0фABCDEF\"'%_\\~\ud800²٣", max_size=20).map(lambda text: f"ленина {text}")
)
def test_whatever_is_typed_is_answered(town: Town, text: str) -> None:
    for group in search(town.store, SYSTEM, text, deadline_s=PATIENT_S):
        assert group.hits
        assert not group.late
        assert len({hit.id for hit in group.hits}) == len(group.hits) <= 5


def test_each_kind_needs_its_right(town: Town) -> None:
    everywhere = Reach(everywhere=True)
    texts = {
        "ленина 5 42": (Right.HOUSING_VIEW, {Found.FLAT, Found.HOUSE}),
        "иванов": (Right.PEOPLE_VIEW, {Found.RESIDENT}),
        "+79123450042": (Right.PEOPLE_VIEW, {Found.PHONE}),
        "acc7351": (Right.PEOPLE_VIEW, {Found.ACCOUNT}),
        "08ed02a1b2c3": (Right.DEVICES_VIEW, {Found.PANEL}),
        "f0f1f2f3f4f5": (Right.DEVICES_VIEW, {Found.RELAY}),
        "4B00BC614E": (Right.KEYS_VIEW, {Found.KEY}),
        "9f3a5c77": (Right.CALLS_VIEW, {Found.CALL}),
        "зеленый": (Right.COMPANIES_VIEW, {Found.COMPANY}),
        "sidorova": (Right.STAFF_VIEW, {Found.EMPLOYEE}),
    }
    for text, (right, kinds) in texts.items():
        assert set(town.found(text, somebody(right, reach=everywhere))) == kinds
        others = [each for each in Right if each is not right]
        assert not set(town.found(text, somebody(*others, reach=everywhere))) & kinds


OF_THE_FLAT = {
    "ленина 5 42": Found.FLAT,
    "ленина 5": Found.HOUSE,
    "Д-100042": Found.FLAT,
    "иванов петр": Found.RESIDENT,
    "+79123450042": Found.PHONE,
    "0042": Found.PHONE,
    "acc7351": Found.ACCOUNT,
    "08ed02a1b2c3": Found.PANEL,
    "b2c3": Found.PANEL,
    "f0f1f2f3f4f5": Found.RELAY,
    "4B00BC614E": Found.KEY,
    "188,24910": Found.KEY,
    "9f3a5c77": Found.CALL,
    "зеленый": Found.COMPANY,
}


@pytest.mark.parametrize("text", OF_THE_FLAT)
def test_a_company_manager_finds_what_is_of_its_houses_and_nothing_beyond(town: Town, text: str) -> None:
    kind = OF_THE_FLAT[text]
    ours = Who("employee:1", "наш", Rights(dict.fromkeys(Right, Reach(companies=frozenset({town.ours})))))
    theirs = Who("employee:2", "их", Rights(dict.fromkeys(Right, Reach(companies=frozenset({town.others})))))
    all_of_it = {
        hit.id for group in search(town.store, SYSTEM, text) if group.kind is kind for hit in group.hits
    }

    seen, beyond = town.found(text, ours).get(kind, []), town.found(text, theirs).get(kind, [])

    assert seen
    assert not set(seen) & set(beyond)
    assert {*seen, *beyond} <= all_of_it


@pytest.mark.parametrize("bound", ["city", "house"])
def test_a_reach_of_a_city_or_a_house_bounds_what_is_found(town: Town, bound: str) -> None:
    near = (
        Reach(cities=frozenset({town.houses.city})) if bound == "city" else Reach(houses=frozenset({town.l5}))
    )
    who = Who("employee:1", "Анна", Rights(dict.fromkeys(Right, near)))

    assert town.found("ленина 5 42", who)[Found.FLAT] == [town.flat]
    assert town.found("иванов", who)[Found.RESIDENT] == [town.resident]
    assert Found.PHONE not in town.found("2153", who)
    assert Found.EMPLOYEE not in town.found("sidorova", who)


def test_an_address_beyond_the_reach_is_not_told_with_who_lives_there_too(town: Town) -> None:
    town.add(ResidentFlat(flat_id=town.far_flat, resident_id=town.resident), id=False)
    who = Who("employee:1", "их", Rights(dict.fromkeys(Right, Reach(houses=frozenset({town.far})))))

    (group,) = search(town.store, who, "иванов ильич", deadline_s=PATIENT_S)

    assert group.hits[0].detail == "+79123450042 · ул. Ленина 5, кв. 42"
    assert Found.ACCOUNT not in town.found("acc7351", who)
    assert Found.CALL not in town.found(town.call, who)


def test_a_group_says_that_there_are_more(town: Town) -> None:
    groups = {group.kind: group for group in search(town.store, SYSTEM, "иван", limit_per_group=1)}

    assert len(groups[Found.RESIDENT].hits) == 1
    assert groups[Found.RESIDENT].more
    assert not search(town.store, SYSTEM, "петр ильич", limit_per_group=1)[0].more


def test_what_the_deadline_cut_off_is_late_and_the_store_goes_on(town: Town) -> None:
    groups = search(town.store, SYSTEM, "ленина 5 42", deadline_s=0.0)

    assert groups
    assert all(group.late and not group.hits for group in groups)
    assert town.first("ленина 5 42") == (Found.FLAT, town.flat)


def test_a_statement_that_takes_long_is_ended_by_the_deadline(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(connection: sa.Connection, *_: object) -> list[Any]:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)"
        endless = f"{numbers} SELECT max(i) FROM n"
        connection.execute(sa.text(endless)).all()
        return []

    monkeypatch.setattr("crm.search.search.find_residents", slow)
    began = time.monotonic()
    groups: dict[Found, Group] = {
        group.kind: group for group in search(town.store, SYSTEM, "ленина 5", deadline_s=0.4)
    }

    assert time.monotonic() - began < 3
    assert groups[Found.RESIDENT].late
    assert groups[Found.HOUSE].hits
    with town.store.reading() as connection:
        if connection.dialect.name == "postgresql":
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "5s"
            assert connection.exec_driver_sql("SHOW plan_cache_mode").scalar() == "auto"


def test_a_changed_name_is_found_by_its_new_words_only(town: Town) -> None:
    with town.store.transaction() as connection:
        connection.execute(
            sa.update(Resident).where(Resident.id == town.resident).values(name="Кузнецов Пётр", phone="")
        )
        reindex(connection, Indexed.RESIDENT, [town.resident])

    assert town.found("кузнецов")[Found.RESIDENT] == [town.resident]
    assert Found.RESIDENT not in town.found("ильич")
    assert Found.PHONE not in town.found("0042")


def test_the_words_of_what_is_gone_are_taken_out(town: Town) -> None:
    words = sa.select(sa.func.count()).select_from(SearchWord)
    with town.store.transaction() as connection:
        connection.execute(sa.delete(table(House)).where(table(House).c.id == town.march))
        connection.execute(sa.insert(SearchWord).values(word="следа", kind="resident", ref_id=987_654))
        before = connection.scalar(words) or 0
        reindex(connection, Indexed.HOUSE, [town.march])
        assert (connection.scalar(words) or 0) < before

    assert reindex_all(town.store) == 6 + 2 + 2 + 1
    with town.store.reading() as connection:
        assert connection.scalar(words.where(SearchWord.ref_id == 987_654)) == 0


def test_making_the_index_again_changes_nothing(town: Town) -> None:
    every = sa.select(SearchWord.word, SearchWord.kind, SearchWord.ref_id).order_by(
        *table(SearchWord).columns
    )
    with town.store.reading() as connection:
        before = connection.execute(every).all()
    told: list[tuple[Indexed, int]] = []

    reindex_all(town.store, lambda kind, done: told.append((kind, done)))

    with town.store.reading() as connection:
        assert connection.execute(every).all() == before
    assert told == [(Indexed.HOUSE, 7), (Indexed.RESIDENT, 2), (Indexed.COMPANY, 2), (Indexed.KEY, 1)]


@pytest.mark.parametrize(
    "text", ["ленина 5 42", "иванов петр", "0042", "acc7351", "08ed02a1", "9f3a5c", "7453000002"]
)
def test_no_search_reads_a_whole_table(town: Town, text: str) -> None:
    """See conftest: only SQLite is asked for its plans here."""
    if not town.store.is_sqlite:
        pytest.skip("PostgreSQL rightly reads a small table as a whole")
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        search(town.store, SYSTEM, text)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    scans = set()
    with town.store.reading() as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            scans |= {step[3] for step in plan if str(step[3]).startswith("SCAN")}
    # Few rows, the one look through all MACs, or some rows that another step has found.
    assert not {
        s for s in scans if not any(few in s for few in ("employees", "domophones", "relays", "anon_1"))
    }


def test_readings_of_an_address() -> None:
    assert readings("ул. Ленина, д. 5, кв. 42") == (Address(("ул", "ленина", "5"), "42"),)
    assert readings("ленина 5 42") == (Address(("ленина", "5"), "42"), Address(("ленина", "5", "42")))
    assert readings("8 марта") == (Address(("8", "марта")),)
    assert readings("кв") == ()


def test_a_house_is_indexed_by_each_word_of_its_address() -> None:
    assert house_words("ул. 8 Марта", "5, корп. 2", "Нижний Тагил") == [
        "марта 5к2 нижний тагил улица 8",
        "нижний тагил улица 8 марта 5к2",
        "тагил улица 8 марта 5к2 нижний",
        "улица 8 марта 5к2 нижний тагил",
    ]


def test_what_phone_numbers_may_be_meant() -> None:
    assert phones_of("8 912 345-00-42") == ("+79123450042", "")
    assert phones_of("0042") == ("+70042", "2400")
    assert phones_of("+7 912") == ("+7912", "")
    assert phones_of("ленина 5") == ("", "")


def test_the_other_keyboard() -> None:
    assert other_layout("ktybyf 5") == "ленина 5"
    assert other_layout("фсс1") == "acc1"
    assert other_layout("ленина xyz") == other_layout("12") == ""


def test_all_rights_are_those_of_the_system() -> None:
    assert SYSTEM.rights == ALL_RIGHTS
