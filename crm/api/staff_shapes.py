"""The JSON of what makes and changes employees, groups and tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from crm.api.shapes import ID, moment
from crm.rights import Reach, Right
from crm.staff.groups import Group
from crm.staff.staff import Employee

Login = Annotated[str, Meta(min_length=2, max_length=64, examples=["petrov"])]
Name = Annotated[str, Meta(min_length=1, max_length=100, examples=["Пётр Петров"])]
Secret = Annotated[
    str,
    Meta(min_length=1, max_length=200, description="never given again", examples=["копейка рубль бережёт"]),
]
Groups = Annotated[list[ID], Meta(max_length=100, description="ids of groups")]
Language = Literal["ru", "en"]
Ids = Annotated[list[ID], Meta(max_length=10_000)]


class NewEmployee(Struct, kw_only=True, forbid_unknown_fields=True):
    """What makes an employee."""

    login: Login
    name: Name
    password: Secret
    groups: Groups = []
    language: Language = "ru"


class EmployeeChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """What changes an employee: any of it. `active` false ends all of his sessions."""

    login: Login | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    groups: Groups | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class NewPassword(Struct, kw_only=True, forbid_unknown_fields=True):
    """A new password of an employee; it ends all of his sessions."""

    password: Secret


class EmployeeShape(Struct, kw_only=True):
    """An employee, as staff sees him."""

    id: ID
    login: str
    name: str
    language: str
    active: bool
    second_factor: bool
    groups: list[int]
    locked_until: Annotated[datetime | None, Meta(description="the account is locked until then")]


class GroupReach(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a group's rights hold: everywhere, or within these."""

    everywhere: bool = False
    cities: Ids = []
    companies: Ids = []
    houses: Ids = []


class NewGroup(Struct, kw_only=True, forbid_unknown_fields=True):
    """What makes a group, or is put in its place."""

    name: Name
    rights: list[Right]
    reach: GroupReach


class GroupShape(Struct, kw_only=True):
    """A group."""

    id: ID
    name: str
    rights: list[Right]
    reach: GroupReach
    members: int


class NewToken(Struct, kw_only=True, forbid_unknown_fields=True):
    """What makes a token. `group_id`: its rights hold within this group's reach; null: everywhere."""

    name: Annotated[
        str, Meta(min_length=1, max_length=100, description="which program it is for", examples=["billing"])
    ]
    rights: list[Right]
    group_id: ID | None = None
    expires_at: Annotated[datetime, Meta(tz=True, description="two years from now at most")]


class MadeToken(Struct, kw_only=True):
    """A new token: `token` is given this once."""

    id: ID
    token: Annotated[str, Meta(description="for the Authorization header: Bearer td_…")]


def employee_shape(employee: Employee, locked_until: float | None) -> EmployeeShape:
    return EmployeeShape(
        id=employee.id,
        login=employee.login,
        name=employee.name,
        language=employee.language,
        active=employee.active,
        second_factor=employee.totp_on,
        groups=list(employee.groups),
        locked_until=moment(locked_until),
    )


def group_shape(group: Group) -> GroupShape:
    reach = GroupReach(
        everywhere=group.reach.everywhere,
        cities=sorted(group.reach.cities),
        companies=sorted(group.reach.companies),
        houses=sorted(group.reach.houses),
    )
    rights = [right for right in Right if right in group.rights]
    return GroupShape(id=group.id, name=group.name, rights=rights, reach=reach, members=group.members)


def reach_of(given: GroupReach) -> Reach:
    return Reach(
        given.everywhere, frozenset(given.cities), frozenset(given.companies), frozenset(given.houses)
    )
