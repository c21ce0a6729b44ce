"""A call that comes in from a trunk, on a number that was lent: the dispatch calls back.

An actor a call, by its channel. It asks the pool whose number it is, borrows that panel's lock (all but another 112 call
gives way), calls the panel, and bridges. A call from no number of a dispatch follows `[sos] strangers`. Where no panel is
to be had the duty desk takes the call; and if the node cannot carry it, the dialplan does: it is never refused.
"""

from __future__ import annotations

import time

import structlog
import trio
from attrs import frozen

from actors.actor import AskError
from actors.domophone import Claim, DomophoneMessage, Found, Loan, borrowed
from actors.duty_desk import Kind, State
from actors.keyed import KeyedSupervisor
from actors.sos_course import Course, close_leg
from actors.sos_pool import SosPool
from actors.sos_ring import Callee, ring
from actors.sos_world import FIND_S, SosWorld
from actors.talk import Ends
from actors.visitor import call_id_of, lose_legs
from config import Strangers
from crm.sos.panels import SosPanel
from crm.values.records import CallRecord, EntryKind, Outcome
from restarts import divide
from telephony.ari.errors import AriError

REALM = "teledom"  # of a panel that is not known any more
AGAIN_S = 2.0  # from one try to the next, of a panel that is busy with a call that we do not know of
PAUSE_S = 0.5

log = structlog.get_logger("sos")


@frozen
class CameIn:
    """A call from a trunk on `number`, whose channel stands in TdCallSOS. After a restart `found` is the other end."""

    channel_id: str
    number: str
    caller: str
    recording: str = ""
    found: Found | None = None
    record: CallRecord | None = None
    first_leg: int = 1


class InboundCall(Course):
    """One call. `run` carries it to its end."""

    def __init__(
        self, world: SosWorld, domophones: KeyedSupervisor[str, DomophoneMessage], came: CameIn
    ) -> None:
        record = came.record or CallRecord(
            call_id_of(came.channel_id),
            world.node,
            "",
            came.number,
            started_at=time.time(),
            kind=Kind.CALL_BACK.value,
            number=came.number,
            recording=came.recording,
        )
        resumed = came.record is not None
        super().__init__(world, Kind.CALL_BACK, record, resumed=resumed, first_leg=came.first_leg)
        self._domophones = domophones
        self._came = came
        self._caller = self.inbound(came.channel_id)
        self._pool: SosPool | None = None
        self._loan: Loan | None = None

    async def run(self) -> None:
        """Carry the call; whatever happens, its record is closed with how it ended, unless it goes on."""
        outcome = Outcome.FAILED
        try:
            with self.mailbox.owned():
                async with self._caller:
                    try:
                        outcome = await self._carry()
                    except BaseException as error:
                        if divide(error)[0] is not None:
                            self._caller.leave()
                        raise
        finally:
            if not self.stays():
                if self._pool is not None:
                    self._pool.ended(self._pool.stored(self._came.number) or "", self.record.call_id)
                close_leg(self.page.leg(self._caller, "dispatch", self._came.caller), self._caller)
                self.page.close(outcome)

    def stays(self) -> bool:
        taken = self._loan is not None and self._loan.taken.is_set()
        return super().stays() and not taken

    def _over(self) -> bool:
        return self._caller.gone

    # --- the course ------------------------------------------------------------------------------------------

    async def _carry(self) -> Outcome:
        world, page, came = self.world, self.page, self._came
        psap = world.is_dispatch(came.caller)
        if came.record is None:
            page.note(EntryKind.CALLED_BACK, number=came.number, caller=came.caller, known=int(psap))
        page.leg(self._caller, "dispatch", came.caller)
        panel = await self._panel_behind()
        if panel is not None:
            page.about(panel)
            page.note(EntryKind.FOUND, address=panel.address)
        else:
            page.note(EntryKind.NOT_FOUND, why=f"nobody was ever lent {came.number}")
        page.show(State.CALLING, caller=came.caller)
        if came.found is None:
            lose_legs(self.record, came.channel_id)
            self._caller.ring()
        outcome: Outcome | None = None
        if panel is not None and (
            psap or world.config.strangers is Strangers.PANEL or came.found is not None
        ):
            async with borrowed(self._domophones.ensure(panel.sip_user), Claim.CALL_BACK) as self._loan:
                if self._loan is not None:
                    outcome = Outcome.PREEMPTED  # when it is cancelled now, that is why
                    outcome = await self._call_panel(panel, psap)
            if outcome is Outcome.PREEMPTED:
                page.by = "panel"
                return outcome
        if outcome is None and not self._over():
            outcome = await self._call_duty()
        if outcome is None and self._over():
            page.by, outcome = "dispatch", Outcome.GAVE_UP
        return outcome or self._give_up()

    async def _panel_behind(self) -> SosPanel | None:
        """The panel that has, or had last, the number; its lease is extended."""
        world, number = self.world, self._came.number
        own = world.register.owner(number)
        if own is not None:
            return own
        self._pool = next((each for each in world.pools.values() if each.stored(number)), None)
        if self._pool is None:
            return None
        try:
            lease = await self._pool.called_back(number, self.record.call_id)
        except AskError as error:
            log.error("a pool does not answer: its last lease is taken", number=number, why=str(error))
            lease = self._pool.last(number)
        user, at = await self._dialplan_lent(self._pool.stored(number) or number)
        if lease is not None and lease.started_at >= at:
            user = lease.panel
        if not user:
            return None
        found = await world.register.find(user, FIND_S)
        mac = lease.domophone if lease is not None and lease.panel == user else ""
        return found or SosPanel(user, REALM, mac, self._pool.dispatch.fias)

    async def _dialplan_lent(self, number: str) -> tuple[str, float]:
        """Whom the dialplan lent a number of the reserve, and when, while no node was there; "" for nobody."""
        if self._pool is None or number not in self._pool.dispatch.reserve:
            return "", 0.0
        with trio.move_on_after(FIND_S):
            try:
                user, _, at = (await self.world.ari.control.variable(f"DB(teledom-sos/{number})")).partition(
                    ","
                )
                return (user, float(at)) if at.isdigit() else ("", 0.0)
            except AriError as error:
                log.warning("what the dialplan remembers could not be read", number=number, why=str(error))
        return "", 0.0

    async def _call_panel(self, panel: SosPanel, psap: bool) -> Outcome | None:
        """Ring the panel, again if it is busy, until it answers or its time is over."""
        account = f"{panel.sip_user}@{panel.domain}"
        if self._came.found is not None:
            return await self._go_on(account)
        until = trio.current_time() + self.world.config.call_back_ring_s
        while not self._over() and (left_s := until - trio.current_time()) > 1:
            began = trio.current_time()
            outcome = await self._ring(Callee("panel", account, left_s, psap))
            if outcome is not None or self._over():
                return outcome
            with trio.move_on_after(max(PAUSE_S, AGAIN_S - (trio.current_time() - began))):
                while not self._over():
                    await self.receive()
        return None

    async def _call_duty(self) -> Outcome | None:
        if not self.world.duty:
            return None
        self.page.show(State.CALLING, "the duty desk is called")
        return await self._ring(Callee("duty", self.world.duty, self.world.config.ring_s))

    async def _ring(self, callee: Callee) -> Outcome | None:
        """Call somebody, and talk; None: nobody came."""
        async with self.new_leg(callee.role) as leg:
            answered = await ring(
                self.world,
                self.page,
                leg,
                callee,
                self._came.caller or self._came.number,
                self.receive,
                self._over,
                originator=self._caller.id,
                on_ring=lambda: self.page.show(State.RINGING),
            )
            if not answered:
                return None
            return await self.talk(Ends(leg, self._caller, callee.account, ""), callee.role)

    def _give_up(self) -> Outcome:
        """Nobody is there: the dialplan may know better, and hangs up if it does not."""
        self._caller.leave()
        return Outcome.NOBODY_ANSWERED

    async def _go_on(self, account: str) -> Outcome | None:
        """Take up a talk that went on while no node was there."""
        found = self._came.found
        assert found is not None
        self.page.note(EntryKind.RECOVERED, how="the talk goes on")
        async with self.adopted(found.leg_id, up=True) as leg:
            return await self.talk(Ends(leg, self._caller, account, ""), "panel", found)
