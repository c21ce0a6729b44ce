"""Keys: what they open is what their panels are told, lost ones open nothing, and any way of writing finds them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.keys.formats import KeyFormat, written
from crm.keys.keys import (
    add_key,
    change_bindings,
    find_key_again,
    find_keys,
    get_key,
    key_seen,
    keys_bound_to,
    lose_key,
    panels_of_key,
    set_note,
)
from crm.keys.many import guess_format, import_keys, preview
from crm.keys.panels import BEING_TOLD, refresh_blocks, sweep_keys, sync_flats, sync_panels
from crm.keys.reach import Binding
from crm.model import BlockKind, Domophone, DomophoneEntrance, FlatBlock, House, Vendor, table
from crm.rights import EVERYWHERE, Reach, Right, Rights, format_rights
from crm.store import Store
from crm.tables.blocks import BlockKindRow
from crm.tables.keys import KeyDelivery, KeyScope
from crm.tables.people import Resident, ResidentFlat
from crm.tables.staff import Change, Employee, EmployeeGroup, Group, GroupHouse
from crm.who import SYSTEM, Conflict, Forbidden, Invalid, NotFound, Who
from tests.crm.houses import Houses

NOW = 1_000_000.0
UID = "04A1B2C3"


class Street:
    """Two houses with an entrance, a panel and a flat each, and a gate that both have."""

    def __init__(self, houses: Houses) -> None:
        self.houses = houses
        self.house, self.other = houses.house("1"), houses.house("2")
        self.entrance, self.next_door = (
            houses.entrance("п. 1", self.house),
            houses.entrance("п. 1", self.other),
        )
        self.gate = houses.entrance("калитка", self.house, self.other)
        self.panel = houses.panel("100", self.entrance)
        self.away = houses.panel("200", self.next_door)
        self.at_gate = houses.panel("300", self.gate)
        self.flat = houses.flat(self.house, "7", self.entrance, self.gate)
        self.flat_away = houses.flat(self.other, "7", self.next_door, self.gate)


@pytest.fixture
def street(houses: Houses) -> Street:
    return Street(houses)


def manager(*house_ids: int) -> Who:
    reach = Reach(houses=frozenset(house_ids))
    return Who("employee:7", "Anna", Rights({Right.KEYS_VIEW: reach, Right.KEYS_EDIT: reach}))


def told(store: Store, key_id: int) -> dict[str, bool]:
    """By panel, whether it is to learn the key or to forget it."""
    return {each.sip_user: each.wanted for each in panels_of_key(store, SYSTEM, key_id)}


def deliver_all(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(sa.update(table(KeyDelivery)).values(done_at=NOW))


def flat(id: int) -> Binding:
    return Binding(KeyScope.FLAT, id)


def stop_keys(store: Store) -> None:
    kinds = table(BlockKindRow)
    with store.transaction() as connection:
        connection.execute(sa.update(kinds).where(kinds.c.code == "debt").values(stops_keys=True))


@pytest.mark.parametrize(
    ("binding", "panels"),
    [
        (lambda s: flat(s.flat), {"100", "300"}),
        (lambda s: Binding(KeyScope.ENTRANCE, s.entrance), {"100"}),
        (lambda s: Binding(KeyScope.HOUSE, s.house), {"100", "300"}),
        (lambda s: Binding(KeyScope.EVERYWHERE), {"100", "200", "300"}),
    ],
)
def test_a_key_is_told_to_the_panels_that_it_opens(store: Store, street: Street, binding, panels) -> None:  # type: ignore[no-untyped-def]
    key = add_key(store, SYSTEM, UID, [binding(street)], NOW)
    assert told(store, key) == dict.fromkeys(panels, True)


def test_keys_of_a_company_and_of_a_resident_open_their_houses_and_flats(
    store: Store, street: Street
) -> None:
    from crm.tables.companies import Company

    with store.session() as session:
        company, person = Company(name="УК"), Resident(name="Иванов")
        session.add_all([company, person])
        session.flush()
        session.get_one(House, street.other).company_id = company.id
        session.add(ResidentFlat(flat_id=street.flat, resident_id=person.id))
        company_id, person_id = company.id, person.id
    of_company = add_key(store, SYSTEM, UID, [Binding(KeyScope.COMPANY, company_id)], NOW)
    of_person = add_key(store, SYSTEM, "04A1B2C4", [Binding(KeyScope.RESIDENT, person_id)], NOW)
    assert told(store, of_company) == {"200": True, "300": True}
    assert told(store, of_person) == {"100": True, "300": True}


def test_an_employees_key_opens_where_he_may_open_doors(store: Store, street: Street) -> None:
    with store.session() as session:
        anna = Employee(login="anna", name="Анна", created_at=NOW)
        group = Group(name="crew", rights=format_rights([Right.DOORS_OPEN, Right.KEYS_VIEW]))
        session.add_all([anna, group])
        session.flush()
        session.add(EmployeeGroup(employee_id=anna.id, group_id=group.id))
        session.add(GroupHouse(group_id=group.id, house_id=street.other))
        anna_id, group_id = anna.id, group.id
    key = add_key(store, SYSTEM, UID, [Binding(KeyScope.EMPLOYEE, anna_id)], NOW)
    assert told(store, key) == {"200": True, "300": True}
    with store.session() as session:
        session.get_one(Group, group_id).rights = "keys.view"
    assert sweep_keys(store, 0, NOW + 1) == 0
    assert told(store, key) == {"200": False, "300": False}


def test_a_lost_key_is_forgotten_everywhere_in_the_same_transaction(store: Store, street: Street) -> None:
    key = add_key(store, SYSTEM, UID, [Binding(KeyScope.EVERYWHERE)], NOW)
    deliver_all(store)
    lose_key(store, SYSTEM, key, "украден", NOW + 5)
    rows = panels_of_key(store, SYSTEM, key)
    assert {row.wanted for row in rows} == {False}
    assert {row.done_at for row in rows} == {None}
    assert {row.due_at for row in rows} == {NOW + 5}
    assert get_key(store, SYSTEM, key).lost_why == "украден"
    find_key_again(store, SYSTEM, key, NOW + 9)
    assert told(store, key) == {"100": True, "200": True, "300": True}
    assert get_key(store, SYSTEM, key).lost_at is None


def test_changed_bindings_change_what_panels_are_told(store: Store, street: Street) -> None:
    key = add_key(store, SYSTEM, UID, [flat(street.flat)], NOW)
    change_bindings(store, SYSTEM, key, NOW, add=[flat(street.flat_away)], remove=[flat(street.flat)])
    assert told(store, key) == {"100": False, "200": True, "300": True}


def test_a_row_that_is_being_told_stays_with_whoever_tells_it(store: Store, street: Street) -> None:
    key = add_key(store, SYSTEM, UID, [Binding(KeyScope.ENTRANCE, street.entrance)], NOW)
    with store.transaction() as connection:
        connection.execute(sa.update(table(KeyDelivery)).values(error=BEING_TOLD, due_at=NOW + 100, tries=1))
    lose_key(store, SYSTEM, key, "", NOW + 1)
    (row,) = panels_of_key(store, SYSTEM, key)
    assert (row.wanted, row.due_at, row.tries, row.error) == (False, NOW + 100, 1, BEING_TOLD)


def test_a_block_that_stops_keys_takes_them_away_and_its_end_gives_them_back(
    store: Store, street: Street
) -> None:
    stop_keys(store)
    key = add_key(store, SYSTEM, UID, [flat(street.flat)], NOW)
    block = street.houses.block(street.flat, BlockKind.DEBT, NOW + 10, NOW + 20)
    assert refresh_blocks(store, NOW, NOW + 9) == 0
    assert refresh_blocks(store, NOW + 9, NOW + 10) == 1
    assert told(store, key) == {"100": False, "300": False}
    assert refresh_blocks(store, NOW + 10, NOW + 20) == 1
    assert told(store, key) == {"100": True, "300": True}
    with store.transaction() as connection:
        connection.execute(
            sa.update(table(FlatBlock)).where(table(FlatBlock).c.id == block).values(until=None)
        )
        sync_flats(connection, [street.flat], NOW + 21)
    assert told(store, key) == {"100": False, "300": False}


def test_a_block_of_another_kind_stops_no_key(store: Store, street: Street) -> None:
    stop_keys(store)
    street.houses.block(street.flat, BlockKind.REQUEST, NOW - 1)
    assert told(store, add_key(store, SYSTEM, UID, [flat(street.flat)], NOW)) == {"100": True, "300": True}


def test_a_new_panel_learns_the_keys_of_its_entrance(store: Store, street: Street) -> None:
    key = add_key(store, SYSTEM, UID, [flat(street.flat)], NOW)
    everywhere = add_key(store, SYSTEM, "04A1B2C4", [Binding(KeyScope.EVERYWHERE)], NOW)
    new = street.houses.panel("400", street.entrance)
    with store.transaction() as connection:
        sync_panels(connection, [new], NOW)
    assert told(store, key)["400"] is told(store, everywhere)["400"] is True
    with store.transaction() as connection:
        connection.execute(
            sa.delete(table(DomophoneEntrance)).where(table(DomophoneEntrance).c.domophone_id == new)
        )
        sync_panels(connection, [new], NOW)
    assert told(store, key)["400"] is False
    assert told(store, everywhere)["400"] is True


def test_a_key_that_opens_everywhere_is_put_down_for_a_whole_fleet_at_once(
    store: Store, houses: Houses
) -> None:
    rows = [
        {"mac": f"{n:012x}", "sip_user": str(n), "ha1": "a" * 32, "vendor": Vendor.SOKOL} for n in range(2000)
    ]
    with store.transaction() as connection:
        connection.execute(sa.insert(table(Domophone)), rows)
    key = add_key(store, SYSTEM, UID, [Binding(KeyScope.EVERYWHERE)], NOW)
    with store.reading() as connection:
        count = sa.select(sa.func.count()).select_from(KeyDelivery).where(KeyDelivery.key_id == key)
        assert connection.scalar(count) == 2000


@pytest.mark.parametrize("uid", ["04A1B2C3", "4B00BC614E", "00BC614E", "BC614E", "04A1B2C3D4E5F6"])
def test_a_key_is_found_by_any_way_of_writing_it(store: Store, uid: str) -> None:
    key = add_key(store, SYSTEM, uid, [], NOW, format=KeyFormat.HEX)
    add_key(store, SYSTEM, "FFFFFFFF", [], NOW, format=KeyFormat.HEX)
    for format, text in written(uid).items():
        assert [each.id for each in find_keys(store, SYSTEM, text)] == [key], (format, text)
    assert [each.id for each in find_keys(store, SYSTEM, uid[:5].lower())] == [key]


def test_what_stands_on_a_key_finds_it_whatever_its_reader_told_of_it(store: Store) -> None:
    key = add_key(store, SYSTEM, "188,24910", [], NOW)
    assert get_key(store, SYSTEM, key).uid == "BC614E"
    for text in ("0012345678 188,24910", "0012345678", "00BC614E"):
        assert [each.id for each in find_keys(store, SYSTEM, text)] == [key]


def test_a_key_that_can_be_read_in_several_ways_asks_in_which(store: Store) -> None:
    with pytest.raises(Invalid, match="is no key"):
        add_key(store, SYSTEM, "what", [], NOW)
    with pytest.raises(Invalid, match="several ways") as caught:
        add_key(store, SYSTEM, "12345", [], NOW)
    assert "uid" in caught.value.errors
    add_key(store, SYSTEM, "0012345678", [], NOW, format=KeyFormat.DECIMAL)
    with pytest.raises(Conflict, match="00BC614E is known already"):
        add_key(store, SYSTEM, "00:BC:61:4E", [], NOW)


def test_nobody_sees_or_binds_keys_beyond_their_houses(store: Store, street: Street) -> None:
    anna = manager(street.house)
    away = add_key(store, SYSTEM, UID, [flat(street.flat_away)], NOW)
    near = add_key(store, anna, "04A1B2C4", [flat(street.flat)], NOW)
    assert [each.id for each in find_keys(store, anna, "04A1B2")] == [near]
    assert find_keys(store, anna, UID) == ()
    for act in (lambda: get_key(store, anna, away), lambda: lose_key(store, anna, away, "", NOW)):
        with pytest.raises(NotFound):
            act()
    with pytest.raises(Invalid, match="there is no flat"):
        change_bindings(store, anna, near, NOW, add=[flat(street.flat_away)])
    with pytest.raises(Forbidden):
        change_bindings(store, anna, near, NOW, add=[Binding(KeyScope.EVERYWHERE)])
    change_bindings(store, anna, near, NOW, add=[Binding(KeyScope.ENTRANCE, street.gate)])
    change_bindings(store, SYSTEM, near, NOW, add=[flat(street.flat_away)])
    seen = {binding for binding, _ in get_key(store, anna, near).bindings}
    assert seen == {flat(street.flat), Binding(KeyScope.ENTRANCE, street.gate)}
    with pytest.raises(Forbidden):
        add_key(store, anna, "04A1B2C5", [], NOW)


def test_who_only_sees_keys_changes_none(store: Store, street: Street) -> None:
    viewer = Who(
        "employee:8",
        "Boris",
        Rights({Right.KEYS_VIEW: EVERYWHERE, Right.KEYS_EDIT: Reach(houses=frozenset({1 << 30}))}),
    )
    key = add_key(store, SYSTEM, UID, [flat(street.flat)], NOW)
    with pytest.raises(Forbidden, match="may see this key, not change it"):
        lose_key(store, viewer, key, "", NOW)


def test_changes_are_noted_with_who_and_what(store: Store, street: Street) -> None:
    key = add_key(store, SYSTEM, UID, [flat(street.flat)], NOW)
    set_note(store, SYSTEM, key, "дубликат", NOW + 1)
    change_bindings(store, SYSTEM, key, NOW + 2, remove=[flat(street.flat)])
    lose_key(store, SYSTEM, key, "", NOW + 3)
    with store.reading() as connection:
        rows = connection.execute(sa.select(Change.action, Change.at, Change.after).order_by(Change.id)).all()
    assert [row[:2] for row in rows] == [
        ("create", NOW),
        ("update", NOW + 1),
        ("update", NOW + 2),
        ("lost", NOW + 3),
    ]
    assert f'["flat {street.flat}"]' in rows[0].after


def test_a_key_is_seen_at_a_panel_and_the_latest_time_stays(store: Store) -> None:
    key = add_key(store, SYSTEM, UID, [], NOW)
    assert key_seen(store, UID, "100", NOW + 5)
    assert not key_seen(store, UID, "200", NOW + 4)
    assert not key_seen(store, "FFFFFFFF", "200", NOW + 4)
    shown = get_key(store, SYSTEM, key)
    assert (shown.seen_at, shown.seen_by) == (NOW + 5, "100")


def test_the_keys_of_a_flat_are_listed_with_what_they_are_bound_to(store: Store, street: Street) -> None:
    keys = [add_key(store, SYSTEM, f"04A1B2C{n}", [flat(street.flat)], NOW) for n in range(3)]
    found = keys_bound_to(store, manager(street.house), flat(street.flat), after=keys[0])
    assert [each.id for each in found] == keys[1:]
    assert found[0].bindings == ((flat(street.flat), "ул. Ленина 1, 7"),)


def test_the_format_of_a_list_is_the_one_in_which_its_keys_are_known(store: Store) -> None:
    for uid in ("04A1B2C3", "04A1B2C4"):
        add_key(store, SYSTEM, uid, [], NOW)
    lines = ["C3B2A104", "C4B2A104", "C5B2A104", ""]
    shown = preview(store, SYSTEM, lines)
    assert [sorted(line.known) for line in shown] == [["04A1B2C3"], ["04A1B2C4"], []]
    assert guess_format(shown)[0].format is KeyFormat.HEX_REVERSED
    assert guess_format(preview(store, SYSTEM, ["0012345678", "0012345679"]))[0].format is KeyFormat.DECIMAL


def test_a_list_of_keys_is_imported_as_a_whole_or_not_at_all(store: Store, street: Street) -> None:
    known = add_key(store, SYSTEM, UID, [Binding(KeyScope.ENTRANCE, street.entrance)], NOW)
    lines = [
        (UID, [flat(street.flat)]),
        ("04A1B2C4", [flat(street.flat)]),
        ("04A1B2C4", [flat(street.flat_away)]),
    ]
    with pytest.raises(Invalid) as caught:
        import_keys(store, SYSTEM, [*lines, ("nothing", [])], KeyFormat.HEX, NOW)
    assert list(caught.value.errors) == ["4"]
    assert find_keys(store, SYSTEM, "04A1B2C4") == ()
    done = import_keys(store, SYSTEM, lines, KeyFormat.HEX, NOW)
    assert (done.added, done.known) == (1, 1)
    assert told(store, known) == {"100": True, "300": True}
    (new,) = find_keys(store, SYSTEM, "04A1B2C4")
    assert told(store, new.id) == {"100": True, "200": True, "300": True}
    assert import_keys(store, SYSTEM, lines, KeyFormat.HEX, NOW).added == 0


def test_a_manager_imports_keys_of_her_own_houses_only(store: Store, street: Street) -> None:
    anna = manager(street.house)
    with pytest.raises(Invalid, match="there is no flat"):
        import_keys(store, anna, [(UID, [flat(street.flat_away)])], KeyFormat.HEX, NOW)
    with pytest.raises(Invalid, match="bound to nothing that you see"):
        import_keys(store, anna, [(UID, [])], KeyFormat.HEX, NOW)
    assert import_keys(store, anna, [(UID, [flat(street.flat)])], KeyFormat.HEX, NOW).added == 1
