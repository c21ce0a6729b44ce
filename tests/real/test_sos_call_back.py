"""112 calls back: the call reaches the panel that had the number last, whatever goes on there."""

from __future__ import annotations

from pathlib import Path

import trio

from config import Strangers
from crm.values.records import CallRecord, EntryKind, Outcome
from testbed.baresip import open_baresip
from testbed.dispatch import dispatch_calls, open_dispatch
from testbed.sipp import SippResult, open_phone, wait_for
from testbed.town_bed import RunningNode, TownBed, open_node, visiting
from tests.real.test_sos import leases

PANEL, NUMBER = "500001", "+73512000001"


async def sos(place: TownBed, node: RunningNode, panel: str = PANEL) -> None:
    """A 112 call from the panel, to its end."""
    before = len([e for _, e in node.entries if e.kind is EntryKind.END])
    async with open_dispatch(place.bed, "dispatch-1"), visiting(place, panel, "112", talk_ms=100) as visit:
        pass
    assert visit.result.final_code == 200
    await node.noted(EntryKind.END, number=before + 1)


async def finished(node: RunningNode, number: int) -> list[CallRecord]:
    """The call-backs among the first `number` calls."""
    return [call for call in await node.calls(number) if call.kind == "call_back"]


def rang(result: SippResult) -> bool:
    return any(message.code == 180 for message in result.messages)


async def test_a_call_back_reaches_the_panel_and_extends_its_lease(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_phone(place.bed, place.panel(PANEL)) as panel,
        open_phone(place.bed, place.panel("500002")) as other,
    ):
        await sos(place, node)
        (before,) = leases(node)
        await trio.sleep(0.2)
        result = await dispatch_calls(place.bed, "dispatch-1", NUMBER, talk_ms=500)
        invite = await wait_for(panel, "INVITE")
        (call,) = await finished(node, 2)
        await trio.sleep(0.2)
        (after,) = leases(node)
        assert not [message for message in other.messages if message.method == "INVITE"]

    assert result.final_code == 200
    assert rang(result)
    assert invite.header("Priority") == "psap-callback"
    assert (call.panel, call.number, call.outcome) == (PANEL, NUMBER, Outcome.TALKED)
    assert call.address == "Челябинск, ул. Ленина 5, п. 1"
    assert before.held_until is not None
    assert after.held_until is not None
    assert (after.id, after.held_until > before.held_until) == (before.id, True)
    assert (place.bed.recordings / call.recording).exists()


async def test_both_ends_of_a_call_back_hear_each_other(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_baresip(place.bed, place.panel(PANEL), tone=440) as panel,
        open_dispatch(place.bed, "dispatch-1"),
    ):
        await panel.dial("112")
        await panel.wait_event("CALL_ESTABLISHED")
        await panel.hangup()
        await panel.wait_event("CALL_CLOSED")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dispatch_calls, place.bed, "dispatch-1", NUMBER)
            await panel.wait_event("CALL_INCOMING")
            await panel.accept()
            await panel.wait_event("CALL_ESTABLISHED")
        (call,) = await finished(node, 2)
    assert call.outcome is Outcome.TALKED


async def test_three_call_backs_in_a_row_work_as_one_does(place: TownBed, tmp_path: Path) -> None:
    async with open_node(place, tmp_path) as node, open_phone(place.bed, place.panel(PANEL)):
        await sos(place, node)
        for _ in range(3):
            result = await dispatch_calls(place.bed, "dispatch-1", NUMBER, talk_ms=200)
            assert result.final_code == 200
        calls = await finished(node, 4)
        await trio.sleep(0.2)
        (lease,) = leases(node)
    assert [call.outcome for call in calls] == [Outcome.TALKED] * 3
    assert lease.ended_at is not None
    assert lease.ended_at >= calls[-1].started_at


async def test_a_call_back_ends_a_visitors_call_at_that_panel(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_phone(place.bed, place.panel(PANEL)) as panel,
        open_phone(place.bed, *place.accounts(PANEL, "1"), ring_ms=20_000) as phone,
    ):
        await sos(place, node)
        async with visiting(place, PANEL, "1") as visitor:
            await wait_for(phone, "INVITE")
            result = await dispatch_calls(place.bed, "dispatch-1", NUMBER, talk_ms=200)
            await wait_for(phone, "CANCEL")
        await wait_for(panel, "INVITE")
        outcomes = {call.kind: call.outcome for call in await node.calls(3)}
    assert result.final_code == 200
    assert visitor.result.final_code != 200
    assert outcomes == {"sos": Outcome.TALKED, "visitor": Outcome.PREEMPTED, "call_back": Outcome.TALKED}


async def test_a_panel_that_is_busy_is_called_again(place: TownBed, tmp_path: Path) -> None:
    async with open_node(place, tmp_path) as node:
        await sos(place, node)
        async with trio.open_nursery() as nursery:
            results: list[SippResult] = []

            async def call_back() -> None:
                results.append(await dispatch_calls(place.bed, "dispatch-1", NUMBER, talk_ms=200))

            async with open_phone(place.bed, place.panel(PANEL), refuses_with=486) as panel:
                nursery.start_soon(call_back)
                await wait_for(panel, "INVITE")
            async with open_phone(place.bed, place.panel(PANEL)) as panel:
                await wait_for(panel, "INVITE")
                await node.noted(EntryKind.BRIDGED, number=2)
                (call,) = await finished(node, 2)
    assert results[0].final_code == 200
    assert call.outcome is Outcome.TALKED


async def test_sos_ends_a_call_back_and_nothing_else_does(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_phone(place.bed, place.panel(PANEL), ring_ms=20_000) as panel,
        open_dispatch(place.bed, "dispatch-1") as dispatch,
        trio.open_nursery() as nursery,
    ):
        async with visiting(place, PANEL, "112", talk_ms=100):
            pass
        await node.call()
        nursery.start_soon(lambda: dispatch_calls(place.bed, "dispatch-1", NUMBER))
        await wait_for(panel, "INVITE")
        async with visiting(place, PANEL, "1") as visitor:
            pass
        assert visitor.result.final_code == 486
        async with visiting(place, PANEL, "112", talk_ms=100) as again:
            await wait_for(panel, "CANCEL")
        assert again.result.final_code == 200
        outcomes = [(call.kind, call.outcome) for call in await node.calls(3)]
        assert [message.method for message in dispatch.messages].count("INVITE") >= 2
    assert ("call_back", Outcome.PREEMPTED) in outcomes
    assert [each for each in outcomes if each[0] == "sos"] == [("sos", Outcome.TALKED)] * 2


async def test_while_112_is_on_the_line_a_call_back_goes_to_the_duty_desk(
    place: TownBed, tmp_path: Path
) -> None:
    duty = place.account("7351388")
    async with (
        open_node(place, tmp_path, duty={"account": f"{duty.user}@teledom"}) as node,
        open_phone(place.bed, place.panel(PANEL)) as panel,
        open_phone(place.bed, duty) as desk,
        open_dispatch(place.bed, "dispatch-1"),
        visiting(place, PANEL, "112", talk_ms=2500) as visit,
    ):
        await node.noted(EntryKind.BRIDGED)
        result = await dispatch_calls(place.bed, "dispatch-1", NUMBER, talk_ms=200)
        await wait_for(desk, "INVITE")
        assert not [message for message in panel.messages if message.method == "INVITE"]
    assert result.final_code == 200
    assert visit.result.final_code == 200


async def test_who_is_no_dispatch_gets_the_duty_desk_or_the_panel_as_it_is_set(
    place: TownBed, tmp_path: Path
) -> None:
    duty, stranger = place.account("7351388"), "+79991234567"
    for number, setting in enumerate(("duty", "panel")):
        folder = tmp_path / setting
        folder.mkdir()
        async with (
            open_node(
                place,
                folder,
                duty={"account": f"{duty.user}@teledom"},
                sos={"strangers": Strangers(setting)},
            ) as node,
            open_phone(place.bed, place.panel(PANEL)) as panel,
            open_phone(place.bed, duty) as desk,
        ):
            await sos(place, node)
            result = await dispatch_calls(place.bed, "dispatch-1", NUMBER, caller=stranger, talk_ms=200)
            invite = await wait_for((desk, panel)[number], "INVITE")
            assert not [m for m in (panel, desk)[number].messages if m.method == "INVITE"]
            assert invite.header("Priority") == ""
            await finished(node, 2)
        assert result.final_code == 200


async def test_a_number_that_nobody_had_goes_to_the_duty_desk(place: TownBed, tmp_path: Path) -> None:
    duty = place.account("7351388")
    async with (
        open_node(place, tmp_path, duty={"account": f"{duty.user}@teledom"}) as node,
        open_phone(place.bed, duty) as desk,
    ):
        for number in ("+73512000004", "+79990000000"):
            result = await dispatch_calls(place.bed, "dispatch-1", number, talk_ms=200)
            assert result.final_code == 200
        await wait_for(desk, "INVITE")
        calls = await finished(node, 2)
    assert [call.panel for call in calls] == ["", ""]


async def test_a_panels_own_number_is_called_back(place: TownBed, tmp_path: Path) -> None:
    changes = [f"UPDATE domophones SET sos_number = '+73517770001' WHERE sip_user = '{PANEL}'"]
    async with (
        open_node(place, tmp_path, changes=changes) as node,
        open_phone(place.bed, place.panel(PANEL)) as panel,
    ):
        result = await dispatch_calls(place.bed, "dispatch-1", "83517770001", talk_ms=200)
        await wait_for(panel, "INVITE")
        await finished(node, 1)
    assert result.final_code == 200
