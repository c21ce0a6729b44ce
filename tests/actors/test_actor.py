"""Mailboxes, asks and retirement."""

from __future__ import annotations

import math

import pytest
import trio
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.actor import ActorError, AskError, AskTimeout, Mailbox, MailboxClosed, MailboxFull, Reply, ask


@frozen
class Add:
    left: int
    right: int
    reply: Reply[int]


def add(reply: Reply[int]) -> Add:
    return Add(2, 3, reply)


async def test_messages_come_in_the_order_in_which_they_were_told() -> None:
    box: Mailbox[int] = Mailbox("a")
    for number in range(3):
        assert box.tell(number)
    with box.owned():
        assert [await box.receive() for _ in range(3)] == [0, 1, 2]


async def test_a_receiver_sleeps_until_it_is_told() -> None:
    box: Mailbox[int] = Mailbox("a")
    got: list[int] = []

    async def actor() -> None:
        with box.owned():
            got.append(await box.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor)
        await wait_all_tasks_blocked()
        assert got == []
        box.tell(7)
    assert got == [7]


async def test_one_wake_up_brings_all_that_wait() -> None:
    box: Mailbox[int] = Mailbox("a")
    batches: list[list[int]] = []

    async def actor() -> None:
        with box.owned():
            while sum(map(len, batches)) < 5:
                batches.append(await box.receive_all())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor)
        await wait_all_tasks_blocked()
        for number in range(4):
            box.tell(number)
        await wait_all_tasks_blocked()
        box.tell(4)
    assert batches == [[0, 1, 2, 3], [4]]


async def test_a_cancelled_receive_takes_nothing_though_a_message_waits() -> None:
    box: Mailbox[int] = Mailbox("a")
    with box.owned():
        box.tell(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await box.receive()
        assert scope.cancelled_caught
        assert await box.receive() == 1


async def test_a_message_told_before_or_after_the_cancellation_of_a_sleeper_is_not_lost() -> None:
    for tell_first in (True, False):
        box: Mailbox[int] = Mailbox("a")
        scope = trio.CancelScope()
        got: list[int] = []

        async def actor(
            box: Mailbox[int] = box, scope: trio.CancelScope = scope, got: list[int] = got
        ) -> None:
            with box.owned():
                with scope:
                    got.append(await box.receive())
                if not got:
                    got.append(await box.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor)
            await wait_all_tasks_blocked()
            if tell_first:
                box.tell(1)
            scope.cancel()
            if not tell_first:
                box.tell(1)
        assert got == [1]
        assert scope.cancelled_caught is not tell_first


@settings(max_examples=50, deadline=None)
@given(
    pauses=st.lists(st.integers(0, 3), max_size=30),
    deadlines=st.lists(st.sampled_from([0, 1, 2, math.inf]), max_size=30),
    batches=st.booleans(),
)
def test_nothing_is_lost_doubled_or_reordered_by_deadlines(
    pauses: list[int], deadlines: list[float], batches: bool
) -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox("a")
        got: list[int] = []

        async def actor() -> None:
            limits = iter(deadlines)
            with box.owned():
                while len(got) < len(pauses):
                    with trio.move_on_after(next(limits, math.inf)):
                        if batches:
                            got.extend(await box.receive_all())
                        else:
                            got.append(await box.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor)
            for number, pause in enumerate(pauses):
                await trio.sleep(pause)
                assert box.tell(number)
        assert got == list(range(len(pauses)))

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_a_full_mailbox_fails_its_actor_and_refuses_until_that_is_gone() -> None:
    box: Mailbox[int] = Mailbox("panel 7", capacity=2)
    ended = trio.Event()

    async def actor() -> None:
        with pytest.raises(MailboxFull, match="panel 7: more than 2 messages"), box.owned():  # noqa: PT012 (leaving the block raises)
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await ended.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor)
        await wait_all_tasks_blocked()
        assert [box.tell(number) for number in range(4)] == [True, True, False, False]
        await wait_all_tasks_blocked()
        assert not box.tell(4)
        ended.set()
    assert box.lost == 5
    assert box.tell(5)  # for the next owner
    with box.owned():
        assert await box.receive_all() == [5]


async def test_a_full_mailbox_fails_an_actor_that_shields_its_receive() -> None:
    box: Mailbox[int] = Mailbox("a", capacity=1)
    with pytest.raises(MailboxFull), box.owned():  # noqa: PT012 (leaving the block raises)
        box.tell(1)
        box.tell(2)
        with trio.CancelScope(shield=True):
            await box.receive()


async def test_an_actor_that_fails_as_its_mailbox_is_full_says_both() -> None:
    box: Mailbox[int] = Mailbox("a", capacity=1)
    with pytest.raises(MailboxFull) as caught, box.owned():  # noqa: PT012 (leaving the block raises)
        box.tell(1)
        box.tell(2)
        raise ValueError("bug")
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_full_mailbox_fails_an_actor_that_returns_all_the_same() -> None:
    box: Mailbox[int] = Mailbox("a", capacity=1)
    with pytest.raises(MailboxFull), box.owned():  # noqa: PT012 (leaving the block raises)
        box.tell(1)
        box.tell(2)


async def test_a_mailbox_that_fills_up_while_nobody_owns_it_is_empty_for_the_next() -> None:
    box: Mailbox[int] = Mailbox("a", capacity=2)
    assert [box.tell(number) for number in range(3)] == [True, True, False]
    with box.owned():
        box.tell(9)
        assert await box.receive_all() == [9]


async def test_a_stop_from_above_is_not_mistaken_for_a_full_mailbox() -> None:
    box: Mailbox[int] = Mailbox("a")
    with trio.CancelScope() as scope:
        with box.owned():
            scope.cancel()
            await box.receive()
    assert scope.cancelled_caught


async def test_what_waits_when_an_actor_crashes_is_there_for_its_next_life() -> None:
    box: Mailbox[int] = Mailbox("a")
    box.tell(1)
    box.tell(2)
    with pytest.raises(ValueError, match="bug"), box.owned():  # noqa: PT012 (leaving the block raises)
        await box.receive()
        raise ValueError("bug")
    with box.owned():
        assert await box.receive() == 2


async def test_a_mailbox_has_one_owner() -> None:
    box: Mailbox[int] = Mailbox("a")
    with box.owned(), pytest.raises(RuntimeError, match="has an owner"), box.owned():
        pass


async def test_only_one_task_receives() -> None:
    box: Mailbox[int] = Mailbox("a")
    with box.owned():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.receive)
            await wait_all_tasks_blocked()
            with pytest.raises(RuntimeError, match="two tasks"):
                await box.receive()
            box.tell(1)


async def test_an_idle_actor_retires_and_later_tells_are_refused(autojump_clock: MockClock) -> None:
    box: Mailbox[int] = Mailbox("a")
    with box.owned():
        assert await box.receive_or_retire(60) is None
    assert trio.current_time() == 60
    assert box.closed
    assert not box.tell(1)
    with pytest.raises(MailboxClosed), box.owned():
        pass


async def test_idle_time_counts_from_the_last_message(autojump_clock: MockClock) -> None:
    box: Mailbox[int] = Mailbox("a")
    async with trio.open_nursery() as nursery:

        async def teller() -> None:
            await trio.sleep(50)
            box.tell(1)

        nursery.start_soon(teller)
        with box.owned():
            assert await box.receive_all(60) == [1]
            assert await box.receive_all(60) == []
    assert trio.current_time() == 110


async def test_a_message_told_as_the_idle_time_ends_is_received_not_lost(autojump_clock: MockClock) -> None:
    box: Mailbox[int] = Mailbox("a")
    told: list[bool] = []

    async def teller() -> None:
        await trio.sleep(60)
        told.append(box.tell(1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(teller)
        with box.owned():
            got = await box.receive_all(60)
    assert (got == [1]) is (told == [True])


async def test_retiring_is_refused_while_a_message_waits() -> None:
    box: Mailbox[int] = Mailbox("a")
    box.tell(1)
    assert not box.retire()
    with box.owned():
        await box.receive()
    assert box.retire()
    assert not box.tell(2)


async def test_a_closed_mailbox_wakes_its_receiver_and_refuses() -> None:
    box: Mailbox[int] = Mailbox("a")
    async with trio.open_nursery() as nursery:

        async def actor() -> None:
            with pytest.raises(MailboxClosed), box.owned():
                await box.receive()

        nursery.start_soon(actor)
        await wait_all_tasks_blocked()
        box.close()
    assert not box.tell(1)


async def test_an_ask_brings_the_answer() -> None:
    box: Mailbox[Add] = Mailbox("adder")
    async with trio.open_nursery() as nursery:

        async def actor() -> None:
            with box.owned():
                message = await box.receive()
                assert message.reply.answer(message.left + message.right)
                assert not message.reply.answer(0)

        nursery.start_soon(actor)
        assert await ask(box, add, 1) == 5


async def test_an_ask_raises_what_the_actor_fails_it_with() -> None:
    box: Mailbox[Add] = Mailbox("adder")
    async with trio.open_nursery() as nursery:

        async def actor() -> None:
            with box.owned():
                (await box.receive()).reply.fail(ZeroDivisionError("no"))

        nursery.start_soon(actor)
        with pytest.raises(ZeroDivisionError, match="no"):
            await ask(box, add, 1)


async def test_an_ask_without_an_answer_times_out_and_says_who_was_asked_what(
    autojump_clock: MockClock,
) -> None:
    box: Mailbox[Add] = Mailbox("adder")
    with box.owned():
        with pytest.raises(AskTimeout, match=r"adder was asked Add and did not answer within 2\.5 s"):
            await ask(box, add, 2.5)
        assert trio.current_time() == 2.5
        late = (await box.receive()).reply
        assert not late.wanted
        assert not late.answer(5)


async def test_an_asked_actor_that_dies_fails_the_ask_at_once(autojump_clock: MockClock) -> None:
    box: Mailbox[Add] = Mailbox("adder")

    async def actor(taken: bool) -> None:
        with pytest.raises(ValueError, match="bug"), box.owned():  # noqa: PT012 (leaving the block raises)
            await trio.sleep(1)
            if taken:
                await box.receive()
            raise ValueError("bug")

    for taken in (True, False):
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor, taken)
            with pytest.raises(AskError, match="adder was asked Add, and ended before it answered"):
                await ask(box, add, 60)
            assert trio.current_time() == started + 1


async def test_asks_fail_at_once_when_the_mailbox_is_full_or_closed(autojump_clock: MockClock) -> None:
    box: Mailbox[Add] = Mailbox("adder", capacity=1)

    async def expect(what: str) -> None:
        with pytest.raises(AskError, match=what):
            await ask(box, add, 60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect, "did not keep up")  # it waited, and was dropped
        await wait_all_tasks_blocked()
        await expect("is full")
    with box.owned():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect, "was stopped")
            await wait_all_tasks_blocked()
            box.close()
    await expect("is closed")
    assert trio.current_time() == 0
    assert issubclass(AskTimeout, AskError)
    assert issubclass(AskError, ActorError)


async def test_a_cancelled_asker_is_no_longer_answered() -> None:
    box: Mailbox[Add] = Mailbox("adder")
    with box.owned():
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, box, add, 60)
                await wait_all_tasks_blocked()
                reply = (await box.receive()).reply
                scope.cancel()
                assert not reply.answer(5)
    assert not box._asks


async def test_an_answer_that_was_taken_reaches_the_asker_even_if_it_is_cancelled_then() -> None:
    box: Mailbox[Add] = Mailbox("adder")
    got: list[int] = []

    async def asker(scope: trio.CancelScope) -> None:
        with scope:
            got.append(await ask(box, add, 60))

    scope = trio.CancelScope()
    with box.owned():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asker, scope)
            reply = (await box.receive()).reply
            assert reply.answer(5)
            scope.cancel()
    assert got == [5]


def test_a_mailbox_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity 0"):
        Mailbox[int]("a", 0)
