"""What is heard in the recording of a call: levels, noise, hum, clipping, echo, and how long a voice; and its verdict.

`judge` is what a worker runs (telephony/sound_worker.py). Pure functions of samples at 8 kHz between -1 and 1. dBFS is by
power: a full-scale sine is -3. dBov (ITU-T P.56, G.100.1) is the same scale. What counts as a voice is in
telephony/recording_voice.py.

A recording is looked at in frames of 20 ms (levels). It falls into what was heard while we played a prompt (only for
echo), and what was heard while we listened; the latter into voice and pauses. Frames of nothing but zeros are packets
that never came, and are left out of levels.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from config import HandsetConfig
from telephony.recording import (
    CallFacts,
    Ended,
    Heard,
    Judgement,
    Measure,
    Prompt,
    SoundError,
    at_least,
    at_most,
    decide,
)
from telephony.recording_voice import Bools, Floats, find_voice

RATE = 8000  # Hz
FRAME = 160  # samples
TAIL_S = 0.5  # what a prompt's own echo may still sound after its end
NOTHING_DB = -100.0  # what is said of no power at all

ENVELOPE = 8  # samples
ENVELOPE_HZ = RATE // ENVELOPE

MAINS_HZ = 50
HUM_TO_HZ = 1000  # higher harmonics are weak
HUM_WINDOW = 4000  # samples: 2 Hz a bin
ECHO_FROM_S, ECHO_TO_S = 0.025, 0.5
RAIL = 31_700 / 32_768  # between A-law's two largest values
RAIL_RUN = 3  # samples


def judge(handset: Path, sent: Path, facts: CallFacts, thresholds: HandsetConfig) -> Judgement:
    """The verdict on a handset. `handset` is what came from the panel, `sent` what we played.

    Both are WAV, 8 kHz, mono, 16 bit, in step; they are read of answered calls only. Raises SoundError for a file that
    cannot be read.
    """
    if facts.ended is not Ended.ANSWERED:
        return decide(None, facts, thresholds)
    return decide(hear(read_wav(handset), read_wav(sent), facts.prompts, thresholds), facts, thresholds)


def read_wav(path: Path) -> Floats:
    """The samples of a WAV with 8 kHz, one channel and 16 bit. Raises SoundError."""
    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        why = str(error) or "it ends too early"
        raise SoundError(
            f"reading the recording {path} failed: {why}: see whether Asterisk still writes it, or the disk is full"
        ) from error
    if form != (RATE, 1, 2):
        raise SoundError(
            f"the recording {path} has {form[0]} Hz, {form[1]} channels, {8 * form[2]} bit, and 8000 Hz, 1 channel, "
            "16 bit are expected: have MixMonitor write .wav"
        )
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float64) / 32768.0


def hear(handset: Floats, sent: Floats, prompts: tuple[Prompt, ...], thresholds: HandsetConfig) -> Heard:
    """Measure what came from the panel, against what we played."""
    count = handset.size // FRAME
    frames = handset[: count * FRAME].reshape(count, FRAME)
    came = frames.any(axis=1)
    times = np.arange(count) * FRAME / RATE
    listening = np.ones(count, bool)
    for prompt in prompts:
        listening &= (times < prompt.begin_s) | (times >= prompt.end_s + TAIL_S)
    after = min((prompt.end_s for prompt in prompts), default=0.0)
    found = find_voice(handset, listening & came)
    voice_s = float(found.voice.sum() * FRAME / RATE)
    is_tone = bool((found.tone & listening & came).sum() * FRAME / RATE > 0.5)
    is_voice = voice_s >= thresholds.speech_s
    power = (frames**2).mean(axis=1)
    heard = listening & came
    pauses = heard & ~found.near & ~found.tone
    level = active_level(_cut(frames, found.near)) if is_voice else None
    # Of all that is heard, as other people's voices leave no pause.
    steady = heard & ~found.tone
    floor = float(np.percentile(_db(power[steady]), 10)) if steady.any() else None
    noise = noise_level(power[pauses])
    if level is not None and noise is not None:
        level = _db_of(10 ** (level / 10) - min(10 ** (noise / 10), 0.9 * 10 ** (level / 10)))
    snr = None if level is None or noise is None else level - noise
    over, share, hum = mains_hum(frames, pauses)
    audible = hum is not None and hum > thresholds.hum_dbfs
    loudest = float(np.percentile(_db(power[heard]), 99)) if heard.any() else NOTHING_DB
    speech = _cut(frames, found.near)
    measures = (
        at_least("speech", voice_s, "s", thresholds.speech_s),
        at_least("speech_level", level, "dBov", thresholds.weak_dbov),
        at_most("speech_level_hot", level, "dBov", thresholds.hot_dbov),
        at_most("noise_floor", floor, "dBFS", thresholds.noise_dbfs),
        at_least("snr", snr, "dB", thresholds.snr_db),
        at_most("noise", None if is_voice or is_tone else noise, "dBFS", thresholds.noise_dbfs),
        _if_audible(at_most("hum", over, "dB", thresholds.hum_db), audible),
        _if_audible(at_most("hum_share", share, "of 1", thresholds.hum_share), audible),
        at_most("hum_level", hum, "dBFS", thresholds.hum_dbfs),
        at_most("clipping", clipped_share(speech) if is_voice else None, "of 1", thresholds.clipping),
        at_most("echo", echo_level(handset, sent, prompts), "dB", thresholds.echo_db),
    )
    return Heard(
        voice=is_voice,
        silent=loudest <= thresholds.silence_dbfs,
        tone=is_tone,
        listened_s=float((listening & (times >= after)).sum() * FRAME / RATE),
        measures=measures,
    )


def _if_audible(measure: Measure, audible: bool) -> Measure:
    """Hum that nobody hears disturbs nobody, however it stands out."""
    if measure.well is not False or audible:
        return measure
    return Measure(measure.name, measure.value, measure.unit, measure.threshold, True)


def active_level(samples: Floats) -> float | None:
    """The active speech level [dBov] by ITU-T P.56, method B; None where nothing is active.

    The envelope is that of the recommendation (two smoothings of 30 ms, 200 ms of hangover, thresholds 6 dB apart, a
    margin of 15.9 dB). To be called with the stretches in which a voice was found: a line's noise less than the margin
    below a voice would count as active, and take the level down.
    """
    if not samples.any():
        return None
    # At 1 kHz, as the recommendation allows from 600 Hz on; the smoothings as their impulse response.
    coarse = samples[: samples.size // ENVELOPE * ENVELOPE].reshape(-1, ENVELOPE)
    steps = np.arange(int(0.4 * ENVELOPE_HZ))
    keep = np.exp(-1 / (ENVELOPE_HZ * 0.03))
    response = (1 - keep) ** 2 * (steps + 1) * keep**steps
    envelope = np.convolve(np.abs(coarse).mean(axis=1), response)[: len(coarse)]
    energy = float((coarse**2).mean(axis=1).sum())
    hangover = int(0.2 * ENVELOPE_HZ)
    previous: tuple[float, float] | None = (
        None  # level of what is active, and how far it is above its threshold
    )
    for bits in range(15, 0, -1):
        threshold = 2.0**-bits
        active = _active(envelope >= threshold, hangover)
        if not active:
            break
        level = _db_of(energy / active)
        above = level - _db_of(threshold**2)
        if above <= 15.9:
            if previous is None:
                return level
            part = (previous[1] - 15.9) / (previous[1] - above)
            return previous[0] + part * (level - previous[0])
        previous = (level, above)
    return previous[0] if previous else None


def _active(loud: Bools, hangover: int) -> int:
    """How many samples are loud, or follow one within `hangover`."""
    places = np.flatnonzero(loud)
    if not places.size:
        return 0
    gaps = np.diff(np.append(places, loud.size))
    return int(np.minimum(gaps, hangover + 1).sum())


def noise_level(power: Floats) -> float | None:
    """The noise in pauses [dBFS]: the mean power of their frames, but for the loudest 3 %.

    The percentile of the floor would not see crackle; a plain mean would hear one bump of a handset as noise.
    """
    if power.size < 10:
        return None
    return _db_of(float(np.sort(power)[: max(1, int(0.97 * power.size))].mean()))


def mains_hum(frames: Floats, pauses: Bools) -> tuple[float | None, float | None, float | None]:
    """Hum of the mains in the pauses: [dB] over its neighbours, share of all power, level [dBFS].

    Power within 4 Hz of 50 Hz and its harmonics up to 1 kHz, against as much of the spectrum 10 to 20 Hz beside them.
    None without a pause of half a second.
    """
    size = HUM_WINDOW // FRAME
    starts: list[int] = []
    run = 0
    for number, is_pause in enumerate(pauses):
        run = run + 1 if is_pause else 0
        if run >= size:
            starts.append(number + 1 - size)
            run -= size // 2
    if not starts:
        return None, None, None
    chunks = np.stack([frames[start : start + size].ravel() for start in starts])
    window = np.hanning(HUM_WINDOW)
    spectrum = (np.abs(np.fft.rfft(chunks * window, axis=1)) ** 2).mean(axis=0) * 2
    spectrum /= HUM_WINDOW * (window**2).sum()
    bin_hz = RATE / HUM_WINDOW
    centres = np.arange(MAINS_HZ, HUM_TO_HZ + 1, MAINS_HZ) / bin_hz
    near = np.arange(-2, 3)
    beside = np.concatenate([np.arange(-10, -4), np.arange(5, 11)])
    at = spectrum[(centres[:, None] + near).astype(int)]
    neighbours = spectrum[(centres[:, None] + beside).astype(int)].mean(axis=1) * near.size
    hum = float(np.maximum(at.sum(axis=1) - neighbours, 0).sum())
    total = float(spectrum[1:].sum())
    if total <= 0:
        return None, None, None
    over = _db_of(float(at.sum())) - _db_of(float(neighbours.sum()))
    return over, min(1.0, hum / total), _db_of(hum)


def clipped_share(samples: Floats) -> float:
    """The share of samples that stand at the rail in runs of 3 or more."""
    if not samples.size:
        return 0.0
    at_rail = np.concatenate([[False], np.abs(samples) >= RAIL, [False]])
    edges = np.flatnonzero(np.diff(at_rail.astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= RAIL_RUN].sum() / samples.size)


def echo_level(handset: Floats, sent: Floats, prompts: tuple[Prompt, ...]) -> float | None:
    """How loud our prompts come back [dB] at a lag of 25 to 500 ms; -100 for no echo, None without a prompt.

    By the peak of the cross-correlation of both, after a pre-emphasis that makes speech's own peaks narrow. Echo is
    causal: what the correlation shows at lags before the prompt is chance, and an echo must stand well above that.
    """
    best: float | None = None
    first, last = int(ECHO_FROM_S * RATE), int(ECHO_TO_S * RATE)
    for prompt in prompts:
        begin, end = int(prompt.begin_s * RATE), int(prompt.end_s * RATE)
        played = np.diff(sent[begin:end])
        size = min(handset.size, end + last) - max(0, begin - last)
        if played.size < RATE // 4 or not played.any() or size <= 0:
            continue
        back = np.zeros(end - begin + 2 * last)
        start = max(0, begin - last)
        cut = handset[start : min(handset.size, end + last)]
        back[start - (begin - last) :][: cut.size] = cut
        back = np.diff(back)
        length = 1 << int(np.ceil(np.log2(back.size + played.size)))
        product = np.fft.rfft(back, length) * np.fft.rfft(played, length).conj()
        gains = np.abs(np.fft.irfft(product, length)[: 2 * last]) / float((played**2).sum())
        chance, after = gains[: last - first], gains[last + first :]
        peak = float(after.max())
        level = _db_of(peak**2) if peak > 1.6 * float(chance.max()) else NOTHING_DB
        best = level if best is None else max(best, level)
    return best


def _cut(frames: Floats, which: Bools) -> Floats:
    return frames[which].ravel()


def _db(power: Floats) -> Floats:
    return 10 * np.log10(np.maximum(power, 10 ** (NOTHING_DB / 10)))


def _db_of(power: float) -> float:
    return float(10 * np.log10(max(power, 10 ** (NOTHING_DB / 10))))
