"""A talk: what is heard of it from the bridge to the end, and what a visitor is played who gets none.

Both read the call's mailbox while they last, and write into the call's log; who hangs up whom is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio
from attrs import define, frozen

from actors.account_fanout import Told
from actors.actor import Mailbox
from actors.journal import CallLog
from crm.values.records import EntryKind, Outcome
from telephony.ari.channels import Leg, LegEvent, Refused
from telephony.ari.events import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelEnteredBridge,
    PlaybackFinished,
    StasisEnd,
)

PROMPT_S = 8.0
TONE_S = 2.0
SETTLE_S = 0.5  # a request that Asterisk refused mostly raced a hangup, which comes within this

CallMessage = tuple[Leg, LegEvent] | Told | Refused
CallMailbox = Mailbox[CallMessage]
Other = Callable[[object], Awaitable[None]]
"""Is given what a call's mailbox brings beside what its legs tell."""

log = structlog.get_logger("visitor")


@frozen
class Refusal:
    """What a visitor hears, and what the panel is told: a prompt, the tone where it can't be played, a Q.850 cause."""

    prompt: str
    tone: str
    cause: int


REFUSALS = {
    Outcome.UNKNOWN_PANEL: Refusal("unknown-panel", "congestion", 21),  # 403
    Outcome.UNKNOWN_FLAT: Refusal("unknown-flat", "info", 1),  # 404
    Outcome.BLOCKED: Refusal("blocked", "record", 29),  # 501
    Outcome.NO_ACCOUNTS: Refusal("no-accounts", "info", 20),  # 480
    Outcome.NOBODY_ANSWERED: Refusal("nobody-answered", "congestion", 18),  # 408
    Outcome.DECLINED: Refusal("declined", "busy", 17),  # 486
    Outcome.RING_TIMEOUT: Refusal("ring-timeout", "congestion", 19),  # 480
    Outcome.DIRECTORY_AWAY: Refusal("out-of-order", "congestion", 27),  # 502
}


async def _nothing(message: object) -> None:
    pass


@define(eq=False)
class Ends:
    """The two ends of a talk: the panel's leg, and that of `account`; `door_digits` open the panel's door."""

    panel: Leg
    leg: Leg
    account: str
    door_digits: str

    def name(self, leg: Leg) -> str:
        return "panel" if leg is self.panel else self.account


async def listen(
    mailbox: Mailbox[Any],
    page: CallLog,
    ends: Ends,
    limit_s: float,
    *,
    bridged: bool = False,
    other: Other = _nothing,
) -> tuple[Outcome, str]:
    """Follow a talk until one end hangs up, or `limit_s` is over: how it ended, and by whom."""
    entered = {ends.panel.id, ends.leg.id} if bridged else set()
    refused: Refused | None = None
    with trio.CancelScope(deadline=trio.current_time() + limit_s) as limit:
        while True:
            for ended in (ends.panel, ends.leg):
                if ended.gone:
                    if bridged:
                        return Outcome.TALKED, ends.name(ended)
                    nobody = Outcome.GAVE_UP if ended is ends.panel else Outcome.NOBODY_ANSWERED
                    return nobody, ends.name(ended)
            for message in await mailbox.receive_all():
                match message:
                    case (_, ChannelEnteredBridge(channel=channel)):
                        entered.add(channel.id)
                        if not bridged and len(entered) == 2:
                            bridged = True
                            page.note(EntryKind.BRIDGED, ends.leg.id, account=ends.account)
                    case (Leg() as presser, ChannelDtmfReceived(digit=digit)):
                        _pressed(page, digit, ends.name(presser), ends.door_digits)
                    case Refused() | (_, Refused()):
                        refused = message if isinstance(message, Refused) else message[1]
                        limit.deadline = min(limit.deadline, trio.current_time() + SETTLE_S)
                    case _:
                        await other(message)
    if refused is None:
        return (Outcome.TALKED if bridged else Outcome.FAILED), "limit"
    log.error(
        "a call could not be put through",
        call=page.record.call_id,
        what=refused.what,
        status=refused.status,
        reason=refused.reason,
    )
    return Outcome.FAILED, "Asterisk"


def _pressed(page: CallLog, digit: str, by: str, door_digits: str) -> None:
    page.note(EntryKind.DTMF, digit=digit, by=by)
    if by != "panel" and digit in door_digits:
        page.record.door_at = page.record.door_at or time.time()
        page.note(EntryKind.DOOR, digit=digit, by=by)


async def say_why(
    mailbox: Mailbox[Any],
    page: CallLog,
    panel: Leg,
    refusal: Refusal,
    language: str,
    *,
    prompt: str = "",
    other: Other = _nothing,
) -> None:
    """Play `prompt` to the panel, or else the refusal's own; its tone where there is no such prompt."""
    if prompt and await play(mailbox, page, panel, f"sound:teledom/{prompt}", language, PROMPT_S, other):
        return
    if not await play(mailbox, page, panel, f"sound:teledom/{refusal.prompt}", language, PROMPT_S, other):
        await play(mailbox, page, panel, f"tone:{refusal.tone}", language, TONE_S, other)


async def play(
    mailbox: Mailbox[Any],
    page: CallLog,
    panel: Leg,
    media: str,
    language: str,
    limit_s: float,
    other: Other = _nothing,
) -> bool:
    """Play to one end (`panel`) until the end, the limit or a hangup; False when Asterisk could not."""
    if panel.gone:
        return True
    page.note(EntryKind.PROMPT, media=media)
    playback_id = f"td-{page.record.call_id}-{media.partition(':')[0]}-{len(page.record.entries)}"
    panel.play(media, playback_id, language)
    with trio.move_on_after(limit_s):
        while True:
            for message in await mailbox.receive_all():
                match message:
                    case (_, PlaybackFinished(playback=playback)) if playback.id == playback_id:
                        return playback.state != "failed"
                    case (_, Refused(what=what)) if what.endswith(f"/play/{playback_id}"):
                        return False
                    case (Leg() as ended, StasisEnd() | ChannelDestroyed()) if ended is panel:
                        return True
                    case _:
                        await other(message)
    return True
