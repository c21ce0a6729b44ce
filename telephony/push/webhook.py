"""Pushes to the operator's own push gateway: JSON by HTTP POST, the pushes of several calls in one.

The provider owns its queue (bounded), its connections (a few POSTs at once) and every push from `send` to its
one result. Nothing waits for the gateway: slow, refusing or away, it costs its own pushes and no call.
- A POST costs as much as dozens of pushes in it, so what comes within `coalesce_ms` goes together; while all
  connections are busy the queue grows, and the next POST takes more.
- A ring and its cancel never overtake each other: a cancel drops its ring while that is queued, and waits for
  the answer while that is under way. A ring whose time is over is not sent.
- The wire format is in wire.py: the gateway answers for each push by its id.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import assert_never

import httpx
import structlog
import trio
from attrs import define

from config import PushConfig
from telephony.push.interface import OnResult, Push, PushKind, PushResult, answer
from telephony.push.wire import Answer, Failure, body, judge, pause_s

log = structlog.get_logger(__name__)

CANCEL_STALE_S = 30.0  # a cancel that waited longer finds no phone ringing
STOP_S = 1.0  # what a stop leaves to the last cancels
KEEPALIVE_S = 5.0  # shorter than any middlebox forgets an idle connection


class _Item:
    """A push on its way. `posted`: it may have reached the gateway; `cancel` waits for this ring's answer."""

    __slots__ = ("cancel", "done", "id", "on_result", "posted", "push", "since")

    def __init__(self, push: Push, on_result: OnResult, number: str, since: float) -> None:
        self.push = push
        self.on_result = on_result
        self.id = number
        self.since = since
        self.posted = False
        self.done = False
        self.cancel: _Item | None = None


@define
class PushStats:
    """Counts since the start; `queued` is now. `took_ms` is what the last POST took, `failing` why it failed."""

    posts: int = 0
    accepted: int = 0
    refused: int = 0
    queued: int = 0
    failed: int = 0  # POSTs
    took_ms: float | None = None
    failing: str = ""


class Webhook:
    """The provider. Raises `ValueError` for an unusable URL or token; `config.url` must be set."""

    def __init__(self, config: PushConfig) -> None:
        self.stats = PushStats()
        self._config = config
        try:
            self._url = httpx.URL(config.url)
            bearer = config.token.encode("ascii")
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ValueError(f"push.url {config.url!r} or its token cannot be used: {error}") from error
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError(f"push.url {config.url!r} must be http://… or https://… with a host")
        self._shown_url = f"{self._url.scheme}://{self._url.netloc.decode('ascii')}{self._url.path}"
        self._headers = [
            (b"host", self._url.netloc),
            (b"user-agent", b"teledom"),
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
        ]
        if bearer:
            self._headers.append((b"authorization", b"Bearer " + bearer))
        connect_s = config.deadline_s / 2  # leaves time for a second attempt to be of use
        self._extensions = {"timeout": {"connect": connect_s}}
        self._life = secrets.token_hex(4)  # ids differ from those of an earlier life of this node
        self._count = 0
        # All state of pushes: queued ones by number, and every ring that has no result yet.
        self._queue: OrderedDict[str, _Item] = OrderedDict()
        self._rings: dict[tuple[str, str, int], _Item] = {}
        self._wake = trio.Event()
        self._not_before = 0.0  # what a 429 asked for
        self._failing = 0  # pushes lost since the gateway failed; 0 while it works
        self._client: httpx.AsyncHTTPTransport | None = None

    def send(self, pushes: Sequence[Push], on_result: OnResult) -> None:
        """See `PushProvider.send`."""
        now = trio.current_time()
        for push in pushes:
            self._count += 1
            item = _Item(push, on_result, f"{self._life}-{self._count}", now)
            match push.kind:
                case PushKind.RING:
                    if self._put(item):
                        self._rings[_key(push)] = item
                case PushKind.CANCEL:
                    ring = self._rings.get(_key(push))
                    if ring is None:
                        self._put(item)
                    elif ring.posted:
                        if ring.cancel is not None:
                            self._refuse(ring.cancel, "not sent: another cancel follows it")
                        ring.cancel = item
                    else:
                        self._refuse(ring, "not sent: the call was over first")
                        self._refuse(item, "not sent: its ring push never was")
                case _:
                    assert_never(push.kind)

    def _put(self, item: _Item) -> bool:
        if len(self._queue) >= self._config.queue:
            self._fails(f"{self._config.queue} pushes wait for it already (push.queue)", 1)
            self._refuse(item, "not sent: queue full")
            return False
        self._queue[item.id] = item
        if len(self._queue) == 1:
            self._wake.set()
        return True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry pushes until cancelled; then what is queued gets one POST's time, and the rest a refusal."""
        limits = httpx.Limits(max_connections=self._config.connections, keepalive_expiry=KEEPALIVE_S)
        async with httpx.AsyncHTTPTransport(limits=limits, trust_env=False) as self._client:
            try:
                async with trio.open_nursery() as nursery:
                    task_status.started()
                    await self._dispatch(nursery)
            finally:
                if trio.current_effective_deadline() == -float("inf"):  # a stop, not a bug
                    await self._stop()

    async def _dispatch(self, nursery: trio.Nursery) -> None:
        slots = trio.Semaphore(self._config.connections)
        coalesce_s = self._config.coalesce_ms / 1000
        while True:
            while not self._queue:
                self._wake = trio.Event()
                await self._wake.wait()
            if len(self._queue) < self._config.batch:
                oldest = next(iter(self._queue.values()))
                await trio.sleep_until(oldest.since + coalesce_s)
            await slots.acquire()
            await trio.sleep_until(self._not_before)
            if batch := self._take():
                nursery.start_soon(self._carry, batch, slots)
            else:
                slots.release()

    def _take(self) -> list[_Item]:
        batch: list[_Item] = []
        while self._queue and len(batch) < self._config.batch:
            _, item = self._queue.popitem(last=False)
            if self._in_time(item):
                item.posted = True
                batch.append(item)
        return batch

    def _in_time(self, item: _Item) -> bool:
        now = trio.current_time()
        is_ring = item.push.kind is PushKind.RING
        if now < (item.push.expires_at if is_ring else item.since + CANCEL_STALE_S):
            return True
        self._refuse(item, "too late")
        return False

    async def _carry(self, batch: list[_Item], slots: trio.Semaphore) -> None:
        try:
            outcome = await self._post(batch)
            reached = isinstance(outcome, Failure) and outcome.reached
            if isinstance(outcome, Failure) and outcome.again_in_s is not None:
                await trio.sleep(outcome.again_in_s)
                for item in batch:
                    if item.cancel is not None:
                        self._refuse(item, f"{outcome.why}; the call was over then", reached)
                batch = [item for item in batch if not item.done and self._in_time(item)]
                if batch:
                    outcome = await self._post(batch)
            if isinstance(outcome, Failure):
                self.stats.failing = outcome.why
                self._fails(outcome.why, len(batch))
                for item in batch:
                    self._refuse(item, outcome.why, reached or outcome.reached)
            else:
                self._settle(batch, outcome)
        finally:
            slots.release()
            for item in batch:
                if not item.done:
                    self._refuse(item, "cut off: pushes were stopped", reached=True)

    def _settle(self, batch: Iterable[_Item], outcome: Answer) -> None:
        self.stats.failing = ""
        if self._failing:
            log.info("the push gateway works again", url=self._shown_url, pushes_lost=self._failing)
            self._failing = 0
        results = {result.id: result for result in outcome.results}
        for item in batch:
            result = results.get(item.id)
            if result is None:
                self._refuse(item, "the gateway's answer does not name this push", reached=True)
            elif result.accepted:
                self._finish(item, True, "", True)
            else:
                self._refuse(item, f"the gateway: {(result.error or 'no reason given')[:200]}")

    async def _post(self, batch: Sequence[_Item]) -> Answer | Failure:
        """One POST, within the deadline; what it brings back, whatever happens."""
        began = trio.current_time()
        outcome = await self._ask(batch)
        self.stats.took_ms = round((trio.current_time() - began) * 1000, 1)
        self.stats.failed += isinstance(outcome, Failure)
        return outcome

    async def _ask(self, batch: Sequence[_Item]) -> Answer | Failure:
        assert self._client is not None
        self.stats.posts += 1
        content = body((item.id, item.push) for item in batch)
        headers = [*self._headers, (b"content-length", b"%d" % len(content))]
        request = httpx.Request(
            "POST", self._url, headers=headers, stream=httpx.ByteStream(content), extensions=self._extensions
        )
        try:
            with trio.move_on_after(self._config.deadline_s):
                response = await self._client.handle_async_request(request)
                try:
                    outcome = await judge(response)
                finally:
                    await response.aclose()
                if isinstance(outcome, Failure) and outcome.hold_s:
                    self._not_before = trio.current_time() + outcome.hold_s
                return outcome
            return Failure(f"no answer within {self._config.deadline_s:g} s")
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Failure(f"cannot connect: {error or 'no answer'}", pause_s(), reached=False)
        except httpx.TransportError as error:
            return Failure(f"the connection broke: {error or type(error).__name__}", pause_s())

    async def _stop(self) -> None:
        with trio.move_on_after(STOP_S, shield=True):
            while batch := self._take():
                await self._carry(batch, trio.Semaphore(0))
        for item in [*self._queue.values()]:
            self._refuse(item, "not sent: pushes were stopped")

    def _fails(self, why: str, count: int) -> None:
        if not self._failing:
            log.warning("the push gateway fails; calls go on without it", url=self._shown_url, why=why)
        self._failing += count

    def _refuse(self, item: _Item, why: str, reached: bool = False) -> None:
        self._finish(item, False, why, reached)

    def _finish(self, item: _Item, accepted: bool, why: str, reached: bool) -> None:
        """Give a push its one result; a cancel that waited for it goes out unless no phone can have rung."""
        if item.done:
            return
        item.done = True
        self._queue.pop(item.id, None)
        push = item.push
        if push.kind is PushKind.RING and self._rings.get(_key(push)) is item:
            del self._rings[_key(push)]
        if accepted:
            self.stats.accepted += 1
        else:
            self.stats.refused += 1
        took_ms = (trio.current_time() - item.since) * 1000
        answer(item.on_result, PushResult(push, accepted, why, took_ms))
        if item.cancel is not None:
            if reached:
                self._put(item.cancel)
            else:
                self._refuse(item.cancel, "not sent: its ring push was refused")


def _key(push: Push) -> tuple[str, str, int]:
    return push.call_id, push.account, push.phone_id
