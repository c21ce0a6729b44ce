"""An ASGI application on HTTP: hypercorn on Trio, at a socket that is bound at once: a port in use is one plain error."""

from __future__ import annotations

from errno import EADDRINUSE
from functools import partial
from typing import cast

import trio
from hypercorn.config import Config as ServerConfig
from hypercorn.trio import serve as serve_asgi
from hypercorn.typing import ASGIFramework
from litestar import Litestar

BACKLOG = 100


class CannotListen(Exception):
    """The address for HTTP cannot be had; the message says why and what to do."""


async def serve(
    app: Litestar,
    address: str,
    setting: str,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` at `address` ("host:port") until cancelled; port 0 takes a free one.

    `setting` is where the address comes from, for the error. Starts with the URL. Raises CannotListen.
    """
    server = ServerConfig()
    server.accesslog = server.errorlog = None
    server.include_server_header = False
    # hypercorn takes the socket over and closes it.
    server.bind = [f"fd://{await _listen(address, setting)}"]
    async with trio.open_nursery() as nursery:
        asgi = cast(ASGIFramework, app)  # each has its own types for ASGI
        urls: list[str] = await nursery.start(partial(serve_asgi, asgi, server))
        task_status.started(urls[0])


async def _listen(address: str, setting: str) -> int:
    """A socket that is bound to `address`, as its file descriptor, which the caller owns."""
    host, _, port = address.rpartition(":")
    try:
        found = await trio.socket.getaddrinfo(host.strip("[]"), port, type=trio.socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        with trio.socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
            await listening.bind(where)
            listening.listen(BACKLOG)
            return listening.detach()
    except OSError as error:
        hint = (
            "end what listens there, or set another"
            if error.errno == EADDRINUSE
            else "set one of this machine's"
        )
        raise CannotListen(
            f"HTTP cannot listen at {address} ({error.strerror}): {hint} in {setting}"
        ) from error
