"""Calls are found by whatever support knows of them, and by nobody who may not see them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from attrs import evolve

from crm.calls import rows as call_rows
from crm.calls.calls import save_calls
from crm.calls.rows import CallQuery
from crm.calls.search import every_call, search_calls, see_call
from crm.model import House, table
from crm.rights import EVERYWHERE, Reach, Right, Rights
from crm.search.index import Indexed, reindex
from crm.store import Store
from crm.values.records import CallRecord, LegRecord, Outcome
from crm.who import SYSTEM, Forbidden, Invalid, NotFound, Who
from tests.crm.houses import Houses

T = 1_800_000_000.0


def within(*houses: int, right: Right = Right.CALLS_VIEW) -> Who:
    return Who("employee:1", "somebody", Rights({right: Reach(houses=frozenset(houses))}))


def call(id: str, at: float, **fields: object) -> CallRecord:
    legs = [LegRecord("p", "panel"), LegRecord("a", "account", "7351001", T + at)]
    record = CallRecord(id, "node1", "p1", "42", T + at, flat="42", ended_at=T + at + 9, legs=legs)
    return evolve(record, **{"outcome": Outcome.NOBODY_ANSWERED, **fields})  # type: ignore[arg-type]


class Town:
    """Two houses with a panel each, and a gate to both; five calls."""

    def __init__(self, store: Store, houses: Houses) -> None:
        self.first, self.second = houses.house("5"), houses.house("7а")
        one, two = houses.entrance("п. 1", self.first), houses.entrance("п. 1", self.second)
        gate = houses.entrance("ворота", self.first, self.second)
        houses.panel("p1", one)  # 000000000001
        houses.panel("p2", two)
        houses.panel("g", gate)
        self.flat = houses.flat(self.first, "42", one, gate)
        self.other = houses.flat(self.second, "42", two, gate)
        with store.transaction() as connection:
            reindex(connection, Indexed.HOUSE, [self.first, self.second])
        save_calls(
            store,
            [
                call("c1", 1, flat_id=self.flat, door_at=T + 5, answered_at=T + 4),
                call("c2", 2, panel="p2", flat_id=self.other, outcome=Outcome.TALKED, node="node2", legs=[]),
                call("c3", 3, panel="g", flat="", flat_id=None, outcome=Outcome.UNKNOWN_FLAT),
                call("c4", 4, panel="g", flat_id=self.other),
                call("c5", 5, panel="nobody's", flat="", outcome=Outcome.UNKNOWN_PANEL, kind="sos"),
            ],
        )


@pytest.fixture(params=["few houses", "many houses"])
def town(
    request: pytest.FixtureRequest, store: Store, houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> Town:
    """Looked up by flats and panels, or found among the newest calls."""
    if request.param == "many houses":
        monkeypatch.setattr(call_rows, "FEW_HOUSES", 0)
        monkeypatch.setattr(call_rows, "PORTION", 2)
    return Town(store, houses)


def found(store: Store, query: CallQuery, who: Who = SYSTEM) -> list[str]:
    return [each.call_id for each in search_calls(store, who, query).calls]


def test_the_newest_call_comes_first(store: Store, town: Town) -> None:
    assert found(store, CallQuery()) == ["c5", "c4", "c3", "c2", "c1"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (CallQuery(address="Ленина 5"), ["c3", "c1"]),
        (CallQuery(address="ленина 7а, 42"), ["c4", "c2"]),
        (CallQuery(address="ул Ленина 5 кв 43"), []),
        (CallQuery(address="Мира"), []),
        (CallQuery(flat="42"), ["c4", "c2", "c1"]),
        (CallQuery(panel="p1"), ["c1"]),
        (CallQuery(panel="00:00:00:00:00:03"), ["c4", "c3"]),
        (CallQuery(panel="nobody's"), ["c5"]),
        (CallQuery(account="7351001"), ["c5", "c4", "c3", "c1"]),
        (CallQuery(account="7351001", flat="42"), ["c4", "c1"]),
        (CallQuery(since=T + 2, until=T + 4), ["c3", "c2"]),
        (CallQuery(outcome="talked"), ["c2"]),
        (CallQuery(outcome="talked,unknown_flat,talked"), ["c3", "c2"]),
        (CallQuery(outcome="talked,unknown_panel", kind="visitor,quality"), ["c2"]),
        (CallQuery(kind="sos,visitor", node="node2"), ["c2"]),
        (CallQuery(outcome="nobody_answered,talked", address="Ленина 7а"), ["c4", "c2"]),
        (CallQuery(kind="sos"), ["c5"]),
        (CallQuery(door=True), ["c1"]),
        (CallQuery(door=False, kind="visitor"), ["c4", "c3", "c2"]),
        (CallQuery(node="node2"), ["c2"]),
    ],
)
def test_a_call_is_found_by_what_is_known_of_it(
    store: Store, town: Town, query: CallQuery, ids: list[str]
) -> None:
    assert found(store, query) == ids


def test_a_call_is_found_by_its_flat_and_its_house(store: Store, town: Town) -> None:
    assert found(store, CallQuery(flat_id=town.other)) == ["c4", "c2"]
    assert found(store, CallQuery(house_id=town.first)) == ["c3", "c1"]


def test_a_call_from_a_gate_is_seen_by_the_house_that_was_called(store: Store, town: Town) -> None:
    assert found(store, CallQuery(), within(town.first)) == ["c3", "c1"]
    assert found(store, CallQuery(), within(town.second)) == ["c4", "c3", "c2"]
    assert found(store, CallQuery(address="Ленина 5"), within(town.second)) == []
    several = CallQuery(outcome="nobody_answered,unknown_flat,unknown_panel", kind="visitor,sos")
    assert found(store, several, within(town.first)) == ["c3", "c1"]


def test_only_who_sees_everywhere_sees_calls_of_unknown_panels(store: Store, town: Town) -> None:
    everywhere = Who("employee:2", "other", Rights({Right.CALLS_VIEW: EVERYWHERE}))

    assert see_call(store, everywhere, "c5")[0].panel == "nobody's"
    with pytest.raises(NotFound):
        see_call(store, within(town.first, town.second), "c5")


def test_a_call_is_seen_by_its_whole_id_only_with_its_houses_zone(store: Store, town: Town) -> None:
    record, zone = see_call(store, within(town.second), "c4")

    assert (record.call_id, zone) == ("c4", "Asia/Yekaterinburg")
    for missing in ("c", "c1", "c4\0", ""):
        with pytest.raises(NotFound):
            see_call(store, within(town.second), missing)


def test_a_call_that_reached_no_flat_has_the_zone_of_its_panels_first_house(store: Store, town: Town) -> None:
    with store.transaction() as connection:
        for id, zone in ((town.first, "Europe/Moscow"), (town.second, "Asia/Omsk")):
            connection.execute(sa.update(table(House)).where(House.id == id).values(time_zone=zone))

    assert see_call(store, SYSTEM, "c3")[1] == "Europe/Moscow"  # from the gate of both
    assert see_call(store, SYSTEM, "c5")[1] == ""


def test_pages_of_several_outcomes_go_on_behind_the_cursor(store: Store, town: Town) -> None:
    query, seen = CallQuery(outcome="nobody_answered,talked", limit=1), []
    while True:
        page = search_calls(store, SYSTEM, query)
        seen += [each.call_id for each in page.calls]
        if not page.next:
            break
        query = evolve(query, after=page.next)

    assert seen == ["c4", "c2", "c1"]


def test_pages_go_on_behind_the_cursor_even_within_one_moment(store: Store, town: Town) -> None:
    save_calls(store, [call(f"same{n}", 5, flat_id=town.flat) for n in range(7)])
    query, seen = CallQuery(limit=3), []
    while True:
        page = search_calls(store, within(town.first), query)
        seen += [each.call_id for each in page.calls]
        if not page.next:
            break
        query = evolve(query, after=page.next)

    assert seen == [*(f"same{n}" for n in reversed(range(7))), "c3", "c1"]
    assert seen == [each.call_id for each in every_call(store, within(town.first), CallQuery())]


def test_a_page_says_how_far_it_looked(store: Store, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_rows, "PORTION", 2)
    monkeypatch.setattr(call_rows, "MOST_LOOKED", 2)

    page = search_calls(store, SYSTEM, CallQuery(node="node2"))

    assert (page.calls, page.back_to) == ((), T + 4)
    assert found(store, CallQuery(node="node2", after=page.next)) == ["c2"]
    assert [each.call_id for each in every_call(store, SYSTEM, CallQuery(node="node2"))] == ["c2"]


def test_what_cannot_be_searched_for_is_said(store: Store, town: Town) -> None:
    for query in (
        CallQuery(after="!"),
        CallQuery(outcome="won"),
        CallQuery(outcome="talked,won"),
        CallQuery(kind="sos,"),
        CallQuery(kind="x"),
        CallQuery(flat="\0"),
    ):
        with pytest.raises(Invalid):
            search_calls(store, SYSTEM, query)
    with pytest.raises(Forbidden):
        search_calls(store, within(1, right=Right.HOUSING_VIEW), CallQuery())
