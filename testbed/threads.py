"""What lives under Trio, for who has none: in a thread of its own.

A fixture of pytest-trio lasts for one test, and a function that is not async has no Trio at all; a server that several
tests or a benchmark share lives here instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

from anyio.from_thread import start_blocking_portal

T = TypeVar("T")


@contextmanager
def running(context: AbstractAsyncContextManager[T], name: str) -> Iterator[T]:
    """Enter `context` in a thread called `name`, and leave it there. Raises what it raises, either time."""
    with (
        start_blocking_portal("trio", name=name) as portal,
        portal.wrap_async_context_manager(context) as value,
    ):
        yield value
