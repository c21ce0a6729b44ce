"""Nobody sees beyond in quality calls either: whose campaigns one sees, makes and changes, who keeps some houses only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from crm.model import City, House, Street, table
from crm.quality.campaigns import campaigns, find_campaign
from crm.quality.making import create_campaign
from crm.quality.reach import names_beyond
from crm.rights import EVERYWHERE, NOWHERE, Reach, Right
from crm.staff.groups import create_group
from crm.staff.staff import create_employee
from crm.store import Store
from crm.values.quality import Campaign, CampaignState, Scope
from crm.who import COMMAND_LINE
from tests.crm.web.site import CHEAP, PASSWORD, Browser, TestSite, open_site
from tests.crm.web.test_quality_pages import FORM
from tests.crm.web.two_companies import CITY, FOREIGN, NOW, OWN, fill, fill_gate

COMPANY = Reach(companies=frozenset({OWN.id}))
HOUSE = Reach(houses=frozenset({OWN.id}))
TOWN = Reach(cities=frozenset({CITY}))
THERE = 9002
GATE = "p-gate"
PATH = "/api/v1/quality-campaigns"


@pytest.fixture
def town(store: Store) -> Iterator[TestSite]:
    """Two companies with a house each in one city, a gate of both, a campaign of each; and a house in a city beyond."""
    fill(store)
    fill_gate(store)
    with store.transaction() as connection:
        there = {"id": THERE, "region": "область", "name": "Далёкий", "time_zone": "UTC", "fias": "c-there"}
        connection.execute(sa.insert(table(City)).values(there))
        connection.execute(sa.insert(table(Street)).values(id=THERE, city_id=THERE, name="ул. Та"))
        house = {"id": THERE, "city_id": THERE, "street_id": THERE, "street": "ул. Та", "number": "1"}
        connection.execute(sa.insert(table(House)).values(house))
    with open_site(store) as site:
        yield site


SCOPES: list[tuple[str, Scope, list[Reach]]] = [
    ("everything", Scope(), []),
    ("own house", Scope(houses=(OWN.id,)), [COMPANY, HOUSE, TOWN]),
    ("own flat", Scope(flats=(OWN.id,)), [COMPANY, HOUSE, TOWN]),
    ("own panel", Scope(panels=(OWN.panel,)), [COMPANY, HOUSE, TOWN]),
    ("both houses", Scope(houses=(OWN.id, FOREIGN.id)), [TOWN]),
    ("a flat of each", Scope(flats=(OWN.id, FOREIGN.id)), [TOWN]),
    ("a panel of each", Scope(panels=(OWN.panel, FOREIGN.panel)), [TOWN]),
    ("own house, another's flat", Scope(houses=(OWN.id,), flats=(FOREIGN.id,)), [TOWN]),
    ("the gate", Scope(panels=(GATE,)), [TOWN]),
    ("the city", Scope(cities=(CITY,)), [TOWN]),
    ("two cities", Scope(cities=(CITY, THERE)), []),
    ("own house, a city beyond", Scope(houses=(OWN.id,), cities=(THERE,)), []),
    ("a house that is gone", Scope(houses=(OWN.id, 77)), []),
    ("a panel that is gone", Scope(panels=(OWN.panel, "gone")), []),
]


@pytest.mark.parametrize(("scope", "within"), [each[1:] for each in SCOPES], ids=[each[0] for each in SCOPES])
def test_a_campaign_is_within_reach_if_all_that_it_names_is(
    town: TestSite, scope: Scope, within: list[Reach]
) -> None:
    id = create_campaign(town.store, Campaign(name="x", scope=scope), NOW)

    for reach in (COMPANY, HOUSE, TOWN, NOWHERE, EVERYWHERE):
        seen = id in {campaign.id for campaign, _ in campaigns(town.store, reach=reach)}
        assert seen is (reach in within or reach is EVERYWHERE), reach
        if reach is not EVERYWHERE and scope != Scope():
            assert (names_beyond(town.store, reach, scope) == {}) is seen, reach


def test_a_city_of_which_all_houses_are_his_is_within_reach_until_another_gets_one(town: TestSite) -> None:
    houses = table(House)
    with town.store.transaction() as connection:
        connection.execute(sa.update(houses).where(houses.c.id == THERE).values(company_id=OWN.id))
    assert names_beyond(town.store, COMPANY, Scope(cities=(THERE,))) == {}
    with town.store.transaction() as connection:
        connection.execute(sa.update(houses).where(houses.c.id == FOREIGN.id).values(city_id=THERE))
    assert names_beyond(town.store, COMPANY, Scope(cities=(THERE,))) == {"cities": [str(THERE)]}


def test_a_campaign_leaves_reach_with_its_house(town: TestSite) -> None:
    with town.store.transaction() as connection:
        houses = table(House)
        connection.execute(sa.update(houses).where(houses.c.id == OWN.id).values(company_id=FOREIGN.id))
    api = town.token(reach=COMPANY)
    assert api.get(PATH).json()["items"] == []
    assert api.get(f"{PATH}/{OWN.id}").status_code == 404


def test_who_keeps_some_houses_has_pages_of_their_campaigns(town: TestSite) -> None:
    town.employee("manager", reach=COMPANY)
    manager = town.browser("manager")

    assert 'href="/quality-campaigns"' in manager.get("/houses").text  # in the menu
    listed = manager.text("/quality-campaigns")
    assert f"campaign {OWN.word}" in listed
    assert FOREIGN.word not in listed
    as_file = manager.get("/quality-campaigns.csv").text
    assert OWN.word in as_file
    assert FOREIGN.word not in as_file

    made = manager.post("/quality-campaigns", {**FORM, "houses": f"ул. Общая 1{OWN.word}"})
    page = made.headers["location"]
    state = page.replace("/quality-campaigns/", "/quality/campaigns/") + "/state"
    assert "running 0 of 1 flats" in manager.text(page)
    for wanted, said in (("paused", "paused 0 of"), ("running", "running 0 of"), ("stopped", "1 left out")):
        assert manager.post(state, {"state": wanted}).status_code == 303
        assert said in manager.text(page), wanted
    flats = manager.get(page.replace("/quality-campaigns/", "/quality-tasks.csv?campaign_id=")).text
    assert OWN.word in flats


def test_a_campaign_beyond_is_not_there(town: TestSite) -> None:
    both = create_campaign(town.store, Campaign(name="both", scope=Scope(cities=(CITY,))), NOW)
    town.employee("manager", reach=COMPANY)
    manager, api = town.browser("manager"), town.token(reach=COMPANY)

    for id in (FOREIGN.id, both, 777):
        for path in (f"/quality-campaigns/{id}", f"/quality/campaigns/{id}/progress"):
            assert manager.get(path).status_code == 404, path
        for wanted in ("paused", "stopped"):
            assert manager.post(f"/quality/campaigns/{id}/state", {"state": wanted}).status_code == 404
            assert api.post(f"{PATH}/{id}/state", json={"state": wanted}).status_code == 404
        assert api.get(f"{PATH}/{id}").status_code == 404
        assert api.get(f"{PATH}/{id}/progress").status_code == 404
    assert find_campaign(town.store, FOREIGN.id).state is CampaignState.RUNNING
    assert [each["id"] for each in api.get(PATH).json()["items"]] == [OWN.id]


def test_of_a_campaign_beyond_one_has_the_flats_of_his_houses_alone(town: TestSite) -> None:
    both = create_campaign(town.store, Campaign(name="both", scope=Scope(cities=(CITY,))), NOW)
    town.employee("manager", reach=COMPANY)
    for text in (
        town.browser("manager").get(f"/quality-tasks.csv?campaign_id={both}").text,
        town.token(reach=COMPANY).get(f"/api/v1/quality-tasks?campaign_id={both}").text,
    ):
        assert OWN.word in text
        assert FOREIGN.word not in text


def test_who_keeps_some_houses_has_to_name_what_is_called(town: TestSite) -> None:
    town.employee("manager", reach=COMPANY)
    town.employee("russian", reach=COMPANY, language="ru")
    manager = town.browser("manager")

    answer = manager.post("/quality-campaigns", FORM)
    russian = town.browser("russian").post("/quality-campaigns", FORM)
    api = town.token(reach=COMPANY).post(PATH, json={"name": "x", "scope": {}})

    assert (answer.status_code, russian.status_code, api.status_code) == (422, 422, 422)
    assert "name cities, houses, panels or flats: only who has this right everywhere" in answer.text
    assert "укажите города, дома, панели или квартиры" in russian.text
    assert "name cities, houses, panels or flats" in api.text
    assert "Name at least one" in manager.text("/quality-campaigns/new")
    assert len(campaigns(town.store)) == 2


def test_what_is_beyond_looks_like_what_is_not_there(town: TestSite) -> None:
    town.employee("manager", reach=COMPANY)
    manager, api = town.browser("manager"), town.token(reach=COMPANY)
    typed = {
        "houses": (f"ул. Общая 1{FOREIGN.word}", "ул. Нет 1"),
        "cities": (str(CITY), "Нет"),
        "panels": (FOREIGN.panel, "nobody"),
        "flats": (f"ул. Общая 1{FOREIGN.word}, 7{FOREIGN.word}", "ул. Нет 1, 1"),
    }
    for name, texts in typed.items():
        said = set()
        for text in texts:
            answer = manager.post("/quality-campaigns", {**FORM, name: text})
            assert answer.status_code == 422, text
            errors = answer.text[answer.text.index('class="error"') :].partition("</p>")[0]
            said.add(errors.replace(text, "…").replace("&#39;", "'"))
        assert len(said) == 1, said

    for scope, named in (
        ({"houses": [OWN.id, FOREIGN.id]}, "houses"),
        ({"cities": [CITY]}, "cities"),
        ({"panels": [GATE]}, "panels"),
        ({"flats": [FOREIGN.id, 777]}, "flats"),
    ):
        answer = api.post(PATH, json={"name": "x", "scope": scope})
        assert answer.status_code == 422, scope
        assert named in answer.text
        assert "not found" in answer.text
    assert len(campaigns(town.store)) == 2


def test_who_may_look_does_not_change_and_who_may_edit_elsewhere_neither(town: TestSite) -> None:
    reader = town.token([Right.QUALITY_VIEW], COMPANY)
    town.employee("reader", [Right.QUALITY_VIEW], COMPANY)
    pages = town.browser("reader")

    assert reader.get(f"{PATH}/{OWN.id}/progress").status_code == 200
    assert reader.post(f"{PATH}/{OWN.id}/state", json={"state": "paused"}).status_code == 403
    assert reader.post(PATH, json={"name": "x", "scope": {"houses": [OWN.id]}}).status_code == 403
    page = pages.get(f"/quality-campaigns/{OWN.id}")
    assert page.status_code == 200
    assert f"/quality/campaigns/{OWN.id}/state" not in page.text
    assert pages.get("/quality-campaigns/new").status_code == 403


def test_who_sees_all_and_edits_some_changes_some(town: TestSite) -> None:
    wide = _two_groups(town)
    assert f"/quality/campaigns/{OWN.id}/state" in wide.get(f"/quality-campaigns/{OWN.id}").text
    assert f"/quality/campaigns/{FOREIGN.id}/state" not in wide.get(f"/quality-campaigns/{FOREIGN.id}").text
    for id, status in ((OWN.id, 303), (FOREIGN.id, 403)):
        assert wide.post(f"/quality/campaigns/{id}/state", {"state": "paused"}).status_code == status
    assert find_campaign(town.store, FOREIGN.id).state is CampaignState.RUNNING


def _two_groups(town: TestSite) -> Browser:
    """A browser of somebody who sees everything, and edits one company's."""
    groups = [
        create_group(town.store, COMMAND_LINE, "all", [Right.QUALITY_VIEW], EVERYWHERE, NOW),
        create_group(town.store, COMMAND_LINE, "some", [Right.QUALITY_EDIT], COMPANY, NOW),
    ]
    create_employee(town.store, COMMAND_LINE, CHEAP, "wide", "Wide", PASSWORD, groups, NOW, language="en")
    return town.browser("wide")
