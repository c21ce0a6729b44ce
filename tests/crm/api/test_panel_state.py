"""How panels are at this moment, by the API: registrations as Kamailio says them, what a panel says itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm.rights import Reach, Right
from crm.store import Store
from crm_server import Doors
from testbed.panel_state import Fault, PanelState
from testbed.panels import open_panel_server
from tests.crm.api.test_devices import PANEL
from tests.crm.houses import Houses
from tests.crm.web.served import served
from tests.crm.web.site import KEY, TestSite, open_site
from tests.crm.web.test_panel_state_pages import AWAY, SaidNodes, at, called


@pytest.fixture
def nodes() -> SaidNodes:
    return SaidNodes()


@pytest.fixture
def site(store: Store, nodes: SaidNodes) -> Iterator[TestSite]:
    with open_site(store, doors=Doors(store, KEY), nodes=nodes) as site:
        yield site


def test_a_registration_is_a_fact_or_unknown(site: TestSite, nodes: SaidNodes, houses: Houses) -> None:
    panel = houses.panel("101", houses.entrance("п. 1", houses.house("1")))
    api = site.token([Right.DEVICES_VIEW])
    path = f"/api/v1/domophones/{panel}/registration"

    nodes.contacts["101"] = (at(),)
    assert api.get(path).json() == {
        "panel": "101",
        "state": "registered",
        "why": "",
        "node": "node1",
        "contacts": [
            {
                "address": "10.1.2.3:5060",
                "transport": "udp",
                "user_agent": "Beward DKS15122",
                "at": "1970-01-12T13:46:40Z",
                "until": "1970-01-12T13:56:40Z",
            }
        ],
    }
    nodes.contacts.clear()
    assert api.get(path).json()["state"] == "not_registered"
    nodes.why = AWAY
    unknown = api.get(path).json()
    assert (unknown["state"], unknown["why"], unknown["contacts"]) == ("unknown", AWAY, [])


def test_panels_that_are_not_registered_are_listed_within_the_tokens_reach(
    site: TestSite, store: Store, nodes: SaidNodes, houses: Houses
) -> None:
    mine, other = houses.house("1"), houses.house("2")
    door = houses.entrance("п. 1", mine)
    houses.panel("101", door)
    missing = houses.panel("102", door)
    far = houses.panel("103", houses.entrance("п. 1", other))
    nodes.contacts["101"] = (at(),)
    called(store, "102", 1_000_000.0)
    api = site.token([Right.DEVICES_VIEW], Reach(houses=frozenset({mine})))

    found = api.get("/api/v1/domophones/unregistered").json()

    assert (found["known"], found["why"], found["asked"], found["total"]) == (True, "", 2, 1)
    assert found["panels"] == [
        {
            "id": missing,
            "sip_user": "102",
            "address": "ул. Ленина 1, п. 1",
            "vendor": "sokol",
            "model": "",
            "last_call_at": "1970-01-12T13:46:40Z",
        }
    ]
    assert api.get(f"/api/v1/domophones/{far}/registration").status_code == 404
    nodes.why = AWAY
    unknown = api.get("/api/v1/domophones/unregistered").json()
    assert (unknown["known"], unknown["why"], unknown["panels"]) == (False, AWAY, [])
    assert site.token([Right.HOUSING_VIEW]).get("/api/v1/domophones/unregistered").status_code == 403


def test_a_panel_is_asked_what_it_says_itself(site: TestSite) -> None:
    panel = PanelState("beward")
    with served(open_panel_server(panel)) as url:
        api = site.token()
        access = {"url": url, "http_user": panel.user, "http_password": panel.password}
        id = api.post("/api/v1/domophones", json={**PANEL, **access}).json()["id"]

        said = api.get(f"/api/v1/domophones/{id}/says")
        assert said.json() == {"registration": "registered", "idle": "not_told"}
        panel.fault = Fault.SERVER_ERROR
        failed = api.get(f"/api/v1/domophones/{id}/says")
        viewer = site.token([Right.DEVICES_VIEW])
        assert viewer.get(f"/api/v1/domophones/{id}/says").status_code == 403

    assert (failed.status_code, failed.json()["type"]) == (502, "/problems/part-failed")
    assert panel.password not in failed.text
    bare = {**PANEL, "sip_user": "500002", "mac": "186882310c8b"}
    other = api.post("/api/v1/domophones", json=bare).json()["id"]
    assert api.get(f"/api/v1/domophones/{other}/says").status_code == 422
