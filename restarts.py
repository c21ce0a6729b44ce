"""What all supervisors do alike: states and events of a child, backoff, counting restarts.

`Judge` is the base of `supervisor.Supervisor` and `actors.keyed.KeyedSupervisor`: it owns the restarts of
late and decides when the next is due, or that it was one too many. Times are seconds on Trio's clock.
"""

from __future__ import annotations

import logging
import random as _random
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum

import trio
from attrs import define, frozen

_log = logging.getLogger("supervisor")


class ChildState(Enum):
    DOWN = "down"  # not started yet, or stopped
    STARTING = "starting"
    UP = "up"
    BACKOFF = "backoff"  # waits to be restarted
    STOPPING = "stopping"
    ENDED = "ended"  # for good, by its restart rule


class Event(Enum):
    READY = "ready"
    FAILED = "failed"
    ENDED = "ended"  # without an exception
    RESTARTING = "restarting"  # after `delay_s`
    FAILED_STOPPING = "failed while stopping"
    STUCK = "does not end in time"
    ESCALATED = "too many restarts"


@frozen
class ChildEvent:
    """Something that happened below the supervisor named `supervisor`; `on_event` gets each."""

    supervisor: str
    child: str
    event: Event
    error: Exception | None = None
    delay_s: float = 0.0


@frozen
class ChildInfo:
    """A child as it is now. `up_since` is Trio's clock, None unless it is up."""

    name: str
    state: ChildState
    restarts: int
    last_error: Exception | None
    up_since: float | None


class TooManyRestarts(Exception):
    """A supervisor gave up; `causes` are what its children raised, oldest first."""

    def __init__(self, supervisor: str, child: str, period_s: float, causes: Sequence[Exception]) -> None:
        self.supervisor, self.child, self.count, self.causes = supervisor, child, len(causes), tuple(causes)
        super().__init__(
            f"supervisor {supervisor}: child {child} ended, end number {self.count} of its children in "
            f"{period_s:g} s, so it stops them all; see what made them end; the last: {causes[-1]!r}"
        )
        self.__cause__ = ExceptionGroup(f"why children of {supervisor} ended", self.causes)


class NotReady(Exception):
    """A child was not ready by its deadline."""


class ChildReturned(Exception):
    """A child returned that was to run until it is stopped."""


@frozen
class Backoff:
    """How long to wait before a restart: doubles from `min_s` to `max_s`, less a random share up to `jitter`.

    A child that was up for `reset_s` starts again at `min_s`.
    """

    min_s: float = 0.2
    max_s: float = 10.0
    jitter: float = 0.5
    reset_s: float = 30.0

    def delay_s(self, failures: int, random: Callable[[], float] = _random.random) -> float:
        """The wait after so many failures in a row (1 or more); `random` gives 0 to 1."""
        full = min(self.max_s, self.min_s * 2.0 ** min(failures - 1, 64))
        return full * (1 - self.jitter * random())


DEFAULT_BACKOFF = Backoff()


def divide(error: BaseException) -> tuple[Exception | None, BaseException | None]:
    """What a supervisor judges, and what has to go on up (`Cancelled`, `KeyboardInterrupt`, `SystemExit`)."""
    if isinstance(error, Exception):
        return error, None
    if isinstance(error, BaseExceptionGroup):
        return error.split(Exception)
    return None, error


def log_event(event: ChildEvent) -> None:
    """The `on_event` of who names none."""
    level = logging.INFO if event.event in (Event.READY, Event.ENDED) else logging.WARNING
    delay = f" in {event.delay_s:.2f} s" if event.event is Event.RESTARTING else ""
    _log.log(
        level, "%s/%s: %s%s", event.supervisor, event.child, event.event.value, delay, exc_info=event.error
    )


@define(eq=False)
class Child:
    """What a supervisor knows of a child; only the supervisor writes it."""

    name: str
    state: ChildState = ChildState.DOWN
    restarts: int = 0
    failures: int = 0  # in a row
    last_error: Exception | None = None
    up_since: float | None = None
    due: float = 0.0  # when to start it (DOWN, BACKOFF), or to be ready (STARTING)

    def info(self) -> ChildInfo:
        return ChildInfo(self.name, self.state, self.restarts, self.last_error, self.up_since)


class Judge:
    """What every kind of supervisor does alike: it tells what happens, and counts the restarts of late."""

    def __init__(
        self,
        name: str,
        intensity: int,
        period_s: float,
        backoff: Backoff,
        on_event: Callable[[ChildEvent], None],
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self.backoff = backoff
        self._intensity, self._period_s = intensity, period_s
        self._on_event, self._random = on_event, random
        self._recent: deque[tuple[float, Exception]] = deque()

    def emit(self, child: str, event: Event, error: Exception | None = None, delay_s: float = 0.0) -> None:
        try:
            self._on_event(ChildEvent(self.name, child, event, error, delay_s))
        except Exception:  # a hook that fails must not keep children from being stopped in order
            _log.exception("supervisor %s: its on_event failed", self.name)

    def restart(self, child: Child, cause: Exception, again: bool = True) -> TooManyRestarts | None:
        """Count a crash and, if it runs `again`, put it into BACKOFF; or say that it was one too many."""
        now = trio.current_time()
        while self._recent and self._recent[0][0] <= now - self._period_s:
            self._recent.popleft()
        self._recent.append((now, cause))
        if child.up_since is not None and now - child.up_since >= self.backoff.reset_s:
            child.failures = 0
        child.failures += 1
        child.up_since = None
        if len(self._recent) > self._intensity:
            child.state = ChildState.DOWN
            error = TooManyRestarts(self.name, child.name, self._period_s, [e for _, e in self._recent])
            self._recent.clear()
            self.emit(child.name, Event.ESCALATED, error)
            return error
        if not again:
            return None
        child.restarts += 1
        delay_s = self.backoff.delay_s(child.failures, self._random)
        child.state, child.due = ChildState.BACKOFF, now + delay_s
        self.emit(child.name, Event.RESTARTING, cause, delay_s)
        return None
