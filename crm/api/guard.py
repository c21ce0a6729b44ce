"""Who asks the API: a token in the Authorization header, looked up for each request."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.enums import RequestEncodingType
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from crm.site import Site, address_of
from crm.tokens import who_is_token
from crm.who import Who

Asked = Request[Who, Any, State]


class TokenGuard(AbstractAuthenticationMiddleware):
    """Finds out which token asks. Raises NotAuthorizedException."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        site: Site = connection.app.state.site
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        who = None
        if scheme.lower() == "bearer" and token:
            address = address_of(connection, site.config)
            look = partial(who_is_token, site.desk.store, token.strip(), site.now(), address)
            who = await trio.to_thread.run_sync(look)
        if who is None:
            raise NotAuthorizedException(
                "a token is needed: Authorization: Bearer td_…", headers={"WWW-Authenticate": "Bearer"}
            )
        return AuthenticationResult(user=who, auth=token)


def takes_type(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A body has to say what it is. Raises HTTPException (415)."""
    body = handler.parsed_data_field if isinstance(handler, HTTPRouteHandler) else None
    if body is None or not connection.headers.get("content-type"):
        return
    wanted = getattr(body.kwarg_definition, "media_type", RequestEncodingType.JSON)
    given = connection.headers["content-type"].partition(";")[0].strip().lower()
    if given != str(getattr(wanted, "value", wanted)):
        expected = getattr(wanted, "value", wanted)
        raise HTTPException(f"a body of the type {expected} is expected, not {given}", status_code=415)
