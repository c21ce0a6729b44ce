"""Tones are found again, with their level, and silence is silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from testbed.audio import from_a_law, heard, likeness, measure, write_tone
from testbed.prompts import SOUNDS, a_law


@pytest.mark.parametrize("frequency", [440.0, 1000.0, 3000.0])
def test_a_tone_is_found_with_its_level(tmp_path: Path, frequency: float) -> None:
    sound = measure(write_tone(tmp_path / "tone.wav", frequency, seconds=1, level=-20))

    assert sound.frequency == pytest.approx(frequency, abs=5)
    assert sound.level == pytest.approx(-20, abs=0.2)
    assert sound.heard_s == pytest.approx(1, abs=0.11)


def test_another_pitch_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.wav", 440, seconds=1)

    assert heard(path, 440)
    assert not heard(path, 1000)


def test_silence_has_no_pitch(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "silence.wav", 440, seconds=1, level=-90)

    assert measure(path).frequency == 0
    assert not heard(path, 440)


def test_a_law_is_read_as_it_is_written() -> None:
    samples = np.linspace(-0.99, 0.99, 1001)

    assert from_a_law(a_law(samples)) == pytest.approx(samples, abs=0.02)


def test_a_prompt_is_not_like_a_tone(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.wav", 440, seconds=3)

    assert likeness(path, (SOUNDS / "en/teledom/blocked.alaw").read_bytes()) < 0.3
