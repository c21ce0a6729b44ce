"""Supervisors of a list of children, on a clock that jumps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import trio
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from restarts import divide
from supervisor import (
    Backoff,
    ChildEvent,
    ChildReturned,
    ChildSpec,
    ChildState,
    Event,
    NotReady,
    Restart,
    Strategy,
    Supervisor,
    TooManyRestarts,
)

STEADY = Backoff(min_s=1.0, max_s=8.0, jitter=0.0, reset_s=100.0)


class Boom(Exception):
    pass


@define
class World:
    """What happened to children, with times, in the order in which it did."""

    log: list[tuple[float, str]] = Factory(list)
    events: list[ChildEvent] = Factory(list)
    crash: dict[str, trio.Event] = Factory(dict)
    running: set[str] = Factory(set)

    def note(self, what: str) -> None:
        self.log.append((round(trio.current_time(), 3), what))

    def what(self) -> list[str]:
        return [what for _, what in self.log]

    def seen(self, event: Event) -> list[str]:
        return [e.child for e in self.events if e.event is event]

    def child(
        self,
        name: str,
        *,
        restart: Restart = Restart.PERMANENT,
        ready_after_s: float = 0.0,
        ready_s: float = 30.0,
        stop_after_s: float = 0.0,
        stop_s: float = 5.0,
        fail_after_s: float = math.inf,
        error: Callable[[], BaseException] | None = Boom,
        error_in_stop: bool = False,
    ) -> ChildSpec:
        """A child that can be told to crash; with `error` None it returns instead of raising."""

        async def start(*, task_status: trio.TaskStatus[object]) -> None:
            self.note(f"+{name}")
            self.running.add(name)
            self.crash[name] = trio.Event()
            try:
                await trio.sleep(ready_after_s)
                task_status.started()
                with trio.move_on_after(fail_after_s):
                    await self.crash[name].wait()
                if error is not None:
                    raise error()
            finally:
                if stop_after_s:
                    with trio.CancelScope(shield=True):
                        await trio.sleep(stop_after_s)
                self.running.discard(name)
                self.note(f"-{name}")
                if error_in_stop:
                    raise Boom(f"{name} in its stop")

        return ChildSpec(name, start, restart, stop_s=stop_s, ready_s=ready_s)

    def supervisor(
        self,
        *specs: ChildSpec,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int = 5,
        period_s: float = 1000.0,
        backoff: Backoff = STEADY,
    ) -> Supervisor:
        return Supervisor(
            specs,
            name="top",
            strategy=strategy,
            intensity=intensity,
            period_s=period_s,
            backoff=backoff,
            on_event=self.events.append,
        )


def states(supervisor: Supervisor) -> list[ChildState]:
    return [child.state for child in supervisor.children()]


async def test_children_start_in_order_each_after_the_one_before_is_ready(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(
        world.child("a", ready_after_s=2), world.child("b", ready_after_s=3), world.child("c")
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        assert trio.current_time() == pytest.approx(5.0)
        assert world.log == [(0.0, "+a"), (2.0, "+b"), (5.0, "+c")]
        assert states(top) == [ChildState.UP] * 3
        assert world.seen(Event.READY) == ["a", "b", "c"]
        nursery.cancel_scope.cancel()


async def test_children_stop_in_reverse_order_each_after_the_one_behind_it_has_ended(
    autojump_clock: MockClock,
) -> None:
    world = World()
    top = world.supervisor(*(world.child(name, stop_after_s=1) for name in "abc"))
    with trio.move_on_after(10):
        await top.run()
    assert world.log[3:] == [(11.0, "-c"), (12.0, "-b"), (13.0, "-a")]
    assert states(top) == [ChildState.DOWN] * 3


async def test_a_child_that_does_not_end_in_time_is_reported_and_the_others_are_stopped(
    autojump_clock: MockClock,
) -> None:
    world = World()
    top = world.supervisor(world.child("a"), world.child("slow", stop_after_s=60, stop_s=2), world.child("c"))
    with trio.move_on_after(10):
        await top.run()
    assert world.log[3:] == [(10.0, "-c"), (12.0, "-a"), (70.0, "-slow")]
    assert world.seen(Event.STUCK) == ["slow"]


async def test_stopping_during_start_stops_only_what_was_started(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(
        world.child("a", ready_after_s=1), world.child("b", ready_after_s=5), world.child("c")
    )
    with trio.move_on_after(3):
        await top.run()
    assert world.what() == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("tenths", range(0, 80, 3))
async def test_a_stop_at_any_moment_ends_every_child_in_reverse_order(
    autojump_clock: MockClock, tenths: int, strategy: Strategy
) -> None:
    world = World()
    top = world.supervisor(
        world.child("a", ready_after_s=0.5, stop_after_s=0.3, fail_after_s=2.0),
        world.child("b", ready_after_s=0.5, stop_after_s=0.3, fail_after_s=1.1),
        world.child("c", ready_after_s=0.5, stop_after_s=0.3),
        strategy=strategy,
        intensity=100,
    )
    with trio.move_on_after(tenths / 10) as scope:
        await top.run()
    assert scope.cancelled_caught
    assert not world.running
    ends = [what for at, what in world.log if what.startswith("-") and at >= tenths / 10 + 0.31]
    assert ends == sorted(ends, reverse=True)
    assert set(states(top)) == {ChildState.DOWN}


@pytest.mark.parametrize(
    ("restart", "error", "again"),
    [
        (Restart.PERMANENT, Boom, True),
        (Restart.PERMANENT, None, True),
        (Restart.TRANSIENT, Boom, True),
        (Restart.TRANSIENT, None, False),
        (Restart.TEMPORARY, Boom, False),
        (Restart.TEMPORARY, None, False),
    ],
)
async def test_a_child_that_ends_is_restarted_as_its_rule_says(
    autojump_clock: MockClock, restart: Restart, error: type[Boom] | None, again: bool
) -> None:
    world = World()
    top = world.supervisor(world.child("a", restart=restart, error=error), world.child("b"))
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        world.crash["a"].set()
        await trio.sleep(5)
        assert world.what() == ["+a", "+b", "-a", *(["+a"] if again else [])]
        info = top.children()[0]
        assert info.state is (ChildState.UP if again else ChildState.ENDED)
        assert info.restarts == int(again)
        assert info.up_since == (1.0 if again else None)
        assert isinstance(info.last_error, Boom) is (error is Boom)
        nursery.cancel_scope.cancel()


async def test_one_for_one_restarts_only_the_child_that_failed(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(*(world.child(name) for name in "abc"))
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        world.crash["a"].set()
        await trio.sleep(0.5)
        assert states(top) == [ChildState.BACKOFF, ChildState.UP, ChildState.UP]
        await trio.sleep(1)
        assert world.what() == ["+a", "+b", "+c", "-a", "+a"]
        nursery.cancel_scope.cancel()


async def test_rest_for_one_stops_those_after_it_in_reverse_and_starts_them_again_in_order(
    autojump_clock: MockClock,
) -> None:
    world = World()
    top = world.supervisor(
        *(world.child(name, ready_after_s=1, stop_after_s=1) for name in "abcd"),
        strategy=Strategy.REST_FOR_ONE,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        world.log.clear()
        world.crash["b"].set()
        await trio.sleep(20)
        assert world.log == [
            (5.0, "-b"),
            (6.0, "-d"),
            (7.0, "-c"),
            (7.0, "+b"),
            (8.0, "+c"),
            (9.0, "+d"),
        ]
        assert [child.restarts for child in top.children()] == [0, 1, 0, 0]
        nursery.cancel_scope.cancel()


async def test_rest_for_one_waits_for_a_stuck_child_before_it_starts_that_again(
    autojump_clock: MockClock,
) -> None:
    world = World()
    top = world.supervisor(
        world.child("a"), world.child("slow", stop_after_s=9, stop_s=2), strategy=Strategy.REST_FOR_ONE
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        world.crash["a"].set()
        await trio.sleep(30)
        assert world.log[2:] == [(0.0, "-a"), (2.0, "+a"), (9.0, "-slow"), (9.0, "+slow")]
        nursery.cancel_scope.cancel()


async def test_rest_for_one_does_not_start_a_temporary_child_again(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(
        world.child("a"), world.child("t", restart=Restart.TEMPORARY), strategy=Strategy.REST_FOR_ONE
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        world.crash["a"].set()
        await trio.sleep(5)
        assert states(top) == [ChildState.UP, ChildState.ENDED]
        nursery.cancel_scope.cancel()


async def test_two_that_fail_in_the_same_moment_are_both_restarted(autojump_clock: MockClock) -> None:
    for strategy in Strategy:
        world = World()
        top = world.supervisor(*(world.child(name) for name in "abc"), strategy=strategy)
        async with trio.open_nursery() as nursery:
            await nursery.start(top.run)
            world.crash["a"].set()
            world.crash["c"].set()
            await trio.sleep(5)
            assert states(top) == [ChildState.UP] * 3
            assert sorted(world.seen(Event.FAILED)) == ["a", "c"]
            nursery.cancel_scope.cancel()


async def test_a_child_that_is_not_ready_in_time_is_stopped_and_restarted(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(world.child("a", ready_after_s=50, ready_s=3, stop_after_s=1), world.child("b"))
    with trio.move_on_after(6):
        await top.run()
    assert world.log == [(0.0, "+a"), (4.0, "-a"), (5.0, "+a"), (7.0, "-a")]
    error = top.children()[0].last_error
    assert isinstance(error, NotReady)
    assert "top/a was not ready within 3 s" in str(error)


async def test_a_child_that_is_not_ready_and_does_not_end_either_is_reported(
    autojump_clock: MockClock,
) -> None:
    world = World()
    top = world.supervisor(world.child("a", ready_after_s=90, ready_s=3, stop_after_s=9, stop_s=2))
    with trio.move_on_after(6):
        await top.run()
    assert world.seen(Event.STUCK) == ["a", "a"]  # once when it was late, once more when all were stopped
    assert world.log == [(0.0, "+a"), (12.0, "-a")]


async def test_a_child_that_fails_before_it_is_ready_is_restarted_and_readiness_waits(
    autojump_clock: MockClock,
) -> None:
    world = World()
    tries = 0

    async def away_at_first(*, task_status: trio.TaskStatus[object]) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Boom("away")
        task_status.started()
        await trio.sleep_forever()

    top = world.supervisor(ChildSpec("a", away_at_first), world.child("b"))
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        assert world.log == [(3.0, "+b")]  # after 1 s and 2 s of backoff
        nursery.cancel_scope.cancel()


async def test_too_many_restarts_stop_all_in_reverse_and_say_who_and_why(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(
        world.child("a"),
        world.child("bad", fail_after_s=1, error=lambda: Boom("no luck")),
        world.child("c"),
        intensity=2,
    )
    with pytest.raises(TooManyRestarts, match=r"top.*bad.*number 3.*1000 s.*no luck") as caught:
        await top.run()
    assert (caught.value.child, caught.value.count) == ("bad", 3)
    assert [str(cause) for cause in caught.value.causes] == ["no luck"] * 3
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions == caught.value.causes
    assert world.what()[-3:] == ["-bad", "-c", "-a"]
    assert world.seen(Event.ESCALATED) == ["bad"]


async def test_restarts_of_all_children_count_together(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(
        *(world.child(n, fail_after_s=s) for n, s in (("a", 3), ("b", 4), ("c", 5))), intensity=2
    )
    with pytest.raises(TooManyRestarts):
        await top.run()
    assert world.seen(Event.FAILED) == ["a", "b", "c"]


async def test_restarts_that_left_the_window_do_not_count(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(
        world.child("a", fail_after_s=10), intensity=1, period_s=10.5, backoff=Backoff(1, 1, 0)
    )
    with trio.move_on_after(500):
        await top.run()
    assert top.children()[0].restarts == 45


async def test_a_permanent_child_that_returns_too_often_escalates_with_a_cause(
    autojump_clock: MockClock,
) -> None:
    world = World()
    top = world.supervisor(world.child("a", error=None, fail_after_s=1), intensity=0)
    with pytest.raises(TooManyRestarts) as caught:
        await top.run()
    assert [type(cause) for cause in caught.value.causes] == [ChildReturned]


async def test_an_escalation_is_a_crash_to_the_supervisor_above(autojump_clock: MockClock) -> None:
    world = World()
    inner = world.supervisor(world.child("a"), world.child("bad", fail_after_s=1), intensity=0)
    outer = Supervisor(
        [ChildSpec("inner", inner.run)],
        name="outer",
        intensity=1,
        backoff=STEADY,
        on_event=world.events.append,
    )
    with pytest.raises(TooManyRestarts, match=r"outer.*inner") as caught:
        await outer.run()
    assert [type(cause) for cause in caught.value.causes] == [TooManyRestarts] * 2
    assert world.what() == ["+a", "+bad", "-bad", "-a"] * 2


async def test_a_tree_is_ready_when_all_of_it_is_and_stops_from_the_leaves(autojump_clock: MockClock) -> None:
    world = World()
    inner = world.supervisor(
        world.child("x", ready_after_s=2), world.child("y", ready_after_s=2, stop_after_s=1)
    )
    outer = Supervisor([world.child("a"), ChildSpec("inner", inner.run), world.child("b")], name="outer")
    async with trio.open_nursery() as nursery:
        await nursery.start(outer.run)
        assert trio.current_time() == pytest.approx(4)
        nursery.cancel_scope.cancel()
    assert world.what() == ["+a", "+x", "+y", "+b", "-b", "-y", "-x", "-a"]


async def test_backoff_doubles_to_its_limit_and_starts_again_after_a_while_up(
    autojump_clock: MockClock,
) -> None:
    world = World()
    lives = iter([1, 1, 1, 1, 1, 100, 1])

    async def start(*, task_status: trio.TaskStatus[object]) -> None:
        task_status.started()
        await trio.sleep(next(lives, math.inf))
        raise Boom

    top = world.supervisor(ChildSpec("a", start), intensity=100)
    with trio.move_on_after(500):
        await top.run()
    delays = [e.delay_s for e in world.events if e.event is Event.RESTARTING]
    assert delays == [1, 2, 4, 8, 8, 1, 2]


@given(
    failures=st.integers(1, 10**6),
    random=st.floats(0, 1),
    jitter=st.floats(0, 1),
    min_s=st.floats(0.001, 10),
    factor=st.floats(1, 1000),
)
def test_a_delay_lies_between_its_bounds(
    failures: int, random: float, jitter: float, min_s: float, factor: float
) -> None:
    backoff = Backoff(min_s, min_s * factor, jitter)
    full = Backoff(min_s, min_s * factor, 0).delay_s(failures)
    delay = backoff.delay_s(failures, lambda: random)
    assert full * (1 - jitter) - 1e-9 <= delay <= full <= backoff.max_s
    assert Backoff(min_s, min_s * factor, 0).delay_s(failures + 1) >= full


async def test_jitter_comes_from_the_random_source_that_is_given(autojump_clock: MockClock) -> None:
    world = World()
    source: Sequence[float] = [0.0, 1.0, 0.5]
    draws = iter(source)
    top = Supervisor(
        [world.child("a", fail_after_s=1)],
        name="top",
        intensity=2,
        backoff=Backoff(4.0, 100.0, 0.5),
        on_event=world.events.append,
        random=lambda: next(draws),
    )
    with pytest.raises(TooManyRestarts):
        await top.run()
    assert [e.delay_s for e in world.events if e.event is Event.RESTARTING] == [4.0, 4.0]


async def test_a_group_of_failures_is_one_failure(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(
        world.child("a", fail_after_s=1, error=lambda: ExceptionGroup("two", [Boom("x"), ValueError("y")]))
    )
    with trio.move_on_after(1.5):
        await top.run()
    error = top.children()[0].last_error
    assert isinstance(error, ExceptionGroup)
    assert len(error.exceptions) == 2


async def test_a_failure_beside_a_keyboard_interrupt_is_reported_and_the_interrupt_goes_on(
    autojump_clock: MockClock,
) -> None:
    for interrupt in (KeyboardInterrupt, SystemExit):
        world = World()

        def both(interrupt: type[BaseException] = interrupt) -> BaseException:
            return BaseExceptionGroup("both", [interrupt(), ExceptionGroup("in", [Boom()])])

        top = world.supervisor(
            world.child("a"), world.child("b", fail_after_s=1, error=both), world.child("c")
        )
        with pytest.raises(BaseExceptionGroup) as caught:
            await top.run()
        failures, others = divide(caught.value)
        assert failures is None
        assert isinstance(others, BaseExceptionGroup)
        assert others.split(interrupt)[1] is None
        assert world.what()[3:] == ["-b", "-c", "-a"]
        assert world.seen(Event.FAILED) == ["b"]


async def take_a_cancelled() -> trio.Cancelled:
    """A Cancelled that belongs to a scope which is left already."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            kept = cancelled
            raise
    return kept


async def test_a_cancelled_that_nobody_asked_for_stops_all_and_is_an_error(autojump_clock: MockClock) -> None:
    world = World()
    stray = await take_a_cancelled()
    top = world.supervisor(
        world.child("a"),
        world.child("b", fail_after_s=1, error=lambda: BaseExceptionGroup("mix", [stray, Boom("mine")])),
    )
    with pytest.raises(RuntimeError, match="raised Cancelled"):
        await top.run()
    assert world.what() == ["+a", "+b", "-b", "-a"]
    assert world.seen(Event.FAILED) == ["b"]


async def test_a_stop_goes_on_up_as_cancelled(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(world.child("a"))
    with trio.CancelScope() as scope:
        scope.deadline = 3
        await top.run()
        pytest.fail("a cancelled run must not return")
    assert scope.cancelled_caught


async def test_a_child_that_fails_while_it_stops_is_reported_and_the_stop_goes_on(
    autojump_clock: MockClock,
) -> None:
    world = World()
    top = world.supervisor(world.child("a"), world.child("b", error_in_stop=True), world.child("c"))
    with trio.move_on_after(1):
        await top.run()
    assert world.what()[3:] == ["-c", "-b", "-a"]
    assert world.seen(Event.FAILED_STOPPING) == ["b"]
    assert str(top.children()[1].last_error) == "b in its stop"


async def test_a_failure_in_the_same_moment_as_a_stop_is_reported(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(world.child("a"), world.child("b"))
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        world.crash["a"].set()
        nursery.cancel_scope.cancel()
    assert "a" in world.seen(Event.FAILED) + world.seen(Event.FAILED_STOPPING)
    assert not world.running
    assert states(top) == [ChildState.DOWN] * 2


async def test_a_hook_that_fails_does_not_disturb_the_order(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(event: ChildEvent) -> None:
        raise Boom("hook")

    world = World()
    top = Supervisor([world.child("a"), world.child("b", error_in_stop=True)], name="top", on_event=hook)
    with trio.move_on_after(1):
        await top.run()
    assert world.what() == ["+a", "+b", "-b", "-a"]
    assert "its on_event failed" in caplog.text


async def test_a_supervisor_that_was_stopped_can_run_again(autojump_clock: MockClock) -> None:
    world = World()
    top = world.supervisor(world.child("a"), world.child("once", restart=Restart.TEMPORARY))
    for _ in range(2):
        with trio.move_on_after(1):
            await top.run()
    assert world.what() == ["+a", "+once", "-once", "-a"] * 2


async def test_one_supervisor_does_not_run_twice_at_once(autojump_clock: MockClock) -> None:
    top = World().supervisor()
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        with pytest.raises(RuntimeError, match="runs already"):
            await top.run()
        nursery.cancel_scope.cancel()


def test_two_children_of_one_name_are_refused() -> None:
    world = World()
    with pytest.raises(ValueError, match="same name"):
        world.supervisor(world.child("a"), world.child("a"))


def test_dividing_keeps_every_exception_on_one_side() -> None:
    boom, stop = Boom(), KeyboardInterrupt()
    assert divide(boom) == (boom, None)
    assert divide(stop) == (None, stop)
    mine, theirs = divide(BaseExceptionGroup("", [boom, BaseExceptionGroup("", [stop, ValueError()])]))
    assert isinstance(mine, ExceptionGroup)
    assert isinstance(theirs, BaseExceptionGroup)
    assert mine.split((Boom, ValueError))[1] is None
    assert theirs.split(KeyboardInterrupt)[1] is None
