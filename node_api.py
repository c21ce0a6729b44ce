"""What the CRM may ask of a node over HTTP: its live board, a panel's lock and SIP registration, a test ring, recordings.

All of it needs the secret that nodes and the CRM share ([node] token, TELEDOM_NODE_TOKEN) as a bearer token; where none
is set only clients on this machine are answered. Errors are problems as in RFC 9457. Files are served out of the folders
of recordings only, by the name that a call's record or a result gives, as a whole or in a range of bytes (RFC 9110).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import msgspec
import trio
from attrs import frozen
from litestar import Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from live import CALLS, Live, RingRefused
from telephony.registrations import ASKED_MAX, Registrations

CALLS_MAX = 1000
PIECE = 65_536  # bytes
NAME_MAX = 300  # characters
BODY_MAX = 10_000  # bytes
PANELS_BODY_MAX = 100_000  # bytes
FILES = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_NAME = re.compile(r"[\w+@=,-][\w.+@=,:-]*(?:/[\w+@=,-][\w.+@=,:-]*)*")  # ":" stands in quality calls' times
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_NO_STORE = {"Cache-Control": "no-store"}
# A picture shows itself and nothing else, whatever is in it.
_FILE_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}

_encode = msgspec.json.Encoder().encode


Ring = Callable[[int, str], str]
"""Rings a flat (its id) for somebody; the call's id. Raises RingRefused."""


@frozen
class NodeApi:
    """What is behind it. `recordings` are the folders whose files are served."""

    token: str
    live: Live
    ring: Ring
    recordings: Sequence[Path]
    registrations: Registrations


@frozen
class RingAsked:
    """The body of POST /ring: the flat's id in the CRM, and who asks."""

    flat_id: int
    who: str


@frozen
class PanelsAsked:
    """The body of POST /registered: SIP users, ASKED_MAX at most."""

    panels: Annotated[list[str], msgspec.Meta(max_length=ASKED_MAX)]


_ring_asked = msgspec.json.Decoder(RingAsked).decode
_panels_asked = msgspec.json.Decoder(PanelsAsked).decode


def router(api: NodeApi) -> Router:
    """The routes, guarded."""

    @get("/live.json", media_type="application/json")
    async def live(calls: Annotated[int, QueryParameter(ge=0, le=CALLS_MAX)] = CALLS) -> Response[bytes]:
        return _json(api.live.as_json(calls))

    @get("/domophones/{file:str}")
    async def domophone(file: FromPath[str]) -> Response[bytes]:
        if not file.endswith(".json"):
            raise HTTPException(status_code=404, detail="/domophones/SIP_USER.json has a panel's lock")
        return _json(_encode(api.live.lock_of(file.removesuffix(".json"))))

    @post("/ring")
    async def ring(request: Request[Any, Any, Any]) -> Response[bytes]:
        try:
            asked = _ring_asked(await request.body())
        except msgspec.MsgspecError as error:
            raise HTTPException(
                status_code=400, detail=f'{{"flat_id": 7, "who": "…"}} is expected: {error}'
            ) from error
        if not asked.who.strip():
            raise HTTPException(status_code=400, detail="`who` must say who asks for the ring")
        try:
            call_id = api.ring(asked.flat_id, asked.who)
        except RingRefused as error:
            raise HTTPException(status_code=503, detail=str(error)) from error
        return _json(_encode({"call_id": call_id}), HTTPStatus.ACCEPTED)

    @get("/registrations/{file:str}")
    async def registration(file: FromPath[str]) -> Response[bytes]:
        if not file.endswith(".json"):
            raise HTTPException(status_code=404, detail="/registrations/SIP_USER.json has a panel's")
        return _json(_encode(await api.registrations.of(file.removesuffix(".json"))))

    @post("/registered", request_max_body_size=PANELS_BODY_MAX)
    async def registered(request: Request[Any, Any, Any]) -> Response[bytes]:
        try:
            asked = _panels_asked(await request.body())
        except msgspec.MsgspecError as error:
            detail = f'{{"panels": ["500001", …]}} is expected: {error}'
            raise HTTPException(status_code=400, detail=detail) from error
        return _json(_encode(await api.registrations.of_many(asked.panels)))

    @get("/recordings/{name:path}")
    async def recording(
        name: FromPath[str], wanted: Annotated[str, HeaderParameter(name="range")] = ""
    ) -> Response[bytes] | Stream:
        file = await trio.to_thread.run_sync(find_recording, api.recordings, name.removeprefix("/"))
        if file is None:
            raise HTTPException(status_code=404, detail="there is no such recording on this node")
        return await _file(file, wanted)

    return Router(
        "/",
        route_handlers=[live, domophone, registration, registered, ring, recording],
        guards=[partial(_guard, api.token.encode())],
        exception_handlers={HTTPException: _problem},
        request_max_body_size=BODY_MAX,
    )


def _guard(token: bytes, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    if not token:
        if connection.client is not None and _is_local(connection.client.host):
            return
        raise NotAuthorizedException(
            "set TELEDOM_NODE_TOKEN on the node and the CRM: without it only this machine's clients are answered"
        )
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token):
        raise NotAuthorizedException("a bearer token is needed: the TELEDOM_NODE_TOKEN of this node")


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _problem(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    fields = {
        "type": "about:blank",
        "title": HTTPStatus(error.status_code).phrase,
        "status": error.status_code,
        "detail": error.detail,
    }
    headers = dict(_NO_STORE)
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        _encode(fields),
        status_code=error.status_code,
        media_type="application/problem+json",
        headers=headers,
    )


def _json(content: bytes, status: int = HTTPStatus.OK) -> Response[bytes]:
    return Response(content, status_code=status, media_type="application/json", headers=_NO_STORE)


# --- files -------------------------------------------------------------------------------------------------


def find_recording(folders: Sequence[Path], name: str) -> Path | None:
    """The file of that name below one of `folders`; None: there is none, or it is not one that is served."""
    if len(name) > NAME_MAX or not _NAME.fullmatch(name) or Path(name).suffix.lower() not in FILES:
        return None
    for folder in folders:
        try:
            top, file = folder.resolve(), (folder / name).resolve(strict=True)
        except OSError:
            continue
        if file.is_relative_to(top) and file.is_file() and file.suffix.lower() in FILES:
            return file
    return None


def wanted_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last, of a Range header; None: it asks for what is not there.

    What is no single range of bytes is passed over, as if the whole file were asked for (RFC 9110, 14.2).
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return 0, size
    if not found[1]:
        first, end = max(0, size - int(found[2])), size
    else:
        first, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < int(found[1]):
            return 0, size
    return (first, end) if first < end else None


async def _file(file: Path, wanted: str) -> Response[bytes] | Stream:
    size = (await trio.Path(file).stat()).st_size
    headers = dict(_FILE_HEADERS)
    media_type = FILES[file.suffix.lower()]
    piece = wanted_range(wanted, size) if wanted else (0, size)
    if piece is None:
        headers["Content-Range"] = f"bytes */{size}"
        return Response(b"", status_code=416, media_type=media_type, headers=headers)
    first, end = piece
    headers["Content-Length"] = str(end - first)
    status = HTTPStatus.OK
    if wanted and (first, end) != (0, size):
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return Stream(_pieces(file, first, end), status_code=status, media_type=media_type, headers=headers)


async def _pieces(file: Path, first: int, end: int) -> AsyncIterator[bytes]:
    async with await trio.open_file(file, "rb") as opened:
        await opened.seek(first)
        left = end - first
        while left > 0 and (piece := await opened.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
