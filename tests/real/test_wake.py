"""A phone that sleeps: its push wakes it, it registers, and rings at once."""

from __future__ import annotations

from pathlib import Path

import trio

from crm.values.records import EntryKind, LegEnd, Outcome
from testbed.gateway import GatewayPush, PushGateway, open_gateway
from testbed.sipp import open_phone, register, wait_for
from testbed.town_bed import TownBed, legs, moment, open_node, visiting

PANEL, FLAT = "500002", "42"


async def test_a_sleeping_phone_registers_when_its_push_comes_and_rings_within_a_second(
    place: TownBed, tmp_path: Path
) -> None:
    awake, asleep = place.accounts(PANEL, FLAT)
    pushed = trio.Event()

    def on_push(push: GatewayPush) -> None:
        if push.kind == "ring" and push.account == asleep.user:
            pushed.set()

    gateway = PushGateway(on_push=on_push)
    async with (
        open_gateway(gateway) as url,
        open_node(place, tmp_path, push={"url": url}) as running,
        open_phone(place.bed, awake, ring_ms=20_000) as ringing,
        open_phone(place.bed, asleep, asleep=True) as woken,
    ):
        async with visiting(place, PANEL, FLAT):
            await wait_for(ringing, "INVITE")
            with trio.fail_after(5):
                await pushed.wait()
            assert not woken.messages
            await register(place.bed, [asleep], woken.port)
            registered_at = trio.current_time()
            await wait_for(woken, "INVITE", within_s=1)
            took_s = trio.current_time() - registered_at
        record = await running.call()
        push = next(each for each in gateway.pushes if each.kind == "ring" and each.account == asleep.user)
        cancels = [each.account for each in gateway.pushes if each.kind == "cancel"]

    assert took_s < 1
    assert record.outcome is Outcome.TALKED
    assert record.answered_by == asleep.user
    assert legs(record)[awake.user].end is LegEnd.ANSWERED_ELSEWHERE
    assert (push.call, push.flat, push.panel.sip_user) == (record.call_id, "42", PANEL)
    assert "Ленина 5" in push.panel.address
    assert push.ring_s is not None
    assert 25 < push.ring_s <= 30
    assert cancels == [awake.user]
    accepted = [e.data["account"] for e in record.entries if e.kind is EntryKind.PUSH_ACCEPTED]
    assert asleep.user in accepted


async def test_a_phone_that_never_wakes_is_unreachable_and_the_others_are_not_kept_waiting(
    place: TownBed, tmp_path: Path
) -> None:
    awake, asleep = place.accounts(PANEL, FLAT)
    async with (
        open_node(place, tmp_path, call={"ring_s": 2}) as running,
        open_phone(place.bed, awake, ring_ms=20_000) as phone,
    ):
        async with visiting(place, PANEL, FLAT) as visit:
            await wait_for(phone, "INVITE")
        record = await running.call()
        pressed = moment(visit.sipp, lambda m: m.sent and m.header("CSeq") == "2 INVITE")
        invited = moment(phone, lambda m: m.method == "INVITE")

    assert invited - pressed < 1
    assert record.outcome is Outcome.RING_TIMEOUT
    ends = {account: leg.end for account, leg in legs(record).items()}
    assert ends == {awake.user: LegEnd.CANCELLED, asleep.user: LegEnd.CANCELLED}
    assert legs(record)[asleep.user].ringing_at is None
