"""Calls over the API."""

from __future__ import annotations

from crm.calls.calls import save_calls
from crm.rights import Reach, Right
from crm.store import Store
from tests.crm.calls.test_timeline import talk
from tests.crm.houses import Houses
from tests.crm.web.recorded import RecordedNodes
from tests.crm.web.site import TestSite

ID = "9f3a12cd34ef5678"


def test_a_call_is_given_with_its_legs_and_why_phones_did_not_ring(site: TestSite, store: Store) -> None:
    save_calls(store, [talk()])

    call = site.token().get(f"/api/v1/calls/{ID}").json()

    assert (call["outcome"], call["talked_s"], call["started_at"]) == ("talked", 18.4, "2026-09-21T14:13:20Z")
    assert [leg["end"] for leg in call["legs"]] == [
        *("dropped", "answered_elsewhere", "hung_up", "unreachable", "busy")
    ]
    assert call["accounts"][2] == {
        "account": "7388001",
        "phones": "",
        "tone": "act",
        "text": "push refused, the token is dead (UNREGISTERED), never registered",
    }
    assert call["events"][0]["text"] == "button: panel 500001 calls 42"


def test_calls_are_listed_in_parts(site: TestSite, store: Store) -> None:
    for n in range(5):
        record = talk()
        record.call_id = f"c{n}"
        save_calls(store, [record])
    api = site.token()

    first = api.get("/api/v1/calls?limit=3&outcome=talked&door=true").json()
    rest = api.get(f"/api/v1/calls?limit=3&outcome=talked&door=true&after={first['next']}").json()

    assert [each["id"] for each in first["items"] + rest["items"]] == ["c4", "c3", "c2", "c1", "c0"]
    assert rest["next"] is None
    assert api.get("/api/v1/calls?started_to=2026-09-21T14:13:20Z").json()["items"] == []
    assert len(api.get("/api/v1/calls?started_from=2026-09-21T14:13:20Z").json()["items"]) == 5


def test_a_filter_that_there_is_not_is_an_error(site: TestSite) -> None:
    for wrong in ("colour=red", "outcome=won", "after=!", "kind=party"):
        answer = site.token().get(f"/api/v1/calls?{wrong}")
        assert answer.status_code == 422, wrong
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_sees_no_further_than_its_houses(site: TestSite, store: Store, houses: Houses) -> None:
    mine, other = houses.house("5"), houses.house("7")
    record = talk()
    record.flat_id, record.recording = houses.flat(mine, "42"), "a.wav"
    save_calls(store, [record])
    rights = [Right.CALLS_VIEW, Right.CALLS_LISTEN]

    there, elsewhere = (site.token(rights, Reach(houses=frozenset({each}))) for each in (mine, other))

    assert [each["id"] for each in there.get("/api/v1/calls").json()["items"]] == [ID]
    assert elsewhere.get("/api/v1/calls").json()["items"] == []
    assert elsewhere.get(f"/api/v1/calls/{ID}").status_code == 404
    assert elsewhere.get(f"/api/v1/calls/{ID}/recording").status_code == 404
    assert site.token([Right.HOUSING_VIEW]).get("/api/v1/calls").status_code == 403


def test_a_recording_comes_from_its_node(site: TestSite, store: Store) -> None:
    record = talk()
    record.recording = "a.wav"
    save_calls(store, [record])
    nodes = RecordedNodes({"a.wav": b"RIFF"})
    site.app.state.site.parts["nodes"] = nodes
    api = site.token()

    answer = api.get(f"/api/v1/calls/{ID}/recording")

    assert (answer.content, answer.headers["content-type"]) == (b"RIFF", "audio/wav")
    assert site.token([Right.CALLS_VIEW]).get(f"/api/v1/calls/{ID}/recording").status_code == 403
    assert api.get("/api/v1/calls/none/recording").status_code == 404
