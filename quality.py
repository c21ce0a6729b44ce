"""What of a node is for quality calls: the actor that plans and makes them, and the worker that measures recordings.

quality (a supervisor of its own, which never gives up)
├─ sounds        the worker process
└─ calls         what is due is called
"""

from __future__ import annotations

from collections.abc import Callable

from actors.domophone import DomophoneMessage
from actors.journal import Journal
from actors.keyed import KeyedSupervisor
from actors.quality import Quality
from actors.quality_call import QualityWorld
from actors.quality_judge import Judge
from actors.quality_look import PanelLooks
from config import Config
from crm.store import Store
from restarts import ChildEvent
from supervisor import ChildSpec, Supervisor
from telephony.ari.client import Ari
from telephony.panels.where import hosts_of
from telephony.sound_worker import SoundWorkers


class QualityParts:
    """The parts; `supervisor` runs them, `actor` is told of channels that come in."""

    def __init__(
        self,
        config: Config,
        ari: Ari,
        domophones: KeyedSupervisor[str, DomophoneMessage],
        journal: Journal,
        on_event: Callable[[ChildEvent], None],
    ) -> None:
        self._store = Store(config.crm.url, pool=4)  # not the connections that calls use
        looks = PanelLooks(
            self._store, config.crm.secret_key, config.quality.panel_ms / 1000, hosts_of(config)
        )
        world = QualityWorld(config.node.name, config.quality, config.call, ari, domophones, journal, looks)
        self.sounds = SoundWorkers()
        self.actor = Quality(world, Judge(config, self.sounds), self._store)
        self.supervisor = Supervisor(
            [
                ChildSpec("sounds", self.sounds.run),
                ChildSpec("calls", self.actor.run, stop_s=config.node.stop_s),
            ],
            name="quality",
            intensity=1_000_000,
            on_event=on_event,
        )

    def disconnect(self) -> None:
        """Close connections to the database that nobody uses; others are made when they are needed."""
        self._store.close()
