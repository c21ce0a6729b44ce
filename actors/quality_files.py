"""Recordings of quality calls on this node's disk: waited for when a call is over, and cleared away by age and room."""

from __future__ import annotations

import os
from pathlib import Path

import trio

FOLDER = "quality"  # under Asterisk's folder of recordings
WHOLE_S = 5.0  # after the hangup the file is whole
POLL_S = 0.1
HEADER = 44  # bytes of a WAV file without sound


def directions(recording: Path) -> tuple[Path, Path]:
    """What came from the flat, and what it heard; beside the `recording` of both together."""
    return recording.with_name(f"{recording.stem}-in.wav"), recording.with_name(f"{recording.stem}-out.wav")


async def until_whole(recording: Path) -> bool:
    """Wait until Asterisk has closed a call's files. False: they are not there, or hold nothing."""
    sizes: list[int] = []
    with trio.move_on_after(WHOLE_S):
        while True:
            before, sizes = sizes, [_size(file) for file in directions(recording)]
            if sizes == before and min(sizes) > HEADER:
                return True
            await trio.sleep(POLL_S)
    return min(sizes, default=0) > HEADER


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def clear(recordings: Path, before: float, keep_mb: float) -> int:
    """Delete what is older than `before` (UTC), and the oldest until the rest takes `keep_mb` at most: how many files.

    `keep_mb` in 10^6 bytes. A file that cannot be deleted is left, and tried again the next time.
    """
    files = []
    for entry in os.scandir(recordings / FOLDER) if (recordings / FOLDER).is_dir() else ():
        if entry.is_file(follow_symlinks=False):
            stat = entry.stat(follow_symlinks=False)
            files.append((stat.st_mtime, stat.st_size, Path(entry.path)))
    files.sort()
    room = sum(size for _, size, _ in files)
    deleted = 0
    for at, size, file in files:
        if at >= before and room <= keep_mb * 1e6:
            break
        try:
            file.unlink(missing_ok=True)
        except OSError:
            continue
        room -= size
        deleted += 1
    return deleted
