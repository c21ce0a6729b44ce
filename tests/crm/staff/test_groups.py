"""Groups: rights and how far they reach; nobody gives away what he does not have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from crm.rights import EVERYWHERE, NOWHERE, Reach, Right
from crm.staff.groups import change_group, create_group, delete_group, find_groups, get_group
from crm.staff.staff import change_employee, create_admin, find_employees, set_active
from crm.staff.tokens import create_token, revoke_token
from crm.store import Store
from crm.who import SYSTEM, Conflict, Forbidden, Invalid, NotFound, Who
from tests.crm.employees import NOW, PASSWORD, Employees, cheap
from tests.crm.houses import Houses

KEEPER = [Right.STAFF_VIEW, Right.STAFF_EDIT]
CALLS = [Right.CALLS_VIEW]


@pytest.fixture
def staff(store: Store) -> Employees:
    return Employees(store, cheap())


def keeper(staff: Employees, rights: list[Right], reach: Reach) -> Who:
    """Keeps the staff everywhere, and has these rights within this reach."""
    keepers, own = staff.group("Keepers", KEEPER), staff.group("Own", rights, reach)
    return staff.who(staff.add("petr", keepers, own))


def test_a_group_is_found_as_it_was_made(staff: Employees, houses: Houses) -> None:
    first, second = houses.house("1"), houses.house("2")
    reach = Reach(cities=frozenset({houses.city}), houses=frozenset({first, second}))
    id = create_group(staff.store, SYSTEM, "  Support   team ", [Right.KEYS_VIEW, *CALLS], reach, NOW)
    group = get_group(staff.store, SYSTEM, id)
    assert (group.name, group.rights, group.reach, group.members) == (
        "Support team",
        frozenset({Right.CALLS_VIEW, Right.KEYS_VIEW}),
        reach,
        0,
    )
    assert [each.name for each in find_groups(staff.store, SYSTEM)] == ["Administrators", "Support team"]


def test_a_changed_group_holds_for_its_employees_at_once_and_is_in_the_history(
    staff: Employees, houses: Houses
) -> None:
    city = Reach(cities=frozenset({houses.city}))
    id = staff.group("Support", CALLS)
    ivan = staff.add("ivan", id)
    change_group(staff.store, SYSTEM, id, "Support", [Right.KEYS_VIEW], city, NOW)
    assert dict(staff.who(ivan).rights.reaches) == {Right.KEYS_VIEW: city}
    assert staff.changes()[-1] == (
        "system",
        "group",
        id,
        "update",
        '{"rights":"calls.view","everywhere":true}',
        f'{{"rights":"keys.view","everywhere":false,"cities":[{houses.city}],"companies":[],"houses":[]}}',
    )


def test_rights_within_a_city_are_given_within_it_and_no_further(staff: Employees, houses: Houses) -> None:
    inside = houses.house("1")
    who = keeper(staff, CALLS, Reach(cities=frozenset({houses.city})))
    create_group(staff.store, who, "City", CALLS, Reach(cities=frozenset({houses.city})), NOW)
    create_group(staff.store, who, "House", CALLS, Reach(houses=frozenset({inside})), NOW)
    for rights, reach in (
        (CALLS, EVERYWHERE),
        ([Right.CALLS_LISTEN], Reach(houses=frozenset({inside}))),
        ([*CALLS, Right.DOORS_OPEN], Reach(cities=frozenset({houses.city}))),
    ):
        with pytest.raises(Forbidden, match="does not have"):
            create_group(staff.store, who, "More", rights, reach, NOW)


def test_a_house_elsewhere_is_out_of_reach(staff: Employees, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    who = keeper(staff, CALLS, Reach(houses=frozenset({mine})))
    create_group(staff.store, who, "Mine", CALLS, Reach(houses=frozenset({mine})), NOW)
    for reach in (
        Reach(houses=frozenset({other})),
        Reach(houses=frozenset({mine, other})),
        Reach(cities=frozenset({houses.city})),
    ):
        with pytest.raises(Forbidden, match=r"calls\.view"):
            create_group(staff.store, who, "More", CALLS, reach, NOW)


def test_a_group_that_has_more_is_neither_taken_down_nor_deleted(staff: Employees) -> None:
    doors = staff.group("Doors", [Right.DOORS_OPEN])
    who = keeper(staff, CALLS, EVERYWHERE)
    with pytest.raises(Forbidden, match=r"doors\.open"):
        change_group(staff.store, who, doors, "Doors", CALLS, EVERYWHERE, NOW)
    with pytest.raises(Forbidden, match=r"doors\.open"):
        delete_group(staff.store, who, doors, NOW)


def test_keeping_the_staff_within_a_city_is_not_enough(staff: Employees, houses: Houses) -> None:
    bounded = staff.group("Bounded", list(Right), Reach(cities=frozenset({houses.city})))
    who = staff.who(staff.add("petr", bounded))
    for forbidden in (
        lambda: find_groups(staff.store, who),
        lambda: get_group(staff.store, who, bounded),
        lambda: create_group(staff.store, who, "x", [], Reach(cities=frozenset({houses.city})), NOW),
        lambda: change_group(staff.store, who, bounded, "x", [], EVERYWHERE, NOW),
        lambda: delete_group(staff.store, who, bounded, NOW),
    ):
        with pytest.raises(Forbidden, match="everywhere"):
            forbidden()


def test_the_administrators_group_cannot_be_taken_down_while_it_is_the_only_one(
    staff: Employees, houses: Houses
) -> None:
    (admins,) = find_groups(staff.store, SYSTEM)
    fewer = set(Right) - {Right.DOORS_OPEN}
    for rights, reach in ((fewer, EVERYWHERE), (set(Right), Reach(cities=frozenset({houses.city})))):
        with pytest.raises(Conflict, match="nobody would be left"):
            change_group(staff.store, SYSTEM, admins.id, admins.name, rights, reach, NOW)
    assert get_group(staff.store, SYSTEM, admins.id) == admins
    change_group(staff.store, SYSTEM, admins.id, "Админы", admins.rights, admins.reach, NOW)


def test_rights_of_several_groups_together_make_an_administrator(staff: Employees) -> None:
    (admins,) = find_groups(staff.store, SYSTEM)
    rest = set(Right) - {Right.DOORS_OPEN}
    groups = [staff.group("Doors", [Right.DOORS_OPEN]), staff.group("Rest", rest)]
    staff.add("second", *groups)
    change_group(staff.store, SYSTEM, admins.id, admins.name, CALLS, EVERYWHERE, NOW)
    with pytest.raises(Conflict, match="nobody would be left"):
        change_group(staff.store, SYSTEM, groups[0], "Doors", [], EVERYWHERE, NOW)


def test_a_group_with_employees_or_lasting_tokens_is_not_deleted(staff: Employees) -> None:
    id = staff.group("Support", CALLS)
    ivan = staff.add("ivan", id)
    with pytest.raises(Conflict, match="take them out"):
        delete_group(staff.store, SYSTEM, id, NOW)
    change_employee(staff.store, SYSTEM, ivan, login="ivan", name="I", language="ru", groups=[], now=NOW)
    token = create_token(staff.store, SYSTEM, "billing", CALLS, id, NOW + 100, NOW)
    with pytest.raises(Conflict, match="revoke them"):
        delete_group(staff.store, SYSTEM, id, NOW)
    revoke_token(staff.store, SYSTEM, token.id, NOW)
    delete_group(staff.store, SYSTEM, id, NOW)
    with pytest.raises(NotFound, match=f"no group {id}"):
        get_group(staff.store, SYSTEM, id)
    assert staff.changes()[-1][3] == "delete"


def test_a_group_needs_a_name_of_its_own_and_a_reach_that_is_there(staff: Employees, houses: Houses) -> None:
    for name, reach, wrong in (
        (" ", EVERYWHERE, "name"),
        ("x" * 101, EVERYWHERE, "name"),
        ("x", NOWHERE, "reach"),
        ("x", Reach(cities=frozenset({houses.city, 99})), "cities"),
        ("x", Reach(companies=frozenset({99})), "companies"),
        ("x", Reach(houses=frozenset({99})), "houses"),
    ):
        with pytest.raises(Invalid) as caught:
            create_group(staff.store, SYSTEM, name, CALLS, reach, NOW)
        assert set(caught.value.errors) == {wrong}
    staff.group("Support", CALLS)
    other = staff.group("Other", CALLS)
    with pytest.raises(Conflict, match="Support already"):
        staff.group("Support", CALLS)
    with pytest.raises(Conflict, match="Support already"):
        change_group(staff.store, SYSTEM, other, "Support", CALLS, EVERYWHERE, NOW)


def test_two_administrators_who_take_each_other_down_at_once_leave_one(staff: Employees) -> None:
    second = create_admin(staff.store, staff.passwords, "second", "Second", PASSWORD, NOW)
    root = staff.id("root")
    pairs = [(staff.who(root), second), (staff.who(second), root)]
    together = Barrier(2)

    def take_down(pair: tuple[Who, int]) -> bool:
        together.wait()
        try:
            set_active(staff.store, pair[0], pair[1], False, NOW)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take_down, pairs)) == [False, True]
    assert len(find_employees(staff.store, SYSTEM, active=True)) == 1
