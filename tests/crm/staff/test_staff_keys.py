"""Keys of employees open what their groups reach: panels are told in the transaction that changes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import frozen

from crm.keys.keys import add_key, panels_of_key
from crm.keys.reach import Binding
from crm.rights import Reach, Right
from crm.staff.groups import change_group
from crm.staff.staff import change_employee, set_active
from crm.store import Store
from crm.tables.keys import KeyScope
from crm.who import SYSTEM
from tests.crm.employees import NOW, Employees, cheap
from tests.crm.houses import Houses

OPENS = [Right.DOORS_OPEN]


@frozen
class Crew:
    """Anna may open the doors of one house, by her group; she has a key."""

    store: Store
    anna: int
    group: int
    other_group: int
    key: int
    house: int
    other: int

    def told(self) -> dict[str, bool]:
        return {each.sip_user: each.wanted for each in panels_of_key(self.store, SYSTEM, self.key)}

    def put_into(self, *groups: int) -> None:
        change_employee(
            self.store, SYSTEM, self.anna, login="anna", name="Анна", language="ru", groups=groups, now=NOW
        )

    def give(self, rights: list[Right], house: int) -> None:
        change_group(self.store, SYSTEM, self.group, "crew", rights, Reach(houses=frozenset({house})), NOW)


@pytest.fixture
def crew(store: Store, houses: Houses) -> Crew:
    house, other = houses.house("1"), houses.house("2")
    houses.panel("100", houses.entrance("п. 1", house))
    houses.panel("200", houses.entrance("п. 1", other))
    employees = Employees(store, cheap())
    group = employees.group("crew", OPENS, Reach(houses=frozenset({house})))
    other_group = employees.group("other crew", OPENS, Reach(houses=frozenset({other})))
    anna = employees.add("anna", group)
    key = add_key(store, SYSTEM, "04A1B2C3", [Binding(KeyScope.EMPLOYEE, anna)], NOW)
    return Crew(store, anna, group, other_group, key, house, other)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda crew: set_active(crew.store, SYSTEM, crew.anna, False, NOW), {"100": False}),
        (lambda crew: crew.put_into(), {"100": False}),
        (lambda crew: crew.put_into(crew.other_group), {"100": False, "200": True}),
        (lambda crew: crew.give([Right.HOUSING_VIEW], crew.house), {"100": False}),
        (lambda crew: crew.give(OPENS, crew.other), {"100": False, "200": True}),
    ],
    ids=["deactivated", "in_no_group", "in_another_group", "without_the_right", "other_houses"],
)
def test_a_key_follows_what_its_employee_may_open(
    crew: Crew, change: Callable[[Crew], None], told: dict[str, bool]
) -> None:
    assert crew.told() == {"100": True}
    change(crew)
    assert crew.told() == told


def test_a_key_opens_again_when_its_employee_is_let_in_again(crew: Crew) -> None:
    set_active(crew.store, SYSTEM, crew.anna, False, NOW)
    set_active(crew.store, SYSTEM, crew.anna, True, NOW)
    assert crew.told() == {"100": True}
