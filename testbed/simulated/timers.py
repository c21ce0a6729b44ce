"""Timers of the simulated Asterisk: a heap, and one task that runs what is due.

One task for all, because a task for each of a thousand ringing phones would cost more than the phones. Due
times are rounded up to `TICK_S`, so that what is due together runs together.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

TICK_S = 0.001


class Timers:
    """`later` runs a plain function after a delay; `soon` at the caller's next `run_soon`, which comes after
    its reply.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._soon: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._sooner = trio.Event()
        self._next = float("inf")

    def later(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        due = trio.current_time() + delay_s
        heapq.heappush(self._heap, (due, next(self._order), what, args))
        if due < self._next - TICK_S:
            self._sooner.set()

    def soon(self, what: Callable[..., None], *args: Any) -> None:
        self._soon.append((what, args))

    def run_soon(self) -> None:
        """What was put off until after the reply."""
        while self._soon:
            what, args = self._soon.popleft()
            what(*args)

    def clear(self) -> None:
        self._heap.clear()
        self._soon.clear()

    async def run(self) -> None:
        """Run what is due, for ever."""
        while True:
            self.run_soon()
            now = trio.current_time()
            while self._heap and self._heap[0][0] <= now:
                _, _, what, args = heapq.heappop(self._heap)
                what(*args)
                self.run_soon()
            self._next = max(self._heap[0][0], now + TICK_S) if self._heap else float("inf")
            with trio.move_on_at(self._next):
                await self._sooner.wait()
            if self._sooner.is_set():
                self._sooner = trio.Event()
