"""Talks: who hears whom, whose digit opens the door, who wins when two answer at once, and what is left afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from crm.values.records import CallRecord, EntryKind, LegEnd, Outcome
from testbed.audio import heard
from testbed.baresip import Digits, open_baresip
from testbed.sipp import SipMessage, Sipp, open_phone, panel_calls, wait_for
from testbed.town_bed import TownBed, legs, open_node, visiting

PANEL, FLAT = "500001", "1"
PANEL_TONE, PHONE_TONE = 440, 1000
RACES = 20
BETWEEN_DIGITS_S = (
    0.3  # a digit that comes by SIP INFO while Asterisk still sends the one before is not passed on
)


@pytest.mark.parametrize("who", ["panel", "phone"])
async def test_the_first_to_answer_talks_and_whoever_hangs_up_everything_is_given_back(
    place: TownBed, tmp_path: Path, who: str
) -> None:
    answering, other = place.accounts(PANEL, FLAT)
    async with (
        open_node(place, tmp_path) as running,
        open_baresip(place.bed, place.panel(PANEL), tone=PANEL_TONE, register=False) as panel,
        open_baresip(place.bed, answering, tone=PHONE_TONE) as phone,
        open_phone(place.bed, other, ring_ms=20_000) as late,
    ):
        await panel.dial(FLAT)
        await phone.wait_event("CALL_INCOMING")
        await wait_for(late, "INVITE")
        await phone.accept()
        cancel = await wait_for(late, "CANCEL")
        await running.noted(EntryKind.BRIDGED)
        await panel.wait_event("CALL_ESTABLISHED")
        await trio.sleep(0.8)  # the sound that is measured
        await (panel if who == "panel" else phone).hangup()
        await (phone if who == "panel" else panel).wait_event("CALL_CLOSED")
        await place.nothing_left()
        record = await running.call()

    assert heard(panel.heard_files()[-1], PHONE_TONE)
    assert heard(phone.heard_files()[-1], PANEL_TONE)
    assert cancel.header("Reason").startswith("SIP;cause=200")
    assert record.outcome is Outcome.TALKED
    assert record.answered_by == answering.user
    assert record.entries[-1].data["by"] == ("panel" if who == "panel" else answering.user)
    ends = {leg.account: leg.end for leg in record.legs}
    assert ends == {
        "": LegEnd.HUNG_UP if who == "panel" else LegEnd.DROPPED,
        answering.user: LegEnd.DROPPED if who == "panel" else LegEnd.HUNG_UP,
        other.user: LegEnd.ANSWERED_ELSEWHERE,
    }
    assert all(leg.ended_at for leg in record.legs)


@pytest.mark.parametrize("digits", list(Digits))
async def test_the_phones_digit_opens_the_door_and_the_journal_says_who_pressed(
    place: TownBed, tmp_path: Path, digits: Digits
) -> None:
    (account,) = place.accounts(PANEL, "2")
    async with (
        open_node(place, tmp_path) as running,
        open_baresip(place.bed, place.panel(PANEL), tone=PANEL_TONE, register=False) as panel,
        open_baresip(place.bed, account, tone=PHONE_TONE, digits=digits) as phone,
    ):
        await panel.dial("2")
        await phone.wait_event("CALL_INCOMING")
        await phone.accept()
        await running.noted(EntryKind.BRIDGED)
        await panel.wait_event("CALL_ESTABLISHED")
        await phone.send_digits("7")  # not one that opens this panel's door
        await running.noted(EntryKind.DTMF, digit="7", by=account.user)
        assert (await panel.wait_event("CALL_DTMF_START")).data["param"] == "7"
        await trio.sleep(BETWEEN_DIGITS_S)
        await phone.send_digits("5")
        await running.noted(EntryKind.DOOR, digit="5", by=account.user)
        assert (await panel.wait_event("CALL_DTMF_START")).data["param"] == "5"
        await panel.hangup()
        record = await running.call()

    assert record.door_at is not None
    assert [e.data["digit"] for e in record.entries if e.kind is EntryKind.DOOR] == ["5"]


async def test_a_digit_that_the_visitor_presses_opens_nothing(place: TownBed, tmp_path: Path) -> None:
    (account,) = place.accounts(PANEL, "2")
    async with (
        open_node(place, tmp_path) as running,
        open_baresip(place.bed, place.panel(PANEL), tone=PANEL_TONE, register=False) as panel,
        open_baresip(place.bed, account, tone=PHONE_TONE) as phone,
    ):
        await panel.dial("2")
        await phone.wait_event("CALL_INCOMING")
        await phone.accept()
        await running.noted(EntryKind.BRIDGED)
        await panel.wait_event("CALL_ESTABLISHED")
        await panel.send_digits("5")
        await running.noted(EntryKind.DTMF, digit="5", by="panel")
        await phone.hangup()
        record = await running.call()

    assert record.door_at is None


async def test_of_phones_that_answer_in_the_same_moment_exactly_one_talks(
    place: TownBed, tmp_path: Path
) -> None:
    accounts = place.accounts(PANEL, FLAT)
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, accounts[0], ring_ms=1) as one,
        open_phone(place.bed, accounts[1], ring_ms=1) as two,
    ):
        for number in range(1, RACES + 1):
            result = await panel_calls(place.bed, place.panel(PANEL), FLAT, talk_ms=50)
            assert result.final_code == 200
            await place.nothing_left()
            record = (await running.calls(number))[-1]
            _exactly_one_talked(record)
        winners = {record.answered_by for record in await running.calls(RACES)}
        replies = [_how_it_ended(sipp) for sipp in (one, two)]

    assert winners <= {account.user for account in accounts}
    assert all(len(each) == RACES for each in replies)
    assert {end for each in replies for end in each} <= {"BYE", "CANCEL"}


def _exactly_one_talked(record: CallRecord) -> None:
    assert record.outcome is Outcome.TALKED
    assert [e.kind for e in record.entries].count(EntryKind.BRIDGED) == 1
    ends = {account: leg.end for account, leg in legs(record).items()}
    assert ends.pop(record.answered_by) is LegEnd.DROPPED
    assert set(ends.values()) == {LegEnd.ANSWERED_ELSEWHERE}


def _how_it_ended(phone: Sipp) -> list[str]:
    """BYE or CANCEL, for each call that a phone got."""
    calls: dict[str, list[SipMessage]] = {}
    for message in phone.messages:
        if not message.sent:
            calls.setdefault(message.header("Call-ID"), []).append(message)
    return [
        next((m.method for m in messages if m.method in ("BYE", "CANCEL")), "nothing")
        for messages in calls.values()
        if messages[0].method == "INVITE"
    ]


async def test_a_phone_that_loses_after_its_answer_is_told_that_it_was_answered_elsewhere(
    place: TownBed, tmp_path: Path
) -> None:
    accounts = place.accounts("500006", "9")
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, *accounts[:2], ring_ms=1) as quick,
        open_phone(place.bed, *accounts[2:], ring_ms=20_000) as slow,
    ):
        async with visiting(place, "500006", "9"):
            cancel = await wait_for(slow, "CANCEL")
            await wait_for(quick, "BYE")
        record = await running.call()

    assert cancel.header("Reason").startswith("SIP;cause=200")
    _exactly_one_talked(record)
