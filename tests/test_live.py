"""The live board: what a node says of its calls, and what several nodes come to together."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
import trio
import trio.testing

from actors.domophone import Claim, Hold
from actors.journal import Journal
from config import Config, JournalConfig, NodeConfig
from crm.values.records import CallRecord, LegEnd, LegRecord, Outcome
from live import (
    NODE_AWAY,
    NODE_NOT_READY,
    SERIES_S,
    CallState,
    Counts,
    Heard,
    LinkKind,
    LinkState,
    LiveAlarm,
    LiveCall,
    LiveNode,
    Pace,
    merged,
)
from node import Node

NOW = 1_800_000_000.5


def record(n: int, *, at: float = NOW, kind: str = "visitor", ringing: int = 0) -> CallRecord:
    legs = [LegRecord(f"panel-{n}", "panel", ringing_at=at)]
    legs += [LegRecord(f"td-{n}-acc-{i}", "account", f"acc{i}", at, at) for i in range(ringing)]
    return CallRecord(f"call{n}", "node1", f"panel{n}", "42", at, kind=kind, legs=legs)


def said(node: str, *, calls: tuple[float, ...] = (), **changes: Any) -> LiveNode:
    answer = LiveNode(
        node=node,
        at=NOW,
        not_ready="",
        calls_per_s=1.5,
        series=(0,) * (SERIES_S - 1) + (3,),
        now=Counts(ringing=2, talking=1, phones_ringing=5, panels_busy=3),
        links=(),
        alarms=(),
        calls=tuple(
            LiveCall(
                call_id=f"{node}-{at}",
                node=node,
                kind="visitor",
                state=CallState.RINGING,
                started_at=at,
                since=at,
            )
            for at in calls
        ),
    )
    return attrs.evolve(answer, **changes)


def test_what_begins_is_counted_by_the_second_and_the_current_one_is_left_out() -> None:
    pace = Pace()
    for at in (NOW - 61, NOW - 60, NOW - 1, NOW - 1.6, NOW):
        pace.count(at)
    series = pace.series(NOW)
    assert len(series) == SERIES_S
    assert (series[0], series[-2], series[-1]) == (1, 1, 1)
    assert sum(pace.series(NOW + 3600)) == 0


def test_boards_of_several_nodes_are_summed_and_their_calls_are_mixed_newest_first() -> None:
    alarm = LiveAlarm(kind="pool_low", about="kopeysk", text="2 of 40", since=NOW - 5, at=NOW)
    one, two = said("node1", calls=(5.0, 1.0), alarms=(alarm,)), said("node2", calls=(4.0, 2.0))
    board = merged([Heard("http://a", one), Heard("http://b", two)], NOW, calls=3)
    assert [call.call_id for call in board.calls] == ["node1-5.0", "node2-4.0", "node2-2.0"]
    assert board.now == Counts(ringing=4, talking=2, phones_ringing=10, panels_busy=6)
    assert (board.now.calls, board.calls_per_s, board.series[-1]) == (6, 3.0, 6)
    assert [(each.node, each.away) for each in board.nodes] == [("node1", ""), ("node2", "")]
    assert [(each.kind, each.node) for each in board.alarms] == [("pool_low", "node1")]


def test_a_node_that_does_not_answer_or_is_not_ready_is_an_alarm_since_when_it_is() -> None:
    away = Heard("http://a", said("node1", calls=(5.0,)), away="refused", since=NOW - 9)
    unready = Heard("http://b", said("node2", not_ready="asterisk: away"), since=NOW - 3)
    board = merged([away, unready, Heard("http://c", away="refused", since=NOW - 1)], NOW)
    assert [(each.kind, each.about, each.since) for each in board.alarms] == [
        (NODE_AWAY, "http://c", NOW - 1),
        (NODE_NOT_READY, "node2", NOW - 3),
        (NODE_AWAY, "node1", NOW - 9),
    ]
    assert (board.alarms[2].code, board.alarms[2].values) == (
        "node_away",
        {"url": "http://a", "why": "refused"},
    )
    assert board.alarms[2].text == "http://a: refused"
    assert board.calls == ()  # what it said last is no longer so
    assert board.now == said("node2").now


def test_without_any_node_the_board_is_empty() -> None:
    board = merged([], NOW)
    assert (len(board.series), board.now.calls, board.alarms) == (SERIES_S, 0, ())


async def test_the_journal_knows_what_goes_on_and_what_has_just_ended(tmp_path: Path) -> None:
    journal = Journal(JournalConfig(), tmp_path, lambda records: None, away=OSError)
    pages = [journal.open(record(n)) for n in range(3)]
    pages[1].close()
    pages[1].close()
    assert [*journal.going_on] == ["call0", "call2"]
    assert [each.call_id for each in journal.just_over] == ["call1"]
    assert journal.stats.open_calls == 2
    assert sum(journal.pace.series(NOW + 1)) == 3


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(Config(node=NodeConfig(name="node1", state_dir=str(tmp_path))))


async def test_a_node_says_what_its_calls_do(node: Node, autojump_clock: trio.testing.MockClock) -> None:
    now = time.time()
    journal = node.journal
    journal.open(record(1, at=now - 9, ringing=3))
    talking = record(2, at=now - 8, ringing=2)
    talking.answered_at, talking.answered_by, talking.door_at = now - 2, "acc0", now - 1
    journal.open(talking)
    journal.open(record(3, at=now - 7, kind="quality"))
    journal.open(record(4, at=now - 6, kind="sos"))
    over = record(5, at=now - 5, ringing=1)
    page = journal.open(over)
    over.ended_at, over.outcome, over.legs[1].end = now - 4, Outcome.GAVE_UP, LegEnd.CANCELLED
    page.close()
    node.locks["panel1"] = Hold(Claim.VISITOR, since=now - 9)

    answer = msgspec.json.decode(node.live.as_json(100), type=LiveNode)
    assert answer.now == Counts(ringing=3, talking=1, quality=1, sos=1, phones_ringing=3, panels_busy=1)
    assert [call.call_id for call in answer.calls] == ["call4", "call5", "call3", "call2", "call1"]
    _, ended, _, answered, ringing = answer.calls
    assert (ended.state, ended.outcome, ended.phones_ringing) == (CallState.OVER, "gave_up", 0)
    assert (answered.state, answered.since, answered.answered_by) == (CallState.TALKING, now - 2, "acc0")
    assert answered.door_at == now - 1
    assert (ringing.state, ringing.phones, ringing.phones_ringing) == (CallState.RINGING, 3, 3)
    assert sum(answer.series) == 5
    assert answer.not_ready

    links = {(link.kind, link.name): link for link in answer.links}
    assert links[LinkKind.APPLICATION, "TdCall"].state is LinkState.DOWN
    assert links[LinkKind.LANE, "teledom-lane-1"].state is LinkState.DOWN
    assert links[LinkKind.KAMAILIO, "televoip"].state is LinkState.UNKNOWN
    assert links[LinkKind.DATABASE, "crm"].state is LinkState.UP

    assert [call.call_id for call in msgspec.json.decode(node.live.as_json(2), type=LiveNode).calls] == [
        "call4",  # 112 comes first as long as it goes on
        "call5",
    ]
    node.disconnect()
    node.sos.close()


async def test_who_asks_soon_again_gets_the_same_answer(
    node: Node, autojump_clock: trio.testing.MockClock
) -> None:
    first = node.live.as_json(10)
    node.journal.open(record(1))
    assert node.live.as_json(10) is first
    await trio.sleep(0.25)
    assert b"call1" in node.live.as_json(10)
    node.disconnect()
    node.sos.close()


async def test_a_panels_lock_says_who_has_it_since_when(node: Node) -> None:
    assert node.live.lock_of("panel1").held_for is None
    node.locks["panel1"] = Hold(Claim.CALL_BACK, since=12.5)
    lock = node.live.lock_of("panel1")
    assert (lock.panel, lock.node, lock.held_for, lock.since) == ("panel1", "node1", "call_back", 12.5)
    node.disconnect()
    node.sos.close()
