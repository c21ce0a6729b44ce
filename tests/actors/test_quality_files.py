"""Recordings of quality calls: when they are whole, and which are cleared away."""

from __future__ import annotations

import os
from pathlib import Path

import trio
import trio.testing

from actors.quality_files import FOLDER, clear, directions, until_whole


def make(folder: Path, name: str, at: float, size: int) -> Path:
    file = folder / FOLDER / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    os.utime(file, (at, at))
    return file


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in (folder / FOLDER).iterdir())


def test_what_is_older_goes(tmp_path: Path) -> None:
    make(tmp_path, "old.wav", 100, 10)
    make(tmp_path, "new.wav", 300, 10)

    assert clear(tmp_path, 200, 1) == 1
    assert left(tmp_path) == ["new.wav"]


def test_the_oldest_go_until_the_rest_has_room(tmp_path: Path) -> None:
    for n in range(4):
        make(tmp_path, f"{n}.wav", 100 + n, 400_000)

    assert clear(tmp_path, 0, 1) == 2
    assert left(tmp_path) == ["2.wav", "3.wav"]


def test_there_may_be_nothing_to_clear(tmp_path: Path) -> None:
    assert clear(tmp_path, 200, 1) == 0


def test_folders_and_links_are_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.wav"
    elsewhere.write_bytes(bytes(10))
    make(tmp_path, "old.wav", 100, 10)
    (tmp_path / FOLDER / "folder").mkdir()
    (tmp_path / FOLDER / "link.wav").symlink_to(elsewhere)

    clear(tmp_path, 200, 1)

    assert left(tmp_path) == ["folder", "link.wav"]
    assert elsewhere.exists()


async def test_a_recording_is_whole_when_it_grows_no_more(tmp_path: Path, autojump_clock: object) -> None:
    recording = tmp_path / "1-2026.wav"
    come, heard = directions(recording)
    assert (come.name, heard.name) == ("1-2026-in.wav", "1-2026-out.wav")

    async def grow() -> None:
        for size in (44, 100, 200, 300):
            await trio.sleep(0.25)
            for file in (come, heard):
                file.write_bytes(bytes(size))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(grow)
        assert not await _whole_before(recording, 0.7)
        await trio.sleep(0.5)
        assert await until_whole(recording)


async def _whole_before(recording: Path, seconds: float) -> bool:
    with trio.move_on_after(seconds):
        await until_whole(recording)
        return directions(recording)[0].stat().st_size == 300
    return False


async def test_a_recording_that_never_came_is_not_waited_for_long(
    tmp_path: Path, autojump_clock: object
) -> None:
    assert not await until_whole(tmp_path / "1.wav")
