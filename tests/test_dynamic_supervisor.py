"""Actors by key: started on demand, restarted, retired; on a clock that jumps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from attrs import Factory, define
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.actor import Mailbox, MailboxFull
from actors.keyed import KeyedSupervisor
from supervisor import (
    Backoff,
    ChildEvent,
    ChildSpec,
    ChildState,
    Event,
    Strategy,
    Supervisor,
    TooManyRestarts,
)

STEADY = Backoff(min_s=1.0, max_s=8.0, jitter=0.0, reset_s=100.0)
IDLE_S = 60.0


class Boom(Exception):
    pass


@define
class World:
    """Actors that note what they are told, and crash at a negative number."""

    got: list[tuple[str, int]] = Factory(list)
    lives: list[str] = Factory(list)
    alive: set[str] = Factory(set)
    events: list[ChildEvent] = Factory(list)
    leave_s: float = 0.0

    async def actor(self, key: str, mailbox: Mailbox[int]) -> None:
        assert key not in self.alive, "two actors of one key at once"
        self.alive.add(key)
        self.lives.append(key)
        try:
            with mailbox.owned():
                while (number := await mailbox.receive_or_retire(IDLE_S)) is not None:
                    if number < 0:
                        raise Boom(key)
                    self.got.append((key, number))
        finally:
            if self.leave_s:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.leave_s)
            self.alive.discard(key)

    def panels(
        self,
        actor: Callable[[str, Mailbox[int]], Awaitable[None]] | None = None,
        *,
        intensity: int = 5,
        capacity: int = 256,
        backoff: Backoff = STEADY,
    ) -> KeyedSupervisor[str, int]:
        return KeyedSupervisor(
            actor or self.actor,
            name="panels",
            capacity=capacity,
            intensity=intensity,
            period_s=1000.0,
            backoff=backoff,
            on_event=self.events.append,
        )

    def seen(self, event: Event) -> list[str]:
        return [e.child for e in self.events if e.event is event]


async def test_an_actor_is_started_by_its_first_message_and_kept(autojump_clock: MockClock) -> None:
    world = World()
    panels = world.panels()
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        assert len(panels) == 0
        assert panels.tell("a", 1)
        assert panels.ensure("a") is panels.ensure("a")
        panels.tell("b", 2)
        panels.tell("a", 3)
        await wait_all_tasks_blocked()
        assert sorted(world.got) == [("a", 1), ("a", 3), ("b", 2)]
        assert sorted(world.lives) == ["a", "b"]
        assert [child.name for child in panels.children()] == ["panels/a", "panels/b"]
        assert {child.state for child in panels.children()} == {ChildState.UP}
        nursery.cancel_scope.cancel()
    assert len(panels) == 0


async def test_a_retired_actor_is_forgotten_and_a_new_message_starts_a_fresh_one(
    autojump_clock: MockClock,
) -> None:
    world = World()
    panels = world.panels()
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        old = panels.ensure("a")
        await trio.sleep(IDLE_S + 1)
        assert "a" not in panels
        assert not old.tell(1)
        assert panels.tell("a", 2)
        await trio.sleep(1)
        assert world.got == [("a", 2)]
        assert world.lives == ["a", "a"]
        nursery.cancel_scope.cancel()


async def test_a_message_told_while_an_actor_is_leaving_reaches_a_fresh_one_after_it(
    autojump_clock: MockClock,
) -> None:
    world = World(leave_s=3.0)
    panels = world.panels()
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        panels.ensure("a")
        await trio.sleep(IDLE_S + 1)
        assert panels.tell("a", 1)
        assert panels.tell("a", 2)
        await trio.sleep(1)
        assert world.got == []
        await trio.sleep(2)
        assert world.got == [("a", 1), ("a", 2)]
        nursery.cancel_scope.cancel()


@settings(max_examples=60, deadline=None)
@given(
    pauses=st.lists(st.sampled_from([0.0, 1.0, IDLE_S - 1, IDLE_S, IDLE_S + 1, IDLE_S + 2]), max_size=25),
    leave_s=st.sampled_from([0.0, 1.0, 2.0]),
    yields=st.integers(0, 4),
)
def test_no_message_is_lost_doubled_or_reordered_whenever_it_comes(
    pauses: list[float], leave_s: float, yields: int
) -> None:
    async def main() -> None:
        world = World(leave_s=leave_s)
        panels = world.panels()
        async with trio.open_nursery() as nursery:
            await nursery.start(panels.run)
            for number, pause in enumerate(pauses):
                await trio.sleep(pause)
                for _ in range(yields):
                    await trio.lowlevel.checkpoint()
                assert panels.tell("a", number)
            await trio.sleep(200)
            assert len(panels) == 0
            nursery.cancel_scope.cancel()
        assert world.got == [("a", number) for number in range(len(pauses))]
        assert world.events == []

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_an_actor_that_returns_while_a_message_waits_is_run_again_for_it(
    autojump_clock: MockClock,
) -> None:
    got: list[int] = []

    async def one_each(key: str, mailbox: Mailbox[int]) -> None:
        with mailbox.owned():
            got.append(await mailbox.receive())

    panels = World().panels(one_each)
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        for number in range(3):
            panels.tell("a", number)
        await trio.sleep(1)
        assert got == [0, 1, 2]
        assert len(panels) == 0
        nursery.cancel_scope.cancel()


async def test_a_crashed_actor_is_restarted_after_its_backoff_with_what_was_told_meanwhile(
    autojump_clock: MockClock,
) -> None:
    world = World()
    panels = world.panels()
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        address = panels.ensure("a")
        panels.tell("b", 1)
        address.tell(-1)
        await trio.sleep(0.5)
        (info,) = (child for child in panels.children() if child.name == "panels/a")
        assert (info.state, info.restarts, type(info.last_error)) == (ChildState.BACKOFF, 1, Boom)
        assert panels.ensure("a") is address
        assert address.tell(5)
        await trio.sleep(1)
        assert world.got == [("b", 1), ("a", 5)]
        assert world.lives.count("b") == 1
        assert panels.restarts == 1
        assert world.seen(Event.FAILED) == ["panels/a"]
        nursery.cancel_scope.cancel()


async def test_backoff_grows_with_each_crash_and_resets_after_a_while_up(autojump_clock: MockClock) -> None:
    world = World()
    panels = world.panels(intensity=100, backoff=Backoff(1.0, 8.0, 0.0, 30.0))
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        for pause in (1, 2, 4, 8, 8, 8 + 31, 2):
            panels.tell("a", -1)
            await trio.sleep(pause + 0.5)
        delays = [e.delay_s for e in world.events if e.event is Event.RESTARTING]
        assert delays == [1, 2, 4, 8, 8, 8, 1]
        nursery.cancel_scope.cancel()


async def test_how_long_a_crashed_actor_rests_is_known(autojump_clock: MockClock) -> None:
    world = World()
    panels = world.panels()
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        assert panels.rest_s("a") == 0
        panels.tell("a", -1)
        await trio.sleep(0.25)
        assert panels.rest_s("a") == pytest.approx(0.75)
        await trio.sleep(1)
        assert panels.rest_s("a") == 0
        nursery.cancel_scope.cancel()


async def test_a_full_mailbox_restarts_that_one_actor(autojump_clock: MockClock) -> None:
    lives: list[str] = []

    async def stuck(key: str, mailbox: Mailbox[int]) -> None:
        lives.append(key)
        with mailbox.owned():
            await trio.sleep_forever()

    world = World()
    panels = world.panels(stuck, capacity=3)
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        panels.ensure("b")
        panels.ensure("a")
        await trio.sleep(1)
        assert [panels.tell("a", number) for number in range(5)] == [True, True, True, False, False]
        await trio.sleep(2)
        assert sorted(lives) == ["a", "a", "b"]
        assert [type(e.error) for e in world.events if e.event is Event.FAILED] == [MailboxFull]
        assert panels.tell("a", 1)
        nursery.cancel_scope.cancel()


async def test_crashes_of_all_keys_count_together_and_escalate(autojump_clock: MockClock) -> None:
    world = World()
    panels = world.panels(intensity=2)

    async def crash() -> None:
        for key in "abc":
            await trio.sleep(1)
            panels.tell(key, -1)

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 (leaving the block raises)
        async with trio.open_nursery() as nursery:
            await nursery.start(panels.run)
            panels.ensure("healthy")
            nursery.start_soon(crash)
    (error,) = caught.value.exceptions
    assert isinstance(error, TooManyRestarts)
    assert (error.supervisor, error.child, error.count) == ("panels", "panels/c", 3)
    assert [str(cause) for cause in error.causes] == ["a", "b", "c"]
    assert not world.alive
    assert len(panels) == 0


async def test_a_crash_on_the_way_out_counts_but_nobody_is_started_again(autojump_clock: MockClock) -> None:
    async def leaves_badly(key: str, mailbox: Mailbox[int]) -> None:
        with mailbox.owned():
            await mailbox.receive_or_retire(1)
            raise Boom

    world = World()
    panels = world.panels(leaves_badly)
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        panels.ensure("a")
        await trio.sleep(30)
        assert world.seen(Event.FAILED) == ["panels/a"]
        assert world.seen(Event.RESTARTING) == []
        assert len(panels) == 0
        nursery.cancel_scope.cancel()


async def test_a_stop_cancels_all_side_by_side_and_reports_who_does_not_end(
    autojump_clock: MockClock,
) -> None:
    world = World(leave_s=4.0)

    async def slow(key: str, mailbox: Mailbox[int]) -> None:
        try:
            await world.actor(key, mailbox)
        finally:
            if key == "slow":
                with trio.CancelScope(shield=True):
                    await trio.sleep(20)

    panels = world.panels(slow)
    with trio.move_on_after(10):
        for key in ("a", "slow", "b"):
            panels.ensure(key)
        await panels.run()
    assert trio.current_time() == 34
    assert world.seen(Event.STUCK) == ["panels/slow"]


async def test_an_actor_that_fails_in_its_stop_is_reported_and_cancelled_goes_on(
    autojump_clock: MockClock,
) -> None:
    async def bad(key: str, mailbox: Mailbox[int]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                if key == "bad":
                    raise Boom

    world = World()
    panels = world.panels(bad)
    with trio.move_on_after(1) as scope:
        panels.ensure("bad")
        panels.ensure("good")
        await panels.run()
    assert scope.cancelled_caught
    assert world.seen(Event.FAILED_STOPPING) == ["panels/bad"]
    assert world.seen(Event.RESTARTING) == []


async def test_an_actor_whose_clean_up_fails_is_reported_and_not_restarted(autojump_clock: MockClock) -> None:
    async def bad(key: str, mailbox: Mailbox[int]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom

    world = World()
    panels = world.panels(bad, intensity=0)
    with trio.move_on_after(1) as scope:
        panels.ensure("a")
        await panels.run()
    assert scope.cancelled_caught
    assert [e.event for e in world.events] == [Event.FAILED_STOPPING]


async def test_a_keyboard_interrupt_in_an_actor_goes_on_up(autojump_clock: MockClock) -> None:
    async def bad(key: str, mailbox: Mailbox[int]) -> None:
        raise BaseExceptionGroup("both", [KeyboardInterrupt(), Boom()])

    world = World()
    panels = world.panels(bad)
    panels.ensure("a")
    with pytest.raises(BaseExceptionGroup) as caught:
        await panels.run()
    assert caught.value.split(KeyboardInterrupt)[1] is None
    assert world.seen(Event.FAILED) == ["panels/a"]


@pytest.mark.parametrize("tenths", range(0, 50, 2))
async def test_a_stop_at_any_moment_ends_every_actor(autojump_clock: MockClock, tenths: int) -> None:
    world = World(leave_s=0.3)
    panels = world.panels(intensity=100)

    async def tell() -> None:
        for number in range(20):
            await trio.sleep(0.25)
            panels.tell(f"{number % 3}", -1 if number % 4 == 0 else number)

    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        nursery.start_soon(tell)
        await trio.sleep(tenths / 10)
        nursery.cancel_scope.cancel()
    assert not world.alive
    assert world.seen(Event.STUCK) == []
    assert len(panels) == 0


async def test_what_is_told_before_the_start_waits_for_it(autojump_clock: MockClock) -> None:
    world = World()
    panels = world.panels()
    assert panels.tell("a", 1)
    with trio.move_on_after(1):
        await panels.run()
    assert world.got == [("a", 1)]


async def test_after_an_escalation_it_runs_again_below_another_supervisor(autojump_clock: MockClock) -> None:
    world = World()
    panels = world.panels(intensity=0)
    top = Supervisor(
        [ChildSpec("panels", panels.run)], name="top", strategy=Strategy.REST_FOR_ONE, backoff=STEADY
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        panels.tell("a", -1)
        await trio.sleep(0.5)
        assert panels.tell("b", 1)  # it is down: kept
        await trio.sleep(1)
        assert panels.tell("a", 2)
        await trio.sleep(1)
        assert sorted(world.got) == [("a", 2), ("b", 1)]
        nursery.cancel_scope.cancel()


async def test_it_does_not_run_twice_at_once(autojump_clock: MockClock) -> None:
    panels = World().panels()
    async with trio.open_nursery() as nursery:
        await nursery.start(panels.run)
        with pytest.raises(RuntimeError, match="runs already"):
            await panels.run()
        nursery.cancel_scope.cancel()
