"""The API under /api/v1: requests of all records, those of sections, and their documentation as OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from litestar import Request, Router
from litestar.middleware import DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from crm.api import records
from crm.api.document import NoRouter, as_json, as_yaml
from crm.api.guard import TokenGuard, takes
from crm.api.problems import HANDLERS, part_failed
from crm.api.sections import REQUESTS
from crm.sections import all_resources
from crm.site import address_of, site_of
from crm.staff.lockout import network_of

PATH = "/api/v1"
REQUESTS_A_SECOND = 200  # from one address
DESCRIPTION = """Everything that the pages do, for programs. A token (made under Tokens) goes into the Authorization
header: `Bearer td_…`. Lists come in pages: `next` is the cursor of the next one. Errors are RFC 9457. A request that
makes something may carry an `Idempotency-Key`: sent again within a day, it is answered as the first time."""


def openapi() -> OpenAPIConfig:
    """How the API is described: see crm.api.document."""
    return OpenAPIConfig(
        title="teledom",
        version="1",
        description=DESCRIPTION,
        openapi_router=NoRouter("/", route_handlers=[]),
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
        use_handler_docstrings=True,
    )


def _who_asks(request: Request[Any, Any, Any]) -> str:
    return network_of(address_of(request, site_of(request).config))


def router(failures: Mapping[type[Exception], int]) -> Router:
    """All requests of the API. `failures`: errors whose text is for people, each with HTTP's status for it."""
    found = [each for resource in all_resources().values() for each in records.handlers(resource)]
    return Router(
        PATH,
        route_handlers=[as_json, as_yaml, *found, *REQUESTS],
        middleware=[
            RateLimitConfig(
                rate_limit=("second", REQUESTS_A_SECOND), identifier_for_request=_who_asks, store="api_rate"
            ).middleware,
            DefineMiddleware(TokenGuard, exclude=[rf"^{PATH}/openapi"]),
        ],
        guards=[takes],
        exception_handlers={**HANDLERS, **{k: partial(part_failed, v) for k, v in failures.items()}},
    )
