"""Tones for the ends of a call, and what a recording of a call holds: so that two-way sound can be proved.

A panel plays one pitch and each phone another; who heard whom is then in the recordings. Which prompt a visitor heard
is told by its likeness to the file that was to be played.
"""

from __future__ import annotations

import wave
from collections.abc import Sequence
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
    return write_sound(path, amplitude / FULL_SCALE * np.sin(2 * np.pi * frequency * times))


def write_sound(path: Path, sound: Sequence[float] | NDArray[Any]) -> Path:
    """Write an 8 kHz mono WAV with 16 bits a sample, of samples between -1 and 1; returns `path`."""
    samples = np.clip(np.asarray(sound) * FULL_SCALE, -32767, 32767)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def _read(path: Path) -> tuple[NDArray[Any], int]:
    """The first channel of a 16-bit WAV, between -1 and 1, and its rate [Hz]."""
    with wave.open(str(path), "rb") as file:
        rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        frames = file.readframes(file.getnframes())
    if width != 2:
        raise ValueError(f"{path}: {8 * width} bits a sample, and 16 can be measured")
    return np.frombuffer(frames[: len(frames) // 2 * 2], "<i2").astype(float)[::channels] / FULL_SCALE, rate


def measure(path: Path) -> Sound:
    """What is to be heard in a 16-bit WAV; a silent or empty one has frequency 0 and level -inf."""
    samples, rate = _read(path)
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


def likeness(path: Path, prompt: bytes) -> float:
    """How much of a recording at 8 kHz is this prompt (A-law), wherever in it: 1 is all, 0 none."""
    heard, rate = _read(path)
    if rate != RATE:
        raise ValueError(f"{path}: {rate} Hz, and {RATE} are expected")
    played = from_a_law(prompt)
    size = heard.size + played.size
    at_each_place = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(played, size).conj(), size)
    whole = float(np.sqrt((heard**2).sum() * (played**2).sum()))
    return float(np.abs(at_each_place).max() / whole) if whole else 0.0


def from_a_law(coded: bytes) -> NDArray[Any]:
    """Samples between -1 and 1 of G.711 A-law, even bits inverted. Source: ITU-T G.711, table 1a."""
    code = np.frombuffer(coded, np.uint8).astype(int) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 0x0F
    value = np.where(exponent == 0, 2 * mantissa + 1, (2 * mantissa + 33) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, value, -value) / 4096
