"""Simulated panels: `press` makes an inbound channel in Stasis(TdCall), as Kamailio's INVITE and the dialplan
would.

What comes back is the panel's own view of its call: what it was sent, when, and how the call ended.
"""

from __future__ import annotations

from enum import Enum

import trio
from attrs import Factory, define, field

from testbed.simulated.shapes import Channel, ChannelState, PeerSees
from testbed.simulated.world import World


class PanelState(Enum):
    """How far a panel's call has come, as the panel sees it."""

    TRYING = "trying"
    RINGING = "ringing"  # it was sent 180
    PROGRESS = "progress"  # 183
    ANSWERED = "answered"
    ENDED = "ended"


@define(eq=False)
class PanelCall:
    """One call from a panel. Times are the Trio clock's, in seconds; `code` is the SIP code of an end before
    an answer.
    """

    panel: str
    dialled: str
    channel: Channel
    world: World = field(repr=False)
    pressed_at: float = Factory(trio.current_time)
    state: PanelState = PanelState.TRYING
    seen: list[tuple[float, PanelState]] = Factory(list)
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    cause: int | None = None
    code: int | None = None
    digits: str = ""  # what it was sent
    _changed: trio.Event = Factory(trio.Event)

    def hears(self, what: PeerSees, number: int) -> None:
        """What Asterisk sends it; wired to its channel."""
        now = trio.current_time()
        match what:
            case PeerSees.DTMF:
                self.digits += chr(number)
            case PeerSees.RINGING:
                self._becomes(PanelState.RINGING, now)
                self.ringing_at = self.ringing_at or now
            case PeerSees.PROGRESS:
                self._becomes(PanelState.PROGRESS, now)
                self.ringing_at = self.ringing_at or now
            case PeerSees.ANSWERED:
                self._becomes(PanelState.ANSWERED, now)
                self.answered_at = now
            case PeerSees.ENDED:
                if self.answered_at is None:
                    self.code = number
                else:
                    self.cause = number
                self.ended_at = now
                self._becomes(PanelState.ENDED, now)
        self._changed.set()
        self._changed = trio.Event()

    def _becomes(self, state: PanelState, now: float) -> None:
        self.state = state
        self.seen.append((now, state))

    async def wait(self, *states: PanelState) -> PanelState:
        """Until it has been in one of these states; give it a deadline of your own."""
        while True:
            for _, state in self.seen:
                if state in states:
                    return state
            await self._changed.wait()

    async def wait_digits(self, digits: str) -> None:
        """Until it has been sent these digits, whatever came before."""
        while digits not in self.digits:
            await self._changed.wait()

    def hangup(self) -> None:
        """The visitor gives up (CANCEL), or hangs up (BYE)."""
        if self.channel.state is ChannelState.UP:
            self.world.hang_up(self.channel)
        else:
            self.world.hang_up(self.channel, 127, sip=487)
        self.world.timers.run_soon()

    def dtmf(self, digits: str) -> None:
        for digit in digits:
            self.world.dtmf_from(self.channel, digit)


def press(world: World, panel: str, dialled: str, app: str = "TdCall") -> PanelCall:
    """A visitor presses a flat's number. With nobody attached to the application, the dialplan refuses the
    call: 503.
    """
    channel = world.new_channel()
    channel.inbound = True
    channel.changed(
        state=ChannelState.RING,
        exten=dialled,
        priority=8,
        caller=(panel, panel),
    )
    call = PanelCall(panel, dialled, channel, world)
    channel.hears = call.hears
    if not world.enter_stasis(channel, app, [f"panel={panel}", f"flat={dialled}"]):
        del world.channels[channel.id]
        world.end(channel, 34, None)
    return call
