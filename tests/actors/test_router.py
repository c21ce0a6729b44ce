"""The router and its look, with a whole node on the simulated Asterisk: a snapshot is older than the events beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import frozen

from config import AriConfig, Config, CrmConfig, JournalConfig, NodeConfig
from crm.values.records import CallRecord, EntryKind, Outcome
from testbed.databases import write_town
from testbed.processes import open_ports
from testbed.simulated import PanelState, Simulated, open_simulated
from testbed.town_bed import RunningNode, run_node

PANEL, FLAT, OTHER_FLAT = "500001", "1", "2"


@frozen
class Stage:
    """A node on a simulated Asterisk."""

    simulated: Simulated
    running: RunningNode

    def records(self) -> list[CallRecord]:
        return list({id(record): record for record, _ in self.running.entries}.values())

    def kinds(self) -> list[EntryKind]:
        return [entry.kind for _, entry in self.running.entries]

    def look(self) -> None:
        self.running.node.router.on_attached("TdCall")

    def left_over(self) -> list[str]:
        state = self.simulated.state()
        return [*state["channels"], *state["bridges"], *self.running.node.ari.legs]


@asynccontextmanager
async def open_stage(folder: Path, *, delay_path: str = "") -> AsyncIterator[Stage]:
    """A node that has been started, and may not be ready; requests for `delay_path` wait a second."""
    database = folder / "crm.db"
    write_town(database)
    with open_ports() as ports:
        async with open_simulated() as simulated:
            if delay_path:
                simulated.faults.delay_path, simulated.faults.reply_delay_s = delay_path, 1
            config = Config(
                node=NodeConfig(state_dir=str(folder), http=f"127.0.0.1:{ports.take()}"),
                ari=AriConfig(
                    url=simulated.ari_url,
                    user=simulated.user,
                    password=simulated.password,
                    reply_coalesce_ms=10,
                ),
                crm=CrmConfig(url=f"sqlite:///{database}"),
                journal=JournalConfig(flush_ms=20),
            )
            async with run_node(config, database) as running:
                yield Stage(simulated, running)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path) as stage:
        await stage.running.ready()
        yield stage


async def test_a_node_is_ready_once_it_has_looked_at_the_calls_that_stand(tmp_path: Path) -> None:
    async with open_stage(tmp_path, delay_path="/ari/bridges") as stage:
        await stage.running.not_ready("asterisk", saying="not looked yet")
        await stage.running.ready()


async def test_a_call_that_ends_during_a_look_is_not_taken_up_again(stage: Stage) -> None:
    simulated = stage.simulated
    call = simulated.press(PANEL, FLAT)
    await stage.running.noted(EntryKind.RINGING, number=2)
    simulated.faults.delay_path, simulated.faults.reply_delay_s = "/ari/bridges", 0.3
    stage.look()
    await trio.sleep(0.1)  # its list of channels has come, that of bridges has not
    call.hangup()
    await stage.running.noted(EntryKind.END)
    await trio.sleep(0.5)

    assert [record.outcome for record in stage.records()] == [Outcome.GAVE_UP]
    assert EntryKind.RECOVERED not in stage.kinds()
    assert stage.left_over() == []


async def test_a_call_that_comes_during_a_look_is_carried_once(stage: Stage) -> None:
    simulated = stage.simulated
    simulated.faults.delay_path, simulated.faults.reply_delay_s = "/ari/channels", 0.2
    stage.look()
    await trio.sleep(0.05)
    call = simulated.press(PANEL, FLAT)
    await stage.running.noted(EntryKind.RINGING, number=2)
    await trio.sleep(0.3)
    stage.look()
    await trio.sleep(0.5)
    assert call.state is PanelState.RINGING
    call.hangup()
    await stage.running.noted(EntryKind.END)

    assert stage.kinds().count(EntryKind.BUTTON) == 1
    assert EntryKind.RECOVERED not in stage.kinds()


async def test_a_visitor_who_hangs_up_in_the_moment_of_the_press_keeps_no_phone_ringing(stage: Stage) -> None:
    stage.simulated.press(PANEL, FLAT).hangup()
    await stage.running.noted(EntryKind.END)

    assert [record.outcome for record in stage.records()] == [Outcome.GAVE_UP]
    assert stage.left_over() == []


async def test_a_visitor_who_hangs_up_while_the_call_before_ends_keeps_no_phone_ringing(stage: Stage) -> None:
    simulated = stage.simulated
    simulated.press(PANEL, FLAT)
    await stage.running.noted(EntryKind.RINGING, number=2)
    second = simulated.press(PANEL, OTHER_FLAT)
    simulated.faults.mute_events = True  # the first call waits for the ends of its legs, and is not told
    await trio.sleep(0.1)
    second.hangup()
    simulated.faults.mute_events = False
    await stage.running.noted(EntryKind.END, number=2)

    assert [record.outcome for record in stage.records()] == [Outcome.REPLACED, Outcome.GAVE_UP]
    assert stage.left_over() == []
