"""Pushes by webhook, against a real gateway on the loopback: what arrives, and what never waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import trio
from attrs import evolve
from structlog.testing import capture_logs

from config import PushConfig
from telephony.push.interface import NoPush, Push, PushKind, PushResult
from telephony.push.webhook import Webhook
from testbed.gateway import GatewayPush, Mode, PushGateway, open_gateway

FAST = PushConfig(coalesce_ms=5.0, deadline_s=0.5)


class Results(list[PushResult]):
    """Takes results; waits for as many as are expected."""

    async def wait(self, count: int) -> Results:
        with trio.fail_after(8):
            while len(self) < count:  # noqa: ASYNC110 - the callback is the provider's, synchronous
                await trio.sleep(0.002)
        return self

    @property
    def reasons(self) -> list[str]:
        return [result.why for result in self]


def ring(phone: int = 1, call: str = "td-1", ring_s: float = 30.0) -> Push:
    return Push(
        kind=PushKind.RING,
        call_id=call,
        phone_id=phone,
        account=f"account{phone}",
        platform="fcm",
        bundle="ru.operator.app",
        token=f"token{phone}",
        panel="panel1",
        mac="aabbccddeeff",
        address="Тула, ул. Мира, 5",
        flat="17",
        expires_at=trio.current_time() + ring_s,
    )


def cancel(phone: int = 1, call: str = "td-1") -> Push:
    return evolve(ring(phone, call), kind=PushKind.CANCEL, reason="answered_elsewhere")


@asynccontextmanager
async def pushing(
    gateway: PushGateway, config: PushConfig = FAST, *, started: bool = True
) -> AsyncIterator[tuple[Webhook, trio.Nursery]]:
    """A provider that posts to `gateway`; not yet running with `started=False`."""
    async with open_gateway(gateway) as url, trio.open_nursery() as nursery:
        provider = Webhook(evolve(config, url=url))
        if started:
            await nursery.start(provider.run)
        yield provider, nursery
        nursery.cancel_scope.cancel()


async def free_url() -> str:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    return f"http://127.0.0.1:{port}/push"


async def test_a_push_arrives_with_everything_that_a_phone_needs() -> None:
    gateway = PushGateway(token="secret")
    results = Results()
    async with pushing(gateway, evolve(FAST, token="secret")) as (provider, _):
        provider.send([ring(1), ring(2)], results.append)
        await results.wait(2)
        provider.send([cancel(2)], results.append)
        await results.wait(3)
    assert all(result.accepted for result in results)
    assert all(0 < result.took_ms < 500 for result in results)
    first, _, last = gateway.pushes
    assert (first.kind, first.call, first.phone, first.account) == ("ring", "td-1", 1, "account1")
    assert (first.platform, first.bundle, first.token) == ("fcm", "ru.operator.app", "token1")
    assert first.panel.sip_user == "panel1"
    assert first.panel.mac == "aabbccddeeff"
    assert first.panel.address == "Тула, ул. Мира, 5"
    assert first.flat == "17"
    assert first.ring_s == pytest.approx(30, abs=0.5)
    assert (last.kind, last.phone, last.reason, last.ring_s) == ("cancel", 2, "answered_elsewhere", None)
    assert len({push.id for push in gateway.pushes}) == 3


async def test_pushes_of_several_calls_go_in_one_post_over_one_connection() -> None:
    gateway = PushGateway()
    results = Results()
    async with pushing(gateway, evolve(FAST, coalesce_ms=30)) as (provider, _):
        for round_ in range(3):
            for call in range(5):
                provider.send([ring(phone, f"td-{round_}-{call}") for phone in range(4)], results.append)
            await results.wait(20 * (round_ + 1))
        assert gateway.connections == 1
    assert gateway.posts == 3


async def test_a_post_carries_no_more_than_a_batch() -> None:
    gateway = PushGateway()
    results = Results()
    async with pushing(gateway, evolve(FAST, batch=10)) as (provider, _):
        provider.send([ring(phone) for phone in range(25)], results.append)
        await results.wait(25)
    assert gateway.posts == 3


async def test_a_dead_token_is_refused_alone_and_says_why() -> None:
    gateway = PushGateway(refuse=lambda push: "UNREGISTERED" if push.phone == 2 else "")
    results = Results()
    async with pushing(gateway) as (provider, _):
        provider.send([ring(1), ring(2), ring(3)], results.append)
        await results.wait(3)
    assert [result.accepted for result in results] == [True, False, True]
    assert results[1].why == "the gateway: UNREGISTERED"


async def test_a_cancel_drops_its_ring_while_that_is_queued() -> None:
    gateway = PushGateway()
    results = Results()
    async with pushing(gateway) as (provider, _):
        provider.send([ring(1), ring(2), ring(1, "td-2")], results.append)
        provider.send([cancel(1)], results.append)
        await results.wait(4)
    assert [(push.call, push.phone) for push in gateway.pushes] == [("td-1", 2), ("td-2", 1)]
    assert results.reasons[:2] == ["not sent: the call was over first", "not sent: its ring push never was"]


async def test_a_cancel_never_overtakes_its_ring() -> None:
    gateway = PushGateway(delay_s=0.2)
    results = Results()
    async with pushing(gateway) as (provider, _):
        provider.send([ring(1)], results.append)
        await trio.sleep(0.05)
        gateway.delay_s = 0
        provider.send([cancel(1)], results.append)
        await results.wait(2)
    assert [push.kind for push in gateway.pushes] == ["ring", "cancel"]
    assert [result.accepted for result in results] == [True, True]


async def test_a_refused_ring_needs_no_cancel_and_one_of_unknown_fate_does() -> None:
    gateway = PushGateway(delay_s=0.1, script=deque([Mode.REFUSE, Mode.HANG]))
    results = Results()
    async with pushing(gateway) as (provider, _):
        for _ in range(2):
            provider.send([ring(1)], results.append)
            await trio.sleep(0.05)
            provider.send([cancel(1)], results.append)
            await trio.sleep(0.2)
        await results.wait(4)
    assert results.reasons[:2] == ["the gateway: BadDeviceToken", "not sent: its ring push was refused"]
    assert results.reasons[2] == "no answer within 0.5 s"
    assert [push.kind for push in gateway.pushes] == ["cancel"]


async def test_a_ring_whose_time_is_over_is_not_sent() -> None:
    gateway = PushGateway()
    results = Results()
    async with pushing(gateway, evolve(FAST, coalesce_ms=50)) as (provider, _):
        provider.send([ring(1, ring_s=0.01), ring(2)], results.append)
        await results.wait(2)
    assert [push.phone for push in gateway.pushes] == [2]
    assert results.reasons == ["too late", ""]


@pytest.mark.parametrize("mode", [Mode.UNAVAILABLE, Mode.CLOSE, Mode.TOO_MANY])
async def test_a_passing_failure_is_tried_once_more(mode: Mode) -> None:
    gateway = PushGateway(script=deque([mode]), retry_after="0")
    results = Results()
    async with pushing(gateway) as (provider, _):
        with capture_logs() as logs:
            provider.send([ring(1)], results.append)
            await results.wait(1)
    assert results[0].accepted
    assert gateway.posts == 2
    assert logs == []


async def test_the_second_attempt_leaves_out_a_call_that_was_over_meanwhile() -> None:
    gateway = PushGateway(script=deque([Mode.UNAVAILABLE]))
    results = Results()
    async with pushing(gateway) as (provider, _):
        provider.send([ring(1), ring(2)], results.append)
        await trio.sleep(0.04)
        provider.send([cancel(1)], results.append)
        await results.wait(3)
    assert sorted((push.kind, push.phone) for push in gateway.pushes) == [("cancel", 1), ("ring", 2)]


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (Mode.UNAVAILABLE, "the gateway answered 503"),
        (Mode.CLOSE, "the connection broke"),
        (Mode.HANG, "no answer within 0.5 s"),
        (Mode.GARBAGE, "wrong shape"),
        (Mode.WRONG_SHAPE, "wrong shape"),
    ],
)
async def test_a_failing_gateway_is_a_refusal_with_a_reason_said_once_until_it_works_again(
    mode: Mode, why: str
) -> None:
    gateway = PushGateway(mode=mode)
    results = Results()
    async with pushing(gateway) as (provider, _):
        with capture_logs() as logs:
            for phone in range(3):
                provider.send([ring(phone)], results.append)
                await trio.sleep(0.02)
            await results.wait(3)
            gateway.mode = Mode.ACCEPT
            provider.send([ring(9)], results.append)
            await results.wait(4)
    assert all(why in result.why for result in results[:3])
    assert results[3].accepted
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert logs[1]["pushes_lost"] == 3


async def test_a_wrong_token_says_which_setting_to_look_at() -> None:
    results = Results()
    async with pushing(PushGateway(token="right"), evolve(FAST, token="wrong")) as (provider, _):
        provider.send([ring(1)], results.append)
        await results.wait(1)
    assert results.reasons == ["the gateway answered 401: check TELEDOM_PUSH_TOKEN"]


async def test_a_push_that_the_answer_does_not_name_is_refused() -> None:
    results = Results()
    async with pushing(PushGateway(mode=Mode.SILENT_ON_SOME)) as (provider, _):
        provider.send([ring(1), ring(2)], results.append)
        await results.wait(2)
    assert results.reasons == ["", "the gateway's answer does not name this push"]


async def test_a_gateway_that_asks_for_a_short_pause_gets_it_and_one_that_asks_for_a_long_one_does_not() -> (
    None
):
    gateway = PushGateway(script=deque([Mode.TOO_MANY]), retry_after="1")
    results = Results()
    async with pushing(gateway) as (provider, _):
        provider.send([ring(1)], results.append)
        await trio.sleep(0.1)
        provider.send([ring(2)], results.append)
        await trio.sleep(0.5)
        assert gateway.posts == 1
        await results.wait(2)
        assert all(result.accepted and result.took_ms > 850 for result in results)
        gateway.script.append(Mode.TOO_MANY)
        gateway.retry_after = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        provider.send([ring(3)], results.append)
        await results.wait(3)
    assert "asks to wait" in results.reasons[2]


async def test_a_gateway_that_is_away_costs_send_nothing_and_the_queue_is_bounded() -> None:
    gateway = PushGateway(mode=Mode.HANG)
    results = Results()
    config = evolve(FAST, queue=50, batch=10, connections=2)
    async with pushing(gateway, config) as (provider, _):
        with capture_logs() as logs:
            for _ in range(10):
                started = trio.current_time()
                provider.send([ring(phone, f"td-{started}") for phone in range(20)], results.append)
                assert trio.current_time() - started < 0.05
                await trio.sleep(0.01)
            assert results.reasons.count("not sent: queue full") == len(results) > 100
            assert gateway.connections == 2
            await results.wait(200)
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_nobody_listens_at_the_url() -> None:
    results = Results()
    async with trio.open_nursery() as nursery:
        provider = Webhook(evolve(FAST, url=await free_url()))
        await nursery.start(provider.run)
        provider.send([ring(1)], results.append)
        await results.wait(1)
        nursery.cancel_scope.cancel()
    assert results.reasons[0].startswith("cannot connect")


async def test_a_stop_still_sends_the_last_cancels_and_answers_everything() -> None:
    gateway = PushGateway()
    results = Results()
    async with pushing(gateway, evolve(FAST, coalesce_ms=5000), started=False) as (provider, nursery):
        stopped = trio.Event()

        async def run() -> None:
            with trio.CancelScope() as scope:
                nursery.start_soon(stop, scope)
                await provider.run()
            stopped.set()

        async def stop(scope: trio.CancelScope) -> None:
            await trio.sleep(0.05)
            scope.cancel()

        provider.send([cancel(1)], results.append)
        nursery.start_soon(run)
        await stopped.wait()
        assert [push.kind for push in gateway.pushes] == ["cancel"]
        assert results[0].accepted
        gateway.mode = Mode.HANG
        stopped = trio.Event()
        provider.send([ring(1), ring(2)], results.append)
        nursery.start_soon(run)
        with trio.fail_after(3):
            await stopped.wait()
        assert len(results) == 3


async def test_an_error_in_one_callback_spoils_nobody_elses_push() -> None:
    gateway = PushGateway()
    results = Results()

    def fails(result: PushResult) -> None:
        raise RuntimeError("the call is gone")

    async with pushing(gateway) as (provider, _):
        with capture_logs() as logs:
            provider.send([ring(1)], fails)
            provider.send([ring(2)], results.append)
            await results.wait(1)
    assert results[0].accepted
    assert len(logs) == 1


async def test_a_gateway_lets_a_callback_act_on_each_push() -> None:
    woken: list[int] = []

    def wake(push: GatewayPush) -> None:
        woken.append(push.phone)

    results = Results()
    async with pushing(PushGateway(on_push=wake)) as (provider, _):
        provider.send([ring(1), ring(2)], results.append)
        await results.wait(2)
    assert woken == [1, 2]


async def test_the_gateway_says_what_is_wrong_with_a_post_of_another_kind() -> None:
    async with open_gateway(PushGateway()) as url, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).status_code == 404
        answer = await client.post(url, json={"pushes": []})
    assert answer.status_code == 400
    assert "sent_at" in answer.text


async def test_a_node_without_a_gateway_answers_at_once() -> None:
    results = Results()
    NoPush().send([ring(1), ring(2)], results.append)
    assert results.reasons == ["no push gateway is set"] * 2


@pytest.mark.parametrize("url", ["gateway.example/push", "ftp://gateway/", "http://", "http://a:port/"])
def test_a_url_that_cannot_be_posted_to_is_named(url: str) -> None:
    with pytest.raises(ValueError, match=r"push\.url"):
        Webhook(PushConfig(url=url))


def test_a_token_is_not_shown() -> None:
    shown: Callable[[object], str] = repr
    assert "geheim" not in shown(PushConfig(token="geheim"))
