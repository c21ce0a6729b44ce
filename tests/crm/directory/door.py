"""A real database that can be made to hang, move away and come back, and a flat in it to ask for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
import trio

from crm.store import Store
from tests.crm.houses import Houses

DEADLINE_S = 5.0


class Door(Store):
    """A real store, whose database can be made to hang; counts how often it is opened, and by how many at once."""

    def __init__(self, url: str) -> None:
        super().__init__(url, busy_s=0.2)
        self.open = threading.Event()
        self.open.set()
        self.opened = 0
        self.inside = 0
        self.most_inside = 0
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._passing(), super().reading() as connection:
            yield connection

    def check(self) -> None:
        with self._passing():
            super().check()

    @contextmanager
    def _passing(self) -> Iterator[None]:
        with self._lock:
            self.opened += 1
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        try:
            assert self.open.wait(30)
            yield
        finally:
            with self._lock:
                self.inside -= 1


def home(houses: Houses, user: str = "p1") -> int:
    """A house with one entrance, its panel, and flat 42 with an account and a phone; the flat's id."""
    house = houses.house("5")
    entrance = houses.entrance("п. 2", house)
    houses.panel(user, entrance)
    flat = houses.flat(house, "42", entrance)
    houses.phone(houses.account(f"a-{user}", flat), f"t-{user}")
    return flat


async def until(what: str, condition: Callable[[], object]) -> None:
    """Threads run on a clock of their own: real time."""
    with trio.move_on_after(10):
        while not condition():  # noqa: ASYNC110 - it waits for threads
            await trio.sleep(0.005)
        return
    pytest.fail(f"not within 10 s: {what}")
