"""Nobody sees beyond in 112 either: pools of other cities, numbers that others' panels have, calls from a shared gate."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest
import sqlalchemy as sa

from config import Config, DispatchConfig
from crm.model import City, House, Street, table
from crm.rights import EVERYWHERE, Reach
from crm.sos import desk as sos_desk
from crm.sos.leases import add_numbers, commit, load_pool
from crm.sos.reach import board_within
from crm.store import Store
from crm.values.sos import Lease, Why
from live import CallState, limited
from tests.crm.web.site import TestSite, open_site
from tests.crm.web.test_board_pages import board, call
from tests.crm.web.two_companies import CITY, FOREIGN, NOW, OWN, fill, fill_gate

HERE, THERE = "c-9001", "c-there"
SETTINGS = Config(
    dispatch={
        "default": DispatchConfig(),
        "here": DispatchConfig(fias=HERE, trunks=("trunk-here",), test_number="7001"),
        "there": DispatchConfig(fias=THERE, trunks=("trunk-there",)),
    }
)
COMPANY = Reach(companies=frozenset({OWN.id}))


def lend(store: Store, fias: str, number: str, panel: str, *, over: bool = False) -> None:
    """A number that a panel has now; `over`: it is kept for it."""
    add_numbers(store, fias, [number])
    times = (NOW - 7200, NOW - 7000, NOW - 5000) if over else (NOW - 60, None, None)
    lease = Lease(f"l-{number[-7:]}", fias, number, panel, "0" * 12, "call-x", "node1", Why.FREE, *times)
    commit(store, fias, load_pool(store, fias).version, [lease])


@pytest.fixture
def town(store: Store) -> Iterator[TestSite]:
    """Two companies in one city, and a city beyond with a pool of its own."""
    fill(store)
    fill_gate(store)
    with store.transaction() as connection:
        there = {"id": 9002, "region": "область", "name": "Далёкий", "time_zone": "UTC", "fias": THERE}
        connection.execute(sa.insert(table(City)).values(there))
        connection.execute(sa.insert(table(Street)).values(id=9002, city_id=9002, name="ул. Та"))
    add_numbers(store, HERE, ["+73512000000"])
    add_numbers(store, THERE, ["+73513000000"])
    lend(store, HERE, "+73512000001", OWN.panel)
    lend(store, HERE, "+73512000002", FOREIGN.panel)
    lend(store, HERE, "+73512000003", FOREIGN.panel, over=True)
    with open_site(store, settings=SETTINGS) as site:
        yield site


def test_who_keeps_some_houses_sees_the_pools_of_their_cities_alone(town: TestSite) -> None:
    town.employee("manager", reach=COMPANY)
    manager, admin, api = town.browser("manager"), town.browser(), town.token(reach=COMPANY)

    for path in ("/sos", "/sos/pools", "/sos/leases", "/sos/overdue"):
        text = manager.get(path).text
        assert "Далёкий" not in text, path
        assert "trunk-there" not in text, path
        assert "there" not in manager.text(path).split(), path
    assert "trunk-here" in manager.text("/sos/pools")
    assert "Далёкий" in admin.text("/sos/pools")
    pools = api.get("/api/v1/sos/pools").json()
    assert [each["dispatch"] for each in pools] == ["here"]
    listed = api.get("/api/v1/sos-numbers").text
    assert "+73512000000" in listed
    assert "+73513000000" not in listed
    assert "+73513000000" in town.token().get("/api/v1/sos-numbers").text


def test_numbers_that_panels_beyond_have_are_neither_named_nor_counted_as_calls(town: TestSite) -> None:
    town.employee("manager", reach=COMPANY)
    manager, api = town.browser("manager"), town.token(reach=COMPANY)

    (pool,) = api.get("/api/v1/sos/pools").json()
    pages = manager.get("/sos/pools").text + manager.get("/sos-numbers").text
    listed = api.get("/api/v1/sos-numbers").text

    assert "+73512000001" in pages
    for number in ("+73512000002", "+73512000003"):
        assert number not in pages + listed
    named = {each["number"]: each["standing"] for each in pool["stand"]}
    assert named["+73512000001"] == "in_call"
    assert not {"+73512000002", "+73512000003"} & set(named)
    assert [pool[each] for each in ("in_call", "kept", "guaranteed")] == [2, 0, 0]
    (whole,) = [each for each in town.token().get("/api/v1/sos/pools").json() if each["dispatch"] == "here"]
    assert whole["in_call"] == 4
    assert whole["free"] == pool["free"]


def test_who_keeps_a_city_sees_all_of_its_pool(town: TestSite) -> None:
    api = town.token(reach=Reach(cities=frozenset({CITY})))

    (pool,) = api.get("/api/v1/sos/pools").json()

    assert pool["in_call"] == 4
    assert {"+73512000002", "+73512000003"} < {each["number"] for each in pool["stand"]}


def test_a_city_without_a_dispatch_of_its_own_shows_the_default_one(town: TestSite) -> None:
    with town.store.transaction() as connection:
        city = {"id": 9003, "region": "область", "name": "Без", "time_zone": "UTC", "fias": None}
        connection.execute(sa.insert(table(City)).values(city))
    near = Reach(cities=frozenset({9003}))

    assert sos_desk.fias_within(SETTINGS, town.store, near) >= {""}
    assert sos_desk.fias_within(SETTINGS, town.store, COMPANY) == {HERE}
    assert sos_desk.fias_within(SETTINGS, town.store, EVERYWHERE) >= {HERE, THERE, ""}
    dispatches = [each["dispatch"] for each in town.token(reach=near).get("/api/v1/sos/pools").json()]
    assert dispatches == ["default"]


def test_the_address_of_a_shared_gate_names_no_house_beyond(town: TestSite) -> None:
    lend(town.store, HERE, "+73512000009", "p-gate")
    api = town.token(reach=COMPANY)
    town.employee("manager", reach=COMPANY)
    manager = town.browser("manager")

    answers = [
        api.get("/api/v1/sos/leases").text,
        api.get("/api/v1/sos/pools").text,
        api.get("/api/v1/sos/who", params={"number": "+73512000009"}).text,
        api.get("/api/v1/sos/overdue").text,
        manager.get("/sos").text,
        manager.get("/sos/leases").text,
        manager.get("/sos/leases.csv").text,
        manager.get("/sos/overdue").text,
        manager.get("/sos?number=%2B73512000009").text,
    ]

    for text in answers:
        assert "ворота" in text
        assert OWN.word in text
        assert FOREIGN.word not in text


def test_the_board_has_no_visitors_of_others_at_a_shared_gate(town: TestSite) -> None:
    within = board_within(town.store, COMPANY)
    ours = call("ours", "p-gate", flat_id=OWN.id)
    theirs = call("theirs", "p-gate", flat_id=FOREIGN.id)
    early = call("early", "p-gate", flat="")
    nobody = call("nobody", "p-gate", flat="", state=CallState.OVER, ended_at=NOW)
    urgent = call("urgent", "p-gate", kind="sos", flat="")
    beyond = call("beyond", FOREIGN.panel, kind="sos", flat="")

    seen = limited(board(ours, theirs, early, nobody, urgent, beyond), within)

    assert within is not None
    assert within.panels == {OWN.panel, "p-gate"}
    assert within.shared == {"p-gate"}
    assert [each.call_id for each in seen.calls] == ["ours", "nobody", "urgent"]
    assert seen.now.ringing == 2
    assert seen.now.sos == 1
    assert seen.alarms == ()
    assert board_within(town.store, EVERYWHERE) is None
    # Who has both companies' houses shares the gate with nobody.
    both = board_within(town.store, Reach(cities=frozenset({CITY})))
    assert both is not None
    assert both.has(theirs)
    assert both.has(attrs.evolve(early))


def test_a_panel_whose_house_went_to_another_company_is_not_told_of_any_more(town: TestSite) -> None:
    with town.store.transaction() as connection:
        houses = table(House)
        connection.execute(sa.update(houses).where(houses.c.id == OWN.id).values(company_id=FOREIGN.id))

    assert "+73512000001" not in town.token(reach=COMPANY).get("/api/v1/sos/pools").text
    within = board_within(town.store, COMPANY)
    assert within is not None
    assert not within.panels
