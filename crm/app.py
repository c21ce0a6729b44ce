"""The CRM's HTTP application: pages, the API, and what holds for all of them.

What every answer carries: a content security policy without inline scripts and foreign hosts. What goes wrong is a page
that says so: who is not signed in is led to the sign-in page, what is refused says why.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
import trio
from litestar import Litestar, Request, Response, Router, get
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import MutableScopeHeaders, State
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.response import File, Redirect
from litestar.static_files import create_static_files_router
from litestar.types import Message, Scope

from config import WebConfig
from crm.api.app import openapi, router
from crm.api.document import described, operations
from crm.api.problems import headers_of, of_http
from crm.desk.desk import Desk
from crm.sealed import SealError
from crm.sections import all_resources
from crm.site import Site, address_of
from crm.store import Store, StoreError
from crm.web import list_pages, record_pages, sign_in_pages
from crm.web.guard import Guard, NotSignedIn, cookie_name, sign_in_path, signed_in
from crm.web.menu import Menu
from crm.web.page import HERE, INSTALLED, Asked, render
from crm.web.sections import EXTRAS, PAGES, menu
from crm.who import Conflict, Forbidden, Invalid, NotFound, Refused

_log = structlog.get_logger("crm")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self';"
    " font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATUS = {NotFound: 404, Forbidden: 403, Conflict: 409, Invalid: 422}
_WHY = {
    404: "Nothing is at this address.",
    405: "This address is not there for that.",
    429: "There were too many tries: wait a minute.",
}
_TITLES = {404: "There is no such page", 403: "This is not yours to do", 409: "This cannot be done now"}


def make_app(
    store: Store,
    config: WebConfig,
    *,
    secret_key: str = "",
    parts: Mapping[str, Any] | None = None,
    failures: Mapping[type[Exception], int] | None = None,
) -> Litestar:
    """The application over `store`. `parts` are what pages reach beyond it: see crm.site.Site.

    `failures` are errors of those parts whose text is for people, each with HTTP's status for it.
    """
    said = failures or {}
    site = Site(Desk(store, all_resources(), secret_key), config, parts or {}, tuple(said))
    pages = Router(
        "/",
        route_handlers=[
            _start,
            *sign_in_pages.HANDLERS,
            *PAGES,
            *record_pages.HANDLERS,
            *list_pages.HANDLERS,
        ],
        include_in_schema=False,
        middleware=[DefineMiddleware(Guard, exclude=["^/static/", "^/api/", "^/healthz$"])],
        exception_handlers={
            NotSignedIn: _to_sign_in,
            Refused: _refused,
            StoreError: _away,
            SealError: _sealed,
            HTTPException: _http,
            Exception: _failed,
            **{kind: partial(_part_failed, status) for kind, status in said.items()},
        },
    )
    return Litestar(
        [
            pages,
            router(said),
            _healthz,
            _htmx,
            create_static_files_router(
                "/static", [HERE / "static"], cache_control=None, include_in_schema=False
            ),
        ],
        csrf_config=CSRFConfig(
            secret=_csrf_secret(secret_key),
            # With the prefix no other host of the domain can set it, and so know what is in it.
            cookie_name="__Host-csrftoken" if config.cookies == "secure" else "csrftoken",
            cookie_secure=config.cookies == "secure",
            cookie_samesite="lax",
            exclude=["^/api/"],
        ),
        before_send=[_with_headers],
        after_exception=[_find_user],
        exception_handlers={HTTPException: _nowhere},
        state=State(
            {
                "site": site,
                "menu": Menu(menu()),
                "extras": EXTRAS,
                "operations": lambda app: operations(described(app)),
            }
        ),
        openapi_config=openapi(),
        logging_config=None,
        request_max_body_size=2_000_000,
    )


@get("/", sync_to_thread=False)
def _start(request: Asked) -> Redirect:
    """The first page of the menu that one may see."""
    sections = request.app.state.menu.for_rights(request.user.who.rights)
    return Redirect(sections[0].items[0].path if sections else "/profile", status_code=303)


@get("/healthz", sync_to_thread=False, include_in_schema=False)
def _healthz() -> str:
    return "alive\n"


@get("/static/htmx.js", sync_to_thread=False, include_in_schema=False)
def _htmx() -> File:
    return File(INSTALLED["htmx.js"], media_type="text/javascript", content_disposition_type="inline")


async def _with_headers(message: Message, scope: Scope) -> None:
    """On errors, too: what goes wrong is a page like any other."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    for name, value in HEADERS.items():
        if name != "Cache-Control" or not scope["path"].startswith("/static/"):
            headers.setdefault(name, value)


async def _find_user(error: Exception, scope: Scope) -> None:
    """Whoever asks for what there is not is signed in all the same: no guard has run for him."""
    if not isinstance(error, HTTPException) or scope.get("user") is not None or _is_api(scope["path"]):
        return
    request: Request[Any, Any, Any] = Request(scope)
    site: Site = request.app.state.site
    token = request.cookies.get(cookie_name(site.config), "")
    if token:
        look = partial(signed_in, site, token, address_of(request, site.config))
        try:
            scope["user"] = await trio.to_thread.run_sync(look)
        except StoreError as away:
            _log.warning("who asks is not known", path=scope["path"], why=str(away))


def _nowhere(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """There is no such path, or it does not take this method."""
    return of_http(request, error) if _is_api(request.url.path) else _http(request, error)


def _is_api(path: str) -> bool:
    return path.startswith("/api/")


def _csrf_secret(secret_key: str) -> str:
    """The same for all processes that have the same key; without one it lasts as long as the process."""
    if not secret_key:
        return secrets.token_hex(32)
    return hmac.new(secret_key.encode(), b"teledom csrf", hashlib.sha256).hexdigest()


def _to_sign_in(request: Request[Any, Any, Any], error: NotSignedIn) -> Response[Any]:
    path = sign_in_path(error.back)
    if request.headers.get("hx-request"):
        return Response(None, status_code=401, headers={"HX-Redirect": path})
    return Redirect(path, status_code=303)


def _refused(request: Request[Any, Any, Any], error: Refused) -> Response[Any]:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
    title = _TITLES.get(status, "This cannot be done")
    return render(request, "problem.html", status=status, title=title, why=str(error))


def _away(request: Request[Any, Any, Any], error: StoreError) -> Response[Any]:
    _log.error("a page needs the database", path=request.url.path, why=str(error))
    return render(
        request,
        "problem.html",
        status=503,
        title="The database cannot be reached",
        why="Calls go on without it. Try again in a moment.",
    )


def _sealed(request: Request[Any, Any, Any], error: SealError) -> Response[Any]:
    return render(request, "problem.html", status=503, title="This cannot be done now", why=str(error))


def _part_failed(status: int, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    return render(request, "problem.html", status=status, title="This cannot be done now", why=str(error))


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    title = _TITLES.get(error.status_code, "This cannot be done")
    why = _WHY.get(error.status_code, error.detail)
    answer = render(request, "problem.html", status=error.status_code, title=title, why=why)
    answer.headers.update(headers_of(error))
    return answer


def _failed(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    _log.error("a page failed", path=request.url.path, exc_info=error)
    return render(
        request,
        "problem.html",
        status=500,
        title="Something went wrong here",
        why="It stands in the log. Nothing of what was asked has been done.",
    )
