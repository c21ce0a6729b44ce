"""Records that refer to what a program does not see: their other fields change, and the reference is kept."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from litestar import Litestar
from litestar.testing import TestClient

from crm.model import House, Street, table
from crm.rights import Reach, Right
from crm.tables.companies import Company
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite

RIGHTS = (Right.HOUSING_VIEW, Right.HOUSING_EDIT)
OWN, OTHER = 1, 2


@pytest.fixture
def house(site: TestSite, houses: Houses) -> int:
    id = houses.house("5")
    with site.store.transaction() as connection:
        street = sa.insert(table(Street)).values(id=1, city_id=houses.city, name="ул. Ленина")
        connection.execute(street)
        for company in (OWN, OTHER):
            connection.execute(sa.insert(table(Company)).values(id=company, name=f"УК {company}"))
        mine = sa.update(table(House)).where(House.id == id)
        connection.execute(mine.values(company_id=OWN, street_id=1))
    return id


@pytest.fixture
def program(site: TestSite, house: int) -> TestClient[Litestar]:
    """It may change this house, and sees no company."""
    return site.token(RIGHTS, Reach(houses=frozenset({house})))


def test_other_fields_of_such_a_record_are_changed(program: TestClient[Litestar], house: int) -> None:
    answer = program.patch(f"/api/v1/houses/{house}", json={"own_id": "H-5"})

    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    assert (read["own_id"], read["company_id"], read["company_shown"]) == ("H-5", OWN, "")


def test_it_may_be_sent_as_it_is(program: TestClient[Litestar], house: int) -> None:
    answer = program.patch(f"/api/v1/houses/{house}", json={"own_id": "H-5", "company_id": OWN})

    assert (answer.status_code, answer.json()["company_id"]) == (200, OWN)


def test_another_that_is_not_seen_is_refused_and_nothing_changes(
    program: TestClient[Litestar], house: int
) -> None:
    for unseen in (OTHER, 999):
        answer = program.patch(f"/api/v1/houses/{house}", json={"own_id": "H-5", "company_id": unseen})
        assert answer.status_code == 422
        assert answer.json()["errors"] == {"company_id": "there is no such company"}

    read = program.get(f"/api/v1/houses/{house}").json()
    assert (read["own_id"], read["company_id"]) == (None, OWN)


def test_what_was_taken_away_is_not_put_back(program: TestClient[Litestar], house: int) -> None:
    path = f"/api/v1/houses/{house}"

    assert program.patch(path, json={"company_id": None}).json()["company_id"] is None
    assert program.patch(path, json={"company_id": OWN}).status_code == 422


def test_a_list_has_no_names_of_what_is_not_seen(program: TestClient[Litestar], house: int) -> None:
    (listed,) = program.get("/api/v1/houses").json()["items"]

    assert (listed["id"], listed["company_id"], listed["company_shown"]) == (house, OWN, "")


def test_a_new_record_refers_to_nothing_that_is_not_seen(site: TestSite, house: int) -> None:
    answer = site.token(RIGHTS).post(
        "/api/v1/houses", json={"street_id": 1, "number": "7", "company_id": OWN}
    )

    assert answer.json()["errors"] == {"company_id": "there is no such company"}
