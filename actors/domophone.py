"""One panel: its lock, and the one call that may hold it.

Only this actor changes the panel's state. Everything that wants the panel tells it, and it alone decides, by who comes
first: SOS, a call-back from 112, a visitor, a quality call. The higher one ends the lower one, waits for its clean-up
(`HANDOVER_S` at most) and takes the lock. A second call of a visitor from the same panel means that the first one's end
was lost: the new one is real.

A call runs in this actor's nursery. If it crashes, the actor goes with it, after the call has given back its channels,
and its supervisor starts a new one with a clean lock. An idle panel's actor retires.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from enum import IntEnum

import trio
from attrs import Factory, define, frozen

from actors.actor import Mailbox
from crm.records import CallRecord, Outcome

HANDOVER_S = 3.0


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


@define(eq=False)
class Hold:
    """The lock, held: for what, and how to end it. `ending` is the outcome of a call that is made to end."""

    claim: Claim
    ending: Outcome = Outcome.STOPPED
    scope: trio.CancelScope = Factory(trio.CancelScope)
    done: trio.Event = Factory(trio.Event)


@frozen
class Released:
    """The call that held the lock is over, and has given everything back."""

    hold: Hold


DomophoneMessage = Pressed | Released
CarryCall = Callable[[str, Pressed, Hold], Awaitable[None]]
"""Carries a visitor's call from the panel (its SIP user) to its end."""
TurnAway = Callable[[Pressed], None]
"""Hangs up on a visitor whose panel is held by what comes first."""


class Domophone:
    """The actor of one panel, known by its SIP user."""

    def __init__(
        self,
        sip_user: str,
        mailbox: Mailbox[DomophoneMessage],
        *,
        carry: CarryCall,
        turn_away: TurnAway,
        idle_s: float,
    ) -> None:
        self.sip_user = sip_user
        self._mailbox = mailbox
        self._carry = carry
        self._turn_away = turn_away
        self._idle_s = idle_s
        # All state, changed by `run`'s task only:
        self._hold: Hold | None = None

    async def run(self) -> None:
        with self._mailbox.owned():
            async with trio.open_nursery() as nursery:
                while batch := await self._mailbox.receive_all(math.inf if self._hold else self._idle_s):
                    for message in batch:
                        match message:
                            case Pressed():
                                hold = await self._take(Claim.VISITOR, Outcome.REPLACED)
                                if hold is None:
                                    self._turn_away(message)
                                else:
                                    nursery.start_soon(self._call, message, hold)
                            case Released(hold=hold):
                                if self._hold is hold:
                                    self._hold = None

    async def _take(self, claim: Claim, ending: Outcome) -> Hold | None:
        """Take the lock for `claim`, or None. Who holds it ends with the outcome `ending`, and is waited for."""
        held = self._hold
        if held is not None:
            if not gives_way(held.claim, claim):
                return None
            held.ending = ending
            held.scope.cancel()
            with trio.move_on_after(HANDOVER_S):
                await held.done.wait()
        self._hold = Hold(claim)
        return self._hold

    async def _call(self, pressed: Pressed, hold: Hold) -> None:
        try:
            with hold.scope:
                await self._carry(self.sip_user, pressed, hold)
        finally:
            hold.done.set()
            self._mailbox.tell(Released(hold))
