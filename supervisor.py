"""The supervision tree: children in a list, their order of start and stop, what is done when one ends.

A supervisor owns its children's tasks and state and nothing else; what they do it does not know. It restarts
what ends by the rules, and when restarts come too often it stops everything below it and raises
`TooManyRestarts`, for its own supervisor to judge. Times are seconds on Trio's clock. Children by key,
started on demand, are in actors/keyed.py.

Why it is as it is:
- Each child runs in a shielded cancel scope of its own: a cancellation from above strikes the supervisor
  alone, which then stops the children in reverse order. Trio cannot end a task by force: a child that
  outlives its `stop_s` is reported as stuck, the others are stopped, and the supervisor ends when that one
  does.
- One task decides (`_watch`): children only say "ready" or "ended", and wake it. Waiting for readiness and
  backing off are states with a due time, so that no child's wait keeps another from being looked after.
- A child that fails before it is ready is restarted like any other: what it needs may be away for now.
- What a child raises is split: `Exception`s are its own failure and judged here; `Cancelled`,
  `KeyboardInterrupt` and `SystemExit` are somebody else's and always go on up.
- A child's own task reports its failure before anybody decides: none is lost when a stop overtakes it.
"""

from __future__ import annotations

import math
import random as _random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Protocol

import trio
from attrs import Factory, define, field, frozen

from restarts import (
    DEFAULT_BACKOFF,
    Backoff,
    Child,
    ChildEvent,
    ChildInfo,
    ChildReturned,
    ChildState,
    Event,
    Judge,
    NotReady,
    TooManyRestarts,
    divide,
    log_event,
)

__all__ = [
    "Backoff",
    "ChildEvent",
    "ChildInfo",
    "ChildReturned",
    "ChildSpec",
    "ChildState",
    "Event",
    "NotReady",
    "Restart",
    "Start",
    "Strategy",
    "Supervisor",
    "TooManyRestarts",
]


class Restart(Enum):
    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # only after an exception
    TEMPORARY = "temporary"  # never


class Strategy(Enum):
    ONE_FOR_ONE = "one_for_one"  # a child that ends is restarted alone
    REST_FOR_ONE = "rest_for_one"  # so are those after it in the list, which may lean on it


class Start(Protocol):
    """Says `task_status.started()` once it is ready, and runs until it is cancelled."""

    def __call__(self, *, task_status: trio.TaskStatus[object]) -> Awaitable[object]: ...


@frozen
class ChildSpec:
    """A child: `ready_s` is its time to become ready, `stop_s` its time to end once it is cancelled."""

    name: str
    start: Start
    restart: Restart = Restart.PERMANENT
    stop_s: float = 5.0
    ready_s: float = 30.0


@define(eq=False)
class _Run(Child):
    spec: ChildSpec = field(kw_only=True)
    was_up: bool = False
    overdue: bool = False  # cancelled, because it was not ready in time
    failure: Exception | None = None  # of the run that ended last
    scope: trio.CancelScope = Factory(trio.CancelScope)
    ended: trio.Event | None = None  # of the run that goes on


class _Status:
    """The `task_status` of one run of a child."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready: Callable[[], None] | None = ready

    def started(self, value: object = None) -> None:
        if self._ready is None:
            raise RuntimeError("task_status.started() was called twice")
        ready, self._ready = self._ready, None
        ready()


class Supervisor(Judge):
    """Runs `specs` in order; `run` is itself a `Start`, so that supervisors nest.

    More than `intensity` restarts within `period_s` stop all children and raise `TooManyRestarts`. With
    REST_FOR_ONE a temporary child that was stopped for an earlier one's sake is not started again.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        name: str,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int = 5,
        period_s: float = 60.0,
        backoff: Backoff = DEFAULT_BACKOFF,
        on_event: Callable[[ChildEvent], None] = log_event,
        random: Callable[[], float] = _random.random,
    ) -> None:
        super().__init__(name, intensity, period_s, backoff, on_event, random)
        self._specs, self._strategy = tuple(specs), strategy
        self._children = [_Run(spec.name, spec=spec) for spec in specs]
        if len({spec.name for spec in specs}) < len(specs):
            raise ValueError(f"supervisor {name}: two children have the same name")
        self._to_judge: deque[_Run] = deque()
        self._wake = trio.Event()
        self._running = False

    def children(self) -> list[ChildInfo]:
        """Every child as it is now, in the order of start."""
        return [child.info() for child in self._children]

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; ready when every child was. Raises `TooManyRestarts`."""
        if self._running:
            raise RuntimeError(f"supervisor {self.name}: it runs already")
        self._running = True
        self._recent.clear()
        self._to_judge.clear()
        for child in self._children:
            child.state, child.due, child.was_up, child.failures = ChildState.DOWN, 0.0, False, 0
        too_many: TooManyRestarts | None = None
        try:
            async with trio.open_nursery() as nursery:
                try:
                    too_many = await self._watch(nursery, task_status)
                finally:
                    with trio.CancelScope(shield=True):
                        await self._stop(self._children)
        finally:
            self._running = False
        # Only a Cancelled that a child let out of somebody else's scope gets here without `too_many`.
        raise too_many or RuntimeError(
            f"supervisor {self.name}: a child raised Cancelled though nobody cancelled"
        )

    async def _watch(self, nursery: trio.Nursery, task_status: trio.TaskStatus[object]) -> TooManyRestarts:
        announced = False
        while True:
            now = trio.current_time()
            clear = True  # nothing before this child has to be waited for
            for child in self._children:
                if now >= child.due:
                    match child.state:
                        case ChildState.STARTING if not child.overdue:
                            child.overdue, child.due = True, now + child.spec.stop_s
                            child.scope.cancel()
                        case ChildState.STARTING:
                            child.due = math.inf
                            self.emit(child.name, Event.STUCK)
                        case ChildState.DOWN | ChildState.BACKOFF if clear:
                            self._launch(child, nursery)
                clear = clear and (
                    child.state in (ChildState.UP, ChildState.ENDED)
                    or (self._strategy is Strategy.ONE_FOR_ONE and child.was_up)
                )
            if clear and not announced:
                announced = True
                task_status.started()
            with trio.move_on_at(min((c.due for c in self._children if c.due > now), default=math.inf)):
                await self._wake.wait()
            self._wake = trio.Event()
            while self._to_judge:
                too_many = await self._judge(self._to_judge.popleft())
                if too_many is not None:
                    return too_many

    def _launch(self, child: _Run, nursery: trio.Nursery) -> None:
        child.state, child.due = ChildState.STARTING, trio.current_time() + child.spec.ready_s
        child.overdue, child.failure = False, None
        child.scope, child.ended = trio.CancelScope(shield=True), trio.Event()
        nursery.start_soon(self._run_child, child, child.ended, name=f"{self.name}/{child.name}")

    async def _run_child(self, child: _Run, ended: trio.Event) -> None:
        def ready() -> None:
            if child.ended is ended and child.state is ChildState.STARTING and not child.overdue:
                child.state, child.was_up = ChildState.UP, True
                child.up_since, child.due = trio.current_time(), math.inf
                self.emit(child.name, Event.READY)
                self._wake.set()

        failure: Exception | None = None
        try:
            with child.scope:
                await child.spec.start(task_status=_Status(ready))
        except BaseException as error:
            failure, others = divide(error)
            if others is error:
                raise
            if others is not None:
                raise others from None
        finally:
            if child.overdue and child.state is ChildState.STARTING:
                late = NotReady(f"{self.name}/{child.name} was not ready within {child.spec.ready_s:g} s")
                late.__cause__ = failure
                failure = late
            stopping = child.state is ChildState.STOPPING
            if failure is not None:
                child.last_error = failure
                self.emit(child.name, Event.FAILED_STOPPING if stopping else Event.FAILED, failure)
            child.failure, child.ended, child.due = failure, None, 0.0
            if stopping:
                self._stopped(child)
            else:
                self._to_judge.append(child)
            ended.set()
            self._wake.set()

    async def _judge(self, child: _Run) -> TooManyRestarts | None:
        """Decide on a child that ended by itself."""
        if child.state not in (ChildState.STARTING, ChildState.UP):
            return None  # meanwhile it was stopped for another's sake
        rule, failure = child.spec.restart, child.failure
        if rule is Restart.TEMPORARY or (rule is Restart.TRANSIENT and failure is None):
            child.state, child.up_since = ChildState.ENDED, None
            self.emit(child.name, Event.ENDED)
            return None
        too_many = self.restart(child, failure or ChildReturned(f"{self.name}/{child.name} returned"))
        if too_many is None and self._strategy is Strategy.REST_FOR_ONE:
            await self._stop(self._children[self._children.index(child) + 1 :])
        return too_many

    async def _stop(self, children: Sequence[_Run]) -> None:
        """Stop them, the last first, each within its `stop_s`; one that takes longer is reported."""
        for child in reversed(children):
            if child.ended is not None:
                child.state = ChildState.STOPPING
                child.scope.cancel()
                with trio.move_on_after(child.spec.stop_s):
                    await child.ended.wait()
                if child.ended is not None:
                    self.emit(child.name, Event.STUCK)
            elif child.state is not ChildState.ENDED:
                self._stopped(child)

    def _stopped(self, child: _Run) -> None:
        temporary = child.spec.restart is Restart.TEMPORARY
        child.state = ChildState.ENDED if temporary else ChildState.DOWN
        child.up_since = None
