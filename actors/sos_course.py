"""What the course of a 112 call and of a call-back have in common: one mailbox for all legs, their talk, their end.

A call that goes on while the node is stopped stays in Asterisk (`stays`), with its record open, for the node that comes
next; whatever else ends it gives everything back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import structlog
import trio

from actors.actor import Mailbox
from actors.domophone import Found
from actors.duty_desk import Kind, State
from actors.sos_dial import Attempt
from actors.sos_world import APPLICATION, SosPage, SosWorld
from actors.talk import Ends, listen
from crm.values.records import CallRecord, LegEnd, LegRecord, Outcome
from telephony.ari.bridges import Bridge
from telephony.ari.channels import Leg, LegEvent, Refused

log = structlog.get_logger("sos")


class Course:
    """One call: its page, its legs, and the talk when there is one. Its owner's task alone changes it."""

    def __init__(
        self, world: SosWorld, kind: Kind, record: CallRecord, *, resumed: bool = False, first_leg: int = 1
    ) -> None:
        self.world = world
        self.record = record
        self.page = SosPage(world, kind, record, resumed=resumed)
        self.mailbox: Mailbox[object] = Mailbox(f"{kind.value} {record.call_id}", 512)
        self.lane = world.ari.pick_urgent_lane()
        self.ends: Ends | None = None  # while there is a talk
        self.bridge: Bridge | None = None
        self.refused_location = False  # by the last attempt
        self._next_leg = first_leg

    def stays(self) -> bool:
        """Whether the node is being stopped, so that the call goes on without it."""
        return trio.current_effective_deadline() == -math.inf

    # --- trunks ----------------------------------------------------------------------------------------------

    def over_trunks(self, name: str, dials: str) -> Iterator[Attempt]:
        """The trunks of [dispatch.NAME] in their order; one that refused a location is tried once more without.

        Whoever tries says of each attempt, in `refused_location`, whether it was refused so.
        """
        trunks = self.world.trunks
        for trunk in trunks.order(self.world.dispatches[name].trunks):
            self.refused_location = False
            yield Attempt(name, trunk, dials, located=trunks.takes_location(trunk))
            if self.refused_location:
                yield Attempt(name, trunk, dials, located=False)

    # --- legs ------------------------------------------------------------------------------------------------

    def inbound(self, channel_id: str) -> Leg:
        """A channel that came in by itself."""
        return self._leg(channel_id, inbound=True)

    def new_leg(self, role: str) -> Leg:
        """A further channel of the call: asked for by nobody yet."""
        number, self._next_leg = self._next_leg, self._next_leg + 1
        return self._leg(f"td-{self.record.call_id}-{role}-{number}")

    def adopted(self, channel_id: str, *, up: bool) -> Leg:
        """One that a node before us has made."""
        return self._leg(channel_id, up=up).adopt_created()

    def _leg(self, channel_id: str, *, inbound: bool = False, up: bool = False) -> Leg:
        return Leg(
            self.world.ari,
            self.lane,
            channel_id,
            self._deliver,
            inbound=inbound,
            up=up,
            application=APPLICATION,
            stay=self.stays,
        )

    def _deliver(self, leg: Leg, event: LegEvent) -> None:
        self.mailbox.tell((leg, event))

    def _refused(self, refused: Refused) -> None:
        self.mailbox.tell(refused)

    # --- what comes in ---------------------------------------------------------------------------------------

    async def receive(self) -> list[object]:
        """What the legs tell, all that waits; what is for the call itself is seen to."""
        batch = await self.mailbox.receive_all()
        for message in batch:
            await self.other(message)
        return batch

    async def other(self, message: object) -> None:
        """Something that no leg of a talk tells."""
        match message:
            case (_, Refused() as refused):
                log.warning("Asterisk refused", call=self.record.call_id, what=str(refused))
            case _:
                pass

    # --- the talk --------------------------------------------------------------------------------------------

    async def talk(self, ends: Ends, role: str, found: Found | None = None) -> Outcome:
        """Bridge both ends, and follow the talk to its end; with `found` they may be bridged already."""
        record, page = self.record, self.page
        if record.answered_at is None:
            record.answered_at, record.answered_by = time.time(), ends.account
        bridged = found is not None and bool(found.bridge_id)
        name = f"td-{record.call_id}-bridge"
        if found is not None:  # one of the first name may be on its way out
            name = found.bridge_id or f"{name}-{self._next_leg}"
        bridge = Bridge(self.world.ari, self.lane, name, self._refused, stay=self.stays)
        async with bridge.adopt() if bridged else bridge:
            self.bridge, self.ends = bridge, ends
            for leg in (ends.panel, ends.leg):
                if leg.inbound and not bridged:
                    leg.answer()
            if not bridged:
                bridge.add(ends.panel, ends.leg)
            page.show(State.TALKING)
            left_s = max(1.0, self.world.config.talk_s - (time.time() - record.answered_at))
            outcome, page.by = await listen(
                self.mailbox, page.log, ends, left_s, bridged=bridged, other=self.other
            )
        for leg, its_role in ((ends.panel, "panel"), (ends.leg, role)):
            if not leg.inbound:
                close_leg(page.leg(leg, its_role, ends.account), leg)
        return outcome


def close_leg(record: LegRecord, leg: Leg) -> None:
    """A channel's end, as it is known."""
    record.ended_at, record.cause = time.time(), leg.cause or None
    record.end = LegEnd.HUNG_UP if leg.dropped is None else LegEnd.DROPPED
