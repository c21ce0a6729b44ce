"""Finished calls into the database, by a worker thread; and old ones out of it.

The journal owns the one `Saver` and asks one thing of it at a time. It knows whether the database was away
when last asked, says so once and once again when it is back, and when to ask next (backoff with jitter).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

import structlog
import trio
from attrs import frozen

from config import JournalConfig
from crm.values.records import CallRecord

log = structlog.get_logger(__name__)

Save = Callable[[list[CallRecord]], None]
Purge = Callable[[float], object]

RETRY_MIN_S = 0.5
DAY_S = 86_400.0


@frozen
class Saved:
    """What a save brought: how many from the front are done, and which of those were refused, and why."""

    done: int
    refused: dict[str, str]
    away: str = ""  # why the rest is not done


class Saver:
    """See `Journal`, which takes the same arguments."""

    def __init__(
        self,
        config: JournalConfig,
        save: Save,
        away: type[Exception] | tuple[type[Exception], ...],
        purge: Purge | None,
    ) -> None:
        self._config = config
        self._save_records = save
        self._away_error = away
        self._purge_before = purge
        self._retry_s = 0.0  # 0 while the database is there
        self.retry_at = -math.inf

    @property
    def away(self) -> bool:
        return self._retry_s > 0

    async def save(self, records: list[CallRecord]) -> Saved:
        """Save a batch. A cancellation leaves the thread to itself: what it saves will be saved again."""
        result = await trio.to_thread.run_sync(self._in_thread, records, abandon_on_cancel=True)
        if result.away:
            if not self.away:
                log.warning("the database is away: finished calls are kept in a file", why=result.away)
            self._retry_s = min(max(2 * self._retry_s, RETRY_MIN_S), self._config.retry_max_s)
            self.retry_at = trio.current_time() + self._retry_s * random.uniform(0.8, 1.2)
        elif self.away:
            log.info("the database is back: the calls kept meanwhile are being saved")
            self._retry_s, self.retry_at = 0.0, -math.inf
        return result

    def _in_thread(self, records: list[CallRecord]) -> Saved:
        """All at once; if the database refuses that, one by one: a bad record refuses only itself."""
        try:
            self._save_records(records)
            return Saved(len(records), {})
        except self._away_error as error:
            return Saved(0, {}, str(error) or "away")
        except Exception as error:
            if len(records) == 1:
                return Saved(1, {records[0].call_id: f"{type(error).__name__}: {error}"})
        refused: dict[str, str] = {}
        for done, record in enumerate(records):
            one = self._in_thread([record])
            if one.away:
                return Saved(done, refused, one.away)
            refused |= one.refused
        return Saved(len(records), refused)

    async def purge(self) -> float:
        """Drop calls older than `keep_days`; returns in how many seconds to do it again."""
        days = self._config.keep_days
        if self._purge_before is None:
            return math.inf
        try:
            before = time.time() - days * DAY_S
            await trio.to_thread.run_sync(self._purge_before, before, abandon_on_cancel=True)
        except self._away_error:
            return DAY_S / 24
        except Exception:
            log.exception("old calls could not be dropped: tried again tomorrow", keep_days=days)
        return DAY_S
