"""How far campaigns are: their tasks, counted in the database.

The tasks of a campaign over a whole fleet take the database a second, so what was found of a large one is remembered
here: for twenty times as long as it took, and of one that is over, whose tasks nobody changes any more, for an hour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from attrs import define, field, frozen

from crm.model import table
from crm.store import Store
from crm.tables.quality import QualityTask
from crm.values.quality import OVER, Campaign, CampaignState, Progress, TaskState

LARGE = 10_000  # tasks; fewer are counted each time
TIMES = 20
OVER_S = 3600.0
_TASKS = table(QualityTask)


@frozen
class _Counted:
    state: CampaignState
    progress: Progress
    until: float


@define(eq=False)
class ProgressMemory:
    """Counts tasks; safe from several threads. Campaigns with `large` ones are remembered; `clock` is monotonic."""

    large: int = LARGE
    clock: Callable[[], float] = time.monotonic
    _known: dict[int, _Counted] = field(factory=dict, init=False)

    def progress(self, connection: sa.Connection, id: int, state: CampaignState) -> Progress:
        """How far the campaign is, which is in this state."""
        began, known = self.clock(), self._known.get(id)
        if known is not None and known.state is state and began < known.until:
            return known.progress
        found = count_tasks(connection, id)
        took_s = self.clock() - began
        if found.total < self.large:
            self._known.pop(id, None)
            return found
        is_over = state in OVER and not found.waiting and not found.calling
        keep_s = OVER_S if is_over else TIMES * took_s
        self._known[id] = _Counted(state, found, began + took_s + keep_s)
        return found


def progress_in(store: Store, connection: sa.Connection, campaign: Campaign) -> Progress:
    """The same, by the memory of this store; of one that is being made, what is in it so far."""
    if campaign.making is not None:
        return Progress(total=campaign.making.flats, waiting=campaign.making.flats)
    with _adding:
        memory = _memories.setdefault(store, ProgressMemory())
    return memory.progress(connection, campaign.id, campaign.state)


def count_tasks(connection: sa.Connection, id: int) -> Progress:
    """How far a campaign is now."""
    groups = (_TASKS.c.state, _TASKS.c.verdict)
    query: sa.Select[Any] = sa.select(*groups, sa.func.count()).where(_TASKS.c.campaign_id == id)
    by_state = dict.fromkeys(TaskState, 0)
    verdicts: dict[str, int] = {}
    for state, verdict, count in connection.execute(query.group_by(*groups)):
        by_state[state] += count
        if state is TaskState.DONE:
            verdicts[verdict] = count
    counts = {state.value: count for state, count in by_state.items()}
    return Progress(total=sum(counts.values()), verdicts=verdicts, **counts)


_memories: WeakKeyDictionary[Store, ProgressMemory] = WeakKeyDictionary()
_adding = threading.Lock()
