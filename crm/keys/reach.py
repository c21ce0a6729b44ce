"""Whose keys somebody sees and may bind: what a key is bound to, by names, and within whose reach that is.

A key is seen by whoever sees one of the things that it is bound to; one that is bound to nothing, everywhere or to an
employee, by whoever has the right everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.model import Domophone, DomophoneEntrance, Entrance, Flat, House, HouseEntrance, table
from crm.rights import Reach, Right
from crm.tables.companies import Company
from crm.tables.keys import Key, KeyBinding, KeyScope
from crm.tables.people import Resident, ResidentFlat
from crm.tables.staff import Employee
from crm.who import Forbidden, Invalid, Who

_BINDINGS = table(KeyBinding)
_NAMES: Mapping[KeyScope, tuple[Any, Any]] = {
    KeyScope.COMPANY: (Company.id, Company.name),
    KeyScope.HOUSE: (House.id, House.street + " " + House.number),
    KeyScope.ENTRANCE: (Entrance.id, Entrance.name),
    KeyScope.FLAT: (Flat.id, House.street + " " + House.number + ", " + Flat.number),
    KeyScope.RESIDENT: (Resident.id, Resident.name),
    KeyScope.EMPLOYEE: (Employee.id, Employee.name),
}


@frozen
class Binding:
    """What a key is bound to: `ref_id` is the id of what `scope` names, 0 for everywhere."""

    scope: KeyScope
    ref_id: int = 0

    @property
    def text(self) -> str:
        """ "flat 7", as the history has it."""
        return self.scope.value if self.scope is KeyScope.EVERYWHERE else f"{self.scope.value} {self.ref_id}"


def seen_within(
    reach: Reach, scope: Any = _BINDINGS.c.scope, ref: Any = _BINDINGS.c.ref_id
) -> sa.ColumnElement[bool]:
    """The condition on a binding that what it is bound to is within reach."""
    if reach.everywhere:
        return sa.true()

    def near(of: sa.FromClause, on: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        # The offset keeps PostgreSQL from reading all flats of a city into a table of its own before the first key.
        some = sa.select(sa.literal(1)).select_from(of).where(on, reach.of_houses()).offset(0)
        return some.correlate(_BINDINGS).exists()

    return sa.or_(*(sa.and_(scope == each, near(of, on)) for each, (of, on) in _places(ref).items()))


def keys_within(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on Key that it is bound to something within reach, for lists.

    In a city each key is asked for as the list comes to it; of a few houses all keys are gathered first.
    """
    if reach.everywhere:
        return sa.true()
    if reach.cities:
        return key_within(reach)
    key, ref, scope = _BINDINGS.c.key_id, _BINDINGS.c.ref_id, _BINDINGS.c.scope
    within = [
        sa.select(key).select_from(_BINDINGS.join(of, on)).where(scope == each, reach.of_houses())
        for each, (of, on) in _places(ref).items()
    ]
    return Key.id.in_(sa.union(*within))


def key_within(reach: Reach) -> sa.ColumnElement[bool]:
    """The same where few keys are asked for: each by itself."""
    if reach.everywhere:
        return sa.true()
    return sa.exists().where(_BINDINGS.c.key_id == Key.id, seen_within(reach)).correlate(table(Key))


def panels_within(reach: Reach) -> sa.ColumnElement[bool]:
    """The condition on a panel that it serves a house within reach."""
    served = (
        sa.select(DomophoneEntrance.domophone_id)
        .join(HouseEntrance, HouseEntrance.entrance_id == DomophoneEntrance.entrance_id)
        .join(House, House.id == HouseEntrance.house_id)
    )
    return Domophone.id.in_(served.where(reach.of_houses()))


def check_bindings(connection: sa.Connection, who: Who, bindings: Iterable[Binding]) -> None:
    """Raises Invalid: something that is not there, or not within sight; Forbidden: it is further than `who` may bind."""
    reach = who.rights.reach(Right.KEYS_EDIT)
    for each in bindings:
        if each.scope is KeyScope.EVERYWHERE:
            who.need_everywhere(Right.KEYS_EDIT)
            if each.ref_id:
                raise Invalid(
                    {"bindings": f"a key that opens everywhere is bound to nothing, not to {each.ref_id}"}
                )
            continue
        id, _ = _NAMES[each.scope]
        if connection.scalar(sa.select(id).where(id == each.ref_id)) is None:
            raise Invalid({"bindings": f"there is no {each.scope.value} {each.ref_id}"})
        if reach.everywhere:
            continue
        if each.scope is KeyScope.EMPLOYEE:
            raise Forbidden(
                f"{who.name} may not bind keys to employees: this needs the right keys.edit everywhere"
            )
        scope = sa.literal(each.scope, _BINDINGS.c.scope.type)
        near = connection.scalar(sa.select(seen_within(reach, scope, sa.literal(each.ref_id))))
        if not near:
            raise Invalid({"bindings": f"there is no {each.scope.value} {each.ref_id}"})
        if each.scope is KeyScope.COMPANY and _has_houses_beyond(connection, reach, each.ref_id):
            raise Forbidden(f"company {each.ref_id} has houses where {who.name} may not bind keys")


def titles(connection: sa.Connection, bindings: Iterable[Binding]) -> dict[Binding, str]:
    """What each is called ("ул. Ленина 5, 42"); "" for everywhere, and for what is gone."""
    wanted = set(bindings)
    found = dict.fromkeys(wanted, "")
    for scope, (id, name) in _NAMES.items():
        ids = sorted(each.ref_id for each in wanted if each.scope is scope)
        if not ids:
            continue
        query = sa.select(id, name).where(id.in_(ids))
        if scope is KeyScope.FLAT:
            query = query.join(House, House.id == Flat.house_id)
        for ref_id, title in connection.execute(query):
            found[Binding(scope, ref_id)] = title
    return found


def _places(ref: Any) -> dict[KeyScope, tuple[sa.FromClause, sa.ColumnElement[bool]]]:
    """By what a key is bound to: its houses, as what to join, and on what."""
    house, flat, lives = table(House), table(Flat), table(ResidentFlat)
    flats = flat.join(house, house.c.id == flat.c.house_id)
    doors = table(HouseEntrance).join(house, house.c.id == HouseEntrance.house_id)
    return {
        KeyScope.HOUSE: (house, house.c.id == ref),
        KeyScope.COMPANY: (house, house.c.company_id == ref),
        KeyScope.ENTRANCE: (doors, HouseEntrance.entrance_id == ref),
        KeyScope.FLAT: (flats, flat.c.id == ref),
        KeyScope.RESIDENT: (flats.join(lives, lives.c.flat_id == flat.c.id), lives.c.resident_id == ref),
    }


def _has_houses_beyond(connection: sa.Connection, reach: Reach, company_id: int) -> bool:
    beyond = sa.select(House.id).where(House.company_id == company_id, sa.not_(reach.of_houses()))
    return company_id not in reach.companies and connection.scalar(beyond.limit(1)) is not None
