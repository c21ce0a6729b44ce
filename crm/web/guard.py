"""Who is signed in: the session's cookie is looked up for each request, and whoever has none is sent to sign in.

Rights are read anew each time: what a group gives or takes holds at once. A page that asks by itself (the header
`x-quiet`) does not keep a session from being idle.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

import trio
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from config import WebConfig
from crm.site import Site, address_of
from crm.staff.sessions import Origin, SessionLimits, find_session
from crm.staff.staff import who_is
from crm.store import Store
from crm.web.page import SignedIn

COOKIE = "teledom"


class NotSignedIn(Exception):
    """The page needs somebody who is signed in; `back` is where he wanted to go."""

    def __init__(self, back: str) -> None:
        super().__init__("sign in first")
        self.back = back


class Guard(AbstractAuthenticationMiddleware):
    """Finds out who asks. Raises NotSignedIn."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        site: Site = connection.app.state.site
        token = connection.cookies.get(cookie_name(site.config), "")
        quiet = "x-quiet" in connection.headers or connection.headers.get("accept") == "text/event-stream"
        user = None
        if token:
            look = partial(signed_in, site, token, address_of(connection, site.config), quiet=quiet)
            user = await trio.to_thread.run_sync(look)
        if user is None:
            path = connection.url.path
            query = f"?{connection.url.query}" if connection.url.query else ""
            raise NotSignedIn(path + query if connection.scope.get("method") == "GET" else "/")
        return AuthenticationResult(user=user, auth=None)


def signed_in(site: Site, token: str, address: str, *, quiet: bool = False) -> SignedIn | None:
    """Who has this session; None: nobody, or the second factor is still to come."""
    store: Store = site.desk.store
    session = find_session(store, token, site.now(), touch=not quiet, limits=limits_of(site.config))
    if session is None or not session.complete:
        return None
    who = who_is(store, session.employee_id, address)
    if who is None:
        return None
    return SignedIn(who, session.employee_id, session.login, session.language, session.id)


def limits_of(config: WebConfig) -> SessionLimits:
    return SessionLimits(idle_s=config.idle_s, absolute_s=config.longest_s)


def cookie_name(config: WebConfig) -> str:
    """With the prefix that browsers bind to this host and to TLS."""
    return f"__Host-{COOKIE}" if config.cookies == "secure" else COOKIE


def origin_of(request: Request[Any, Any, Any], config: WebConfig) -> Origin:
    """Where a request comes from, for the history of sign-ins."""
    return Origin(address_of(request, config), request.headers.get("user-agent", "")[:255])


def sign_in_path(back: str) -> str:
    """The sign-in page, which leads back afterwards."""
    return "/sign-in" if back in ("", "/") else f"/sign-in?next={quote(back, safe='')}"


def local(path: str) -> str:
    """A path of ours to go on to; a foreign one becomes the start page."""
    well = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if well and "\\" not in path else "/"
