"""A node's HTTP: /healthz (it is alive), /readyz (what keeps it from carrying calls), /metrics (for Prometheus), the duty
desk's board of 112 calls, /sos (a page) and /sos.json, and what the CRM may ask (node_api.py).

Of its own it only reads: `readiness` gives each part of the node and what is wrong with it, `registry` the figures,
`board` calls and alarms. Litestar's application, served by hypercorn on Trio; neither logs what is asked, as probes ask
every second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
import trio
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

import board_page
import node_api
import serving
from board import Board, board_fields
from node_api import NodeApi

Readiness = Callable[[], dict[str, str | None]]

BACKLOG = 100
_log = structlog.get_logger("http")
_NO_STORE = {"Cache-Control": "no-store"}


async def serve(
    address: str,
    readiness: Readiness,
    *,
    board: Board | None = None,
    api: NodeApi | None = None,
    registry: CollectorRegistry = REGISTRY,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer at `address` ("host:port") until cancelled; port 0 takes a free one.

    Without a `board` there are no pages of it, without an `api` nothing for the CRM. Starts with the URL that it answers
    at. Raises CannotListen.
    """
    app = _application(readiness, board, api, registry)
    await serving.serve(app, address, "[node] http", task_status=task_status)


def _application(
    readiness: Readiness, board: Board | None, api: NodeApi | None, registry: CollectorRegistry
) -> Litestar:
    @get("/healthz", media_type=MediaType.TEXT)
    async def healthz() -> Response[str]:
        return Response("alive\n", headers=_NO_STORE)

    @get("/readyz")
    async def readyz() -> Response[dict[str, str | None]]:
        parts = readiness()
        return Response(parts, status_code=503 if any(parts.values()) else 200, headers=_NO_STORE)

    @get("/metrics")
    async def metrics() -> Response[bytes]:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST, headers=_NO_STORE)

    handlers: list[HTTPRouteHandler | Router] = [healthz, readyz, metrics]
    if board is not None:
        handlers += _board_pages(board)
    if api is not None:
        handlers.append(node_api.router(api))
    return Litestar(handlers, openapi_config=None, logging_config=None, after_exception=[_log_failure])


def _board_pages(board: Board) -> list[HTTPRouteHandler]:
    @get("/sos", media_type=MediaType.HTML)
    async def sos(request: Request[Any, Any, Any]) -> Response[str]:
        language = board_page.language(request.headers.get("accept-language", ""))
        return Response(board_page.page(board, time.time(), language), headers=board_page.HEADERS)

    @get("/sos.json")
    async def sos_json() -> Response[dict[str, Any]]:
        return Response(board_fields(board, time.time()), headers=_NO_STORE)

    return [sos, sos_json]


async def _log_failure(error: Exception, scope: Scope) -> None:
    if not isinstance(error, HTTPException):
        _log.error("an HTTP request failed", path=scope["path"], exc_info=error)
