"""One city's emergency numbers: lent for 112 calls, held for the call back, found again.

Only this actor changes the pool (actors/sos_rules.py decides). A lease is committed to the database before it is given
out. What takes longer than `[sos] commit_ms` is committed to the node's own file instead (actors/sos_file.py), and to the
database as soon as that is back; so a 112 call waits for nothing, and no lease is lost to a crash of either.
A commit says which state of the pool it saw: if another node was faster, the pool is looked at again, and chosen anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import trio
from attrs import frozen

from actors.actor import Mailbox, Reply, ask
from actors.duty_desk import Alarm, DutyDesk
from actors.sos_books import LOAD_S, NOT_YET, SosBooks
from actors.sos_file import SosFile
from actors.sos_rules import Number, Pool
from config import DispatchConfig, SosConfig
from crm.sos.leases import PoolChanged, PoolState
from crm.store import Store, StoreError
from crm.values.sos import Holding, Lease, Standing, Why, same_number
from said import Says, said

TICK_S = 2.0
ASK_S = 1.0  # beside the commit
LOST_S = 60.0  # after the start calls that nobody carries are taken for lost
TRIES = 3


@frozen
class Lend:
    panel: str
    domophone: str
    call_id: str
    reply: Reply[Lease | None]


@frozen
class CalledBack:
    number: str
    call_id: str
    reply: Reply[Lease | None]


@frozen
class Ended:
    number: str
    call_id: str


@frozen
class Tick:
    """Time has passed: look at what is due."""


@frozen
class Loaded:
    """The pool as the database has it; `why_not` when it is away."""

    state: PoolState | None
    why_not: str = ""


PoolMessage = Lend | CalledBack | Ended | Tick | Loaded


class SosPool:
    """The actor of the numbers of `dispatch`. `name` is that of its section; `desk` is told what is wrong."""

    def __init__(
        self,
        name: str,
        dispatch: DispatchConfig,
        config: SosConfig,
        *,
        node: str,
        store: Store,
        file: SosFile,
        desk: DutyDesk,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.dispatch = dispatch
        self._config = config
        self._node = node
        self._desk = desk
        self._wall_clock = wall_clock
        self._mailbox: Mailbox[PoolMessage] = Mailbox(f"pool {name}", 1024)
        # All state, changed by `run`'s task only; calls that go on outlive a crash of it:
        holding = Holding(config.hold_s, config.keep_s, config.talk_s + 2 * config.ring_s)
        self.pool = Pool(dispatch.fias, holding)
        self._books = SosBooks(dispatch, config, store, file, self._is_away)
        self._loading = False
        self._load_at = 0.0
        self._lost_at = math.inf

    # --- what others ask -------------------------------------------------------------------------------------

    async def lend(self, panel: str, domophone: str, call_id: str) -> Lease | None:
        """A number for a call, its lease committed; None: the pool has none at all. Raises AskError."""
        make = partial(Lend, panel, domophone, call_id)
        return await ask(self._mailbox, make, self._config.commit_ms / 1000 + ASK_S)

    async def called_back(self, number: str, call_id: str) -> Lease | None:
        """A call comes in on a number: the lease of who had it last, which is extended. Raises AskError."""
        make = partial(CalledBack, self.stored(number) or number, call_id)
        return await ask(self._mailbox, make, self._config.commit_ms / 1000 + ASK_S)

    def ended(self, number: str, call_id: str) -> None:
        """A call on a number is over."""
        self._mailbox.tell(Ended(number, call_id))

    def stored(self, number: str) -> str | None:
        """The number as the pool writes it; None: it is not of this pool."""
        wanted = same_number(number)
        return next((each for each in self.pool.numbers if same_number(each) == wanted), None)

    def last(self, number: str) -> Lease | None:
        """The lease of who had a number last, without a word to the actor."""
        return self.pool.last(self.stored(number) or number)

    def next_free(self, panel: str) -> str:
        """The number that the panel would be lent now, "" if that would break a guarantee: for test calls."""
        chosen = self.pool.choose(panel, self._wall_clock())
        return chosen[0].number if chosen is not None and chosen[1] is not Why.BROKEN else ""

    # --- the actor -------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; ready once what the node's file knows is in memory."""
        self._loading, self._load_at = False, 0.0
        if not self.pool.numbers:
            await self._books.read_file(self.pool)
        self._lost_at = trio.current_time() + LOST_S
        task_status.started()
        with self._mailbox.owned():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tick)
                while True:
                    for message in await self._mailbox.receive_all():
                        match message:
                            case Lend(panel, domophone, call_id, reply):
                                reply.answer(await self._lend(panel, domophone, call_id))
                            case CalledBack(number, call_id, reply):
                                lease = self.pool.extend(number, call_id, self._node, self._wall_clock())
                                reply.answer(lease)  # it was committed when it was lent
                                await self._write([lease] if lease else [])
                            case Ended(number, call_id):
                                lease = self.pool.ended(number, call_id, self._wall_clock())
                                await self._write([lease] if lease else [])
                            case Loaded():
                                await self._loaded(message)
                            case Tick():
                                self._look_again(nursery)
                                await self._settle()
                    self._say_how_it_stands()

    async def _tick(self) -> None:
        while True:
            self._mailbox.tell(Tick())
            await trio.sleep(TICK_S)

    async def _lend(self, panel: str, domophone: str, call_id: str) -> Lease | None:
        leases: list[Lease] = []
        for _ in range(TRIES):
            away = bool(self._books.away)
            leases = self.pool.lend(panel, domophone, call_id, self._node, self._wall_clock(), away=away)
            if not leases:
                return None
            try:
                await self._books.write(leases)
                break
            except PoolChanged:
                for number in self.pool.numbers.values():
                    number.calls.discard(call_id)
                await self._books.read_now(self.pool)
        else:
            leases = self.pool.lend(panel, domophone, call_id, self._node, self._wall_clock())
            await self._books.write_owed(leases)
        if not leases:
            return None
        lease = leases[-1]
        if lease.why is Why.BROKEN:
            broken = said(Says.GUARANTEE_BROKEN, number=lease.number, panel=panel)
            self._desk.alarm(Alarm.GUARANTEE_BROKEN, lease.number, broken, lasting_s=self._config.hold_s)
        return lease

    async def _write(self, leases: Sequence[Lease], freed: Sequence[str] = ()) -> None:
        """Commit what is so already. If another node was faster, it is owed until the next look, which is at once."""
        try:
            if leases or freed:
                await self._books.write(leases, freed)
        except PoolChanged:
            await self._books.write_owed(leases)
            self._load_at = 0.0

    # --- what time brings about ------------------------------------------------------------------------------

    def _look_again(self, nursery: trio.Nursery) -> None:
        """At the database, beside the actor, which goes on lending."""
        if not self._loading and (self._books.away or trio.current_time() >= self._load_at):
            self._loading = True
            nursery.start_soon(self._load)

    async def _load(self) -> None:
        result = Loaded(None, f"the database gave no answer in {LOAD_S:g} s")
        with trio.move_on_after(LOAD_S):
            try:
                result = Loaded(await self._books.read())
            except StoreError as error:
                result = Loaded(None, str(error))
        self._mailbox.tell(result)

    async def _loaded(self, loaded: Loaded) -> None:
        self._loading = False
        if loaded.state is None:
            self._books.is_away(loaded.why_not)
            return
        self._load_at = trio.current_time() + self._config.refresh_s
        try:
            await self._books.is_back(self.pool, loaded.state)
        except PoolChanged:
            self._load_at = 0.0
        if not self._books.away:
            self._desk.over(Alarm.DATABASE_AWAY, self.name)

    def _is_away(self, why: str) -> None:
        self._desk.alarm(Alarm.DATABASE_AWAY, self.name, said(Says.LENT_FROM_FILE, why=why))

    async def _settle(self) -> None:
        """Ends that were lost; numbers that nobody needs to have kept any longer."""
        now = self._wall_clock()
        if trio.current_time() >= self._lost_at:
            self._lost_at = math.inf
            await self._write(self.pool.lost(self._node, now))
        numbers = self.pool.numbers
        free = [n for n in self._books.lent if (each := numbers.get(n)) and self._is_free(each, now)]
        if free and not self._books.away:
            await self._write([], free)

    def _is_free(self, number: Number, now: float) -> bool:
        return self.pool.standing(number, now) is Standing.FREE

    def _say_how_it_stands(self) -> None:
        if self._books.away == NOT_YET:
            return
        numbers, spare = len(self.pool.numbers), self.pool.spare(self._wall_clock())
        if self._books.version >= 0 and not numbers:
            self._desk.alarm(Alarm.NO_NUMBER, self.name, said(Says.NO_NUMBER), another=False)
        else:
            self._desk.over(Alarm.NO_NUMBER, self.name)
        if numbers and spare <= self._config.low_numbers:
            low = said(Says.POOL_LOW, spare=spare, numbers=numbers)
            self._desk.alarm(Alarm.POOL_LOW, self.name, low, another=False)
        else:
            self._desk.over(Alarm.POOL_LOW, self.name)
