"""The board's server-sent events: one stream for each window, on Trio's thread.

No stream holds a worker thread, or a connection to the database: one of each is borrowed every CHECK_S to see whether the
session still lasts, and what its employee may see. With the session its streams end. A session has PER_SESSION of them
at most; a further one ends its oldest, which says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
import trio
from attrs import define, field
from litestar import Request
from litestar.types import Receive, Send

from crm.rights import Right
from crm.site import Site, address_of
from crm.sos.reach import board_within
from crm.store import StoreError
from crm.web.board_view import BoardView, Viewer
from crm.web.guard import cookie_name, signed_in
from crm.web.page import SignedIn

CHECK_S = 5.0
PER_SESSION = 4
LAST_WORD_S = 1.0
ENDED, ELSEWHERE = "ended", "elsewhere"  # why a stream is over: the session is, or there are too many windows
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}

_log = structlog.get_logger("crm")


@define(eq=False)
class OpenStream:
    """A stream that runs. `over` says why it was ended from here; "" while it was not."""

    scope: trio.CancelScope = field(factory=trio.CancelScope)
    over: str = ""

    def end(self, why: str) -> None:
        self.over = self.over or why
        self.scope.cancel()


@define
class Streams:
    """All streams of the application, by session, the oldest first. For one Trio thread."""

    _open: dict[str, list[OpenStream]] = field(factory=dict)

    def count(self, session: str) -> int:
        return len(self._open.get(session, ()))

    @contextmanager
    def running(self, session: str) -> Iterator[OpenStream]:
        mine = self._open.setdefault(session, [])
        stream = OpenStream()
        mine.append(stream)
        for each in mine[:-PER_SESSION]:
            each.end(ELSEWHERE)
        try:
            yield stream
        finally:
            mine.remove(stream)
            if not mine:
                self._open.pop(session, None)


def streams_of(request: Request[Any, Any, Any]) -> Streams:
    """The application's."""
    state = request.app.state
    if "board_streams" not in state:
        state.board_streams = Streams()
    found: Streams = state.board_streams
    return found


def viewer_of(site: Site, user: SignedIn, right: Right) -> Viewer:
    """What somebody is shown who looks by `right`. Raises Forbidden, StoreError."""
    user.who.need(right)
    within = board_within(site.store, user.who.rights.reach(right))
    return Viewer(user.language, site.config.time_zone, user.who.rights, within)


async def send_boards(
    request: Request[SignedIn, Any, Any],
    receive: Receive,
    send: Send,
    nodes: Any,
    site: Site,
    right: Right,
    *,
    live: bool,
) -> None:
    """Send boards until the browser goes, or the session ends. Raises Forbidden, StoreError, before anything is sent."""
    viewer = await trio.to_thread.run_sync(viewer_of, site, request.user, right)
    view = BoardView(viewer, live)
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    with streams_of(request).running(request.user.session_id) as stream:
        with stream.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_gone, receive, stream.scope)
                nursery.start_soon(_until_ended, request, site, right, view, stream)
                with nodes.subscribe() as boards:
                    async for board in boards:
                        await send(_body(b"data: " + view.event(board)))
        if stream.over:
            with trio.move_on_after(LAST_WORD_S):
                await send(_body(b"event: over\ndata: " + stream.over.encode()))
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _body(event: bytes) -> Any:
    return {"type": "http.response.body", "body": event + b"\n\n", "more_body": True}


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _until_ended(
    request: Request[SignedIn, Any, Any], site: Site, right: Right, view: BoardView, stream: OpenStream
) -> None:
    """Look again and again who looks, and what he may see."""
    token = request.cookies.get(cookie_name(site.config), "")
    look = partial(_look, site, token, address_of(request, site.config), right)
    while True:
        await trio.sleep(CHECK_S)
        try:
            viewer = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
        except StoreError as error:
            _log.warning("whether a session lasts is not known", why=str(error))
            continue  # the duty desk needs its board while the database is away
        if viewer is None:
            stream.end(ENDED)
        else:
            view.viewer = viewer


def _look(site: Site, token: str, address: str, right: Right) -> Viewer | None:
    user = signed_in(site, token, address, quiet=True)
    if user is None or not user.who.rights.may(right):
        return None
    return viewer_of(site, user, right)
