"""What the CRM's process is made of: the pages and the API, and what is done by the clock beside them.

    crm (one for one)
    ├─ nodes        what nodes say, while somebody looks at the board
    ├─ chores       weekly codes, billing
    ├─ deliveries   what panels are to learn: codes and keys
    ├─ imports      files that are read in, each by a process of its own
    ├─ campaigns    campaigns of quality calls that are being made
    ├─ clean_up     sessions that are over
    └─ http         pages and API

A process of its own: however busy it is, no call waits for it.
"""

from __future__ import annotations

import gc
import sys
import time
from functools import partial
from pathlib import Path

import structlog
import trio
from attrs import frozen
from litestar.concurrency import set_trio_capacity_limiter
from litestar.stores.memory import MemoryStore

import logs
from actors.deliveries import Deliveries
from actors.doors import DoorNotOpened, open_door, open_relay_channel
from actors.panel_says import PanelNotAsked, PanelSays, ask_panel
from config import Config
from crm.app import make_app
from crm.companies.chores import Chores
from crm.imports.worker import ImportWorker
from crm.quality.maker import CampaignMaker
from crm.staff.passwords import Passwords
from crm.staff.staff import clear_away
from crm.store import DatabaseAway, Store, StoreError
from crm.web.guard import limits_of
from crm.web.page import compile_templates
from crm.who import Who
from nodes import NodeError, Nodes
from restarts import TooManyRestarts
from running import log_child, run_until_signal
from serving import serve
from supervisor import ChildSpec, Supervisor
from telephony.panels.where import hosts_of

CLEAN_UP_S = 3600.0
STOP_S = 15.0
COUNTED_BY_ADDRESS = ("api_rate", "sign_in_rate")  # requests and tries, in memory
log = structlog.get_logger("crm")


@frozen
class Doors:
    """Opens doors, and asks panels for their state, for the pages."""

    store: Store
    secret_key: str
    ours: frozenset[str] = frozenset()

    async def open_door(self, domophone_id: int, door: int, who: Who) -> None:
        """Raises as actors.doors.open_door."""
        await open_door(self.store, self.secret_key, domophone_id, door, who, ours=self.ours)

    async def open_channel(self, channel_id: int, who: Who) -> None:
        """Raises as actors.doors.open_relay_channel."""
        await open_relay_channel(self.store, self.secret_key, channel_id, who, ours=self.ours)

    async def ask(self, domophone_id: int, who: Who) -> PanelSays:
        """Raises as actors.panel_says.ask_panel."""
        return await ask_panel(self.store, self.secret_key, domophone_id, who, ours=self.ours)


class CrmServer:
    """The parts of the CRM's process. `run` runs them until it is cancelled."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = Store(config.crm.url, pool=config.web.threads + 4)
        key = config.crm.secret_key
        urls = config.web.nodes or (f"http://{config.node.http}",)
        self.nodes = Nodes(urls, config.node.token)
        self.chores = Chores(self.store, config.codes, config.billing)
        self.deliveries = Deliveries(self.store, key, ours=hosts_of(config))
        folder = Path(config.node.state_dir) / "imports"
        self.imports = ImportWorker(self.store, config.crm.url, key, folder)
        self.campaigns = CampaignMaker(self.store)
        parts = {
            "passwords": Passwords(),
            "nodes": self.nodes,
            "doors": Doors(self.store, key, hosts_of(config)),
            "chores": self.chores,
            "quality": config.quality,
            "settings": config,
            "imports": self.imports,
            "campaigns": self.campaigns,
        }
        self.app = make_app(
            self.store,
            config.web,
            secret_key=key,
            parts=parts,
            failures={NodeError: 503, DoorNotOpened: 502, PanelNotAsked: 502},
        )
        self.url = ""
        self.tree = Supervisor(
            [
                ChildSpec("nodes", self.nodes.run),
                ChildSpec("chores", self.chores.run),
                ChildSpec("deliveries", self.deliveries.run),
                ChildSpec("imports", self.imports.run),
                ChildSpec("campaigns", self.campaigns.run),
                ChildSpec("clean_up", self._clean_up),
                ChildSpec("http", self._serve),
            ],
            name="crm",
            intensity=1_000_000,
            on_event=log_child,
        )

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. Raises TooManyRestarts."""
        try:
            await self.tree.run(task_status=task_status)
        finally:
            self.store.close()

    async def _clean_up(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            clear = partial(clear_away, self.store, time.time(), limits=limits_of(self.config.web))
            try:
                await trio.to_thread.run_sync(clear, abandon_on_cancel=True)
            except StoreError as error:
                log.warning("old sessions are still there", why=str(error))
            for name in COUNTED_BY_ADDRESS:
                counts = self.app.stores.get(name)
                if isinstance(counts, MemoryStore):  # it forgets only what is asked for again
                    await counts.delete_expired()
            await trio.sleep(CLEAN_UP_S)

    async def _serve(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self.url = await nursery.start(partial(serve, self.app, self.config.web.http, "[web] http"))
            log.info("the pages are there", url=self.url)
            task_status.started()
            await trio.to_thread.run_sync(compile_templates, abandon_on_cancel=True)
            # What is there by now stays: each look through it for garbage would stop all pages for a fifth of a second.
            gc.collect()
            gc.freeze()


def main(config: Config) -> int:
    """Run the CRM until SIGINT or SIGTERM; the exit code."""
    logs.set_up(config.log)
    try:
        server = CrmServer(config)
        server.store.check()
    except DatabaseAway as error:
        log.warning("the database is away; the CRM starts without it", why=str(error))
    except (StoreError, ValueError) as error:
        print(f"teledom: {error}", file=sys.stderr)
        return 1
    code = 0
    set_trio_capacity_limiter(trio.CapacityLimiter(config.web.threads))
    try:
        trio.run(
            partial(run_until_signal, server.run, stop_s=STOP_S),
            restrict_keyboard_interrupt_to_checkpoints=True,
        )
    except* TooManyRestarts as group:
        code = 1
        log.error("the CRM gives up", why=str(group.exceptions[0]))
    return code
