"""Groups: named sets of rights, everywhere or within cities, companies and houses; and who may hand them out.

Groups hang on no house, so they are kept by who has STAFF_EDIT everywhere. Even he gives away nothing that he does not
have himself: a right that he holds within one city he can give within that city. Nor can he change who has more than
he: a new password for an administrator would make him one. One active employee with all rights everywhere, an
administrator, always remains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.keys.panels import sync_employees
from crm.model import City, House, table
from crm.rights import EVERYWHERE, NOWHERE, Reach, Right, Rights, format_rights, parse_rights
from crm.store import Store
from crm.tables.companies import Company
from crm.tables.staff import ApiToken, Employee, EmployeeGroup, GroupCity, GroupCompany, GroupHouse
from crm.tables.staff import Group as GroupRow
from crm.who import Conflict, Forbidden, Invalid, NotFound, Who

_GROUPS, _MEMBERS, _EMPLOYEES, _TOKENS = (
    table(GroupRow),
    table(EmployeeGroup),
    table(Employee),
    table(ApiToken),
)
_REACHES = {
    "cities": (table(GroupCity), "city_id", table(City)),
    "companies": (table(GroupCompany), "company_id", table(Company)),
    "houses": (table(GroupHouse), "house_id", table(House)),
}
ADMINISTRATORS = "Administrators"
NAME_LENGTH = 100


@frozen
class Group:
    """A group as it stands; `members` counts its employees, the inactive ones too."""

    id: int
    name: str
    rights: frozenset[Right]
    reach: Reach
    members: int


# --- looking -------------------------------------------------------------------------------------------------------


def find_groups(store: Store, who: Who) -> list[Group]:
    """All groups, by name. Raises Forbidden."""
    who.need_everywhere(Right.STAFF_VIEW)
    with store.reading() as connection:
        return sorted(read_groups(connection).values(), key=lambda group: group.name.casefold())


def get_group(store: Store, who: Who, id: int) -> Group:
    """Raises Forbidden, NotFound."""
    who.need_everywhere(Right.STAFF_VIEW)
    with store.reading() as connection:
        return read_group(connection, id)


def read_group(connection: sa.Connection, id: int) -> Group:
    """One group. Raises NotFound."""
    found = read_groups(connection, [id]).get(id) if 0 < id < 2**31 else None
    if not found:
        raise NotFound(f"there is no group {id}")
    return found


def read_groups(connection: sa.Connection, ids: Iterable[int] | None = None) -> Mapping[int, Group]:
    """The groups of these ids (default: all) by id; one that is not there is left out."""
    members = (
        sa.select(sa.func.count()).where(_MEMBERS.c.group_id == _GROUPS.c.id).correlate(_GROUPS)
    ).scalar_subquery()
    rows = sa.select(_GROUPS.c.id, _GROUPS.c.name, _GROUPS.c.rights, _GROUPS.c.everywhere, members)
    chosen = None if ids is None else sorted(ids)
    if chosen is not None:
        rows = rows.where(_GROUPS.c.id.in_(chosen))
    found = connection.execute(rows).all()
    parts: dict[str, dict[int, set[int]]] = {}
    bounded = [row.id for row in found if not row.everywhere]
    for name, (part, column, _) in _REACHES.items():
        parts[name] = {}
        if bounded:
            reaches = sa.select(part.c.group_id, part.c[column]).where(part.c.group_id.in_(bounded))
            for group, id in connection.execute(reaches):
                parts[name].setdefault(group, set()).add(id)

    def reach(id: int) -> Reach:
        return Reach(False, *(frozenset(parts[name].get(id, ())) for name in _REACHES))

    return {
        row.id: Group(
            row.id,
            row.name,
            parse_rights(row.rights),
            EVERYWHERE if row.everywhere else reach(row.id),
            row[-1],
        )
        for row in found
    }


def rights_of(connection: sa.Connection, employee_id: int) -> Rights:
    """All that an employee's groups give."""
    ids = sa.select(_MEMBERS.c.group_id).where(_MEMBERS.c.employee_id == employee_id)
    groups = read_groups(connection, connection.execute(ids).scalars())
    return Rights.of_groups((group.rights, group.reach) for group in groups.values())


# --- changing ------------------------------------------------------------------------------------------------------


def create_group(store: Store, who: Who, name: str, rights: Iterable[Right], reach: Reach, now: float) -> int:
    """A new group; its id. Raises Forbidden, Invalid, Conflict (the name is taken)."""
    who.need_everywhere(Right.STAFF_EDIT)
    with store.transaction() as connection:
        return add_group(connection, who, name, rights, reach, now)


def add_group(
    connection: sa.Connection, who: Who, name: str, rights: Iterable[Right], reach: Reach, now: float
) -> int:
    """The same within a transaction."""
    keep_staff_alone(connection)
    chosen = frozenset(rights)
    name = _checked(connection, name, reach)
    need_to_give(connection, who, dict.fromkeys(chosen, reach))
    id = connection.execute(
        sa.insert(_GROUPS)
        .values(name=name, rights=format_rights(chosen), everywhere=reach.everywhere)
        .returning(_GROUPS.c.id)
    ).scalar_one()
    _write_reach(connection, id, reach)
    group = Group(id, name, chosen, reach, 0)
    note_change(connection, who, "group", id, "create", after=_noted(group), at=now)
    return int(id)


def change_group(
    store: Store, who: Who, id: int, name: str, rights: Iterable[Right], reach: Reach, now: float
) -> None:
    """Raises Forbidden (also: it gives, before or after, more than he has), NotFound, Invalid, Conflict."""
    who.need_everywhere(Right.STAFF_EDIT)
    with store.transaction() as connection:
        keep_staff_alone(connection)
        before = read_group(connection, id)
        chosen = frozenset(rights)
        name = _checked(connection, name, reach, id)
        tokens = frozenset().union(*(parse_rights(text) for text in _tokens_of(connection, id, now)))
        need_to_give(connection, who, dict.fromkeys(before.rights | tokens, before.reach))
        need_to_give(connection, who, dict.fromkeys(chosen | tokens, reach))
        had_one = has_administrator(connection)
        connection.execute(
            sa.update(_GROUPS)
            .where(_GROUPS.c.id == id)
            .values(name=name, rights=format_rights(chosen), everywhere=reach.everywhere)
        )
        _write_reach(connection, id, reach)
        members = sa.select(_MEMBERS.c.employee_id).where(_MEMBERS.c.group_id == id)
        sync_employees(connection, connection.scalars(members).all(), now)
        if had_one:
            need_administrator(connection)
        after = Group(id, name, chosen, reach, before.members)
        note_change(connection, who, "group", id, "update", _noted(before), _noted(after), at=now)


def delete_group(store: Store, who: Who, id: int, now: float) -> None:
    """Raises Forbidden, NotFound, Conflict (somebody is in it, or a token lasts that is bounded by it)."""
    who.need_everywhere(Right.STAFF_EDIT)
    with store.transaction() as connection:
        keep_staff_alone(connection)
        group = read_group(connection, id)
        need_to_give(connection, who, dict.fromkeys(group.rights, group.reach))
        if group.members:
            raise Conflict(f"{group.members} employees are in group {group.name}: take them out of it first")
        if _tokens_of(connection, id, now):
            raise Conflict(f"tokens are bounded by group {group.name}: revoke them first")
        connection.execute(sa.delete(_GROUPS).where(_GROUPS.c.id == id))
        note_change(connection, who, "group", id, "delete", before=_noted(group), at=now)


def administrators(connection: sa.Connection, now: float, who: Who) -> int:
    """The id of a group with all rights everywhere: one that is there, or a new one."""
    groups = read_groups(connection)
    for group in groups.values():
        if group.reach.everywhere and group.rights == frozenset(Right):
            return group.id
    taken = {group.name for group in groups.values()}
    # One of this name that has less stays as it is: its members would get more.
    name = next(name for name in _numbered(ADMINISTRATORS) if name not in taken)
    return add_group(connection, who, name, Right, EVERYWHERE, now)


# --- rules ---------------------------------------------------------------------------------------------------------


def keep_staff_alone(connection: sa.Connection) -> None:
    """Until the end of this transaction nobody else changes staff: what is checked here is still so when it ends."""
    everybody = sa.select(_EMPLOYEES.c.id).order_by(_EMPLOYEES.c.id)
    connection.execute(everybody.with_for_update(key_share=True)).all()


def need_to_give(connection: sa.Connection, who: Who, given: Mapping[Right, Reach]) -> None:
    """Raises Forbidden: `who` does not have all of it himself."""
    missing = [
        right for right, reach in given.items() if not _covers(connection, who.rights.reach(right), reach)
    ]
    if missing:
        raise Forbidden(
            f"{who.name} does not have, or not as far as this reaches: {format_rights(missing)}; nobody gives, takes "
            "or changes more than that: ask somebody who has it"
        )


def has_administrator(connection: sa.Connection) -> bool:
    """Whether an active employee has all rights everywhere."""
    members = sa.select(_MEMBERS.c.employee_id, _GROUPS.c.rights).join(
        _GROUPS, _GROUPS.c.id == _MEMBERS.c.group_id
    )
    active = members.join(_EMPLOYEES, _EMPLOYEES.c.id == _MEMBERS.c.employee_id).where(
        _EMPLOYEES.c.active == sa.true(), _GROUPS.c.everywhere == sa.true()
    )
    rights: dict[int, frozenset[Right]] = {}
    for employee, text in connection.execute(active):
        rights[employee] = rights.get(employee, frozenset()) | parse_rights(text)
    return any(each == frozenset(Right) for each in rights.values())


def need_administrator(connection: sa.Connection) -> None:
    """Raises Conflict: by what was done in this transaction nobody would be an administrator any more."""
    if not has_administrator(connection):
        raise Conflict(
            "nobody would be left who may do everything: make somebody else an administrator first"
        )


def _covers(connection: sa.Connection, own: Reach, other: Reach) -> bool:
    if own.everywhere:
        return True
    if other.everywhere or other.cities - own.cities or other.companies - own.companies:
        return False
    houses = other.houses - own.houses
    if not houses:
        return True
    within = sa.select(sa.func.count()).select_from(House).where(House.id.in_(houses), own.of_houses())
    return connection.execute(within).scalar_one() == len(houses)


def _checked(connection: sa.Connection, name: str, reach: Reach, id: int = 0) -> str:
    """The name, trimmed. Raises Invalid, Conflict."""
    errors: dict[str, str] = {}
    name = " ".join(name.split())
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        errors["name"] = f"a name of 1 to {NAME_LENGTH} characters is needed"
    if reach == NOWHERE:
        errors["reach"] = "choose where it holds: everywhere, or cities, companies or houses"
    for part, (_, _, of) in _REACHES.items():
        chosen: frozenset[int] = getattr(reach, part)
        there = sa.select(sa.func.count()).where(of.c.id.in_(chosen))
        if chosen and connection.execute(there).scalar_one() != len(chosen):
            errors[part] = "some of them are not there any more"
    if errors:
        raise Invalid(errors)
    if connection.execute(sa.select(_GROUPS.c.id).where(_GROUPS.c.name == name, _GROUPS.c.id != id)).first():
        raise Conflict(f"there is a group {name} already: take another name")
    return name


def _write_reach(connection: sa.Connection, id: int, reach: Reach) -> None:
    for part, (of, column, _) in _REACHES.items():
        connection.execute(sa.delete(of).where(of.c.group_id == id))
        chosen: frozenset[int] = getattr(reach, part)
        if chosen and not reach.everywhere:
            connection.execute(sa.insert(of), [{"group_id": id, column: each} for each in sorted(chosen)])


def _tokens_of(connection: sa.Connection, id: int, now: float) -> list[str]:
    lasting = sa.and_(_TOKENS.c.group_id == id, _TOKENS.c.revoked_at.is_(None), _TOKENS.c.expires_at > now)
    return list(connection.execute(sa.select(_TOKENS.c.rights).where(lasting)).scalars())


def _noted(group: Group) -> dict[str, object]:
    parts = {part: sorted(getattr(group.reach, part)) for part in _REACHES}
    return {
        "name": group.name,
        "rights": format_rights(group.rights),
        "everywhere": group.reach.everywhere,
        **{part: ids for part, ids in parts.items() if not group.reach.everywhere},
    }


def _numbered(name: str) -> Iterable[str]:
    yield name
    number = 2
    while True:
        yield f"{name} {number}"
        number += 1
