"""Who asks the API: a token in the Authorization header, looked up for each request."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import msgspec
import trio
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.enums import RequestEncodingType
from litestar.exceptions import HTTPException, NotAuthorizedException, ValidationException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from crm.site import Site, address_of
from crm.staff.tokens import who_is_token
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


@cache
def _several(handler: BaseRouteHandler) -> frozenset[str]:
    """The names of its parameters that may be given more than once."""
    fields = handler.parsed_fn_signature.parameters.items()
    return frozenset(
        str(getattr(of.kwarg_definition, "name", None) or name)
        for name, of in fields
        if any(each.is_non_string_sequence for each in (of, *of.inner_types))
    )


async def takes(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A request has to be what is described: Litestar itself would take 0 for false, and of a filter the last of two.

    Raises HTTPException (400, 415), ValidationException.
    """
    names = [name for name, _ in connection.query_params.multi_items()]
    if twice := next((name for name in names if names.count(name) > 1 and name not in _several(handler)), ""):
        raise ValidationException(
            "a parameter is given twice", extra=[{"key": twice, "message": "once is expected"}]
        )
    body = handler.parsed_data_field if isinstance(handler, HTTPRouteHandler) else None
    if body is None or not isinstance(connection, Request):
        return
    wanted = getattr(body.kwarg_definition, "media_type", RequestEncodingType.JSON)
    expected = str(getattr(wanted, "value", wanted))
    given = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given and given != expected:
        raise HTTPException(f"a body of the type {expected} is expected, not {given}", status_code=415)
    if expected == RequestEncodingType.JSON.value and (text := await connection.body()):
        try:
            msgspec.convert(_whole(msgspec.json.decode(text)), body.annotation)
        except msgspec.ValidationError as error:
            why, _, place = str(error).partition(" - at `$")
            wrong = {"key": place.strip("`.") or "data", "message": why}
            raise ValidationException("the body is not as it is described", extra=[wrong]) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HTTPException(f"the body is no JSON: {error}", status_code=400) from error
        except RecursionError:
            raise HTTPException("the body is nested too deeply", status_code=400) from None


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 5.0 is 5."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {name: _whole(each) for name, each in value.items()}
    return value
