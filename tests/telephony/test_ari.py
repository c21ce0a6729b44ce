"""Our end of ARI against the simulated Asterisk: strange messages, faults, old versions, connections that end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from config import AriConfig, AriTransport
from telephony.ari.channels import Leg
from telephony.ari.client import Ari, HandedOver
from telephony.ari.events import StasisStart
from telephony.ari.lane import Request
from testbed.simulated import Faults, Simulated, open_simulated


@define
class Ear:
    """Takes events."""

    events: list[HandedOver] = field(factory=list)
    attached: int = 0

    def on_event(self, application: str, event: HandedOver) -> None:
        self.events.append(event)

    def on_attached(self, application: str) -> None:
        self.attached += 1


@asynccontextmanager
async def attached(
    simulated: Simulated, *, wait: bool = True, password: str = "", **changes: object
) -> AsyncIterator[tuple[Ari, Ear]]:
    config = AriConfig(
        url=simulated.ari_url,
        user=simulated.user,
        password=password or simulated.password,
        reconnect_max_s=0.3,
        reconnect_min_s=0.05,
        **changes,  # type: ignore[arg-type]
    )
    ari, ear = Ari(config, ("TdCall",)), Ear()
    async with trio.open_nursery() as nursery:
        await nursery.start(ari.run_lanes)
        await nursery.start(ari.run_events, ear)
        if wait:
            await until(lambda: ari.readiness() is None)
        yield ari, ear
        nursery.cancel_scope.cancel()


async def until(true: object, within_s: float = 5.0) -> None:
    assert callable(true)
    with trio.fail_after(within_s):
        while not true():  # noqa: ASYNC110 - what is waited for is far away, in another process's state
            await trio.sleep(0.01)


async def test_strange_messages_are_counted_and_nothing_else() -> None:
    async with open_simulated() as simulated, attached(simulated, max_frame_bytes=10_000) as (ari, ear):
        simulated.inject_unknown_event()
        simulated.inject_wrong_shape()
        simulated.inject(b"this is no JSON")
        simulated.inject(b'{"no":"type"}')
        simulated.inject_oversized(20_000)
        call = simulated.press("panel1", "42")
        await until(lambda: any(isinstance(event, StasisStart) for event in ear.events))
        assert ari.malformed == 5
        assert ear.attached == 1, "the connection was given up"
        call.hangup()


async def test_replies_out_of_order_reach_who_asked() -> None:
    async with open_simulated() as simulated, attached(simulated, lanes=1) as (ari, _):
        simulated.faults.reorder = 2
        answers: list[tuple[str, int]] = []
        for path in ("channels/nobody", "asterisk/info"):
            ari.pick_lane().post(Request("GET", path), lambda r, p=path: answers.append((p, r.status_code)))  # type: ignore[misc]
        await until(lambda: len(answers) == 2)
        assert sorted(answers) == [("asterisk/info", 200), ("channels/nobody", 404)]


async def test_connection_that_ends_is_made_again_and_told() -> None:
    async with open_simulated() as simulated, attached(simulated) as (ari, ear):
        simulated.drop_sockets()
        await until(lambda: ear.attached == 2 and ari.readiness() is None)


async def test_stuck_lane_gets_no_new_calls_and_is_given_up_at_the_deadline() -> None:
    async with (
        open_simulated() as simulated,
        attached(simulated, lane_late_ms=100, request_deadline_s=0.6, reply_coalesce_ms=0.0) as (ari, _),
    ):
        stuck = ari.pick_lane()
        simulated.faults.delay_path, simulated.faults.reply_delay_s = "stuck", 30.0
        answers: list[int] = []
        stuck.post(Request("GET", "channels/stuck"), lambda reply: answers.append(reply.status_code))
        await until(lambda: stuck.late)
        assert ari.pick_lane() is not stuck
        await until(lambda: answers == [0])
        await until(lambda: stuck.ready and not stuck.late)


async def test_what_a_call_asks_while_no_lane_is_open_is_asked_when_one_is_again() -> None:
    async with open_simulated() as simulated:
        simulated.faults = Faults(booting=True)
        async with attached(simulated, wait=False) as (ari, _):
            answers: list[int] = []
            ari.pick_lane().post(
                Request("GET", "asterisk/info"), lambda reply: answers.append(reply.status_code)
            )
            assert ari.readiness() is not None
            simulated.faults = Faults()
            await until(lambda: answers == [200])


async def test_older_asterisk_is_spoken_to_over_http() -> None:
    async with open_simulated(version="22.3.0") as simulated, attached(simulated) as (ari, _):
        reply = await ari.pick_lane().ask(Request("GET", "asterisk/info"))
        assert reply.status_code == 200
        assert await ari.control.probe() is AriTransport.HTTP


async def test_asterisk_that_is_too_old_is_said_and_not_used() -> None:
    async with (
        open_simulated(version="18.20.0") as simulated,
        attached(simulated, wait=False) as (ari, _),
    ):
        await until(lambda: "18.20.0" in (ari.readiness() or ""))
        assert "20 or newer is needed" in (ari.readiness() or "")


async def test_wrong_password_names_what_to_compare() -> None:
    async with open_simulated() as simulated, attached(simulated, wait=False, password="wrong") as (ari, _):
        await until(lambda: "TELEDOM_ARI_PASSWORD" in (ari.readiness() or ""))


async def test_asterisk_that_still_boots_is_waited_for() -> None:
    async with open_simulated() as simulated:
        simulated.faults = Faults(booting=True)
        async with attached(simulated, wait=False) as (ari, _):
            await until(lambda: "still starting" in (ari.readiness() or ""))
            simulated.faults = Faults()
            await until(lambda: ari.readiness() is None)


async def test_a_tone_that_cannot_be_stopped_while_it_begins_is_stopped_then() -> None:
    async with open_simulated() as simulated, attached(simulated) as (ari, ear):
        simulated.press("panel1", "42")
        await until(lambda: any(isinstance(event, StasisStart) for event in ear.events))
        (start,) = (event for event in ear.events if isinstance(event, StasisStart))
        simulated.faults.refuse_stops = 3
        async with Leg(ari, ari.pick_lane(), start.channel.id, lambda *_: None, inbound=True) as leg:
            leg.play("tone:ring", "tone1", "ru")
            leg.stop_playing("tone1")
            await until(lambda: not simulated.world.playbacks and simulated.faults.refuse_stops == 0)
