"""The live board: what the API does beside what all records have."""

from __future__ import annotations

from typing import Annotated, Any

import trio
from litestar import get
from msgspec import Meta, Struct

from crm.api.guard import Asked
from crm.api.problems import problems
from crm.rights import Right
from crm.site import part, site_of, wait_for
from crm.sos.reach import board_within
from crm.who import Refused
from live import LiveAlarm, LiveBoard, LiveCall, NodeRow, limited

WAIT_S = 5.0
At = Annotated[float, Meta(description="UTC seconds", examples=[1790000000.0])]
AtOrNone = Annotated[float | None, Meta(description="UTC seconds", examples=[1790000000.0])]


class BoardFigures(Struct):
    """Calls that go on, of all kinds; of them handset checks, and 112 calls; phones and panels."""

    ringing: Annotated[int, Meta(description="calls that ring", examples=[30])]
    talking: Annotated[int, Meta(description="calls in which people talk", examples=[7])]
    quality: Annotated[int, Meta(description="handset checks", examples=[6])]
    sos: Annotated[int, Meta(description="112 calls and call-backs", examples=[0])]
    phones_ringing: Annotated[int, Meta(examples=[61])]
    panels_busy: Annotated[int, Meta(examples=[41])]


class BoardCall(Struct):
    """A call that goes on, or has just ended."""

    call_id: Annotated[str, Meta(examples=["9f3ac1d2"])]
    node: Annotated[str, Meta(examples=["node1"])]
    kind: Annotated[
        str, Meta(description="visitor, sos, call_back, sos_test, quality, test_ring", examples=["visitor"])
    ]
    state: Annotated[str, Meta(description="ringing, talking or over", examples=["talking"])]
    started_at: At
    since: Annotated[float, Meta(description="when this state began, UTC seconds", examples=[1790000007.0])]
    panel: Annotated[str, Meta(description="the panel's SIP user", examples=["500001"])]
    address: Annotated[str, Meta(examples=["Челябинск, ул. Ленина 5, п. 2"])]
    flat: Annotated[str, Meta(examples=["42"])]
    flat_id: Annotated[int | None, Meta(examples=[7])]
    phones_ringing: Annotated[int, Meta(examples=[0])]
    answered_by: Annotated[str, Meta(description="an account's SIP user", examples=["7351"])]
    door_at: AtOrNone
    ended_at: AtOrNone
    outcome: Annotated[str, Meta(description='"" while it goes on', examples=[""])]
    number: Annotated[str, Meta(description="the number that 112 was shown", examples=[""])]


class BoardLink(Struct):
    """What a node is linked to."""

    kind: Annotated[str, Meta(examples=["kamailio"])]
    name: Annotated[str, Meta(examples=["televoip"])]
    state: Annotated[str, Meta(description="up, slow, down or unknown", examples=["up"])]
    note: Annotated[str, Meta(description="why it is not well", examples=[""])]
    latency_ms: Annotated[float | None, Meta(examples=[120.0])]
    errors: Annotated[int, Meta(description="since the node's start", examples=[0])]


class BoardNode(Struct):
    """A node."""

    node: Annotated[str, Meta(examples=["node1"])]
    away: Annotated[str, Meta(description="why it does not answer", examples=[""])]
    not_ready: Annotated[str, Meta(description="why it cannot carry calls", examples=[""])]
    links: list[BoardLink]


class BoardAlarm(Struct):
    """An alarm that stands."""

    kind: Annotated[str, Meta(examples=["pool_low"])]
    about: Annotated[str, Meta(examples=["chel"])]
    text: Annotated[str, Meta(examples=["2 of 40 numbers are left to lend: put more into sos_numbers"])]
    since: At
    count: Annotated[int, Meta(examples=[1])]
    node: Annotated[str, Meta(examples=["node1"])]
    code: Annotated[str, Meta(description="of what the text says; empty: it has none", examples=["pool_low"])]
    values: Annotated[
        dict[str, str],
        Meta(description="what the text has in it", examples=[{"spare": "2", "numbers": "40"}]),
    ]


class Board(Struct):
    """The board at `at`: of calls the newest, 112 calls that go on first. Who is bounded to some houses has their calls
    alone: no nodes, alarms or calls a second.
    """

    at: At
    calls_per_s: Annotated[float, Meta(description="begun, over the last 5 s", examples=[12.4])]
    series: Annotated[
        list[int], Meta(description="calls begun in each of the last 60 s", examples=[[11, 13]])
    ]
    now: BoardFigures
    nodes: list[BoardNode]
    alarms: list[BoardAlarm]
    calls: list[BoardCall]


@get(
    "/board",
    sync_to_thread=True,
    operation_id="read_board",
    summary="The live board: one look",
    tags=["Board"],
    responses=problems(),
)
def board(request: Asked) -> Board:
    site, who = site_of(request), request.user
    who.need(Right.BOARD_VIEW)
    nodes = part(site, "nodes", "the live view")
    mine = board_within(site.store, who.rights.reach(Right.BOARD_VIEW))
    return _board(limited(wait_for(_look, nodes), mine))


async def _look(nodes: Any) -> LiveBoard:
    """The next board: nodes are asked while somebody listens."""
    with nodes.subscribe() as boards:
        with trio.move_on_after(WAIT_S):
            found: LiveBoard = await anext(boards)
            return found
    raise Refused(f"no node has said anything within {WAIT_S:g} s: try again in a moment")


def _board(board: LiveBoard) -> Board:
    now = board.now
    return Board(
        at=board.at,
        calls_per_s=board.calls_per_s,
        series=list(board.series),
        now=BoardFigures(now.ringing, now.talking, now.quality, now.sos, now.phones_ringing, now.panels_busy),
        nodes=[_node(each) for each in board.nodes],
        alarms=[_alarm(each) for each in board.alarms],
        calls=[_call(each) for each in board.calls],
    )


def _node(row: NodeRow) -> BoardNode:
    links = [
        BoardLink(each.kind.value, each.name, each.state.value, each.note, each.latency_ms, each.errors)
        for each in row.links
    ]
    return BoardNode(row.node or row.url, row.away, row.not_ready, links)


def _alarm(alarm: LiveAlarm) -> BoardAlarm:
    return BoardAlarm(
        kind=alarm.kind,
        about=alarm.about,
        text=alarm.text,
        since=alarm.since,
        count=alarm.count,
        node=alarm.node,
        code=alarm.code,
        values=dict(alarm.values),
    )


def _call(call: LiveCall) -> BoardCall:
    return BoardCall(
        call_id=call.call_id,
        node=call.node,
        kind=call.kind,
        state=call.state.value,
        started_at=call.started_at,
        since=call.since,
        panel=call.panel,
        address=call.address,
        flat=call.flat,
        flat_id=call.flat_id,
        phones_ringing=call.phones_ringing,
        answered_by=call.answered_by,
        door_at=call.door_at,
        ended_at=call.ended_at,
        outcome=call.outcome,
        number=call.number,
    )


REQUESTS: list[Any] = [board]
