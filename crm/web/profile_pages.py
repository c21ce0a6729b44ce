"""One's own profile: password, second factor, language, sessions, and when one signed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.rights import Right
from crm.sections.staff import OUTCOMES
from crm.site import site_of
from crm.staff import totp
from crm.staff.lockout import find_sign_ins
from crm.staff.passwords import TooBusy
from crm.staff.rules import LANGUAGES
from crm.staff.sessions import revoke_session, revoke_sessions, sessions_of
from crm.staff.sign_in import (
    SignInFailed,
    change_own_password,
    confirm_password,
    turn_off_second_factor,
)
from crm.staff.staff import get_self, set_language
from crm.web.guard import cookie_name, limits_of, origin_of
from crm.web.language import LANGUAGES as LANGUAGE_NAMES
from crm.web.menu import Item
from crm.web.page import Asked, Extra, render
from crm.web.sign_in_pages import failed_status, session_cookie
from crm.web.staff_forms import Form, errors_of, passwords_of, text_of
from crm.who import Conflict, Invalid, NotFound

PATH = "/profile"
SIGN_INS_SHOWN = 20


@get(PATH, sync_to_thread=True)
def profile_page(request: Asked) -> Response[str]:
    return _page(request)


@post(f"{PATH}/language", sync_to_thread=True, status_code=200)
def choose_language(request: Asked, data: Form) -> Response[Any]:
    site, user = site_of(request), request.user
    try:
        set_language(site.store, user.who, user.employee_id, text_of(data, "language"), site.now())
    except Invalid as error:
        return _page(request, errors_of(error), 422)
    return Redirect(PATH, status_code=303)


@post(f"{PATH}/password", sync_to_thread=True, status_code=200)
def change_password(request: Asked, data: Form) -> Response[Any]:
    site = site_of(request)
    new = text_of(data, "password")
    try:
        if new != text_of(data, "again"):
            raise Invalid({"again": "this is not the same as the new password"})
        token = change_own_password(
            site.store,
            passwords_of(site),
            request.user.who,
            _token(request),
            text_of(data, "old"),
            new,
            origin_of(request, site.config),
            site.now(),
            limits=limits_of(site.config),
        )
    except Invalid as error:
        return _page(request, error.errors, 422)
    except TooBusy as error:
        return _page(request, {"old": str(error)}, 503)
    except SignInFailed as error:
        return _refused(request, error, "old")
    return _done(request, token, "password")


@post(f"{PATH}/second-factor", sync_to_thread=True, status_code=200)
def begin_second_factor(request: Asked) -> Response[Any]:
    site = site_of(request)
    try:
        made = totp.enrol(site.store, site.desk.seal(), request.user.employee_id)
    except Conflict as error:
        return _page(request, {"": str(error)}, 409)
    return render(request, "second_factor.html", enrolment=made, error="", refused="")


@post(f"{PATH}/second-factor/confirm", sync_to_thread=True, status_code=200)
def confirm_second_factor(request: Asked, data: Form) -> Response[Any]:
    site, user = site_of(request), request.user
    seal = site.desk.seal()
    code = text_of(data, "code")
    try:
        confirm_password(
            site.store,
            passwords_of(site),
            _token(request),
            text_of(data, "old"),
            origin_of(request, site.config),
            site.now(),
            limits=limits_of(site.config),
        )
        token = totp.confirm(site.store, seal, user.who, user.employee_id, code, _token(request), site.now())
    except Invalid as error:
        shown = totp.begun(site.store, seal, user.employee_id)
        return render(
            request, "second_factor.html", status=422, enrolment=shown, error=error.errors["code"], refused=""
        )
    except (SignInFailed, TooBusy) as error:
        if isinstance(error, SignInFailed) and error.begin_again:
            return Redirect("/sign-in", status_code=303)
        shown = totp.begun(site.store, seal, user.employee_id)
        status, headers = failed_status(error) if isinstance(error, SignInFailed) else (503, {})
        answer = render(
            request, "second_factor.html", status=status, enrolment=shown, error="", refused=str(error)
        )
        answer.headers.update(headers)
        return answer
    except (Conflict, NotFound) as error:
        return _page(request, {"": str(error)}, 409)
    return _done(request, token, "second-factor")


@post(f"{PATH}/second-factor/off", sync_to_thread=True, status_code=200)
def end_second_factor(request: Asked, data: Form) -> Response[Any]:
    site = site_of(request)
    origin = origin_of(request, site.config)
    code = text_of(data, "code")
    try:
        turn_off_second_factor(
            site.store,
            site.desk.seal(),
            request.user.who,
            _token(request),
            code,
            origin,
            site.now(),
            limits=limits_of(site.config),
        )
    except SignInFailed as error:
        return _refused(request, error, "code")
    return Redirect(PATH, status_code=303)


@post(f"{PATH}/sessions/others/end", sync_to_thread=True, status_code=200)
def end_others(request: Asked) -> Response[Any]:
    site, user = site_of(request), request.user
    revoke_sessions(site.store, user.who, user.employee_id, site.now(), keep=_token(request))
    return Redirect(f"{PATH}#sessions", status_code=303)


@post(f"{PATH}/sessions/{{session:str}}/end", sync_to_thread=True, status_code=200)
def end_one(request: Asked, session: FromPath[str]) -> Response[Any]:
    site, user = site_of(request), request.user
    try:
        revoke_session(site.store, user.who, user.employee_id, session, site.now())
    except NotFound as error:
        return _page(request, {"": str(error)}, 404)
    return Redirect(f"{PATH}#sessions", status_code=303)


def _token(request: Asked) -> str:
    return request.cookies.get(cookie_name(site_of(request).config), "")


def _done(request: Asked, token: str, what: str) -> Response[Any]:
    """Back to the profile, with the session's new token."""
    response = Redirect(f"{PATH}?done={what}", status_code=303)
    response.set_cookie(session_cookie(site_of(request), token))
    return response


def _refused(request: Asked, error: SignInFailed, field: str) -> Response[Any]:
    if error.begin_again:
        return Redirect("/sign-in", status_code=303)
    status, headers = failed_status(error)
    response = _page(request, {field: str(error)}, status)
    response.headers.update(headers)
    return response


def _page(request: Asked, errors: Mapping[str, str] | None = None, status: int = 200) -> Response[str]:
    site, user = site_of(request), request.user
    me = get_self(site.store, user.employee_id)
    powerful = user.who.rights.may_everywhere(Right.STAFF_EDIT)
    beside = {"old", "password", "again", "code", "language"}
    return render(
        request,
        "profile.html",
        status=status,
        me=me,
        errors=errors or {},
        errors_beside={name: why for name, why in (errors or {}).items() if name not in beside},
        advise=powerful and not me.totp_on,
        done=request.query_params.get("done", ""),
        outcomes=dict(OUTCOMES),
        choices={code: LANGUAGE_NAMES[code] for code in LANGUAGES},
        sessions=sessions_of(site.store, user.employee_id, site.now(), limits_of(site.config)),
        sign_ins=find_sign_ins(site.store, user.who, employee_id=user.employee_id, limit=SIGN_INS_SHOWN),
    )


PAGES: list[Any] = [
    profile_page,
    choose_language,
    change_password,
    begin_second_factor,
    confirm_second_factor,
    end_second_factor,
    end_others,
    end_one,
]
EXTRAS: Mapping[str, Extra] = {}
ITEMS: tuple[Item, ...] = ()
