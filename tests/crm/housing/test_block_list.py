"""The list of blocks: sorted by when they end, those that are not to end the last; found by when that is."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from crm.desk.desk import Desk
from crm.desk.resource import Query
from crm.model import Flat, FlatBlock, House, table
from crm.rights import Reach, Right, Rights
from crm.sections import all_resources
from crm.store import Store
from crm.tables.companies import Company
from crm.who import SYSTEM, Invalid, Who
from tests.crm.houses import Houses

DAY = 86_400.0
NOW = time.time()
MANY = 12_000
BLOCKS, FLATS = table(FlatBlock), table(Flat)
INDEX = "ix_flat_blocks_ends_id"


def block(store: Store, flat: int, until: float | None, since: float = NOW - DAY) -> int:
    row = {
        "flat_id": flat,
        "kind": "by_request",
        "from": since,
        "until": until,
        "reason": "",
        "source": "hand",
    }
    with store.transaction() as connection:
        return int(connection.scalar(sa.insert(BLOCKS).returning(BLOCKS.c.id), row) or 0)


def listed(store: Store, who: Who = SYSTEM, sort: str = "", limit: int = 50, **filters: str) -> list[int]:
    """The ids of a list, page by page."""
    desk = Desk(store, all_resources())
    resource, found, after = desk.resource("flat-blocks"), [], ""
    while True:
        page = desk.list(who, resource, Query(filters, sort, after, limit))
        found += [row.id for row in page.rows]
        after = page.next
        if not after:
            return found


def test_blocks_are_sorted_by_their_end_and_those_without_one_are_the_last(
    store: Store, houses: Houses
) -> None:
    flat = houses.flat(houses.house("5"), "1")
    ends = {block(store, flat, until): until for until in (NOW + 3 * DAY, None, NOW + DAY, NOW - DAY, None)}
    in_order = sorted(ends, key=lambda id: (ends[id] is None, ends[id] or 0, id))

    for limit in (2, 50):
        assert listed(store, sort="until", limit=limit) == in_order
        assert listed(store, sort="-until", limit=limit) == in_order[::-1]


def test_blocks_are_found_by_how_soon_they_end_the_soonest_first(store: Store, houses: Houses) -> None:
    flat = houses.flat(houses.house("5"), "1")
    later, soon = block(store, flat, NOW + 6 * DAY), block(store, flat, NOW + DAY)
    for until in (None, NOW - DAY, NOW + 8 * DAY):
        block(store, flat, until)

    assert listed(store, ends_within="7") == [soon, later]
    assert listed(store, ends_within="2") == [soon]
    for wrong in ("0", "-1", "soon", "99999"):
        with pytest.raises(Invalid):
            listed(store, ends_within=wrong)


@pytest.fixture
def many(store: Store, houses: Houses) -> Store:
    """Many blocks in houses of two companies; the statistics are those of now."""
    with store.transaction() as connection:
        for id in (1, 2):
            connection.execute(sa.insert(table(Company)), {"id": id, "name": f"УК {id}", "inn": str(id) * 10})
    some = [houses.house(str(n)) for n in range(20)]
    with store.transaction() as connection:
        for n, house in enumerate(some):
            connection.execute(
                sa.update(table(House)).where(table(House).c.id == house).values(company_id=1 + n % 2)
            )
            rows = [{"house_id": house, "number": str(k), "contract": "", "code": ""} for k in range(60)]
            connection.execute(sa.insert(FLATS), rows)
        flats = connection.scalars(sa.select(FLATS.c.id)).all()
        connection.execute(
            sa.insert(BLOCKS),
            [
                {
                    "flat_id": flats[n % len(flats)],
                    "kind": "by_request",
                    "from": NOW - n,
                    "until": None if n % 3 == 0 else NOW + (n % 1000 - 500) * DAY,
                    "reason": "",
                    "source": "hand",
                }
                for n in range(MANY)
            ],
        )
    with store.transaction() as connection:
        connection.execute(sa.text("ANALYZE"))
    return store


def plans(store: Store, who: Who, **query: Any) -> str:
    """How the database goes about a list's first page and its next one."""
    desk = Desk(store, all_resources())
    resource = desk.resource("flat-blocks")
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        first = desk.list(who, resource, Query(**query), count=False)
        desk.list(who, resource, Query(**query, after=first.next), count=False)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "
    steps: list[Any] = []
    with store.reading() as connection:
        for statement, parameters in asked:
            if "flat_blocks" in statement:
                steps += connection.exec_driver_sql(explain + statement, parameters).all()
    return "\n".join(str(step[3] if store.is_sqlite else step[0]) for step in steps)


@pytest.mark.parametrize("companies", [(), (1,)])
@pytest.mark.parametrize(
    "query", [{"sort": "until"}, {"sort": "-until"}, {"filters": {"ends_within": "30"}}], ids=str
)
def test_what_is_listed_by_its_end_comes_by_the_index(
    many: Store, companies: tuple[int, ...], query: dict[str, Any]
) -> None:
    reach = Reach(everywhere=not companies, companies=frozenset(companies))
    who = Who("employee:1", "x", Rights({right: reach for right in Right}))

    plan = plans(many, who, **query)

    assert INDEX in plan, plan
    assert "Seq Scan on flat_blocks" not in plan, plan
    assert "SCAN flat_blocks\n" not in f"{plan}\n", plan
    assert "TEMP B-TREE" not in plan, plan
