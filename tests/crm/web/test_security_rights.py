"""Rights that would grow by a detour, or reach further than they were given, through what two companies share."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.model import AccountFlat, House, table
from crm.rights import EVERYWHERE, Reach, Right
from crm.store import Store
from crm.tables.companies import CodeDelivery
from crm.tables.people import ResidentFlat
from crm.tables.staff import Change
from tests.crm.web.site import TestSite
from tests.crm.web.test_security import VIEWS, member
from tests.crm.web.two_companies import CITY, FOREIGN, NOW, OWN, fill, fill_gate
from tests.crm.web.walking import differing, everything

PHONE = {"platform": "android", "bundle": "ru.a.b", "push_token": "t" * 40, "language": "ru"}
COMPANY = Reach(companies=frozenset({OWN.id}))


def shared_account(store: Store) -> None:
    """The own account rings in a flat of the other company, too: the same person has both."""
    with store.transaction() as connection:
        connection.execute(sa.insert(table(AccountFlat)).values(flat_id=FOREIGN.id, account_id=OWN.id))
        connection.execute(sa.insert(table(ResidentFlat)).values(flat_id=FOREIGN.id, resident_id=OWN.id))


def test_nobody_takes_over_an_account_that_opens_doors_beyond_his_houses(site: TestSite) -> None:
    fill(site.store)
    shared_account(site.store)
    site.employee("manager", reach=COMPANY)
    manager, program = site.browser("manager"), site.token(reach=COMPANY)
    before = everything(site.store)

    asked = {"password": "another-password"}
    for answer in (
        manager.post(f"/accounts/{OWN.id}", asked),
        program.patch(f"/api/v1/accounts/{OWN.id}", json=asked),
        program.patch(f"/api/v1/accounts/{OWN.id}", json={"sip_user": "mine", **asked}),
        program.post("/api/v1/phones", json={"account_id": OWN.id, **PHONE}),
        program.patch(f"/api/v1/phones/{OWN.id}", json={"push_token": "t" * 40}),
    ):
        assert answer.status_code == 403
        assert FOREIGN.word not in answer.text
    assert differing(before, everything(site.store)) == ""

    assert program.patch(f"/api/v1/accounts/{FOREIGN.id}", json=asked).status_code == 404
    assert site.token().patch(f"/api/v1/accounts/{OWN.id}", json=asked).status_code == 200
    with site.store.transaction() as connection:
        there = table(AccountFlat)
        connection.execute(sa.delete(there).where(there.c.flat_id == FOREIGN.id))
    assert program.patch(f"/api/v1/accounts/{OWN.id}", json=asked).status_code == 200


def test_a_house_without_a_company_lies_beyond_a_company(site: TestSite) -> None:
    """SQL's "unknown" is not "no": what is not anybody's is not his."""
    fill(site.store)
    shared_account(site.store)
    with site.store.transaction() as connection:
        houses = table(House)
        connection.execute(sa.update(houses).where(houses.c.id == FOREIGN.id).values(company_id=None))
    program = site.token(reach=COMPANY)

    assert program.delete(f"/api/v1/accounts/{OWN.id}").status_code == 403
    answer = program.patch(f"/api/v1/accounts/{OWN.id}", json={"password": "another-password"})
    assert answer.status_code == 403
    with site.store.reading() as connection:
        of = sa.select(House.id).order_by(House.id)
        assert connection.scalars(of.where(COMPANY.of_houses())).all() == [OWN.id]
        assert connection.scalars(of.where(sa.not_(COMPANY.of_houses()))).all() == [FOREIGN.id]


@pytest.mark.parametrize("name", ["houses", "flats", "domophones", "residents"])
def test_the_history_of_a_record_is_for_who_may_see_changes_there(site: TestSite, name: str) -> None:
    fill(site.store)
    others = tuple(right for right in VIEWS if right is not Right.CHANGES_VIEW)
    browser = member(site, "mixed", (others, EVERYWHERE), ((Right.CHANGES_VIEW,), COMPANY))

    own, foreign = browser.get(f"/{name}/{OWN.id}"), browser.get(f"/{name}/{FOREIGN.id}")

    assert own.status_code == foreign.status_code == 200
    assert "who Qownq" in own.text
    assert "who Zfarz" not in foreign.text
    assert "was Zfarz" not in foreign.text


def test_who_opened_a_door_is_told_where_one_may_open_it(site: TestSite) -> None:
    fill(site.store)
    opened = {"at": NOW, "by": "employee:77", "who": "Opener", "action": "open", "address": ""}
    with site.store.transaction() as connection:
        for side in (OWN, FOREIGN):
            for entity in ("domophone", "relay"):
                row = {**opened, "entity": entity, "entity_id": side.id, "before": ""}
                after = '{"door":1,"name":"d","outcome":"opened"}'
                connection.execute(sa.insert(table(Change)).values(**row, after=after))
    rights = (Right.DEVICES_VIEW,)
    browser = member(site, "mixed", (rights, EVERYWHERE), ((Right.DOORS_OPEN, Right.SOS_VIEW), COMPANY))

    for name in ("domophones", "relays"):
        assert "Opener" in browser.get(f"/{name}/{OWN.id}").text
        assert "Opener" not in browser.get(f"/{name}/{FOREIGN.id}").text
    assert "result Qownq" in browser.get(f"/domophones/{OWN.id}").text
    assert "result Zfarz" not in browser.get(f"/domophones/{FOREIGN.id}").text


def test_a_house_shows_its_panels_to_who_may_see_devices_there(site: TestSite) -> None:
    fill(site.store)
    browser = member(site, "mixed", ((Right.HOUSING_VIEW,), EVERYWHERE), ((Right.DEVICES_VIEW,), COMPANY))

    assert "MQownq" in browser.get(f"/houses/{OWN.id}").text
    assert "MZfarz" not in browser.get(f"/houses/{FOREIGN.id}").text


def test_a_shared_gate_does_not_tell_which_company_s_code_it_waits_for(site: TestSite) -> None:
    fill(site.store)
    fill_gate(site.store)
    with site.store.transaction() as connection:
        for side in (OWN, FOREIGN):
            waits = {"code_id": side.id, "domophone_id": CITY, "due_at": NOW, "error": ""}
            connection.execute(sa.insert(table(CodeDelivery)).values(waits))
    site.employee("manager", reach=COMPANY)

    page = site.browser("manager").get(f"/domophones/{CITY}").text
    told = site.token(reach=COMPANY).get(f"/api/v1/domophones/{CITY}/deliveries").json()

    assert OWN.word in page
    assert FOREIGN.word not in page
    assert sorted(each["company"] for each in told if each["key_id"] is None and each["company"]) == [
        "УК Qownq"
    ]
    assert "УК Zfarz" in site.browser().get(f"/domophones/{CITY}").text
