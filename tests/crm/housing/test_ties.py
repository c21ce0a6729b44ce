"""Ties of flats, entrances, houses and panels: panels learn and forget keys in the transaction that ties."""

from __future__ import annotations

import pytest

from crm.desk.desk import Desk
from crm.keys.formats import KeyFormat
from crm.keys.keys import add_key, panels_of_key
from crm.keys.reach import Binding
from crm.sections import all_resources
from crm.store import Store
from crm.tables.keys import KeyScope
from crm.who import SYSTEM
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
