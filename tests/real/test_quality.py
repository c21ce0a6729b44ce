"""Quality calls on a real Asterisk: a flat's handset is called through its panel, which a visitor never notices."""

from __future__ import annotations

import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from actors.quality_files import directions
from crm.quality.campaigns import find_flat
from crm.quality.results import results
from crm.quality.tasks import add_test, get_task
from crm.store import Store
from crm.values.quality import Result, TaskState
from crm.values.records import CallRecord, EntryKind, Outcome
from testbed.dispatch import dispatch_calls, open_dispatch
from testbed.processes import ProcessFailed
from testbed.sipp import Sipp, SippResult, open_phone, wait_for
from testbed.town_bed import RunningNode, TownBed, moment, open_node, visiting
from tests.real.test_sos_call_back import NUMBER, sos

PANEL, FLAT, ADDRESS = "500001", "2", "Челябинск, ул. Ленина 5, 2"
PROMPTS = [f"sound:teledom/quality-{name}" for name in ("hello", "again", "bye")]


class Crm:
    """What the command line would do, in the node's own database."""

    def __init__(self, node: RunningNode) -> None:
        self.store = Store(f"sqlite:///{node.database}")
        self.flat_id = find_flat(self.store, ADDRESS)

    def test(self) -> int:
        return add_test(self.store, self.flat_id, time.time())

    def state(self, task_id: int) -> TaskState:
        task = get_task(self.store, task_id)
        assert task is not None
        return task.state

    async def until(self, task_id: int, state: TaskState, within_s: float = 10) -> None:
        with trio.move_on_after(within_s):
            while self.state(task_id) is not state:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.05)
            return
        raise ProcessFailed(f"the task is {self.state(task_id)}, and not {state}")

    async def result(self, within_s: float = 40) -> Result:
        """The flat's first result."""
        with trio.move_on_after(within_s):
            while True:
                if found := results(self.store, flat_id=self.flat_id):
                    return found[-1]
                await trio.sleep(0.05)
        raise ProcessFailed(f"no result within {within_s:g} s")


@asynccontextmanager
async def checking(
    place: TownBed, folder: Path, **panel: Any
) -> AsyncIterator[tuple[RunningNode, Crm, Sipp]]:
    """A node and a panel that is registered; `panel` as for open_phone."""
    async with open_node(place, folder) as node, open_phone(place.bed, place.panel(PANEL), **panel) as phone:
        yield node, Crm(node), phone


def prompts(call: CallRecord) -> list[object]:
    return [entry.data["media"] for entry in call.entries if entry.kind is EntryKind.PROMPT]


def of_kind(calls: list[CallRecord], kind: str) -> list[CallRecord]:
    return [call for call in calls if call.kind == kind]


async def test_a_flats_handset_is_called_hears_two_prompts_and_is_judged(
    place: TownBed, tmp_path: Path
) -> None:
    async with checking(place, tmp_path) as (node, crm, panel):
        task_id = crm.test()
        invite = await wait_for(panel, "INVITE")
        result = await crm.result()
        await crm.until(task_id, TaskState.DONE)
        (call,) = await node.calls(1)
        await wait_for(panel, "BYE")

    assert invite.start_line.startswith(f"INVITE sip:{FLAT}@")
    assert not [header for header, _ in invite.headers if header.startswith("X-Kamailio")]
    assert prompts(call) == PROMPTS
    assert (call.kind, call.outcome, call.flat) == ("quality", Outcome.TALKED, FLAT)
    assert (result.call_id, result.panel, result.attempt) == (call.call_id, PANEL, 1)
    assert result.verdict == "dead", "the SIPp panel sends no sound at all"
    assert result.recording == call.recording
    recording = place.bed.recordings / call.recording
    assert call.ended_at is not None
    assert call.answered_at is not None
    with wave.open(str(directions(recording)[1])) as file:
        recorded_s = file.getnframes() / file.getframerate()
    assert recorded_s == pytest.approx(call.ended_at - call.answered_at, abs=1), "silence is recorded, too"
    for name in (recording, recording.with_suffix(".svg"), recording.with_suffix(".png")):
        assert name.stat().st_size > 1000, name


STAGES = ["it rings", "the first prompt plays", "it listens"]


async def reach(stage: str, node: RunningNode, panel: Sipp) -> None:
    match stage:
        case "it rings":
            await wait_for(panel, "INVITE")
        case "the first prompt plays":
            await node.noted(EntryKind.PROMPT, media=PROMPTS[0])
            await trio.sleep(0.5)
        case _:
            await node.noted(EntryKind.PROMPT, media=PROMPTS[0], within_s=20)
            await trio.sleep(8)


def given_up_at(panel: Sipp) -> float:
    """When the panel was told that the quality call is over."""
    return moment(panel, lambda message: not message.sent and message.method in ("CANCEL", "BYE"))


@pytest.mark.parametrize("stage", STAGES)
async def test_a_visitor_ends_a_quality_call_and_is_put_through_as_ever(
    place: TownBed, tmp_path: Path, stage: str
) -> None:
    ring_ms = 5000 if stage == "it rings" else 100
    (account, *_) = place.accounts(PANEL, FLAT)
    async with (
        checking(place, tmp_path, ring_ms=ring_ms) as (node, crm, panel),
        open_phone(place.bed, account, talk_ms=300) as phone,
    ):
        task_id = crm.test()
        await reach(stage, node, panel)
        async with visiting(place, PANEL, FLAT) as visit:
            await wait_for(phone, "INVITE", within_s=3)
            await crm.until(task_id, TaskState.WAITING)
        pressed = moment(visit.sipp, lambda message: message.sent and message.method == "INVITE")
        calls = await node.calls(2)

    assert visit.result.final_code == 200
    assert given_up_at(panel) - pressed < 1.0
    (visitor,), (quality,) = of_kind(calls, "visitor"), of_kind(calls, "quality")
    assert visitor.outcome is Outcome.TALKED
    assert quality.outcome is Outcome.PREEMPTED


@pytest.mark.parametrize("stage", STAGES)
async def test_112_ends_a_quality_call(place: TownBed, tmp_path: Path, stage: str) -> None:
    ring_ms = 5000 if stage == "it rings" else 100
    async with (
        checking(place, tmp_path, ring_ms=ring_ms) as (node, crm, panel),
        open_dispatch(place.bed, "dispatch-1") as dispatch,
    ):
        task_id = crm.test()
        await reach(stage, node, panel)
        async with visiting(place, PANEL, "112") as visit:
            await wait_for(dispatch, "INVITE", within_s=2)
            await crm.until(task_id, TaskState.WAITING)
        pressed = moment(visit.sipp, lambda message: message.sent and message.method == "INVITE")

    assert visit.result.final_code == 200
    assert given_up_at(panel) - pressed < 1.0


@pytest.mark.parametrize("stage", STAGES)
async def test_a_call_back_of_112_ends_a_quality_call(place: TownBed, tmp_path: Path, stage: str) -> None:
    ring_ms = 2000 if stage == "it rings" else 100
    async with checking(place, tmp_path, ring_ms=ring_ms) as (node, crm, panel):
        await sos(place, node)
        await trio.sleep(0.3)
        task_id = crm.test()
        await reach(stage, node, panel)
        back: list[SippResult] = []

        async def call_back() -> None:
            back.append(await dispatch_calls(place.bed, "dispatch-1", NUMBER, talk_ms=300))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call_back)
            await crm.until(task_id, TaskState.WAITING)
        calls = await node.calls(3)

    assert back[0].final_code == 200
    assert [call.outcome for call in of_kind(calls, "quality")] == [Outcome.PREEMPTED]
    assert [call.outcome for call in of_kind(calls, "call_back")] == [Outcome.TALKED]


@pytest.mark.parametrize(
    ("panel", "verdict", "cause"),
    [
        ({"refuses_with": 486}, "busy", 17),
        ({"refuses_with": 480}, "nobody_answered", 19),
        ({"ring_ms": 30_000}, "nobody_answered", None),
        ({"asleep": True}, "unreachable", 1),
    ],
    ids=["busy", "not available", "nobody lifts", "not registered"],
)
async def test_a_call_that_is_not_answered_says_so(
    place: TownBed, tmp_path: Path, panel: dict[str, Any], verdict: str, cause: int | None
) -> None:
    async with checking(place, tmp_path, **panel) as (node, crm, _):
        crm.test()
        result = await crm.result()
        (call,) = await node.calls(1)

    assert (result.verdict, result.recording) == (verdict, "")
    assert call.answered_at is None
    assert cause is None or call.legs[0].cause == cause


async def test_a_handset_that_is_hung_up_at_once_is_unknown(place: TownBed, tmp_path: Path) -> None:
    async with checking(place, tmp_path, talk_ms=700) as (node, crm, _):
        crm.test()
        result = await crm.result()
        (call,) = await node.calls(1)

    assert prompts(call) == PROMPTS[:1]
    assert result.verdict == "unknown"


async def test_a_task_of_another_program_is_carried_too(place: TownBed, tmp_path: Path) -> None:
    bed = place.bed
    variables = {
        "SIP_ACC": f"sip:{PANEL}@teledom",
        "FLAT_NUM": FLAT,
        "DOMOPHONE": place.town.panel(PANEL).mac,
        "TASK_ID": "4711",
        "TYPE": "1",
    }
    entry = {"endpoint": "Local/start_call@obzvon_domophonov/n", "context": "elsewhere", "extension": "s"}
    async with (
        checking(place, tmp_path) as (node, crm, _),
        httpx.AsyncClient(base_url=bed.ari_url, auth=(bed.ari_user, bed.ari_password)) as ari,
    ):
        (await ari.post("/channels", params=entry, json={"variables": variables})).raise_for_status()
        result = await crm.result()
        (call,) = await node.calls(1)

    assert (result.task_id, result.campaign_id, result.kind.value) == (None, None, 1)
    assert prompts(call) == PROMPTS
