"""What a call asks of a push provider: wake a phone for it, or tell that phone that the call is over.

A call hands its pushes over with `send` and rings on; each push gets exactly one `PushResult`, whenever its
answer comes. A provider owns its queue and its connections; `run` is its long-lived part, a supervised child.
A call's rings and cancels go through one provider, in the order in which they were sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

import structlog
import trio
from attrs import field, frozen

log = structlog.get_logger(__name__)


class PushKind(Enum):
    """What a phone is told."""

    RING = "ring"
    CANCEL = "cancel"


@frozen(kw_only=True)
class Push:
    """One push to one phone for one account. The phone rings until `expires_at`, on Trio's clock.

    `reason` is a cancel's: "answered_elsewhere", "gave_up", …; `panel` is the SIP user, `mac` its MAC.
    """

    kind: PushKind
    call_id: str
    phone_id: int
    account: str
    platform: str
    bundle: str
    token: str = field(repr=False)
    panel: str
    mac: str
    address: str
    flat: str
    expires_at: float
    reason: str = ""


@frozen
class PushResult:
    """What became of a push, `took_ms` after it was sent; `why` says why it was not accepted."""

    push: Push
    accepted: bool
    why: str = ""
    took_ms: float = 0.0


OnResult = Callable[[PushResult], None]


def answer(on_result: OnResult, result: PushResult) -> None:
    """Hand a result to who sent the push; what goes wrong there touches nobody else's push."""
    try:
        on_result(result)
    except Exception:
        push = result.push
        log.exception(
            "the result of a push could not be taken",
            call=push.call_id,
            phone=push.phone_id,
            push=push.kind.value,
        )


class PushProvider(Protocol):
    """Whatever brings pushes to phones."""

    def send(self, pushes: Sequence[Push], on_result: OnResult) -> None:
        """Queue pushes; never waits, never raises. Each is answered once, in the Trio thread.

        What cannot be queued is answered before this returns. An error of `on_result` is logged and kept away
        from other pushes.
        """

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry what is queued, until cancelled; then what still waits is answered, not left."""


class NoPush:
    """The provider of a node without a push gateway: every push is answered at once as refused."""

    def send(self, pushes: Sequence[Push], on_result: OnResult) -> None:
        for push in pushes:
            answer(on_result, PushResult(push, accepted=False, why="no push gateway is set"))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()
