"""Doors opened from the CRM: who did it is written before it is done, and what came of it after."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa
import trio

from actors.doors import DoorNotOpened, open_door, open_relay_channel
from crm.desk.desk import Desk
from crm.devices.access import set_panel_access, set_relay_access
from crm.devices.relays import RelayModel
from crm.model import Domophone, Vendor, table
from crm.rights import Reach, Right, Rights
from crm.sealed import new_key
from crm.sections import all_resources
from crm.store import Store
from crm.tables.staff import Change
from crm.who import SYSTEM, Forbidden, Invalid, NotFound, Who
from testbed.panel_state import Fault, PanelState, new_certificate
from testbed.panels import open_panel_server
from testbed.relays import open_relay_server
from tests.crm.conftest import empty_file, houses, postgres, store, tree, url
from tests.crm.houses import Houses

__all__ = ["empty_file", "houses", "postgres", "store", "tree", "url"]

KEY = new_key()
NOW = 1_000_000.0


def opened(store: Store) -> list[tuple[str, str, dict[str, object]]]:
    """What was noted of doors: who, what, and what came of it."""
    query = (
        sa.select(Change.who, Change.entity, Change.after).where(Change.action == "open").order_by(Change.id)
    )
    with store.reading() as connection:
        return [(who, entity, msgspec.json.decode(after)) for who, entity, after in connection.execute(query)]


def known(store: Store, houses: Houses, panel: PanelState, url: str, *entrances: int) -> int:
    """A panel at this URL; its id."""
    id = houses.panel("100", *entrances)
    with store.transaction() as connection:
        mine = sa.update(table(Domophone)).where(table(Domophone).c.id == id)
        connection.execute(mine.values(vendor=Vendor(panel.vendor)))
    set_panel_access(store, KEY, SYSTEM, id, NOW, url=url, user=panel.user, password=panel.password)
    return id


def opener(*house_ids: int) -> Who:
    return Who(
        "employee:7", "Anna", Rights({Right.DOORS_OPEN: Reach(houses=frozenset(house_ids))}), "10.0.0.7"
    )


@pytest.mark.parametrize("vendor", ["beward", "hikvision", "qtech", "sokol"])
async def test_a_panels_door_opens_and_it_is_noted_who_did_it(
    store: Store, houses: Houses, vendor: str
) -> None:
    house, panel = houses.house("1"), PanelState(vendor)
    async with open_panel_server(panel) as url:
        id = known(store, houses, panel, url, houses.entrance("п. 1", house))
        await open_door(store, KEY, id, 1, opener(house))
    assert panel.doors == [1]
    assert opened(store) == [
        ("Anna", "domophone", {"door": 1, "outcome": "asked"}),
        ("Anna", "domophone", {"door": 1, "outcome": "opened"}),
    ]


async def test_who_may_not_open_a_door_does_not(store: Store, houses: Houses) -> None:
    house, other, panel = houses.house("1"), houses.house("2"), PanelState("sokol")
    async with open_panel_server(panel) as url:
        id = known(store, houses, panel, url, houses.entrance("п. 1", other))
        with pytest.raises(NotFound):
            await open_door(store, KEY, id, 1, opener(house))
        with pytest.raises(Forbidden):
            await open_door(store, KEY, id, 1, Who("employee:8", "Boris", Rights()))
    assert panel.seen == []
    assert opened(store) == []


@pytest.mark.parametrize(
    ("fault", "why", "outcome"),
    [
        (Fault.SILENCE, r"no answer within 0\.3 s.*may be open all the same", "not known: "),
        (Fault.SERVER_ERROR, "it answered 500", "not opened: "),
    ],
)
async def test_a_door_that_did_not_open_is_noted_with_why(
    store: Store, houses: Houses, fault: Fault, why: str, outcome: str
) -> None:
    panel = PanelState("sokol", fault=fault)
    async with open_panel_server(panel) as url:
        id = known(store, houses, panel, url)
        with pytest.raises(DoorNotOpened, match=why):
            await open_door(store, KEY, id, 1, SYSTEM, deadline_s=0.3 if fault is Fault.SILENCE else 5)
    last = opened(store)[-1][2]
    assert str(last["outcome"]).startswith(outcome)
    assert panel.password not in str(last)


async def test_who_is_gone_half_way_leaves_it_noted(store: Store, houses: Houses) -> None:
    panel = PanelState("sokol", fault=Fault.SILENCE)
    async with open_panel_server(panel) as url:
        id = known(store, houses, panel, url)
        with trio.move_on_after(0.5):
            await open_door(store, KEY, id, 1, SYSTEM, deadline_s=30)
    assert [str(after["outcome"]) for _, _, after in opened(store)] == [
        "asked",
        "not known: it was given up half-way",
    ]


async def test_a_wrong_secret_key_is_said_and_nothing_is_sent(store: Store, houses: Houses) -> None:
    panel = PanelState("sokol")
    async with open_panel_server(panel) as url:
        id = known(store, houses, panel, url)
        with pytest.raises(DoorNotOpened, match="another key than TELEDOM_SECRET_KEY"):
            await open_door(store, new_key(), id, 1, SYSTEM)
    assert panel.seen == []


async def test_a_panel_without_an_address_is_said_to_have_none(store: Store, houses: Houses) -> None:
    with pytest.raises(Invalid, match="panel 100 has no address"):
        await open_door(store, KEY, houses.panel("100"), 1, SYSTEM)


async def test_a_certificate_is_pinned_by_the_first_door(store: Store, houses: Houses) -> None:
    panel = PanelState("sokol", certificate=new_certificate())
    async with open_panel_server(panel) as url:
        id = known(store, houses, panel, url)
        await open_door(store, KEY, id, 1, SYSTEM)
        panel.certificate = new_certificate()
        with pytest.raises(DoorNotOpened, match="no password was sent"):
            await open_door(store, KEY, id, 1, SYSTEM)
    assert panel.doors == [1]


@pytest.mark.parametrize("model", RelayModel)
async def test_a_relays_channel_opens_what_it_is_at(store: Store, houses: Houses, model: RelayModel) -> None:
    house, box = houses.house("1"), PanelState(model.value)
    desk = Desk(store, all_resources(), KEY)
    values = {"name": "Двор", "mac": "186882310c8a", "model": model.value}
    relay = desk.create(SYSTEM, desk.resource("relays"), values)
    entrance = houses.entrance("ворота", house)
    at = {"relay_id": relay, "number": 2, "name": "Ворота", "entrance_id": entrance}
    channel = desk.create(SYSTEM, desk.resource("relay-channels"), at)
    async with open_relay_server(box) as url:
        set_relay_access(store, KEY, SYSTEM, relay, NOW, url=url, user=box.user, password=box.password)
        await open_relay_channel(store, KEY, channel, opener(house))
        with pytest.raises(NotFound):
            await open_relay_channel(store, KEY, channel, opener(houses.house("2")))
    assert box.doors == [2]
    assert opened(store)[-1] == ("Anna", "relay", {"channel": 2, "name": "Ворота", "outcome": "opened"})
