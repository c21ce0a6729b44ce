"""Ties of flats, entrances, houses and panels: panels learn and forget keys in the transaction that ties."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.companies.code_panels import is_wanted
from crm.companies.code_runs import make_by_hand
from crm.desk.desk import Desk
from crm.housing.doors import link_panel, unlink_panel
from crm.housing.removal import delete_entrance, delete_house
from crm.keys.formats import KeyFormat
from crm.keys.keys import add_key, panels_of_key
from crm.keys.reach import Binding
from crm.model import table
from crm.sections import all_resources
from crm.store import Store
from crm.tables.companies import CodeDelivery
from crm.tables.keys import KeyScope
from crm.who import SYSTEM
from tests.crm.companies.world import add_company
from tests.crm.houses import Houses

NOW = 1_000_000.0


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store, all_resources())


def key(store: Store, scope: KeyScope, id: int) -> int:
    return add_key(store, SYSTEM, "04A1B2C3", [Binding(scope, id)], NOW, format=KeyFormat.HEX)


def told(store: Store, key_id: int) -> dict[str, bool]:
    """By panel, whether it is to learn the key or to forget it."""
    return {each.sip_user: each.wanted for each in panels_of_key(store, SYSTEM, key_id)}


@pytest.mark.parametrize(("resource", "link"), [("flats", "entrances"), ("entrances", "flats")])
def test_a_flat_that_is_called_from_an_entrance_brings_its_keys(
    store: Store, houses: Houses, desk: Desk, resource: str, link: str
) -> None:
    house = houses.house("5")
    entrance = houses.entrance("п. 1", house)
    houses.panel("p1", entrance)
    flat = houses.flat(house, "1")
    mine = key(store, KeyScope.FLAT, flat)
    of = desk.resource(resource)
    here, there = (flat, entrance) if resource == "flats" else (entrance, flat)

    desk.set_link(SYSTEM, of, here, of.link(link), there, {})
    learned = told(store, mine)
    desk.remove_link(SYSTEM, of, here, of.link(link), there)

    assert (learned, told(store, mine)) == ({"p1": True}, {"p1": False})


def test_a_panel_at_an_entrance_learns_its_keys_and_forgets_them_when_it_goes(
    store: Store, houses: Houses, desk: Desk
) -> None:
    entrance = houses.entrance("п. 1", houses.house("5"))
    panel = houses.panel("p1")
    mine = key(store, KeyScope.ENTRANCE, entrance)
    of = desk.resource("entrances")

    desk.set_link(SYSTEM, of, entrance, of.link("domophones"), panel, {})
    learned = told(store, mine)
    desk.remove_link(SYSTEM, of, entrance, of.link("domophones"), panel)

    assert (learned, told(store, mine)) == ({"p1": True}, {"p1": False})


@pytest.mark.parametrize(("resource", "link"), [("houses", "entrances"), ("entrances", "houses")])
def test_a_gate_that_serves_a_house_more_learns_its_keys(
    store: Store, houses: Houses, desk: Desk, resource: str, link: str
) -> None:
    house, other = houses.house("5"), houses.house("7")
    gate = houses.entrance("ворота", other)
    houses.panel("p1", gate)
    mine = key(store, KeyScope.HOUSE, house)
    of = desk.resource(resource)
    here, there = (house, gate) if resource == "houses" else (gate, house)

    desk.set_link(SYSTEM, of, here, of.link(link), there, {"prefix": "1"})
    learned = told(store, mine)
    desk.remove_link(SYSTEM, of, here, of.link(link), there)

    assert (learned, told(store, mine)) == ({"p1": True}, {"p1": False})


def codes(store: Store) -> dict[int, bool]:
    """By panel, whether it is to know its company's code or to forget it."""
    deliveries = table(CodeDelivery)
    with store.reading() as connection:
        rows = connection.execute(sa.select(deliveries.c.domophone_id, is_wanted(deliveries))).all()
    return {id: bool(wanted) for id, wanted in rows}


def known_to_all(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(sa.update(table(CodeDelivery)).values(done_at=NOW))


def test_a_panel_that_is_put_at_an_entrance_is_told_the_code_of_its_company_at_once(
    store: Store, houses: Houses, desk: Desk
) -> None:
    house = houses.house("5")
    entrance, panel = houses.entrance("п. 1", house), houses.panel("p1")
    make_by_hand(store, SYSTEM, add_company(store, "УК Альфа", house), 5, NOW, billing=False)
    assert codes(store) == {}

    link_panel(desk, SYSTEM, entrance, panel, NOW)
    learned = codes(store)
    known_to_all(store)
    unlink_panel(desk, SYSTEM, entrance, panel, NOW)

    assert (learned, codes(store)) == ({panel: True}, {panel: False})


@pytest.mark.parametrize("what", ["house", "entrance"])
def test_the_panels_of_what_is_deleted_forget_the_code(
    store: Store, houses: Houses, desk: Desk, what: str
) -> None:
    house = houses.house("5")
    entrance = houses.entrance("п. 1", house)
    panel = houses.panel("p1", entrance)
    make_by_hand(store, SYSTEM, add_company(store, "УК Альфа", house), 5, NOW, billing=False)
    known_to_all(store)

    if what == "house":
        delete_house(desk, SYSTEM, house, NOW + 1)
    else:
        delete_entrance(desk, SYSTEM, entrance, NOW + 1)

    assert codes(store) == {panel: False}
    with store.reading() as connection:
        due = connection.scalar(sa.select(table(CodeDelivery).c.due_at))
    assert due == NOW + 1
