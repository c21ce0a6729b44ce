"""Webhooks to the duty desk, against a real HTTP server on the loopback."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve
from structlog.testing import capture_logs
from trio.testing import MockClock

from config import DutyConfig
from telephony.duty_webhook import QUEUE, DutyWebhook
from tests.actors.duty_gateway import HANG, DutyGateway, open_duty

CONFIG = DutyConfig(deadline_s=1.0, retry_s=60.0)


@pytest.fixture
def clock(autojump_clock: MockClock) -> MockClock:
    autojump_clock.autojump_threshold = 0.02  # what goes over the loopback is there by then
    return autojump_clock


@asynccontextmanager
async def delivering(gateway: DutyGateway, config: DutyConfig = CONFIG) -> AsyncIterator[DutyWebhook]:
    async with open_duty(gateway) as url, trio.open_nursery() as nursery:
        webhook = DutyWebhook(evolve(config, url=url))
        await nursery.start(webhook.run)
        yield webhook
        nursery.cancel_scope.cancel()


def tell(webhook: DutyWebhook, call: str, *states: str) -> None:
    for state in states:
        webhook.post("call", call, {"call_id": call, "state": state})


async def until_idle(webhook: DutyWebhook) -> None:
    with trio.fail_after(3600):
        while webhook.stats.waiting:  # noqa: ASYNC110 - plain numbers for Prometheus, nobody's event
            await trio.sleep(5)


async def test_events_arrive_in_order_each_with_an_id_and_the_token(clock: MockClock) -> None:
    gateway = DutyGateway()
    async with delivering(gateway, evolve(CONFIG, token="secret")) as webhook:
        tell(webhook, "a", "calling", "ringing")
        tell(webhook, "b", "calling")
        tell(webhook, "a", "talking")
        await until_idle(webhook)
        assert (webhook.stats.sent, webhook.stats.failed, webhook.stats.waiting) == (4, 0, 0)
    assert gateway.said() == ["a calling", "a ringing", "b calling", "a talking"]
    assert len({event["id"] for event in gateway.events}) == 4
    assert gateway.headers[b"authorization"] == b"Bearer secret"
    assert gateway.headers[b"content-type"] == b"application/json"


@pytest.mark.parametrize("status", [500, 503, 408, 425, 429, HANG])
async def test_what_may_pass_is_tried_again_with_the_same_id(clock: MockClock, status: int) -> None:
    gateway = DutyGateway(script=deque([status, status]))
    async with delivering(gateway) as webhook:
        with capture_logs() as logs:
            tell(webhook, "a", "calling", "ringing")
            await until_idle(webhook)
        assert (webhook.stats.sent, webhook.stats.failed, webhook.stats.dropped) == (2, 2, 0)
    assert gateway.said() == ["a calling", "a ringing"]
    assert len({event["id"] for event in gateway.tried[:3]}) == 1
    assert [line["log_level"] for line in logs] == ["error", "info"]


@pytest.mark.parametrize(
    ("status", "hint"), [(400, "duty.url"), (401, "TELEDOM_DUTY_TOKEN"), (302, "duty.url")]
)
async def test_a_refusal_is_not_tried_again_and_says_what_to_look_at(
    clock: MockClock, status: int, hint: str
) -> None:
    gateway = DutyGateway(script=deque([status]))
    async with delivering(gateway) as webhook:
        with capture_logs() as logs:
            tell(webhook, "a", "calling", "ringing")
            await gateway.wait(1)
        assert webhook.stats.dropped == 1
    assert gateway.said() == ["a ringing"]
    dropped = [line for line in logs if line["event"] == "an event does not reach the duty desk"]
    assert [(line["what"], line["about"]) for line in dropped] == [("call", "a")]
    assert hint in dropped[0]["why"]


async def test_an_event_is_given_up_when_its_time_is_over_and_said_once(clock: MockClock) -> None:
    gateway = DutyGateway(status=503)
    async with delivering(gateway) as webhook:
        with capture_logs() as logs:
            started = trio.current_time()
            tell(webhook, "a", "calling")
            await until_idle(webhook)
            assert gateway.tried_at[-1] - started == pytest.approx(60, abs=1)
        assert webhook.stats.dropped == 1
    gaps = [after - before for before, after in zip(gateway.tried_at, gateway.tried_at[1:], strict=False)]
    assert 0.2 < gaps[0] < 1
    assert max(gaps) < 16
    assert len(gateway.tried) > 6
    assert sum(line["event"] == "an event does not reach the duty desk" for line in logs) == 1


async def test_without_time_to_retry_each_event_is_tried_once(clock: MockClock) -> None:
    gateway = DutyGateway(script=deque([503]))
    async with delivering(gateway, evolve(CONFIG, retry_s=0.0)) as webhook:
        tell(webhook, "a", "calling", "ringing", "talking")
        await gateway.wait(2)
    assert gateway.said() == ["a ringing", "a talking"]


async def test_an_event_that_the_gateway_stumbles_over_holds_up_its_own_call_only(clock: MockClock) -> None:
    gateway = DutyGateway(
        judge=lambda event: 500 if event["state"] == "calling" and event["call_id"] == "a" else None
    )
    async with delivering(gateway) as webhook:
        tell(webhook, "a", "calling", "ringing")
        tell(webhook, "b", "calling", "ringing")
        started = trio.current_time()
        await gateway.wait(2)
        assert trio.current_time() - started < 6
        assert gateway.said() == ["b calling", "b ringing"]
        await gateway.wait(3)
        assert trio.current_time() - started == pytest.approx(60, abs=2)
    assert gateway.said()[2:] == ["a ringing"]


async def test_after_an_outage_everything_arrives_and_a_calls_states_in_order(clock: MockClock) -> None:
    gateway = DutyGateway(status=503)
    async with delivering(gateway) as webhook:
        for call in ("a", "b", "c"):
            tell(webhook, call, "calling", "talking", "ended")
        await trio.sleep(30)
        gateway.status = 200
        tell(webhook, "d", "calling")
        await gateway.wait(1)
        assert gateway.said() == ["d calling"]  # nobody has heard of it yet
        await until_idle(webhook)
        assert webhook.stats.dropped == 0
    for call in ("a", "b", "c"):
        of_it = [said for said in gateway.said() if said.startswith(call)]
        assert of_it == [f"{call} calling", f"{call} talking", f"{call} ended"]


async def test_a_pause_that_the_gateway_asks_for_is_given(clock: MockClock) -> None:
    gateway = DutyGateway(script=deque([429]), retry_after="20")
    async with delivering(gateway) as webhook:
        tell(webhook, "a", "calling")
        await trio.sleep(1)
        tell(webhook, "b", "calling")
        await gateway.wait(2)
    assert gateway.tried_at[1] - gateway.tried_at[0] == pytest.approx(20, abs=0.5)


async def test_a_full_queue_drops_what_has_a_newer_state_first_and_never_the_newest(clock: MockClock) -> None:
    gateway = DutyGateway(delay_s=0.5)
    async with delivering(gateway, evolve(CONFIG, retry_s=3600.0)) as webhook:
        tell(webhook, "first", "calling")
        await trio.sleep(0.1)  # it is being posted
        tell(webhook, "a", "calling", "ringing", "talking")
        with capture_logs() as logs:
            for number in range(QUEUE - 2):
                tell(webhook, f"n{number}", "calling")
                assert webhook.stats.waiting <= QUEUE
        assert webhook.stats.dropped == 2
        assert [line["about"] for line in logs] == ["a", "a"]
        tell(
            webhook, "first", "ended"
        )  # no other has a newer state: the oldest of all goes, not the one under way
        assert webhook.stats.dropped == 3
        assert webhook.stats.waiting == QUEUE
        gateway.delay_s = 0
        await until_idle(webhook)
    assert gateway.said()[:2] == ["first calling", "n0 calling"]
    assert gateway.said()[-1] == "first ended"


async def test_a_stop_tries_once_more_and_is_bounded(clock: MockClock) -> None:
    gateway = DutyGateway(status=503)
    async with open_duty(gateway) as url:
        webhook = DutyWebhook(evolve(CONFIG, url=url))
        async with trio.open_nursery() as nursery:
            await nursery.start(webhook.run)
            tell(webhook, "a", "calling", "ended")
            await trio.sleep(0.1)
            gateway.status = 200
            nursery.cancel_scope.cancel()
        assert gateway.said() == ["a calling", "a ended"]
        assert (webhook.stats.sent, webhook.stats.waiting) == (2, 0)

        gateway.status = HANG
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            await nursery.start(webhook.run)
            tell(webhook, "b", *["calling"] * 10)
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - started < 3
        assert (webhook.stats.dropped, webhook.stats.waiting) == (10, 0)


async def test_nobody_listens_at_the_url(clock: MockClock) -> None:
    async with open_duty(DutyGateway()) as url:
        pass
    async with trio.open_nursery() as nursery:
        webhook = DutyWebhook(evolve(CONFIG, url=url, retry_s=5.0))
        await nursery.start(webhook.run)
        with capture_logs() as logs:
            tell(webhook, "a", "calling")
            await until_idle(webhook)
        nursery.cancel_scope.cancel()
    assert "cannot connect" in logs[0]["why"]
    assert webhook.stats.dropped == 1


@pytest.mark.parametrize("url", ["duty.example/hook", "ftp://duty/", "http://a:port/"])
def test_a_url_that_cannot_be_posted_to_is_named(url: str) -> None:
    with pytest.raises(ValueError, match=r"duty\.url"):
        DutyWebhook(DutyConfig(url=url))


def test_a_token_that_no_header_can_carry_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="token"):
        DutyWebhook(DutyConfig(url="http://duty/", token="ключ"))
