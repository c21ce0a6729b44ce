"""Employees: made, changed, let in and sent away; their passwords, second factors and sessions (crm.staff.staff does it).

Lists and records are pages as all have; what changes an employee is posted under /staff/employees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.desk.resource import Row
from crm.rights import Right
from crm.sections.staff import EMPLOYEES_RESOURCE, OUTCOMES
from crm.site import Site, site_of
from crm.staff import staff
from crm.staff.groups import find_groups
from crm.staff.lockout import find_sign_ins
from crm.staff.sessions import revoke_session, revoke_sessions, sessions_of
from crm.web.guard import limits_of
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, Panel, render, translate
from crm.web.record_pages import show_record
from crm.web.staff_forms import (
    LANGUAGE,
    LOGIN,
    NAME,
    PASSWORD,
    REFUSED,
    Form,
    errors_of,
    ids,
    passwords_of,
    status_of,
    text_of,
)

BASE = "/staff/employees"
SIGN_INS_SHOWN = 20


@get(f"{BASE}/new", sync_to_thread=True)
def new_page(request: Asked) -> Response[str]:
    request.user.who.need_everywhere(Right.STAFF_EDIT)
    return _form(request, None, {"language": "ru"}, [], {})


@post(f"{BASE}/new", sync_to_thread=True, status_code=200)
def create(request: Asked, data: Form) -> Response[Any]:
    site = site_of(request)
    texts = {each.name: text_of(data, each.name) for each in (LOGIN, NAME, LANGUAGE)}
    chosen = ids(data, "groups")
    try:
        id = staff.create_employee(
            site.store,
            request.user.who,
            passwords_of(site),
            texts["login"],
            texts["name"],
            text_of(data, "password"),
            chosen,
            site.now(),
            language=texts["language"],
        )
    except REFUSED as error:
        return _form(request, None, texts, chosen, errors_of(error))
    return Redirect(f"/employees/{id}", status_code=303)


@get(f"{BASE}/{{id:int}}/edit", sync_to_thread=True)
def edit_page(request: Asked, id: FromPath[int]) -> Response[str]:
    request.user.who.need_everywhere(Right.STAFF_EDIT)
    found = staff.get_employee(site_of(request).store, request.user.who, id)
    texts = {"login": found.login, "name": found.name, "language": found.language}
    return _form(request, id, texts, found.groups, {})


@post(f"{BASE}/{{id:int}}/edit", sync_to_thread=True, status_code=200)
def change(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    site = site_of(request)
    texts = {each.name: text_of(data, each.name) for each in (LOGIN, NAME, LANGUAGE)}
    chosen = ids(data, "groups")
    try:
        staff.change_employee(site.store, request.user.who, id, **texts, groups=chosen, now=site.now())
    except REFUSED as error:
        return _form(request, id, texts, chosen, errors_of(error))
    return Redirect(f"/employees/{id}", status_code=303)


@get(f"{BASE}/{{id:int}}/password", sync_to_thread=True)
def password_page(request: Asked, id: FromPath[int]) -> Response[str]:
    request.user.who.need_everywhere(Right.STAFF_EDIT)
    return _password_form(request, id, {})


@post(f"{BASE}/{{id:int}}/password", sync_to_thread=True, status_code=200)
def set_password(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    site = site_of(request)
    password = text_of(data, "password")
    try:
        staff.set_password(site.store, request.user.who, passwords_of(site), id, password, site.now())
    except REFUSED as error:
        return _password_form(request, id, errors_of(error))
    return Redirect(f"/employees/{id}", status_code=303)


@post(f"{BASE}/{{id:int}}/active", sync_to_thread=True, status_code=200)
def set_active(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    active = request.query_params.get("active") == "yes"
    return _do(
        request, id, lambda site: staff.set_active(site.store, request.user.who, id, active, site.now())
    )


@post(f"{BASE}/{{id:int}}/unlock", sync_to_thread=True, status_code=200)
def unlock(request: Asked, id: FromPath[int]) -> Response[Any]:
    return _do(request, id, lambda site: staff.unlock(site.store, request.user.who, id, site.now()))


@post(f"{BASE}/{{id:int}}/second-factor/reset", sync_to_thread=True, status_code=200)
def reset_second_factor(request: Asked, id: FromPath[int]) -> Response[Any]:
    return _do(
        request, id, lambda site: staff.reset_second_factor(site.store, request.user.who, id, site.now())
    )


@post(f"{BASE}/{{id:int}}/sessions/end", sync_to_thread=True, status_code=200)
def end_all(request: Asked, id: FromPath[int]) -> Response[Any]:
    def end(site: Site) -> None:
        revoke_sessions(site.store, request.user.who, id, site.now())

    return _do(request, id, end)


@post(f"{BASE}/{{id:int}}/sessions/{{session:str}}/end", sync_to_thread=True, status_code=200)
def end_one(request: Asked, id: FromPath[int], session: FromPath[str]) -> Response[Any]:
    return _do(
        request, id, lambda site: revoke_session(site.store, request.user.who, id, session, site.now())
    )


def _do(request: Asked, id: int, work: Callable[[Site], None]) -> Response[Any]:
    """Do something to an employee; why it is not done is said on his page."""
    site = site_of(request)
    request.user.who.need_everywhere(Right.STAFF_EDIT)
    try:
        work(site)
    except REFUSED as error:
        row = site.desk.get(request.user.who, EMPLOYEES_RESOURCE, id)
        return show_record(request, EMPLOYEES_RESOURCE, row, errors=errors_of(error), status=409)
    return Redirect(f"/employees/{id}", status_code=303)


def _form(
    request: Asked,
    id: int | None,
    texts: Mapping[str, str],
    chosen: list[int] | tuple[int, ...],
    errors: Mapping[str, str],
) -> Response[str]:
    title = translate(request, "New employee") if id is None else texts["name"]
    fields = (LOGIN, NAME, *(() if id else (PASSWORD,)), LANGUAGE)
    return render(
        request,
        "employee_form.html",
        status=status_of(errors),
        title=title,
        fields=fields,
        texts=texts,
        groups=find_groups(site_of(request).store, request.user.who),
        chosen=chosen,
        errors=errors,
        errors_beside={
            name: why for name, why in errors.items() if name not in {each.name for each in fields}
        },
        action=f"{BASE}/new" if id is None else f"{BASE}/{id}/edit",
        back="/employees" if id is None else f"/employees/{id}",
    )


def _password_form(request: Asked, id: int, errors: Mapping[str, str]) -> Response[str]:
    found = staff.get_employee(site_of(request).store, request.user.who, id)
    return render(
        request,
        "form.html",
        status=status_of(errors),
        title=f"{found.name}: {translate(request, 'new password')}",
        fields=(PASSWORD,),
        texts={},
        errors=errors,
        errors_beside={name: why for name, why in errors.items() if name != PASSWORD.name},
        action=f"{BASE}/{id}/password",
        back=f"/employees/{id}",
    )


def _actions(site: Site, request: Asked, row: Row) -> list[Action]:
    if not request.user.who.rights.may_everywhere(Right.STAFF_EDIT):
        return []
    at = f"{BASE}/{row.id}"
    own = row.id == request.user.employee_id  # which is changed in the profile
    found = [Action("Edit", f"{at}/edit", "pencil-square", get=True)]
    if not own:
        found.append(Action("New password", f"{at}/password", "key", get=True))
    if staff.employee_locked_until(site.store, request.user.who, row.id, site.now()):
        found.append(Action("Unlock", f"{at}/unlock", "lock-open"))
    if row.values["second_factor"] and not own:
        ask = "Reset the second factor? Until another one is set up the password is enough."
        found.append(
            Action("Reset the second factor", f"{at}/second-factor/reset", "shield-exclamation", confirm=ask)
        )
    if row.values["active"]:
        ask = "Deactivate this employee? All sessions end at once."
        found.append(Action("Deactivate", f"{at}/active?active=no", "no-symbol", confirm=ask))
    else:
        found.append(Action("Let in again", f"{at}/active?active=yes", "check-circle"))
    return found


def _panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    who, now = request.user.who, site.now()
    found = staff.get_employee(site.store, who, row.id)
    groups = [each for each in find_groups(site.store, who) if each.id in found.groups]
    context = {
        "groups": groups,
        "locked_until": staff.employee_locked_until(site.store, who, row.id, now),
        "sessions": sessions_of(site.store, row.id, now, limits_of(site.config)),
        "sign_ins": find_sign_ins(site.store, who, employee_id=row.id, limit=SIGN_INS_SHOWN),
        "outcomes": dict(OUTCOMES),
        "mine": request.user.session_id,
        "at": f"{BASE}/{row.id}",
        "may_end": who.rights.may_everywhere(Right.STAFF_EDIT),
        "all_sign_ins": f"/sign-ins?employee_id={row.id}",
    }
    return [Panel("employee_panel.html", context)]


def _above(site: Site, request: Asked) -> list[Action]:
    if not request.user.who.rights.may_everywhere(Right.STAFF_EDIT):
        return []
    return [Action("New employee", f"{BASE}/new", "plus", get=True)]


PAGES: list[Any] = [
    new_page,
    create,
    edit_page,
    change,
    password_page,
    set_password,
    set_active,
    unlock,
    reset_second_factor,
    end_all,
    end_one,
]
EXTRAS: Mapping[str, Extra] = {"employees": Extra(panels=_panels, actions=_actions, above=_above)}
ITEMS: tuple[Item, ...] = ()
