"""Relays: made, changed, within whose reach, and how they and panels are reached, with a password that nobody reads."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.devices.access import (
    forget_certificate,
    panel_door,
    pin_relay_certificate,
    relay_door,
    set_panel_access,
    set_relay_access,
)
from crm.devices.panel_access import pin_certificate
from crm.devices.relays import (
    RelayModel,
    add_relay,
    change_relay,
    delete_channel,
    delete_relay,
    get_relay,
    set_channel,
)
from crm.model import Domophone
from crm.rights import Reach, Right, Rights
from crm.sealed import Seal, SealError, new_key
from crm.store import Store
from crm.tables.devices import Relay
from crm.tables.staff import Change
from crm.who import SYSTEM, Conflict, Forbidden, Invalid, NotFound, Who
from telephony.relays import MODELS
from tests.crm.houses import Houses

NOW = 1_000_000.0
KEY = new_key()


def manager(house: int) -> Who:
    reach = Reach(houses=frozenset({house}))
    rights = (Right.DEVICES_VIEW, Right.DEVICES_EDIT, Right.DOORS_OPEN)
    return Who("employee:7", "Anna", Rights(dict.fromkeys(rights, reach)))


def make_relay(store: Store, mac: str = "18:68:82:31:0C:8A") -> int:
    return add_relay(store, SYSTEM, NOW, name="Шлагбаум", mac=mac, model=RelayModel.SHELLY_2)


def changes(store: Store) -> list[tuple[str, str]]:
    with store.reading() as connection:
        rows = connection.execute(sa.select(Change.action, Change.after).order_by(Change.id))
        return [(row[0], row[1]) for row in rows]


def test_models_are_those_that_there_are_drivers_for() -> None:
    assert tuple(each.value for each in RelayModel) == MODELS


def test_a_relay_is_made_changed_and_deleted(store: Store, houses: Houses) -> None:
    entrance = houses.entrance("п. 1", houses.house("1"))
    relay = make_relay(store)
    channel = set_channel(store, SYSTEM, relay, 1, NOW, name="Ворота", entrance_id=entrance)
    assert set_channel(store, SYSTEM, relay, 1, NOW, name="Калитка", entrance_id=None) == channel
    change_relay(store, SYSTEM, relay, NOW, {"name": "Двор", "active": False})
    shown = get_relay(store, SYSTEM, relay)
    assert (shown.name, shown.mac, shown.active, shown.has_password) == (
        "Двор",
        "18688231 0c8a".replace(" ", ""),
        False,
        False,
    )
    assert [(each.number, each.name, each.entrance) for each in shown.channels] == [(1, "Калитка", "")]
    delete_channel(store, SYSTEM, channel, NOW)
    delete_relay(store, SYSTEM, relay, NOW)
    with pytest.raises(NotFound):
        get_relay(store, SYSTEM, relay)
    assert [action for action, _ in changes(store)] == ["create", *["update"] * 4, "delete"]


def test_what_cannot_be_is_named_by_its_field(store: Store) -> None:
    with pytest.raises(Invalid) as caught:
        add_relay(store, SYSTEM, NOW, name=" ", mac="18688231", model=RelayModel.SHELLY_1)
    assert set(caught.value.errors) == {"name", "mac"}
    relay = make_relay(store)
    with pytest.raises(Conflict, match="186882310c8a"):
        make_relay(store, "1868.8231.0c8a")
    for values in ({"model": "netping"}, {"http_password": "x"}):
        with pytest.raises(Invalid):
            change_relay(store, SYSTEM, relay, NOW, values)
    for number, name, entrance in ((0, "Ворота", None), (1, "", None), (1, "Ворота", 99)):
        with pytest.raises(Invalid):
            set_channel(store, SYSTEM, relay, number, NOW, name=name, entrance_id=entrance)


def test_a_manager_has_the_relays_of_her_own_entrances_only(store: Store, houses: Houses) -> None:
    house, other = houses.house("1"), houses.house("2")
    near, away = houses.entrance("п. 1", house), houses.entrance("п. 1", other)
    anna, relay = manager(house), make_relay(store)
    beyond = set_channel(store, SYSTEM, relay, 1, NOW, name="Чужие", entrance_id=away)
    with pytest.raises(NotFound):
        get_relay(store, anna, relay)
    set_channel(store, SYSTEM, relay, 2, NOW, name="Свои", entrance_id=near)
    assert get_relay(store, anna, relay).name == "Шлагбаум"
    set_channel(store, anna, relay, 2, NOW, name="Наши", entrance_id=near)
    for act in (
        lambda: set_channel(store, anna, relay, 1, NOW, name="Мои", entrance_id=near),
        lambda: set_channel(store, anna, relay, 3, NOW, name="Мои", entrance_id=away),
        lambda: delete_channel(store, anna, beyond, NOW),
    ):
        with pytest.raises(Invalid, match="no entrance"):
            act()
    with pytest.raises(Forbidden):
        add_relay(store, anna, NOW, name="Новое", mac="186882310c8b", model=RelayModel.SHELLY_1)
    with pytest.raises(Forbidden):
        delete_relay(store, anna, relay, NOW)
    set_relay_access(store, KEY, SYSTEM, relay, NOW, url="http://10.1.2.3", user="admin", password="geheim")
    with store.reading() as connection:
        assert relay_door(connection, anna, get_relay(store, anna, relay).channels[1].id).number == 2
        with pytest.raises(NotFound):
            relay_door(connection, anna, beyond)


def test_a_password_is_sealed_and_in_no_history(store: Store, houses: Houses) -> None:
    panel, relay = houses.panel("100"), make_relay(store)
    set_panel_access(store, KEY, SYSTEM, panel, NOW, url="http://10.1.2.3/", user="admin", password="geheim")
    set_relay_access(store, KEY, SYSTEM, relay, NOW, url="https://10.1.2.4", user="admin", password="geheim")
    set_panel_access(store, KEY, SYSTEM, panel, NOW, url="http://10.1.2.3", user="root", password=None)
    with store.reading() as connection:
        sealed = [connection.scalar(sa.select(of.http_password)) for of in (Domophone, Relay)]
        found = panel_door(connection, SYSTEM, panel)
    assert [Seal(KEY).open(each or "") for each in sealed] == ["geheim", "geheim"]
    assert (found.access.url, found.access.user) == ("http://10.1.2.3", "root")
    assert not any("geheim" in after for _, after in changes(store))
    assert get_relay(store, SYSTEM, relay).has_password
    with pytest.raises(SealError):
        set_relay_access(store, "", SYSTEM, relay, NOW, url="", user="", password="x")


def test_another_address_forgets_the_certificate(store: Store, houses: Houses) -> None:
    panel, relay = houses.panel("100"), make_relay(store)
    set_panel_access(store, KEY, SYSTEM, panel, NOW, url="https://10.1.2.3", user="a", password=None)
    set_relay_access(store, KEY, SYSTEM, relay, NOW, url="https://10.1.2.4", user="a", password=None)
    pin_certificate(store, "000000000001", "ab" * 32)
    pin_relay_certificate(store, relay, "cd" * 32)
    pin_relay_certificate(store, relay, "ef" * 32)
    assert get_relay(store, SYSTEM, relay).tls_pin == "cd" * 32

    def pin() -> str | None:
        with store.reading() as connection:
            return connection.scalar(sa.select(Domophone.tls_pin))

    set_panel_access(store, KEY, SYSTEM, panel, NOW, url="https://10.1.2.3", user="b", password="x")
    assert pin() == "ab" * 32
    forget_certificate(store, SYSTEM, panel, NOW)
    assert pin() is None
    set_relay_access(store, KEY, SYSTEM, relay, NOW, url="https://10.1.2.5", user="a", password=None)
    assert get_relay(store, SYSTEM, relay).tls_pin is None


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "ftp://10.1.2.3",
        "http://",
        "http://a:b@10.1.2.3",
        "http://10.1.2.3/x",
        "http://10.1.2.3:x",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(store: Store, houses: Houses, address: str) -> None:
    with pytest.raises(Invalid) as caught:
        set_panel_access(
            store, KEY, SYSTEM, houses.panel("100"), NOW, url=address, user="admin", password="x"
        )
    assert "url" in caught.value.errors


def test_who_may_not_change_a_device_sets_no_password(store: Store, houses: Houses) -> None:
    house, other = houses.house("1"), houses.house("2")
    panel = houses.panel("100", houses.entrance("п. 1", other))
    with pytest.raises(NotFound):
        set_panel_access(store, KEY, manager(house), panel, NOW, url="", user="", password="x")
    reach = Reach(houses=frozenset({other}))
    viewer = Who(
        "employee:8",
        "Boris",
        Rights({Right.DEVICES_VIEW: reach, Right.DEVICES_EDIT: Reach(houses=frozenset({house}))}),
    )
    with pytest.raises(Forbidden, match=r"no right devices\.edit there"):
        set_panel_access(store, KEY, viewer, panel, NOW, url="", user="", password="x")
