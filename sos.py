"""What of a node is for 112: it shares nothing with visitors' calls but the process, the panels' locks and the journal.

sos (a supervisor of its own, which never gives up)
├─ desk          the duty desk: webhooks, alarms, the board
├─ register      what is known of every panel
├─ trunks        which are there
└─ pool NAME     numbers of a city, one actor for each [dispatch.NAME]
inbound          an actor a call that comes back from a dispatch
tests            test calls
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actors.actor import Mailbox
from actors.domophone import DomophoneMessage, Hold, SosPressed
from actors.duty_desk import DutyDesk
from actors.journal import Journal
from actors.keyed import KeyedSupervisor
from actors.sos_call import SosCall
from actors.sos_file import SosFile
from actors.sos_inbound import CameIn, InboundCall
from actors.sos_pool import SosPool
from actors.sos_register import SosRegister
from actors.sos_tests import SosTests
from actors.sos_trunks import Trunks
from actors.sos_world import SosWorld
from config import Config
from crm.store import Store
from restarts import ChildEvent
from supervisor import ChildSpec, Supervisor
from telephony.ari.client import Ari

BUSY_S = 3.0  # for which a thread may hang on a lock of the database, after the call has gone on
WAIT_S = 5.0


class Sos:
    """The parts. `supervisor` runs what calls need, `inbound` the calls that come in, `tests` those that are planned."""

    def __init__(
        self, config: Config, ari: Ari, journal: Journal, on_event: Callable[[ChildEvent], None]
    ) -> None:
        self._store = Store(config.crm.url, busy_s=BUSY_S, pool=6, durable=True)
        self._file = SosFile(Path(config.node.state_dir) / "sos.db")
        self.desk = DutyDesk(config.duty, config.node.name)
        self.register = SosRegister(self._store, self._file, refresh_s=config.sos.refresh_s)
        self.trunks = Trunks(config.sos, config.dispatch, ari, self._file, self.desk)
        self.pools = {
            name: SosPool(
                name,
                dispatch,
                config.sos,
                node=config.node.name,
                store=self._store,
                file=self._file,
                desk=self.desk,
            )
            for name, dispatch in config.dispatch.items()
        }
        self.world = SosWorld(
            config.node.name,
            config.sos,
            config.call,
            config.duty.account,
            config.dispatch,
            ari,
            journal,
            self.register,
            self.pools,
            self.trunks,
            self.desk,
        )
        # Not the connections that leases use.
        self._tests_store = Store(config.crm.url, busy_s=BUSY_S, pool=2)
        self._tests = SosTests(self.world, self._tests_store, config.sos, config.node.name)
        self.tests = Supervisor(
            [ChildSpec("tests", self._tests.run)], name="tests", intensity=1_000_000, on_event=on_event
        )
        self.inbound: KeyedSupervisor[str, CameIn] = KeyedSupervisor(
            self._call_back, name="inbound", capacity=4, intensity=1_000_000, on_event=on_event
        )
        self.domophones: KeyedSupervisor[str, DomophoneMessage] | None = None
        self.supervisor = Supervisor(
            [
                ChildSpec("desk", self.desk.run),
                ChildSpec("register", self.register.run),
                ChildSpec("trunks", self.trunks.run),
                *(ChildSpec(f"pool {name}", pool.run) for name, pool in self.pools.items()),
            ],
            name="sos",
            intensity=1_000_000,
            on_event=on_event,
        )

    async def carry(self, sip_user: str, pressed: SosPressed, hold: Hold) -> None:
        """Carry a panel's 112 call to its end."""
        await SosCall(self.world, sip_user, pressed, hold).run()

    async def _call_back(self, channel_id: str, mailbox: Mailbox[CameIn]) -> None:
        assert self.domophones is not None
        with mailbox.owned():
            came = await mailbox.receive_or_retire(WAIT_S)
            if came is not None:
                await InboundCall(self.world, self.domophones, came).run()
        mailbox.retire()

    def disconnect(self) -> None:
        """Close connections to the database that nobody uses; others are made when they are needed."""
        self._store.close()
        self._tests_store.close()

    def close(self) -> None:
        """Give back what is open, for good."""
        self.disconnect()
        self._file.close()
