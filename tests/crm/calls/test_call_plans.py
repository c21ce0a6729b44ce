"""Calls of several outcomes or kinds come as quickly as those of one, however many there are and however long ago."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from crm.calls.rows import CallQuery
from crm.calls.search import search_calls
from crm.store import Store
from crm.values.records import Outcome
from crm.who import SYSTEM

MANY = 60_000
PAGES_MOST = 250  # of more than a thousand that the table has
AT = 1_800_000_000.0
RARE = (Outcome.LOST, Outcome.UNREACHABLE)  # of the first days alone, where they were many
_FIRST, _EACH = 12_000, 4
QUERIES = (
    CallQuery(outcome="lost,unreachable"),
    CallQuery(outcome="talked,lost"),
    CallQuery(kind="sos,call_back"),
    CallQuery(kind="visitor,sos"),
    CallQuery(outcome="lost,unreachable", kind="sos,call_back"),
    CallQuery(outcome="lost,unreachable", node="node1"),
)


@pytest.fixture
def full(store: Store) -> Store:
    """Very many talks, with few others long before them."""
    numbers = (
        f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {MANY})"
        if store.is_sqlite
        else f"WITH s(n) AS (SELECT generate_series(1, {MANY}))"
    )
    outcome = (
        f"CASE WHEN n > {_FIRST} OR n % {_EACH} > 1 THEN 'talked'"
        f" WHEN n % {_EACH} = 0 THEN '{RARE[0].value}' ELSE '{RARE[1].value}' END"
    )
    kind = f"CASE WHEN n > {_FIRST} THEN 'visitor' WHEN n % 2 = 0 THEN 'sos' ELSE 'call_back' END"
    with store.transaction() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO calls (call_id, kind, node, panel, dialled, address, domophone, flat, started_at,"
                f" answered_by, number, recording, outcome, entries) {numbers} SELECT 'c' || n, {kind}, 'node1', 'p1',"
                f" '', '', '', '', {AT} + n, '', '', '', {outcome}, '[]' FROM s"
            )
        )
    with store.transaction() as connection:
        connection.execute(sa.text("ANALYZE"))
    return store


@contextmanager
def asked() -> Iterator[list[tuple[str, Any]]]:
    """The statements that search calls, with their values."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "FROM calls" in statement:
            seen.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_several_values_are_found_by_their_index(full: Store) -> None:
    for query in QUERIES:
        with asked() as statements:
            page = search_calls(full, SYSTEM, query)

        times = [each.started_at for each in page.calls]
        assert (len(times), times) == (50, sorted(times, reverse=True))
        plan = plan_of(full, *statements[0])
        if full.is_sqlite:
            index = f"ix_calls_{'outcome' if query.outcome else 'kind'}_started_at"
            assert plan.count(f"USING INDEX {index}") == 2, plan
            assert "SCAN calls" not in plan, plan
        else:
            pages = re.search(r"shared hit=(\d+)(?: read=(\d+))?", plan)
            assert pages is not None
            assert sum(int(each or 0) for each in pages.groups()) < PAGES_MOST, plan


def plan_of(store: Store, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN (ANALYZE, BUFFERS) "
    with store.reading() as connection:
        steps = connection.exec_driver_sql(explain + statement, parameters).all()
    return "\n".join(str(step[3] if store.is_sqlite else step[0]) for step in steps)
