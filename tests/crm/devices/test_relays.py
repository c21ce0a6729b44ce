"""Relays: made, changed, within whose reach, and how they and panels are reached, with a password that nobody reads."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.desk.desk import Desk
from crm.desk.resource import Row
from crm.devices.access import (
    forget_certificate,
    panel_door,
    pin_relay_certificate,
    relay_door,
    set_panel_access,
    set_relay_access,
)
from crm.devices.panel_access import pin_certificate
from crm.devices.relays import RelayModel
from crm.model import Domophone
from crm.rights import Reach, Right, Rights
from crm.sealed import Seal, SealError, new_key
from crm.sections import all_resources
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
    rights = (Right.HOUSING_VIEW, Right.DEVICES_VIEW, Right.DEVICES_EDIT, Right.DOORS_OPEN)
    return Who("employee:7", "Anna", Rights(dict.fromkeys(rights, reach)))


def desk_of(store: Store) -> Desk:
    return Desk(store, all_resources(), KEY)


def make_relay(store: Store, mac: str = "18:68:82:31:0C:8A", who: Who = SYSTEM) -> int:
    desk = desk_of(store)
    values = {"name": "Шлагбаум", "mac": mac, "model": RelayModel.SHELLY_2.value}
    return desk.create(who, desk.resource("relays"), values)


def make_channel(
    store: Store, who: Who, relay: int, number: int, name: str, entrance: int | None = None
) -> int:
    desk = desk_of(store)
    values = {"relay_id": relay, "number": number, "name": name, "entrance_id": entrance}
    return desk.create(who, desk.resource("relay-channels"), values)


def get_relay(store: Store, who: Who, relay: int) -> Row:
    desk = desk_of(store)
    return desk.get(who, desk.resource("relays"), relay)


def password_of(store: Store, relay: int) -> str | None:
    with store.reading() as connection:
        return connection.scalar(sa.select(Relay.http_password).where(Relay.id == relay))


def changes(store: Store) -> list[tuple[str, str]]:
    with store.reading() as connection:
        rows = connection.execute(sa.select(Change.action, Change.after).order_by(Change.id))
        return [(row[0], row[1]) for row in rows]


def test_models_are_those_that_there_are_drivers_for() -> None:
    assert tuple(each.value for each in RelayModel) == MODELS


def test_a_relay_is_made_changed_and_deleted_with_its_channels(store: Store, houses: Houses) -> None:
    entrance = houses.entrance("п. 1", houses.house("1"))
    desk, relay = desk_of(store), make_relay(store)
    channel = make_channel(store, SYSTEM, relay, 1, "Ворота", entrance)

    desk.update(SYSTEM, desk.resource("relay-channels"), channel, {"name": "Калитка", "entrance_id": None})
    desk.update(SYSTEM, desk.resource("relays"), relay, {"name": "Двор", "active": False})

    shown = get_relay(store, SYSTEM, relay)
    assert (shown.title, shown.values["mac"], shown.values["active"]) == ("Двор", "186882310c8a", False)
    assert not password_of(store, relay)
    row = desk.get(SYSTEM, desk.resource("relay-channels"), channel)
    assert (row.values["number"], row.title, row.values["entrance_id"]) == (1, "Калитка", None)

    desk.delete(SYSTEM, desk.resource("relays"), relay)

    for name, id in (("relays", relay), ("relay-channels", channel)):
        with pytest.raises(NotFound):
            desk.get(SYSTEM, desk.resource(name), id)
    assert [action for action, _ in changes(store)] == ["create", "create", "update", "update", "delete"]


def test_what_cannot_be_is_named_by_its_field(store: Store) -> None:
    desk = desk_of(store)
    relays = desk.resource("relays")
    with pytest.raises(Invalid) as caught:
        desk.create(SYSTEM, relays, {"name": " ", "mac": "18688231", "model": "netping"})
    assert set(caught.value.errors) == {"name", "mac", "model"}
    relay = make_relay(store)
    with pytest.raises(Conflict):
        make_relay(store, "1868.8231.0c8a")
    for number, name, entrance, wrong in (
        (0, "Ворота", None, "number"),
        (65, "Ворота", None, "number"),
        (1, "", None, "name"),
        (1, "Ворота", 99, "entrance_id"),
    ):
        with pytest.raises(Invalid) as caught:
            make_channel(store, SYSTEM, relay, number, name, entrance)
        assert set(caught.value.errors) == {wrong}


def test_a_manager_has_the_relays_of_her_own_entrances_only(store: Store, houses: Houses) -> None:
    house, other = houses.house("1"), houses.house("2")
    near, away = houses.entrance("п. 1", house), houses.entrance("п. 1", other)
    desk, anna, relay = desk_of(store), manager(house), make_relay(store)
    beyond = make_channel(store, SYSTEM, relay, 1, "Чужие", away)
    with pytest.raises(NotFound):
        get_relay(store, anna, relay)
    mine = make_channel(store, SYSTEM, relay, 2, "Свои", near)
    assert get_relay(store, anna, relay).title == "Шлагбаум"
    channels = desk.resource("relay-channels")
    desk.update(anna, channels, mine, {"name": "Наши"})
    with pytest.raises(NotFound):
        desk.update(anna, channels, beyond, {"entrance_id": near})
    with pytest.raises(NotFound):
        desk.delete(anna, channels, beyond)
    with pytest.raises(Invalid):
        make_channel(store, anna, relay, 3, "Мои", away)
    with pytest.raises(Invalid):
        make_relay(store, "186882310c8b", anna)
    set_relay_access(store, KEY, SYSTEM, relay, NOW, url="http://10.1.2.3", user="admin", password="geheim")
    with store.reading() as connection:
        assert relay_door(connection, anna, mine).number == 2
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
    assert password_of(store, relay)
    with pytest.raises(SealError):
        set_relay_access(store, "", SYSTEM, relay, NOW, url="", user="", password="x")


def test_another_address_forgets_the_certificate(store: Store, houses: Houses) -> None:
    panel, relay = houses.panel("100"), make_relay(store)
    set_panel_access(store, KEY, SYSTEM, panel, NOW, url="https://10.1.2.3", user="a", password=None)
    set_relay_access(store, KEY, SYSTEM, relay, NOW, url="https://10.1.2.4", user="a", password=None)
    pin_certificate(store, "000000000001", "ab" * 32)
    pin_relay_certificate(store, relay, "cd" * 32)
    pin_relay_certificate(store, relay, "ef" * 32)
    assert get_relay(store, SYSTEM, relay).values["tls_pin"] == "cd" * 32

    def pin() -> str | None:
        with store.reading() as connection:
            return connection.scalar(sa.select(Domophone.tls_pin))

    set_panel_access(store, KEY, SYSTEM, panel, NOW, url="https://10.1.2.3", user="b", password="x")
    assert pin() == "ab" * 32
    forget_certificate(store, SYSTEM, panel, NOW)
    assert pin() is None
    set_relay_access(store, KEY, SYSTEM, relay, NOW, url="https://10.1.2.5", user="a", password=None)
    assert get_relay(store, SYSTEM, relay).values["tls_pin"] is None


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
