"""What the CRM's process does by the clock: weekly codes, and what billing is told and asked.

One task that wakes when something is due and at least every `LOOK_S` seconds, as the machine's clock may be set and as
pages make codes too. The work is done by a worker thread. What is due stands in the database, so that several processes
share it, and a restart goes on. No error ends it: one that lasts is said once (logs.Once), and tried again later.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio
from attrs import define, field

from config import BillingConfig, CodesConfig
from crm.companies import billing_feeds, code_billing, code_panels, code_runs
from crm.companies.billing import Billing, BillingAway, BillingError, pause_before_next_try
from crm.companies.codes import NoCodesLeft, next_week
from crm.store import Store, StoreError
from logs import Once, get_logger

LOOK_S = 30.0
PANELS_S = 600.0  # how often panels are looked for that came to a company after its code was made
Thread = Callable[[Callable[[], None]], Awaitable[None]]


async def _in_thread(work: Callable[[], None]) -> None:
    """A cancellation leaves the thread to itself: each of its steps is whole, or is done again."""
    await trio.to_thread.run_sync(work, abandon_on_cancel=True)


@define(eq=False)
class Chores:
    """The chores of one process. `clock` tells UTC seconds, `thread` runs a function off Trio's thread."""

    store: Store
    codes: CodesConfig
    billing: BillingConfig
    clock: Callable[[], float] = time.time
    thread: Thread = _in_thread
    _client: Billing | None = field(init=False, default=None)
    _away: int = field(init=False, default=0)  # tries in vain since billing last answered
    _panels_at: float = field(init=False, default=0.0)
    _billing_at: float = field(init=False, default=0.0)  # not told of codes before
    _once: Once = field(init=False, factory=lambda: Once(get_logger("chores")))
    _woken: trio.Event = field(init=False, factory=trio.Event)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what is due until cancelled."""
        task_status.started()
        try:
            while True:
                self._woken = trio.Event()
                try:
                    await self.thread(self.do_due)
                except Exception:
                    self._once.log.exception("chores: a bug: tried again later", again_s=LOOK_S)
                now = self.clock()
                with trio.move_on_after(min(LOOK_S, next_week(now, self.codes).due_at - now)):
                    await self._woken.wait()
        finally:
            if self._client is not None:
                self._client.close()

    def wake(self) -> None:
        """Look now at what is due: a page has made a code. From Trio's thread."""
        self._woken.set()

    def do_due(self) -> None:
        """All that is due now; what goes wrong is logged."""
        for name, work in (("codes", self._make_codes), ("billing", self._tell), ("feeds", self._read)):
            try:
                work()
            except StoreError as error:
                self._once.say("database", str(error), "chores wait for the database", why=str(error))
                return
            except NoCodesLeft as error:
                self._once.say(name, str(error), "weekly codes cannot be made", why=str(error))
            else:
                self._once.over(name, f"chores: {name} go on")
        self._once.over("database", "chores: the database is back")

    # --- codes -----------------------------------------------------------------------------------------------------

    def _make_codes(self) -> None:
        made = code_runs.make_codes(self.store, self.codes, self.clock(), billing=bool(self.billing.url))
        if made:
            self._once.log.info("weekly codes made", companies=made)
        now = self.clock()
        if not self._panels_at - PANELS_S <= now < self._panels_at:  # the machine's clock may be set back
            self._panels_at = now + PANELS_S
            code_panels.deliver_missing(self.store, now)

    def _tell(self) -> None:
        if self.billing.url and self.clock() >= self._billing_at:
            told = code_billing.tell_due(self.store, self._open(), self.billing, self.clock)
            for why in told.refused:
                self._once.say(why, why, "billing was not told of a company", why=why)
            if told.away:
                self._away += 1
                pause_s = max(pause_before_next_try(self.billing, self._away), told.retry_after_s)
                self._billing_at = self.clock() + pause_s
                self._once.say("away", "away", "billing is away: told of codes later", why=told.away)
            else:
                self._away = 0
                self._once.over("away", "billing is back")
        run = code_runs.open_run(self.store)
        if run is not None and code_runs.end_run(self.store, run, self.clock()):
            self._once.log.info(
                "the week's codes are made", billing="knows them" if self.billing.url else "none"
            )

    # --- what billing says -----------------------------------------------------------------------------------------

    def _read(self) -> None:
        if not self.billing.url:
            return
        for feed in billing_feeds.Feed:
            key = f"feed {feed.value}"
            try:
                read = billing_feeds.read_feed(self.store, self._open(), self.billing, feed, self.clock)
            except BillingError as error:
                state = "away" if isinstance(error, BillingAway) else str(error)
                self._once.say(key, state, f"billing's {feed.value} could not be read", why=str(error))
            else:
                if read is not None:
                    self._once.over(key, f"billing's {feed.value} are read again")
                if read:
                    self._once.log.info("billing was read", feed=feed.value, entries=read)

    def _open(self) -> Billing:
        if self._client is None:
            self._client = Billing(self.billing)
        return self._client
