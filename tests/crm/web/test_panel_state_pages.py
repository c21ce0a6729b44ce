"""How panels are at this moment, on pages: registered, not registered, or not known and why; what they say themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import sqlalchemy as sa
from attrs import Factory, define

from crm.model import Domophone, table
from crm.rights import Reach, Right
from crm.store import Store
from crm.tables.calls import Call
from crm_server import Doors
from live import PanelLock
from nodes import NodeAway
from telephony.registrations import Contact, SipRegistered, SipRegistration, SipState
from testbed.panel_state import Fault, PanelState, new_certificate
from testbed.panels import open_panel_server
from tests.crm.houses import Houses
from tests.crm.web.served import served
from tests.crm.web.site import KEY, TestSite, open_site, plain
from tests.crm.web.test_device_pages import new_panel, row_of

VIEWER = (Right.DEVICES_VIEW, Right.HOUSING_VIEW)
EDITOR = (*VIEWER, Right.DEVICES_EDIT)
AWAY = "http://10.0.0.1:8089: no answer within 2 s"


@define
class SaidNodes:
    """What nodes say of registrations: `contacts` by SIP user. `why` not "": nobody knows. `asked` counts the lists."""

    contacts: dict[str, tuple[Contact, ...]] = Factory(dict)
    why: str = ""
    asked: list[int] = Factory(list)

    async def lock_of(self, sip_user: str) -> PanelLock:
        raise NodeAway(AWAY)

    async def registration_of(self, sip_user: str) -> SipRegistration:
        if self.why:
            return SipRegistration(panel=sip_user, state=SipState.UNKNOWN, why=self.why)
        found = self.contacts.get(sip_user, ())
        state = SipState.REGISTERED if found else SipState.NOT_REGISTERED
        return SipRegistration(panel=sip_user, node="node1", state=state, contacts=found)

    async def registered_of(self, sip_users: Sequence[str]) -> SipRegistered:
        self.asked.append(len(sip_users))
        there = tuple(user for user in sip_users if user in self.contacts)
        state = SipState.UNKNOWN if self.why else SipState.REGISTERED
        return SipRegistered(state=state, why=self.why, registered=there)


def at(address: str = "10.1.2.3:5060", user_agent: str = "Beward DKS15122") -> Contact:
    return Contact(address=address, transport="udp", user_agent=user_agent, at=1_000_000.0, until=1_000_600.0)


@pytest.fixture
def nodes() -> SaidNodes:
    return SaidNodes()


@pytest.fixture
def site(store: Store, nodes: SaidNodes) -> Iterator[TestSite]:
    with open_site(store, doors=Doors(store, KEY), nodes=nodes) as site:
        site.employee("anna", VIEWER)
        site.employee("ivan", EDITOR)
        yield site


def test_a_panels_page_asks_for_its_state_after_it_is_shown(
    site: TestSite, nodes: SaidNodes, houses: Houses
) -> None:
    panel = houses.panel("101", houses.entrance("п. 1", houses.house("1")))
    page = site.browser("anna").get(f"/domophones/{panel}")

    assert f'hx-get="/domophone/{panel}/registration"' in page.text
    assert nodes.asked == []


def test_a_registered_panel_is_shown_with_address_time_and_what_it_calls_itself(
    site: TestSite, nodes: SaidNodes, houses: Houses
) -> None:
    panel = houses.panel("101", houses.entrance("п. 1", houses.house("1")))
    nodes.contacts["101"] = (at(), at("10.9.9.9:5062", ""))

    shown = site.browser("anna").text(f"/domophone/{panel}/registration")

    assert shown.startswith("registered node1 10.1.2.3:5060 udp, Beward DKS15122 last at ")
    assert "Jan 12, 18:46:40" in shown or "12 Jan 1970 18:46:40" in shown
    assert "18:56:40" in shown
    assert "10.9.9.9:5062 udp last at" in shown


def test_what_a_panel_calls_itself_is_no_markup(site: TestSite, nodes: SaidNodes, houses: Houses) -> None:
    panel = houses.panel("101", houses.entrance("п. 1", houses.house("1")))
    nodes.contacts["101"] = (at("<i>", "<script>alert(1)</script>"),)

    page = site.browser("anna").get(f"/domophone/{panel}/registration").text

    assert "<script" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;" in page


def test_a_panel_that_is_not_registered_and_one_that_nobody_knows_of_differ(
    site: TestSite, nodes: SaidNodes, houses: Houses
) -> None:
    panel = houses.panel("101", houses.entrance("п. 1", houses.house("1")))
    browser = site.browser("anna")

    assert browser.text(f"/domophone/{panel}/registration") == "not registered node1"
    nodes.why = AWAY
    assert browser.text(f"/domophone/{panel}/registration") == f"not known {AWAY}"
    assert browser.text(f"/domophone/{panel}/lock") == f"not known {AWAY}"


def test_without_nodes_nothing_is_known(store: Store, houses: Houses) -> None:
    panel = houses.panel("101", houses.entrance("п. 1", houses.house("1")))
    with open_site(store) as site:
        site.employee("anna", VIEWER)
        browser = site.browser("anna")
        shown = [
            browser.text(f"/domophone/{panel}/registration"),
            browser.text("/unregistered-domophones/rows"),
        ]
    assert all(each.startswith("not known what nodes say is not there") for each in shown)


# --- all that are not registered -----------------------------------------------------------------------------------


def test_panels_in_use_that_are_not_registered_are_listed_with_their_last_call(
    site: TestSite, store: Store, nodes: SaidNodes, houses: Houses
) -> None:
    door = houses.entrance("п. 1", houses.house("1"))
    houses.panel("101", door)
    houses.panel("102", door)
    houses.panel("103", active=False)
    nodes.contacts["101"] = (at(),)
    called(store, "102", 1_000_000.0)
    browser = site.browser("anna")

    assert "/unregistered-domophones" in browser.get("/domophones").text
    assert 'hx-get="/unregistered-domophones/rows"' in browser.get("/unregistered-domophones").text
    shown = browser.text("/unregistered-domophones/rows")

    assert shown.startswith("Not registered: 1 of 2 that are in use.")
    assert "102 ул. Ленина 1, п. 1 Sokol –" in shown
    assert "18:46:40" in shown
    assert "101" not in shown
    assert "103" not in shown


def test_with_all_registered_that_is_said(site: TestSite, nodes: SaidNodes, houses: Houses) -> None:
    houses.panel("101")
    nodes.contacts["101"] = (at(),)

    assert (
        site.browser("anna").text("/unregistered-domophones/rows") == "all that are in use are registered 1"
    )


def test_with_a_node_away_no_panel_is_called_unregistered(
    site: TestSite, nodes: SaidNodes, houses: Houses
) -> None:
    houses.panel("101")
    nodes.why = AWAY

    shown = site.browser("anna").text("/unregistered-domophones/rows")

    assert shown == f"not known {AWAY}"


def test_only_panels_within_ones_reach_are_asked_for_and_listed(
    site: TestSite, nodes: SaidNodes, houses: Houses
) -> None:
    mine, other = houses.house("1"), houses.house("2")
    houses.panel("101", houses.entrance("п. 1", mine))
    far = houses.panel("102", houses.entrance("п. 1", other))
    site.employee("manager", VIEWER, Reach(houses=frozenset({mine})))
    site.employee("outsider", [Right.HOUSING_VIEW])
    browser = site.browser("manager")

    shown = browser.text("/unregistered-domophones/rows")

    assert nodes.asked == [1]
    assert "101" in shown
    assert "102" not in shown
    assert browser.get(f"/domophone/{far}/registration").status_code == 404
    outsider = site.browser("outsider")
    for path in ("/unregistered-domophones", "/unregistered-domophones/rows"):
        assert outsider.get(path).status_code == 403


def test_a_gate_is_listed_by_a_house_that_the_reader_sees(site: TestSite, houses: Houses) -> None:
    other, mine = houses.house("1"), houses.house("2")
    houses.panel("101", houses.entrance("ворота", other, mine))
    site.employee("manager", VIEWER, Reach(houses=frozenset({mine})))

    shown = site.browser("manager").text("/unregistered-domophones/rows")

    assert "ул. Ленина 2, ворота" in shown
    assert "Ленина 1" not in shown


def called(store: Store, panel: str, at: float) -> None:
    row = dict.fromkeys(("dialled", "address", "domophone", "flat", "answered_by", "number", "recording"), "")
    with store.transaction() as connection:
        connection.execute(
            sa.insert(table(Call)).values(
                **row, call_id="c1", kind="visitor", node="a", panel=panel, started_at=at, entries="[]"
            )
        )


# --- what a panel says itself --------------------------------------------------------------------------------------


def test_a_panel_is_asked_by_who_may_change_it(site: TestSite, store: Store, houses: Houses) -> None:
    panel = PanelState("sokol", registered=False)
    with served(open_panel_server(panel)) as url:
        admin = site.browser()
        id = new_panel(admin, url=url, http_user=panel.user, http_password=panel.password)
        bare = new_panel(admin, sip_user="500002", mac="186882310c8b")
        editor, viewer = site.browser("ivan"), site.browser("anna")

        assert f"/domophone/{id}/says" in editor.get(f"/domophones/{id}").text
        assert f"/domophone/{bare}/says" not in editor.get(f"/domophones/{bare}").text
        assert f"/domophone/{id}/says" not in viewer.get(f"/domophones/{id}").text
        said = editor.text(f"/domophone/{id}/says")
        seen = len(panel.seen)
        assert viewer.get(f"/domophone/{id}/says").status_code == 403

    assert said.startswith("not registered it does not tell whether it is in a call")
    assert seen > 0
    assert len(panel.seen) == seen
    assert "has no address" in editor.text(f"/domophone/{bare}/says")


def test_a_panel_of_another_vendor_tells_whether_it_is_in_a_call(site: TestSite) -> None:
    panel = PanelState("hikvision", in_call=True)
    with served(open_panel_server(panel)) as url:
        access = {"vendor": "hikvision", "url": url, "http_user": panel.user, "http_password": panel.password}
        id = new_panel(site.browser(), **access)
        said = site.browser("ivan").text(f"/domophone/{id}/says")

    assert said.startswith("it does not tell whether it is registered in a call")


def test_a_panel_that_does_not_answer_says_why_and_never_its_password(site: TestSite) -> None:
    panel = PanelState("sokol", fault=Fault.ECHO)
    with served(open_panel_server(panel)) as url:
        id = new_panel(site.browser(), url=url, http_user=panel.user, http_password=panel.password)
        answer = site.browser("ivan").get(f"/domophone/{id}/says")

    assert plain(answer.text).startswith("not known")
    assert "500" in answer.text
    assert panel.password not in answer.text


def test_the_certificate_that_is_seen_first_is_kept_and_another_is_refused(
    site: TestSite, store: Store
) -> None:
    panel = PanelState("sokol", certificate=new_certificate())
    with served(open_panel_server(panel)) as url:
        id = new_panel(site.browser(), url=url, http_user=panel.user, http_password=panel.password)
        browser = site.browser("ivan")
        assert browser.text(f"/domophone/{id}/says").startswith("registered")
        assert panel.certificate is not None
        assert row_of(store, id).tls_pin == panel.certificate.sha256

        panel.certificate, asked = new_certificate(), len(panel.seen)
        refused = browser.text(f"/domophone/{id}/says")

    assert refused.startswith("not known")
    assert len(panel.seen) == asked


def test_the_list_of_panels_has_their_last_call(site: TestSite, store: Store, houses: Houses) -> None:
    houses.panel("101", houses.entrance("п. 1", houses.house("1")))
    called(store, "101", 1_000_000.0)

    assert "18:46:40" in site.browser("anna").text("/domophones")
    with store.reading() as connection:
        assert connection.scalar(sa.select(table(Domophone).c.active)) is True
