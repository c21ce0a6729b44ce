"""Names that many have: the same people in the same order, whichever way they are looked for."""

from __future__ import annotations

import pytest

from crm.desk import found as desk_found
from crm.desk.desk import Desk
from crm.desk.resource import Query
from crm.rights import Reach, Right, Rights
from crm.search.index import Indexed, reindex
from crm.sections import all_resources
from crm.store import Store
from crm.tables.people import Resident, ResidentFlat
from crm.who import SYSTEM, Who
from tests.crm.houses import Houses

MARIAS = 12


@pytest.fixture
def home(store: Store, houses: Houses) -> int:
    """The house of every fourth of twelve Marias and an Anna each; the others live in another one."""
    here, there = houses.house("1"), houses.house("2")
    flats = [houses.flat(here, "1"), houses.flat(there, "1")]
    with store.session() as session:
        people = []
        for n in range(MARIAS):
            people += [Resident(name=f"Иванова Мария {n}", phone=f"+7912000{n:04}"), Resident(name="Анна")]
        session.add_all(people)
        session.flush()
        for n, person in enumerate(people):
            session.add(ResidentFlat(flat_id=flats[0 if n % 8 == 0 else 1], resident_id=person.id))
        session.flush()
        reindex(session.connection(), Indexed.RESIDENT, [person.id for person in people])
    return here


@pytest.fixture(params=[1, 5, 1000], ids=["few_looked_at", "some_looked_at", "all_looked_at"])
def looked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(desk_found, "LOOKED", request.param)
    return int(request.param)


def neighbour(house: int) -> Who:
    return Who("employee:2", "Anna", Rights({Right.PEOPLE_VIEW: Reach(houses=frozenset({house}))}))


def pages(store: Store, who: Who, filters: dict[str, str]) -> list[list[str]]:
    desk = Desk(store, all_resources())
    found, after = [], ""
    while True:
        page = desk.list(who, desk.resource("residents"), Query(filters, after=after, limit=2))
        found.append([row.title for row in page.rows])
        assert page.total >= len(page.rows) or page.more
        if not page.next:
            return found
        after = page.next


@pytest.mark.parametrize("filters", [{"name": "мария"}, {"phone": "+7912"}, {"name": "ив", "phone": "+7912"}])
def test_a_common_name_is_paged_through_to_its_end(
    store: Store, home: int, looked: int, filters: dict[str, str]
) -> None:
    names = [name for page in pages(store, SYSTEM, filters) for name in page]
    assert names == [f"Иванова Мария {n}" for n in range(MARIAS)]


def test_a_common_name_is_found_only_in_ones_own_houses(store: Store, home: int, looked: int) -> None:
    found = pages(store, neighbour(home), {"name": "мария"})
    assert found == [["Иванова Мария 0", "Иванова Мария 4"], ["Иванова Мария 8"]]


def test_a_form_suggests_who_is_within_reach(store: Store, home: int, looked: int) -> None:
    desk = Desk(store, all_resources())
    picked = desk.pick(neighbour(home), desk.resource("residents"), "мария")
    assert [name for _, name in picked] == ["Иванова Мария 0", "Иванова Мария 4", "Иванова Мария 8"]
    assert desk.pick(SYSTEM, desk.resource("residents"), "?") == ()


def test_the_number_of_a_common_name_is_exact_or_said_to_be_more(
    store: Store, home: int, looked: int
) -> None:
    desk = Desk(store, all_resources())
    page = desk.list(SYSTEM, desk.resource("residents"), Query({"name": "мария"}, limit=2))
    assert page.total == MARIAS or (page.more and 2 <= page.total < MARIAS)
