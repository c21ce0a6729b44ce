"""Employees, groups, tokens: what the pages do to them. One's own profile is nothing for a program."""

from __future__ import annotations

from typing import Any

from litestar import Response, delete, get, patch, post, put
from litestar.params import JSONBody
from msgspec import UNSET

from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.api.records import PATH_ID
from crm.api.staff_shapes import (
    EmployeeChange,
    EmployeeShape,
    GroupShape,
    MadeToken,
    NewEmployee,
    NewGroup,
    NewPassword,
    NewToken,
    employee_shape,
    group_shape,
    reach_of,
)
from crm.site import site_of
from crm.staff import groups, staff
from crm.staff.groups import change_group, create_group, delete_group, get_group
from crm.staff.passwords import Passwords
from crm.staff.sessions import revoke_sessions
from crm.staff.tokens import create_token, revoke_token


def _about(id: str, summary: str, tag: str, *statuses: int) -> dict[str, Any]:
    return {
        "sync_to_thread": True,
        "operation_id": id,
        "summary": f"{tag}: {summary}",
        "tags": [tag],
        "responses": problems(404, 409, 422, *statuses),
    }


def _passwords(request: Asked) -> Passwords:
    passwords: Passwords = site_of(request).parts["passwords"]
    return passwords


# --- employees -----------------------------------------------------------------------------------------------------


@post("/employees", **_about("create_employees", "make one", "Employees"))
def create_employee(request: Asked, data: JSONBody[NewEmployee]) -> Response[EmployeeShape]:
    site, who = site_of(request), request.user

    def make() -> EmployeeShape:
        id = staff.create_employee(
            site.store,
            who,
            _passwords(request),
            data.login,
            data.name,
            data.password,
            data.groups,
            site.now(),
            language=data.language,
        )
        return employee_shape(staff.get_self(site.store, id), None)

    return once(request, data, make)


@get(
    "/employees/{id:int}/access",
    **_about("read_access_of_employee", "groups, lock, second factor", "Employees"),
)
def read_access(request: Asked, id: PATH_ID) -> EmployeeShape:
    site, who = site_of(request), request.user
    found = staff.get_employee(site.store, who, id)
    return employee_shape(found, staff.employee_locked_until(site.store, who, id, site.now()))


@patch("/employees/{id:int}", **_about("change_employees", "change one", "Employees"))
def change_employee(request: Asked, id: PATH_ID, data: JSONBody[EmployeeChange]) -> EmployeeShape:
    site, who = site_of(request), request.user
    before = staff.get_employee(site.store, who, id)
    if any(each is not UNSET for each in (data.login, data.name, data.groups, data.language)):
        staff.change_employee(
            site.store,
            who,
            id,
            login=before.login if data.login is UNSET else data.login,
            name=before.name if data.name is UNSET else data.name,
            language=before.language if data.language is UNSET else data.language,
            groups=before.groups if data.groups is UNSET else data.groups,
            now=site.now(),
        )
    if data.active is not UNSET:
        staff.set_active(site.store, who, id, data.active, site.now())
    return employee_shape(
        staff.get_employee(site.store, who, id), staff.employee_locked_until(site.store, who, id, site.now())
    )


@put(
    "/employees/{id:int}/password",
    status_code=204,
    **_about("put_password_of_employee", "a new password; all sessions end", "Employees"),
)
def put_password(request: Asked, id: PATH_ID, data: JSONBody[NewPassword]) -> None:
    site = site_of(request)
    staff.set_password(site.store, request.user, _passwords(request), id, data.password, site.now())


@post(
    "/employees/{id:int}/unlock",
    status_code=204,
    **_about("unlock_employee", "let one try again to sign in", "Employees"),
)
def unlock(request: Asked, id: PATH_ID) -> None:
    site = site_of(request)
    staff.unlock(site.store, request.user, id, site.now())


@delete(
    "/employees/{id:int}/second-factor",
    **_about("reset_second_factor_of_employee", "reset the second factor", "Employees"),
)
def reset_second_factor(request: Asked, id: PATH_ID) -> None:
    site = site_of(request)
    staff.reset_second_factor(site.store, request.user, id, site.now())


@delete("/employees/{id:int}/sessions", **_about("end_sessions_of_employee", "end all sessions", "Employees"))
def end_sessions(request: Asked, id: PATH_ID) -> None:
    site = site_of(request)
    staff.get_employee(site.store, request.user, id)
    revoke_sessions(site.store, request.user, id, site.now())


# --- groups --------------------------------------------------------------------------------------------------------


@post("/groups", **_about("create_groups", "make one", "Groups"))
def make_group(request: Asked, data: JSONBody[NewGroup]) -> Response[GroupShape]:
    site, who = site_of(request), request.user

    def make() -> GroupShape:
        rights, reach = frozenset(data.rights), reach_of(data.reach)
        id = create_group(site.store, who, data.name, rights, reach, site.now())
        with site.store.reading() as connection:
            return group_shape(groups.read_group(connection, id))

    return once(request, data, make)


@get("/groups/{id:int}/access", **_about("read_access_of_group", "its rights, and where they hold", "Groups"))
def read_group(request: Asked, id: PATH_ID) -> GroupShape:
    return group_shape(get_group(site_of(request).store, request.user, id))


@put("/groups/{id:int}", **_about("put_groups", "put another in its place", "Groups"))
def put_group(request: Asked, id: PATH_ID, data: JSONBody[NewGroup]) -> GroupShape:
    site, who = site_of(request), request.user
    change_group(site.store, who, id, data.name, frozenset(data.rights), reach_of(data.reach), site.now())
    return group_shape(get_group(site.store, who, id))


@delete("/groups/{id:int}", **_about("delete_groups", "delete one", "Groups"))
def remove_group(request: Asked, id: PATH_ID) -> None:
    site = site_of(request)
    delete_group(site.store, request.user, id, site.now())


# --- tokens --------------------------------------------------------------------------------------------------------


@post("/tokens", **_about("create_tokens", "make one", "Tokens"))
def make_token(request: Asked, data: JSONBody[NewToken]) -> MadeToken:
    """It takes no Idempotency-Key: the token would have to be kept for that, and it is kept nowhere."""
    site = site_of(request)
    new = create_token(
        site.store,
        request.user,
        data.name,
        frozenset(data.rights),
        data.group_id,
        data.expires_at.timestamp(),
        site.now(),
    )
    return MadeToken(id=new.id, token=new.secret)


@post("/tokens/{id:int}/revoke", status_code=204, **_about("revoke_token", "revoke one for good", "Tokens"))
def end_token(request: Asked, id: PATH_ID) -> None:
    site = site_of(request)
    revoke_token(site.store, request.user, id, site.now())


REQUESTS: list[Any] = [
    create_employee,
    read_access,
    change_employee,
    put_password,
    unlock,
    reset_second_factor,
    end_sessions,
    make_group,
    read_group,
    put_group,
    remove_group,
    make_token,
    end_token,
]
