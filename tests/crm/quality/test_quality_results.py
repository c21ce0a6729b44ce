"""Results of quality calls: the history, each flat's last verdict, what is purged, and the grid of a house."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import attrs
import pytest

from crm.quality.campaigns import campaigns, set_state
from crm.quality.grid import LOOKS, draw, look
from crm.quality.results import (
    GridFlat,
    HouseGrid,
    LastVerdict,
    NoSuchHouse,
    call_json,
    house_grid,
    last_verdicts,
    purge_results,
    result_lines,
    results,
    save_result,
)
from crm.quality.tasks import add_test, get_task
from crm.store import Store
from crm.values.quality import CallType, CampaignState, Result
from tests.crm.houses import Houses
from tests.crm.quality.test_quality_tasks import NOW, call, campaign, due, home, the_task

DAY = 86_400.0
SVG = "{http://www.w3.org/2000/svg}"


def found(flat: int | None, verdict: str, at: float = NOW, **more: object) -> Result:
    made = Result(flat_id=flat, kind=CallType.PLANNED, verdict=verdict, started_at=at - 20, ended_at=at)
    return attrs.evolve(made, **more)  # type: ignore[arg-type]


def test_a_result_is_kept_whole_the_newest_of_a_flat_first(store: Store, houses: Houses) -> None:
    (flat,) = home(houses, 1)
    measures = json.dumps([{"name": "snr", "value": 12.5}])
    whole = found(
        *(flat, "noisy", NOW + 9),
        confidence=0.9,
        why="hum\0",
        measures=measures,
        line="on_hook",
        line_level=512.0,
        recording="a.wav",
        picture="a.svg",
        call_id="c1",
        panel="500001",
        attempt=2,
    )
    save_result(store, whole)
    save_result(store, found(flat, "good"))
    assert results(store, flat_id=flat) == [attrs.evolve(whole, why="hum�"), found(flat, "good")]
    assert results(store, flat_id=flat, limit=1)[0].verdict == "noisy"


def test_the_last_verdict_is_that_of_the_last_call_that_said_something(store: Store, houses: Houses) -> None:
    flat, other = home(houses, 2)
    (task,) = due(store, campaign(store))
    house = task.house_id
    assert last_verdicts(store, house) == {}
    for verdict, at, stands in (
        ("busy", 0, "busy"),
        ("unknown", 5, "unknown"),
        ("weak", 9, "weak"),
        ("nobody_answered", 20, "weak"),
        ("good", 30, "good"),
        ("dead", 25, "good"),  # written late
    ):
        id = save_result(store, found(flat, verdict, NOW + at))
        last = last_verdicts(store, house)[flat]
        assert last.verdict == stands
    assert last.at == NOW + 30
    assert last.result_id < id
    assert other not in last_verdicts(store, house)


def test_a_result_of_a_flat_that_is_not_known_is_kept_as_well(store: Store, houses: Houses) -> None:
    save_result(store, found(None, "good"))
    save_result(store, found(4711, "good"))
    assert len(results(store, flat_id=4711)) == 1


def test_old_results_go_but_for_a_flats_last_verdict_and_campaigns_that_are_over_go_too(
    store: Store, houses: Houses
) -> None:
    flat, other = home(houses, 2)
    old, running = campaign(store), campaign(store)
    (task,) = due(store, old)
    call(store, task, "weak")
    save_result(store, found(flat, "busy"))
    save_result(store, found(other, "good"))
    save_result(store, found(other, "good", NOW + DAY))
    set_state(store, old, CampaignState.STOPPED, NOW)
    test = add_test(store, flat, NOW)
    call(store, the_task(store, test), "weak", NOW)
    assert purge_results(store, NOW + 1) == 3
    assert [each.verdict for each in results(store, flat_id=flat)] == ["weak"]
    assert [each.ended_at for each in results(store, flat_id=other)] == [NOW + DAY]
    assert [each.id for each, _ in campaigns(store)] == [running]
    assert get_task(store, task.id) is None
    assert get_task(store, test) is None


# --- told ----------------------------------------------------------------------------------------------------------


def test_a_call_is_told_with_its_measures_and_their_thresholds(store: Store, houses: Houses) -> None:
    home(houses, 1)
    (task,) = due(store, campaign(store))
    measures = [
        {"name": "snr", "value": 9.123456, "unit": "dB", "threshold": 15.0, "well": False},
        {"name": "loss", "value": None, "unit": "%", "threshold": 1.0, "well": None},
    ]
    result = found(
        task.flat_id,
        "noisy",
        confidence=0.87,
        why="hum",
        measures=json.dumps(measures),
        line="on_hook",
        line_level=12.0,
    )
    row = call_json(attrs.evolve(task, verdict="noisy"), result)
    assert row["measures"] == measures
    assert json.dumps(row)
    lines = result_lines(row)
    assert lines[:3] == [
        "Челябинск, ул. Ленина 5, п. 1, flat 1",
        "noisy, confidence 0.87: hum",
        "line test: on_hook, level 12",
    ]
    assert [line.split() for line in lines[3:]] == [
        ["MEASURE", "VALUE", "THRESHOLD", "UNIT"],
        ["snr", "9.123", "15", "dB", "not", "well"],
        ["loss", "-", "1", "%", "not", "known"],
    ]


def test_a_call_without_a_result_is_told_as_well(store: Store, houses: Houses) -> None:
    home(houses, 1)
    (task,) = due(store, campaign(store))
    ended = attrs.evolve(task, verdict="unknown", why="a fault")
    assert result_lines(call_json(ended, None))[1:] == ["unknown: a fault"]


# --- the grid ------------------------------------------------------------------------------------------------------


def test_a_house_has_each_flat_once_at_its_own_entrance_with_its_last_verdict(
    store: Store, houses: Houses
) -> None:
    five, seven = houses.house("5"), houses.house("7")
    gate, door = houses.entrance("ворота", five, seven), houses.entrance("п. 1", five)
    houses.panel("a", door)
    one, two, three = houses.flat(five, "1", gate, door), houses.flat(five, "2", gate), houses.flat(five, "3")
    houses.flat(seven, "1", gate)
    id = save_result(store, found(one, "dead"))
    assert house_grid(store, five) == HouseGrid(
        "Челябинск, ул. Ленина 5",
        (
            GridFlat(one, "1", None, "п. 1", LastVerdict(one, "dead", NOW, id)),
            GridFlat(two, "2", None, "ворота", None),
            GridFlat(three, "3", None, "", None),
        ),
    )
    with pytest.raises(NoSuchHouse, match="no house 999"):
        house_grid(store, 999)


def grid(*flats: tuple[str, int | None, str, str]) -> ElementTree.Element:
    made = [
        GridFlat(n, number, floor, entrance, LastVerdict(n, verdict, NOW, n) if verdict else None)
        for n, (number, floor, entrance, verdict) in enumerate(flats)
    ]
    return ElementTree.fromstring(draw(HouseGrid("Ленина <5> & Co\x07", tuple(made))))


def places(drawn: ElementTree.Element) -> dict[str, tuple[float, float, str, str]]:
    """Of each flat's cell: x, y, colour, sign."""
    found = {}
    for cell in drawn.iter(f"{SVG}g"):
        box, (number, sign) = cell.find(f"{SVG}rect"), [each.text or "" for each in cell.iter(f"{SVG}text")]
        assert box is not None
        found[number] = (float(box.attrib["x"]), float(box.attrib["y"]), box.attrib["fill"], sign)
    return found


def test_floors_go_up_and_entrances_and_flats_stand_side_by_side() -> None:
    cells = places(
        grid(
            ("10", 2, "п. 1", ""),
            ("2", 1, "п. 1", ""),
            ("1", 1, "п. 1", ""),
            ("20", 1, "п. 10", ""),
            ("12", 1, "п. 2", ""),
        )
    )
    assert cells["10"][1] < cells["1"][1] == cells["2"][1] == cells["20"][1]
    assert cells["1"][0] < cells["2"][0] < cells["12"][0] < cells["20"][0]
    assert cells["10"][0] == cells["1"][0]


def test_every_verdict_has_a_colour_and_a_sign_of_its_own_and_a_line_in_the_legend() -> None:
    names = [*LOOKS]
    drawn = grid(*((str(n), 1, "п. 1", verdict) for n, verdict in enumerate(names)))
    signs = [places(drawn)[str(n)][3] for n in range(len(names))]
    assert len(set(signs)) == len(names)
    assert [places(drawn)[str(n)][2] for n in range(len(names))] == [LOOKS[name].colour for name in names]
    words = [each.text for each in drawn.iter(f"{SVG}text")]
    assert all(f"{LOOKS[name].name}: 1" in words for name in names)
    assert look("what another program wrote") is LOOKS["unknown"]


def test_what_a_stranger_wrote_stands_in_it_as_text() -> None:
    drawn = grid(("<b>1", None, "\"'&<п>", "weak"))
    words = [each.text for each in drawn.iter(f"{SVG}text")]
    assert words[0] == "Ленина <5> & Co·"
    assert "<b>1" in words
    assert [(each.text or "")[:14] for each in drawn.iter(f"{SVG}title")] == ["<b>1: weak, 20"]


def test_a_house_without_flats_is_a_picture_as_well() -> None:
    assert places(grid()) == {}
