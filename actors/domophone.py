"""One panel: its lock, and the one call that may hold it.

Only this actor changes the panel's state. Everything that wants the panel tells it, and it alone decides, by who comes
first: SOS, a call-back from 112, a visitor, a quality call. The higher one takes the lock at once and ends the lower one,
for whose clean-up it waits (`HANDOVER_S` at most); only SOS waits for nothing. A second call of a visitor from the same
panel means that the first one's end was lost: the new one is real. A second SOS press goes to the call that stands.

A call that the panel makes runs in this actor's nursery. If it crashes, the actor goes with it, after the call has given
back its channels, and its supervisor starts a new one with a clean lock. Whoever calls the panel borrows the lock, and
is told when somebody comes first (`Loan`). An idle panel's actor retires.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from functools import partial

import structlog
import trio
from attrs import Factory, define, frozen

from actors.actor import AskError, Mailbox, Reply, ask
from crm.values.records import CallRecord, Outcome
from restarts import divide

HANDOVER_S = 3.0
ASK_S = 1.0  # beside a handover

log = structlog.get_logger("domophone")


class Claim(IntEnum):
    """What a panel is wanted for; the higher comes first."""

    QUALITY = 1
    VISITOR = 2
    CALL_BACK = 3
    SOS = 4


def gives_way(holder: Claim, newcomer: Claim) -> bool:
    """Whether who holds a panel ends for who comes now."""
    return newcomer > holder or (newcomer is holder is Claim.VISITOR)


@frozen
class Talk:
    """A talk that was going on when the node came (back): its bridge, and the other leg in it."""

    bridge_id: str
    leg_id: str


@frozen
class Pressed:
    """A call from the panel's buttons: its channel stands in TdCall.

    After a restart `talk` is the talk to go on with, `record` what was known of the call, and `first_leg` the first
    number that no leg of the call has had.
    """

    channel_id: str
    dialled: str
    talk: Talk | None = None
    record: CallRecord | None = None
    first_leg: int = 1


@frozen
class Found:
    """The other leg of a 112 call that stood when the node came (back), and their bridge, "" if they had none yet."""

    leg_id: str
    bridge_id: str
    up: bool


@frozen
class SosPressed:
    """A 112 call from the panel: its channel stands in TdCallSOS. `city` is what Kamailio says, by its FIAS id.

    `recording` is the file that Asterisk writes. `stood`: it stood when the node came (back); then `found` is the leg to
    go on with.
    """

    channel_id: str
    city: str = ""
    recording: str = ""
    found: Found | None = None
    record: CallRecord | None = None
    first_leg: int = 1
    stood: bool = False


@define(eq=False)
class Hold:
    """The lock, held: for what, and how to end it. `ending` is the outcome of a call that is made to end.

    `before`: those who had the lock and may not have cleaned up yet. `presses`: further presses of SOS while it is
    held for that, which `on_press` takes as they come. `since` is UTC, in seconds.
    """

    claim: Claim
    ending: Outcome = Outcome.STOPPED
    before: tuple[Hold, ...] = ()
    scope: trio.CancelScope = Factory(trio.CancelScope)
    done: trio.Event = Factory(trio.Event)
    presses: list[SosPressed] = Factory(list)
    on_press: Callable[[SosPressed], None] | None = None
    since: float = Factory(time.time)

    async def free(self) -> None:
        """Wait until the panel is free of the calls before, `HANDOVER_S` at most."""
        with trio.move_on_after(HANDOVER_S):
            for each in self.before:
                await each.done.wait()
        self.before = ()


@define(eq=False)
class Loan:
    """The lock, lent to who calls the panel. `taken` is set when somebody comes first: end the call, and give it back."""

    taken: trio.Event = Factory(trio.Event)
    given_back: trio.Event = Factory(trio.Event)


@frozen
class Borrow:
    """Somebody wants to call the panel; the reply is None if the lock is held by what comes first, or the panel has had a
    call less than `idle_s` ago.
    """

    claim: Claim
    reply: Reply[Loan | None]
    idle_s: float = 0.0


@frozen
class Released:
    """The call that held the lock is over, and has given everything back."""

    hold: Hold


Call = Pressed | SosPressed
DomophoneMessage = Call | Borrow | Released
CarryCall = Callable[[str, Call, Hold], Awaitable[None]]
"""Carries a call from the panel (its SIP user) to its end."""
TurnAway = Callable[[Pressed], None]
"""Hangs up on a visitor whose panel is held by what comes first."""


class Domophone:
    """The actor of one panel, known by its SIP user. `locks` has the panels that are held; each writes its own there."""

    def __init__(
        self,
        sip_user: str,
        mailbox: Mailbox[DomophoneMessage],
        *,
        carry: CarryCall,
        turn_away: TurnAway,
        idle_s: float,
        locks: dict[str, Hold] | None = None,
    ) -> None:
        self.sip_user = sip_user
        self._mailbox = mailbox
        self._carry = carry
        self._turn_away = turn_away
        self._idle_s = idle_s
        self._locks = {} if locks is None else locks
        # All state, changed by `run`'s task only:
        self._hold: Hold | None = None
        self._idle_since = -math.inf  # it has had no call, for as long as an actor stays awake

    async def run(self) -> None:
        try:
            with self._mailbox.owned():
                async with trio.open_nursery() as nursery:
                    while batch := await self._mailbox.receive_all(math.inf if self._hold else self._idle_s):
                        for message in batch:
                            self._handle(message, nursery)
        finally:
            self._hold_for(None)

    def _hold_for(self, hold: Hold | None) -> None:
        self._hold = hold
        if hold is None:
            self._locks.pop(self.sip_user, None)
        else:
            self._locks[self.sip_user] = hold

    def _handle(self, message: DomophoneMessage, nursery: trio.Nursery) -> None:
        match message:
            case Pressed():
                hold = self._take(Claim.VISITOR, Outcome.REPLACED)
                if hold is None:
                    self._turn_away(message)
                else:
                    nursery.start_soon(self._call, message, hold)
            case SosPressed():
                hold = self._take(Claim.SOS, Outcome.PREEMPTED)
                if hold is not None:
                    nursery.start_soon(self._call, message, hold)
                elif self._hold is not None:
                    self._hold.presses.append(message)
                    if self._hold.on_press is not None:
                        self._hold.on_press(self._hold.presses.pop())
            case Borrow(claim, reply, idle_s):
                is_idle = not idle_s or trio.current_time() - self._idle_since >= idle_s
                hold = self._take(claim, Outcome.PREEMPTED) if is_idle else None
                if hold is None:
                    reply.answer(None)
                else:
                    nursery.start_soon(self._lend, reply, hold)
            case Released(hold=hold) if self._hold is hold:
                self._hold_for(None)
                self._idle_since = trio.current_time()
                for press in hold.presses:  # it came when the call was at its end
                    self._handle(press, nursery)

    def _take(self, claim: Claim, ending: Outcome) -> Hold | None:
        """Take the lock for `claim`, or None. Who holds it is made to end, with the outcome `ending`."""
        held = self._hold
        before: tuple[Hold, ...] = ()
        if held is not None:
            if not gives_way(held.claim, claim):
                return None
            held.ending = ending
            held.scope.cancel()
            before = tuple(each for each in (*held.before, held) if not each.done.is_set())
        hold = Hold(claim, before=before)
        self._hold_for(hold)
        return hold

    async def _call(self, call: Call, hold: Hold) -> None:
        try:
            with hold.scope:
                if hold.claim is not Claim.SOS:
                    await hold.free()
                await self._carry(self.sip_user, call, hold)
        except BaseException as error:
            failure, others = divide(error)
            if self._hold is hold or failure is None:
                raise
            # It has ended for another call already, which must not be taken along.
            log.error("a call failed while it was made to end", panel=self.sip_user, exc_info=failure)
            if others is not None:
                raise others from None
        finally:
            hold.done.set()
            self._mailbox.tell(Released(hold))

    async def _lend(self, reply: Reply[Loan | None], hold: Hold) -> None:
        loan = Loan()
        try:
            with hold.scope:
                await hold.free()
                if not reply.answer(loan):
                    loan.given_back.set()
                await loan.given_back.wait()
            if not loan.given_back.is_set():
                reply.answer(None)
                loan.taken.set()
                with trio.move_on_after(HANDOVER_S):
                    await loan.given_back.wait()
        finally:
            hold.done.set()
            self._mailbox.tell(Released(hold))


@asynccontextmanager
async def borrowed(
    mailbox: Mailbox[DomophoneMessage], claim: Claim, *, idle_s: float = 0.0
) -> AsyncIterator[Loan | None]:
    """Hold a panel's lock to call it; None: it is not to be had. When somebody comes first the body is cancelled.

    `idle_s`: only if the panel has had no call for so long; not more than an idle panel's actor stays awake.
    """
    try:
        loan = await ask(mailbox, partial(Borrow, claim, idle_s=idle_s), HANDOVER_S + ASK_S)
    except AskError as error:
        log.warning("a panel's lock could not be borrowed", why=str(error))
        loan = None
    if loan is None:
        yield None
        return

    async def watch(scope: trio.CancelScope) -> None:
        await loan.taken.wait()
        scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            yield loan
            nursery.cancel_scope.cancel()
    finally:
        loan.given_back.set()
