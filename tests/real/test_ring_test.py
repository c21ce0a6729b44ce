"""A flat's phones rung for a test, without a panel: who hears what, and that its record says why a phone is silent."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import trio

from crm.values.records import EntryKind, LegEnd, Outcome
from testbed.gateway import GatewayPush, PushGateway, open_gateway
from testbed.sipp import open_phone, register, wait_for
from testbed.town_bed import RunningNode, TownBed, kinds, legs, open_node, visiting

PANEL, FLAT = "500001", "1"
WAKING, WAKING_FLAT = "500002", "42"


def flat_of(running: RunningNode, account: str) -> int:
    with closing(sqlite3.connect(running.database)) as database:
        (found,) = database.execute(
            "SELECT flat_id FROM account_flats JOIN accounts ON accounts.id = account_id WHERE sip_user = ?",
            (account,),
        ).fetchone()
    return int(found)


async def ring(running: RunningNode, flat_id: int) -> str:
    async with httpx.AsyncClient(base_url=f"http://{running.node.config.node.http}") as client:
        answer = await client.post("/ring", json={"flat_id": flat_id, "who": "anna"})
    assert answer.status_code == 202
    call_id: str = answer.json()["call_id"]
    return call_id


async def test_the_first_to_answer_hears_that_all_is_well_and_the_other_is_dropped(
    place: TownBed, tmp_path: Path
) -> None:
    one, two = place.accounts(PANEL, FLAT)
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, one, ring_ms=300) as quick,
        open_phone(place.bed, two, ring_ms=20_000) as slow,
    ):
        call_id = await ring(running, flat_of(running, one.user))
        await wait_for(quick, "INVITE")
        cancel = await wait_for(slow, "CANCEL")
        began = trio.current_time()
        await wait_for(quick, "BYE")
        heard_s = trio.current_time() - began
        record = await running.call()

    assert (record.call_id, record.kind, record.outcome) == (call_id, "test_ring", Outcome.TALKED)
    assert (record.answered_by, record.flat) == (one.user, FLAT)
    assert "cause=200" in cancel.header("Reason")
    assert 3 < heard_s < 10  # the prompt is 5 s long
    prompts = [entry.data["media"] for entry in record.entries if entry.kind is EntryKind.PROMPT]
    assert prompts == ["sound:teledom/test-ring"]
    assert record.entries[0].data["by"] == "anna"
    assert legs(record)[one.user].end is LegEnd.DROPPED
    assert legs(record)[two.user].end is LegEnd.ANSWERED_ELSEWHERE


async def test_a_sleeping_phone_is_woken_by_its_push(place: TownBed, tmp_path: Path) -> None:
    _, asleep = place.accounts(WAKING, WAKING_FLAT)
    pushed = trio.Event()

    def on_push(push: GatewayPush) -> None:
        if push.kind == "ring" and push.account == asleep.user:
            pushed.set()

    async with (
        open_gateway(PushGateway(on_push=on_push)) as url,
        open_node(place, tmp_path, push={"url": url}) as running,
        open_phone(place.bed, asleep, asleep=True, talk_ms=500) as woken,
    ):
        await ring(running, flat_of(running, asleep.user))
        with trio.fail_after(5):
            await pushed.wait()
        assert not woken.messages
        await register(place.bed, [asleep], woken.port)
        await wait_for(woken, "INVITE", within_s=2)
        record = await running.call()

    assert (record.outcome, record.answered_by) == (Outcome.TALKED, asleep.user)
    assert record.entries[-1].data["by"] == asleep.user  # who hung up within the prompt
    assert EntryKind.PUSH_ACCEPTED in kinds(record)


async def test_nobody_answers_and_every_leg_says_why(place: TownBed, tmp_path: Path) -> None:
    one, two = place.accounts(PANEL, FLAT)
    async with (
        open_node(place, tmp_path, call={"ring_s": 2}) as running,
        open_phone(place.bed, one, ring_ms=20_000) as phone,
    ):
        flat_id = flat_of(running, one.user)
        call_id = await ring(running, flat_id)
        assert await ring(running, flat_id) == call_id  # one at a time
        await wait_for(phone, "CANCEL")
        record = await running.call()

    assert (record.call_id, record.outcome) == (call_id, Outcome.RING_TIMEOUT)
    assert legs(record)[one.user].ringing_at is not None
    assert legs(record)[two.user].ringing_at is None
    refused = [e.data["why"] for e in record.entries if e.kind is EntryKind.PUSH_REFUSED]
    assert set(refused) <= {"no push gateway is set"}


async def test_a_visitor_to_the_same_flat_comes_first(place: TownBed, tmp_path: Path) -> None:
    accounts = place.accounts(PANEL, FLAT)
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, *accounts, ring_ms=2000) as phone,
    ):
        await ring(running, flat_of(running, accounts[0].user))
        await wait_for(phone, "INVITE")
        async with visiting(place, PANEL, FLAT) as visit:
            pass
        test, visitor = await running.calls(2)

    assert visit.result.final_code == 200
    assert (visitor.kind, visitor.outcome) == ("visitor", Outcome.TALKED)
    assert (test.kind, test.outcome) == ("test_ring", Outcome.PREEMPTED)
    assert test.entries[-1].data["by"] == "visitor"
