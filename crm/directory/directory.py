"""What a call asks: which panel, which flat, whose phones. The async face of `crm.directory.lookup`, with a memory.

`Directory` owns its memory and its threads; all of it is for the Trio thread, but `_answers` and `_check`, which run
in worker threads. An answer that is fresh is given from memory. Otherwise the database is asked in a worker thread,
where all lookups that wait by then go together, as a hop costs more than a lookup.

While the database is away a flat that was asked for before is answered from memory, however old, and at once; a probe
finds out when the database is back. A database that hangs cannot use up threads: another one is started only when
all that run are late, and only so many. A thread is never abandoned half way: what it brings late is still kept.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import outcome
import sqlalchemy.exc as sa_exc
import structlog
import trio
from attrs import define, field, frozen

from crm.directory.lookup import AccountInfo, Answer, FlatInfo, Lookup, PanelInfo, PhoneInfo, ask, find
from crm.store import Store, StoreError

__all__ = [
    "AccountInfo",
    "Directory",
    "DirectoryAway",
    "FlatInfo",
    "Lookup",
    "PanelInfo",
    "PhoneInfo",
    "find",
]

BATCH = 32  # lookups in one thread hop: the first waits for the last
LATE_S = 0.1  # a hop that takes longer no longer holds up the others
FIRST_PROBE_S = 0.1

log = structlog.get_logger("directory")

Key = tuple[str, str]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


class DirectoryAway(Exception):
    """The database is away and this flat is not in memory; the message says why."""


@frozen
class _Known:
    """An answer in memory, encoded: a fifth of the room, and nothing that the garbage collector looks at."""

    at: float  # Trio's clock, when it was asked for
    encoded: bytes


@define(eq=False)
class _Question:
    """What one or several calls wait for. At its end: an answer, or why there is none."""

    key: Key
    done: trio.Event = field(factory=trio.Event)
    answer: Answer | None = None
    why_not: str = ""


@define(eq=False)
class _Hop:
    """A worker thread that runs; with no questions it is a probe."""

    started_at: float
    questions: Sequence[_Question] = ()


class Directory:
    """Answers calls. `fresh_s`: an answer this old is as good as new; `known_flats`: how many are kept in memory.

    `hits`, `asked`, `stale` and `away` count lookups: answered from memory while fresh, put to the database, answered
    from memory because it is away, and not answered at all. `why_away` is "" while the database answers.
    """

    def __init__(
        self,
        store: Store,
        *,
        fresh_s: float = 5.0,
        known_flats: int = 50_000,
        threads: int = 3,
        probe_s: float = 1.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.hits = self.asked = self.stale = self.away = 0
        self.why_away = ""
        self._store = store
        self._fresh_s = fresh_s
        self._known_flats = known_flats
        self._most_threads = threads
        self._probe_s = probe_s
        self._wall_clock = wall_clock
        # All state: what is known, the longest unused first; questions not yet in a thread; threads that run.
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._waiting: dict[Key, _Question] = {}
        self._hops: set[_Hop] = set()
        self._left = trio.Event()  # set while the database is away

    def __len__(self) -> int:
        """How many flats are in memory."""
        return len(self._known)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Find out when a database that was away is back, until cancelled. Ready at once, with or without it."""
        task_status.started()
        while True:
            await self._left.wait()
            await trio.sleep(FIRST_PROBE_S)
            while self.why_away:
                if len(self._hops) < self._most_threads:
                    self._start(_Hop(trio.current_time()))
                await trio.sleep(self._probe_s)

    async def look_up(self, sip_user: str, dialled: str, deadline_s: float) -> Lookup:
        """Who is called. Waits `deadline_s` for the database at most. Raises DirectoryAway."""
        await trio.lowlevel.checkpoint_if_cancelled()
        key = (sip_user, dialled)
        known = self._known.get(key)
        if known is not None and trio.current_time() - known.at < self._fresh_s:
            self.hits += 1
            self._known.move_to_end(key)
            return _decode(known.encoded).at(self._wall_clock())
        why = self.why_away
        if not why:
            self.asked += 1
            question = await self._ask(key, deadline_s)
            if question.answer is not None:
                return question.answer.at(self._wall_clock())
            why = question.why_not
        known = self._known.get(key)
        if known is None:
            self.away += 1
            raise DirectoryAway(f"panel {sip_user} called {dialled}, which is not in memory: {why}")
        self.stale += 1
        self._known.move_to_end(key)
        return _decode(known.encoded).at(self._wall_clock(), stale=True)

    async def _ask(self, key: Key, deadline_s: float) -> _Question:
        """Put a question, and wait for its end."""
        question = self._waiting.get(key)
        if question is None:
            question = self._waiting[key] = _Question(key)
        self._send_waiting()
        with trio.move_on_after(deadline_s):
            while not question.done.is_set() and self._waiting.get(key) is question:
                # It waits for a thread that runs: perhaps that one hangs.
                with trio.move_on_after(LATE_S):
                    await question.done.wait()
                self._send_waiting()
            await question.done.wait()
        if not question.done.is_set():
            self._is_away(f"the database did not answer within {deadline_s:g} s")
            return _Question(key, why_not=self.why_away)  # others may wait for this one yet
        return question

    def _send_waiting(self) -> None:
        """Start a thread for what waits, unless one runs that will take it along when it is back."""
        now = trio.current_time()
        if not self._waiting or self.why_away or len(self._hops) >= self._most_threads:
            return
        if any(now - hop.started_at < LATE_S for hop in self._hops):
            return
        batch = [self._waiting.pop(key) for key in list(self._waiting)[:BATCH]]
        self._start(_Hop(now, batch))

    def _start(self, hop: _Hop) -> None:
        token = trio.lowlevel.current_trio_token()
        keys = [question.key for question in hop.questions]

        def deliver(result: outcome.Outcome[list[Answer | Exception]]) -> None:
            try:
                token.run_sync_soon(self._end, hop, result)
            except trio.RunFinishedError:
                pass  # nobody is left to tell

        self._hops.add(hop)
        work = partial(self._answers, keys, self._wall_clock()) if keys else self._check
        trio.lowlevel.start_thread_soon(work, deliver, "directory")

    def _end(self, hop: _Hop, result: outcome.Outcome[list[Answer | Exception]]) -> None:
        """A thread is back."""
        self._hops.discard(hop)
        match result:
            case outcome.Error(error=StoreError() as error):
                self._is_away(str(error))
                self._give_up(hop.questions, str(error))
            case outcome.Error(error=error):
                log.error("lookups failed", lookups=len(hop.questions), exc_info=error)
                self._give_up(hop.questions, f"{type(error).__name__}: {error}")
            case outcome.Value(value=answers):
                for question, answer in zip(hop.questions, answers, strict=True):
                    if isinstance(answer, Answer):
                        question.answer = answer
                        self._keep(question.key, answer, hop.started_at)
                        question.done.set()
                    else:
                        log.error("a lookup failed", panel=question.key[0], exc_info=answer)
                        self._give_up([question], f"{type(answer).__name__}: {answer}")
                self._is_back()
        self._send_waiting()

    def _keep(self, key: Key, answer: Answer, asked_at: float) -> None:
        """Into memory. What is no flat is not kept: a visitor's mistakes must not push flats out."""
        known = self._known.get(key)
        if known is not None and known.at > asked_at:
            return  # this one was late
        if answer.flat is None:
            self._known.pop(key, None)
            return
        self._known[key] = _Known(asked_at, _encode(answer))
        self._known.move_to_end(key)
        if len(self._known) > self._known_flats:
            self._known.popitem(last=False)

    def _give_up(self, questions: Sequence[_Question], why: str) -> None:
        for question in questions:
            question.why_not = why
            question.done.set()

    def _is_away(self, why: str) -> None:
        """From now on memory answers. Who waits for a flat that is known waits no longer."""
        if not self.why_away:
            log.warning("the database is away: known flats are answered from memory", why=why)
            self.why_away = why
            self._left.set()
        asked = [*self._waiting.values(), *(each for hop in self._hops for each in hop.questions)]
        self._give_up([each for each in asked if each.key in self._known and not each.done.is_set()], why)
        self._waiting = {key: each for key, each in self._waiting.items() if not each.done.is_set()}

    def _is_back(self) -> None:
        if self.why_away:
            log.info("the database is back")
            self.why_away = ""
            self._left = trio.Event()

    def _answers(self, keys: Sequence[Key], now: float) -> list[Answer | Exception]:
        """In a worker thread: an answer, or an error, for each. Raises StoreError: none for all."""
        answers: list[Answer | Exception] = []
        with self._store.reading() as connection:
            for sip_user, dialled in keys:
                try:
                    answers.append(ask(connection, sip_user, dialled, now))
                except (sa_exc.DataError, LookupError, TypeError, ValueError) as error:
                    answers.append(error)  # one row's odd data must not fail the others
        return answers

    def _check(self) -> list[Answer | Exception]:
        self._store.check()
        return []
