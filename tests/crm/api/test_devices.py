"""Devices in the API: doors opened once for each idempotency key, locks, what panels are still to be told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from crm.keys.keys import add_key
from crm.keys.reach import Binding
from crm.model import Domophone
from crm.rights import Reach, Right
from crm.store import Store
from crm.tables.keys import KeyScope
from crm.who import SYSTEM
from crm_server import Doors
from testbed.panel_state import Fault, PanelState
from testbed.panels import open_panel_server
from testbed.relays import open_relay_server
from tests.crm.houses import Houses
from tests.crm.web.served import served
from tests.crm.web.site import KEY, TestSite, open_site
from tests.crm.web.test_device_pages import Locks, put_at

ONCE = {"Idempotency-Key": "0123456789abcdef"}
PANEL = {"sip_user": "500001", "mac": "186882310c8a", "vendor": "beward", "sip_password": "sip secret"}


@pytest.fixture
def site(store: Store) -> Iterator[TestSite]:
    with open_site(store, doors=Doors(store, KEY), nodes=Locks()) as site:
        yield site


def test_a_door_is_opened_once_for_a_key(site: TestSite, store: Store, houses: Houses) -> None:
    panel = PanelState("beward")
    with served(open_panel_server(panel)) as url:
        api = site.token()
        access = {"url": url, "http_user": panel.user, "http_password": panel.password}
        id = api.post("/api/v1/domophones", json={**PANEL, **access}).json()["id"]

        answers = [
            api.post(f"/api/v1/domophones/{id}/open", json={"door": 1}, headers=ONCE) for _ in range(2)
        ]

        assert [each.status_code for each in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        assert panel.doors == [1]
        (opening,) = api.get(f"/api/v1/domophones/{id}/openings").json()
        assert (opening["who"], opening["outcome"]) == ("a program", "opened")
        panel.fault = Fault.SERVER_ERROR
        failed = api.post(f"/api/v1/domophones/{id}/open", json={})
    assert (failed.status_code, failed.json()["type"]) == (502, "/problems/part-failed")
    assert panel.password not in failed.text


def test_a_panel_without_address_or_beyond_the_reach_is_not_opened(
    site: TestSite, store: Store, houses: Houses
) -> None:
    mine, other = houses.house("1"), houses.house("2")
    near = houses.panel("101", houses.entrance("п. 1", mine))
    far = houses.panel("102", houses.entrance("п. 1", other))
    rights = (Right.DEVICES_VIEW, Right.DOORS_OPEN)
    api = site.token(rights, Reach(houses=frozenset({mine})))

    assert api.post(f"/api/v1/domophones/{near}/open", json={}).status_code == 422
    for path in ("open", "reset"):
        assert api.post(f"/api/v1/domophones/{far}/{path}", json={}).status_code in (403, 404)
    for path in ("lock", "deliveries", "openings"):
        assert api.get(f"/api/v1/domophones/{far}/{path}").status_code == 404
        assert api.get(f"/api/v1/domophones/{near}/{path}").status_code == 200
    assert api.post(f"/api/v1/domophones/{near}/reset").status_code == 403


def test_what_a_panel_is_still_to_be_told(site: TestSite, store: Store, houses: Houses) -> None:
    door = houses.entrance("п. 1", houses.house("1"))
    panel = houses.panel("101")
    put_at(store, panel, door)
    add_key(store, SYSTEM, "04A1B2C3", [Binding(KeyScope.ENTRANCE, door)], 1_000_000.0)
    api = site.token()

    (waiting,) = api.get(f"/api/v1/domophones/{panel}/deliveries").json()

    assert (waiting["what"], waiting["tries"], waiting["company"]) == ("learn_key", 0, "")
    assert api.get(f"/api/v1/domophones/{panel}/lock").json()["held_for"] is None
    assert api.post(f"/api/v1/domophones/{panel}/reset").status_code == 204


def test_a_relays_channel_opens(site: TestSite, store: Store, houses: Houses) -> None:
    relay = PanelState("shelly-1")
    gate = houses.entrance("ворота", houses.house("1"))
    with served(open_relay_server(relay)) as url:
        api = site.token()
        access = {"url": url, "http_user": relay.user, "http_password": relay.password}
        values = {"name": "Шкаф", "mac": "0cb815fc11b4", "model": "shelly-1", **access}
        id = api.post("/api/v1/relays", json=values).json()["id"]
        channel = {"relay_id": id, "number": 2, "name": "калитка", "entrance_id": gate}
        channel_id = api.post("/api/v1/relay-channels", json=channel).json()["id"]

        assert api.post(f"/api/v1/relay-channels/{channel_id}/open", json={}).status_code == 201

        assert relay.doors == [2]
        (opening,) = api.get(f"/api/v1/relays/{id}/openings").json()
        assert opening["what"] == "калитка"
    assert api.post(f"/api/v1/relays/{id}/reset").status_code == 204


def test_a_password_is_taken_away_by_null(site: TestSite, store: Store) -> None:
    api = site.token()
    access = {"url": "http://10.1.2.3", "http_user": "admin", "http_password": "web secret"}
    id = api.post("/api/v1/domophones", json={**PANEL, **access}).json()["id"]

    assert api.patch(f"/api/v1/domophones/{id}", json={"url": "http://10.6.6.6"}).status_code == 422
    taken = api.patch(f"/api/v1/domophones/{id}", json={"url": "http://10.6.6.6", "http_password": None})
    assert taken.status_code == 200
    with store.reading() as connection:
        assert connection.scalar(sa.select(Domophone.http_password)) == ""
