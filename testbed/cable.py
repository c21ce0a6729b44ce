"""A TCP cable to a port of 127.0.0.1, which can be cut: for connections that are lost while both ends live on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import Factory, define

from testbed.processes import HOST


@define
class Cable:
    """Carries connections to `target`. `port` is its near end."""

    target: int
    port: int = 0
    connections: int = 0  # ever
    _whole: bool = True
    _open: set[trio.CancelScope] = Factory(set)

    def cut(self) -> None:
        """End every connection; new ones are closed at once, until it is mended."""
        self._whole = False
        for scope in self._open:
            scope.cancel()

    def mend(self) -> None:
        self._whole = True

    async def _carry(self, near: trio.SocketStream) -> None:
        self.connections += 1
        async with near:
            if not self._whole:
                return
            with trio.CancelScope() as scope:
                self._open.add(scope)
                try:
                    async with await trio.open_tcp_stream(HOST, self.target) as far:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(_copy, near, far, scope)
                            nursery.start_soon(_copy, far, near, scope)
                except OSError:
                    return  # nobody is at the far end
                finally:
                    self._open.discard(scope)


async def _copy(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    try:
        async for chunk in source:
            await sink.send_all(chunk)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


@asynccontextmanager
async def open_cable(target: int) -> AsyncIterator[Cable]:
    """A cable to `target`, until the block is left."""
    async with trio.open_nursery() as nursery:
        cable = Cable(target)
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        cable.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, cable._carry, listeners)
        yield cable
        nursery.cancel_scope.cancel()
