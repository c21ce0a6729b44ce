"""Tones for the ends of a call, and what a recording of a call holds: so that two-way sound can be proved.

A panel plays one pitch and each phone another; who heard whom is then in the recordings.
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

RATE = 8000  # Hz: what G.711 carries
FULL_SCALE = 32768.0


@frozen
class Sound:
    """The loudest pitch of a recording [Hz], its level [dBFS] while it sounds, and how long that is [s]."""

    frequency: float
    level: float
    heard_s: float


def write_tone(path: Path, frequency: float, *, seconds: float = 10.0, level: float = -12.0) -> Path:
    """Write an 8 kHz mono WAV with a sine of `frequency` Hz at `level` dBFS; returns `path`."""
    times = np.arange(int(RATE * seconds)) / RATE
    amplitude = FULL_SCALE * 10 ** (level / 20) * 2**0.5  # dBFS by power: a full-scale sine is -3
    samples = np.clip(amplitude * np.sin(2 * np.pi * frequency * times), -32767, 32767)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def measure(path: Path) -> Sound:
    """What is to be heard in a 16-bit WAV; a silent or empty one has frequency 0 and level -inf."""
    with wave.open(str(path), "rb") as file:
        rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        frames = file.readframes(file.getnframes())
    if width != 2:
        raise ValueError(f"{path}: {8 * width} bits a sample, and 16 can be measured")
    samples: NDArray[Any] = (
        np.frombuffer(frames[: len(frames) // 2 * 2], "<i2").astype(float)[::channels] / FULL_SCALE
    )
    # Windows of 100 ms: silence before and after the talk is left out of the level.
    size = rate // 10
    windows = samples[: samples.size // size * size].reshape(-1, size)
    power = (windows**2).mean(axis=1) if windows.size else np.zeros(0)
    loud = power > 10 ** (-50 / 10)
    if not loud.any():
        return Sound(0.0, float("-inf"), 0.0)
    spectrum = np.abs(np.fft.rfft(windows[loud] * np.hanning(size), n=8 * size, axis=1)).sum(axis=0)
    frequency = float(np.argmax(spectrum) * rate / (8 * size))
    return Sound(frequency, float(10 * np.log10(power[loud].mean())), float(loud.sum() * size / rate))


def heard(path: Path, frequency: float, *, tolerance: float = 15.0, at_least_s: float = 0.3) -> bool:
    """Whether a tone of `frequency` Hz is what a recording mostly holds, for `at_least_s` or longer."""
    sound = measure(path)
    return abs(sound.frequency - frequency) <= tolerance and sound.heard_s >= at_least_s
