"""From the button to the ring: what the panel hears at once, what phones are offered, and what ends the ringing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

import node
from config import Ringing
from crm.store import Store
from crm.values.records import EntryKind, LegEnd, Outcome
from testbed.sipp import Media, open_phone, wait_for
from testbed.town_bed import TownBed, legs, moment, open_node, visiting
from testbed.video import VideoEnd

PANEL, FLAT = "500001", "1"
FRAMES = 40


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While this event is not set the node's database answers nobody."""
    gate = threading.Event()

    class GatedStore(Store):
        @contextmanager
        def reading(self) -> Iterator[sa.Connection]:
            gate.wait(10)
            with super().reading() as connection:
                yield connection

    monkeypatch.setattr(node, "Store", GatedStore)
    yield gate
    gate.set()


async def test_the_panel_hears_ringing_before_the_directory_answers(
    place: TownBed, tmp_path: Path, gate: threading.Event
) -> None:
    one, two = place.accounts(PANEL, FLAT)
    async with (
        open_node(place, tmp_path, call={"directory_deadline_ms": 10_000}) as running,
        open_phone(place.bed, one, two) as phone,
    ):
        async with visiting(place, PANEL, FLAT) as visit:
            await wait_for(visit.sipp, "INVITE", code=180, within_s=2)
            assert not phone.messages
            gate.set()
        record = await running.call()

    assert visit.result.final_code == 200
    assert record.outcome is Outcome.TALKED


@pytest.mark.parametrize(
    ("everywhere", "of_the_panel", "expected"),
    [
        (Ringing.RINGING_180, "NULL", {180}),
        (Ringing.PROGRESS_183, "NULL", {183}),
        (Ringing.RINGING_180, "'183'", {180, 183}),
    ],
)
async def test_a_panel_that_wants_183_gets_it(
    place: TownBed, tmp_path: Path, everywhere: Ringing, of_the_panel: str, expected: set[int]
) -> None:
    changes = [f"UPDATE domophones SET ringing = {of_the_panel} WHERE sip_user = '{PANEL}'"]
    async with (
        open_node(place, tmp_path, call={"ringing": everywhere}, changes=changes),
        open_phone(place.bed, *place.accounts(PANEL, FLAT), ring_ms=400),
        visiting(place, PANEL, FLAT) as visit,
    ):
        pass

    codes = {message.code for message in visit.result.got("INVITE")}
    assert codes & {180, 183} == expected
    assert visit.result.final_code == 200


async def test_every_phone_is_cancelled_at_once_when_the_visitor_gives_up(
    place: TownBed, tmp_path: Path
) -> None:
    accounts = place.accounts("500006", "9")
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, *accounts[:2], ring_ms=20_000) as some,
        open_phone(place.bed, *accounts[2:], ring_ms=20_000) as others,
    ):
        async with visiting(place, "500006", "9", give_up_ms=700) as visit:
            pass
        record = await running.call()
        gave_up = moment(visit.sipp, lambda m: m.sent and m.method == "CANCEL")
        cancels = [
            (await wait_for(phone, "CANCEL"), moment(phone, lambda m: not m.sent and m.method == "CANCEL"))
            for phone in (some, others)
        ]
        for phone in (some, others):
            with trio.fail_after(5):
                while sum(m.method == "CANCEL" for m in phone.messages) < 2:  # noqa: ASYNC110
                    await trio.sleep(0.02)

    assert all(at - gave_up < 0.2 for _, at in cancels)
    assert not any("cause=200" in message.header("Reason") for message, _ in cancels)
    assert record.outcome is Outcome.GAVE_UP
    assert record.entries[-1].data["by"] == "panel"
    assert {leg.end for leg in legs(record).values()} == {LegEnd.CANCELLED}
    assert len(legs(record)) == 4


async def test_h264_of_the_panel_reaches_the_phone_that_answers_and_one_without_video_still_talks(
    place: TownBed, tmp_path: Path
) -> None:
    one, two = place.accounts(PANEL, FLAT)
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, one, media=Media.VIDEO) as seeing,
        open_phone(place.bed, two, ring_ms=20_000),
    ):
        async with visiting(place, PANEL, FLAT, media=Media.VIDEO) as visit:
            pass
        invite = await wait_for(seeing, "INVITE")
        assert invite.media("video")
        assert "H264" in invite.body
        answer = next(m for m in visit.result.got("INVITE") if m.code == 200)
        assert answer.media("video")
        assert "H264" in answer.body
        assert (await running.call()).outcome is Outcome.TALKED


async def test_the_panels_video_comes_through_to_the_phone_that_answers(
    place: TownBed, tmp_path: Path
) -> None:
    """The packets themselves: numbered frames that the panel's camera sends once it is answered."""
    (account,) = place.accounts(PANEL, "2")
    camera_port, screen_port = place.bed.ports.take(3), place.bed.ports.take(3)
    camera, screen = VideoEnd(camera_port + 2), VideoEnd(screen_port + 2)
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, account, media=Media.VIDEO, media_port=screen_port),
        trio.open_nursery() as nursery,
    ):
        await nursery.start(camera.run)
        await nursery.start(screen.run)
        async with visiting(
            place, PANEL, "2", media=Media.VIDEO, media_port=camera_port, talk_ms=2500
        ) as visit:
            await running.noted(EntryKind.BRIDGED)
            answer = await wait_for(visit.sipp, "INVITE", code=200)
            await camera.send(int(answer.media("video").split()[1]), FRAMES)
        nursery.cancel_scope.cancel()

    assert len(screen.received) >= 0.9 * FRAMES
    assert not camera.received


async def test_a_phone_without_video_talks_with_a_panel_that_has_it(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, *place.accounts(PANEL, "2")) as phone,
    ):
        async with visiting(place, PANEL, "2", media=Media.VIDEO) as visit:
            pass
        assert (await wait_for(phone, "INVITE")).media("video")
        answer = next(m for m in visit.result.got("INVITE") if m.code == 200)
        assert answer.media("audio")
        assert (await running.call()).outcome is Outcome.TALKED


async def test_a_panel_without_video_offers_none_to_a_phone_that_has_it(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, *place.accounts(PANEL, "2"), media=Media.AUDIO) as phone,
    ):
        async with visiting(place, PANEL, "2") as visit:
            pass
        invite = await wait_for(phone, "INVITE")
        assert invite.media("audio")
        assert not invite.media("video")
        answer = next(m for m in visit.result.got("INVITE") if m.code == 200)
        assert not answer.media("video")
        assert (await running.call()).outcome is Outcome.TALKED


async def test_a_second_call_of_the_same_panel_replaces_the_first(place: TownBed, tmp_path: Path) -> None:
    accounts = place.accounts(PANEL, FLAT)
    (other,) = place.accounts(PANEL, "2")
    async with (
        open_node(place, tmp_path) as running,
        open_phone(place.bed, *accounts, ring_ms=20_000) as first_phone,
        open_phone(place.bed, other) as second_phone,
    ):
        async with visiting(place, PANEL, FLAT) as first:
            await running.noted(EntryKind.RINGING)
            async with visiting(place, PANEL, "2") as second:
                await wait_for(first_phone, "CANCEL")
                await wait_for(second_phone, "INVITE")
        replaced, talked = await running.calls(2)

    assert (replaced.dialled, replaced.outcome) == (FLAT, Outcome.REPLACED)
    assert {leg.end for leg in legs(replaced).values()} == {LegEnd.CANCELLED}
    assert (talked.dialled, talked.outcome) == ("2", Outcome.TALKED)
    assert first.result.final_code >= 300
    assert second.result.final_code == 200
