"""Signing in and out, with the second factor."""

from __future__ import annotations

import math
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.params import Body, FromPath
from litestar.response import Redirect

from crm.site import Site, address_of, site_of
from crm.staff.lockout import network_of
from crm.staff.passwords import Passwords, TooBusy
from crm.staff.sign_in import SignInFailed, confirm_code, sign_in, sign_out
from crm.web.guard import cookie_name, limits_of, local, origin_of
from crm.web.language import LANGUAGES
from crm.web.page import render

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
Anybody = Request[Any, Any, Any]
OPEN = {"exclude_from_auth": True}
BUSY_S = "5"
TRIES_A_MINUTE = 60  # from one address, whatever comes of them; crm.staff.lockout counts failures


def _who_tries(request: Anybody) -> str:
    return network_of(address_of(request, site_of(request).config))


TRIES = RateLimitConfig(
    ("minute", TRIES_A_MINUTE), identifier_for_request=_who_tries, store="sign_in_rate"
).middleware


def session_cookie(site: Site, token: str) -> Cookie:
    """Holds a session's token; "" takes it away."""
    return Cookie(
        key=cookie_name(site.config),
        value=token,
        path="/",
        httponly=True,
        secure=site.config.cookies == "secure",
        samesite="lax",  # "strict" would sign out whoever comes by a link in a letter
        max_age=None if token else 0,
    )


@get("/sign-in", sync_to_thread=True, opt=OPEN)
def sign_in_page(request: Anybody) -> Response[str]:
    return _form(request, request.query_params.get("next", "/"))


@post("/sign-in", sync_to_thread=True, opt=OPEN, status_code=200, middleware=[TRIES])
def do_sign_in(request: Anybody, data: Form) -> Response[Any]:
    site = site_of(request)
    back = local(str(data.get("next", "/")))
    passwords: Passwords = site.parts["passwords"]
    try:
        found = sign_in(
            site.store,
            passwords,
            str(data.get("login", "")),
            str(data.get("password", "")),
            origin_of(request, site.config),
            site.now(),
            old_token=request.cookies.get(cookie_name(site.config), ""),
            limits=limits_of(site.config),
        )
    except SignInFailed as error:
        return _failed(request, back, error, second_factor=False)
    except TooBusy as error:
        busy = _form(request, back, error=str(error), status=503)
        busy.headers["Retry-After"] = BUSY_S
        return busy
    if found.complete:
        return _on(site, back, found.token)
    page = _form(request, back, second_factor=True)
    page.set_cookie(session_cookie(site, found.token))
    return page


@post("/sign-in/code", sync_to_thread=True, opt=OPEN, status_code=200, middleware=[TRIES])
def do_confirm(request: Anybody, data: Form) -> Response[Any]:
    site = site_of(request)
    back = local(str(data.get("next", "/")))
    try:
        found = confirm_code(
            site.store,
            site.desk.seal(),
            request.cookies.get(cookie_name(site.config), ""),
            str(data.get("code", "")),
            origin_of(request, site.config),
            site.now(),
            limits=limits_of(site.config),
        )
    except SignInFailed as error:
        return _failed(request, back, error, second_factor=not error.begin_again)
    return _on(site, back, found.token)


@post("/sign-out", sync_to_thread=True, opt=OPEN)
def do_sign_out(request: Anybody) -> Response[Any]:
    site = site_of(request)
    token = request.cookies.get(cookie_name(site.config), "")
    sign_out(site.store, token, origin_of(request, site.config), site.now())
    return _on(site, "/sign-in", "")


@get("/language/{language:str}", sync_to_thread=False, opt=OPEN)
def set_language(request: Anybody, language: FromPath[str]) -> Response[Any]:
    """Before anybody is signed in the language is the browser's; this cookie says another."""
    response = Redirect(local(request.query_params.get("next", "/sign-in")), status_code=303)
    if language in LANGUAGES:
        response.set_cookie(
            Cookie(key="language", value=language, path="/", samesite="lax", max_age=31_536_000)
        )
    return response


def failed_status(error: SignInFailed) -> tuple[int, dict[str, str]]:
    """How a refusal is answered, and with which headers: the same for whatever was wrong with what was entered."""
    if error.retry_after_s is None:
        return 403, {}
    return 429, {"Retry-After": str(math.ceil(error.retry_after_s))}


def _failed(request: Anybody, back: str, error: SignInFailed, *, second_factor: bool) -> Response[str]:
    status, headers = failed_status(error)
    response = _form(request, back, error=str(error), status=status, second_factor=second_factor)
    response.headers.update(headers)
    return response


def _form(
    request: Anybody, back: str, *, error: str = "", status: int = 200, second_factor: bool = False
) -> Response[str]:
    action = "/sign-in/code" if second_factor else "/sign-in"
    return render(
        request,
        "sign_in.html",
        status=status,
        next=local(back),
        error=error,
        second_factor=second_factor,
        action=action,
    )


def _on(site: Site, path: str, token: str) -> Response[Any]:
    response = Redirect(path, status_code=303)
    response.set_cookie(session_cookie(site, token))
    return response


HANDLERS = [sign_in_page, do_sign_in, do_confirm, do_sign_out, set_language]
