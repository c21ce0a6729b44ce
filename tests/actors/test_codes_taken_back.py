"""Codes that hold no more, or not there: panels forget them, and go on knowing what else they are to know."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.companies.code_panels import deliver_missing, end_code, panels_know, sync_codes
from crm.companies.code_runs import make_by_hand
from crm.devices.access import set_panel_access
from crm.model import Domophone, House, Vendor, table
from crm.store import Store
from crm.tables.companies import CodeDelivery, Company
from crm.who import SYSTEM
from testbed.panel_state import Fault, PanelState
from testbed.panels import open_panel_server
from tests.actors.test_deliveries import KEY, Clock, clock, quick, running, until
from tests.crm.companies.world import add_company
from tests.crm.conftest import empty_file, houses, postgres, store, tree, url
from tests.crm.houses import Houses

__all__ = ["clock", "empty_file", "houses", "postgres", "quick", "store", "tree", "url"]


def at_home(store: Store, houses: Houses, panel: PanelState, url: str, *house_ids: int) -> int:
    """The panel, at an entrance of these houses; its id."""
    id = houses.panel(f"10{house_ids[0]}", houses.entrance("п. 1", *house_ids))
    with store.transaction() as connection:
        mine = sa.update(table(Domophone)).where(table(Domophone).c.id == id)
        connection.execute(mine.values(vendor=Vendor(panel.vendor)))
    set_panel_access(store, KEY, SYSTEM, id, 0.0, url=url, user=panel.user, password=panel.password)
    return id


def make(store: Store, company: int, clock: Clock) -> str:
    return make_by_hand(store, SYSTEM, company, 5, clock.now, billing=False).code


def set_active(store: Store, company: int, clock: Clock) -> None:
    """Not active any more."""
    with store.transaction() as connection:
        connection.execute(sa.update(Company).where(Company.id == company).values(active=False))
        end_code(connection, company, clock.now)


def move(store: Store, house: int, company: int, clock: Clock) -> None:
    with store.transaction() as connection:
        connection.execute(sa.update(House).where(House.id == house).values(company_id=company))
        sync_codes(connection, clock.now)


def is_quiet(store: Store) -> bool:
    """Nothing is to be told to any panel."""
    waits = sa.select(sa.exists().where(CodeDelivery.done_at.is_(None)))
    with store.reading() as connection:
        return not connection.scalar(waits)


@pytest.mark.parametrize("vendor", ["beward", "qtech", "sokol"])
async def test_a_panel_forgets_the_code_of_a_company_that_is_not_active_any_more(
    store: Store, houses: Houses, clock: Clock, vendor: str
) -> None:
    house, panel = houses.house("1"), PanelState(vendor)
    company = add_company(store, "Альфа", house)
    async with open_panel_server(panel) as url, running(store, clock):
        at_home(store, houses, panel, url, house)
        code = make(store, company, clock)
        await until(lambda: panel.codes == [code] and is_quiet(store))
        set_active(store, company, clock)
        await until(lambda: panel.codes == [] and is_quiet(store))
    deliver_missing(store, clock.now)
    assert is_quiet(store)
    with store.reading() as connection:
        assert not panels_know(connection, company)


@pytest.mark.parametrize("vendor", ["beward", "qtech", "sokol"])
async def test_a_house_that_moves_takes_its_panel_to_the_new_companys_code_and_back(
    store: Store, houses: Houses, clock: Clock, vendor: str
) -> None:
    house, panel = houses.house("1"), PanelState(vendor)
    alpha, beta = add_company(store, "Альфа", house), add_company(store, "Бета")
    async with open_panel_server(panel) as url, running(store, clock):
        at_home(store, houses, panel, url, house)
        first, second = make(store, alpha, clock), make(store, beta, clock)
        await until(lambda: panel.codes == [first] and is_quiet(store))
        move(store, house, beta, clock)
        await until(lambda: panel.codes == [second] and is_quiet(store))
        move(store, house, alpha, clock)
        await until(lambda: panel.codes == [first] and is_quiet(store))


@pytest.mark.parametrize("vendor", ["beward", "qtech"])
async def test_a_gate_of_two_companies_keeps_the_other_ones_code(
    store: Store, houses: Houses, clock: Clock, vendor: str
) -> None:
    mine, other, panel = houses.house("1"), houses.house("2"), PanelState(vendor)
    alpha, beta = add_company(store, "Альфа", mine), add_company(store, "Бета", other)
    async with open_panel_server(panel) as url, running(store, clock):
        at_home(store, houses, panel, url, mine, other)
        kept, _ = make(store, beta, clock), make(store, alpha, clock)
        await until(lambda: is_quiet(store))
        set_active(store, alpha, clock)
        await until(lambda: panel.codes == [kept] and is_quiet(store))


async def test_a_panel_that_is_away_forgets_once_it_is_back_and_one_that_never_knew_is_told_nothing(
    store: Store, houses: Houses, clock: Clock
) -> None:
    house, other = houses.house("1"), houses.house("2")
    panel, away = PanelState("qtech"), PanelState("qtech", fault=Fault.SERVER_ERROR)
    company = add_company(store, "Альфа", house)
    later = add_company(store, "Бета", other)
    async with open_panel_server(panel) as url, running(store, clock):
        at_home(store, houses, panel, url, house)
        code = make(store, company, clock)
        await until(lambda: panel.codes == [code] and is_quiet(store))
        panel.fault = Fault.SERVER_ERROR
        set_active(store, company, clock)
        await until(lambda: "500" in _error(store))
        panel.fault = None
        clock.now += 7200
        await until(lambda: panel.codes == [] and is_quiet(store))
    async with open_panel_server(away) as url:
        at_home(store, houses, away, url, other)
        make(store, later, clock)
        set_active(store, later, clock)
    assert is_quiet(store)
    assert away.seen == []


async def test_all_codes_of_a_house_that_moved_are_forgotten_where_the_newest_came_too_late(
    store: Store, houses: Houses, clock: Clock
) -> None:
    house, panel = houses.house("1"), PanelState("qtech")
    alpha, beta = add_company(store, "Альфа", house), add_company(store, "Бета")
    async with open_panel_server(panel) as url, running(store, clock):
        at_home(store, houses, panel, url, house)
        first = make(store, alpha, clock)
        await until(lambda: panel.codes == [first] and is_quiet(store))
        panel.fault = Fault.SERVER_ERROR
        clock.now += 1
        make(store, alpha, clock)
        await until(lambda: "500" in _error(store))
        move(store, house, beta, clock)
        panel.fault = None
        clock.now += 7200
        await until(lambda: panel.codes == [] and is_quiet(store))


def _error(store: Store) -> str:
    query = sa.select(sa.func.coalesce(sa.func.max(CodeDelivery.error), "")).where(
        CodeDelivery.done_at.is_(None)
    )
    with store.reading() as connection:
        return str(connection.scalar(query))
