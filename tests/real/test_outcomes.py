"""Calls that nobody answers, each in its own way: the record, what the panel hears, and the code that it gets.

Several outcomes share a SIP code, as there are fewer codes than outcomes; the Q.850 cause beside it tells them apart.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from attrs import field, frozen

from actors.talk import REFUSALS
from config import Ringing
from crm.values.records import CallRecord, EntryKind, LegEnd, Outcome
from testbed.audio import likeness
from testbed.baresip import open_baresip
from testbed.prompts import SOUNDS
from testbed.sipp import open_phone
from testbed.town_bed import TownBed, Visit, kinds, legs, moment, open_node, visiting

PANEL = "500001"


@frozen
class Case:
    """A call of 500001 that comes to nothing. `refusals`: what the flat's phones say, one code each; 0 rings on."""

    outcome: Outcome
    code: int
    cause: int
    dialled: str = "1"
    refusals: tuple[int, ...] = ()
    ends: frozenset[LegEnd] = frozenset()
    changes: tuple[str, ...] = ()
    call: dict[str, float] = field(factory=dict)


CASES = {
    "a panel that is not in the CRM": Case(
        Outcome.UNKNOWN_PANEL,
        403,
        21,
        changes=(f"UPDATE domophones SET active = 0 WHERE sip_user = '{PANEL}'",),
    ),
    "a flat that is not behind the panel": Case(Outcome.UNKNOWN_FLAT, 404, 1, dialled="77"),
    "a blocked flat": Case(Outcome.BLOCKED, 501, 29, dialled="3"),
    "a flat without accounts": Case(Outcome.NO_ACCOUNTS, 480, 20, dialled="4"),
    "phones that do not answer": Case(
        Outcome.NOBODY_ANSWERED, 408, 18, refusals=(480, 480), ends=frozenset({LegEnd.NO_ANSWER})
    ),
    "phones that are busy": Case(
        Outcome.DECLINED, 486, 17, refusals=(486, 600), ends=frozenset({LegEnd.BUSY})
    ),
    "a busy and a declining phone": Case(
        Outcome.DECLINED, 486, 17, refusals=(486, 603), ends=frozenset({LegEnd.BUSY, LegEnd.DECLINED})
    ),
    "a declining phone and one that fails": Case(
        Outcome.NOBODY_ANSWERED,
        408,
        18,
        refusals=(603, 500),
        ends=frozenset({LegEnd.DECLINED, LegEnd.FAILED}),
    ),
    "phones that ring until the time is over": Case(
        Outcome.RING_TIMEOUT,
        480,
        19,
        refusals=(0, 0),
        ends=frozenset({LegEnd.CANCELLED}),
        call={"ring_s": 1},
    ),
}


async def _call(place: TownBed, folder: Path, case: Case, **call: object) -> tuple[Visit, CallRecord]:
    async with AsyncExitStack() as stack:
        settings = {"language": "en", **case.call, **call}
        running = await stack.enter_async_context(
            open_node(place, folder, changes=case.changes, call=settings)
        )
        if case.refusals:
            for account, code in zip(place.accounts(PANEL, case.dialled), case.refusals, strict=True):
                phone = open_phone(place.bed, account, refuses_with=code, ring_ms=100 if code else 20_000)
                await stack.enter_async_context(phone)
        async with visiting(place, PANEL, case.dialled) as visit:
            pass
        return visit, await running.call()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_each_way_of_coming_to_nothing_has_its_record_sound_and_cause(
    place: TownBed, tmp_path: Path, case: Case
) -> None:
    visit, record = await _call(place, tmp_path, case)

    assert record.outcome is case.outcome
    assert record.entries[0].kind is EntryKind.BUTTON
    assert record.entries[-1].kind is EntryKind.END
    assert {leg.end for leg in legs(record).values()} == case.ends
    played = [str(entry.data["media"]) for entry in record.entries if entry.kind is EntryKind.PROMPT]
    assert played[0] == f"sound:teledom/{REFUSALS[case.outcome].prompt}"
    final = [message for message in visit.result.got("INVITE") if message.code >= 300][-1]
    assert final.code == case.code
    assert f"Q.850;cause={case.cause}" in final.header("Reason")


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_the_visitor_hears_the_prompt_of_the_outcome_and_no_other(
    place: TownBed, tmp_path: Path, language: str
) -> None:
    async with (
        open_node(place, tmp_path, call={"language": language}) as running,
        open_baresip(place.bed, place.panel(PANEL), tone=440, register=False) as panel,
    ):
        await panel.dial("3")
        await panel.wait_event("CALL_CLOSED")
        assert (await running.call()).outcome is Outcome.BLOCKED

    (recording,) = panel.heard_files()
    alike = {prompt: likeness(recording, prompt.read_bytes()) for prompt in SOUNDS.glob("*/teledom/*.alaw")}
    heard = max(alike, key=alike.__getitem__)
    assert heard == SOUNDS / language / "teledom/blocked.alaw"
    assert alike[heard] > 0.9


@pytest.mark.parametrize(
    ("prompt", "heard"), [("declined", "declined"), ("not-there", "blocked")], ids=["its own", "missing"]
)
async def test_a_kind_of_block_is_heard_by_its_own_prompt(
    place: TownBed, tmp_path: Path, prompt: str, heard: str
) -> None:
    case = Case(
        Outcome.BLOCKED,
        501,
        29,
        dialled="3",
        changes=(f"UPDATE block_kinds SET prompt = '{prompt}' WHERE code = 'debt'",),
    )
    visit, record = await _call(place, tmp_path, case)

    assert record.outcome is Outcome.BLOCKED
    played = [str(entry.data["media"]) for entry in record.entries if entry.kind is EntryKind.PROMPT]
    assert (played[0], played[-1]) == (f"sound:teledom/{prompt}", f"sound:teledom/{heard}")
    assert visit.result.final_code == 501


async def test_every_outcome_has_a_prompt_and_a_cause_of_its_own() -> None:
    outcomes = {case.outcome for case in CASES.values()}

    assert len({REFUSALS[outcome].prompt for outcome in outcomes}) == len(outcomes)
    assert len({REFUSALS[outcome].cause for outcome in outcomes}) == len(outcomes)


async def test_a_prompt_takes_the_place_of_the_ring_tone_of_a_panel_that_wants_183(
    place: TownBed, tmp_path: Path
) -> None:
    visit, record = await _call(place, tmp_path, CASES["phones that are busy"], ringing=Ringing.PROGRESS_183)

    assert record.outcome is Outcome.DECLINED
    assert visit.result.final_code == 486


async def test_a_flat_whose_door_is_open_is_let_in_by_the_panels_own_digit_and_nobody_is_rung(
    place: TownBed, tmp_path: Path
) -> None:
    (account,) = place.accounts(PANEL, "5")
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, account) as phone,
        open_baresip(place.bed, place.panel(PANEL), tone=440, register=False) as panel,
    ):
        await panel.dial("5")
        assert (await panel.wait_event("CALL_DTMF_START")).data["param"] == "5"
        await panel.wait_event("CALL_CLOSED")
        record = await running.call()
        assert not phone.messages

    assert record.outcome is Outcome.AUTO_OPENED
    assert record.door_at is not None
    door = next(entry for entry in record.entries if entry.kind is EntryKind.DOOR)
    assert door.data == {"digit": "5", "by": "auto-open"}
    assert EntryKind.INVITE not in kinds(record)


async def test_the_ring_time_ends_the_ringing(place: TownBed, tmp_path: Path) -> None:
    account, other = place.accounts(PANEL, "1")
    async with (
        open_node(place, tmp_path, call={"ring_s": 1.5}) as running,
        open_phone(place.bed, account, other, ring_ms=20_000) as phone,
    ):
        async with visiting(place, PANEL, "1") as visit:
            pass
        record = await running.call()
        rang = moment(visit.sipp, lambda m: m.code == 180)
        cancelled = moment(phone, lambda m: not m.sent and m.method == "CANCEL")

    assert 1.2 < cancelled - rang < 2.2
    assert record.outcome is Outcome.RING_TIMEOUT
    assert record.entries[-1].data["by"] == "limit"


async def test_a_talk_ends_at_its_limit(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path, call={"talk_s": 1}) as running,
        open_phone(place.bed, *place.accounts(PANEL, "2")) as phone,
    ):
        async with visiting(place, PANEL, "2", talk_ms=20_000) as visit:
            pass
        record = await running.call()
        answered = moment(visit.sipp, lambda m: m.code == 200)
        ended = [moment(sipp, lambda m: not m.sent and m.method == "BYE") for sipp in (visit.sipp, phone)]

    assert all(0.8 < at - answered < 2 for at in ended)
    assert record.outcome is Outcome.TALKED
    assert record.entries[-1].data["by"] == "limit"
    assert {leg.end for leg in record.legs} == {LegEnd.DROPPED}
