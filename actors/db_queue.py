"""Work on a queue that the database holds, beside calls: in threads, done again while the database is away.

For whoever makes planned calls (test calls of 112, quality calls), which may be made later, but not forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

from crm.store import StoreError
from logs import Once

WRITE_S, RETRY_S, TRIES = 4.0, 5.0, 20

T = TypeVar("T")


class DbQueue:
    """`calls` is what the log calls them: "test calls". `threads` may wait for the database at once."""

    def __init__(self, calls: str, log: Any, threads: int) -> None:
        self._calls = calls
        self._log = log
        self._once = Once(log)
        self._limiter = trio.CapacityLimiter(threads)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Ask the database. Whoever is cancelled leaves the thread to itself."""
        return await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)

    async def again_and_again(self, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        """Work, pause, and work again, until cancelled; also while the database is away."""
        while True:
            try:
                await work()
                self._once.over("database", f"{self._calls} go on")
            except StoreError as error:
                self.is_away(error)
            await trio.sleep(pause_s)

    async def surely(self, write: Callable[[], object]) -> None:
        """Write what became of a call, also when the node is being stopped, and again while the database is away."""
        for _ in range(TRIES):
            with trio.move_on_after(WRITE_S, shield=True):
                try:
                    await self.in_thread(write)
                    return
                except StoreError as error:
                    self.is_away(error)
            await trio.sleep(RETRY_S)
        self._log.error(f"what became of one of the {self._calls} could not be written: it is made again")

    def is_away(self, error: StoreError) -> None:
        """Say so, once."""
        self._once.say("database", type(error).__name__, f"no {self._calls} are made: {error}")
