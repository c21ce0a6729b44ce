"""The router and its look, with a whole node on the simulated Asterisk: a snapshot is older than the events beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, field

from config import AriConfig, Config, CrmConfig, JournalConfig, NodeConfig
from crm.records import CallRecord, Entry, EntryKind, Outcome
from node import Node
from testbed.processes import open_ports
from testbed.simulated import PanelState, Simulated, open_simulated
from testbed.town_bed import write_town

PANEL, FLAT, OTHER_FLAT = "500001", "1", "2"


@define
class Stage:
    """A node on a simulated Asterisk, and what its journal noted so far."""

    simulated: Simulated
    node: Node
    noted: list[tuple[CallRecord, Entry]] = field(factory=list)

    def records(self) -> list[CallRecord]:
        return list({id(record): record for record, _ in self.noted}.values())

    def kinds(self) -> list[EntryKind]:
        return [entry.kind for _, entry in self.noted]

    async def until(self, kind: EntryKind, count: int = 1) -> None:
        with trio.fail_after(5):
            while self.kinds().count(kind) < count:  # noqa: ASYNC110 - a listener cannot wake a task
                await trio.sleep(0.005)

    def left_over(self) -> list[str]:
        state = self.simulated.state()
        return [*state["channels"], *state["bridges"], *self.node.ari.legs]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path) as stage:
        yield stage


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    write_town(folder / "crm.db")
    with open_ports() as ports:
        async with open_simulated() as simulated, trio.open_nursery() as nursery:
            config = Config(
                node=NodeConfig(state_dir=str(folder), http=f"127.0.0.1:{ports.take()}"),
                ari=AriConfig(
                    url=simulated.ari_url,
                    user=simulated.user,
                    password=simulated.password,
                    reply_coalesce_ms=10,
                ),
                crm=CrmConfig(url=f"sqlite:///{folder}/crm.db"),
                journal=JournalConfig(flush_ms=20),
            )
            stage = Stage(simulated, Node(config))
            stage.node.journal.listen(lambda record, entry: stage.noted.append((record, entry)))
            await nursery.start(stage.node.run)
            with trio.fail_after(10):
                while any(stage.node.readiness().values()):  # noqa: ASYNC110 - what /readyz would say
                    await trio.sleep(0.01)
            yield stage
            nursery.cancel_scope.cancel()


async def test_a_call_that_ends_during_a_look_is_not_taken_up_again(stage: Stage) -> None:
    simulated = stage.simulated
    call = simulated.press(PANEL, FLAT)
    await stage.until(EntryKind.RINGING, 2)
    simulated.faults.delay_path, simulated.faults.reply_delay_s = "/ari/bridges", 0.3
    stage.node.router.on_attached("TdCall")
    await trio.sleep(0.1)  # its list of channels has come, that of bridges has not
    call.hangup()
    await stage.until(EntryKind.END)
    await trio.sleep(0.5)

    assert [record.outcome for record in stage.records()] == [Outcome.GAVE_UP]
    assert EntryKind.RECOVERED not in stage.kinds()
    assert stage.left_over() == []


async def test_a_call_that_comes_during_a_look_is_carried_once(stage: Stage) -> None:
    simulated = stage.simulated
    simulated.faults.delay_path, simulated.faults.reply_delay_s = "/ari/channels", 0.2
    stage.node.router.on_attached("TdCall")
    await trio.sleep(0.05)
    call = simulated.press(PANEL, FLAT)
    await stage.until(EntryKind.RINGING, 2)
    await trio.sleep(0.3)
    stage.node.router.on_attached("TdCall")
    await trio.sleep(0.5)
    assert call.state is PanelState.RINGING
    call.hangup()
    await stage.until(EntryKind.END)

    assert stage.kinds().count(EntryKind.BUTTON) == 1
    assert EntryKind.RECOVERED not in stage.kinds()


async def test_a_visitor_who_hangs_up_in_the_moment_of_the_press_keeps_no_phone_ringing(stage: Stage) -> None:
    stage.simulated.press(PANEL, FLAT).hangup()
    await stage.until(EntryKind.END)

    assert [record.outcome for record in stage.records()] == [Outcome.GAVE_UP]
    assert stage.left_over() == []


async def test_a_visitor_who_hangs_up_while_the_call_before_ends_keeps_no_phone_ringing(stage: Stage) -> None:
    simulated = stage.simulated
    simulated.press(PANEL, FLAT)
    await stage.until(EntryKind.RINGING, 2)
    second = simulated.press(PANEL, OTHER_FLAT)
    simulated.faults.mute_events = True  # the first call waits for the ends of its legs, and is not told
    await trio.sleep(0.1)
    second.hangup()
    simulated.faults.mute_events = False
    await stage.until(EntryKind.END, 2)

    assert [record.outcome for record in stage.records()] == [Outcome.REPLACED, Outcome.GAVE_UP]
    assert stage.left_over() == []
