"""A request that makes something, sent again: with the header Idempotency-Key it is done once, and answered alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Response

from crm.api.guard import Asked
from crm.site import site_of
from crm.staff.idempotency import Answer, request_hash, run_once

HEADER = "idempotency-key"


def once(request: Asked, data: Any, make: Callable[[], Any], *, status: int = 201) -> Response[Any]:
    """Answer with what `make` makes; with a key, what it made the first time. Raises Conflict, Invalid."""
    key = request.headers.get(HEADER)
    token = request.user.by.removeprefix("token:")
    if key is None or not token.isdigit():
        return Response(make(), status_code=status)
    site = site_of(request)
    hash = request_hash(request.method, str(request.url.path), msgspec.json.encode(data), request.auth)

    def run() -> Answer:
        return Answer(status, msgspec.json.encode(make()).decode())

    answer = run_once(site.desk.store, int(token), key, hash, run, site.now())
    return Response(answer.body.encode(), status_code=answer.status, media_type="application/json")
