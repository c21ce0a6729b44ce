"""The live board of one node, read out of what its parts know anyway: the journal's open calls, panels' locks, sockets.

Nothing is kept for it but what the journal remembers; an answer is made when somebody asks, and the same one serves
whoever asks within FRESH_S. How Asterisk sees Kamailio it asks itself, and only while somebody looks at the board.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from heapq import nlargest
from itertools import chain, islice

import msgspec
import trio
from attrs import define, field, frozen

from actors.domophone import Hold
from actors.duty_desk import DutyDesk
from actors.journal import Journal
from board import clean
from config import Config
from crm.directory.directory import Directory
from crm.values.records import CallRecord, LegRecord
from live import (
    EMERGENCIES,
    CallState,
    Counts,
    Link,
    LinkKind,
    LinkState,
    LiveAlarm,
    LiveCall,
    LiveNode,
    PanelLock,
    per_second,
)
from telephony.ari.client import Ari
from telephony.ari.control import EndpointState
from telephony.ari.errors import AriError
from telephony.push.webhook import Webhook

FRESH_S = 0.2
LOOK_S = 5.0  # at Kamailio's endpoint
SLOW_MS = 1000.0
QUALITY = "quality"

_ENDPOINT = {
    EndpointState.ONLINE: (LinkState.UP, ""),
    EndpointState.OFFLINE: (LinkState.DOWN, "Kamailio does not answer Asterisk's OPTIONS"),
    EndpointState.MISSING: (LinkState.DOWN, "no such endpoint is in pjsip.conf: see [call] endpoint"),
    EndpointState.UNKNOWN: (LinkState.UNKNOWN, "Asterisk sends it no OPTIONS"),
}
_encode = msgspec.json.Encoder().encode


@frozen
class Parts:
    """What the board is read out of. `locks` are the panels that are held; `push` None: no gateway is set."""

    config: Config
    ari: Ari
    journal: Journal
    directory: Directory
    desk: DutyDesk
    push: Webhook | None
    locks: Mapping[str, Hold]
    readiness: Callable[[], Mapping[str, str | None]]


@define(eq=False)
class NodeLive:
    """A `live.Live`. `run` looks at Kamailio's endpoint while somebody asks."""

    _parts: Parts
    # All state: the last answer for each number of calls, and what is known of the endpoint.
    _answers: dict[int, tuple[float, bytes]] = field(factory=dict, init=False)
    _endpoint: EndpointState | None = field(default=None, init=False)
    _asked: trio.Event = field(factory=trio.Event, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        while True:
            self._asked = trio.Event()
            await self._asked.wait()
            try:
                self._endpoint = await self._parts.ari.control.endpoint_state(
                    self._parts.config.call.endpoint
                )
            except AriError:
                self._endpoint = None  # said by who keeps the connection
            await trio.sleep(LOOK_S)

    def as_json(self, calls: int) -> bytes:
        """See `live.Live`."""
        now = trio.current_time()
        known = self._answers.get(calls)
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        self._answers = {n: each for n, each in self._answers.items() if now - each[0] < FRESH_S}
        answer = _encode(self.look(calls))
        self._answers[calls] = (now, answer)
        return answer

    def lock_of(self, sip_user: str) -> PanelLock:
        """See `live.Live`."""
        hold = self._parts.locks.get(sip_user)
        node = self._parts.config.node.name
        if hold is None:
            return PanelLock(panel=sip_user, node=node)
        return PanelLock(panel=sip_user, node=node, held_for=hold.claim.name.lower(), since=hold.since)

    def look(self, calls: int) -> LiveNode:
        """The board as it is now, with so many calls."""
        parts, now = self._parts, time.time()
        self._asked.set()
        journal = parts.journal
        series = journal.pace.series(now)
        not_ready = next((f"{part}: {why}" for part, why in parts.readiness().items() if why), "")
        # However many calls began since: 112 is on the board as long as it goes on.
        urgent = [record for record in journal.going_on.values() if record.kind in EMERGENCIES]
        recent = chain(islice(reversed(journal.going_on.values()), calls), journal.just_over)
        others = (
            record for record in recent if record.kind not in EMERGENCIES or record.ended_at is not None
        )
        newest = chain(
            nlargest(calls, urgent, key=lambda record: record.started_at),
            nlargest(calls, others, key=lambda record: record.started_at),
        )
        return LiveNode(
            node=parts.config.node.name,
            at=now,
            not_ready=not_ready,
            calls_per_s=per_second(series),
            series=series,
            now=self._counts(),
            links=tuple(self._links()),
            alarms=tuple(
                LiveAlarm(
                    kind=each.kind.value,
                    about=each.about,
                    text=each.text,
                    since=each.since,
                    at=each.at,
                    count=each.count,
                    code=each.code,
                    values=each.values,
                )
                for each in parts.desk.alarms()
            ),
            calls=tuple(_call(record) for record in islice(newest, calls)),
        )

    def _counts(self) -> Counts:
        ringing = talking = quality = sos = phones = 0
        for record in self._parts.journal.going_on.values():
            kind = record.kind
            if kind == QUALITY:
                quality += 1
            elif kind in EMERGENCIES:
                sos += 1
            if record.answered_at is not None:
                talking += 1
            else:
                ringing += 1
                for leg in record.legs:
                    if leg.ringing_at is not None and leg.ended_at is None and leg.role == "account":
                        phones += 1
        return Counts(
            ringing=ringing,
            talking=talking,
            quality=quality,
            sos=sos,
            phones_ringing=phones,
            panels_busy=len(self._parts.locks),
        )

    def _links(self) -> Iterator[Link]:
        parts, config = self._parts, self._parts.config
        away = parts.ari.readiness() or "not connected"
        for name in parts.ari.applications:
            up = name in parts.ari.attached
            yield Link(kind=LinkKind.APPLICATION, name=name, state=_up(up), note="" if up else away)
        for lane in (*parts.ari.lanes, *parts.ari.urgent_lanes):
            state, note = _up(lane.ready), "" if lane.ready else away
            if lane.ready and lane.late:
                state, note = LinkState.SLOW, f"{lane.load} requests wait for their answers"
            counts = lane.counts
            yield Link(
                kind=LinkKind.LANE,
                name=lane.name,
                state=state,
                note=note,
                errors=counts.unanswered + counts.strangers,
            )
        state, note = (LinkState.UNKNOWN, "") if self._endpoint is None else _ENDPOINT[self._endpoint]
        yield Link(kind=LinkKind.KAMAILIO, name=config.call.endpoint, state=state, note=note)
        why = parts.directory.why_away or ("calls wait to be saved" if parts.journal.away else "")
        yield Link(
            kind=LinkKind.DATABASE, name="crm", state=_up(not why), note=why, errors=parts.directory.away
        )
        if parts.push is not None:
            stats = parts.push.stats
            yield Link(
                kind=LinkKind.PUSH,
                name="webhook",
                state=_posted(stats.failing, stats.posts, stats.took_ms),
                note=stats.failing,
                latency_ms=stats.took_ms,
                errors=stats.failed,
            )
        if config.duty.url:
            duty = parts.desk.stats
            yield Link(
                kind=LinkKind.DUTY,
                name="webhook",
                state=_posted(duty.failing, duty.sent + duty.failed, None),
                note=duty.failing,
                errors=duty.failed,
            )


def _up(well: bool) -> LinkState:
    return LinkState.UP if well else LinkState.DOWN


def _posted(failing: str, posts: int, took_ms: float | None) -> LinkState:
    if failing:
        return LinkState.DOWN
    if not posts:
        return LinkState.UNKNOWN
    return LinkState.SLOW if took_ms is not None and took_ms >= SLOW_MS else LinkState.UP


def _call(record: CallRecord) -> LiveCall:
    over, answered = record.ended_at is not None, record.answered_at
    if over:
        state, since = CallState.OVER, record.ended_at
    elif answered is not None:
        state, since = CallState.TALKING, answered
    else:
        state, since = CallState.RINGING, record.started_at
    phones = [leg for leg in record.legs if leg.role == "account"]
    return LiveCall(
        call_id=record.call_id,
        node=record.node,
        kind=record.kind,
        state=state,
        started_at=record.started_at,
        since=record.started_at if since is None else since,
        panel=clean(record.panel),
        mac=record.domophone,
        address=clean(record.address),
        dialled=clean(record.dialled),
        flat=record.flat,
        flat_id=record.flat_id,
        phones=len(phones),
        phones_ringing=0 if over or answered is not None else sum(map(_rings, phones)),
        answered_by=record.answered_by,
        door_at=record.door_at,
        ended_at=record.ended_at,
        outcome="" if record.outcome is None else record.outcome.value,
        number=record.number,
    )


def _rings(leg: LegRecord) -> bool:
    return leg.ringing_at is not None and leg.ended_at is None
