"""What 112 calls work with, and the page of each: its record in the journal, and its row on the duty desk's board."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import attrs
import structlog
from attrs import frozen

from actors.actor import AskError
from actors.call_log import CallLog
from actors.duty_desk import DutyDesk, Kind, Row, State
from actors.journal import Journal
from actors.sos_pool import SosPool
from actors.sos_register import SosRegister
from actors.sos_trunks import Trunks
from config import DEFAULT, CallConfig, DispatchConfig, SosConfig
from crm.sos.panels import SosPanel
from crm.values.records import CallRecord, EntryKind, LegEnd, LegRecord, Outcome
from crm.values.sos import Why, same_number
from metrics import CALLS, RING_SECONDS, TALK_SECONDS
from telephony.ari.channels import Leg
from telephony.ari.client import Ari
from telephony.location import Civic, Location, Point

APPLICATION = "TdCallSOS"
COUNTRY = "RU"
FIND_S = 0.5

log = structlog.get_logger("sos")


@frozen
class SosWorld:
    """`pools` are by the name of their [dispatch.NAME]; `duty` is the duty desk's SIP account, "" for none."""

    node: str
    config: SosConfig
    call: CallConfig
    duty: str
    dispatches: Mapping[str, DispatchConfig]
    ari: Ari
    journal: Journal
    register: SosRegister
    pools: Mapping[str, SosPool]
    trunks: Trunks
    desk: DutyDesk

    def dispatch_of(self, fias: str) -> str:
        """The name of a city's dispatch; that of the default one where the city has none, or is not known."""
        return next((name for name, each in self.dispatches.items() if fias and each.fias == fias), DEFAULT)

    def is_dispatch(self, caller: str) -> bool:
        """Whether a dispatch calls from this number."""
        known = {same_number(number) for each in self.dispatches.values() for number in each.callers}
        return same_number(caller) in known

    async def lend(self, name: str, panel: SosPanel, call_id: str) -> tuple[str, str]:
        """The number for a call, and why: a panel's own, or one of the pool of [dispatch.NAME]. "" if there is none."""
        if panel.own_number:
            return panel.own_number, "own_number"
        try:
            lease = await self.pools[name].lend(panel.sip_user, panel.mac, call_id)
        except AskError as error:
            # Better called back at a number that somebody else may have than not at all.
            reserve = self.dispatches[name].reserve
            log.error("a number is used without a lease", call=call_id, dispatch=name, why=str(error))
            return (reserve[0] if reserve else ""), Why.BROKEN.value
        return (lease.number, lease.why.value) if lease is not None else ("", "no number")

    def location(self, panel: SosPanel) -> Location:
        """Where a panel is, for 112. Without a street only its area is known, at most: the default location."""
        point = Point(panel.lat, panel.lon) if panel.lat is not None and panel.lon is not None else None
        civic = Civic(
            COUNTRY,
            panel.region,
            panel.city,
            panel.street,
            panel.house,
            panel.entrance if len(panel.houses) < 2 else ", ".join((panel.entrance, *panel.houses[1:])),
            panel.floor,
            panel.place,
        )
        return Location(civic, point, is_default=not panel.street)


class SosPage:
    """A call's page: what it notes is kept by the journal, what it shows is on the duty desk's board."""

    def __init__(self, world: SosWorld, kind: Kind, record: CallRecord, *, resumed: bool = False) -> None:
        self.log: CallLog = world.journal.resume(record) if resumed else world.journal.open(record)
        self.record = record
        self.by = ""  # who ended it
        self._desk = world.desk
        self._row = Row(
            call_id=record.call_id,
            kind=kind,
            state=State.CALLING,
            at=time.time(),
            started_at=record.started_at,
            panel=record.panel,
            recording=self._path(world.config.recordings),
            node=world.node,
        )

    def _path(self, folder: str) -> str:
        return f"{folder}/{self.record.recording}" if self.record.recording else ""

    def note(self, kind: EntryKind, leg: str = "", **data: str | int | float) -> None:
        self.log.note(kind, leg, **data)

    def about(self, panel: SosPanel) -> None:
        """The panel that it is about."""
        record = self.record
        record.panel, record.domophone, record.address = panel.sip_user, panel.mac, panel.address
        where = ", ".join(
            each for each in (panel.place, f"этаж {panel.floor}" if panel.floor else "") if each
        )
        houses = ", ".join((panel.city, *panel.houses)).strip(", ")
        self._change(
            panel=panel.sip_user, domophone=panel.mac, address=houses, entrance=panel.entrance, where=where
        )

    def show(self, state: State, note: str = "", **fields: str) -> None:
        """The call's state for whoever is on duty, at once."""
        if state is not self._row.state:
            self._change(at=time.time())
        self._change(state=state, note=note, number=self.record.number, **fields)
        self._desk.show(self._row)

    def _change(self, **fields: Any) -> None:
        self._row = attrs.evolve(self._row, **fields)

    def leg(self, leg: Leg, role: str, account: str) -> LegRecord:
        """The record of one of its channels, new or known."""
        known = next((each for each in self.record.legs if each.channel == leg.id), None)
        if known is None:
            known = LegRecord(leg.id, role, account, invited_at=time.time())
            self.record.legs.append(known)
        return known

    def answered(self, leg: Leg, record: LegRecord) -> None:
        """A channel that was called has been answered."""
        record.answered_at = time.time()
        self.note(EntryKind.ANSWERED, leg.id, account=record.account)

    def unanswered(self, leg: Leg, record: LegRecord, end: LegEnd) -> None:
        """A channel that was called has ended otherwise."""
        record.ended_at, record.end = time.time(), end
        record.cause, record.sip_code = leg.cause or None, leg.tech_cause or None
        self.note(
            EntryKind.LEG_ENDED,
            leg.id,
            account=record.account,
            end=end.value,
            sip=leg.tech_cause,
            cause=leg.cause,
        )

    def close(self, outcome: Outcome, note: str = "") -> None:
        """The call is over."""
        record, now = self.record, time.time()
        record.ended_at, record.outcome = now, outcome
        self.note(EntryKind.END, outcome=outcome.value, by=self.by)
        self.log.close()
        failed = outcome in (Outcome.FAILED, Outcome.UNREACHABLE)
        self.show(State.FAILED if failed else State.ENDED, note or outcome.value)
        if self._row.kind is Kind.TEST:
            return
        CALLS.labels(outcome.value).inc()
        if record.answered_at is not None:
            RING_SECONDS.observe(record.answered_at - record.started_at)
            TALK_SECONDS.observe(now - record.answered_at)
