"""Pages of lists: what they count, and that only the first one does; cursors that are none."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
import sqlalchemy as sa

from crm.desk import lists as desk_lists
from crm.desk.desk import Desk
from crm.desk.resource import Page, Query
from crm.rights import Reach, Right, Rights
from crm.sections import all_resources
from crm.store import Store
from crm.who import SYSTEM, Invalid, Who
from tests.crm.houses import Houses

MINE = 9


@pytest.fixture
def mine(houses: Houses) -> list[int]:
    """The first nine of ten houses of a street."""
    return [houses.house(str(n)) for n in range(MINE + 1)][:MINE]


@pytest.fixture(params=["", "street_id", "-street_id"], ids=["by_id", "by_street", "backwards"])
def sort(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def listed(store: Store, query: Query, who: Who = SYSTEM, *, count: bool = True) -> Page:
    desk = Desk(store, all_resources())
    return desk.list(who, desk.resource("houses"), query, count=count)


def somebody(houses: list[int]) -> Who:
    return Who("employee:2", "Anna", Rights({Right.HOUSING_VIEW: Reach(houses=frozenset(houses))}))


def pages(store: Store, sort: str, who: Who) -> list[Page]:
    found = [listed(store, Query({}, sort, "", 4), who)]
    while found[-1].next:
        found.append(listed(store, Query({}, sort, found[-1].next, 4), who))
    return found


@contextmanager
def statements() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_every_page_has_the_number_of_all_rows_within_reach(store: Store, mine: list[int], sort: str) -> None:
    found = pages(store, sort, somebody(mine))
    assert [len(page.rows) for page in found] == [4, 4, 1]
    assert [(page.total, page.more) for page in found] == [(MINE, False)] * 3
    ids = [row.id for page in found for row in page.rows]
    assert ids == sorted(mine, reverse=sort.startswith("-"))


def test_counting_stops(store: Store, mine: list[int], sort: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_lists, "COUNTED", 5)
    assert [(page.total, page.more) for page in pages(store, sort, SYSTEM)] == [(5, True)] * 3


def test_a_next_page_asks_the_database_once(store: Store, mine: list[int], sort: str) -> None:
    first = listed(store, Query({}, sort, "", 4))
    with statements() as seen:
        listed(store, Query({}, sort, first.next, 4))
    assert len(seen) == 1


def test_rows_are_not_counted_where_nobody_asks(store: Store, mine: list[int], sort: str) -> None:
    with statements() as seen:
        page = listed(store, Query({}, sort, "", 4), count=False)
    assert len(seen) == 1
    assert len(page.rows) == 4
    assert page.next


@pytest.mark.parametrize(
    "values",
    [[], [1], [1, 9], [1, 9, 9], [1, -1, False], [1, 10**9, False], [{}, 9, False], ["a\0", 9, False], {}, 7],
)
def test_what_is_no_cursor_is_refused(store: Store, mine: list[int], values: object) -> None:
    cursor = base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")
    with pytest.raises(Invalid, match="cursor"):
        listed(store, Query({}, "", cursor, 4))


def test_a_cursor_of_names_is_none_of_a_list_by_an_index(store: Store, mine: list[int]) -> None:
    desk = Desk(store, all_resources())
    cursor = base64.urlsafe_b64encode(b'["x",1,false]').decode().rstrip("=")
    with pytest.raises(Invalid, match="cursor"):
        desk.list(SYSTEM, desk.resource("residents"), Query({"name": "Anna"}, "", cursor))
