"""Lists filtered by several values of a choice over the API: repeated, or with commas between them."""

from __future__ import annotations

import pytest

from crm.api.document import described, operations
from crm.calls.calls import save_calls
from crm.model import BlockKind
from crm.values.records import Outcome
from tests.crm.calls.test_timeline import talk
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite

DAY = 86_400.0


@pytest.fixture
def blocks(site: TestSite, houses: Houses) -> dict[str, int]:
    """A block of each state, by its state."""
    now = site.app.state.site.now()
    flat = houses.flat(houses.house("5"), "1")
    times = {"stands": (now - DAY, None), "to_come": (now + DAY, None), "past": (now - 2 * DAY, now - DAY)}
    return {state: houses.block(flat, BlockKind.TECHNICAL, *when) for state, when in times.items()}


@pytest.mark.parametrize(
    ("query", "states"),
    [
        ("state=stands", ["stands"]),
        ("state=stands&state=past", ["stands", "past"]),
        ("state=past,to_come", ["to_come", "past"]),
        ("state=past,to_come&state=stands", ["stands", "to_come", "past"]),
        ("state=past&state=past", ["past"]),
        ("", ["stands", "to_come", "past"]),
    ],
)
def test_what_has_one_of_the_values_is_listed(
    site: TestSite, blocks: dict[str, int], query: str, states: list[str]
) -> None:
    answer = site.token().get(f"/api/v1/flat-blocks?{query}")

    assert answer.status_code == 200, answer.text
    assert sorted(each["id"] for each in answer.json()["items"]) == sorted(blocks[each] for each in states)


def test_a_cursor_goes_on_within_the_same_values(site: TestSite, blocks: dict[str, int]) -> None:
    program, path = site.token(), "/api/v1/flat-blocks?limit=1&state=stands,past"
    first = program.get(path).json()
    second = program.get(f"{path}&after={first['next']}").json()

    found = [each["id"] for each in first["items"] + second["items"]]
    assert sorted(found) == sorted([blocks["stands"], blocks["past"]])
    assert (first["total"], second["next"]) == (2, None)


@pytest.mark.parametrize(
    "query", ["state=stands&state=gone", "state=stands,", "state=", "state=stands, past"]
)
def test_a_value_that_there_is_not_is_an_error(site: TestSite, query: str) -> None:
    answer = site.token().get(f"/api/v1/flat-blocks?{query}")

    assert answer.status_code == (200 if query == "state=" else 422), answer.text


def test_what_takes_one_value_is_given_once(site: TestSite) -> None:
    answer = site.token().get("/api/v1/flat-blocks?house_id=1&house_id=2")

    assert (answer.status_code, answer.json()["errors"]) == (400, {"house_id": "once is expected"})


def test_calls_are_filtered_alike(site: TestSite) -> None:
    records = []
    for n, outcome in enumerate((Outcome.TALKED, Outcome.GAVE_UP, Outcome.LOST)):
        record = talk()
        record.call_id, record.outcome = outcome.value, outcome
        record.started_at += n
        records.append(record)
    save_calls(site.store, records)
    program = site.token()

    def found(query: str) -> list[str]:
        return [each["id"] for each in program.get(f"/api/v1/calls?{query}").json()["items"]]

    assert found("outcome=talked&outcome=lost") == ["lost", "talked"]
    assert found("outcome=gave_up,talked&kind=visitor,sos") == ["gave_up", "talked"]
    assert found("outcome=lost&kind=quality&kind=sos") == []
    assert program.get("/api/v1/calls?outcome=talked,won").status_code == 422


def test_the_description_says_how_several_are_given(site: TestSite) -> None:
    document = described(site.app)
    found = {
        (path, each["name"]): each
        for path, method, one in operations(document)
        if method == "get"
        for each in one.get("parameters", [])
    }

    for path, name in (("flat-blocks", "state"), ("domophones", "vendor"), ("calls", "outcome")):
        parameter = found[f"/api/v1/{path}", name]
        assert "repeated or with commas" in parameter["description"]
        (example,) = parameter["examples"].values()
        assert len(example["value"]) == 2
        assert set(example["value"]) < set(parameter["description"].replace(",", " ").split())
