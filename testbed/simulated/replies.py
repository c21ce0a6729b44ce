"""A request and its reply, as every resource of the simulated ARI takes and gives them."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import Factory, frozen

from testbed.simulated.shapes import encode


@frozen
class Request:
    method: str
    parts: tuple[str, ...]  # the path after /ari/, split
    query: dict[str, str] = Factory(dict)  # body fields that Asterisk takes for query parameters included
    body: dict[str, Any] = Factory(dict)


@frozen
class Reply:
    status: int
    reason: str
    body: bytes = b""


def ok(body: Any) -> Reply:
    return Reply(200, "OK", body if isinstance(body, bytes) else encode(body))


def refuse(status: int, message: str, reason: str = "") -> Reply:
    """A refusal; `reason` where Asterisk's phrase is not the usual one."""
    return Reply(status, reason or _PHRASES[status], encode({"message": message}))


_PHRASES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    422: "Unprocessable Entity",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
NO_CONTENT = Reply(204, "No Content")
NO_CHANNEL = refuse(404, "Channel not found")
NO_BRIDGE = refuse(404, "Bridge not found", "Not found")
NOT_IN_STASIS = "Channel not in Stasis application"


def parse_body(raw: bytes | str) -> dict[str, Any]:
    """A request's JSON body; raises `ValueError` where it is none."""
    body = msgspec.json.decode(raw) if raw else {}
    if not isinstance(body, dict):
        raise ValueError("a JSON object is needed")
    return body
