"""Test calls of panels' 112 in the database: asked for or planned, taken by one node, with what came of each.

A row is a test from its plan to its result. Not started: it waits for `due_at`. Started and not ended: a node (`node`)
makes it; if that died, it is taken up again. Ended: `passed`, or None where it could not be made, and `result` in words.
All functions are synchronous and raise DatabaseAway or SchemaMismatch (crm.store). Times are UTC seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from attrs import frozen

from crm.model import Domophone, table
from crm.sos.panels import SosPanel, read_panels
from crm.store import Store
from crm.tables.calls import Call
from crm.tables.sos import SosTest
from crm.values.records import Outcome

DAY_S = 86_400.0
PURGE_CHUNK = 2000
READ_CHUNK = 500

_TESTS, _CALLS = table(SosTest), table(Call)
_ENDED, _WAITS = _TESTS.c.ended_at.is_not(None), _TESTS.c.started_at.is_(None)


class NoSuchPanel(LookupError):
    """No active panel has this SIP user or MAC."""


@frozen
class PanelTest:
    """A row: a test call of the panel with this SIP user."""

    id: int
    panel: str
    by_hand: bool
    due_at: float
    node: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    passed: bool | None = None
    result: str = ""
    call_id: str = ""


@frozen
class Overdue:
    """A panel whose 112 nobody got through to for too long: `passed_at` is its last test that passed, if any did."""

    panel: SosPanel
    passed_at: float | None
    last: PanelTest | None


# --- asked for -----------------------------------------------------------------------------------------------------


def ask_test(store: Store, panel: str, now: float) -> int:
    """Ask for a test of a panel (its SIP user or MAC), at once; the test's id. Raises NoSuchPanel."""
    with store.transaction() as connection:
        row = sa.insert(_TESTS).values(panel=name_panel(connection, panel), by_hand=True, due_at=now)
        id: int = connection.execute(row.returning(_TESTS.c.id)).scalar_one()
        return id


def name_panel(connection: sa.Connection, panel: str) -> str:
    """The SIP user of an active panel that is named by its SIP user or MAC. Raises NoSuchPanel."""
    mac = "".join(c for c in panel.lower() if c not in ":-.")
    is_it = sa.or_(Domophone.sip_user == panel, Domophone.mac == mac)
    query = sa.select(Domophone.sip_user).where(is_it, Domophone.active)
    sip_user = connection.scalars(query.order_by(Domophone.sip_user == panel)).all()
    if not sip_user:
        raise NoSuchPanel(f"no active panel has the SIP user or MAC {panel!r}: see its house in the CRM")
    return sip_user[-1]


def withdraw_test(store: Store, id: int) -> bool:
    """Take back a test that no node has begun; False: one has."""
    with store.transaction() as connection:
        gone = connection.execute(sa.delete(_TESTS).where(_TESTS.c.id == id, _WAITS))
        return gone.rowcount == 1


def get_test(store: Store, id: int) -> PanelTest | None:
    with store.reading() as connection:
        return next(_rows(connection, sa.select(_TESTS).where(_TESTS.c.id == id)), None)


# --- made by a node ------------------------------------------------------------------------------------------------


def due_tests(store: Store, now: float, limit: int, *, only_by_hand: bool = False) -> list[PanelTest]:
    """Tests that are due and that no node has begun: those by hand first, the longest due first."""
    query = sa.select(_TESTS).where(_WAITS, _TESTS.c.due_at <= now)
    if only_by_hand:
        query = query.where(_TESTS.c.by_hand)
    query = query.order_by(_TESTS.c.by_hand.desc(), _TESTS.c.due_at, _TESTS.c.id).limit(limit)
    with store.reading() as connection:
        return list(_rows(connection, query))


def claim_test(store: Store, id: int, node: str, now: float) -> bool:
    """Begin a test; False: another node was faster, or it was taken back."""
    with store.transaction() as connection:
        mine = connection.execute(
            sa.update(_TESTS)
            .where(_TESTS.c.id == id, _WAITS, _TESTS.c.due_at <= now)
            .values(node=node, started_at=now, result="")
        )
        return mine.rowcount == 1


def finish_test(
    store: Store,
    id: int,
    passed: bool | None,
    result: str,
    call_id: str,
    now: float,
    *,
    next_due: float | None = None,
) -> None:
    """A test has ended; with `next_due` the panel's next one is planned for then."""
    values = {"passed": passed, "result": result.replace("\0", "�"), "call_id": call_id, "ended_at": now}
    with store.transaction() as connection:
        ended = connection.execute(
            sa.update(_TESTS)
            .where(_TESTS.c.id == id, _TESTS.c.ended_at.is_(None))
            .values(values)
            .returning(_TESTS.c.panel)
        ).scalar()
        if ended is not None and next_due is not None:
            insert_tests(connection, [(ended, next_due)])


def put_back(store: Store, id: int, due_at: float | None = None, why: str = "") -> None:
    """A test that was begun, and could not be made, waits again: for the same time, or for `due_at`."""
    values: dict[str, Any] = {"node": "", "started_at": None, "result": why.replace("\0", "�")}
    if due_at is not None:
        values["due_at"] = due_at
    with store.transaction() as connection:
        connection.execute(
            sa.update(_TESTS).where(_TESTS.c.id == id, _TESTS.c.ended_at.is_(None)).values(values)
        )


def drop_test(store: Store, id: int) -> None:
    """A planned test is not to be made: its panel is gone, or is not tested any more."""
    with store.transaction() as connection:
        connection.execute(sa.delete(_TESTS).where(_TESTS.c.id == id, _TESTS.c.ended_at.is_(None)))


def take_up_lost(store: Store, before: float, *, since: float = 0.0, node: str = "") -> int:
    """Tests wait again that were begun before `before` (and at `since` or later) and have never ended; of `node` all."""
    lost = sa.and_(_TESTS.c.started_at < before, _TESTS.c.started_at >= since)
    if node:
        lost = sa.or_(lost, sa.and_(_TESTS.c.node == node, _TESTS.c.started_at.is_not(None)))
    lost = sa.and_(lost, _TESTS.c.ended_at.is_(None))
    with store.reading() as connection:  # there mostly are none, and nobody is to wait for that
        ids = connection.scalars(sa.select(_TESTS.c.id).where(lost)).all()
    if not ids:
        return 0
    with store.transaction() as connection:
        waits = sa.update(_TESTS).where(_TESTS.c.id.in_(ids), lost).values(node="", started_at=None)
        again = connection.execute(waits)
        return again.rowcount


# --- looked at -----------------------------------------------------------------------------------------------------


def last_tests(store: Store, *, panel: str | None = None, limit: int = 50) -> list[PanelTest]:
    """The newest tests that have ended first: of all panels, or of one (its SIP user or MAC)."""
    query = sa.select(_TESTS).where(_ENDED, _TESTS.c.started_at.is_not(None))
    if panel is not None:
        mac = "".join(c for c in panel.lower() if c not in ":-.")
        users = sa.select(Domophone.sip_user).where(Domophone.mac == mac)
        query = query.where(sa.or_(_TESTS.c.panel == panel, _TESTS.c.panel.in_(users)))
    query = query.order_by(_TESTS.c.started_at.desc(), _TESTS.c.id.desc()).limit(limit)
    with store.reading() as connection:
        return list(_rows(connection, query))


def failing(store: Store, node: str, since: float) -> list[PanelTest]:
    """Tests that this node made since then, that failed, and after which none of the panel has passed."""
    later = _TESTS.alias("later")
    passed = sa.exists().where(
        later.c.panel == _TESTS.c.panel, later.c.passed, later.c.ended_at > _TESTS.c.ended_at
    )
    query = (
        sa.select(_TESTS)
        .where(_TESTS.c.started_at >= since, _ENDED, _TESTS.c.node == node)
        .where(_TESTS.c.passed == sa.false(), sa.not_(passed))
        .order_by(_TESTS.c.ended_at)
    )
    with store.reading() as connection:
        return list(_rows(connection, query))


def passed_last(store: Store, panels: Sequence[str]) -> set[str]:
    """Those of some panels whose last test, of those that could be made, has passed."""
    found: set[str] = set()
    query = sa.select(_TESTS.c.passed).where(_ENDED, _TESTS.c.passed.is_not(None))
    with store.reading() as connection:
        for panel in panels:
            last = query.where(_TESTS.c.panel == panel).order_by(_TESTS.c.ended_at.desc()).limit(1)
            if connection.scalar(last):
                found.add(panel)
    return found


def overdue(store: Store, days: int, now: float, is_tested: Callable[[str], bool]) -> list[Overdue]:
    """Active panels that for a day longer than `days` have neither passed a test nor made a 112 call that was answered.

    Of cities that are tested, by their FIAS id. Those that never passed one first, then the longest overdue.
    """
    since = now - (days + 1) * DAY_S
    found: list[Overdue] = []
    after = 0
    with store.reading() as connection:
        while True:
            last, panels = read_panels(connection, after, READ_CHUNK)
            mine = {panel.sip_user: panel for panel in panels if is_tested(panel.fias)}
            well = _passed(connection, mine, since)
            well |= _called(connection, mine.keys() - well, since)
            found += _overdue(connection, [panel for user, panel in mine.items() if user not in well])
            if last <= after:
                return sorted(found, key=lambda each: each.passed_at or 0.0)
            after = last


def _passed(connection: sa.Connection, panels: Iterable[str], since: float) -> set[str]:
    # By hand or planned, it was due at most a day before it ended: the index is by that.
    recent = sa.and_(_TESTS.c.due_at >= since - DAY_S, _TESTS.c.ended_at >= since)
    query = sa.select(_TESTS.c.panel).where(_TESTS.c.panel.in_([*panels]), recent, _TESTS.c.passed)
    return set(connection.execute(query.distinct()).scalars())


def _called(connection: sa.Connection, panels: Iterable[str], since: float) -> set[str]:
    talked = sa.and_(_CALLS.c.kind == "sos", _CALLS.c.outcome == Outcome.TALKED)
    recent = sa.and_(_CALLS.c.panel.in_([*panels]), _CALLS.c.started_at >= since)
    return set(connection.execute(sa.select(_CALLS.c.panel).where(recent, talked).distinct()).scalars())


def _overdue(connection: sa.Connection, panels: Sequence[SosPanel]) -> list[Overdue]:
    if not panels:
        return []
    mine = sa.and_(_TESTS.c.panel.in_([panel.sip_user for panel in panels]), _ENDED)
    latest = sa.select(_TESTS.c.panel, sa.func.max(_TESTS.c.ended_at)).where(mine, _TESTS.c.passed)
    passed = {user: at for user, at in connection.execute(latest.group_by(_TESTS.c.panel))}
    place = sa.func.row_number().over(partition_by=_TESTS.c.panel, order_by=_TESTS.c.ended_at.desc())
    ranked = sa.select(_TESTS, place.label("place")).where(mine).subquery()
    last = {test.panel: test for test in _rows(connection, sa.select(ranked).where(ranked.c.place == 1))}
    return [Overdue(panel, passed.get(panel.sip_user), last.get(panel.sip_user)) for panel in panels]


def purge_tests(store: Store, older_than: float) -> int:
    """Drop tests that began before `older_than` and have ended, in small steps; how many they were."""
    old = sa.select(_TESTS.c.id).where(_TESTS.c.started_at < older_than, _ENDED).limit(PURGE_CHUNK)
    dropped = 0
    while True:
        with store.transaction() as connection:
            ids = connection.scalars(old).all()
            if ids:
                connection.execute(sa.delete(_TESTS).where(_TESTS.c.id.in_(ids)))
        dropped += len(ids)
        if len(ids) < PURGE_CHUNK:
            return dropped


def insert_tests(connection: sa.Connection, planned: Iterable[tuple[str, float]]) -> None:
    """Plan a test of each panel, for when it is due."""
    rows = [{"panel": panel, "by_hand": False, "due_at": due_at} for panel, due_at in planned]
    if rows:
        connection.execute(sa.insert(_TESTS), rows)


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[PanelTest]:
    names = [each.name for each in attrs.fields(PanelTest)]
    return (PanelTest(**{name: row[name] for name in names}) for row in connection.execute(query).mappings())
