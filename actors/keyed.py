"""`KeyedSupervisor`: an actor a key, started on demand, restarted after a crash, forgotten once retired.

It owns each key's mailbox and task. Whoever has a message for a key says `tell(key, message)`; it never
waits. Times are seconds on Trio's clock.

Why it is as it is:
- Actors may come by the hundred a second: each has one task, which also restarts it, and no scope or watcher.
  They are cancelled side by side, so there is no order that a shield would have to keep.
- A mailbox outlives a crash: what is told meanwhile waits for the next life. Retirement closes it with
  nothing in it and no checkpoint in between; `ensure` then puts a new one in its place, which the same task
  serves once the old actor has returned. So a key never has two actors at once, and no message falls between
  them.
- An actor that returns without having closed its mailbox, while a message waits, is run again for that
  message.
- Before `run` and between two of its runs tells are kept for it, so that who tells need not know.
"""

from __future__ import annotations

import math
import random as _random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import trio
from attrs import define, field

from actors.actor import Mailbox
from restarts import (
    DEFAULT_BACKOFF,
    Backoff,
    Child,
    ChildEvent,
    ChildInfo,
    ChildState,
    Event,
    Judge,
    TooManyRestarts,
    divide,
    log_event,
)

K = TypeVar("K", bound=Hashable)
M = TypeVar("M")


@define(eq=False)
class _Keyed(Child, Generic[M]):
    mailbox: Mailbox[M] = field(kw_only=True)


class KeyedSupervisor(Judge, Generic[K, M]):
    """Runs `actor(key, mailbox)` for every key that is told something. `run` is a `supervisor.Start`.

    The actor owns the mailbox (`with mailbox.owned()`) and returns once it has retired; what it raises is a
    crash. More than `intensity` crashes of all within `period_s` stop them all and raise `TooManyRestarts`.
    """

    def __init__(
        self,
        actor: Callable[[K, Mailbox[M]], Awaitable[None]],
        *,
        name: str,
        capacity: int = 256,
        stop_s: float = 5.0,
        intensity: int = 20,
        period_s: float = 60.0,
        backoff: Backoff = DEFAULT_BACKOFF,
        on_event: Callable[[ChildEvent], None] = log_event,
        random: Callable[[], float] = _random.random,
    ) -> None:
        super().__init__(name, intensity, period_s, backoff, on_event, random)
        self.restarts = 0  # ever
        self._actor, self._capacity, self._stop_s = actor, capacity, stop_s
        self._children: dict[K, _Keyed[M]] = {}
        self._nursery: trio.Nursery | None = None
        self._tasks = 0
        self._no_tasks = trio.Event()
        self._no_tasks.set()
        self._too_many: TooManyRestarts | None = None

    def __len__(self) -> int:
        return len(self._children)

    def __contains__(self, key: K) -> bool:
        return key in self._children

    def children(self) -> list[ChildInfo]:
        """Every actor as it is now, in the order in which they came."""
        return [child.info() for child in self._children.values()]

    def ensure(self, key: K) -> Mailbox[M]:
        """The mailbox of the key's actor, started if there is none. Tell it before the next `await`."""
        child = self._children.get(key)
        if child is None:
            name = f"{self.name}/{key}"
            child = self._children[key] = _Keyed(name, mailbox=Mailbox(name, self._capacity))
            if self._nursery is not None:
                self._spawn(self._nursery, key, child)
        elif child.mailbox.closed:
            child.mailbox = Mailbox(child.name, self._capacity)
        return child.mailbox

    def tell(self, key: K, message: M) -> bool:
        """Tell the key's actor, which is started if there is none. False: its mailbox is full."""
        return self.ensure(key).tell(message)

    def rest_s(self, key: K) -> float:
        """How long the key's actor, which crashed, will not live yet; 0 while it does, or there is none."""
        child = self._children.get(key)
        if child is None or child.state is not ChildState.BACKOFF:
            return 0.0
        return max(0.0, child.due - trio.current_time())

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; then all actors have `stop_s` to end. Raises `TooManyRestarts`."""
        if self._nursery is not None or not self._no_tasks.is_set():
            raise RuntimeError(f"supervisor {self.name}: it runs already")
        self._forget()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for key, child in self._children.items():
                self._spawn(nursery, key, child)
            task_status.started()
            try:
                await trio.sleep(math.inf)
            finally:
                self._nursery = None
                with trio.move_on_after(self._stop_s, shield=True):
                    await self._no_tasks.wait()
                for child in [c for c in self._children.values() if c.state is ChildState.UP]:
                    self.emit(child.name, Event.STUCK)
        # Only a Cancelled that an actor let out of somebody else's scope gets here without `_too_many`.
        raise self._too_many or RuntimeError(f"supervisor {self.name}: a child raised Cancelled by itself")

    def _forget(self) -> None:
        self._recent.clear()
        self._too_many = None

    def _spawn(self, nursery: trio.Nursery, key: K, child: _Keyed[M]) -> None:
        if not self._tasks:
            self._no_tasks = trio.Event()
        self._tasks += 1
        nursery.start_soon(self._live, nursery, key, child, name=child.name)

    async def _live(self, nursery: trio.Nursery, key: K, child: _Keyed[M]) -> None:
        """The task of a key: one actor after the other, until one retires and nothing waits."""
        try:
            while True:
                mailbox = child.mailbox
                child.state, child.up_since = ChildState.UP, trio.current_time()
                try:
                    await self._actor(key, mailbox)
                except BaseException as error:
                    failure, others = divide(error)
                    stopping = trio.current_effective_deadline() == -math.inf
                    if failure is not None:
                        child.last_error = failure
                        self.emit(child.name, Event.FAILED_STOPPING if stopping else Event.FAILED, failure)
                    if others is error:
                        raise
                    if others is not None:
                        raise others from None
                    assert failure is not None
                    if stopping:
                        return
                    # Closed: it failed on its way out, and nobody has asked for the key since.
                    again = not child.mailbox.closed
                    self._too_many = self.restart(child, failure, again)
                    if self._too_many is not None:
                        nursery.cancel_scope.cancel()
                    if self._too_many is not None or not again:
                        return
                    self.restarts += 1
                    await trio.sleep_until(child.due)
                else:
                    if mailbox.retire() and child.mailbox is mailbox:
                        return
                    await trio.lowlevel.checkpoint()
        finally:
            child.mailbox.close()
            if self._children.get(key) is child:
                del self._children[key]
            self._tasks -= 1
            if not self._tasks:
                self._no_tasks.set()
