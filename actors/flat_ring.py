"""A flat's phones rung for a test, without a panel: by the same fan-out as for a visitor, so that the call's page shows
what each phone does, and why one does not ring.

`FlatRings` takes what is asked for and owns which flats are being rung; each ring is an actor of its own (`FlatRing`),
and a call of kind "test_ring" in the journal. The first to answer hears a prompt, then is hung up. A visitor comes first:
when one calls the flat, or is calling it already, the test ends.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import trio
from attrs import frozen

from actors.account_fanout import AccountFanout, Answered, Fanout, NobodyCame
from actors.actor import Mailbox
from actors.journal import CallLog, Journal
from actors.keyed import KeyedSupervisor
from actors.talk import CallMailbox, play
from config import CallConfig
from crm.directory.flat_lookup import find_flat
from crm.directory.lookup import FlatInfo
from crm.store import Store, StoreError
from crm.values.records import CallRecord, Entry, EntryKind, Outcome
from live import RingRefused
from logs import get_logger
from restarts import ChildEvent, divide
from telephony.ari.channels import Leg, LegEvent
from telephony.ari.client import Ari
from telephony.push.interface import PushProvider

KIND, VISITOR = "test_ring", "visitor"
PROMPT, TONE = "sound:teledom/test-ring", "tone:record"
PROMPT_S, TONE_S = 12.0, 1.0
AT_ONCE = 20  # flats
LOOK_UP_S = 5.0
THREADS = 2  # that look flats up: a database that hangs keeps no more
WAIT_S = 5.0
WHO_MAX = 200  # characters
CALLER = "teledom-test"

log = get_logger("test ring")


@frozen
class RingWorld:
    """What rings for a test work with."""

    node: str
    config: CallConfig
    ari: Ari
    journal: Journal
    push: PushProvider
    store: Store


@frozen
class RingFlat:
    """Ring this flat; `who` asked for it."""

    flat_id: int
    who: str


@frozen
class NoPanel:
    """Who calls, where no panel does."""

    address: str
    sip_user: str = CALLER
    mac: str = ""


class FlatRings:
    """What is rung now. No ring's fault ends `run`."""

    def __init__(self, world: RingWorld, on_event: Callable[[ChildEvent], None]) -> None:
        self._world = world
        self._threads: trio.CapacityLimiter | None = None
        # All state: the call of each flat that is being rung.
        self._calls: dict[int, str] = {}
        self._rings: KeyedSupervisor[str, RingFlat] = KeyedSupervisor(
            self._ring, name="test rings", capacity=1, intensity=1_000_000, on_event=on_event
        )

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """Ring what is asked for until cancelled."""
        self._calls.clear()
        self._threads = self._threads or trio.CapacityLimiter(THREADS)
        await self._rings.run(task_status=task_status)

    def ring(self, flat_id: int, who: str) -> str:
        """Begin to ring a flat, at once: the call's id; that of the ring under way, if there is one.

        Raises live.RingRefused.
        """
        if flat_id in self._calls:
            return self._calls[flat_id]
        if len(self._calls) >= AT_ONCE:
            raise RingRefused(f"{AT_ONCE} flats are being rung for a test already: try again in a minute")
        if (why := self._world.ari.readiness()) is not None:
            raise RingRefused(f"the node cannot carry calls: {why}")
        call_id = self._calls[flat_id] = secrets.token_hex(8)
        log.info("a flat is rung for a test", flat=flat_id, who=who, call=call_id)
        self._rings.tell(call_id, RingFlat(flat_id, who[:WHO_MAX]))
        return call_id

    async def _ring(self, call_id: str, mailbox: Mailbox[RingFlat]) -> None:
        with mailbox.owned():
            asked = await mailbox.receive_or_retire(WAIT_S)
            if asked is not None:
                try:
                    await FlatRing(self._world, call_id, asked, self._threads).run()
                finally:
                    self._calls.pop(asked.flat_id, None)
        mailbox.retire()


class FlatRing:
    """One ring. `run` carries it to its end."""

    def __init__(
        self, world: RingWorld, call_id: str, asked: RingFlat, threads: trio.CapacityLimiter | None
    ) -> None:
        self._world = world
        self._asked = asked
        self._threads = threads
        self._scope = trio.CancelScope()
        self._mailbox: CallMailbox = Mailbox(f"test ring {call_id}", 512)
        self._record = CallRecord(
            call_id, world.node, "", "", started_at=time.time(), kind=KIND, flat_id=asked.flat_id
        )
        self._log: CallLog = world.journal.open(self._record)
        self._ended_by = ""

    async def run(self) -> None:
        """Ring, whatever happens; its record is closed with how it ended."""
        self._log.note(EntryKind.BUTTON, by=self._asked.who)
        outcome = Outcome.FAILED
        unlisten = self._world.journal.listen(self._hear)
        try:
            with self._scope, self._mailbox.owned():
                outcome = await self._carry()
            if self._scope.cancelled_caught:
                outcome, self._ended_by = Outcome.PREEMPTED, VISITOR
        except BaseException as error:
            if divide(error)[0] is None:
                outcome = Outcome.STOPPED
            raise
        finally:
            unlisten()
            self._record.ended_at, self._record.outcome = time.time(), outcome
            self._log.note(EntryKind.END, outcome=outcome.value, by=self._ended_by)
            self._log.close()

    def _hear(self, record: CallRecord, entry: Entry) -> None:
        """The journal's: a visitor who calls this flat comes first."""
        if entry.kind is EntryKind.FOUND and self._is_visited(record):
            self._scope.cancel()

    def _is_visited(self, record: CallRecord) -> bool:
        return record.kind == VISITOR and record.flat_id == self._asked.flat_id

    async def _carry(self) -> Outcome:
        if any(self._is_visited(record) for record in self._world.journal.going_on.values()):
            self._ended_by = VISITOR
            return Outcome.PREEMPTED
        try:
            flat = await self._look_up()
        except StoreError as error:
            self._log.note(EntryKind.NOT_FOUND, why=str(error))
            return Outcome.DIRECTORY_AWAY
        if flat is None:
            self._log.note(EntryKind.NOT_FOUND, why="no such flat")
            return Outcome.UNKNOWN_FLAT
        self._record.flat, self._record.address = flat.number, flat.address
        found: dict[str, str | int] = {
            "address": flat.address,
            "flat": flat.number,
            "accounts": len(flat.accounts),
            "phones": sum(len(account.phones) for account in flat.accounts),
        }
        if flat.blocks:
            found["blocks"] = ", ".join(flat.blocks)
        self._log.note(EntryKind.FOUND, "", **found)
        if flat.blocks:
            return Outcome.BLOCKED
        return await self._call(flat) if flat.accounts else Outcome.NO_ACCOUNTS

    async def _look_up(self) -> FlatInfo | None:
        """The flat. Raises StoreError."""
        with trio.move_on_after(LOOK_UP_S):
            return await trio.to_thread.run_sync(
                find_flat,
                self._world.store,
                self._asked.flat_id,
                time.time(),
                abandon_on_cancel=True,
                limiter=self._threads,
            )
        raise StoreError(f"the database did not answer within {LOOK_UP_S:g} s")

    async def _call(self, flat: FlatInfo) -> Outcome:
        world = self._world
        deadline = trio.current_time() + world.config.ring_s
        fanout = AccountFanout(
            Fanout(
                ari=world.ari,
                lane=world.ari.pick_lane(),
                push=world.push,
                log=self._log,
                config=world.config,
                panel_channel="",
                panel=NoPanel(flat.address),
                flat=flat,
                deadline=deadline,
            ),
            self._mailbox.tell,
            self._deliver,
        )
        async with trio.open_nursery() as phones:
            phones.start_soon(fanout.run)
            outcome = await self._await_answer(deadline)
            phones.cancel_scope.cancel()
        return outcome

    def _deliver(self, leg: Leg, event: LegEvent) -> None:
        self._mailbox.tell((leg, event))

    async def _await_answer(self, deadline: float) -> Outcome:
        with trio.CancelScope(deadline=deadline) as limit:
            while True:
                for message in await self._mailbox.receive_all():
                    match message:
                        case Answered(leg=leg, account=account):
                            limit.deadline = trio.current_time() + PROMPT_S + TONE_S
                            return await self._tell(leg, account)
                        case NobodyCame(outcome=outcome):
                            return outcome
                        case _:
                            pass
        self._ended_by = "limit"
        return Outcome.RING_TIMEOUT if self._record.answered_at is None else Outcome.TALKED

    async def _tell(self, leg: Leg, account: str) -> Outcome:
        """Say to who answered first that all is well, and hang up."""
        self._record.answered_at, self._record.answered_by = time.time(), account
        language = self._world.config.language
        if not await play(self._mailbox, self._log, leg, PROMPT, language, PROMPT_S):
            await play(self._mailbox, self._log, leg, TONE, language, TONE_S)
        self._ended_by = account if leg.gone else KIND
        leg.drop()
        return Outcome.TALKED
