"""What every vendor's panel does alike, and what only one of them does, against servers that speak their dialects."""

from __future__ import annotations

import pytest
import trio

from telephony.panels import VENDORS, open_panel
from telephony.panels.interface import (
    AnswerMeans,
    Idle,
    LineState,
    PanelAccess,
    PanelBusy,
    PanelCannot,
    PanelRefused,
    Registration,
)
from testbed.panel_dialects import BEWARD_DOOR, BEWARD_UP, SOKOL_ANSWER, SOKOL_QUIESCENT
from testbed.panel_state import PanelState
from tests.telephony.panels.panels import connected, nothing_to_pin

TESTERS = [vendor for vendor in VENDORS if vendor != "hikvision"]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_main_door_opens_once(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        await driver.open_door()
    assert panel.doors == [1]


@pytest.mark.parametrize("vendor", ["beward", "sokol", "qtech"])
async def test_the_second_door_opens(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        await driver.open_door(2)
    assert panel.doors == [2]


@pytest.mark.parametrize(
    ("vendor", "error"), [("beward", PanelCannot), ("sokol", PanelRefused), ("hikvision", PanelRefused)]
)
async def test_a_door_that_is_not_there_is_an_error_and_opens_nothing(
    vendor: str, error: type[Exception]
) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        with pytest.raises(error, match="opening door 7"):
            await driver.open_door(7)
    assert panel.doors == []


@pytest.mark.parametrize("vendor", VENDORS)
async def test_doors_are_counted_from_one(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        with pytest.raises(ValueError, match="no door 0"):
            await driver.open_door(0)
    assert panel.seen == []


@pytest.mark.parametrize("vendor", TESTERS)
@pytest.mark.parametrize("state", [LineState.ON_HOOK, LineState.OFF_HOOK])
async def test_a_handset_lies_or_is_lifted(vendor: str, state: LineState) -> None:
    panel = PanelState(vendor, lines={"16": LineState.OPEN, "17": state})
    async with connected(panel) as driver:
        assert driver.has_line_test
        assert (await driver.line_test("17")).state is state


@pytest.mark.parametrize("state", [LineState.SHORT, LineState.OPEN])
async def test_qtech_tells_a_broken_line_from_a_short_one(state: LineState) -> None:
    async with connected(PanelState("qtech", lines={"17": state})) as driver:
        test = await driver.line_test("17")
    assert (test.state, test.level) == (state, None)


@pytest.mark.parametrize("vendor", ["beward", "sokol"])
@pytest.mark.parametrize("state", [LineState.SHORT, LineState.OPEN])
async def test_a_broken_line_that_only_a_number_tells_of_stays_a_number(
    vendor: str, state: LineState
) -> None:
    async with connected(PanelState(vendor, lines={"17": state})) as driver:
        assert (await driver.line_test("17")).state is LineState.LEVEL


@pytest.mark.parametrize("vendor", ["beward", "sokol"])
async def test_a_level_is_kept_with_its_unit_and_the_panels_own_words(vendor: str) -> None:
    panel = PanelState(vendor, lines={"17": LineState.ON_HOOK}, levels={"17": 137})
    async with connected(panel) as driver:
        test = await driver.line_test("17")
    assert test.level == 137
    assert test.unit == {"beward": "", "sokol": "ohm"}[vendor]
    assert "137" in test.said


@pytest.mark.parametrize(
    ("level", "state"),
    [
        (0, LineState.LEVEL),
        (1, LineState.ON_HOOK),
        (BEWARD_UP - 1, LineState.ON_HOOK),
        (BEWARD_UP, LineState.OFF_HOOK),
        (BEWARD_DOOR - 1, LineState.OFF_HOOK),
        (BEWARD_DOOR, LineState.LEVEL),
    ],
)
async def test_bewards_level_means_what_the_panel_has_set_for_the_flat(
    level: float, state: LineState
) -> None:
    async with connected(PanelState("beward", levels={"17": level})) as driver:
        assert (await driver.line_test("17")).state is state


async def test_bewards_level_stays_a_number_where_the_panel_shows_no_bounds() -> None:
    panel = PanelState("beward", lines={"17": LineState.ON_HOOK}, tells_more=False)
    async with connected(panel) as driver:
        test = await driver.line_test("17")
    assert (test.state, test.level) == (LineState.LEVEL, 120)


@pytest.mark.parametrize(
    ("ohm", "state"),
    [
        (SOKOL_QUIESCENT, LineState.ON_HOOK),
        (SOKOL_QUIESCENT + 1000, LineState.ON_HOOK),
        (SOKOL_QUIESCENT * 3, LineState.LEVEL),
        (SOKOL_QUIESCENT - 100, LineState.LEVEL),
        (SOKOL_ANSWER + 100, LineState.LEVEL),
        (SOKOL_ANSWER, LineState.OFF_HOOK),
    ],
)
async def test_sokols_resistance_without_a_word_means_what_the_flats_levels_say(
    ohm: float, state: LineState
) -> None:
    async with connected(PanelState("sokol", levels={"17": ohm}, tells_more=False)) as driver:
        assert (await driver.line_test("17")).state is state


async def test_qtech_tests_no_line_of_a_flat_without_an_analog_number() -> None:
    panel = PanelState("qtech", lines={"0": LineState.ON_HOOK})
    async with connected(panel) as driver:
        assert (await driver.line_test("0")).state is LineState.ON_HOOK
        assert len(panel.seen) == 2
        panel.no_handset.add("0")
        assert (await driver.line_test("0")).state is LineState.UNKNOWN
    assert len(panel.seen) == 3


@pytest.mark.parametrize("vendor", TESTERS)
@pytest.mark.parametrize("flat", ["", "17a", "-1", "1/../2", "1&action=maindoor", "१७", "1234567890", " 1"])
async def test_a_flat_that_is_no_number_is_refused_before_anything_is_sent(vendor: str, flat: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        with pytest.raises(ValueError, match="a flat is a number"):
            await driver.line_test(flat)
    assert panel.connections == 0


async def test_hikvision_has_no_line_test_and_sends_nothing() -> None:
    panel = PanelState("hikvision")
    async with connected(panel) as driver:
        assert not driver.has_line_test
        with pytest.raises(PanelCannot, match="testing the line of flat 17"):
            await driver.line_test("17")
    assert panel.connections == 0


async def test_beward_in_a_call_says_that_it_is_busy() -> None:
    async with connected(PanelState("beward", in_call=True)) as driver:
        with pytest.raises(PanelBusy, match=r"\(beward\), testing the line of flat 17: it is in a call"):
            await driver.line_test("17")


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("in_call", [False, True])
async def test_only_hikvision_tells_whether_it_is_in_a_call(vendor: str, in_call: bool) -> None:
    async with connected(PanelState(vendor, in_call=in_call)) as driver:
        told = Idle.NO if in_call else Idle.YES
        assert await driver.idle() is (told if vendor == "hikvision" else Idle.NOT_TOLD)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("registered", [False, True])
async def test_all_but_hikvision_tell_whether_they_are_registered(vendor: str, registered: bool) -> None:
    async with connected(PanelState(vendor, registered=registered)) as driver:
        told = Registration.REGISTERED if registered else Registration.NOT_REGISTERED
        assert await driver.registration() is (Registration.NOT_TOLD if vendor == "hikvision" else told)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_what_a_panels_answer_to_a_call_means_is_not_claimed(vendor: str) -> None:
    async with connected(PanelState(vendor)) as driver:
        assert driver.vendor == vendor
        assert driver.answer_means is AnswerMeans.UNKNOWN


@pytest.mark.parametrize("vendor", VENDORS)
async def test_requests_share_one_connection(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        for _ in range(3):
            await driver.open_door()
    assert (panel.connections, panel.doors) == (1, [1, 1, 1])


@pytest.mark.parametrize("vendor", VENDORS)
async def test_requests_at_once_wait_for_the_one_connection(vendor: str) -> None:
    panel = PanelState(vendor, delay_s=0.02)
    async with connected(panel) as driver, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(driver.open_door)
    assert (panel.connections, panel.doors) == (1, [1, 1, 1])


async def test_a_vendor_that_nobody_knows_is_named() -> None:
    access = PanelAccess(vendor="comelit", url="http://10.1.2.3", user="admin", password="x")
    with pytest.raises(ValueError, match=r"'comelit' .* not one of beward, sokol, qtech, hikvision"):
        async with open_panel(access, deadline_s=1, on_pin=nothing_to_pin):
            pass
