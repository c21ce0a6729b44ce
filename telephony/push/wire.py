"""What goes over the wire to the operator's push gateway, and what its answers mean."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec
import trio
from attrs import frozen

from telephony.push.interface import Push, PushKind

RETRY_PAUSE_S = 0.1  # before the second attempt, with jitter
RETRY_AFTER_MAX_S = 2.0  # a gateway that asks for a longer pause refuses
ANSWER_MAX_BYTES = 1_048_576


@frozen
class _Result:
    id: str
    accepted: bool
    error: str | None = None


@frozen
class Answer:
    """What a gateway answers: a result for each push, by its id."""

    results: list[_Result]


@frozen
class Failure:
    """A POST without a usable answer.

    `again_in_s`: when to try again, if at all; `reached`: the gateway may have acted on it all the same;
    `hold_s`: for how long it wants no POST at all.
    """

    why: str
    again_in_s: float | None = None
    reached: bool = True
    hold_s: float = 0.0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answer).decode


def pause_s() -> float:
    """How long to wait before the second attempt."""
    return RETRY_PAUSE_S * random.uniform(0.5, 1.5)


def body(batch: Iterable[tuple[str, Push]]) -> bytes:
    """What is posted for these pushes, each with its id; a ring says how long it will ring yet."""
    now = trio.current_time()
    pushes = []
    for number, push in batch:
        wire: dict[str, Any] = {
            "id": number,
            "kind": push.kind.value,
            "call": push.call_id,
            "phone": push.phone_id,
            "account": push.account,
            "platform": push.platform,
            "bundle": push.bundle,
            "token": push.token,
            "panel": {"sip_user": push.panel, "mac": push.mac, "address": push.address},
            "flat": push.flat,
        }
        if push.kind is PushKind.RING:
            wire["ring_s"] = round(push.expires_at - now, 1)
        else:
            wire["reason"] = push.reason
        pushes.append(wire)
    return _encode({"sent_at": datetime.now(UTC).isoformat(timespec="milliseconds"), "pushes": pushes})


async def judge(response: httpx.Response) -> Answer | Failure:
    """What a gateway's response means."""
    status = response.status_code
    if status == 429:
        return _too_many(response.headers.get("retry-after", ""))
    if status >= 500:
        return Failure(f"the gateway answered {status}", pause_s())
    if status in (401, 403):
        return Failure(f"the gateway answered {status}: check TELEDOM_PUSH_TOKEN", reached=False)
    if not 200 <= status < 300:
        return Failure(f"the gateway answered {status}: check push.url", reached=False)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    content = b""
    async for chunk in response.stream:
        content += chunk
        if len(content) > ANSWER_MAX_BYTES:
            return Failure(f"the gateway's answer is longer than {ANSWER_MAX_BYTES} bytes")
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Failure(f"the gateway's answer has a wrong shape: {error}")


def _too_many(retry_after: str) -> Failure:
    try:
        if retry_after.isdecimal():
            wait_s = float(retry_after)
        elif retry_after:
            wait_s = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        else:
            wait_s = RETRY_PAUSE_S
    except (ValueError, TypeError):  # a text that is no date, or a date without a zone
        wait_s = RETRY_PAUSE_S
    if wait_s > RETRY_AFTER_MAX_S:
        why = f"the gateway answered 429 and asks to wait {wait_s:.0f} s"
        return Failure(why, reached=False, hold_s=RETRY_AFTER_MAX_S)
    wait_s = max(wait_s, RETRY_PAUSE_S)
    return Failure("the gateway answered 429", wait_s, reached=False, hold_s=wait_s)
