"""A lane: order, deadlines, and what becomes of requests when the connection is lost."""

from __future__ import annotations

import trio
import trio.testing

from telephony.ari.events import Reply
from telephony.ari.lane import Lane, Request

RING = Request("POST", "channels/c/ring")
ANSWER = Request("POST", "channels/c/answer")
DIGIT = Request("POST", "channels/c/dtmf", {"dtmf": "5"}, once=True)


class Far:
    """The far end of a lane: keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Request]] = []

    def take(self, request_id: str, request: Request) -> None:
        self.sent.append((request_id, request))

    def requests(self) -> list[Request]:
        return [request for _, request in self.sent]


def late(lane: Lane) -> bool:
    return lane.late


def make() -> Lane:
    return Lane("lane", late_s=0.5, deadline_s=5.0)


async def test_requests_go_out_in_order_without_waiting_for_answers() -> None:
    lane, far = make(), Far()
    replies: list[int] = []
    with lane.carried_by(far.take):
        lane.post(RING, lambda reply: replies.append(reply.status_code))
        lane.post(ANSWER, lambda reply: replies.append(reply.status_code))
        assert far.requests() == [RING, ANSWER]
        assert lane.load == 2
        lane.settle(Reply(far.sent[0][0], 204))
        lane.settle(Reply(far.sent[1][0], 404))
    assert replies == [204, 404]
    assert (lane.counts.requests, lane.counts.refused, lane.load) == (2, 1, 0)


async def test_replies_out_of_order_and_strange_ones_disturb_nothing() -> None:
    lane, far = make(), Far()
    replies: list[str] = []
    with lane.carried_by(far.take):
        lane.post(RING, lambda reply: replies.append("ring"))
        lane.post(ANSWER, lambda reply: replies.append("answer"))
        lane.settle(Reply("nobody asked", 200))
        lane.settle(Reply(far.sent[1][0], 204))
        lane.settle(Reply(far.sent[0][0], 204))
        lane.settle(Reply(far.sent[0][0], 204))
    assert replies == ["answer", "ring"]
    assert lane.counts.strangers == 2


async def test_what_has_no_answer_is_sent_again_over_the_next_connection_in_order() -> None:
    lane, far, again = make(), Far(), Far()
    replies: list[int] = []
    with lane.carried_by(far.take):
        lane.post(RING, lambda reply: replies.append(reply.status_code))
    lane.post(ANSWER, lambda reply: replies.append(reply.status_code))
    assert replies == []
    with lane.carried_by(again.take):
        assert again.requests() == [RING, ANSWER]
        for request_id, _ in again.sent:
            lane.settle(Reply(request_id, 204))
    assert replies == [204, 204]


async def test_what_must_not_come_twice_is_not_sent_again() -> None:
    lane, far, again = make(), Far(), Far()
    replies: list[int] = []
    with lane.carried_by(far.take):
        lane.post(DIGIT, lambda reply: replies.append(reply.status_code))
    assert replies == [0]
    with lane.carried_by(again.take):
        assert again.requests() == []


async def test_late_lane_says_so_until_its_answer_comes(autojump_clock: trio.testing.MockClock) -> None:
    lane, far = make(), Far()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.watch)
        with lane.carried_by(far.take):
            lane.post(RING, lambda reply: None)
            await trio.sleep(0.4)
            assert not late(lane)
            await trio.sleep(0.3)
            assert late(lane)
            lane.settle(Reply(far.sent[0][0], 204))
            await trio.sleep(0.2)
            assert not late(lane)
        nursery.cancel_scope.cancel()


async def test_request_past_its_deadline_is_answered_with_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lane, far = make(), Far()
    replies: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.watch)
        with lane.carried_by(far.take):
            lane.post(RING, lambda reply: replies.append(reply.status_code))
            await trio.sleep(3)
            lane.post(ANSWER, lambda reply: replies.append(reply.status_code))
            await trio.sleep(2.2)
            assert replies == [0]
        await trio.sleep(3)  # away: the other one has its own deadline
        assert replies == [0, 0]
        assert lane.counts.unanswered == 2
        nursery.cancel_scope.cancel()
