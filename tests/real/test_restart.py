"""A node that is killed: talks go on, phones are rung again, and nothing is orphaned when the next one comes."""

from __future__ import annotations

from pathlib import Path

import trio

from crm.values.records import EntryKind, Outcome
from testbed.audio import heard, measure
from testbed.baresip import open_baresip
from testbed.node_process import open_process
from testbed.sipp import Sipp, open_phone, wait_for
from testbed.town_bed import (
    TownBed,
    kinds,
    legs,
    saved_calls,
    visiting,
)

PANEL, FLAT = "500001", "1"
NOTHING_ORPHANED_S = 10


async def _bridged(place: TownBed) -> None:
    with trio.fail_after(10):
        while not any(each.endswith("-bridge") for each in await place.left_over()):  # noqa: ASYNC110
            await trio.sleep(0.02)


async def _invited(phone: Sipp, number: int) -> None:
    with trio.fail_after(10):
        while sum(message.method == "INVITE" for message in phone.messages) < number:  # noqa: ASYNC110
            await trio.sleep(0.02)


async def test_a_talk_goes_on_through_a_killed_node_and_ends_as_it_should(
    place: TownBed, tmp_path: Path
) -> None:
    answering, other = place.accounts(PANEL, FLAT)
    async with (
        open_process(place, tmp_path) as child,
        open_baresip(place.bed, place.panel(PANEL), tone=440, register=False) as panel,
        open_baresip(place.bed, answering, tone=1000) as phone,
        open_phone(place.bed, other, ring_ms=20_000) as late,
    ):
        await panel.dial(FLAT)
        await phone.wait_event("CALL_INCOMING")
        await phone.accept()
        await panel.wait_event("CALL_ESTABLISHED")
        await _bridged(place)
        await wait_for(late, "CANCEL")
        await trio.sleep(0.3)  # the journal's file is written every 20 ms
        await child.kill()
        await trio.sleep(0.5)  # the sound that is measured
        await child.start()
        await phone.send_digits("5")
        assert (await panel.wait_event("CALL_DTMF_START")).data["param"] == "5"
        await trio.sleep(0.5)
        await panel.hangup()
        await phone.wait_event("CALL_CLOSED")
        await place.nothing_left()
        (record,) = await saved_calls(tmp_path / "node.db", 1)

    assert heard(panel.heard_files()[-1], 1000, at_least_s=1.2)
    assert heard(phone.heard_files()[-1], 440, at_least_s=1.2)
    assert measure(panel.heard_files()[-1]).heard_s > 1.2
    assert record.outcome is Outcome.TALKED
    assert record.answered_by == answering.user
    assert EntryKind.RECOVERED in kinds(record)
    assert kinds(record)[0] is EntryKind.BUTTON
    assert record.door_at is not None
    assert record.flat == FLAT
    assert all(leg.end is not None for leg in record.legs)


async def test_phones_that_rang_when_the_node_was_killed_are_rung_again(
    place: TownBed, tmp_path: Path
) -> None:
    accounts = place.accounts(PANEL, FLAT)
    async with (
        open_process(place, tmp_path) as child,
        open_phone(place.bed, *accounts, ring_ms=3000) as phone,
    ):
        async with visiting(place, PANEL, FLAT) as visit:
            await _invited(phone, 2)
            await trio.sleep(0.3)  # the journal's file is written every 20 ms
            await child.kill()
            await child.start()
            await _invited(phone, 4)
        (record,) = await saved_calls(tmp_path / "node.db", 1)
        await place.nothing_left()

    assert visit.result.final_code == 200
    assert record.outcome is Outcome.TALKED
    assert EntryKind.RECOVERED in kinds(record)
    assert len(record.legs) == 5  # the panel's, and each account's twice
    assert len({leg.channel for leg in record.legs}) == 5
    assert all(leg.end is not None for leg in record.legs)


async def test_what_is_nobodys_after_a_killed_node_is_gone_in_time_and_its_calls_are_closed_as_lost(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_process(place, tmp_path) as child,
        open_phone(place.bed, *place.accounts(PANEL, FLAT), ring_ms=20_000) as ringing,
        open_phone(place.bed, *place.accounts(PANEL, "2")) as talking,
    ):
        async with visiting(place, PANEL, FLAT, give_up_ms=1200):
            await _invited(ringing, 2)
            await trio.sleep(0.3)  # the journal's file is written every 20 ms
            await child.kill()
        # The visitor has gone, the phones still ring.
        assert [each for each in await place.left_over() if "-acc-" in each]
        await child.start()
        await place.nothing_left(within_s=NOTHING_ORPHANED_S)
        await wait_for(ringing, "CANCEL")
        (lost,) = await saved_calls(tmp_path / "node.db", 1)

        async with visiting(place, PANEL, "2", talk_ms=1000):
            await _bridged(place)
            await trio.sleep(0.3)
            await child.kill()
        assert not any(message.method == "BYE" for message in talking.messages)
        await child.start()
        await place.nothing_left(within_s=NOTHING_ORPHANED_S)
        await wait_for(talking, "BYE")
        _, talk = await saved_calls(tmp_path / "node.db", 2)

    assert lost.outcome is Outcome.LOST
    assert talk.outcome is Outcome.LOST
    assert legs(talk)
    assert all(record.ended_at is not None for record in (lost, talk))
    assert all(leg.end is not None for record in (lost, talk) for leg in record.legs)


async def test_a_node_that_is_stopped_gives_every_call_back(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_process(place, tmp_path) as child,
        open_phone(place.bed, *place.accounts(PANEL, FLAT), ring_ms=20_000) as phone,
    ):
        async with visiting(place, PANEL, FLAT):
            await _invited(phone, 2)
            await child.stop()
            await place.nothing_left()
            await wait_for(phone, "CANCEL")
        (record,) = await saved_calls(tmp_path / "node.db", 1)

    assert record.outcome is Outcome.STOPPED
