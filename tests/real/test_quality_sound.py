"""What a quality call says of a handset whose panel sends real sound; and a node that is killed in the midst of one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from crm.quality.campaigns import find_flat
from crm.quality.results import results
from crm.quality.tasks import add_test
from crm.store import Store
from crm.values.quality import Result
from testbed.audio import likeness, write_sound
from testbed.baresip import open_baresip
from testbed.node_process import open_process
from testbed.prompts import SOUNDS
from testbed.residents import Handset, sound
from testbed.sipp import open_phone, wait_for
from testbed.town_bed import TownBed, open_node
from tests.real.test_quality import ADDRESS, FLAT, PANEL, Crm


@pytest.mark.parametrize("handset", Handset)
async def test_the_verdict_is_on_what_comes_from_the_handset(
    place: TownBed, tmp_path: Path, handset: Handset
) -> None:
    played_there = write_sound(tmp_path / "handset.wav", sound(place.bed.tree, handset))
    async with (
        open_node(place, tmp_path) as node,
        open_baresip(place.bed, place.panel(PANEL), handsets={FLAT: played_there}) as panel,
    ):
        crm = Crm(node)
        crm.test()
        await panel.wait_event("CALL_ESTABLISHED", handset=FLAT)
        result = await crm.result()

    assert result.verdict == handset.value.value, f"{result.why}: {result.measures}"
    recording = place.bed.recordings / result.recording
    played = recording.with_name(recording.stem + "-out.wav")
    prompt = (SOUNDS / "ru/teledom/quality-hello.alaw").read_bytes()
    other = (SOUNDS / "en/teledom/quality-hello.alaw").read_bytes()
    assert likeness(played, prompt) > 0.5 > likeness(played, other)


async def test_a_node_that_is_killed_leaves_no_panel_taken_and_the_task_is_made_again(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_process(place, tmp_path) as child,
        open_phone(place.bed, place.panel(PANEL)) as panel,
    ):
        with Store(f"sqlite:///{tmp_path}/node.db") as store:
            flat_id = find_flat(store, ADDRESS)
            add_test(store, flat_id, 0.0)
            await wait_for(panel, "ACK")
            await trio.sleep(1)
            await child.kill()
            assert await place.left_over(), "Asterisk does not know that its node is gone"
            await child.start()
            await wait_for(panel, "BYE")
            result = await _result(store, flat_id)
    invites = [each for each in panel.messages if each.method == "INVITE"]
    assert len({each.header("Call-ID") for each in invites}) == 2
    assert invites[1].start_line.startswith(f"INVITE sip:{FLAT}@")
    assert result.attempt == 1
    with closing(sqlite3.connect(tmp_path / "node.db")) as database:
        ended = database.execute(
            "SELECT outcome FROM calls WHERE kind = 'quality' ORDER BY started_at"
        ).fetchall()
    assert ended == [("lost",), ("talked",)]


async def _result(store: Store, flat_id: int) -> Result:
    with trio.fail_after(60):
        while not (found := results(store, flat_id=flat_id)):  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.1)
    return found[0]
