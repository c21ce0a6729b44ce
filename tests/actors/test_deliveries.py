"""Panels are told what they are to know, by servers that speak their dialects, from both kinds of database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import sqlalchemy as sa
import trio

import actors.deliveries
from actors.deliveries import Deliveries
from crm.devices.access import set_panel_access
from crm.devices.queue import Told, claim_panel, count_waiting, due_panels, finish
from crm.keys.keys import add_key, find_key_again, lose_key, panels_of_key
from crm.keys.reach import Binding
from crm.model import Base, City, Domophone, DomophoneEntrance, Entrance, House, HouseEntrance, Vendor, table
from crm.sealed import new_key
from crm.store import Store
from crm.tables.companies import CodeDelivery, Company, CompanyCode
from crm.tables.keys import KeyDelivery, KeyScope
from crm.who import SYSTEM
from testbed.panel_state import Fault, PanelState, new_certificate
from testbed.panels import open_panel_server
from tests.crm.conftest import empty_file, houses, postgres, store, tree, url
from tests.crm.houses import Houses

__all__ = ["empty_file", "houses", "postgres", "store", "tree", "url"]

KEY = new_key()
UID, OTHER = "04A1B2C3", "04A1B2C4"
ON_SOKOL, OTHER_ON_SOKOL = "00000004A1B2C3", "00000004A1B2C4"
EVERYWHERE = [Binding(KeyScope.EVERYWHERE)]


class Clock:
    """Wall clock of the tests: stands until it is set."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors.deliveries, "POLL_S", 0.02)


@asynccontextmanager
async def connected(
    store: Store, houses: Houses, clock: Clock, panel: PanelState, name: str
) -> AsyncIterator[int]:
    """A panel that the CRM knows, with its server; its id."""
    async with open_panel_server(panel) as url:
        id = await trio.to_thread.run_sync(houses.panel, name)
        with store.transaction() as connection:
            mine = sa.update(table(Domophone)).where(table(Domophone).c.id == id)
            connection.execute(mine.values(vendor=Vendor(panel.vendor)))
        access = {"url": url, "user": panel.user, "password": panel.password}
        set_panel_access(store, KEY, SYSTEM, id, clock.now, **access)
        yield id


@asynccontextmanager
async def running(store: Store, clock: Clock, **options: float) -> AsyncIterator[Deliveries]:
    deliveries = Deliveries(store, KEY, wall_clock=clock, **{"deadline_s": 2.0, **options})  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(deliveries.run))
        yield deliveries
        nursery.cancel_scope.cancel()


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not holds():  # noqa: ASYNC110 - of a database and servers, which set no event
            await trio.sleep(0.02)


def row(store: Store, key: int) -> tuple[bool, bool, int, str]:
    """Of a key at its only panel: whether it is to be known, whether that is done, tries, error."""
    (each,) = panels_of_key(store, SYSTEM, key)
    return each.wanted, each.done_at is not None, each.tries, each.error


@pytest.mark.parametrize("vendor", ["beward", "hikvision", "qtech", "sokol"])
async def test_keys_are_learnt_and_lost_ones_forgotten(
    store: Store, houses: Houses, clock: Clock, vendor: str
) -> None:
    panel = PanelState(vendor)
    async with connected(store, houses, clock, panel, "100"):
        key = add_key(store, SYSTEM, UID, EVERYWHERE, clock.now)
        async with running(store, clock):
            await until(lambda: row(store, key)[:2] == (True, True))
            assert panel.keys
            lose_key(store, SYSTEM, key, "", clock.now)
            await until(lambda: row(store, key)[:2] == (False, True))
            assert not panel.keys
            find_key_again(store, SYSTEM, key, clock.now)
            await until(lambda: row(store, key)[:2] == (True, True))
            assert panel.keys
    assert count_waiting(store, clock.now) == {"keys": 0, "codes": 0, "failed": 0}


async def test_a_panel_is_told_all_over_one_connection_and_forgets_first(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("sokol", keys={ON_SOKOL})
    async with connected(store, houses, clock, panel, "100") as id:
        lost = add_key(store, SYSTEM, UID, EVERYWHERE, clock.now)
        with store.transaction() as connection:
            connection.execute(sa.update(table(KeyDelivery)).values(done_at=clock.now))
        keys = [add_key(store, SYSTEM, f"04A1B2D{n}", EVERYWHERE, clock.now) for n in range(5)]
        lose_key(store, SYSTEM, lost, "", clock.now)
        code = new_code(store, id, "12345", clock.now)
        async with running(store, clock):
            await until(lambda: all(row(store, key)[1] for key in [lost, *keys]))
        assert panel.connections == 1
        methods = [seen.method for seen in panel.seen]
        assert methods == ["DELETE", "DELETE", "POST", *["PUT"] * 5]
        assert panel.codes == ["12345"]
        assert code_row(store, code)[0]


async def test_a_panel_that_is_away_waits_longer_each_time_and_is_told_at_last(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("sokol", fault=Fault.CUT)
    async with connected(store, houses, clock, panel, "100"):
        key, other = (add_key(store, SYSTEM, uid, EVERYWHERE, clock.now) for uid in (UID, OTHER))
        async with running(store, clock):
            await until(lambda: "the connection broke" in row(store, key)[3])
            assert "the connection broke" in row(store, other)[3]
            seen = len(panel.seen)
            assert seen == 1  # the other one was not even tried
            first = panels_of_key(store, SYSTEM, key)[0].due_at - clock.now
            clock.now += 60
            await until(lambda: row(store, key)[2] == 2 and "broke" in row(store, key)[3])
            second = panels_of_key(store, SYSTEM, key)[0].due_at - clock.now
            assert second > first
            panel.fault = None
            clock.now += 200
            await until(lambda: row(store, key)[1] and row(store, other)[1])
    assert panel.keys == {ON_SOKOL, OTHER_ON_SOKOL}
    assert row(store, key) == (True, True, 3, "")


async def test_what_a_vendor_cannot_is_done_and_says_so(store: Store, houses: Houses, clock: Clock) -> None:
    panel = PanelState("hikvision")
    async with connected(store, houses, clock, panel, "100") as id:
        code = new_code(store, id, "12345", clock.now)
        key = add_key(store, SYSTEM, "04A1B2C3D4E5F6070809", EVERYWHERE, clock.now)
        async with running(store, clock):
            await until(lambda: code_row(store, code)[0] and row(store, key)[1])
    assert "how Hikvision's panels take an access code is not known" in code_row(store, code)[1]
    assert "8 bytes at most" in row(store, key)[3]
    assert panel.connections == 0


async def test_a_new_code_takes_the_place_of_the_one_that_the_panel_has(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("qtech", codes=["99999"])
    async with connected(store, houses, clock, panel, "100") as id:
        company = new_company(store)
        first = new_code(store, id, "11111", clock.now, company)
        async with running(store, clock):
            await until(lambda: code_row(store, first)[0])
            assert panel.codes == ["99999", "11111"]
            panel.fault = Fault.CUT
            missed = new_code(store, id, "22222", clock.now + 1, company)
            await until(lambda: "broke" in code_row(store, missed)[1])
            panel.fault = None
            last = new_code(store, id, "33333", clock.now + 2, company)
            clock.now += 1000
            await until(lambda: code_row(store, last)[0] and code_row(store, missed)[0])
    assert panel.codes == ["99999", "33333"]
    assert "before the panel could be told" in code_row(store, missed)[1]


async def test_a_panel_without_an_address_is_put_off_until_it_has_one(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("sokol")
    id = houses.panel("100")
    key = add_key(store, SYSTEM, UID, EVERYWHERE, clock.now)
    async with running(store, clock), open_panel_server(panel) as url:
        await until(lambda: row(store, key)[3] == "the panel has no address")
        assert due_panels(store, clock.now, (), 10) == []
        set_panel_access(store, KEY, SYSTEM, id, clock.now, url=url, user=panel.user, password=panel.password)
        await until(lambda: row(store, key)[1])
    assert panel.keys == {ON_SOKOL}


async def test_a_wrong_password_is_asked_for_once_and_not_for_each_key(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("sokol")
    async with connected(store, houses, clock, panel, "100"):
        panel.password = "another"
        keys = [add_key(store, SYSTEM, f"04A1B2D{n}", EVERYWHERE, clock.now) for n in range(5)]
        async with running(store, clock):
            await until(lambda: all("check user and password" in row(store, key)[3] for key in keys))
    assert len(panel.seen) == 1


async def test_a_certificate_is_pinned_and_one_that_changed_is_told_nothing(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("sokol", certificate=new_certificate())
    async with connected(store, houses, clock, panel, "100"):
        key = add_key(store, SYSTEM, UID, EVERYWHERE, clock.now)
        async with running(store, clock):
            await until(lambda: row(store, key)[1])
            panel.certificate = new_certificate()
            lose_key(store, SYSTEM, key, "", clock.now)
            await until(lambda: "is pinned; no password was sent" in row(store, key)[3])
    assert panel.keys == {ON_SOKOL}


async def test_two_processes_never_tell_a_panel_at_once(store: Store, houses: Houses, clock: Clock) -> None:
    panel = PanelState("sokol", delay_s=0.05)
    async with connected(store, houses, clock, panel, "100") as id:
        key = add_key(store, SYSTEM, UID, EVERYWHERE, clock.now)
        claim = claim_panel(store, id, clock.now, 100, 10)
        assert claim is not None
        other = add_key(store, SYSTEM, OTHER, EVERYWHERE, clock.now)
        assert due_panels(store, clock.now, (), 10) == [id]
        assert claim_panel(store, id, clock.now, 100, 10) is None
        finish(store, id, [Told(item) for item in claim.items], clock.now)
        async with running(store, clock), running(store, clock):
            await until(lambda: row(store, other)[1])
        assert row(store, key) == (True, True, 1, "")
    assert panel.connections == 1


async def test_what_a_dead_process_had_claimed_is_told_by_the_next_one(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("sokol")
    async with connected(store, houses, clock, panel, "100") as id:
        key = add_key(store, SYSTEM, UID, EVERYWHERE, clock.now)
        assert claim_panel(store, id, clock.now, 100, 10) is not None
        clock.now += 101
        async with running(store, clock):
            await until(lambda: row(store, key)[1])
    assert panel.keys == {ON_SOKOL}


async def test_a_key_that_is_lost_while_it_is_told_is_forgotten_at_once(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("sokol", delay_s=0.3)
    async with connected(store, houses, clock, panel, "100"):
        key = add_key(store, SYSTEM, UID, EVERYWHERE, clock.now)
        async with running(store, clock):
            await until(lambda: bool(panel.seen))
            lose_key(store, SYSTEM, key, "", clock.now)
            await until(lambda: row(store, key)[:2] == (False, True))
    assert panel.keys == set()


async def test_whoever_is_stopped_leaves_what_was_not_told_due(
    store: Store, houses: Houses, clock: Clock
) -> None:
    panel = PanelState("sokol", fault=Fault.SILENCE)
    async with connected(store, houses, clock, panel, "100") as id:
        key = add_key(store, SYSTEM, UID, EVERYWHERE, clock.now)
        async with running(store, clock, deadline_s=60.0):
            await until(lambda: bool(panel.seen))
        assert due_panels(store, clock.now, (), 10) == [id]
        assert row(store, key) == (True, False, 0, "")


def new_company(store: Store) -> int:
    with store.session() as session:
        company = Company(name="УК Север")
        session.add(company)
        session.flush()
        return company.id


def new_code(store: Store, panel: int, code: str, at: float, company: int | None = None) -> int:
    """A company's new code, to be told to a panel; the one before it is over."""
    company = new_company(store) if company is None else company
    with store.transaction() as connection:
        codes = table(CompanyCode)
        before = sa.and_(codes.c.company_id == company, codes.c.ended_at.is_(None))
        connection.execute(sa.update(codes).where(before).values(ended_at=at))
        made = sa.insert(codes).values(company_id=company, code=code, made_at=at).returning(codes.c.id)
        id = int(connection.execute(made).scalar_one())
        serve(connection, panel, company)
        connection.execute(
            sa.insert(table(CodeDelivery)).values(code_id=id, domophone_id=panel, due_at=at - 10)
        )
        return id


def serve(connection: sa.Connection, panel: int, company: int) -> None:
    """The panel serves a house of this company, if it serves none yet."""
    if connection.scalar(sa.select(House.id).where(House.company_id == company)) is not None:
        return

    def add(of: type[Base], **values: object) -> int:
        made = sa.insert(table(of)).values(values).returning(table(of).c.id)
        return int(connection.execute(made).scalar_one())

    city = add(City, name="Челябинск", region="", time_zone="Asia/Yekaterinburg")
    house = add(House, city_id=city, street="ул. Ленина", number="1", company_id=company)
    door = add(Entrance, name="п. 1")
    connection.execute(sa.insert(table(HouseEntrance)).values(house_id=house, entrance_id=door))
    connection.execute(sa.insert(table(DomophoneEntrance)).values(domophone_id=panel, entrance_id=door))


def code_row(store: Store, code: int) -> tuple[bool, str]:
    """Whether a code is done at its only panel, and the error."""
    query = sa.select(CodeDelivery.done_at, CodeDelivery.error).where(CodeDelivery.code_id == code)
    with store.reading() as connection:
        done_at, error = connection.execute(query).one()
    return done_at is not None, error
