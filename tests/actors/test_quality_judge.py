"""A call that is over becomes a result, measured and drawn by the real worker process."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import cast

import attrs
import numpy as np
import pytest
import trio

from actors.quality_call import Called, Played, QualityCall, QualityWorld
from actors.quality_files import directions
from actors.quality_judge import Judge
from config import Config
from crm.values.quality import CallType, Task, TaskState
from telephony.recording import Ended
from telephony.sound_worker import SoundWorkers

TASK = Task(
    id=1,
    campaign_id=None,
    kind=CallType.TEST,
    flat_id=42,
    flat="42",
    dialled="42",
    panel="500001",
    domain="teledom",
    domophone="08:13:cd:00:00:01",
    vendor="beward",
    house_id=1,
    address="Челябинск, ул. Ленина 5",
    time_zone="Asia/Yekaterinburg",
    state=TaskState.CALLING,
    due_at=0.0,
    attempts=0,
    node="node1",
    started_at=0.0,
    ended_at=None,
    why="",
    verdict="",
)


def record(path: Path, level: float) -> None:
    sound = np.random.default_rng(1).normal(0, level, 4 * 8000).clip(-1, 1) * 32767
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(sound.astype("<i2").tobytes())


@pytest.mark.parametrize(("language", "head"), [("ru", "Что пришло от трубки"), ("en", "What came back")])
async def test_a_picture_speaks_the_language_of_the_prompts(tmp_path: Path, language: str, head: str) -> None:
    config = Config()
    config = attrs.evolve(
        config,
        call=attrs.evolve(config.call, language=language),
        quality=attrs.evolve(config.quality, recordings=str(tmp_path)),
    )
    for direction in directions(tmp_path / "a.wav"):
        record(direction, 0.05)
    call = QualityCall(
        cast(QualityWorld, attrs.make_class("World", {"node": attrs.field()})("node1")), TASK, "c1"
    )
    called = Called(
        Ended.ANSWERED, recording="a.wav", played=[Played("quality-hello", 0.5, 1.5)], listened_s=4.0
    )

    sounds = SoundWorkers()
    async with trio.open_nursery() as nursery:
        await nursery.start(sounds.run)
        result = await Judge(config, sounds).result(call, called)
        nursery.cancel_scope.cancel()

    assert result.picture == "a.svg"
    assert head in (tmp_path / "a.svg").read_text()
