"""Errors of the API: RFC 9457, application/problem+json, for everything that goes wrong."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta, Struct

from crm.sealed import SealError
from crm.store import StoreError
from crm.who import Conflict, Forbidden, Invalid, NotFound, Refused

_log = structlog.get_logger("api")
MEDIA_TYPE = "application/problem+json"
_REFUSED = {
    NotFound: (404, "not-found", "There is no such thing"),
    Forbidden: (403, "forbidden", "This is not yours to do"),
    Conflict: (409, "conflict", "It would clash with what is there"),
    Invalid: (422, "invalid", "What was sent cannot be taken"),
}
_HTTP = {
    400: ("malformed", "What was sent cannot be understood"),
    401: ("no-token", "A token is needed"),
    404: ("not-found", "There is no such thing"),
    405: ("method", "This cannot be done to it"),
    413: ("too-large", "It is too large"),
    415: ("media-type", "What was sent is of another type"),
    429: ("too-many", "Too many requests"),
}
TITLES = {
    **{status: (name, title) for status, name, title in _REFUSED.values()},
    **_HTTP,
    502: ("part-failed", "This cannot be done now"),
    503: ("away", "The database cannot be reached"),
}


class Problem(Struct, kw_only=True, rename={"kind": "type"}):
    """What went wrong (RFC 9457). `errors` says what is wrong with each field ("" for the whole)."""

    kind: Annotated[str, Meta(description="names the kind of problem", examples=["/problems/invalid"])]
    title: str
    status: int
    detail: str
    errors: dict[str, str] = {}


def problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    errors: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[Problem]:
    """An answer that says what went wrong."""
    body = Problem(kind=f"/problems/{kind}", title=title, status=status, detail=detail, errors=errors or {})
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _refused(_: Request[Any, Any, Any], error: Refused) -> Response[Problem]:
    for kind, (status, name, title) in _REFUSED.items():
        if isinstance(error, kind):
            errors = error.errors if isinstance(error, Invalid) else None
            return problem(status, name, title, str(error), errors)
    return problem(503, "part-failed", "This cannot be done now", str(error))


def _validation(_: Request[Any, Any, Any], error: ValidationException) -> Response[Problem]:
    errors: dict[str, str] = {}
    for each in error.extra if isinstance(error.extra, list) else []:
        if isinstance(each, dict):
            errors[str(each.get("key", ""))] = str(each.get("message", ""))
    if errors.get("data") == "'data'":
        errors["data"] = "a body is expected"
    return _malformed(error.detail, errors)


def _malformed(detail: str, errors: dict[str, str] | None = None) -> Response[Problem]:
    return problem(400, "malformed", "What was sent cannot be understood", detail, errors)


def of_http(_: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """What HTTP itself has against a request."""
    status = error.status_code
    name, title = _HTTP.get(status, ("http", "This cannot be done"))
    here = {404: "nothing is at this path", 405: "this path does not take this method"}
    return problem(status, name, title, here.get(status, error.detail), headers=headers_of(error))


def headers_of(error: HTTPException) -> dict[str, str]:
    """What goes with it; who asks too often is told when to come again."""
    headers = {name: str(value) for name, value in (error.headers or {}).items()}
    if error.status_code == 429:
        headers.setdefault("Retry-After", headers.get("RateLimit-Reset", "1"))
    return headers


def _away(request: Request[Any, Any, Any], error: StoreError) -> Response[Problem]:
    _log.error("a request needs the database", path=request.url.path, why=str(error))
    detail = "the database cannot be reached: try again in a moment"
    return problem(503, "away", "The database cannot be reached", detail, headers={"Retry-After": "5"})


def part_failed(status: int, _: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """What the server reaches beyond the database has failed, and said why."""
    return problem(status, "part-failed", "This cannot be done now", str(error))


def _sealed(_: Request[Any, Any, Any], error: SealError) -> Response[Problem]:
    return problem(503, "sealed", "This cannot be done now", str(error))


def _failed(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    _log.error("a request failed", path=request.url.path, exc_info=error)
    return problem(500, "failed", "Something went wrong here", "it stands in the log; nothing has been done")


HANDLERS: dict[Any, Any] = {
    Refused: _refused,
    ValidationException: _validation,
    HTTPException: of_http,
    StoreError: _away,
    SealError: _sealed,
    Exception: _failed,
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """What may go wrong with a request, for its documentation; 400, 401, 403, 429 and 503 may always."""
    said = {
        400: "what was sent cannot be understood",
        401: "no token, or one that is over",
        403: "the token has no right to this",
        404: "there is no such thing, or not for this token",
        409: "it would clash with what is there",
        422: "a value cannot be taken",
        429: "too many requests",
        503: "the database, or what this needs beside it, cannot be reached",
    }
    codes = sorted({400, 401, 403, 429, 503, *statuses})
    return {
        code: ResponseSpec(Problem, generate_examples=False, description=said[code], media_type=MEDIA_TYPE)
        for code in codes
    }
