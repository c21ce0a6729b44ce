"""The pages of calls: why a phone did not ring is said at a glance, in the reader's language."""

from __future__ import annotations

import re

import pytest

from crm.calls.calls import save_calls
from crm.calls.drawing import draw
from crm.rights import Reach, Right
from crm.search.index import Indexed, reindex
from crm.store import Store
from crm.values.records import EntryKind
from tests.crm.calls.test_timeline import note, talk
from tests.crm.houses import Houses
from tests.crm.web.recorded import RecordedNodes
from tests.crm.web.site import TestSite, plain

ID = "9f3a12cd34ef5678"


@pytest.fixture
def house(store: Store, houses: Houses) -> int:
    """A house with a flat 42, whose call is kept."""
    house = houses.house("5")
    door = houses.entrance("п. 2", house)
    houses.panel("500001", door)
    record = talk()
    record.flat_id = houses.flat(house, "42", door)
    record.recording = "visitors/a.wav"
    with store.transaction() as connection:
        reindex(connection, Indexed.HOUSE, [house])
    save_calls(store, [record])
    return house


def test_why_each_phone_rang_or_not_stands_above_all(site: TestSite, house: int) -> None:
    site.employee("john")
    text = site.browser("john").text(f"/calls/{ID}")

    for said in (
        "rang 6.0 s, talked 18.4 s, account 7351043 answered, door opened",
        "(digit 5, 7351043)",
        "7351042 android push accepted, rang 2.7 s, only 3.4 s after the call came: it slept, another phone answered",
        "7351043 no push was sent, answered after 6.1 s",
        "7388001 push refused, the token is dead (UNREGISTERED), never registered",
        "7388002 no push was sent, rang 1.1 s, busy",
        "486 7388002: is busy (SIP 486: the phone is busy)",
    ):
        assert said in text, said


def test_a_call_is_told_in_russian(site: TestSite, house: int) -> None:
    text = site.browser().text(f"/calls/{ID}")

    assert "дверь открыта" in text
    assert "7388001: так и не зарегистрировался" in text
    assert "push отклонён, токен мёртв (UNREGISTERED), телефон так и не зарегистрировался" in text
    assert not re.search(r"\b(ringing|answered|refused|talked|button|found)\b", text)


def test_the_timeline_has_a_lane_a_leg_and_a_phone(site: TestSite, house: int) -> None:
    page = site.browser().get(f"/calls/{ID}").text

    assert page.count('<g class="bar ringing"') == 4
    assert page.count('<g class="bar talking"') == 2
    assert page.count('<g class="bar pushing"') == 2
    assert page.count('<g class="bar waiting"') == 2
    assert "style=" not in page
    assert "✕ 480" in page


def test_bars_end_where_the_call_ends_and_never_outside_the_axis() -> None:
    drawing = draw(talk())

    assert [lane.label for lane in drawing.lanes] == [
        *("panel", "7351042", "phone 7", "7351043", "7388001", "phone 9", "7388002")
    ]
    ends = {
        round(lane.bars[-1].x + lane.bars[-1].width, 1)
        for lane in drawing.lanes
        if lane.label in ("panel", "7351043")
    }
    assert len(ends) == 1
    assert drawing.change_x is not None
    assert all(0 < bar.x + bar.width < drawing.width for lane in drawing.lanes for bar in lane.bars)
    places = [x for x, _ in drawing.ticks]
    assert places == sorted(set(places))


def test_no_mark_stands_on_a_bars_text() -> None:
    record = talk()
    note(record, 0.01, EntryKind.PROMPT, media="tone:ring")

    for lane in draw(record).lanes:
        for bar in lane.bars:
            if bar.text:
                assert bar.x + 7 <= bar.text_x < bar.x + bar.width
                assert all(not 0 <= bar.text_x - mark.x < 9 for mark in lane.marks), (lane.label, bar)


def test_a_strangers_text_is_no_markup(site: TestSite, store: Store) -> None:
    record = talk()
    record.address = "<script>alert(1)</script>"
    record.entries[4].data["why"] = "<img src=x>"
    save_calls(store, [record])

    page = site.browser().get(f"/calls/{ID}").text

    assert "<script>alert" not in page
    assert "<img" not in page


def test_the_list_is_filtered_by_the_address_line(site: TestSite, house: int) -> None:
    browser = site.browser()

    for found in (
        "?address=ленина 5, 42",
        "?panel=500001&door=yes",
        f"?house_id={house}",
        "?account=7388002",
    ):
        assert "Ленина 5, п. 2" in browser.text(f"/calls{found}"), found
    for other in ("?address=мира", "?flat=43", "?door=no", "?outcome=failed", "?from=2030-01-01T00:00"):
        assert "Ленина 5, п. 2" not in browser.text(f"/calls{other}"), other
    assert "<html" not in browser.get("/calls", **{"hx-request": "true", "hx-target": "list"}).text


def test_what_is_wrong_with_a_filter_is_said(site: TestSite, house: int) -> None:
    for wrong in ("?from=yesterday", "?house_id=x", "?door=perhaps", "?after=!"):
        assert 'class="errors"' in site.browser().get(f"/calls{wrong}").text, wrong


def test_calls_go_into_a_file(site: TestSite, house: int) -> None:
    lines = site.browser().get("/calls.csv?flat=42").text.splitlines()

    assert len(lines) == 2
    assert ID in lines[1]
    assert "18.4" in lines[1]


def test_who_may_not_see_the_house_sees_no_call_of_it(site: TestSite, house: int, houses: Houses) -> None:
    site.employee(
        "manager", [Right.CALLS_VIEW, Right.CALLS_LISTEN], Reach(houses=frozenset({houses.house("7")}))
    )
    site.employee("nobody", [Right.HOUSING_VIEW])
    manager = site.browser("manager")

    assert "Ленина 5" not in manager.text("/calls")
    assert ID not in manager.get("/calls.csv").text
    assert manager.get(f"/calls/{ID}").status_code == 404
    assert manager.get(f"/calls/{ID}/recording").status_code == 404
    assert site.browser("nobody").get("/calls").status_code == 403


def test_a_recording_is_played_to_who_may_listen(site: TestSite, house: int) -> None:
    nodes = RecordedNodes({"visitors/a.wav": b"RIFF"})
    site.app.state.site.parts["nodes"] = nodes
    site.employee("deaf", [Right.CALLS_VIEW])
    browser = site.browser()

    part = browser.get(f"/calls/{ID}/recording", range="bytes=1-2")

    assert f'src="/calls/{ID}/recording"' in browser.get(f"/calls/{ID}").text
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"IF", "bytes 1-2/4")
    assert browser.get(f"/calls/{ID}/recording").content == b"RIFF"
    assert nodes.asked[0] == ("visitors/a.wav", "node1", "bytes=1-2")
    deaf = site.browser("deaf")
    assert "<audio" not in deaf.get(f"/calls/{ID}").text
    assert deaf.get(f"/calls/{ID}/recording").status_code == 403


def test_a_call_that_no_phone_rang_says_why(site: TestSite, store: Store) -> None:
    record = talk()
    record.legs, record.entries = record.legs[:1], record.entries[:1]
    save_calls(store, [record])

    assert "Ни один телефон не звонил" in plain(site.browser().get(f"/calls/{ID}").text)
