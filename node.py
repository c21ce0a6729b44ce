"""What one node is made of: the tree of everything that runs, built from the configuration.

    node (one for one)
    ├─ journal           what happened in each call
    ├─ push              the operator's gateway
    ├─ directory         what calls ask of the CRM
    ├─ sos               what 112 needs (sos.py); a supervisor of its own, which never gives up
    ├─ lanes             requests to Asterisk
    ├─ router            looks at what Asterisk has
    ├─ events            ARI's applications, a WebSocket each
    ├─ inbound           an actor a call back from 112
    ├─ tests             test calls of 112
    ├─ domophones        an actor a panel, by its SIP user
    ├─ test rings        a flat's phones rung for a test, an actor a ring
    ├─ quality           quality calls (quality.py); a supervisor of its own, which never gives up
    └─ http              /healthz, /readyz, /metrics, and what the CRM asks; a supervisor of its own, which never gives up

Children stop in reverse order: panels first, whose calls give everything back over lanes and see it go by events that
still come; the journal last. A call that comes in between stays in Asterisk, for the node that starts next.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import structlog
import trio
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import health
import logs
from actors.actor import Mailbox
from actors.domophone import Call, Domophone, DomophoneMessage, Hold, Pressed, SosPressed
from actors.flat_ring import FlatRings, RingWorld
from actors.journal import Journal, Listener
from actors.keyed import KeyedSupervisor
from actors.router import QUALITY, SOS, VISITORS, Router
from actors.visitor import VisitorCall, World
from config import Config
from crm.calls.calls import purge, save_calls
from crm.directory.directory import Directory
from crm.store import DatabaseAway, SchemaMismatch, Store, StoreError
from node_api import NodeApi
from node_live import NodeLive, Parts
from quality import QualityParts
from restarts import ChildState, TooManyRestarts
from running import log_child, run_until_signal
from sos import Sos
from supervisor import ChildSpec, Supervisor
from telephony.ari.client import Ari
from telephony.ari.errors import AriError
from telephony.push.interface import NoPush, PushProvider
from telephony.push.webhook import Webhook
from telephony.registrations import Registrations

APPLICATIONS = (VISITORS, SOS, *QUALITY)
BUSY_CAUSE = 17

log = structlog.get_logger("node")


class Node:
    """The parts of one node. `run` runs them until it is cancelled."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = Store(config.crm.url)
        self.ari = Ari(config.ari, APPLICATIONS, urgent=(SOS,))
        webhook = Webhook(config.push) if config.push.url else None
        self.push: PushProvider = webhook or NoPush()
        self.directory = Directory(self.store, fresh_s=config.crm.fresh_s, known_flats=config.crm.known_flats)
        self.journal = Journal(
            config.journal,
            config.node.state_dir,
            partial(save_calls, self.store),
            away=(DatabaseAway, SchemaMismatch),
            purge=partial(purge, self.store),
        )
        self.sos = Sos(config, self.ari, self.journal, log_child)
        self._world = World(config.node.name, config.call, self.ari, self.directory, self.journal, self.push)
        self.domophones: KeyedSupervisor[str, DomophoneMessage] = KeyedSupervisor(
            self._domophone, name="domophones", capacity=64, intensity=100, on_event=log_child
        )
        self.sos.domophones = self.domophones
        self.locks: dict[str, Hold] = {}  # the panels that are held
        self.quality = QualityParts(config, self.ari, self.domophones, self.journal, log_child)
        self.router = Router(
            self.ari,
            self.domophones,
            self.sos.inbound,
            self.journal,
            quality=self.quality.actor.came_in,
            sweep_s=config.ari.sweep_s,
        )
        self._rings_store = Store(config.crm.url, pool=2)  # not the connections that calls use
        self.rings = FlatRings(
            RingWorld(config.node.name, config.call, self.ari, self.journal, self.push, self._rings_store),
            log_child,
        )
        self.live = NodeLive(
            Parts(
                config=config,
                ari=self.ari,
                journal=self.journal,
                directory=self.directory,
                desk=self.sos.desk,
                push=webhook,
                locks=self.locks,
                readiness=self.readiness,
            )
        )
        recordings = dict.fromkeys((config.quality.recordings, config.sos.recordings, config.node.state_dir))
        self.registrations = Registrations(config.node.kamailio, config.node.name)
        api = NodeApi(
            config.node.token,
            self.live,
            self.rings.ring,
            [Path(each) for each in recordings],
            self.registrations,
        )
        http = partial(health.serve, config.node.http, self.readiness, board=self.sos.desk, api=api)
        self.http = Supervisor(
            [
                ChildSpec("live", self.live.run),
                ChildSpec("registrations", self.registrations.run),
                ChildSpec("http", http),
            ],
            name="http",
            intensity=1_000_000,
            on_event=log_child,
        )
        self.tree = Supervisor(
            [
                ChildSpec("journal", self.journal.run),
                ChildSpec("push", self.push.run),
                ChildSpec("directory", self.directory.run),
                ChildSpec("sos", self.sos.supervisor.run),
                ChildSpec("lanes", self.ari.run_lanes),
                ChildSpec("router", self.router.run),
                ChildSpec("events", partial(self.ari.run_events, self.router)),
                ChildSpec("inbound", self.sos.inbound.run, stop_s=config.node.stop_s),
                ChildSpec("tests", self.sos.tests.run),
                ChildSpec("domophones", self.domophones.run, stop_s=config.node.stop_s),
                ChildSpec("test rings", self.rings.run, stop_s=config.node.stop_s),
                ChildSpec("quality", self.quality.supervisor.run, stop_s=config.node.stop_s),
                ChildSpec("http", self.http.run),
            ],
            name="node",
            on_event=log_child,
        )

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. Raises TooManyRestarts when a part keeps failing."""
        try:
            await self.tree.run(task_status=task_status)
        finally:
            self.disconnect()
            self.sos.close()

    def disconnect(self) -> None:
        """Close connections to the database that nobody uses; others are made when they are needed."""
        self.store.close()
        self._rings_store.close()
        self.sos.disconnect()
        self.quality.disconnect()

    def readiness(self) -> dict[str, str | None]:
        """What keeps this node from carrying calls: by part, None where all is well."""
        parts: dict[str, str | None] = {}
        supervisors = (self.tree, self.sos.supervisor, self.quality.supervisor, self.http)
        for child in (child for each in supervisors for child in each.children()):
            well = child.state in (ChildState.UP, ChildState.ENDED)
            parts[child.name] = None if well else f"{child.state.value}: {child.last_error or 'starting'}"
        parts["asterisk"] = self.ari.readiness() or self.router.readiness()
        return parts

    async def _domophone(self, sip_user: str, mailbox: Mailbox[DomophoneMessage]) -> None:
        quality = self.config.quality
        await Domophone(
            sip_user,
            mailbox,
            carry=self._carry,
            turn_away=self._turn_away,
            idle_s=max(self.config.call.idle_panel_s, quality.idle_s, quality.test_idle_s),
            locks=self.locks,
        ).run()

    async def _carry(self, sip_user: str, call: Call, hold: Hold) -> None:
        match call:
            case Pressed():
                await VisitorCall(self._world, sip_user, call, hold).run()
            case SosPressed():
                await self.sos.carry(sip_user, call, hold)

    def _turn_away(self, pressed: Pressed) -> None:
        self.router.hang_up(pressed.channel_id, BUSY_CAUSE)


class NodeFigures(Collector):
    """What Prometheus reads of a node: counts that its parts keep as plain numbers."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        node = self._node
        every_lane = (*node.ari.lanes, *node.ari.urgent_lanes)
        lanes = [lane.counts for lane in every_lane]
        duty = node.sos.desk.stats
        now = {
            "calls_now": ("Calls going on", node.journal.stats.open_calls),
            "domophones_awake": ("Panels that have an actor", len(node.domophones)),
            "legs_now": ("Channels of calls that go on", len(node.ari.legs)),
            "lanes_ready": ("Lanes to Asterisk that are open", sum(lane.ready for lane in every_lane)),
            "lanes_late": ("Lanes whose oldest reply is late", sum(lane.late for lane in every_lane)),
            "quality_calls_now": ("Quality calls going on", len(node.quality.actor)),
            "alarms": ("Alarms that stand", len(node.sos.desk.alarms())),
            "duty_waiting": ("Webhooks of the duty desk on their way", duty.waiting),
            "sos_panels": ("Panels that 112 knows", len(node.sos.register)),
            "ready": ("Whether calls can be carried", int(not any(node.readiness().values()))),
        }
        ever = {
            "ari_requests": ("Requests to Asterisk", sum(each.requests for each in lanes)),
            "ari_refused": ("Requests that Asterisk refused", sum(each.refused for each in lanes)),
            "ari_unanswered": ("Requests without an answer", sum(each.unanswered for each in lanes)),
            "ari_stray_replies": ("Replies to nothing asked", sum(each.strangers for each in lanes)),
            "ari_malformed": ("Messages that could not be read", node.ari.malformed),
            "directory_hits": ("Lookups answered from memory", node.directory.hits),
            "directory_asked": ("Lookups that asked the database", node.directory.asked),
            "directory_stale": ("Lookups answered though the database was away", node.directory.stale),
            "directory_away": ("Lookups without an answer", node.directory.away),
            "journal_saved": ("Calls kept in the database", node.journal.stats.saved),
            "journal_refused": ("Calls that the database refused", node.journal.stats.refused),
            "journal_lost": ("Calls that could be kept nowhere", node.journal.stats.lost),
            "duty_sent": ("Webhooks that the duty desk took", duty.sent),
            "duty_failed": ("Tries of the duty desk's webhooks that failed", duty.failed),
            "duty_dropped": ("Webhooks that the duty desk never took", duty.dropped),
            "domophones_restarted": ("Panels' actors that crashed", node.domophones.restarts),
        }
        for name, (text, value) in now.items():
            yield GaugeMetricFamily(f"teledom_{name}", text, value)
        for name, (text, value) in ever.items():
            yield CounterMetricFamily(f"teledom_{name}", text, value)


def main(config: Config, listen: Listener | None = None) -> int:
    """Run a node until SIGINT or SIGTERM; the exit code."""
    logs.set_up(config.log)
    try:
        node = Node(config)
        node.store.check()
    except DatabaseAway as error:
        log.warning("the database is away; the node starts without it", why=str(error))
    except (StoreError, AriError, ValueError) as error:
        print(f"teledom: {error}", file=sys.stderr)
        return 1
    if listen is not None:
        node.journal.listen(listen)
    REGISTRY.register(NodeFigures(node))
    gc.collect()
    gc.freeze()  # what is there now stays: no need to look at it again and again
    gc.set_threshold(50_000, 20, 50)
    code = 0
    try:
        run = partial(run_until_signal, node.run, stop_s=config.node.stop_s + 5)
        trio.run(run, restrict_keyboard_interrupt_to_checkpoints=True)
    except* TooManyRestarts as group:
        code = 1
        log.error("the node gives up", why=str(group.exceptions[0]))
    return code
