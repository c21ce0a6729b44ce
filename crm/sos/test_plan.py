"""When panels' 112 is tested: every panel that is tested has one test planned, at some second of some day.

Planned in portions, over and over, by every node; mostly there is nothing to be done, and then nothing is locked.
Synchronous, and raises DatabaseAway or SchemaMismatch (crm.store). Times are UTC, in seconds since the epoch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa
from attrs import frozen

from config import DEFAULT, DispatchConfig
from crm.model import Domophone, table
from crm.sos.panels import read_panels
from crm.sos.tests import DAY_S, insert_tests
from crm.store import Store
from crm.tables.sos import SosTest

LATE_S = 3600.0  # a planned test that waits for longer is planned anew: not all at once after a long stop

_TESTS = table(SosTest)
_WAITS = _TESTS.c.started_at.is_(None)

IsTested = Callable[[str], bool]
"""Whether panels of a city are tested, by its FIAS id ("": it is not known)."""


@frozen
class Plan:
    """How to plan: every `days` days, nothing before `not_before`."""

    days: int
    now: float
    not_before: float
    is_tested: IsTested
    random: random.Random

    def first(self) -> float:
        """When a panel is tested that never was: spread over the first days."""
        return self._start() + self.random.random() * self.days * DAY_S

    def next(self, due_at: float) -> float:
        """When it is the next time, if the last one was due then: some second of that day."""
        due = (due_at // DAY_S + self.days) * DAY_S + self.random.randrange(int(DAY_S))
        return due if due >= self._start() else self.late()

    def late(self) -> float:
        """When one is made up for that should have been long ago."""
        return self._start() + self.random.random() * DAY_S

    def _start(self) -> float:
        return max(self.now, self.not_before)


def with_test_number(dispatches: Mapping[str, DispatchConfig]) -> IsTested:
    """Of which cities the dispatch that is theirs, or the default one, has a test number."""
    by_city = {each.fias: bool(each.test_number) for name, each in dispatches.items() if name != DEFAULT}
    default = DEFAULT in dispatches and bool(dispatches[DEFAULT].test_number)
    return lambda fias: by_city.get(fias, default) if fias else default


def plan_tests(store: Store, after: int, limit: int, plan: Plan) -> int:
    """See that the next `limit` panels behind the id `after` each have one test planned; the last one's id, -1: no more.

    No two nodes plan the same panel at once.
    """
    with store.reading() as connection:
        last, panels = read_panels(connection, after, limit)
        tested = [panel.sip_user for panel in panels if plan.is_tested(panel.fias)]
        missing = _to_plan(connection, tested, plan)
    if missing:
        with store.transaction() as connection:
            rows = sa.select(Domophone.id).where(Domophone.sip_user.in_(missing)).order_by(Domophone.id)
            connection.execute(rows.with_for_update(key_share=True))
            found = _to_plan(connection, list(missing), plan)
            new = [(panel, due_at) for panel, (open_id, due_at) in found.items() if open_id is None]
            late = [(open_id, due_at) for open_id, due_at in found.values() if open_id is not None]
            insert_tests(connection, new)
            for id, due_at in late:
                moved = sa.update(_TESTS).where(_TESTS.c.id == id, _WAITS).values(due_at=due_at)
                connection.execute(moved)
    return last if last > after else -1


def _to_plan(
    connection: sa.Connection, panels: Sequence[str], plan: Plan
) -> dict[str, tuple[int | None, float]]:
    """What is to be planned, and for when: a new test, or the one with this id, which waits for too long."""
    if not panels:
        return {}
    is_open = _TESTS.c.ended_at.is_(None)
    query = (
        sa.select(
            _TESTS.c.panel,
            sa.func.max(_TESTS.c.due_at),
            sa.func.max(sa.case((is_open, _TESTS.c.id))),
            sa.func.max(sa.case((sa.and_(is_open, _WAITS), _TESTS.c.due_at))),
        )
        .where(_TESTS.c.panel.in_(panels), sa.not_(_TESTS.c.by_hand))
        .group_by(_TESTS.c.panel)
    )
    known = {panel: rest for panel, *rest in connection.execute(query)}
    found: dict[str, tuple[int | None, float]] = {}
    for panel in panels:
        last_due, open_id, waits_for = known.get(panel, (None, None, None))
        if last_due is None:
            found[panel] = None, plan.first()
        elif open_id is None:
            found[panel] = None, plan.next(last_due)
        elif waits_for is not None and waits_for < plan.now - LATE_S:
            found[panel] = open_id, plan.late()
    return found
