"""Webhooks to the duty desk: events as JSON by HTTP POST, one after the other, each tried until its time is over.

It owns its bounded queue, and whoever posts never waits. What an event means it does not know: only its subject (a
call, an alarm), of which the newest event counts most.
- Events of one subject never overtake each other. Those of others pass one that failed PATIENT times: a gateway that
  stumbles over one event must not keep the next call from whoever is on duty.
- Each try of an event carries the same `id`, by which the gateway knows what it has already.
- When the queue is full, the oldest event goes whose subject has a newer one; the oldest of all if there is none.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
import trio
from attrs import define, field, frozen

from config import DutyConfig
from logs import Once, get_logger

QUEUE = 1000  # events
PATIENT = 3  # tries for which the events behind keep their place
BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 10.0
GAP_S = 0.1  # between a failure and whatever is tried next
RETRY_AFTER_MAX_S = 60.0
STOP_S = 2.0  # what a stop leaves to the last events
RETRIED = frozenset({408, 425, 429})  # of the 4xx

log = get_logger("duty")
_encode = msgspec.json.Encoder().encode


@define
class DutyStats:
    """Counts since the start: events delivered, tries that failed, events given up; `waiting` is now.

    `failing` is why the last try failed, "" if it did not.
    """

    sent: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0
    failing: str = ""


@frozen
class _Failure:
    """A try that failed. `hold_s`: for how long the gateway wants nothing at all."""

    why: str
    again: bool = True
    hold_s: float = 0.0


@define(eq=False)
class _Event:
    id: str
    subject: str
    what: str
    content: bytes
    due: float  # on Trio's clock: given up if it fails after that
    not_before: float = field(default=-math.inf, init=False)
    tries: int = field(default=0, init=False)


class DutyWebhook:
    """Posts events to `config.url`, which must be set. Raises `ValueError` for an unusable URL or token."""

    def __init__(self, config: DutyConfig) -> None:
        self.stats = DutyStats()
        self._config = config
        try:
            self._url = httpx.URL(config.url)
            bearer = config.token.encode("ascii").decode()
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ValueError(f"duty.url {config.url!r} or its token cannot be used: {error}") from error
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError(f"duty.url {config.url!r} must be http://… or https://… with a host")
        self._shown_url = f"{self._url.scheme}://{self._url.netloc.decode('ascii')}{self._url.path}"
        self._headers = {"user-agent": "teledom", "content-type": "application/json"}
        if bearer:
            self._headers["authorization"] = f"Bearer {bearer}"
        self._life = secrets.token_hex(4)  # ids differ from those of an earlier life of this node
        self._count = 0
        # All state of events: those that wait, oldest first, and the one that is being posted.
        self._queue: dict[str, _Event] = {}
        self._posting: _Event | None = None
        self._hold_until = -math.inf
        self._wake = trio.Event()
        self._once = Once(log)

    def post(self, event: str, subject: str, fields: Mapping[str, Any]) -> None:
        """Have `fields` posted with `event` and an id, as soon as may be; never waits."""
        self._count += 1
        number = f"{self._life}-{self._count}"
        content = _encode({"event": event, "id": number, **fields})
        if len(self._queue) >= QUEUE:
            self._drop(self._least(), f"{QUEUE} events wait already")
        due = trio.current_time() + self._config.retry_s
        self._queue[number] = _Event(number, subject, event, content, due)
        self.stats.waiting = len(self._queue)
        self._wake.set()

    def _least(self) -> _Event:
        """What a full queue can do without; never the one that is being posted."""
        newer: set[str] = set()
        least: _Event | None = None
        oldest: _Event | None = None
        for event in reversed(self._queue.values()):
            if event is not self._posting:
                oldest = event
                if event.subject in newer:
                    least = event
            newer.add(event.subject)
        found = least or oldest
        assert found is not None
        return found

    def _drop(self, event: _Event, why: str) -> None:
        self.stats.dropped += 1
        log.error("an event does not reach the duty desk", what=event.what, about=event.subject, why=why)
        self._forget(event)

    def _forget(self, event: _Event) -> None:
        self._queue.pop(event.id, None)
        self.stats.waiting = len(self._queue)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Post until cancelled; what waits then is tried once more, within `STOP_S`."""
        async with httpx.AsyncClient(
            headers=self._headers, timeout=self._config.deadline_s, trust_env=False
        ) as client:
            try:
                task_status.started()
                while True:
                    self._wake = trio.Event()
                    event, look_at = self._next()
                    if event is not None:
                        await self._try(client, event)
                        continue
                    with trio.move_on_at(look_at):
                        await self._wake.wait()
            finally:
                self._posting = None
                if trio.current_effective_deadline() == -math.inf:  # a stop, not a bug
                    await self._stop(client)

    def _next(self) -> tuple[_Event | None, float]:
        """What to post now; if it is nothing, when to look again (inf: when there is something new)."""
        now = trio.current_time()
        if now < self._hold_until:
            # A new event wakes whoever waits for this, and is held as well.
            return None, self._hold_until
        best: _Event | None = None
        look_at = math.inf
        seen: set[str] = set()
        for event in self._queue.values():
            if event.subject in seen:
                continue
            seen.add(event.subject)
            if event.not_before > now:
                look_at = min(look_at, event.not_before)
            elif best is None or event.tries < best.tries:  # what nobody has heard of comes first
                best = event
            if event.tries < PATIENT:
                break
        return best, look_at

    async def _try(self, client: httpx.AsyncClient, event: _Event) -> None:
        self._posting = event
        event.tries += 1
        failure = await self._post(client, event)
        self._posting = None
        self.stats.failing = "" if failure is None else failure.why
        if failure is None:
            self._once.over("webhook", "webhooks reach the duty desk again")
            self.stats.sent += 1
            self._forget(event)
            return
        self.stats.failed += 1
        self._once.say(
            "webhook",
            failure.why,
            "a webhook did not reach the duty desk",
            url=self._shown_url,
            why=failure.why,
        )
        now = trio.current_time()
        if not failure.again or now >= event.due:
            self._drop(event, failure.why)
            return
        backoff_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(event.tries - 1, 10))
        pause_s = max(failure.hold_s, backoff_s * random.uniform(0.5, 1.5))
        event.not_before = min(now + pause_s, event.due)
        self._hold_until = now + max(failure.hold_s, GAP_S)

    async def _post(self, client: httpx.AsyncClient, event: _Event) -> _Failure | None:
        """One POST, within the deadline; None once the gateway has the event."""
        try:
            with trio.move_on_after(self._config.deadline_s):
                return _judge(await client.post(self._url, content=event.content))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return _Failure(f"cannot connect: {error or 'no answer'}")
        except httpx.TimeoutException:
            pass
        except (httpx.HTTPError, httpx.StreamError) as error:
            return _Failure(f"the connection broke: {error or type(error).__name__}")
        return _Failure(f"no answer within {self._config.deadline_s:g} s")

    async def _stop(self, client: httpx.AsyncClient) -> None:
        with trio.move_on_after(STOP_S, shield=True):
            for event in [*self._queue.values()]:
                if await self._post(client, event) is None:
                    self.stats.sent += 1
                    self._forget(event)
        if self._queue:
            log.error("the node stops; events do not reach the duty desk", events=len(self._queue))
            self.stats.dropped += len(self._queue)
            self._queue.clear()
            self.stats.waiting = 0


def _judge(response: httpx.Response) -> _Failure | None:
    status = response.status_code
    if 200 <= status < 300:
        return None
    why = f"the gateway answered {status}"
    if status in RETRIED or status >= 500:
        after = response.headers.get("retry-after", "")
        hold_s = min(float(after), RETRY_AFTER_MAX_S) if after.isascii() and after.isdecimal() else 0.0
        return _Failure(why, hold_s=hold_s)
    hint = "check TELEDOM_DUTY_TOKEN" if status in (401, 403) else "check duty.url"
    return _Failure(f"{why}: {hint}", again=False)
