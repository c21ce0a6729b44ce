"""Houses made whole, more flats, gates, panels' numbers, and deleting with all that hangs on, in both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.desk.desk import Desk
from crm.desk.resource import Query
from crm.directory.directory import find
from crm.housing.doors import Numbering, doors_of, link_panel, renumber, unlink_panel
from crm.housing.new_houses import Added, GateHouse, add_flats, add_gate, make_house
from crm.housing.plan import DoorText, read_doors
from crm.housing.removal import delete_entrance, delete_house, on_entrance, on_house
from crm.model import (
    Account,
    Dialling,
    Domophone,
    Entrance,
    EntranceFlat,
    Flat,
    House,
    HouseEntrance,
    Street,
    table,
)
from crm.rights import EVERYWHERE, Reach, Right, Rights
from crm.sections import all_resources
from crm.store import Store
from crm.tables.companies import Company
from crm.tables.keys import Key, KeyBinding, KeyScope
from crm.tables.search import SearchWord
from crm.tables.staff import Change
from crm.who import SYSTEM, Conflict, Forbidden, Invalid, NotFound, Who
from tests.crm.houses import Houses

NOW = 1_795_600_000.0


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store, all_resources())


@pytest.fixture
def street(store: Store, houses: Houses) -> int:
    with store.session() as session:
        row = Street(city_id=houses.city, name="ул. Мира")
        session.add(row)
        session.flush()
        return row.id


def manager(reach: Reach, *rights: Right) -> Who:
    every = (Right.HOUSING_VIEW, Right.HOUSING_EDIT, Right.COMPANIES_VIEW, *rights)
    return Who("employee:7", "Anna", Rights(dict.fromkeys(every, reach)))


def count(store: Store, of: type) -> int:
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table(of))) or 0


def flats_at(store: Store, entrance: str) -> list[tuple[str, int | None]]:
    query = (
        sa.select(Flat.number, Flat.floor)
        .join(EntranceFlat, EntranceFlat.flat_id == Flat.id)
        .join(Entrance, Entrance.id == EntranceFlat.entrance_id)
        .where(Entrance.name == entrance)
        .order_by(Flat.id)
    )
    with store.reading() as connection:
        return [(number, floor) for number, floor in connection.execute(query)]


# --- making ----------------------------------------------------------------------------------------------------------


def test_a_house_is_made_whole_and_stands_in_the_history_and_the_search(
    store: Store, desk: Desk, street: int
) -> None:
    doors = read_doors("1: 1-4; 2: 5-8 (2-3)", "2")
    id = make_house(desk, SYSTEM, {"street_id": street, "number": "5а"}, doors)

    assert flats_at(store, "п. 1") == [("1", 1), ("2", 1), ("3", 2), ("4", 2)]
    assert flats_at(store, "п. 2") == [("5", 2), ("6", 2), ("7", 3), ("8", 3)]
    with store.reading() as connection:
        changes = connection.execute(sa.select(Change.entity, Change.action)).all()
        words = connection.scalars(sa.select(SearchWord.word).where(SearchWord.ref_id == id)).all()
    assert changes.count(("house", "create")) == 1
    assert changes.count(("entrance", "create")) == 2
    assert changes.count(("flat", "create")) == 8
    assert any("мира" in word for word in words)


def test_a_fault_in_one_entrance_makes_nothing(store: Store, desk: Desk, street: int) -> None:
    with pytest.raises(Invalid) as refused:
        make_house(desk, SYSTEM, {"street_id": street, "number": "5"}, read_doors("1: 1-4; 2: 4-8"))
    assert refused.value.errors == {"entrances.1": "flat 4 is at п. 1 already"}
    with pytest.raises(Invalid):
        make_house(desk, SYSTEM, {"street_id": street}, read_doors("1: 1-4"))
    assert (count(store, House), count(store, Entrance), count(store, Flat)) == (0, 0, 0)


def test_the_second_house_with_one_address_is_refused(store: Store, desk: Desk, street: int) -> None:
    make_house(desk, SYSTEM, {"street_id": street, "number": "5"}, [])
    with pytest.raises(Invalid, match="already"):
        make_house(desk, SYSTEM, {"street_id": street, "number": "5"}, [])


def test_a_manager_makes_houses_of_his_company_only(store: Store, desk: Desk, street: int) -> None:
    with store.session() as session:
        mine, other = (Company(name=name, inn=inn) for name, inn in (("УК 1", "1"), ("УК 2", "2")))
        session.add_all([mine, other])
        session.flush()
        mine_id, other_id = mine.id, other.id
    anna = manager(Reach(companies=frozenset({mine_id})))
    doors = [DoorText("1", "1-4")]
    for company in (None, other_id):
        with pytest.raises((Forbidden, Invalid)):
            make_house(desk, anna, {"street_id": street, "number": "5", "company_id": company}, doors)
    with pytest.raises(Forbidden, match="company or a city"):
        make_house(desk, anna, {"street_id": street, "number": "5"}, doors)
    assert count(store, House) == count(store, Entrance) == 0

    # A house of her company is there already: now she sees it, and so may make another.
    with store.session() as session:
        city = session.scalar(sa.select(Street.city_id))
        session.add(House(city_id=city, street="ул. Мира", number="1", street_id=street, company_id=mine_id))
    id = make_house(desk, anna, {"street_id": street, "number": "5", "company_id": mine_id}, doors)
    assert len(flats_at(store, "п. 1")) == 4
    assert desk.get(anna, desk.resource("houses"), id).values["company_id"] == mine_id


# --- more flats, gates -----------------------------------------------------------------------------------------------


def test_more_flats_come_to_an_entrance_that_is_there(store: Store, desk: Desk, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    houses.flat(house, "1", entrance)

    assert add_flats(desk, SYSTEM, house, read_doors("1: 2-4; 2: 5")) == Added(1, 4)
    assert [number for number, _ in flats_at(store, "п. 1")] == ["1", "2", "3", "4"]
    with pytest.raises(Invalid, match="flat 4 is there already"):
        add_flats(desk, SYSTEM, house, read_doors("2: 4"))


def test_flats_that_are_there_are_called_from_one_more_door_when_asked(
    store: Store, desk: Desk, houses: Houses
) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    for number in ("1", "2"):
        houses.flat(house, number, entrance)

    assert add_flats(desk, SYSTEM, house, read_doors("калитка: 1-3"), call=True) == Added(1, 1, 2)
    assert add_flats(desk, SYSTEM, house, read_doors("калитка: 1-3"), call=True) == Added(0, 0, 0)
    assert [number for number, _ in flats_at(store, "калитка")] == ["1", "2", "3"]


def test_nobody_adds_flats_beyond_his_reach(desk: Desk, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    anna = manager(Reach(houses=frozenset({mine})))
    with pytest.raises(NotFound):
        add_flats(desk, anna, other, read_doors("1: 1"))
    assert add_flats(desk, anna, mine, read_doors("1: 1")) == Added(1, 1)
    with pytest.raises(Invalid, match="there is no house"):
        add_gate(desk, anna, "ворота", [GateHouse(mine), GateHouse(other)])


def test_a_panel_at_a_gate_calls_flats_of_each_house_by_its_prefix(
    store: Store, desk: Desk, houses: Houses
) -> None:
    first, second = houses.house("1"), houses.house("2")
    one, two = houses.flat(first, "42"), houses.flat(second, "42")

    gate = add_gate(desk, SYSTEM, "ворота", [GateHouse(first, "1"), GateHouse(second, "2")])
    panel = houses.panel("700001", dialling=Dialling.PREFIX_FLAT)
    link_panel(desk, SYSTEM, gate, panel, NOW)

    with store.reading() as connection:
        found = [find(connection, "700001", dialled, NOW).flat for dialled in ("10042", "2#42")]
        doors = doors_of(connection, first)
    assert [flat.id for flat in found if flat is not None] == [one, two]
    assert [(door.is_gate, door.prefix, door.flats) for door in doors] == [(True, "1", 1)]
    assert [each.sip_user for each in doors[0].panels] == ["700001"]
    unlink_panel(desk, SYSTEM, gate, panel, NOW)
    with store.reading() as connection:
        assert doors_of(connection, first)[0].panels == ()


def test_a_gate_where_a_number_would_mean_two_flats_is_refused(
    store: Store, desk: Desk, houses: Houses
) -> None:
    first, second = houses.house("1"), houses.house("2")
    houses.flat(first, "42"), houses.flat(second, "42")
    for gate in (
        [GateHouse(first, "1"), GateHouse(second, "1")],
        [GateHouse(first), GateHouse(first)],
        [],
        [GateHouse(first, "x")],
    ):
        with pytest.raises(Invalid):
            add_gate(desk, SYSTEM, "ворота", gate)
    with pytest.raises(Invalid):
        add_gate(desk, SYSTEM, " ", [GateHouse(first)])
    assert count(store, Entrance) == count(store, HouseEntrance) == 0


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_at_the_panel_are_set_for_a_range(store: Store, desk: Desk, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    flats = {n: houses.flat(house, n, entrance) for n in ("1", "2", "10", "11")}
    houses.panel("700001", entrance)

    assert renumber(desk, SYSTEM, house, entrance, "1-2, 10-11", Numbering.ADDED, 112000) == 4
    with store.reading() as connection:
        meant = find(connection, "700001", "112010", NOW).flat
        door = doors_of(connection, house)[0]
    assert meant is not None
    assert meant.id == flats["10"]
    assert (door.renumbered, door.example) == (4, ("1", "112001"))

    # All flats, counted in the order of people; the one that comes to its own number has none at the panel.
    renumber(desk, SYSTEM, house, entrance, "", Numbering.COUNTED, 1)
    with store.reading() as connection:
        query = sa.select(EntranceFlat.flat_id, EntranceFlat.panel_number)
        numbers = {id: number for id, number in connection.execute(query)}
    assert numbers == {flats["1"]: None, flats["2"]: None, flats["10"]: "3", flats["11"]: "4"}
    assert renumber(desk, SYSTEM, house, entrance, "", Numbering.OWN) == 4


@pytest.mark.parametrize(
    ("flats", "how", "number", "said"),
    [
        ("1-9", Numbering.OWN, 0, "flat 3 is not called"),
        ("2-1", Numbering.OWN, 0, "is no range"),
        ("5а", Numbering.ADDED, 100, "it is no whole number"),
        ("1", Numbering.ADDED, -1, "1 or more is expected"),
        ("1", Numbering.COUNTED, 2, "would have the number of flat 2"),
        ("1-2", Numbering.COUNTED, 10**20, "1 or more is expected"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    store: Store, desk: Desk, houses: Houses, flats: str, how: Numbering, number: int, said: str
) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    for each in ("1", "2", "5а"):
        houses.flat(house, each, entrance)
    with pytest.raises(Invalid, match=said):
        renumber(desk, SYSTEM, house, entrance, flats, how, number)
    with pytest.raises(NotFound):
        renumber(desk, SYSTEM, houses.house("9"), entrance, flats, how, number)


def test_a_number_is_not_given_to_two_flats(store: Store, desk: Desk, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    houses.flat(house, "1", entrance, panel_number="101")
    houses.flat(house, "2", entrance)
    with pytest.raises(Invalid, match="the same number 101"):
        renumber(desk, SYSTEM, house, entrance, "2", Numbering.COUNTED, 101)


# --- deleting --------------------------------------------------------------------------------------------------------


def test_a_house_or_entrance_with_things_on_it_is_not_deleted_by_the_way(
    store: Store, desk: Desk, houses: Houses
) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    houses.flat(house, "1", entrance)
    for name, id in (("houses", house), ("entrances", entrance)):
        with pytest.raises(Conflict, match="delete it with"):
            desk.delete(SYSTEM, desk.resource(name), id)
    desk.delete(SYSTEM, desk.resource("houses"), houses.house("empty"))
    assert (count(store, House), count(store, Entrance), count(store, Flat)) == (1, 1, 1)


def test_a_house_is_deleted_with_its_flats_and_own_entrances(
    store: Store, desk: Desk, street: int, houses: Houses
) -> None:
    house = make_house(desk, SYSTEM, {"street_id": street, "number": "5"}, read_doors("1: 1-4"))
    other = houses.house("2")
    gate = add_gate(desk, SYSTEM, "ворота", [GateHouse(house, "1"), GateHouse(other, "2")])
    with store.reading() as connection:
        flat = connection.scalars(sa.select(Flat.id).where(Flat.house_id == house)).first() or 0
        own = connection.scalar(sa.select(Entrance.id).where(Entrance.name == "п. 1")) or 0
    houses.account("7351001", flat)
    houses.panel("700001", own)
    bound_key(store, KeyScope.FLAT, flat)

    found = on_house(desk, SYSTEM, house)
    assert (found.flats, found.entrances, found.panels, found.accounts, found.keys) == (4, 1, 1, 1, 1)
    delete_house(desk, SYSTEM, house, NOW)

    assert count(store, Flat) == count(store, EntranceFlat) == count(store, KeyBinding) == 0
    assert count(store, Account) == count(store, Domophone) == count(store, Key) == 1
    with store.reading() as connection:
        assert connection.scalars(sa.select(Entrance.id)).all() == [gate]
        assert connection.scalars(sa.select(HouseEntrance.house_id)).all() == [other]
        assert not connection.scalars(sa.select(SearchWord.ref_id).where(SearchWord.ref_id == house)).all()
    with pytest.raises(NotFound):
        delete_house(desk, SYSTEM, house, NOW)


def test_an_entrance_is_deleted_and_its_flats_stay(store: Store, desk: Desk, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    houses.flat(house, "1", entrance)
    houses.panel("700001", entrance)
    assert on_entrance(desk, SYSTEM, entrance).flats == 1
    delete_entrance(desk, SYSTEM, entrance, NOW)
    assert (count(store, Entrance), count(store, EntranceFlat), count(store, Flat)) == (0, 0, 1)


def test_a_gate_that_serves_others_too_is_not_his_to_delete(desk: Desk, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    gate = houses.entrance("ворота", mine, other)
    anna = manager(Reach(houses=frozenset({mine})))
    with pytest.raises(Forbidden, match="serves a house"):
        delete_entrance(desk, anna, gate, NOW)
    with pytest.raises(NotFound):
        delete_house(desk, anna, other, NOW)


# --- lists -----------------------------------------------------------------------------------------------------------


def test_flats_of_a_house_are_listed_as_people_count(desk: Desk, houses: Houses) -> None:
    house = houses.house("1")
    for number in ("10", "2", "5а", "1", "5", "офис 2", "100"):
        houses.flat(house, number)
    flats = desk.resource("flats")
    who = Who("x", "x", Rights({Right.HOUSING_VIEW: EVERYWHERE}))
    seen: list[str] = []
    after = ""
    while True:
        page = desk.list(who, flats, Query({"house_id": str(house)}, "", after, 2))
        seen += [row.values["number"] for row in page.rows]
        after = page.next
        if not after:
            break
    assert seen[:6] == ["1", "2", "5", "5а", "10", "100"]
    assert len(seen) == 7


def test_renaming_a_street_or_city_is_found_at_once(store: Store, desk: Desk, street: int) -> None:
    id = make_house(desk, SYSTEM, {"street_id": street, "number": "5"}, [])
    desk.update(SYSTEM, desk.resource("streets"), street, {"name": "ул. Новая"})
    city = desk.get(SYSTEM, desk.resource("houses"), id).values["city_id"]
    desk.update(SYSTEM, desk.resource("cities"), city, {"name": "Миасс"})
    assert desk.pick(SYSTEM, desk.resource("houses"), "новая 5") == ((id, "Миасс, ул. Новая 5"),)
    assert desk.pick(SYSTEM, desk.resource("houses"), "миасс") == ((id, "Миасс, ул. Новая 5"),)
    assert desk.pick(SYSTEM, desk.resource("houses"), "мира") == ()


def bound_key(store: Store, scope: KeyScope, ref: int) -> None:
    with store.session() as session:
        key = Key(uid="AABBCCDD", created_at=NOW)
        session.add(key)
        session.flush()
        session.add(KeyBinding(key_id=key.id, scope=scope, ref_id=ref))
