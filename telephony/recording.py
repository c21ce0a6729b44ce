"""What a recorded call says about a flat's handset: the records, and the verdict from what was measured.

`decide` is pure, and needs no numpy: the node uses it for calls that were not answered. Those that were are measured by
a worker process (`judge` in telephony/recording_measures.py, telephony/sound_worker.py).

How a verdict is found:
- The panel's line test comes first: a line that is short or open is dead, however the call ended, unless a voice was
  heard over it.
- A call that was not answered says nothing of the sound.
- Answered, and no voice: nothing at all came back: dead; sound came, or somebody lifted and no packets came: one way; too
  loud to hear a voice in it: noisy. Where the panel answers by itself, nobody need have lifted: unknown.
- A voice: noisy, weak or good by the measures. Never good without one.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from config import HandsetConfig
from telephony.panels.interface import LineState


class SoundError(Exception):
    """A recording could not be measured; the message names what was done to which file, and what to do."""


class Verdict(Enum):
    GOOD = "good"
    WEAK = "weak"
    NOISY = "noisy"
    ONE_WAY = "one_way"  # somebody or something is there, and no voice comes from it
    DEAD = "dead"
    NOBODY = "nobody_answered"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


class Ended(Enum):
    """How the call to the handset ended."""

    ANSWERED = "answered"
    NOBODY = "nobody"
    BUSY = "busy"
    UNREACHABLE = "unreachable"


@frozen
class Prompt:
    """When one of our prompts was played, in seconds from the start of the recordings."""

    begin_s: float
    end_s: float


@frozen
class Rtp:
    """What came of the panel's RTP; None is not known. `expected` packets: 50 for each second; `loss` is a share of 1."""

    received: int | None = None
    expected: int | None = None
    loss: float | None = None
    jitter_ms: float | None = None


@frozen
class CallFacts:
    """What is known of the call beside its sound. `lifted`: the panel's 200 OK means that the handset was lifted."""

    ended: Ended
    prompts: tuple[Prompt, ...] = ()
    rtp: Rtp = Rtp()
    line: LineState = LineState.UNKNOWN
    lifted: bool | None = None


@frozen
class Measure:
    """One measure against its threshold; `value` and `well` are None where it could not be taken."""

    name: str
    value: float | None
    unit: str
    threshold: float
    well: bool | None


@frozen
class Heard:
    """What the recording of an answered call holds. `listened_s`: after the first prompt, and outside of all."""

    voice: bool
    silent: bool
    tone: bool
    listened_s: float
    measures: tuple[Measure, ...]


@frozen
class Judgement:
    """The verdict, how sure it is (0 to 1), what was measured, and the reason in words."""

    verdict: Verdict
    confidence: float
    measures: tuple[Measure, ...]
    why: str


NOT_ANSWERED = {
    Ended.NOBODY: (Verdict.NOBODY, "nobody lifted the handset"),
    Ended.BUSY: (Verdict.BUSY, "the panel was busy"),
    Ended.UNREACHABLE: (Verdict.UNREACHABLE, "the panel could not be reached"),
}
LINE_FAULT = {
    LineState.SHORT: "the panel's test finds the line short",
    LineState.OPEN: "the panel's test finds the line open",
}
DISTURBED = {
    "noise_floor": "the noise floor is {value:.0f} dBFS",
    "noise": "the noise is {value:.0f} dBFS",
    "hum": "mains hum stands {value:.0f} dB over its neighbours",
    "hum_share": "mains hum is {value:.0%} of what is heard in pauses",
    "clipping": "{value:.1%} of the speech is clipped",
    "echo": "our prompt comes back at {value:.0f} dB",
    "r_factor": "the network spoils the talk (R factor {value:.0f})",
}


def decide(heard: Heard | None, facts: CallFacts, thresholds: HandsetConfig) -> Judgement:
    """The verdict from what was heard (None: the call was not answered) and what is known of the call."""
    measures = _network(facts.rtp, thresholds) + (heard.measures if heard else ())
    verdict, confidence, why = _decide(heard, measures, facts, thresholds)
    return Judgement(verdict, round(confidence, 2), measures, why)


def _decide(
    heard: Heard | None, measures: tuple[Measure, ...], facts: CallFacts, thresholds: HandsetConfig
) -> tuple[Verdict, float, str]:
    if heard is not None and heard.voice:
        return _voice(measures, facts)
    if facts.line in LINE_FAULT:
        return Verdict.DEAD, 0.95, LINE_FAULT[facts.line]
    if heard is None:
        verdict, why = NOT_ANSWERED[facts.ended]
        return verdict, 1.0, why
    if facts.rtp.received == 0 and facts.lifted:
        return Verdict.ONE_WAY, 0.8, "the handset was lifted, and no packets came from the panel"
    if disturbed := _disturbances(measures, ("noise_floor", "noise", "hum", "hum_share")):
        return Verdict.NOISY, 0.6, f"{disturbed}, and no voice is heard through it"
    if facts.lifted is False:
        return (
            Verdict.UNKNOWN,
            0.0,
            "the panel answers by itself, and nobody was heard: nobody need have lifted",
        )
    if heard.listened_s < thresholds.listen_s:
        return (
            Verdict.UNKNOWN,
            0.0,
            f"after the prompts only {heard.listened_s:.1f} s were listened, and nobody spoke",
        )
    sure = 0.85 if facts.lifted else 0.6
    if facts.rtp.received == 0:
        return Verdict.DEAD, sure, "the call was answered, and no packets came from the panel"
    if heard.silent:
        return Verdict.DEAD, sure, "the call was answered, and nothing but silence came back"
    what = "a tone" if heard.tone else "the noise of a line"
    return (
        Verdict.ONE_WAY,
        sure - 0.1,
        f"{what} came back, and no voice in {heard.listened_s:.1f} s after the prompts",
    )


def _voice(measures: tuple[Measure, ...], facts: CallFacts) -> tuple[Verdict, float, str]:
    """The verdict where a voice was heard. Noise in it makes it noisy, unless the voice is what is weak."""
    failed = [measure.name for measure in measures if measure.well is False]
    sure = 0.7 if facts.line in LINE_FAULT else 1.0
    note = f", though {LINE_FAULT[facts.line]}" if facts.line in LINE_FAULT else ""
    values = {measure.name: measure.value for measure in measures}
    if disturbed := _disturbances(measures, tuple(DISTURBED)):
        return Verdict.NOISY, sure * _margin(measures, tuple(DISTURBED), failed), disturbed + note
    if "speech_level" in failed:
        why = f"a voice is heard at {values['speech_level']:.0f} dBov{note}"
        return Verdict.WEAK, sure * _margin(measures, ("speech_level",), failed), why
    if "snr" in failed:
        why = f"the voice is only {values['snr']:.0f} dB above the noise in its pauses{note}"
        return Verdict.NOISY, sure * _margin(measures, ("snr",), failed), why
    sure *= _margin(measures, ("speech_level", "snr", "noise_floor"), failed)
    if warned := [name for name in ("packets", "loss", "jitter", "speech_level_hot") if name in failed]:
        return Verdict.GOOD, sure * 0.8, f"a clear voice is heard{note}; to be watched: {', '.join(warned)}"
    return Verdict.GOOD, sure, f"a clear voice is heard{note}"


def _disturbances(measures: tuple[Measure, ...], names: tuple[str, ...]) -> str:
    """What disturbs, in words; "" for nothing."""
    found = [m for m in measures if m.name in names and m.well is False and m.value is not None]
    return ", ".join(DISTURBED[measure.name].format(value=measure.value) for measure in found)


def _margin(measures: tuple[Measure, ...], names: tuple[str, ...], failed: list[str]) -> float:
    """0.5 at a threshold, 1 from 6 dB beyond it: of what failed the furthest, of what is well the nearest."""
    judged = [m for m in measures if m.name in names and m.value is not None and m.unit.startswith("dB")]
    bad = [measure for measure in judged if measure.name in failed]
    away = [abs((measure.value or 0.0) - measure.threshold) for measure in bad or judged]
    distance = (max(away) if bad else min(away)) if away else 3.0
    return 0.5 + 0.5 * min(1.0, distance / 6.0)


def _network(rtp: Rtp, thresholds: HandsetConfig) -> tuple[Measure, ...]:
    came = rtp.received / rtp.expected if rtp.received is not None and rtp.expected else None
    loss = rtp.loss if rtp.loss is not None else None if came is None else max(0.0, 1.0 - came)
    quality = None if loss is None else r_factor(loss)
    return (
        at_least("packets", came, "of 1", thresholds.packets),
        at_most("loss", loss, "of 1", thresholds.loss),
        at_most("jitter", rtp.jitter_ms, "ms", thresholds.jitter_ms),
        at_least("r_factor", quality, "points", thresholds.r_factor),
    )


def r_factor(loss: float) -> float:
    """R of a G.711 call without delay that loses this share of its packets at random, without concealment.

    ITU-T G.107 with its default values (93.2), Ie 0 and Bpl 4.3 (G.113, appendix I).
    """
    percent = 100.0 * loss
    return 93.2 - 95.0 * percent / (percent + 4.3)


def at_least(name: str, value: float | None, unit: str, threshold: float) -> Measure:
    """A measure that is well from its threshold on."""
    return Measure(name, value, unit, threshold, None if value is None else value >= threshold)


def at_most(name: str, value: float | None, unit: str, threshold: float) -> Measure:
    """A measure that is well up to its threshold."""
    return Measure(name, value, unit, threshold, None if value is None else value <= threshold)
