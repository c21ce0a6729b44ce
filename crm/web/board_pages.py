"""The live board: its page, which fills itself by server-sent events, and where its rows lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from litestar import Request, Response, asgi, get
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.types import Receive, Scope, Send

from crm.model import Account, Base, Domophone, table
from crm.rights import Right
from crm.site import part, site_of
from crm.web.board_stream import send_boards
from crm.web.board_view import SPARK_HEIGHT, SPARK_WIDTH
from crm.web.menu import Item
from crm.web.page import Asked, Extra, render
from crm.who import NotFound


@get("/board", sync_to_thread=True)
def board(request: Asked) -> Response[str]:
    site, who = site_of(request), request.user.who
    who.need(Right.BOARD_VIEW)
    part(site, "nodes", "the live view")
    everywhere = who.rights.may_everywhere(Right.BOARD_VIEW)
    pools = who.rights.may(Right.SOS_VIEW) and "settings" in site.parts
    spark = (SPARK_WIDTH, SPARK_HEIGHT)
    return render(request, "board.html", whole=everywhere, spark=spark, pools=pools)


@asgi("/board/events", copy_scope=True)
async def board_events(scope: Scope, receive: Receive, send: Send) -> None:
    """All of the board, about twice a second."""
    await _events(scope, receive, send, Right.BOARD_VIEW, live=True)


@asgi("/sos/events", copy_scope=True)
async def sos_events(scope: Scope, receive: Receive, send: Send) -> None:
    """The 112 calls that go on."""
    await _events(scope, receive, send, Right.SOS_VIEW, live=False)


async def _events(scope: Scope, receive: Receive, send: Send, right: Right, *, live: bool) -> None:
    request: Asked = Request(scope)
    site = site_of(request)
    nodes = part(site, "nodes", "the live view")
    await send_boards(request, receive, send, nodes, site, right, live=live)


@get("/board/panel/{sip_user:str}", sync_to_thread=True)
def to_panel(request: Asked, sip_user: FromPath[str]) -> Redirect:
    """To the panel's page: a row knows only its SIP user."""
    return _lead(request, "domophones", Domophone, sip_user)


@get("/board/account/{sip_user:str}", sync_to_thread=True)
def to_account(request: Asked, sip_user: FromPath[str]) -> Redirect:
    """To the account's page."""
    return _lead(request, "accounts", Account, sip_user)


def _lead(request: Asked, name: str, model: type[Base], sip_user: str) -> Redirect:
    desk = site_of(request).desk
    of = table(model)
    with desk.store.reading() as connection:
        ids = connection.scalars(sa.select(of.c.id).where(of.c.sip_user == sip_user).limit(2)).all()
    gone = NotFound(f"nothing has the SIP user {sip_user} any more")
    if not ids:
        raise gone
    try:
        desk.get(request.user.who, desk.resource(name), ids[0])
    except NotFound:  # what is beyond looks like what is not there
        raise gone from None
    return Redirect(f"/{name}/{ids[0]}", status_code=303)


PAGES: list[Any] = [board, board_events, sos_events, to_panel, to_account]
EXTRAS: Mapping[str, Extra] = {}
ITEMS: tuple[Item, ...] = (Item("Board", "/board", Right.BOARD_VIEW, "signal"),)
