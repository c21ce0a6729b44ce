"""Finished calls: saved again and again, found, and dropped when they are old."""

from __future__ import annotations

import attrs
import pytest
import sqlalchemy as sa

from crm.calls.calls import NoSuchCall, find_calls, get_call, purge, save_calls
from crm.model import table
from crm.store import Store
from crm.tables.calls import Leg
from crm.values.records import CallRecord, Entry, EntryKind, LegEnd, LegRecord, Outcome
from tests.crm.houses import Houses

T = 1_800_000_000.0


def call(call_id: str, at: float = 0.0, **fields: object) -> CallRecord:
    """A call with two legs and three entries, `at` seconds after T."""
    record = CallRecord(
        call_id=call_id,
        node="node1",
        panel="p1",
        dialled="42",
        started_at=T + at,
        address="Челябинск, ул. Ленина 5, п. 2",
        flat="42",
        flat_id=7,
        ended_at=T + at + 9.5,
        outcome=Outcome.TALKED,
        legs=[
            LegRecord("td-1-panel-1", "panel", end=LegEnd.DROPPED, cause=16),
            LegRecord("td-1-account-1", "account", "7351", T + at, end=LegEnd.BUSY, cause=17, sip_code=486),
        ],
        entries=[
            Entry(T + at, EntryKind.BUTTON, data={"panel": "p1", "dialled": "42"}),
            Entry(T + at + 0.1, EntryKind.INVITE, "td-1-account-1", {"account": "7351", "took_ms": 1.5}),
            Entry(T + at + 9.5, EntryKind.END, data={"outcome": "talked", "by": "панель"}),
        ],
    )
    return attrs.evolve(record, **fields)  # type: ignore[arg-type]


def legs(store: Store) -> int | None:
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table(Leg)))


def ids(records: list[CallRecord]) -> list[str]:
    return [record.call_id for record in records]


def test_a_call_comes_back_as_it_was_saved(store: Store) -> None:
    record = call("aa11")

    save_calls(store, [record])

    assert get_call(store, "aa11") == record


@pytest.mark.parametrize("outcome", [*Outcome, None])
def test_every_outcome_can_be_kept(store: Store, outcome: Outcome | None) -> None:
    bare = CallRecord("bare", "node1", "p1", "", T, outcome=outcome)

    save_calls(store, [bare])

    assert find_calls(store) == [bare]


def test_saving_again_replaces(store: Store) -> None:
    save_calls(store, [call("aa"), call("bb")])
    later = call("aa", answered_by="7351", legs=[LegRecord("only", "panel")])

    save_calls(store, [later, call("cc")])

    assert get_call(store, "aa") == later
    assert sorted(ids(find_calls(store))) == ["aa", "bb", "cc"]
    assert legs(store) == 5


def test_of_one_call_twice_in_a_batch_the_last_is_kept(store: Store) -> None:
    save_calls(store, [call("aa"), call("aa", answered_by="7351")])

    assert get_call(store, "aa").answered_by == "7351"
    assert legs(store) == 2


def test_nothing_of_a_batch_is_kept_when_one_call_is_refused(store: Store) -> None:
    odd = call("bb", node=None)

    with pytest.raises(sa.exc.IntegrityError):
        save_calls(store, [call("aa"), odd])

    assert find_calls(store) == []


def test_an_empty_batch_asks_nothing_of_the_database() -> None:
    with Store("sqlite:////nonexistent/folder/crm.db") as store:
        save_calls(store, [])


def test_a_strangers_text_is_kept(store: Store) -> None:
    save_calls(store, [call("aa", panel="p\0'; DROP TABLE calls; --", dialled="\x1b[2J" + "9" * 500)])

    kept = get_call(store, "aa")
    assert kept.panel == "p\N{REPLACEMENT CHARACTER}'; DROP TABLE calls; --"
    assert kept.dialled == "\x1b[2J" + "9" * 500


def test_calls_are_found_newest_first(store: Store) -> None:
    save_calls(store, [call("b", 2), call("c", 3), call("a", 1)])

    assert ids(find_calls(store)) == ["c", "b", "a"]
    assert ids(find_calls(store, limit=2)) == ["c", "b"]
    assert ids(find_calls(store, since=T + 2)) == ["c", "b"]


def test_calls_are_found_by_panel_flat_and_both(store: Store, houses: Houses) -> None:
    houses.panel("p2")
    save_calls(
        store,
        [call("a", 1), call("b", 2, panel="p2"), call("c", 3, panel="p2", flat="43", flat_id=8)],
    )

    assert ids(find_calls(store, panel="p2")) == ["c", "b"]
    assert ids(find_calls(store, panel="00:00:00:00:00:01")) == ["c", "b"]
    assert ids(find_calls(store, flat="42")) == ["b", "a"]
    assert ids(find_calls(store, flat_id=8)) == ["c"]
    assert ids(find_calls(store, panel="p2", flat="42", since=T)) == ["b"]
    assert find_calls(store, panel="p9") == []


def test_many_calls_come_with_their_own_legs(store: Store) -> None:
    save_calls(
        store, [call(f"{n:04}", n, legs=[LegRecord(f"leg-{n}", "panel")] * (n % 3)) for n in range(1200)]
    )

    found = find_calls(store, limit=2000)

    assert len(found) == 1200
    for record in found:
        n = int(record.call_id)
        assert [leg.channel for leg in record.legs] == [f"leg-{n}"] * (n % 3)


def test_a_call_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    save_calls(store, [call("9f3a00"), call("9f3b00"), call("9f3b"), call("zz")])

    assert get_call(store, "9f3a").call_id == "9f3a00"
    assert get_call(store, "9f3b").call_id == "9f3b"
    assert get_call(store, "z").call_id == "zz"


@pytest.mark.parametrize(
    ("id", "says"),
    [
        ("77", "no call has an id that begins with 77"),
        ("9f3", "several calls .*9f3a00, 9f3b00.*write more"),
        ("", "teledom calls"),
        ("ы", "teledom calls"),
        ("%", "no call"),
    ],
)
def test_an_id_of_no_call_or_of_several_is_said(store: Store, id: str, says: str) -> None:
    save_calls(store, [call("9f3a00"), call("9f3b00")])

    with pytest.raises(NoSuchCall, match=says):
        get_call(store, id)


def test_old_calls_are_dropped_with_their_legs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm.calls.calls.PURGE_CHUNK", 3)
    save_calls(store, [call(f"{n:02}", n) for n in range(10)])

    assert purge(store, T + 8) == 8

    assert ids(find_calls(store)) == ["09", "08"]
    assert legs(store) == 4
    assert purge(store, T + 8) == 0
