"""The duty desk: whoever is on duty is told of every 112 call, every call-back and every alarm.

It owns what is on the board. Others show it a call in each of its states, raise alarms and end them: all synchronous,
a few µs, never waiting and never raising, for it stands beside a 112 call. Each change is one line in the log, one
webhook (telephony/duty_webhook.py) and the board, which pages read. All of it is in memory: what happened is kept by
the journal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import attrs
import trio
from attrs import define

from board import Alarm, Kind, Raised, Row, State, alarm_fields, call_fields, clean, iso
from config import DutyConfig
from logs import get_logger
from said import Said
from telephony.duty_webhook import DutyStats, DutyWebhook

__all__ = ["Alarm", "DutyDesk", "Kind", "Raised", "Row", "State"]

KEEP_S = 86_400.0  # for which a call stays on the board after its last state
KEEP_OVER = 100  # calls that are over, on the board; as many test calls beside them
ALARMS_MAX = 1_000  # that stand at once

# Fields of a row that its line in the log says in another way, or need not.
_UNLOGGED = frozenset({"call_id", "kind", "state", "at", "started_at", "node"})
log = get_logger("duty")

_CALLS = {
    Kind.SOS: "a 112 call",
    Kind.CALL_BACK: "a call-back from 112",
    Kind.TEST: "a test call to 112",
}


@define(eq=False)
class _Shown:
    row: Row
    until: float  # on Trio's clock, as below


@define(eq=False)
class _Standing:
    alarm: Raised
    began: float
    until: float


class DutyDesk:
    """The actor. Raises `ValueError` for a URL or token that cannot be used."""

    def __init__(self, config: DutyConfig, node: str) -> None:
        self._node = node
        self._webhook = DutyWebhook(config) if config.url else None
        self._no_webhook = DutyStats()
        # All state: calls by their id, the longest unchanged first; alarms that stand.
        self._rows: dict[str, _Shown] = {}
        self._alarms: dict[tuple[Alarm, str], _Standing] = {}
        self._wake = trio.Event()  # an alarm ends earlier than was known

    @property
    def stats(self) -> DutyStats:
        """How webhooks fare; zeros where none are set."""
        return self._no_webhook if self._webhook is None else self._webhook.stats

    def show(self, row: Row) -> None:
        """A call is in this state now. What is on the board already is not told again."""
        self._safely(lambda: self._show(row))

    def alarm(
        self,
        kind: Alarm,
        about: str,
        what: Said | str,
        lasting_s: float | None = None,
        *,
        another: bool = True,
    ) -> None:
        """Raise an alarm about something, or say that it still stands; told once until it is over.

        With `lasting_s` it ends by itself after that time, counted anew from each repetition. Each time that it is raised
        is counted; not so with `another` False, where the same state was only looked at again.
        """
        said = Said(what) if isinstance(what, str) else what
        self._safely(lambda: self._raise(kind, clean(about), said, lasting_s, another))

    def over(self, kind: Alarm, about: str, text: str = "") -> None:
        """The alarm has ended, if it stood; `text` says why."""
        self._safely(lambda: self._end(kind, clean(about), text))

    def rows(self) -> list[Row]:
        """Calls: live ones, then those that are over; of each the real ones first, the newest first."""
        self._forget_rows()
        rows = [shown.row for shown in self._rows.values()]
        return sorted(
            rows,
            key=lambda row: (
                row.is_over,
                row.kind is Kind.TEST,
                -(row.at if row.is_over else row.started_at),
            ),
        )

    def alarms(self) -> list[Raised]:
        """Alarms that stand, the newest first."""
        return [standing.alarm for standing in reversed(self._alarms.values())]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver webhooks and end alarms whose time is over, until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._webhook is not None:
                await nursery.start(self._webhook.run)
            task_status.started()
            while True:
                self._wake = trio.Event()
                now = trio.current_time()
                for (kind, about), standing in [*self._alarms.items()]:
                    if standing.until <= now:
                        self.over(kind, about)
                due = min((each.until for each in self._alarms.values()), default=math.inf)
                with trio.move_on_at(due):
                    await self._wake.wait()

    def _safely(self, act: Callable[[], None]) -> None:
        """A fault of the desk's own must not end the 112 call that tells it something."""
        try:
            act()
        except Exception:
            log.exception("the duty desk failed to tell something")

    # --- calls -------------------------------------------------------------------------------

    def _show(self, row: Row) -> None:
        if not row.node:
            row = attrs.evolve(row, node=self._node)
        known = self._rows.pop(row.call_id, None)
        self._rows[row.call_id] = _Shown(row, trio.current_time() + KEEP_S)
        self._forget_rows()
        if known is not None and attrs.evolve(known.row, at=row.at) == row:
            self._rows[row.call_id].row = known.row  # since when it is so stays
            return
        filled = {name: value for name, value in attrs.asdict(row).items() if value and name not in _UNLOGGED}
        say = log.warning if row.state is State.FAILED else log.info
        say(_CALLS[row.kind], call=row.call_id, state=row.state.value, **filled)
        self._post("call", row.call_id, call_fields(row))

    def _forget_rows(self) -> None:
        now = trio.current_time()
        late = [call for call, shown in self._rows.items() if shown.until <= now]
        for is_test in (False, True):
            over = [
                call
                for call, shown in reversed(self._rows.items())
                if shown.row.is_over and (shown.row.kind is Kind.TEST) is is_test
            ]
            late += over[KEEP_OVER:]
        for call in late:
            shown = self._rows.pop(call, None)
            if shown is not None and not shown.row.is_over:
                log.warning("a 112 call whose end was never told leaves the board", call=call)

    # --- alarms ------------------------------------------------------------------------------

    def _raise(self, kind: Alarm, about: str, said: Said, lasting_s: float | None, another: bool) -> None:
        now, at = trio.current_time(), time.time()
        until = math.inf if lasting_s is None else now + lasting_s
        words = attrs.asdict(said)
        standing = self._alarms.get((kind, about))
        if standing is not None:
            alarm = standing.alarm
            standing.alarm = attrs.evolve(alarm, **words, at=at, count=alarm.count + another)
            standing.until = until
        else:
            alarm = Raised(kind=kind, about=about, **words, since=at, at=at)
            self._alarms[kind, about] = _Standing(alarm, now, until)
            log.error("an alarm of 112", alarm=kind.value, about=about, text=alarm.text)
            self._post("alarm", f"{kind.value} {about}", self._about_alarm(alarm))
            for other in islice([*self._alarms], max(0, len(self._alarms) - ALARMS_MAX)):
                self._end(*other, f"no longer watched: {ALARMS_MAX} newer alarms stand")
        self._wake.set()

    def _end(self, kind: Alarm, about: str, text: str) -> None:
        standing = self._alarms.pop((kind, about), None)
        if standing is None:
            return
        lasted_s = round(trio.current_time() - standing.began, 3)
        note = clean(text)
        log.info("an alarm of 112 is over", alarm=kind.value, about=about, lasted_s=lasted_s, note=note)
        ended = {"at": iso(time.time()), "lasted_s": lasted_s, "note": note}
        self._post("alarm_over", f"{kind.value} {about}", self._about_alarm(standing.alarm) | ended)

    def _about_alarm(self, alarm: Raised) -> dict[str, Any]:
        return {"node": self._node, **alarm_fields(alarm)}

    def _post(self, event: str, subject: str, fields: Mapping[str, Any]) -> None:
        if self._webhook is not None:
            self._webhook.post(event, subject, fields)
