"""Where a city's leases are written: into the database, and into the node's own file, which owes it what it missed.

The pool's actor owns its books. A commit to the database may take `[sos] commit_ms`; what takes longer, or comes while
the database is away, is written to the file (actors/sos_file.py) and is owed. The file also has every number as it was
last, so that a node that starts without the database still knows whose they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import trio
from attrs import frozen

from actors.local_file import FILE_ERRORS
from actors.sos_file import Keep, Row, SosFile
from actors.sos_rules import Pool
from config import DispatchConfig, SosConfig
from crm.sos.leases import PoolChanged, PoolState, commit, load_pool
from crm.store import Store, StoreError
from crm.values.sos import Lease
from logs import Once, get_logger

LOAD_S = 5.0
THREADS = 4  # that a database which hangs may hold

NOT_YET = "not looked at yet"

T = TypeVar("T")


@frozen
class KeptNumber:
    """A number in the node's file, with its last lease."""

    fias: str
    number: str
    lease: Lease | None


class SosBooks:
    """`away` is why the database is, "" while it answers; `on_away` is told when it begins."""

    def __init__(
        self,
        dispatch: DispatchConfig,
        config: SosConfig,
        store: Store,
        file: SosFile,
        on_away: Callable[[str], None],
    ) -> None:
        self._fias = dispatch.fias
        self._reserve = dispatch.reserve
        self._commit_s = config.commit_ms / 1000
        self._store = store
        self._file = file
        self._on_away = on_away
        self._limiter = trio.CapacityLimiter(THREADS)
        self._once = Once(get_logger("sos"))
        # All state, changed by the pool's actor only:
        self.away = NOT_YET
        self.version = -1  # of the pool in the database, when it was last seen; -1: never
        self.lent: set[str] = set()  # numbers that the table says are lent
        self._wrong: set[str] = set()  # numbers that the file has with a lease which came to nothing
        self.owed: dict[str, Lease] = {}  # leases that the database does not have yet, by id

    async def write(self, leases: Sequence[Lease], freed: Iterable[str] = ()) -> None:
        """Commit changes: to the database and, beside it, to the file, which must know them though the next life of the
        node begins without the database. Raises PoolChanged: another node was faster.
        """
        if not self.away:
            changed: PoolChanged | None = None
            async with trio.open_nursery() as nursery:
                if leases:
                    nursery.start_soon(self._into_file, leases)
                try:
                    await self._commit(leases, freed)
                except PoolChanged as error:
                    changed = error
            if changed is not None:
                self._wrong |= {lease.number for lease in leases}
                raise changed
        if leases and self.away:
            await self.write_owed(leases)

    def owe(self, leases: Iterable[Lease]) -> None:
        """The database does not have these."""
        self.owed |= {lease.id: lease for lease in leases}

    async def write_owed(self, leases: Sequence[Lease]) -> None:
        """Commit to the file what the database is owed."""
        self.owe(leases)
        await self._into_file(leases)

    async def _commit(
        self, leases: Sequence[Lease], freed: Iterable[str] = (), late: Sequence[Lease] = ()
    ) -> None:
        freed = list(freed)
        work = partial(commit, self._store, self._fias, self.version, leases, freed, late=late)
        why = f"a commit took longer than {self._commit_s * 1000:g} ms"
        with trio.move_on_after(self._commit_s):
            try:
                self.version = await self._in_thread(work)
                why = ""
            except StoreError as error:
                why = str(error)
        if why:
            self._is_away(why)
            return
        self.lent = (self.lent | {lease.number for lease in leases}) - set(freed)
        for lease in (*leases, *late):
            self.owed.pop(lease.id, None)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)

    def _is_away(self, why: str) -> None:
        if not self.away:
            self._on_away(why)
        self.away = why

    # --- the database, back again ----------------------------------------------------------------------------

    async def read(self) -> PoolState:
        """The pool as the database has it. Raises StoreError."""
        return await self._in_thread(partial(load_pool, self._store, self._fias, self._reserve))

    async def read_now(self, pool: Pool) -> None:
        """Another node was faster: the pool as it is now, if the database says so in time."""
        with trio.move_on_after(self._commit_s) as limit:
            try:
                self.take(pool, await self.read())
            except StoreError as error:
                self._is_away(str(error))
        if limit.cancelled_caught:
            self._is_away("the pool could not be read in time")
        wrong, self._wrong = self._wrong, set()
        await self._put([self._kept(number, pool.last(number)) for number in wrong])

    def is_away(self, why: str) -> None:
        """A look at the database failed."""
        if self.version < 0:
            self.away = ""  # it is the first one: now it is known
        self._is_away(why)

    async def is_back(self, pool: Pool, state: PoolState) -> None:
        """The database has answered with the pool's state: take it, and write what is owed. Raises PoolChanged."""
        if state.version < self.version:
            return  # it was read before our last commit
        before = set(pool.numbers)
        self.take(pool, state)
        self.away = ""
        late = [lease for lease in self.owed.values() if pool.last(lease.number) != lease]
        if self.owed:
            paid = [lease for lease in self.owed.values() if lease not in late]
            await self._commit(paid, late=late)
            if not self.away:
                await self._put([], [(Keep.OWED, lease.id) for lease in (*paid, *late)])
        if before != set(pool.numbers):
            await self._put([self._kept(each.number, each.lease) for each in pool.numbers.values()])

    def take(self, pool: Pool, state: PoolState) -> None:
        """What the database says, but for leases that it does not have yet."""
        self.version = state.version
        self.lent = {each.number for each in state.numbers if each.lent}
        mine = {
            lease.number: lease for lease in sorted(self.owed.values(), key=lambda lease: lease.started_at)
        }
        numbers = []
        for each in state.numbers:
            lease, owed = each.lease, mine.get(each.number)
            if owed is not None and (lease is None or owed.started_at >= lease.started_at):
                lease = owed
            numbers.append((each.number, each.number in self._reserve, lease))
        pool.set(numbers)

    # --- the node's file -------------------------------------------------------------------------------------

    def _kept(self, number: str, lease: Lease | None) -> Row:
        return (Keep.NUMBER, f"{self._fias}/{number}", KeptNumber(self._fias, number, lease))

    async def _into_file(self, leases: Sequence[Lease]) -> None:
        rows = [self._kept(lease.number, lease) for lease in leases]
        rows += [(Keep.OWED, lease.id, lease) for lease in leases if lease.id in self.owed]
        await self._put(rows, [(Keep.OWED, lease.id) for lease in leases if lease.id not in self.owed])

    async def _put(self, rows: Iterable[Row], gone: Iterable[tuple[Keep, str]] = ()) -> None:
        """What the file does not take in time is not waited for: the call goes on."""
        with trio.move_on_after(self._commit_s) as limit:
            try:
                await self._file.put(rows, gone)
                self._once.over("file", "the file of 112 can be written again")
            except FILE_ERRORS as error:
                self._say_file("cannot be written", str(error))
        if limit.cancelled_caught:
            self._say_file("is not written in time", f"it took longer than {self._commit_s:g} s")

    def _say_file(self, what: str, why: str) -> None:
        self._once.say("file", what, f"the file of 112 {what}", file=str(self._file.path), why=why)

    async def read_file(self, pool: Pool) -> None:
        """At the start: what was known, and is owed. The configuration's reserve is known in any case."""
        numbers: dict[str, Lease | None] = dict.fromkeys(self._reserve)
        with trio.move_on_after(LOAD_S):
            try:
                for kept in (await self._file.read(Keep.NUMBER, KeptNumber)).values():
                    if kept.fias == self._fias:
                        numbers[kept.number] = kept.lease
                owed = await self._file.read(Keep.OWED, Lease)
                self.owe(lease for lease in owed.values() if lease.fias == self._fias)
            except FILE_ERRORS as error:
                self._say_file("cannot be read", str(error))
        for lease in sorted(self.owed.values(), key=lambda lease: lease.started_at):
            numbers[lease.number] = lease
        pool.set([(number, number in self._reserve, lease) for number, lease in numbers.items()])
