"""112 on a real Asterisk: the city's dispatch is called from a lent number, over whatever trunk gets there."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from crm.sos.leases import find_leases
from crm.store import Store
from crm.values.records import CallRecord, EntryKind, Outcome
from crm.values.sos import Lease, Why
from testbed.dispatch import open_dispatch
from testbed.pidf import sent_location
from testbed.sipp import SipMessage, Sipp, open_phone, wait_for
from testbed.town_bed import RunningNode, TownBed, moment, open_node, visiting

PANEL, KOPEYSK = "500001", "500006"
CHEL_1, DISPATCH_NUMBER = "+73512000001", "112"
NUMBERS = (
    "UPDATE sos_numbers SET fias = 'elsewhere' WHERE number <> '+73512000001'"  # one is left for Chelyabinsk
)
ROUNDS: Mapping[str, Any] = {"pause_s": 0.2}


def invites(dispatch: Sipp) -> list[SipMessage]:
    """Calls that came to it: a call's later INVITEs have a tag in To."""
    got = (message for message in dispatch.messages if message.method == "INVITE" and not message.sent)
    return [message for message in got if "tag=" not in message.header("To")]


def leases(node: RunningNode) -> list[Lease]:
    """All leases, oldest first."""
    with Store(f"sqlite:///{node.database}") as store:
        return find_leases(store)[::-1]


def trunks(record: CallRecord) -> list[str]:
    """Over which trunks it was tried, in order."""
    return [leg.account for leg in record.legs if leg.role == "dispatch"]


def alarms(node: RunningNode) -> set[str]:
    return {alarm.kind.value for alarm in node.node.sos.desk.alarms()}


async def test_the_dispatch_of_the_panels_city_is_called_from_a_number_of_its_pool(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
    ):
        async with visiting(place, PANEL, "112", talk_ms=1000) as visit:
            invite = await wait_for(dispatch, "INVITE")
            (going_on,) = leases(node)
            await node.noted(EntryKind.BRIDGED)
        call = await node.call()
        await trio.sleep(0.1)
        (lease,) = leases(node)
        (row,) = node.node.sos.desk.rows()

    assert visit.result.final_code == 200
    assert row.recording == f"{node.node.config.sos.recordings}/{call.recording}"
    assert CHEL_1 in invite.header("From")
    assert CHEL_1 in invite.header("P-Asserted-Identity")
    assert invite.start_line.startswith(f"INVITE sip:{DISPATCH_NUMBER}@")
    assert invite.media("audio").split()[3] == "8", "A-law comes first"
    assert (call.kind, call.outcome, call.number) == ("sos", Outcome.TALKED, CHEL_1)
    assert (going_on.panel, going_on.number, going_on.why, going_on.ended_at) == (
        PANEL,
        CHEL_1,
        Why.FREE,
        None,
    )
    assert going_on.call_id == call.call_id
    assert lease.ended_at is not None
    assert lease.held_until == lease.ended_at + 1800

    recording = place.bed.recordings / call.recording
    with wave.open(str(recording)) as file:
        assert file.getnframes() > 0


async def test_the_lease_is_in_the_database_before_the_invite_leaves(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        visiting(place, PANEL, "SOS"),
    ):
        lent = await node.noted(EntryKind.LENT)
        (lease,) = leases(node)
        await wait_for(dispatch, "INVITE")
        came = moment(dispatch, lambda message: message.method == "INVITE")
    assert lease.number == lent.data["number"]
    assert lent.at % 86_400 <= came + 0.005


async def test_the_dispatch_is_told_where_the_panel_is(place: TownBed, tmp_path: Path) -> None:
    changes = [f"UPDATE domophones SET floor = 1, place = 'у лифта' WHERE sip_user = '{PANEL}'"]
    async with (
        open_node(place, tmp_path, changes=changes) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        visiting(place, PANEL, "112", talk_ms=100),
    ):
        location = sent_location(await wait_for(dispatch, "INVITE"))
        await node.call()
    assert location is not None
    assert location.civic == {
        "country": "RU",
        "A1": "Челябинская область",
        "A3": "Челябинск",
        "RD": "ул. Ленина",
        "HNO": "5",
        "LOC": "п. 1, у лифта",
        "FLR": "1",
    }
    assert location.point == (55.1599, 61.4026)
    assert location.method == "Manual"
    assert location.entity == f"pres:{PANEL}@teledom"


async def test_a_panel_without_a_house_is_sent_with_its_citys_default_location(
    place: TownBed, tmp_path: Path
) -> None:
    """The node's copy has no house for it; Kamailio's has, and says the city."""
    changes = [
        f"DELETE FROM domophone_entrances WHERE domophone_id = (SELECT id FROM domophones WHERE sip_user = '{PANEL}')"
    ]
    async with (
        open_node(place, tmp_path, changes=changes) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        visiting(place, PANEL, "SOS", talk_ms=100),
    ):
        location = sent_location(await wait_for(dispatch, "INVITE"))
        await node.call()
    assert location is not None
    assert location.method == "Default"
    assert location.civic == {"country": "RU", "A1": "Челябинская область", "A3": "Челябинск"}


async def test_a_city_without_a_dispatch_of_its_own_gets_the_default_one_and_an_alarm(
    place: TownBed, tmp_path: Path
) -> None:
    changes = ["UPDATE cities SET fias = '11111111-1111-1111-1111-111111111111' WHERE name = 'Челябинск'"]
    async with (
        open_node(place, tmp_path, changes=changes) as node,
        open_dispatch(place.bed, "dispatch-2") as dispatch,
        visiting(place, PANEL, "112", talk_ms=100),
    ):
        invite = await wait_for(dispatch, "INVITE")
        await node.call()
        assert "+73510000001" in invite.header("From")
        assert "city_unknown" in alarms(node)


async def test_112_ends_the_panels_own_call_and_a_blocked_flat_is_no_matter(
    place: TownBed, tmp_path: Path
) -> None:
    changes = [
        "INSERT INTO flat_blocks (flat_id, kind, \"from\", reason) SELECT id, 'debt', 0, '' FROM flats"
    ]
    changes += ["DELETE FROM flat_blocks WHERE flat_id = (SELECT min(id) FROM flats)"]
    async with (
        open_node(place, tmp_path, changes=changes) as node,
        open_phone(place.bed, *place.accounts(PANEL, "1"), ring_ms=20_000) as phone,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        visiting(place, PANEL, "1") as visitor,
    ):
        await wait_for(phone, "INVITE")
        async with visiting(place, PANEL, "112", talk_ms=300) as sos:
            await wait_for(dispatch, "INVITE")
            await wait_for(phone, "CANCEL")
        assert sos.result.final_code == 200
        by_kind = {call.kind: call for call in await node.calls(2)}
    assert visitor.result.final_code != 200
    assert by_kind["visitor"].outcome is Outcome.PREEMPTED
    assert by_kind["sos"].outcome is Outcome.TALKED


async def test_no_kind_of_block_stops_112_whatever_it_stops(place: TownBed, tmp_path: Path) -> None:
    changes = [
        "UPDATE block_kinds SET stops_calls = 1, stops_app = 1, stops_keys = 1",
        'INSERT INTO flat_blocks (flat_id, kind, "from", reason)'
        " SELECT flats.id, block_kinds.code, 0, '' FROM flats, block_kinds",
    ]
    async with (
        open_node(place, tmp_path, changes=changes) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
    ):
        async with visiting(place, PANEL, "1"):
            pass
        async with visiting(place, PANEL, "SOS", talk_ms=300) as sos:
            await wait_for(dispatch, "INVITE")
        by_kind = {call.kind: call for call in await node.calls(2)}
    assert by_kind["visitor"].outcome is Outcome.BLOCKED
    assert by_kind["sos"].outcome is Outcome.TALKED
    assert sos.result.final_code == 200


async def test_a_second_press_goes_to_the_call_that_stands(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        visiting(place, PANEL, "112", talk_ms=10_000) as first,
    ):
        await node.noted(EntryKind.BRIDGED)
        async with visiting(place, PANEL, "112", talk_ms=500) as second:
            await node.noted(EntryKind.PRESSED_AGAIN)
            await wait_for(first.sipp, "BYE")
        assert second.result.final_code == 200
        call = await node.call()
        assert len(invites(dispatch)) == 1
    assert call.outcome is Outcome.TALKED
    assert [leg.role for leg in call.legs] == ["panel", "dispatch", "panel"]


async def test_a_second_press_while_the_dispatch_rings_is_heard_too(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_dispatch(place.bed, "dispatch-1", ring_ms=1500) as dispatch,
        visiting(place, PANEL, "112", talk_ms=10_000),
    ):
        await wait_for(dispatch, "INVITE")
        async with visiting(place, PANEL, "112", talk_ms=300) as second:
            await node.noted(EntryKind.BRIDGED)
        assert second.result.final_code == 200
        call = await node.call()
        assert len(invites(dispatch)) == 1, [m for m in dispatch.messages]
    assert call.outcome is Outcome.TALKED


async def test_a_panel_with_a_number_of_its_own_is_lent_none(place: TownBed, tmp_path: Path) -> None:
    changes = [f"UPDATE domophones SET sos_number = '+73517770001' WHERE sip_user = '{PANEL}'"]
    async with (
        open_node(place, tmp_path, changes=changes) as node,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        visiting(place, PANEL, "112", talk_ms=100),
    ):
        invite = await wait_for(dispatch, "INVITE")
        await node.call()
        assert leases(node) == []
    assert "+73517770001" in invite.header("From")


async def test_a_dry_pool_lends_its_reserve_and_then_breaks_a_guarantee_with_an_alarm(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_node(place, tmp_path, changes=[NUMBERS]) as node,
        open_dispatch(place.bed, "dispatch-1"),
    ):
        for panel in (PANEL, "500002", "500003"):
            async with visiting(place, panel, "112", talk_ms=100) as visit:
                await node.noted(EntryKind.BRIDGED)
            assert visit.result.final_code == 200
        await node.calls(3)
        found = [(lease.number, lease.why) for lease in leases(node)]
        assert {"pool_low", "guarantee_broken"} <= alarms(node)
    assert found == [(CHEL_1, Why.FREE), ("+73512000000", Why.FREE), (CHEL_1, Why.BROKEN)]


async def test_who_gives_up_is_not_called_for_any_longer(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_dispatch(place.bed, "dispatch-1", ring_ms=20_000) as dispatch,
        visiting(place, PANEL, "112", give_up_ms=700),
    ):
        await wait_for(dispatch, "INVITE")
        await wait_for(dispatch, "CANCEL")
        call = await node.call()
    assert call.outcome is Outcome.GAVE_UP
