"""What recordings of handsets are mixed from: noises, hum, tones, clicks, clipping, echo; at 8 kHz, between -1 and 1.

Levels are dBFS by power (a full-scale sine is -3). All chance comes from the generator that is handed in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from testbed.audio import from_a_law
from testbed.prompts import RATE, a_law

Floats = NDArray[np.float64]
Rng = np.random.Generator


def at_level(samples: Floats, level: float) -> Floats:
    """The same at `level` dBFS."""
    power = float((samples**2).mean())
    return samples * float(np.sqrt(10 ** (level / 10) / power)) if power else samples


def speech_at(samples: Floats, level: float) -> Floats:
    """Speech whose loud part (20 ms frames within 20 dB of the loudest) is at `level` dBov."""
    frames = samples[: samples.size // 160 * 160].reshape(-1, 160)
    power = (frames**2).mean(axis=1)
    active = power[power > power.max() / 100].mean()
    return samples * float(np.sqrt(10 ** (level / 10) / active))


def coloured(rng: Rng, count: int, slope: float) -> Floats:
    """Noise whose power falls with frequency to the `slope`: 0 is white, 1 pink, 2 brown; from 60 Hz on."""
    spectrum = rng.normal(size=count // 2 + 1) + 1j * rng.normal(size=count // 2 + 1)
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    shape = np.where(hertz < 60, 0.0, np.maximum(hertz, 60.0) ** (-slope / 2))
    return np.fft.irfft(spectrum * shape, count)


def hiss(rng: Rng, count: int) -> Floats:
    """White noise through a telephone's band, 300 to 3400 Hz."""
    spectrum = np.fft.rfft(rng.normal(size=count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    return np.fft.irfft(np.where((hertz > 300) & (hertz < 3400), spectrum, 0), count)


def crackle(rng: Rng, count: int, per_s: float = 40.0) -> Floats:
    """A bad contact: impulses at random times, each with a short decay and a size of its own."""
    hits = (rng.random(count) < per_s / RATE) * rng.normal(size=count) * rng.exponential(size=count)
    decay = np.exp(-np.arange(40) / 6.0) * rng.normal(size=40)
    return np.convolve(hits, decay)[:count].astype(np.float64)


def rustle(rng: Rng, count: int, per_s: float = 4.0) -> Floats:
    """A loose wire: bursts of hiss of 20 to 80 ms at random times."""
    gate = np.zeros(count)
    for start in np.flatnonzero(rng.random(count) < per_s / RATE):
        gate[start : start + int(rng.integers(160, 640))] = rng.uniform(0.3, 1)
    return hiss(rng, count) * gate


def babble(rng: Rng, count: int, voices: list[Floats]) -> Floats:
    """Eight people who talk at once."""
    mixed = np.zeros(count)
    for _ in range(8):
        said = speech_at(voices[rng.integers(len(voices))], -26.0)
        mixed += np.roll(np.resize(said, count), int(rng.integers(count)))
    return mixed


def hum(rng: Rng, count: int, *, every: int = 1, falls: float = 1.0) -> Floats:
    """The mains: each `every`th harmonic of 50 Hz (off by up to 0.1 Hz), the n-th by n to the `falls` lower."""
    times = np.arange(count) / RATE
    mains = 50 + rng.uniform(-0.1, 0.1)
    mixed = np.zeros(count)
    for harmonic in range(every, 21, every):
        phase = rng.uniform(0, 2 * np.pi)
        mixed += rng.uniform(0.5, 1) / harmonic**falls * np.sin(2 * np.pi * mains * harmonic * times + phase)
    return mixed


def cadence(count: int, hertz: tuple[float, ...], on_s: float, off_s: float) -> Floats:
    """The tone of an exchange, in its rhythm."""
    times = np.arange(count) / RATE
    tone = np.sum([np.sin(2 * np.pi * each * times) for each in hertz], axis=0)
    sounding: Floats = np.where(times % (on_s + off_s) < on_s, tone, 0.0)
    return sounding


def click(rng: Rng, count: int, at_s: float, peak: float) -> Floats:
    """A handset that is lifted: one bump of 30 ms."""
    made = np.zeros(count)
    start = int(at_s * RATE)
    bump = rng.normal(size=240) * np.exp(-np.arange(240) / 50.0)
    bump *= peak / np.abs(bump).max()
    made[start : start + 240] = bump[: max(0, count - start)]
    return made


def echo(sent: Floats, lag_s: float, level: float) -> Floats:
    """What was sent, `lag_s` later and at `level` dB of it."""
    lag = int(lag_s * RATE)
    return np.concatenate([np.zeros(lag), sent])[: sent.size] * 10 ** (level / 20)


def clip(samples: Floats, gain: float) -> Floats:
    """Driven `gain` times beyond what the peak takes."""
    clipped: Floats = np.clip(samples / np.abs(samples).max() * gain, -1.0, 1.0)
    return clipped


def through_a_law(samples: Floats) -> Floats:
    """As it comes out of G.711."""
    decoded: Floats = from_a_law(a_law(samples))
    return decoded
