"""A city's pool on a real database: what is lent is committed, whatever goes away, and two nodes never lend the same."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors import sos_pool
from actors.duty_desk import Alarm, DutyDesk
from actors.sos_file import SosFile
from actors.sos_pool import SosPool
from config import DispatchConfig, DutyConfig, SosConfig
from crm.sos.leases import add_numbers, find_leases, who
from crm.store import Store
from crm.values.sos import Lease, Why
from testbed.databases import new_database

FIAS, RESERVE = "5f1b6b7e-7d2a-4e0e-9b57-1f4a8c3d2e10", "900"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sos_pool, "TICK_S", 0.02)


class Place:
    """A database with a pool, and nodes that lend from it. `now` is what all of them take for the time."""

    def __init__(self, folder: Path, numbers: int, *, commit_ms: int = 1000) -> None:
        self.folder = folder
        self.database = folder / "crm.db"
        self.url = new_database(self.database)
        with Store(self.url) as store:
            add_numbers(store, FIAS, [str(n) for n in range(1, numbers + 1)])
        self.now = 1_790_000_000.0
        self.desk = DutyDesk(DutyConfig(), "node")
        self.config = SosConfig(commit_ms=commit_ms, refresh_s=1000)

    @asynccontextmanager
    async def node(
        self, name: str = "node", *, reserve: tuple[str, ...] = (RESERVE,)
    ) -> AsyncIterator[SosPool]:
        """One life of a node: what is in its file outlives it."""
        file = SosFile(self.folder / f"{name}.db")
        with Store(self.url, busy_s=0.5, durable=True) as store:
            pool = SosPool(
                "city",
                DispatchConfig(fias=FIAS, reserve=reserve),
                self.config,
                node=name,
                store=store,
                file=file,
                desk=self.desk,
                wall_clock=lambda: self.now,
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(pool.run)
                yield pool
                nursery.cancel_scope.cancel()
        file.close()

    def leases(self) -> list[Lease]:
        with Store(self.url) as store:
            return find_leases(store, limit=10_000)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The database's file is locked for good by somebody else."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, 3)


async def looked(pool: SosPool) -> None:
    """Wait until the pool knows the database's numbers."""
    with trio.fail_after(5):
        while pool._books.away:  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.005)


async def test_a_lease_is_in_the_database_when_it_is_given_out(place: Place) -> None:
    async with place.node() as pool:
        await looked(pool)
        lease = await pool.lend("p1", "mac1", "call1")
        assert place.leases() == [lease]
    with closing(sqlite3.connect(place.database)) as connection:
        row = connection.execute(
            "SELECT status, event_time, domophone FROM sos_numbers WHERE number = '1'"
        ).fetchone()
    assert row == (1, place.now, "mac1")


async def test_a_number_that_was_kept_long_enough_is_free_in_the_table(place: Place) -> None:
    async with place.node() as pool:
        await looked(pool)
        assert await pool.lend("p1", "mac1", "call1") is not None
        pool.ended("1", "call1")
        await trio.sleep(0.1)
        place.now += place.config.keep_s + 1
        with trio.fail_after(5), closing(sqlite3.connect(place.database)) as connection:
            query = "SELECT status, event_time, domophone FROM sos_numbers WHERE number = '1'"
            while connection.execute(query).fetchone() != (0, None, None):  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.02)
        lease = await pool.called_back("1", "back")
        assert lease is not None
        assert lease.panel == "p1", "who had it last is still called back"


async def test_two_nodes_never_lend_one_number_while_others_are_free(place: Place) -> None:
    async with place.node("a", reserve=()) as a, place.node("b", reserve=()) as b:
        await looked(a)
        await looked(b)
        lent: list[Lease | None] = []

        async def lend(pool: SosPool, panel: str) -> None:
            lent.append(await pool.lend(panel, panel, f"call-{panel}"))

        async with trio.open_nursery() as nursery:
            for pool, panel in ((a, "p1"), (b, "p2"), (a, "p3")):
                nursery.start_soon(lend, pool, panel)
        assert sorted(lease.number for lease in lent if lease) == ["1", "2", "3"]
        broken = await b.lend("p4", "p4", "call-p4")
        assert broken is not None
        assert broken.why is Why.BROKEN
        assert "guarantee_broken" in {alarm.kind.value for alarm in place.desk.alarms()}


async def test_a_database_that_hangs_holds_up_no_call_and_gets_its_lease_later(tmp_path: Path) -> None:
    place = Place(tmp_path, 3, commit_ms=100)
    async with place.node() as pool:
        await looked(pool)
        with place.away():
            began = trio.current_time()
            first = await pool.lend("p1", "mac1", "call1")
            took_s = trio.current_time() - began
            second = await pool.lend("p2", "mac2", "call2")
            assert Alarm.DATABASE_AWAY in {alarm.kind for alarm in place.desk.alarms()}
        assert first is not None
        assert second is not None
        assert took_s < 0.5
        assert (first.number, second.number) == ("1", RESERVE)
        with trio.fail_after(10):
            while len(place.leases()) < 2:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.02)
        await looked(pool)
        assert Alarm.DATABASE_AWAY not in {alarm.kind for alarm in place.desk.alarms()}
    assert {lease.id for lease in place.leases()} == {"call1", "call2"}


async def test_a_node_that_dies_while_it_owes_leases_pays_them_in_its_next_life(tmp_path: Path) -> None:
    place = Place(tmp_path, 3, commit_ms=100)
    async with place.node() as pool:
        await looked(pool)
        with place.away():
            lease = await pool.lend("p1", "mac1", "call1")
    await trio.sleep(0.6)  # a thread that hung on the lock is done
    with sqlite3.connect(place.database) as connection:
        connection.execute("DELETE FROM sos_leases")
    async with place.node() as pool:
        assert lease is not None
        assert pool.last(lease.number) is not None
        with trio.fail_after(10):
            while not place.leases():  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.02)
    with Store(place.url) as store:
        owner = who(store, lease.number)
    assert owner is not None
    assert owner.panel == "p1"


async def test_calls_whose_end_was_lost_are_ended_after_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.node() as pool:
        await looked(pool)
        await pool.lend("p1", "mac1", "call1")
        await pool.lend("p2", "mac2", "call2")
    monkeypatch.setattr(sos_pool, "LOST_S", 0.2)
    async with place.node() as pool:
        await looked(pool)
        await pool.lend("p2", "mac2", "call2")  # this one is still there
        await trio.sleep(0.5)
        ended = {lease.id: lease.ended_at is not None for lease in place.leases()}
    assert ended == {"call1": True, "call2": False}


async def test_a_pool_without_numbers_lends_none_and_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path, 0)
    async with place.node(reserve=()) as pool:
        await looked(pool)
        assert await pool.lend("p1", "mac1", "call1") is None
        assert Alarm.NO_NUMBER in {alarm.kind for alarm in place.desk.alarms()}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["press", "press", "press", "end", "back", "crash", "time", "away"]),
        st.integers(0, 9),
    ),
    min_size=3,
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, numbers=st.integers(1, 3))
@example(
    steps=[("press", 6), ("press", 1), ("crash", 1), ("away", 9), ("crash", 7), ("back", 0), ("press", 5)],
    numbers=3,
)
def test_no_order_of_calls_crashes_and_absences_loses_a_lease_or_refuses_a_call(
    steps: list[tuple[str, int]], numbers: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_any_order, Place(Path(folder), numbers, commit_ms=60), steps)


async def _any_order(place: Place, steps: list[tuple[str, int]]) -> None:
    """Lives of one node, one after the other, as crashes end them; each answer must hold in all that follow."""
    told: dict[str, Lease] = {}  # by number: what was given out last
    all_told: set[str] = set()
    count, away, todo = 0, False, list(steps)
    while todo:
        async with place.node() as pool:
            if not away:
                await looked(pool)
            while todo:
                step, value = todo.pop(0)
                count += 1
                place.now += 0.01  # no two things happen at once
                match step:
                    case "press":
                        panel = f"p{value % 5}"
                        lease = await pool.lend(panel, panel, f"call{count}")
                        assert lease is not None, "a call is refused"
                        spare = pool.pool.spare(place.now)
                        assert lease.why is not Why.BROKEN or spare == 0
                        told[lease.number] = lease
                        all_told.add(lease.id)
                    case "end":
                        for lease in told.values():
                            pool.ended(lease.number, lease.call_id)
                    case "back" if told:
                        number = sorted(told)[value % len(told)]
                        back = await pool.called_back(number, f"back{count}")
                        assert back is not None
                        assert back.panel == told[number].panel
                        pool.ended(number, f"back{count}")
                    case "time":
                        place.now += value * 900
                    case "away":
                        away = not away
                        source, target = place.database, place.folder / "away.db"
                        if not away:
                            source, target = target, source
                        source.rename(target)
                    case "crash":
                        break
                for number, lease in told.items():
                    last = pool.last(number)
                    assert last is not None
                    assert last.panel == lease.panel
    if away:
        (place.folder / "away.db").rename(place.database)
    async with place.node() as pool:
        await looked(pool)
        with trio.fail_after(10):
            while not all_told <= {lease.id for lease in place.leases()}:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.02)
        for number, lease in told.items():
            last = pool.last(number)
            assert last is not None
            assert last.panel == lease.panel
