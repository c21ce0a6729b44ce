"""Whether a voice is in a recording: neither tones, nor hum, nor clicks or noise are one.

Voiced speech shows a pitch: its spectrum has many harmonics of a tone between 70 and 400 Hz that moves. So, in frames of
40 ms, each 20 ms:
- what stands all the time (hum, hiss, a continuous tone) is taken out of the spectrum: each bin's low percentile;
- of what is left, enough must be there, and more than one or two tones of it;
- its autocorrelation must show a pitch, over several frames in a row, in a fair part of an utterance;
- and all of the voice must not keep to one pitch: a buzzer does.
"""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RATE = 8000  # Hz
HOP = 160  # samples
WINDOW = 320  # samples: two pitch periods of the lowest voice
SIZE = 1024  # of the transform, for an autocorrelation that does not wrap
BIN_HZ = RATE / SIZE
FROM_HZ, TO_HZ = 120, 3400  # below is hum, above nothing that G.711's filters leave

STANDING_PERCENTILE = 15
STANDING_FACTOR = 8.0  # noise's own mean is six times its 15th percentile
QUIET_DBFS = -62.0  # A-law's own noise is below
PRESENT_DB = 4.0  # what is left, over what stands
PITCHED = 0.5  # of 1: the autocorrelation at the pitch
PITCH_LAGS = (RATE // 400, RATE // 70)
TONE_FROM_HZ = 300  # an exchange's; below is hum
TONAL = 0.93  # of the energy in two peaks: one or two tones
PEAK_BINS = 6  # half a tone's width under the window
RUN = 3  # frames
GAP = 5  # frames of quiet that do not end an utterance
VOICED = 0.1  # of an utterance's loud frames
WORD = 5  # frames of a word at least
AMONG = 50  # frames from one word to the next
NEAR = 10  # frames around an utterance that may hold its quiet ends
ONE_PITCH = 0.9  # of the voiced frames at a lag or its neighbour


@frozen
class Found:
    """By frame of 20 ms: `voice` is speech, `near` may hold speech, `tone` is one tone or two."""

    voice: Bools
    near: Bools
    tone: Bools


def find_voice(samples: Floats, listening: Bools) -> Found:
    """Where a voice is, among the frames of 20 ms that are to be listened to."""
    count = listening.size
    none = np.zeros(count, bool)
    if not listening.any():
        return Found(none, none, none)
    padded = np.concatenate([samples, np.zeros(WINDOW)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
    window = np.hanning(WINDOW)
    spectrum = np.abs(np.fft.rfft(frames * window, SIZE, axis=1)) ** 2 * 2 / (SIZE * (window**2).sum())
    band = slice(int(FROM_HZ / BIN_HZ), int(TO_HZ / BIN_HZ))
    in_band = spectrum[:, band]
    standing = np.percentile(in_band[listening], STANDING_PERCENTILE, axis=0) * STANDING_FACTOR
    left = np.maximum(in_band - standing, 0.0)
    power = left.sum(axis=1)
    loud = listening & (power > 10 ** (QUIET_DBFS / 10))
    loud &= power > standing.sum() / STANDING_FACTOR * 6 * 10 ** (PRESENT_DB / 10)
    highest = FROM_HZ + in_band.argmax(axis=1) * BIN_HZ
    whole = in_band.sum(axis=1)
    tone = listening & (whole > 10 ** (QUIET_DBFS / 10)) & (highest > TONE_FROM_HZ)
    tone &= _two_peaks(in_band) > TONAL * whole
    strength, lags = _pitch(left, band)
    loud &= ~tone
    voiced = _runs(loud & (strength > PITCHED), RUN)
    if voiced.any():
        counts = np.bincount(lags[voiced], minlength=PITCH_LAGS[1] + 1)
        if np.convolve(counts, [1, 1]).max() > ONE_PITCH * voiced.sum():
            return Found(none, none, tone | voiced)
    voice = _spans(loud, voiced)
    near = (_around(voice, NEAR) | _hoarse(loud, strength, voice)) if voice.any() else none
    return Found(voice, near & listening, tone)


def _around(frames: Bools, many: int) -> Bools:
    return np.convolve(frames, np.ones(2 * many + 1), "same") > 0


def _hoarse(loud: Bools, strength: Floats, voice: Bools) -> Bools:
    """Words among those of a voice whose pitch does not last: no proof of a voice, but no noise in its pauses either."""
    words = _runs(loud, WORD)
    pitched = np.convolve(loud & (strength > PITCHED), np.ones(WORD), "same") >= 2
    return _around(words & _around(words & pitched, WORD) & _around(voice, AMONG), NEAR)


def _spans(loud: Bools, voiced: Bools) -> Bools:
    """What is loud in the stretches that are voiced, of which enough is: an utterance has its consonants as well."""
    joined = ~_runs(~loud, GAP)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], joined, [False]]).astype(np.int8)))
    found = np.zeros(loud.size, bool)
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if voiced[begin:end].sum() > VOICED * loud[begin:end].sum():
            found[begin:end] = loud[begin:end]
    return found


def _two_peaks(left: Floats) -> Floats:
    """The power around the two highest peaks of each frame."""
    rest = left.copy()
    rows = np.arange(left.shape[0])[:, None]
    around = np.arange(-PEAK_BINS, PEAK_BINS + 1)
    found = np.zeros(left.shape[0])
    for _ in range(2):
        bins = np.clip(rest.argmax(axis=1)[:, None] + around, 0, left.shape[1] - 1)
        # At an edge a bin is named more than once: it is taken once.
        before = rest.sum(axis=1)
        rest[rows, bins] = 0.0
        found += before - rest.sum(axis=1)
    return found


def _pitch(left: Floats, band: slice) -> tuple[Floats, NDArray[np.intp]]:
    """How periodic each frame is (0 to 1), and its pitch as a lag in samples.

    With an emphasis of 3 dB an octave: else the low end of noise that falls with frequency looks like a pitch.
    """
    whole = np.zeros((left.shape[0], SIZE // 2 + 1))
    whole[:, band] = left * np.arange(band.start, band.stop)
    correlation = np.fft.irfft(whole, SIZE, axis=1)
    low, high = PITCH_LAGS
    window = np.hanning(WINDOW)
    # The window's own correlation falls with the lag.
    own = np.correlate(window, window, "full")[WINDOW - 1 :]
    fair = correlation[:, low : high + 1] / np.maximum(own[low : high + 1] / own[0], 0.3)
    lags = fair.argmax(axis=1)
    peak = fair[np.arange(len(fair)), lags]
    zero = np.maximum(correlation[:, 0], 1e-30)
    return peak / zero, lags + low


def _runs(found: Bools, least: int) -> Bools:
    """Only what is found in `least` frames in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(np.int8)))
    kept = found.copy()
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin < least:
            kept[begin:end] = False
    return kept
