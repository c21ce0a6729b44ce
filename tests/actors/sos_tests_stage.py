"""Where test calls of 112 are made on paper: a node's SosTests, a database with a panel, and a dispatch that answers."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from actors.duty_desk import Alarm, DutyDesk
from actors.journal import Journal
from actors.sos_file import SosFile
from actors.sos_pool import SosPool
from actors.sos_register import SosRegister
from actors.sos_tests import SosTests
from actors.sos_trunks import Trunks
from actors.sos_world import SosWorld
from config import DEFAULT, CallConfig, DispatchConfig, DutyConfig, JournalConfig, SosConfig
from crm.sos.tests import (
    PanelTest,
    ask_test,
    get_test,
)
from crm.store import Store, upgrade
from crm.values.records import CallRecord
from telephony.ari.events import Channel, StasisStart
from telephony.ari.lane import Request
from tests.actors.paper import Paper
from tests.crm.houses import Houses

EPOCH = 1_800_000_000.0
PANEL, NUMBER, HOUR = "500001", "+73512000001", 3600.0
CITY = DispatchConfig(fias="c-1", trunks=("one", "two"), test_number="7001")


def wall_clock() -> float:
    return EPOCH + trio.current_time()


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("crm") / "empty.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Store:
    shutil.copy(empty, tmp_path / "crm.db")
    return Store(f"sqlite:///{tmp_path}/crm.db")


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done in a thread is done at once: the clock does not jump over it."""

    async def run_sync(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


class Stage:
    """SosTests of a node, a dispatch that does what `does` says of each trunk, and panels in a database.

    A trunk "answers", is "silent", or refuses with a SIP code; (code, "answers"): only a call with a location.
    """

    def __init__(self, folder: Path, store: Store, city: DispatchConfig, config: SosConfig) -> None:
        self.paper = Paper()
        self.paper.ari.attached.add("TdCallSOS")
        self.store = store
        self.houses = Houses(store)
        self.house = self.houses.entrance("п. 1", self.houses.house("5"))
        self.does: dict[str, str | int | tuple[int, str]] = {"one": "answers", "two": "answers"}
        self.desk = DutyDesk(DutyConfig(), "n1")
        self.journal = Journal(JournalConfig(), folder, lambda records: None, away=OSError)
        self.records: list[CallRecord] = []
        file = SosFile(folder / "sos.db")
        dispatches = {DEFAULT: DispatchConfig(), "chel": city}
        self.trunks = Trunks(config, dispatches, self.paper.ari, file, self.desk)
        self.pools = {
            name: SosPool(
                name, each, config, node="n1", store=store, file=file, desk=self.desk, wall_clock=wall_clock
            )
            for name, each in dispatches.items()
        }
        self.world = SosWorld(
            *("n1", config, CallConfig(), "", dispatches, self.paper.ari, self.journal),
            *(SosRegister(store, file, refresh_s=300), self.pools, self.trunks, self.desk),
        )
        self.most_at_once = 0
        self.tests = SosTests(self.world, store, config, "n1", wall_clock=wall_clock)

    @property
    def pool(self) -> SosPool:
        return self.pools["chel"]

    def panel(self, sip_user: str = PANEL) -> None:
        self.houses.panel(sip_user, self.house)

    def ask(self, panel: str = PANEL) -> int:
        return ask_test(self.store, panel, wall_clock())

    def row(self, id: int) -> PanelTest:
        test = get_test(self.store, id)
        assert test is not None
        return test

    async def ended(self, id: int, *, within_s: float = 100) -> PanelTest:
        await until(lambda: self.row(id).ended_at is not None, within_s)
        return self.row(id)

    def creates(self) -> list[Request]:
        return self.paper.asked("POST", "channels/create")

    def alarms(self) -> dict[str, str]:
        return {each.about: each.text for each in self.desk.alarms() if each.kind is Alarm.TEST_FAILED}

    async def dispatch(self) -> None:
        """The trunks' far ends, and Asterisk between."""
        seen, located = 0, set()
        trunks: dict[str, str] = {}
        while True:
            self.most_at_once = max(self.most_at_once, len(self.paper.ari.legs))
            for request in self.paper.requests[seen:]:
                seen += 1
                if request.path == "channels/create":
                    query = request.query or {}
                    id = query["channelId"]
                    trunks[id] = query["endpoint"].rpartition("@")[2]
                    variables: Any = request.body
                    if "GEOLOC_PROFILE(location_info)" in variables["variables"]:
                        located.add(id)
                    if (leg := self.paper.ari.legs.get(id)) is not None:
                        leg.on_event(StasisStart("TdCallSOS", Channel(id, state="Down")))
                elif request.path.endswith("/dial"):
                    id = request.path.split("/")[1]
                    does = self.does[trunks[id]]
                    if isinstance(does, tuple):
                        does = does[0] if id in located else does[1]
                    if isinstance(does, int):
                        self.paper.ends(id, cause=21, sip=does)
                    elif does == "answers":
                        self.paper.rings(id)
                        self.paper.answers(id)
            await trio.sleep(0.05)


async def until(is_so: Callable[[], bool], within_s: float = 100) -> None:
    with trio.fail_after(within_s):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.1)


@asynccontextmanager
async def on_stage(
    folder: Path, store: Store, *, city: DispatchConfig = CITY, run: bool = True, **config: Any
) -> AsyncIterator[Stage]:
    """With a panel, and a number in its city's pool."""
    stage = Stage(folder, store, city, SosConfig(**config))
    stage.panel()
    stage.pool.pool.set([(NUMBER, False, None)])
    keep = stage.journal.open

    def open_page(record: CallRecord) -> Any:
        stage.records.append(record)
        return keep(record)

    stage.journal.open = open_page  # type: ignore[method-assign]
    with stage.paper.open():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.dispatch)
            if run:
                await nursery.start(stage.tests.run)
            yield stage
            nursery.cancel_scope.cancel()
    store.close()
