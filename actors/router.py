"""ARI's events in, each to the actor that it belongs to; and, after every connect, what has become of everything.

`on_event` runs in the reader of a socket and never waits: it looks the channel up and leaves the event in a mailbox.
The router owns the list of panels' channels that stand in our applications (`_arrived`).

Asterisk is the truth about channels. Events are lost while no socket is open, so after every connect, and every
`sweep_s`, the router takes a snapshot of channels and bridges and compares: a leg that is not there any more has ended;
one that has answered meanwhile, has; a panel's call that nobody carries is carried (a talk goes on, phones are rung
again); what bears our name and is nobody's is hung up. Ids say whose they are: `td-<call>-<role>-<n>`, and the call's
id follows from its panel's channel.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import structlog
import trio
from attrs import Factory, frozen

from actors.domophone import DomophoneMessage, Pressed, SosPressed
from actors.journal import Journal
from actors.keyed import KeyedSupervisor
from actors.sos_inbound import CameIn
from actors.stood import Stood, what_stood
from actors.visitor import call_id_of, lose_legs
from crm.values.records import CallRecord, EntryKind, Outcome
from metrics import EVENTS
from telephony.ari.client import Ari, HandedOver
from telephony.ari.control import Snapshot
from telephony.ari.errors import AriError
from telephony.ari.events import (
    Channel,
    ChannelDestroyed,
    ChannelStateChange,
    PlaybackFinished,
    StasisEnd,
    StasisStart,
)
from telephony.ari.lane import Request

VISITORS, SOS = "TdCall", "TdCallSOS"
QUALITY = ("TdCallerQuality", "TdCallerQualityTest")
OURS = re.compile(r"td-([0-9a-f]{16})-(acc|sos|panel|duty|quality|bridge)(?:-(\d+))?")
RETRY_S = 1.0
SET_UP_S = 0.2  # at most, for which visitors' calls wait until a 112 call is on its way
REST_S = 1.0  # for which 112 waits for a panel's actor that crashed; longer, and the dialplan calls
HANDED_S = 10.0  # in which a call takes up what it was told to go on with

QualityCame = Callable[[str, Mapping[str, str]], bool]
"""Is told of a quality call's channel and what the dialplan says of it; False: nobody takes it."""

log = structlog.get_logger("router")


@frozen
class _Look:
    """A look under way. A snapshot may be older than events that come beside it: what it is compared with are the
    channels known before it was asked for, less those that have left since.
    """

    confirmed: frozenset[str]  # legs that Asterisk has had
    arrived: frozenset[str]  # channels that have come into our applications
    left: set[str] = Factory(set)  # channels that have left their application since


class Router:
    """The actor. `on_event` and `on_attached` are called by the sockets' readers, `run` is its own task."""

    def __init__(
        self,
        ari: Ari,
        domophones: KeyedSupervisor[str, DomophoneMessage],
        inbound: KeyedSupervisor[str, CameIn],
        journal: Journal,
        *,
        quality: QualityCame,
        sweep_s: float,
    ) -> None:
        self._ari = ari
        self._domophones = domophones
        self._inbound = inbound
        self._journal = journal
        self._quality = quality
        self._sweep_s = sweep_s
        # All state, changed on Trio's thread by the readers and by `run`, never across an await:
        self._arrived: set[str] = (
            set()
        )  # channels that came in and stand in our applications, as far as we were told
        self._unowned: set[str] = set()  # of those, what the last look found nobody to carry
        self._handed: dict[
            str, float
        ] = {}  # what a call was told to go on with, and when: it may not have it yet
        self._look = trio.Event()
        self._under_way: _Look | None = None
        self._looked = False  # since the start of this node

    def readiness(self) -> str | None:
        """None once the calls that stood when the node came are carried, for `/readyz`."""
        return None if self._looked else "has not looked yet at the calls that stand"

    # --- the readers' side -----------------------------------------------------------------------------------

    def on_event(self, application: str, event: HandedOver) -> None:
        """Give an event to the leg that it belongs to, or a new call to its panel. Never waits."""
        match event:
            case PlaybackFinished(playback=playback):
                channel_id = playback.target_uri.removeprefix("channel:")
            case StasisStart(channel=channel) if channel.id not in self._ari.legs:
                self._comes_in(application, event)
                return
            case _:
                channel_id = event.channel.id
                if type(event) is StasisEnd:
                    self._arrived.discard(channel_id)
                    if self._under_way is not None:
                        self._under_way.left.add(channel_id)
        leg = self._ari.legs.get(channel_id)
        if leg is None:
            EVENTS.labels("nobody's").inc()
        else:
            leg.on_event(event)

    def on_attached(self, application: str) -> None:
        if application in (VISITORS, SOS):
            self._look.set()

    def _comes_in(self, application: str, event: StasisStart) -> None:
        channel = event.channel
        if channel.id.startswith("td-"):
            self.hang_up(channel.id)  # a leg of a call that is over answered while its end was under way
        elif application in (VISITORS, SOS):
            if application == SOS:
                self._ari.precedence.claim(SET_UP_S)
            self._arrived.add(channel.id)
            self._hand_over(application, channel.id, event.args, Stood())
        else:
            self._arrived.add(channel.id)
            if not self._quality(channel.id, _named(event.args)):
                self.hang_up(channel.id)

    def _hand_over(self, application: str, channel_id: str, arguments: Sequence[str], stood: Stood) -> None:
        """A channel that came in, to the actor whose call it makes."""
        named = _named(arguments)
        panel, number = named.get("panel", ""), named.get("number", "")
        if panel and application == VISITORS:
            pressed = Pressed(channel_id, named.get("flat", ""), stood.talk, stood.record, stood.first_leg)
            taken = self._domophones.tell(panel, pressed)
        elif panel:
            recording, city = named.get("recording", ""), named.get("city", "")
            press = SosPressed(
                channel_id, city, recording, stood.found, stood.record, stood.first_leg, stood.stood
            )
            taken = self._domophones.rest_s(panel) <= REST_S and self._domophones.tell(panel, press)
        elif number and application == SOS:
            caller, recording = named.get("caller", ""), named.get("recording", "")
            came = CameIn(channel_id, number, caller, recording, stood.found, stood.record, stood.first_leg)
            taken = self._inbound.tell(channel_id, came)
        else:
            log.error(
                "a call came without its panel: see the dialplan", channel=channel_id, arguments=arguments
            )
            taken = False
        if not taken and panel:
            log.error("a panel's actor takes no calls now", panel=panel, channel=channel_id)
        if not taken and application == SOS:
            self._request(
                "POST", f"channels/{quote(channel_id, safe='')}/continue"
            )  # the dialplan knows what to do
        elif not taken:
            self.hang_up(channel_id)

    # --- the look at everything ------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look after every connect, and every `sweep_s`."""
        task_status.started()
        while True:
            with trio.move_on_after(self._sweep_s):
                await self._look.wait()
            if not {VISITORS, SOS} & self._ari.attached:
                self._look = trio.Event()
                continue
            self._look = trio.Event()
            confirmed = frozenset(channel_id for channel_id, leg in self._ari.legs.items() if leg.confirmed)
            look = self._under_way = _Look(confirmed, frozenset(self._arrived))
            try:
                await self._reconcile(await self._ari.control.snapshot(), look)
            except AriError as error:
                log.warning("could not look at what Asterisk has; will try again", error=str(error))
                await trio.sleep(RETRY_S)
                self._look.set()
            finally:
                self._under_way = None

    async def _reconcile(self, snapshot: Snapshot, look: _Look) -> None:
        there = {channel.id: channel for channel in snapshot.channels}
        self._tell_legs(there, look.confirmed)
        await self._subscribe(snapshot, there)
        carried, kept = self._carry_on(snapshot, there, look.left)
        self._give_back(snapshot, kept)
        self._arrived -= look.arrived - there.keys()
        if not self._looked:
            self._looked = True
            self._close_lost(carried)

    def _tell_legs(self, there: dict[str, Channel], confirmed: frozenset[str]) -> None:
        """What events would have said: who is gone, who rings, who has answered."""
        for channel_id, leg in list(self._ari.legs.items()):
            channel = there.get(channel_id)
            if channel is None:
                if channel_id in confirmed:
                    leg.on_event(ChannelDestroyed(Channel(channel_id), 0, "ended while nobody was looking"))
            elif channel.state == "Ringing":
                leg.on_event(ChannelStateChange(channel))
            elif channel.state == "Up" and channel.dialplan.app_name == "Stasis":
                leg.on_event(StasisStart(leg.application, channel))

    async def _subscribe(self, snapshot: Snapshot, there: dict[str, Channel]) -> None:
        for channel_id, leg in list(self._ari.legs.items()):
            known = snapshot.subscribed.get(leg.application, frozenset())
            if channel_id not in there or channel_id in known:
                continue
            try:
                await self._ari.control.subscribe(leg.application, channel_id)
            except AriError as error:
                log.info(
                    "a channel went while its events were asked for", channel=channel_id, error=str(error)
                )

    def _carry_on(
        self, snapshot: Snapshot, there: dict[str, Channel], left: set[str]
    ) -> tuple[set[str], set[str]]:
        """Calls that came in and nobody carries: to their actors. The ids of their calls, and of what they take over."""
        unfinished = {} if self._looked else {r.call_id: r for r in self._journal.unfinished()}
        carried: set[str] = set()
        kept: set[str] = set()
        unowned: set[str] = set()
        for channel in there.values():
            if channel.id.startswith("td-") or channel.id in self._ari.legs or channel.id in left:
                continue
            application, *arguments = channel.dialplan.app_data.split(",")
            if channel.dialplan.app_name != "Stasis" or application not in (VISITORS, SOS, *QUALITY):
                continue
            if channel.id in self._arrived:  # its actor was told, and may be about to take it
                unowned.add(channel.id)
                if channel.id not in self._unowned:
                    continue
                log.error("a call was carried by nobody", channel=channel.id, application=application)
                if application != SOS:
                    self.hang_up(channel.id)
                    continue
            elif application in QUALITY:
                self.hang_up(channel.id)  # its node is gone; its task waits for its next turn
                continue
            call_id = call_id_of(channel.id)
            self._arrived.add(channel.id)
            carried.add(call_id)
            stood, takes = what_stood(call_id, channel, snapshot.bridges, there, unfinished.get(call_id))
            kept |= takes
            log.info("taking up a call", call=call_id, channel=channel.id, talking=bool(takes))
            self._hand_over(application, channel.id, arguments, stood)
        self._unowned = unowned
        return carried, kept

    def _give_back(self, snapshot: Snapshot, kept: set[str]) -> None:
        """Hang up what bears our name and is nobody's."""
        now = trio.current_time()
        self._handed = {id: at for id, at in self._handed.items() if now - at < HANDED_S}
        self._handed |= dict.fromkeys(kept, now)
        kept = self._handed.keys() | self._ari.legs.keys() | self._ari.bridges
        for channel in snapshot.channels:
            if OURS.fullmatch(channel.id) and channel.id not in kept:
                self.hang_up(channel.id)
        for bridge in snapshot.bridges:
            if OURS.fullmatch(bridge.id) and bridge.id not in kept:
                self._request("DELETE", f"bridges/{quote(bridge.id, safe='')}")

    def _close_lost(self, carried: set[str]) -> None:
        """Calls that were open when the node died, and are no more."""
        for record in self._journal.unfinished():
            if record.call_id in carried:
                continue
            _lose(record)
            closing = self._journal.resume(record)
            closing.note(EntryKind.END, outcome=Outcome.LOST.value, by="")
            closing.close()

    def hang_up(self, channel_id: str, cause: int = 16) -> None:
        """Hang up a channel that no call carries, with a Q.850 cause."""
        self._request("DELETE", f"channels/{quote(channel_id, safe='')}", {"reason_code": str(cause)})

    def _request(self, method: str, path: str, query: dict[str, str] | None = None) -> None:
        self._ari.pick_lane().post(Request(method, path, query), lambda _: None)


def _named(arguments: Sequence[str]) -> dict[str, str]:
    """What the dialplan says of a channel: NAME=VALUE each."""
    return dict(argument.partition("=")[::2] for argument in arguments)


def _lose(record: CallRecord) -> None:
    record.outcome, record.ended_at = Outcome.LOST, time.time()
    lose_legs(record)
