"""The CRM's chores by a moved clock: what is done when, and that no error ends them."""

from __future__ import annotations

import datetime
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from config import BillingConfig, CodesConfig
from crm.companies.billing_feeds import Feed, feed_state
from crm.companies.chores import LOOK_S, Chores
from crm.companies.code_runs import codes_of, codes_that_hold, make_by_hand, runs
from crm.model import Flat, FlatBlock, table
from crm.store import Store, upgrade
from crm.who import SYSTEM
from testbed.billing import Fault
from testbed.databases import new_database
from tests.crm.companies.world import World, add_company, billing_world
from tests.crm.houses import Houses

BEFORE = datetime.datetime(2026, 11, 23, 4, 50, tzinfo=ZoneInfo("Europe/Moscow")).timestamp()
MINUTE_S, WEEK_S = 60.0, 7 * 86_400.0
NO_BILLING = BillingConfig()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(new_database(tmp_path / "crm.db")) as store:
        yield store


@pytest.fixture
def world() -> Iterator[World]:
    with billing_world() as world:
        yield world


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


async def inline(work: Callable[[], None]) -> None:
    """As the clock jumps whenever Trio has nothing to do, which it has not while a thread works."""
    work()
    await trio.lowlevel.checkpoint()


def chores_of(store: Store, clock: MockClock, billing: BillingConfig = NO_BILLING) -> Chores:
    return Chores(store, CodesConfig(), billing, clock=lambda: BEFORE + clock.current_time(), thread=inline)


@asynccontextmanager
async def running(chores: Chores) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: chores.run(task_status=task_status))
        yield
        nursery.cancel_scope.cancel()


def weeks(store: Store) -> list[str]:
    return [each.week for each in runs(store, SYSTEM)]


async def test_codes_are_made_at_five_on_mondays(
    store: Store, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "crm.companies.chores.LOOK_S", 7 * 3600.0
    )  # it is the time that wakes it, and not a look
    company = add_company(store, "Альфа")
    async with running(chores_of(store, autojump_clock)):
        await trio.sleep(9 * MINUTE_S)
        assert weeks(store) == ["2026-11-16"]  # made up for, as none was made before
        await trio.sleep(MINUTE_S + 0.1)
        assert weeks(store) == ["2026-11-23", "2026-11-16"]
        await trio.sleep(WEEK_S - MINUTE_S)
        assert len(weeks(store)) == 2
        await trio.sleep(MINUTE_S)
        assert weeks(store)[0] == "2026-11-30"
    due = [each.made_at - BEFORE for each in codes_of(store, SYSTEM, company)]
    assert due[:2] == pytest.approx([600 + WEEK_S, 600], abs=0.01)


async def test_started_again_after_missed_mondays_it_makes_up_for_them_once(
    store: Store, autojump_clock: MockClock
) -> None:
    add_company(store, "Альфа")
    async with running(chores_of(store, autojump_clock)):
        await trio.sleep(1)
    await trio.sleep(3 * WEEK_S + 2 * 86_400)
    async with running(chores_of(store, autojump_clock)):
        await trio.sleep(3600)
    assert weeks(store) == ["2026-12-14", "2026-11-16"]


async def test_billing_that_is_away_is_asked_with_growing_pauses_and_then_told(
    store: Store, autojump_clock: MockClock, world: World, logged: list[Any]
) -> None:
    for n in range(3):
        add_company(store, f"УК {n}")
    chores = chores_of(store, autojump_clock, world.settings)
    world.fake.fault = Fault.UNAVAILABLE
    world.fake.retry_after = "11"  # longer than the deadline: one request a question
    async with running(chores):
        await trio.sleep(4 * 3600)
        assert world.fake.companies == {}
        asked = [each for each in world.fake.asked if each.method == "PUT"]
        assert 5 <= len(asked) <= 20
        away = [each["event"] for each in logged if each["log_level"] == "error"]
        assert away.count("billing is away: told of codes later") == 1
        world.fake.fault = Fault.NONE
        await trio.sleep(2 * 3600)
        assert {each["name"] for each in world.fake.companies.values()} == {"УК 0", "УК 1", "УК 2"}
        assert runs(store, SYSTEM)[0].ended_at is not None
        assert any(each["event"] == "billing is back" for each in logged)


async def test_a_code_made_on_a_page_is_told_at_once(
    store: Store, autojump_clock: MockClock, world: World
) -> None:
    chores = chores_of(store, autojump_clock, world.settings)
    async with running(chores):
        await trio.sleep(1)
        company = add_company(store, "Альфа")
        made = make_by_hand(store, SYSTEM, company, 5, chores.clock(), billing=True)
        chores.wake()
        await trio.sleep(0.1)
        assert world.fake.companies[f"B{company}"]["code"] == made.code


async def test_debts_are_read_every_few_minutes(
    store: Store, autojump_clock: MockClock, world: World
) -> None:
    houses = Houses(store)
    flat = houses.flat(houses.house("5"), "42")
    with store.transaction() as connection:
        connection.execute(sa.update(table(Flat)).values(contract="A-1"))

    def blocks() -> list[float | None]:
        with store.reading() as connection:
            query = sa.select(table(FlatBlock).c.until).where(table(FlatBlock).c.flat_id == flat)
            return [*connection.scalars(query)]

    async with running(chores_of(store, autojump_clock, world.settings)):
        await trio.sleep(MINUTE_S)
        world.fake.owes("A-1", "100")
        await trio.sleep(15 * MINUTE_S)
        assert blocks() == [None]
        world.fake.owes("A-1", "0")
        await trio.sleep(15 * MINUTE_S + LOOK_S)
        assert blocks() != [None]
    reads = [each for each in world.fake.asked if each.path.endswith("/debts")]
    assert len(reads) == 3


async def test_nonsense_from_billing_is_said_once_and_ends_nothing(
    store: Store, autojump_clock: MockClock, world: World, logged: list[Any]
) -> None:
    chores = chores_of(store, autojump_clock, world.settings)
    world.fake.fault = Fault.GARBAGE
    async with running(chores):
        await trio.sleep(6 * 3600)
        said = [each for each in logged if each["event"] == "billing's debts could not be read"]
        assert len(said) == 1
        assert feed_state(store, Feed.DEBTS).tries > 5
        world.fake.fault = Fault.NONE
        await trio.sleep(3600 * 1.3)
        assert feed_state(store, Feed.DEBTS).error == ""
        assert any(each["event"] == "billing's debts are read again" for each in logged)


async def test_a_database_that_is_away_is_waited_for(
    tmp_path: Path, autojump_clock: MockClock, logged: list[Any]
) -> None:
    with Store(f"sqlite:///{tmp_path}/late.db") as late:
        async with running(chores_of(late, autojump_clock)):
            await trio.sleep(10 * MINUTE_S)
            assert [each["event"] for each in logged] == ["chores wait for the database"]
            upgrade(f"sqlite:///{tmp_path}/late.db")
            add_company(late, "Альфа")
            await trio.sleep(LOOK_S + 1)
            assert len(codes_that_hold(late, SYSTEM)) == 1
            assert any(each["event"] == "chores: the database is back" for each in logged)


async def test_a_bug_is_logged_and_ends_nothing(
    store: Store, autojump_clock: MockClock, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_company(store, "Альфа")
    chores = chores_of(store, autojump_clock)

    def breaks(*args: object, **options: object) -> int:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("crm.companies.code_runs.make_codes", breaks)
        async with running(chores):
            await trio.sleep(MINUTE_S)
            assert any("a bug" in each["event"] for each in logged)
            patched.undo()
            await trio.sleep(LOOK_S + 1)
            assert len(codes_that_hold(store, SYSTEM)) == 1


async def test_a_broken_run_of_codes_does_not_keep_debts_from_being_read(
    store: Store, autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    add_company(store, "Альфа")
    monkeypatch.setattr("crm.companies.codes.secrets.randbelow", lambda _: 2345)  # 12345, always
    async with running(chores_of(store, autojump_clock, world.settings)):
        await trio.sleep(10 * MINUTE_S)
    assert [each["event"] for each in logged if each["log_level"] == "error"] == [
        "weekly codes cannot be made"
    ]
    assert feed_state(store, Feed.DEBTS).read_at is not None


async def test_the_work_is_done_off_trios_thread(store: Store) -> None:
    add_company(store, "Альфа")
    threads: set[int] = set()
    done = trio.Event()

    def clock() -> float:
        threads.add(threading.get_ident())
        return BEFORE

    chores = Chores(store, CodesConfig(), NO_BILLING, clock=clock)
    in_thread = chores.thread

    async def noting(work: Callable[[], None]) -> None:
        await in_thread(work)
        done.set()

    chores.thread = noting
    async with running(chores):
        with trio.fail_after(10):
            await done.wait()
    assert len(codes_that_hold(store, SYSTEM)) == 1
    assert threads - {threading.get_ident()}
