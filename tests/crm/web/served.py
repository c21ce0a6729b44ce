"""A panel or relay of the testbed that is served while a test asks pages in threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import trio


@contextmanager
def served(opening: AbstractAsyncContextManager[str]) -> Iterator[str]:
    """Serve until the block is left; the URL."""
    url: list[str] = []
    there, over = threading.Event(), trio.Event()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def serve() -> None:
        async with opening as found:
            url.append(found)
            tokens.append(trio.lowlevel.current_trio_token())
            there.set()
            await over.wait()

    thread = threading.Thread(target=trio.run, args=(serve,), name="served device")
    thread.start()
    assert there.wait(10), "the device's server did not start"
    try:
        yield url[0]
    finally:
        trio.from_thread.run_sync(over.set, trio_token=tokens[0])
        thread.join(10)
