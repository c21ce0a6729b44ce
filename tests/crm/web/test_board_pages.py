"""The live board: real nodes behind a real server, read as a browser reads it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import httpx
import msgspec
import pytest
import trio

from crm.rights import ALL_RIGHTS, Reach, Right
from crm.staff.sessions import end_sessions
from crm.store import Store
from crm.web import board_stream
from crm.web.board_view import BoardView, Viewer
from live import (
    CallState,
    Counts,
    LiveBoard,
    LiveCall,
    LiveNode,
    NodeRow,
    Within,
    limited,
)
from nodes import Nodes
from serving import serve
from tests.crm.houses import Houses
from tests.crm.web.site import PASSWORD, TestSite, open_site
from tests.test_live import said
from tests.test_nodes import TOKEN, PaperNode
from tests.test_nodes import serve as serve_node

NOW = time.time()


def call(id: str, panel: str = "p1", *, ago_s: float = 5.0, **changes: Any) -> LiveCall:
    """A visitor's call that rings two phones."""
    ringing = LiveCall(
        call_id=id,
        node="node1",
        kind="visitor",
        state=CallState.RINGING,
        started_at=NOW - ago_s,
        since=NOW - ago_s,
        panel=panel,
        address=f"ул. Ленина, {panel}",
        flat="42",
        phones=2,
        phones_ringing=2,
    )
    return attrs.evolve(ringing, **changes)


def answer(*calls: LiveCall, **changes: Any) -> LiveNode:
    counts = Counts(ringing=len(calls), phones_ringing=2 * len(calls), panels_busy=len(calls))
    return attrs.evolve(said("node1"), now=counts, calls=calls, **changes)


def board(*calls: LiveCall, away: str = "") -> LiveBoard:
    counts = Counts(ringing=len(calls))
    node = NodeRow(url="http://10.0.0.1:8088", node="node1", away=away)
    return LiveBoard(
        at=NOW, calls_per_s=1.5, series=(1, 3), now=counts, nodes=(node,), alarms=(), calls=calls
    )


def view(within: Within | None = None, language: str = "en") -> BoardView:
    return BoardView(Viewer(language, "UTC", ALL_RIGHTS, within))


def told(view: BoardView, board: LiveBoard) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(view.event(board))
    return found


# --- what a viewer is told -------------------------------------------------------------------------------------------


def test_only_what_changed_is_told_again() -> None:
    mine = view()
    first = told(mine, board(call("a"), call("b", ago_s=1)))

    same = told(mine, board(call("a"), call("b", ago_s=1)))
    talking = call("a", state=CallState.TALKING, answered_by="acc1")
    after = told(mine, board(talking))

    assert [row["i"] for row in first["new"]] == ["b", "a"]
    assert first["new"][0]["w"] == "rings 2 phones"
    assert set(same) == {"at"}
    assert [row["i"] for row in after["changed"]] == ["a"]
    assert after["changed"][0]["account"] == "/board/account/acc1"
    assert after["gone"] == ["b"]


def test_who_is_bounded_is_told_of_calls_of_his_panels_and_nothing_of_nodes() -> None:
    seen = Within(frozenset({"p1"}))
    mine = told(view(seen), board(call("a"), call("b", "p2"), call("c", "p2", kind="sos")))

    assert [row["i"] for row in mine["new"]] == ["a"]
    assert mine["figures"]["calls"] == "1"
    assert mine["sos"] == []
    assert not {"links", "alarms", "spark"} & set(mine)
    assert "pace" not in mine["figures"]
    assert limited(board(call("b", "p2")), Within(frozenset())).now == Counts()


def test_what_no_node_says_is_not_known_and_not_nought() -> None:
    mine = view()

    before = told(mine, board(away="no connection"))
    after = told(mine, board())

    assert (before["known"], set(before["figures"].values())) == (False, {"–"})
    assert (after["known"], after["figures"]["calls"]) == (True, "0")


def test_a_row_says_what_kind_of_call_it_is_and_by_which_number_112_goes() -> None:
    back = call("b", kind="call_back", state=CallState.TALKING, answered_by="p1@tel", number="+73512000001")

    row = told(view(), board(attrs.evolve(back, state=CallState.OVER, outcome="talked")))["new"][0]

    assert row["kw"] == f"112 calls back · {row['w']}"
    assert row["acc"] == "+73512000001"


def test_a_112_call_stands_above_the_list_until_it_is_over() -> None:
    mine = view()
    sos = call("s", kind="sos", address="ул. Мира 1, п. 1", number="+73512000001", ago_s=900)

    first = told(mine, board(sos, call("a")))
    after = told(
        mine, board(attrs.evolve(sos, state=CallState.OVER, ended_at=NOW, outcome="talked"), call("a"))
    )

    assert [(row["a"], row["n"]) for row in first["sos"]] == [("ул. Мира 1, п. 1", "+73512000001")]
    assert [row["i"] for row in first["new"]] == ["a"]
    assert after["sos"] == []
    assert [row["i"] for row in after["new"]] == ["s"]
    assert after["new"][0]["call"] == "/calls/s"


def test_an_event_stays_small_however_many_calls_there_are() -> None:
    many = board(*(call(f"call-{n:032}", ago_s=n / 100) for n in range(1000)))

    event = view().event(many)

    assert len(msgspec.json.decode(event)["new"]) == 60
    assert len(event) < 30_000


def test_words_are_the_viewers() -> None:
    row = told(view(language="ru"), board(call("a")))["new"][0]

    assert row["w"] == "звонит на 2 телефона"


# --- over HTTP -------------------------------------------------------------------------------------------------------


@attrs.frozen
class Stage:
    """A server with the board of one node that says what a test wants."""

    site: TestSite
    node: PaperNode
    url: str

    @asynccontextmanager
    async def client(self, login: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser in which `login` is signed in."""
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as client:
            await client.get("/sign-in")
            token = client.cookies["csrftoken"]
            form = {"login": login, "password": PASSWORD, "next": "/", "_csrf_token": token}
            assert (await client.post("/sign-in", data=form)).status_code == 303
            yield client


@asynccontextmanager
async def open_stage(store: Store) -> AsyncIterator[Stage]:
    node = PaperNode(answer(call("a")))
    async with trio.open_nursery() as nursery:
        url = await serve_node(nursery, node)
        nodes = Nodes([url], TOKEN, every_s=0.05)
        await nursery.start(nodes.run)
        with open_site(store, nodes=nodes) as site:
            http = await nursery.start(partial(serve, site.app, "127.0.0.1:0", "a test"))
            yield Stage(site, node, http)
            nursery.cancel_scope.cancel()


@attrs.define
class Events:
    """The events of a stream, read off the socket: their data, or "NAME: data"."""

    _socket: trio.SocketStream
    _buffer: bytes = b""

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> str:
        while b"\n\n" not in self._buffer:
            piece = await self._socket.receive_some()
            if not piece:
                raise StopAsyncIteration
            self._buffer += piece
        event, _, self._buffer = self._buffer.partition(b"\n\n")
        lines = event.decode().splitlines()
        name = next((line.removeprefix("event: ") + ": " for line in lines if line.startswith("event: ")), "")
        return name + next(line.removeprefix("data: ") for line in lines if line.startswith("data: "))


@asynccontextmanager
async def events(client: httpx.AsyncClient, path: str = "/board/events") -> AsyncIterator[Events]:
    """A stream that is left when the test likes."""
    url = client.base_url
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {url.host}\r\nAccept: text/event-stream\r\nCookie: {cookies}\r\n\r\n"
    )
    async with await trio.open_tcp_stream(url.host, url.port or 80) as socket:
        await socket.send_all(request.encode())
        head = b""
        with trio.fail_after(10):
            while b"\r\n\r\n" not in head:
                head += await socket.receive_some()
        head, _, rest = head.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        assert b"text/event-stream" in head
        yield Events(socket, rest)


async def next_event(stream: Events) -> str:
    with trio.fail_after(10):
        return await anext(stream)


async def test_a_call_comes_and_goes_as_events(store: Store) -> None:
    async with open_stage(store) as stage:
        async with stage.client("admin") as client, events(client) as stream:
            first = msgspec.json.decode(await next_event(stream))
            assert [row["i"] for row in first["new"]] == ["a"]
            assert first["links"][0]["node"]["n"] == "node1"

            stage.node.answer = answer(call("b"))
            news: dict[str, Any] = {}
            while "new" not in news:
                news = msgspec.json.decode(await next_event(stream))
            assert ([row["i"] for row in news["new"]], news["gone"]) == (["b"], ["a"])


async def test_a_stream_ends_with_its_session(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_stream, "CHECK_S", 0.05)
    async with open_stage(store) as stage:
        async with stage.client("admin") as client, events(client) as stream:
            await next_event(stream)
            with store.transaction() as connection:
                end_sessions(connection, 1)
            last = ""
            with trio.fail_after(10):
                async for last in stream:  # noqa: B007 - the last one is meant
                    pass
            assert last == "over: ended"


async def test_a_session_has_a_few_streams_and_the_oldest_gives_way(store: Store) -> None:
    async with open_stage(store) as stage:
        async with stage.client("admin") as client, events(client) as oldest:
            await next_event(oldest)
            async with trio.open_nursery() as nursery:

                async def stay() -> None:
                    async with events(client) as stream:
                        async for _ in stream:
                            pass

                for _ in range(board_stream.PER_SESSION):
                    nursery.start_soon(stay)
                last = ""
                with trio.fail_after(10):
                    async for last in oldest:  # noqa: B007 - the last one is meant
                        pass
                assert last == "over: elsewhere"
                nursery.cancel_scope.cancel()


async def test_nodes_are_left_alone_when_the_last_browser_has_gone(store: Store) -> None:
    async with open_stage(store) as stage:
        async with stage.client("admin") as client:
            async with events(client) as stream:
                await next_event(stream)
        nodes = stage.site.parts["nodes"]
        with trio.fail_after(10):
            while nodes._listeners:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.02)


async def test_rights_and_reach_hold_for_events(store: Store) -> None:
    houses = Houses(store)
    mine, other = houses.house("1"), houses.house("2")
    houses.panel("p1", houses.entrance("п. 1", mine))
    houses.panel("p2", houses.entrance("п. 1", other))
    async with open_stage(store) as stage:
        stage.node.answer = answer(call("a", "p1"), call("b", "p2"))
        stage.site.employee("manager", [Right.BOARD_VIEW], Reach(houses=frozenset({mine})))
        stage.site.employee("nobody", [Right.KEYS_VIEW])
        async with stage.client("manager") as client, events(client) as stream:
            first = msgspec.json.decode(await next_event(stream))
            assert [row["i"] for row in first["new"]] == ["a"]
            assert "links" not in first
        async with stage.client("nobody") as client:
            for path in ("/board/events", "/sos/events", "/board"):
                assert (await client.get(path)).status_code == 403, path
        async with httpx.AsyncClient(base_url=stage.url) as client:
            assert (await client.get("/board/events")).status_code == 303


def test_the_page_says_that_there_are_no_nodes_to_look_at(site: TestSite) -> None:
    answer = site.browser().get("/board")

    assert answer.status_code == 400
    assert "started without" in answer.text or "запущен без" in answer.text


def test_a_row_leads_to_its_panel_and_account(site: TestSite, houses: Houses) -> None:
    account = houses.account("acc1", houses.flat(houses.house("1"), "1"))

    found = site.browser().get("/board/account/acc1")

    assert found.headers["location"] == f"/accounts/{account}"
    assert site.browser().get("/board/account/acc2").status_code == 404
