"""What every actor is made of: a bounded mailbox, `tell` (never waits), `ask` (has a deadline), retirement.

A mailbox belongs to one actor at a time: whoever is inside `with mailbox.owned():`, and only its task
receives. It is an address that outlives its owner: an actor that crashes leaves the messages that still wait
to its next life, and who tells it need not know. All of it is for the Trio thread; only `receive…` and `ask`
await.

Why it is as it is:
- A message stays in the deque until the receiver *runs*: a task cannot be both woken and cancelled, and a
  cancelled wait has taken nothing. So no message is lost to a cancellation or a deadline.
- Retirement is decided without a checkpoint between "nothing waits" and "closed": a tell comes before it, and
  is received, or after it, and is refused, so that the teller goes to `KeyedSupervisor.ensure` for a new one.
- Waking a task costs as much as dozens of tells: `receive_all` takes a whole batch for one wake-up.
- With messages at hand `receive…` is a cancellation point but does not let others run: the batch is bounded,
  and what an actor does with it awaits anyway.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import trio

M = TypeVar("M")
R = TypeVar("R")


class ActorError(Exception):
    """Something between actors went wrong; the message says who, what, and what to do."""


class MailboxFull(ActorError):
    """An actor did not keep up; raised in that actor, so that its supervisor restarts it and it rebuilds."""


class MailboxClosed(ActorError):
    """The mailbox was retired or closed: its key has, or gets, a new one."""


class AskError(ActorError):
    """An ask that got no answer: refused, or the asked actor ended."""


class AskTimeout(AskError, TimeoutError):
    """An ask that was not answered by its deadline."""


class _Waiter:
    """Where one task sleeps until it is woken; a cancelled task is no longer woken."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    def _abort(self, _raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def sleep(self) -> None:
        if self._task is not None:
            raise RuntimeError("two tasks receive from one mailbox: only its owner may")
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def wake(self) -> bool:
        """Wake the sleeper; says whether there was one. Once woken, it is not cancelled in this wait."""
        task = self._task
        if task is None:
            return False
        self._task = None
        trio.lowlevel.reschedule(task)
        return True


class Reply(Generic[R]):
    """Where the answer to one ask goes; a field of the message that asks."""

    __slots__ = ("_error", "_value", "_waiter", "wanted")

    def __init__(self) -> None:
        self._waiter = _Waiter()
        self._value: tuple[R] | None = None
        self._error: Exception | None = None
        self.wanted = True  # False once it is answered, or the asker waits no longer

    def answer(self, value: R) -> bool:
        """Give the answer. True: the asker gets it surely; False: nobody waits (take back what was lent)."""
        return self._settle((value,), None)

    def fail(self, error: Exception) -> bool:
        """Raise `error` at the asker. True: it gets it for certain; False: nobody waits."""
        return self._settle(None, error)

    def _settle(self, value: tuple[R] | None, error: Exception | None) -> bool:
        if not self.wanted or not self._waiter.wake():
            return False
        self.wanted, self._value, self._error = False, value, error
        return True

    async def _wait(self) -> R:
        await self._waiter.sleep()
        if self._value is None:
            assert self._error is not None
            raise self._error
        return self._value[0]


class Mailbox(Generic[M]):
    """At most `capacity` messages that wait for one actor. `name` says whose it is, in errors and figures."""

    __slots__ = (
        "_asks",
        "_limit",
        "_overflowed",
        "_queue",
        "_scope",
        "_waiter",
        "capacity",
        "closed",
        "lost",
        "name",
    )

    def __init__(self, name: str, capacity: int = 256) -> None:
        if capacity < 1:
            raise ValueError(f"mailbox of {name}: capacity {capacity} must be at least 1")
        self.name = name
        self.capacity = capacity
        self.closed = False
        self.lost = 0  # messages refused or dropped, ever
        self._queue: deque[M] = deque()
        self._limit = capacity  # -1 while every tell is refused: one comparison decides a tell
        self._overflowed = False
        self._waiter = _Waiter()
        self._scope: trio.CancelScope | None = None  # the owner's
        self._asks: dict[Reply[Any], str] = {}  # unanswered, with what was asked

    def __len__(self) -> int:
        return len(self._queue)

    def tell(self, message: M) -> bool:
        """Leave a message; never waits and never raises. False: refused, as it is closed or full.

        The tell that finds it full fails the owner with `MailboxFull`; what waited is dropped, and every tell
        is refused until that owner is gone. While nobody owns it, tells to a full one are refused, and it is
        emptied for the next owner, which rebuilds as it starts.
        """
        queue = self._queue
        if len(queue) >= self._limit:
            self._refuse()
            return False
        queue.append(message)
        if self._waiter._task is not None:
            self._waiter.wake()
        return True

    def _refuse(self) -> None:
        self.lost += 1
        if self.closed or self._overflowed:
            return
        self._overflowed = True
        self._limit = -1
        self._drop()
        self._fail_asks("did not keep up")
        if self._scope is not None:
            self._scope.cancel()

    def _drop(self) -> None:
        self.lost += len(self._queue)
        self._queue.clear()

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Be the actor: the body receives. Leaving it fails at once whatever is still asked of it.

        Raises `MailboxFull` after the body was cancelled because it did not keep up; `MailboxClosed` if it is
        closed; `RuntimeError` if it has an owner.
        """
        if self.closed:
            raise MailboxClosed(f"mailbox of {self.name}: it is closed, and a new actor needs a new one")
        if self._scope is not None:
            raise RuntimeError(f"mailbox of {self.name}: it has an owner already")
        self._overflowed = False
        self._limit = self.capacity
        try:
            with trio.CancelScope() as self._scope:
                yield
        except Exception as error:
            if self._overflowed:
                raise self._full() from error
            raise
        finally:
            self._scope = None
            overflowed, self._overflowed = self._overflowed, False
            self._limit = -1 if self.closed else self.capacity
            self._fail_asks("ended before it answered")
        if overflowed:
            raise self._full()

    def _full(self) -> MailboxFull:
        return MailboxFull(
            f"{self.name}: more than {self.capacity} messages waited, so it is restarted and rebuilds; "
            "if this recurs, look for what it was waiting on"
        )

    def _fail_asks(self, why: str) -> None:
        asks, self._asks = self._asks, {}
        for reply, what in asks.items():
            reply.fail(AskError(f"{self.name} was asked {what}, and {why}: ask again once it is back"))

    async def receive(self) -> M:
        """The next message. Raises `MailboxClosed`; `MailboxFull` where its cancellation is shielded."""
        await self._some(math.inf)
        return self._queue.popleft()

    async def receive_or_retire(self, idle_s: float) -> M | None:
        """The next message, or None once none came for `idle_s`: it is closed then; clean up and return."""
        return self._queue.popleft() if await self._some(idle_s) else None

    async def receive_all(self, idle_s: float = math.inf) -> list[M]:
        """All messages that wait, oldest first, at least one; [] once none came for `idle_s`, as above."""
        if not await self._some(idle_s):
            return []
        batch = list(self._queue)
        self._queue.clear()
        return batch

    async def _some(self, idle_s: float) -> bool:
        """Wait for a message. False: none came for `idle_s`, and the mailbox is closed."""
        if self._queue:
            await trio.lowlevel.checkpoint_if_cancelled()
            if self._queue:
                return True
        if self._overflowed:
            raise self._full()
        if self.closed:
            raise MailboxClosed(f"{self.name}: receives from its mailbox after that was closed")
        if idle_s == math.inf:
            await self._waiter.sleep()
        else:
            with trio.move_on_after(idle_s):
                await self._waiter.sleep()
        if self._queue:
            return True
        if self.closed:
            raise MailboxClosed(f"{self.name}: its mailbox was closed while it waited for a message")
        if self._overflowed:
            raise self._full()
        return not self.retire()

    def retire(self) -> bool:
        """Close it if nothing waits. Says whether it is closed: if not, there is a message to be received."""
        if not self._queue and not self.closed:
            self.closed = True
            self._limit = -1
        return self.closed

    def close(self) -> None:
        """Close it for good: what waits is dropped, what was asked fails at once, later tells are refused."""
        self.closed = True
        self._limit = -1
        self._drop()
        self._fail_asks("was stopped")
        self._waiter.wake()


async def ask(mailbox: Mailbox[M], make_message: Callable[[Reply[R]], M], deadline_s: float) -> R:
    """Tell `mailbox` the message that `make_message` makes around a reply slot, and wait for the answer.

    Raises `AskTimeout` after `deadline_s`, `AskError` at once if it is refused or the asked actor ends, and
    what the actor put into `Reply.fail`.
    """
    reply: Reply[R] = Reply()
    message = make_message(reply)
    what = type(message).__name__
    if not mailbox.tell(message):
        why = (
            "its mailbox is closed"
            if mailbox.closed
            else f"its mailbox of {mailbox.capacity} messages is full"
        )
        raise AskError(f"{mailbox.name} cannot be asked {what}: {why}; ask again once it is back")
    mailbox._asks[reply] = what
    try:
        with trio.move_on_after(deadline_s):
            return await reply._wait()
    finally:
        reply.wanted = False
        mailbox._asks.pop(reply, None)
    raise AskTimeout(
        f"{mailbox.name} was asked {what} and did not answer within {deadline_s:g} s: "
        "see what it is waiting on"
    )
