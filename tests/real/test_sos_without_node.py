"""112 with no node there: Asterisk and Kamailio alone bring a panel to the dispatch, and the dispatch to the panel."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest
import trio

from testbed.audio import heard
from testbed.baresip import open_baresip
from testbed.bed import Bed, Credentials, Kind, open_bed, write_credentials
from testbed.debs import Tree
from testbed.dispatch import dispatch_calls, open_dispatch, trunk_is
from testbed.sipp import SipMessage, Sipp, open_phone, panel_calls, register, wait_for
from testbed.town_bed import TownBed, moment, visiting
from tests.real.conftest import ACCOUNTS, PANELS
from tests.testbed.ari import attach

CHELYABINSK, KOPEYSK = "500001", "500005"  # panels
DUTY, *_ = ACCOUNTS


def asked(dispatch: Sipp) -> list[SipMessage]:
    return [message for message in dispatch.messages if message.method == "INVITE"]


def number(invite: SipMessage) -> tuple[str, str]:
    """The number in From and in P-Asserted-Identity."""
    first, second = (
        invite.header(name).partition("sip:")[2].partition("@")[0] for name in ("From", "P-Asserted-Identity")
    )
    return first, second


@pytest.mark.parametrize("dialled", ["112", "SOS", "sos", "*112"])
async def test_a_panels_112_call_reaches_its_citys_dispatch_from_the_citys_own_number(
    place: TownBed, dialled: str
) -> None:
    async with open_dispatch(place.bed, "dispatch-1") as dispatch:
        result = await panel_calls(place.bed, place.panel(CHELYABINSK), dialled)

    assert result.final_code == 200
    (invite,) = asked(dispatch)
    assert invite.start_line.startswith("INVITE sip:112@")
    assert number(invite) == ("+73512000000", "+73512000000")
    assert invite.header("Privacy") == ""
    assert invite.media("audio").split()[3] == "8"


async def test_another_city_has_another_dispatch_and_number(place: TownBed) -> None:
    async with open_dispatch(place.bed, "dispatch-1") as other, open_dispatch(place.bed, "dispatch-2") as its:
        result = await panel_calls(place.bed, place.panel(KOPEYSK), "112")

    assert result.final_code == 200
    assert not asked(other)
    assert number(asked(its)[0]) == ("+73513900000", "+73513900000")


async def test_an_unknown_city_is_the_default_dispatchs(bed: Bed) -> None:
    async with open_dispatch(bed, "dispatch-1") as other, open_dispatch(bed, "dispatch-2") as default:
        result = await panel_calls(bed, PANELS[0], "SOS")

    assert result.final_code == 200
    assert not asked(other)
    assert number(asked(default)[0]) == ("+73510000000", "+73510000000")


async def test_a_dispatch_that_says_nothing_is_given_up_after_four_seconds(own_place: TownBed) -> None:
    async with (
        open_dispatch(own_place.bed, "dispatch-1", silent=True) as silent,
        open_dispatch(own_place.bed, "dispatch-2") as second,
        visiting(own_place, CHELYABINSK, "112"),
    ):
        await wait_for(second, "ACK")

    def invited(message: SipMessage) -> bool:
        return message.method == "INVITE"

    assert 3.9 < moment(second, invited) - moment(silent, invited) < 5.5
    assert number(asked(second)[0])[0] == "+73512000000"


async def test_a_dispatch_that_rings_for_longer_is_waited_for(place: TownBed) -> None:
    async with (
        open_dispatch(place.bed, "dispatch-1", ring_ms=5500) as slow,
        open_dispatch(place.bed, "dispatch-2") as second,
    ):
        result = await panel_calls(place.bed, place.panel(CHELYABINSK), "112")

    assert result.final_code == 200
    assert len(asked(slow)) == 1
    assert not asked(second)


@pytest.mark.parametrize("code", [486, 500, 503, 603])
async def test_a_dispatch_that_refuses_is_followed_by_the_next_at_once(place: TownBed, code: int) -> None:
    async with (
        open_dispatch(place.bed, "dispatch-1", refuses_with=code) as first,
        open_dispatch(place.bed, "dispatch-2") as second,
    ):
        with trio.fail_after(3):
            result = await panel_calls(place.bed, place.panel(CHELYABINSK), "112")

    assert result.final_code == 200
    assert len(asked(first)) == len(asked(second)) == 1


async def test_a_trunk_with_nobody_at_its_end_is_left_out(place: TownBed) -> None:
    await trunk_is(place.bed, "dispatch-1", "offline")
    async with open_dispatch(place.bed, "dispatch-2") as second:
        with trio.fail_after(3):
            result = await panel_calls(place.bed, place.panel(CHELYABINSK), "112")

    assert result.final_code == 200
    assert len(asked(second)) == 1


async def test_a_call_goes_round_until_a_dispatch_is_free(place: TownBed) -> None:
    async with open_dispatch(place.bed, "dispatch-1", busy_first=2) as dispatch:
        result = await panel_calls(place.bed, place.panel(CHELYABINSK), "112")

    assert result.final_code == 200
    assert len(asked(dispatch)) == 3


async def test_a_panel_that_gives_up_is_given_up_at_the_dispatch(place: TownBed) -> None:
    async with open_dispatch(place.bed, "dispatch-1", ring_ms=20_000) as dispatch:
        await panel_calls(place.bed, place.panel(CHELYABINSK), "112", give_up_ms=500)
        await wait_for(dispatch, "CANCEL")


async def test_a_call_that_a_node_gives_back_goes_to_the_dispatch(place: TownBed) -> None:
    async with (
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        attach(place.bed, "TdCallSOS") as ari,
        visiting(place, CHELYABINSK, "112"),
    ):
        start = await ari.panel()
        await ari.ask("POST", f"/channels/{start['channel']['id']}/continue")
        await wait_for(dispatch, "ACK")


async def test_all_of_a_call_is_recorded(place: TownBed) -> None:
    before = set(place.bed.recordings.rglob("*.wav"))
    async with (
        open_dispatch(place.bed, "dispatch-1", talk_ms=1500) as dispatch,
        open_baresip(place.bed, place.panel(CHELYABINSK), tone=440, register=False) as panel,
    ):
        await panel.dial("112")
        await panel.wait_event("CALL_ESTABLISHED")
        await wait_for(dispatch, "BYE", code=200)
    await place.nothing_left()

    (recording,) = set(place.bed.recordings.rglob("*.wav")) - before
    assert recording.parent == place.bed.recordings / "sos"
    with wave.open(str(recording)) as sound:
        assert sound.getnframes() > sound.getframerate()
    assert heard(recording, 440)


async def test_a_call_back_reaches_the_very_panel_and_may_ring_for_longer_than_a_visitor(
    tree: Tree, tmp_path: Path
) -> None:
    panel = Credentials("panel1", "secret", Kind.PANEL, sos="112")
    other = Credentials("panel2", "secret", Kind.PANEL, sos="112")
    database = write_credentials(tmp_path / "crm.db", (panel, other))
    async with open_bed(tmp_path, tree, crm_db=database, ring_ms=1000) as bed:
        async with open_dispatch(bed, "dispatch-2"):
            assert (await panel_calls(bed, other, "112")).final_code == 200
            assert (await panel_calls(bed, panel, "112")).final_code == 200
        async with open_phone(bed, panel, ring_ms=2500) as called, open_phone(bed, other) as not_called:
            result = await dispatch_calls(bed, "dispatch-2", "+73510000000")
            recorded = sorted(bed.recordings.rglob("*.wav"))

    assert result.final_code == 200
    invite = next(message for message in called.messages if message.method == "INVITE")
    assert invite.header("Priority") == "psap-callback"
    assert invite.header("From").startswith("<sip:112@")
    assert invite.header("X-Kamailio-URI") == invite.header("X-URI-Type") == ""
    assert not any(message.method == "INVITE" for message in not_called.messages)
    assert len(recorded) == 3


async def test_a_call_back_waits_for_a_panel_that_registers_late(tree: Tree, tmp_path: Path) -> None:
    panel = Credentials("panel1", "secret", Kind.PANEL, sos="112")
    database = write_credentials(tmp_path / "crm.db", [panel])
    async with open_bed(tmp_path, tree, crm_db=database, ring_ms=1000) as bed:
        async with open_dispatch(bed, "dispatch-2"):
            assert (await panel_calls(bed, panel, "112")).final_code == 200
        codes: list[int] = []

        async def call_back() -> None:
            codes.append((await dispatch_calls(bed, "dispatch-2", "+73510000000")).final_code)

        async with open_phone(bed, panel, asleep=True) as called, trio.open_nursery() as nursery:
            nursery.start_soon(call_back)
            await trio.sleep(2.5)
            await register(bed, [panel], called.port)
            await wait_for(called, "ACK")

    assert codes == [200]


async def test_a_call_back_for_no_known_panel_rings_at_the_duty_desk(bed: Bed) -> None:
    async with open_phone(bed, DUTY) as desk:
        assert (await dispatch_calls(bed, "dispatch-1", "+73519999999")).final_code == 480
        await bed.asterisk_cli(f"dialplan set global SOS_DUTY {DUTY.user}")
        result = await dispatch_calls(bed, "dispatch-1", "+73519999999")
        await bed.asterisk_cli("dialplan set global SOS_DUTY")

    assert result.final_code == 200
    assert [m.header("Priority") for m in desk.messages if m.method == "INVITE"] == ["psap-callback"]


async def test_a_flat_112_is_still_a_flat(bed: Bed) -> None:
    async with attach(bed) as ari, trio.open_nursery() as nursery:
        nursery.start_soon(panel_calls, bed, PANELS[0], "112")
        start = await ari.panel()
        await ari.ask("DELETE", f"/channels/{start['channel']['id']}")

    assert start["args"] == [f"panel={PANELS[0].user}", "flat=112"]
