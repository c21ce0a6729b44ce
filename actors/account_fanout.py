"""One call's ringing: every account is pushed and rung side by side, and the first answer wins.

Who wins, and what each end means, is decided in `Ringing`, which knows neither Trio nor Asterisk. `AccountFanout` is
the actor around it: it owns all legs to phones for as long as the call lasts (the winner's too, whose events go straight
to the call from then on), writes their records, and gives every one of them back when it is left, by whatever way.
Its caller is told `Answered` or `NobodyCame`, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from enum import Enum
from typing import Protocol

from attrs import define, field, frozen

from actors.actor import Mailbox
from actors.journal import CallLog
from config import CallConfig
from crm.directory.directory import AccountInfo, FlatInfo
from crm.values.records import EntryKind, LegEnd, LegRecord, Outcome
from telephony.ari.channels import DropReason, Leg, LegEvent, LegState
from telephony.ari.client import Ari
from telephony.ari.events import ChannelDestroyed, ChannelStateChange, StasisStart
from telephony.ari.lane import Lane
from telephony.push.interface import Push, PushKind, PushProvider, PushResult

BUSY = frozenset({486, 600})
DECLINED = frozenset({403, 603})
UNREACHED = frozenset({404, 408, 410, 480, 604})
SAFETY_S = 5  # Asterisk itself ends a leg that rings this much longer than we let it


class Phase(Enum):
    CALLED = "called"
    RINGING = "ringing"
    WON = "won"
    OVER = "over"


class Verdict(Enum):
    """What to do with a leg that has just answered."""

    BRIDGE = "bridge"
    DROP = "drop"


@define
class Ringing:
    """Who is being rung, who has won, and how it ends when nobody does. `legs` maps each leg to its phase."""

    legs: dict[str, Phase]
    winner: str | None = None
    ends: list[LegEnd] = field(factory=list)

    def rings(self, leg: str) -> bool:
        """A leg rings; says whether that is news."""
        if self.legs[leg] is not Phase.CALLED:
            return False
        self.legs[leg] = Phase.RINGING
        return True

    def answers(self, leg: str) -> Verdict:
        """A leg answers: the first wins, every other one is dropped."""
        if self.winner is None and self.legs[leg] is not Phase.OVER:
            self.winner = leg
            self.legs[leg] = Phase.WON
        return Verdict.BRIDGE if self.winner == leg and self.legs[leg] is Phase.WON else Verdict.DROP

    def ended(self, leg: str, sip_code: int, cause: int, dropped: DropReason | int | None) -> LegEnd | None:
        """A leg is over: why, or None when that is known already."""
        phase = self.legs[leg]
        if phase is Phase.OVER:
            return None
        self.legs[leg] = Phase.OVER
        end = why_ended(phase, sip_code, cause, dropped)
        self.ends.append(end)
        return end

    def outcome(self) -> Outcome | None:
        """How the ringing ended without a winner; None while somebody may still answer, or has."""
        if self.winner is not None or any(phase is not Phase.OVER for phase in self.legs.values()):
            return None
        refused = [end for end in self.ends if end in (LegEnd.BUSY, LegEnd.DECLINED)]
        return Outcome.DECLINED if refused and len(refused) == len(self.ends) else Outcome.NOBODY_ANSWERED


def why_ended(phase: Phase, sip_code: int, cause: int, dropped: DropReason | int | None) -> LegEnd:
    """What the end of a leg means. `sip_code` 0 and `cause` 0 (Q.850): not known."""
    if phase is Phase.WON:
        return LegEnd.HUNG_UP if dropped is None else LegEnd.DROPPED
    if dropped is DropReason.ANSWERED_ELSEWHERE:
        return LegEnd.ANSWERED_ELSEWHERE
    if dropped is not None:
        return LegEnd.CANCELLED
    if sip_code in BUSY or (not sip_code and cause == 17):
        return LegEnd.BUSY
    if sip_code in DECLINED or (not sip_code and cause == 21):
        return LegEnd.DECLINED
    if sip_code in UNREACHED or (not sip_code and cause in (18, 19, 20)):
        return LegEnd.NO_ANSWER if phase is Phase.RINGING else LegEnd.UNREACHABLE
    return LegEnd.FAILED


@frozen
class Answered:
    """This leg answered first, and is the call's from now on: its events go to the call."""

    leg: Leg
    account: str


@frozen
class NobodyCame:
    """Every leg has ended by itself."""

    outcome: Outcome


Told = Answered | NobodyCame
FanoutMessage = tuple[Leg, LegEvent]


class Caller(Protocol):
    """Who calls, as phones are told: a panel, or who stands for one. `mac` is "" where there is none."""

    @property
    def sip_user(self) -> str: ...
    @property
    def mac(self) -> str: ...
    @property
    def address(self) -> str: ...


@frozen
class Fanout:
    """What one fan-out works on. `deadline` is on Trio's clock: until then phones ring. `panel_channel` "": no panel."""

    ari: Ari
    lane: Lane
    push: PushProvider
    log: CallLog
    config: CallConfig
    panel_channel: str
    panel: Caller
    flat: FlatInfo
    deadline: float
    first_leg: int = 1


class AccountFanout:
    """The actor. `run` lasts as long as the call: until it is cancelled, and all legs are given back."""

    def __init__(
        self, work: Fanout, tell: Callable[[Told], object], take_over: Callable[[Leg, LegEvent], None]
    ) -> None:
        self._work = work
        self._tell = tell
        self._take_over = take_over
        # All state, changed by `run`'s task only:
        self._mailbox: Mailbox[FanoutMessage] = Mailbox(f"fan-out of {work.log.record.call_id}", 1024)
        self._legs: dict[str, tuple[Leg, AccountInfo, LegRecord]] = {}
        self._ringing = Ringing({})
        self._cancelled = False  # the phones have been told that it is over

    async def run(self) -> None:
        try:
            with self._mailbox.owned():
                async with AsyncExitStack() as stack:
                    for n, account in enumerate(self._work.flat.accounts, self._work.first_leg):
                        await self._call(stack, n, account)
                    stack.callback(self._drop_all, DropReason.NORMAL)
                    self._push_ring()
                    while True:
                        for leg, event in await self._mailbox.receive_all():
                            self._take(leg, event)
        finally:
            for leg, account, _ in self._legs.values():
                self._note_end(leg, account)
            self._push_cancel("gave_up")

    async def _call(self, stack: AsyncExitStack, n: int, account: AccountInfo) -> None:
        work = self._work
        call_id = work.log.record.call_id
        leg = Leg(work.ari, work.lane, f"td-{call_id}-acc-{n}", self._deliver)
        record = LegRecord(leg.id, "account", account.sip_user, invited_at=time.time())
        work.log.record.legs.append(record)
        self._legs[leg.id] = (leg, account, record)
        self._ringing.legs[leg.id] = Phase.CALLED
        await stack.enter_async_context(leg)
        leg.originate(
            f"PJSIP/{account.sip_user}@{work.config.endpoint}",
            "TdCall",
            arguments=f"leg,{call_id}",
            caller_id=f"{_plain(work.panel.address)} <{work.panel.sip_user}>",
            timeout_s=int(work.config.ring_s) + SAFETY_S,
            originator=work.panel_channel,
            variables={
                "PJSIP_HEADER(add,X-Kamailio-URI)": f"sip:{account.sip_user}@{account.domain}",
                "PJSIP_HEADER(add,X-URI-Type)": work.config.uri_type,
                "PJSIP_HEADER(add,X-Td-Call)": call_id,
            },
        )
        work.log.note(EntryKind.INVITE, leg.id, account=account.sip_user)

    def _deliver(self, leg: Leg, event: LegEvent) -> None:
        self._mailbox.tell((leg, event))

    def _take(self, leg: Leg, event: LegEvent) -> None:
        _, account, record = self._legs[leg.id]
        match event:
            case StasisStart():
                self._answered(leg, account, record)
            case ChannelStateChange() if leg.state is LegState.RINGING:
                if self._ringing.rings(leg.id):
                    record.ringing_at = time.time()
                    self._work.log.note(EntryKind.RINGING, leg.id, account=account.sip_user)
            case ChannelDestroyed():
                self._note_end(leg, account)
                if leg.id == self._ringing.winner:
                    self._take_over(leg, event)
                elif (outcome := self._ringing.outcome()) is not None:
                    self._tell(NobodyCame(outcome))
            case _ if leg.id == self._ringing.winner:  # came in behind its answer, before the call took over
                self._take_over(leg, event)

    def _answered(self, leg: Leg, account: AccountInfo, record: LegRecord) -> None:
        if self._ringing.answers(leg.id) is Verdict.DROP:
            leg.drop(DropReason.ANSWERED_ELSEWHERE)
            return
        if record.answered_at is not None:
            return
        record.answered_at = time.time()
        leg.deliver = self._winner_event
        self._work.log.note(EntryKind.ANSWERED, leg.id, account=account.sip_user)
        self._tell(Answered(leg, account.sip_user))
        self._drop_all(DropReason.ANSWERED_ELSEWHERE)
        self._push_cancel("answered_elsewhere")

    def _winner_event(self, leg: Leg, event: LegEvent) -> None:
        """The winner's events go to the call; its end is written down here, where its record is."""
        if isinstance(event, ChannelDestroyed):
            self._note_end(leg, self._legs[leg.id][1])
        self._take_over(leg, event)

    def _drop_all(self, reason: DropReason) -> None:
        for leg, _, _ in self._legs.values():
            if reason is not DropReason.ANSWERED_ELSEWHERE or leg.id != self._ringing.winner:
                leg.drop(reason)

    def _note_end(self, leg: Leg, account: AccountInfo) -> None:
        record = self._legs[leg.id][2]
        seen = leg.state is LegState.GONE
        end = self._ringing.ended(leg.id, leg.tech_cause, leg.cause, leg.dropped)
        if end is None:
            return
        record.end = end if seen or leg.dropped is not None else LegEnd.LOST
        record.ended_at = time.time()
        record.sip_code, record.cause = leg.tech_cause or None, leg.cause or None
        data: dict[str, str | int] = {"sip": leg.tech_cause} if leg.tech_cause else {}
        if record.end is LegEnd.FAILED:
            data["why"] = leg.why
        self._work.log.note(
            EntryKind.LEG_ENDED,
            leg.id,
            account=account.sip_user,
            end=record.end.value,
            cause=leg.cause,
            **data,
        )

    # --- pushes ----------------------------------------------------------------------------------------------

    def _push_ring(self) -> None:
        self._send(PushKind.RING, self._work.flat.accounts, "")

    def _push_cancel(self, reason: str) -> None:
        """Tell every phone that was pushed and has not answered; of an account with several, the app knows which."""
        if self._cancelled:
            return
        self._cancelled = True
        winner = self._ringing.winner
        answered = self._legs[winner][1] if winner else None
        self._send(
            PushKind.CANCEL,
            [each for each in self._work.flat.accounts if each is not answered or len(each.phones) > 1],
            reason,
        )

    def _send(self, kind: PushKind, accounts: Sequence[AccountInfo], reason: str) -> None:
        work = self._work
        pushes = [
            Push(
                kind=kind,
                call_id=work.log.record.call_id,
                phone_id=phone.id,
                account=account.sip_user,
                platform=phone.platform,
                bundle=phone.bundle,
                token=phone.token,
                panel=work.panel.sip_user,
                mac=work.panel.mac,
                address=work.flat.address or work.panel.address,
                flat=work.flat.number,
                expires_at=work.deadline,
                reason=reason,
            )
            for account in accounts
            for phone in account.phones
            if phone.token
        ]
        if not pushes:
            return
        for push in pushes:
            work.log.note(
                EntryKind.PUSH_SENT,
                account=push.account,
                phone=push.phone_id,
                platform=push.platform,
                push=kind.value,
            )
        work.push.send(pushes, self._on_push)

    def _on_push(self, result: PushResult) -> None:
        push = result.push
        if result.accepted:
            self._work.log.note(
                EntryKind.PUSH_ACCEPTED,
                account=push.account,
                phone=push.phone_id,
                push=push.kind.value,
                took_ms=round(result.took_ms, 1),
            )
        else:
            self._work.log.note(
                EntryKind.PUSH_REFUSED,
                account=push.account,
                phone=push.phone_id,
                push=push.kind.value,
                why=result.why,
            )


def _plain(text: str) -> str:
    """A caller's name without what would end it in a header."""
    return "".join(c for c in text if c.isprintable() and c not in '"<>\\;')
