"""Precedence of urgent calls: while one is being set up, the events of the others wait.

A visitor's call is a burst of work for Asterisk and for the node, all of it set off by events. Those that are not read
yet set off nothing. So whoever has an urgent call `claim`s precedence for a moment, and readers of other applications
`give_way`, for as long as that and no longer: Asterisk closes a socket that is not read for a second.
"""

from __future__ import annotations

import trio


class Precedence:
    """Shared by all sockets of one Asterisk. Times are seconds on Trio's clock."""

    def __init__(self) -> None:
        self._until = 0.0
        self._claimed = trio.Event()

    def claim(self, seconds: float) -> None:
        """From now on, for so long: the last claim counts."""
        self._until = trio.current_time() + seconds
        self._claimed.set()
        self._claimed = trio.Event()

    async def give_way(self) -> None:
        """Wait while somebody has precedence."""
        while (until := self._until) > trio.current_time():
            with trio.move_on_at(until):
                await self._claimed.wait()
