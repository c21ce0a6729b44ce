"""The pages of panels and relays: credentials that are never shown, doors that open, what a panel is still to learn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import frozen

from crm.keys.keys import add_key
from crm.keys.reach import Binding
from crm.model import Domophone, DomophoneEntrance, table
from crm.rights import Reach, Right
from crm.sealed import Seal
from crm.store import Store
from crm.tables.keys import KeyDelivery, KeyScope
from crm.who import SYSTEM
from crm_server import Doors
from live import PanelLock
from testbed.panel_state import Fault, PanelState
from testbed.panels import open_panel_server
from testbed.relays import open_relay_server
from tests.crm.houses import Houses
from tests.crm.web.served import served
from tests.crm.web.site import KEY, Browser, TestSite, open_site

PANEL = {
    "sip_user": "500001",
    "mac": "18:68:82:31:0C:8A",
    "vendor": "sokol",
    "domain": "teledom",
    "sip_password": "sip secret",
    "dialling": "flat",
    "door_dtmf": "5",
    "active": "yes",
}
OPENER = (Right.DEVICES_VIEW, Right.DOORS_OPEN, Right.HOUSING_VIEW)


@frozen
class Locks:
    """What nodes say of one panel."""

    held_for: str | None = None

    async def lock_of(self, sip_user: str) -> PanelLock:
        since = 1_000_000.0 if self.held_for else None
        return PanelLock(panel=sip_user, node="a", held_for=self.held_for, since=since)


@pytest.fixture
def site(store: Store) -> Iterator[TestSite]:
    with open_site(store, doors=Doors(store, KEY), nodes=Locks("visitor")) as site:
        yield site


def row_of(store: Store, id: int) -> Any:
    with store.reading() as connection:
        return connection.execute(sa.select(table(Domophone)).where(table(Domophone).c.id == id)).one()


def new_panel(browser: Browser, **values: str) -> int:
    made = browser.post("/domophones", {**PANEL, **values})
    assert made.status_code == 303, made.text
    return int(made.headers["location"].rpartition("/")[2])


def put_at(store: Store, panel: int, entrance: int) -> None:
    with store.transaction() as connection:
        row = {"domophone_id": panel, "entrance_id": entrance}
        connection.execute(sa.insert(table(DomophoneEntrance)).values(row))


def test_a_panel_is_made_and_its_passwords_are_never_shown(site: TestSite, store: Store) -> None:
    browser = site.browser()
    access = {"url": "http://10.1.2.3/", "http_user": "admin", "http_password": "web secret"}
    id = new_panel(browser, **access)

    row = row_of(store, id)
    assert row.ha1 == hashlib.md5(b"500001:teledom:sip secret").hexdigest()
    assert Seal(KEY).open(row.http_password) == "web secret"
    assert (row.mac, row.url) == ("186882310c8a", "http://10.1.2.3")
    api = site.token()
    shown = [browser.get(path).text for path in (f"/domophones/{id}", f"/domophones/{id}/edit")]
    shown += [browser.get("/domophones.csv").text, api.get(f"/api/v1/domophones/{id}").text]
    for text in shown:
        assert "10.1.2.3" in text
        assert not [each for each in ("secret", row.ha1, row.http_password) if each in text]


def test_a_password_stays_with_its_host(site: TestSite, store: Store) -> None:
    browser = site.browser()
    id = new_panel(browser, url="https://10.1.2.3", http_user="admin", http_password="web secret")
    sealed = row_of(store, id).http_password
    with store.transaction() as connection:
        connection.execute(sa.update(table(Domophone)).values(tls_pin="5f" * 32))

    elsewhere = browser.post(f"/domophones/{id}", {"url": "https://10.6.6.6", "http_password": ""})
    downgraded = browser.post(f"/domophones/{id}", {"url": "http://10.1.2.3", "http_password": ""})
    assert "введите" in elsewhere.text or "enter it again" in elsewhere.text
    assert (elsewhere.status_code, downgraded.status_code) == (422, 422)
    assert row_of(store, id).url == "https://10.1.2.3"

    assert browser.post(f"/domophones/{id}", {"url": "https://10.1.2.3:8443"}).status_code == 303
    assert row_of(store, id).http_password == sealed
    assert row_of(store, id).tls_pin is None
    moved = {"url": "https://10.6.6.6", "http_password": "another"}
    assert browser.post(f"/domophones/{id}", moved).status_code == 303
    assert Seal(KEY).open(row_of(store, id).http_password) == "another"


def test_another_sip_user_needs_the_sip_password_again(site: TestSite, store: Store) -> None:
    browser = site.browser()
    id = new_panel(browser)
    before = row_of(store, id).ha1

    assert browser.post(f"/domophones/{id}", {"sip_user": "500009"}).status_code == 422
    changed = {"sip_user": "500009", "sip_password": "new"}
    assert browser.post(f"/domophones/{id}", changed).status_code == 303
    assert row_of(store, id).ha1 == hashlib.md5(b"500009:teledom:new").hexdigest() != before
    without = {name: value for name, value in PANEL.items() if name != "sip_password"}
    answer = browser.post("/domophones", {**without, "mac": "186882310c8b", "sip_user": "500010"})
    assert answer.status_code == 422


def test_what_cannot_be_is_said_beside_the_field(site: TestSite, houses: Houses) -> None:
    houses.account("7351001")
    answer = site.browser().post(
        "/domophones", {**PANEL, "mac": "x", "url": "ftp://host/path", "sos_number": "12", "sip_user": "a b"}
    )
    taken = site.browser().post("/domophones", {**PANEL, "sip_user": "7351001"})

    assert answer.text.count('class="error"') == 4
    assert taken.status_code == 422


def test_a_door_opens_and_the_page_says_who_did_it(site: TestSite, store: Store, houses: Houses) -> None:
    panel = PanelState("sokol")
    with served(open_panel_server(panel)) as url:
        access = {"url": url, "http_user": panel.user, "http_password": panel.password}
        id = new_panel(site.browser(), **access)
        house = houses.house("1")
        put_at(store, id, houses.entrance("п. 1", house))
        site.employee("anna", OPENER, Reach(houses=frozenset({house})))
        browser = site.browser("anna")

        answer = browser.post(f"/domophone/{id}/open")

        assert answer.status_code == 303
        assert panel.doors == [1]
        shown = browser.text(answer.headers["location"])
        assert "Anna 1 opened" in shown
        assert "says that it has opened" in shown


def test_a_door_that_did_not_open_says_why(site: TestSite, store: Store, houses: Houses) -> None:
    panel = PanelState("sokol", fault=Fault.SERVER_ERROR)
    with served(open_panel_server(panel)) as url:
        browser = site.browser()
        id = new_panel(browser, url=url, http_user=panel.user, http_password=panel.password)
        answer = browser.post(f"/domophone/{id}/open")

    assert answer.status_code == 502
    assert "500" in answer.text
    assert panel.password not in answer.text
    bare = new_panel(browser, sip_user="500002", mac="186882310c8b")
    assert browser.post(f"/domophone/{bare}/open").status_code == 422
    assert browser.post(f"/domophone/{bare}/open", {"door": "9"}).status_code == 422


def test_nobody_opens_or_sees_a_panel_beyond_his_reach(site: TestSite, store: Store, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    panel = houses.panel("101", houses.entrance("п. 1", other))
    rights = [*OPENER, Right.DEVICES_EDIT]
    site.employee("manager", rights, Reach(houses=frozenset({mine})))
    site.employee("viewer", [Right.DEVICES_VIEW])
    browser = site.browser("manager")

    for path in (f"/domophones/{panel}", f"/domophone/{panel}/lock"):
        assert browser.get(path).status_code == 404
    assert browser.post(f"/domophone/{panel}/open").status_code == 404
    assert browser.post(f"/domophone/{panel}/reset").status_code == 404
    assert "101" not in browser.text("/domophones").partition("CSV")[2]
    assert browser.post("/domophones", PANEL).status_code == 422
    viewer = site.browser("viewer")
    assert viewer.post(f"/domophone/{panel}/open").status_code == 403
    assert viewer.post(f"/domophone/{panel}/reset").status_code == 403


def test_the_lock_is_what_a_node_says_or_not_known(site: TestSite, store: Store, houses: Houses) -> None:
    panel = houses.panel("101", houses.entrance("п. 1", houses.house("1")))
    site.employee("anna", OPENER)

    assert "busy visitor since" in site.browser("anna").text(f"/domophone/{panel}/lock")


def test_the_page_shows_what_a_panel_is_still_to_learn_and_whom_it_serves(
    site: TestSite, store: Store, houses: Houses
) -> None:
    first, second = houses.house("5"), houses.house("7")
    gate = houses.entrance("ворота", first, second, prefixes=("1", "2"))
    panel = houses.panel("101", gate)
    houses.flat(first, "42", gate, panel_number="112042")
    add_key(store, SYSTEM, "04A1B2C3", [Binding(KeyScope.ENTRANCE, gate)], 1_000_000.0)
    site.employee("anna", [*OPENER, Right.KEYS_VIEW])
    site.employee("manager", [*OPENER, Right.KEYS_VIEW], Reach(houses=frozenset({second})))

    shown = site.browser("anna").text(f"/domophones/{panel}")
    assert "learn the key 04A1B2C3" in shown
    assert "Ленина 5 ворота 1 1 1" in shown
    assert "Ленина 7 ворота 2 0 0" in shown
    bounded = site.browser("manager").text(f"/domophones/{panel}")
    assert "learn the key" in bounded
    assert "04A1B2C3" not in bounded
    assert "Ленина 5 ворота 1" not in bounded


def test_a_panel_that_was_exchanged_is_told_all_again(site: TestSite, store: Store, houses: Houses) -> None:
    door = houses.entrance("п. 1", houses.house("1"))
    panel = houses.panel("101", door)
    add_key(store, SYSTEM, "04A1B2C3", [Binding(KeyScope.ENTRANCE, door)], 1_000_000.0)
    with store.transaction() as connection:
        connection.execute(sa.update(table(KeyDelivery)).values(done_at=1.0, tries=1))
        connection.execute(sa.update(table(Domophone)).values(tls_pin="5f" * 32))
    browser = site.browser()

    assert browser.post(f"/domophone/{panel}/reset").status_code == 303

    with store.reading() as connection:
        assert connection.execute(sa.select(KeyDelivery.done_at, KeyDelivery.tries)).all() == [(None, 0)]
    assert row_of(store, panel).tls_pin is None


def test_a_panel_that_moves_to_an_entrance_learns_its_keys(
    site: TestSite, store: Store, houses: Houses
) -> None:
    door = houses.entrance("п. 1", houses.house("1"))
    panel = houses.panel("101")
    add_key(store, SYSTEM, "04A1B2C3", [Binding(KeyScope.ENTRANCE, door)], 1_000_000.0)

    site.browser().post(f"/domophones/{panel}/entrances", {"other": str(door)})

    with store.reading() as connection:
        assert connection.scalars(sa.select(KeyDelivery.domophone_id)).all() == [panel]


def test_a_relays_channel_opens_for_who_may_open_its_entrance(
    site: TestSite, store: Store, houses: Houses
) -> None:
    relay = PanelState("shelly-2")
    mine, other = houses.house("1"), houses.house("2")
    gate, elsewhere = houses.entrance("ворота", mine), houses.entrance("п. 1", other)
    with served(open_relay_server(relay)) as url:
        admin = site.browser()
        values = {"name": "Шкаф", "mac": "0cb815fc11b4", "model": "shelly-2", "active": "yes"}
        access = {"url": url, "http_user": relay.user, "http_password": relay.password}
        made = admin.post("/relays", {**values, **access})
        id = made.headers["location"].rpartition("/")[2]
        channels = []
        for number, name, entrance in ((1, "шлагбаум", gate), (2, "чужая дверь", elsewhere)):
            channel = {"relay_id": id, "number": str(number), "name": name, "entrance_id": str(entrance)}
            channels.append(admin.post("/relay-channels", channel).headers["location"].rpartition("/")[2])
        again = {"relay_id": id, "number": "1", "name": "x", "entrance_id": str(gate)}
        assert admin.post("/relay-channels", again).status_code == 422
        site.employee("anna", OPENER, Reach(houses=frozenset({mine})))
        browser = site.browser("anna")

        answer = browser.post(f"/relay-channel/{channels[0]}/open")

        assert answer.status_code == 303
        assert relay.doors == [1]
        shown = browser.text(answer.headers["location"])
        assert "opened channel 1" in shown
        assert "шлагбаум opened" in shown
        assert "чужая дверь" not in shown
        assert browser.post(f"/relay-channel/{channels[1]}/open").status_code == 404
        assert relay.doors == [1]
        assert relay.password not in admin.get(f"/relays/{id}").text
