"""The nodes as the CRM sees them: a whole node on a simulated Asterisk, and nodes on paper for what is rare."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import msgspec
import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry

import health
from config import AriConfig, Config, CrmConfig, JournalConfig, NodeConfig
from live import CallState, LinkKind, LinkState, LiveBoard, LiveNode, PanelLock, RingRefused
from node_api import NodeApi
from nodes import NodeAway, NodeRefused, Nodes
from telephony.registrations import ASKED_MAX, Registrations, SipState
from testbed.databases import write_town
from testbed.processes import open_ports
from testbed.simulated import Simulated, open_simulated
from testbed.town_bed import RunningNode, run_node
from tests.telephony.kamailio import PaperKamailio, contact, found
from tests.test_live import said

PANEL, FLAT = "500001", "1"
TOKEN = "between-us"


@attrs.define
class PaperNode:
    """A node that says what a test wants. `asked` counts its boards."""

    answer: LiveNode
    lock: PanelLock = attrs.Factory(lambda: PanelLock(panel=PANEL))
    why_no_ring: str = ""
    asked: int = 0

    def as_json(self, calls: int) -> bytes:
        self.asked += 1
        return msgspec.json.encode(self.answer)

    def lock_of(self, sip_user: str) -> PanelLock:
        return self.lock

    def ring(self, flat_id: int, who: str) -> str:
        if self.why_no_ring:
            raise RingRefused(self.why_no_ring)
        return f"{self.answer.node}-{flat_id}"


async def serve(
    nursery: trio.Nursery, paper: PaperNode, recordings: Sequence[Path] = (), kamailio: str = ""
) -> str:
    registrations = Registrations(kamailio, paper.answer.node)
    await nursery.start(registrations.run)
    api = NodeApi(TOKEN, paper, paper.ring, recordings, registrations)
    url: str = await nursery.start(
        partial(health.serve, "127.0.0.1:0", dict, api=api, registry=CollectorRegistry())
    )
    return url


@asynccontextmanager
async def open_nodes(*urls: str, token: str = TOKEN, every_s: float = 0.05) -> AsyncIterator[Nodes]:
    nodes = Nodes(urls, token, every_s=every_s)
    async with trio.open_nursery() as nursery:
        await nursery.start(nodes.run)
        yield nodes
        nursery.cancel_scope.cancel()


async def next_board(boards: AsyncIterator[LiveBoard]) -> LiveBoard:
    with trio.fail_after(10):
        return await anext(boards)


@pytest.fixture
def dead() -> str:
    """Where nobody listens."""
    with open_ports() as ports:
        return f"http://127.0.0.1:{ports.take()}"


async def test_nodes_are_asked_only_while_somebody_listens(nursery: trio.Nursery) -> None:
    paper = PaperNode(said("node1"))
    async with open_nodes(await serve(nursery, paper)) as nodes:
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert paper.asked == 0
        with nodes.subscribe() as boards:
            await next_board(boards)
            await next_board(boards)
        await trio.sleep(0.15)
        asked = paper.asked
        assert asked >= 2
        await trio.sleep(0.15)
        assert paper.asked == asked


async def test_the_first_board_has_all_nodes_and_a_dead_one_as_an_alarm(
    nursery: trio.Nursery, dead: str
) -> None:
    urls = [
        await serve(nursery, PaperNode(said("node1", calls=(1.0,)))),
        await serve(nursery, PaperNode(said("node2", calls=(2.0,)))),
    ]
    async with open_nodes(*urls, dead) as nodes:
        with nodes.subscribe() as boards:
            board = await next_board(boards)
    assert [call.node for call in board.calls] == ["node2", "node1"]
    assert [(row.url, row.node, bool(row.away)) for row in board.nodes] == [
        (urls[0], "node1", False),
        (urls[1], "node2", False),
        (dead, "", True),
    ]
    assert [(alarm.kind, alarm.about) for alarm in board.alarms] == [("node_away", dead)]


async def test_a_slow_listener_gets_the_newest_board_only(nursery: trio.Nursery) -> None:
    paper = PaperNode(said("node1"))
    async with open_nodes(await serve(nursery, paper)) as nodes:
        with nodes.subscribe() as slow, nodes.subscribe() as quick:
            await next_board(slow)
            for n in range(3):
                paper.answer = said(f"name{n}")
                while (await next_board(quick)).nodes[0].node != f"name{n}":
                    pass
            assert (await next_board(slow)).nodes[0].node == "name2"


async def test_a_wrong_secret_is_said_to_be_one(nursery: trio.Nursery) -> None:
    url = await serve(nursery, PaperNode(said("node1")))
    async with open_nodes(url, token="wrong") as nodes:
        with nodes.subscribe() as boards:
            board = await next_board(boards)
        with pytest.raises(NodeRefused, match="TELEDOM_NODE_TOKEN"):
            await nodes.lock_of(PANEL)
    assert "TELEDOM_NODE_TOKEN" in board.nodes[0].away


async def test_a_ring_goes_to_a_node_that_can_make_it(nursery: trio.Nursery, dead: str) -> None:
    unready = PaperNode(said("node1", not_ready="asterisk: away"), why_no_ring="the node cannot carry calls")
    urls = [dead, await serve(nursery, unready), await serve(nursery, PaperNode(said("node2")))]
    async with open_nodes(*urls) as nodes:
        assert await nodes.ring(7, "anna") == "node2-7"
    async with open_nodes(*urls[:2]) as nodes:
        with pytest.raises(NodeRefused, match="cannot carry calls"):
            await nodes.ring(7, "anna")
    async with open_nodes(dead) as nodes:
        with pytest.raises(NodeAway, match=dead):
            await nodes.ring(7, "anna")


async def test_a_lock_is_found_on_the_node_that_holds_it(nursery: trio.Nursery, dead: str) -> None:
    free = PaperNode(said("node1"), PanelLock(panel=PANEL, node="node1"))
    held = PaperNode(said("node2"), PanelLock(panel=PANEL, node="node2", held_for="sos", since=5.0))
    urls = [await serve(nursery, free), await serve(nursery, held)]
    async with open_nodes(*urls, dead) as nodes:
        assert await nodes.lock_of(PANEL) == held.lock
    async with open_nodes(urls[0], dead) as nodes:
        assert await nodes.lock_of(PANEL) == free.lock
    async with open_nodes(dead) as nodes:
        with pytest.raises(NodeAway):
            await nodes.lock_of(PANEL)


async def test_a_registration_is_that_of_whichever_kamailio_has_it(nursery: trio.Nursery, dead: str) -> None:
    kamailios = [
        await nursery.start(PaperKamailio().serve),
        await nursery.start(PaperKamailio({PANEL: found(contact())}).serve),
        "",
    ]
    empty, full, without = [
        await serve(nursery, PaperNode(said(f"node{n}")), kamailio=url) for n, url in enumerate(kamailios)
    ]
    async with open_nodes(empty, full, without, dead) as nodes:
        there = await nodes.registration_of(PANEL)
        assert (there.state, there.node) == (SipState.REGISTERED, "node1")
        assert there.contacts[0].user_agent == "Beward DKS"
        assert (await nodes.registration_of("500002")).state is SipState.UNKNOWN
    async with open_nodes(empty, without) as nodes:
        gone = await nodes.registration_of(PANEL)
        assert (gone.state, gone.node) == (SipState.NOT_REGISTERED, "node0")
    async with open_nodes(without) as nodes:
        assert "[node] kamailio" in (await nodes.registration_of(PANEL)).why
    async with open_nodes(dead) as nodes:
        assert dead in (await nodes.registration_of(PANEL)).why
    async with open_nodes(full, token="wrong") as nodes:
        assert "TELEDOM_NODE_TOKEN" in (await nodes.registration_of(PANEL)).why


async def test_a_whole_house_of_panels_is_asked_for_in_portions(nursery: trio.Nursery, dead: str) -> None:
    panels = [f"5{n:05}" for n in range(2 * ASKED_MAX + 500)]
    paper = PaperKamailio({panel: b"" for panel in panels[::3]})
    url = await serve(nursery, PaperNode(said("node1")), kamailio=await nursery.start(paper.serve))
    async with open_nodes(url) as nodes:
        answer = await nodes.registered_of(panels)
        assert (answer.state, list(answer.registered)) == (SipState.REGISTERED, panels[::3])
        assert (await nodes.registered_of([])).state is SipState.REGISTERED
    async with open_nodes(url, dead) as nodes:
        answer = await nodes.registered_of(panels)
        assert (answer.state, dead in answer.why) == (SipState.UNKNOWN, True)
        assert list(answer.registered) == panels[:ASKED_MAX:3]


async def test_a_recording_comes_from_the_node_that_made_it(nursery: trio.Nursery, tmp_path: Path) -> None:
    urls = []
    for name in ("node1", "node2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "call.wav").write_bytes(name.encode() * 1000)
        urls.append(await serve(nursery, PaperNode(said(name)), [tmp_path / name]))
    (tmp_path / "node1/only-here.wav").write_bytes(b"1")
    async with open_nodes(*urls) as nodes:
        with nodes.subscribe() as boards:
            await next_board(boards)
        async with nodes.recording("call.wav", "node2") as found:
            assert b"".join([piece async for piece in found.pieces]) == b"node2" * 1000
            assert (found.status, found.headers["content-length"]) == (200, "5000")
        async with nodes.recording("call.wav", "node2", wanted="bytes=5-9") as found:
            assert b"".join([piece async for piece in found.pieces]) == b"node2"
            assert (found.status, found.headers["content-range"]) == (206, "bytes 5-9/5000")
        async with nodes.recording("only-here.wav", "node2") as found:
            assert found.status == 200
        with pytest.raises(NodeRefused) as refused:
            async with nodes.recording("nowhere.wav", "node2"):
                pass
        assert refused.value.status == 404


@attrs.frozen
class Stage:
    simulated: Simulated
    running: RunningNode
    nodes: Nodes


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A whole node on a simulated Asterisk, and the CRM's side of it."""
    database = tmp_path / "crm.db"
    write_town(database)
    with open_ports() as ports:
        async with open_simulated() as simulated:
            http = f"127.0.0.1:{ports.take()}"
            config = Config(
                node=NodeConfig(name="node1", state_dir=str(tmp_path), http=http, token=TOKEN),
                ari=AriConfig(url=simulated.ari_url, user=simulated.user, password=simulated.password),
                crm=CrmConfig(url=f"sqlite:///{database}"),
                journal=JournalConfig(flush_ms=20),
            )
            async with run_node(config, database) as running, open_nodes(f"http://{http}") as nodes:
                await running.ready()
                yield Stage(simulated, running, nodes)


async def test_a_visitors_call_is_on_the_board_while_it_goes_on_and_after(stage: Stage) -> None:
    with stage.nodes.subscribe() as boards:
        panel = stage.simulated.press(PANEL, FLAT)

        async def until(state: CallState) -> LiveBoard:
            with trio.fail_after(20):
                while True:
                    board = await anext(boards)
                    if board.calls and board.calls[0].state is state:
                        return board

        board = await until(CallState.TALKING)
        (call,) = board.calls
        assert (call.node, call.kind, call.panel, call.flat) == ("node1", "visitor", PANEL, FLAT)
        assert (call.mac, bool(call.address), bool(call.answered_by)) == (call.mac, True, True)
        assert (board.now.talking, board.now.panels_busy) == (1, 1)
        lock = await stage.nodes.lock_of(PANEL)
        assert (lock.held_for, lock.node) == ("visitor", "node1")

        panel.hangup()
        board = await until(CallState.OVER)
        assert board.calls[0].outcome == "talked"
        assert board.now.calls == 0
        assert (await stage.nodes.lock_of(PANEL)).held_for is None
    links = {link.kind: link.state for link in board.nodes[0].links}
    assert links[LinkKind.APPLICATION] is links[LinkKind.LANE] is LinkState.UP
    assert board.alarms == ()
