"""Recordings of quality calls with their true verdicts, synthesised: how well handsets are judged.

    python -m testbed.handsets

prints for both parts which verdict each truth got, and how fast recordings are measured. Levels and limits are set on
the training part; the held-back part has other voices, other sentences and other kinds of noise, and only says how well
that went. Missed most are people who talk behind the resident: they are heard as a voice, not as noise. The same seed
makes the same recordings, but for espeak-ng's own version.
"""

from __future__ import annotations

import sys
import tempfile
import time
import wave
from collections import Counter
from enum import Enum
from pathlib import Path

import numpy as np
from attrs import frozen

from config import HandsetConfig
from telephony.panels.interface import LineState
from telephony.recording import CallFacts, Ended, Prompt, Rtp, Verdict
from telephony.recording_measures import judge
from testbed import handset_sounds as sounds
from testbed.debs import TestbedUnavailable, Tree, get_tree
from testbed.handset_sounds import Floats, Rng
from testbed.prompts import RATE, speak


class Part(Enum):
    TRAINING = "training"
    HELD_BACK = "held_back"


VOICES = {
    Part.TRAINING: (("ru", "ru+f2", "ru+m3"), ("en", "en+f3", "en-us+m1")),
    Part.HELD_BACK: (("ru+f4", "ru+m5", "ru+klatt2"), ("en-gb-scotland", "en-us+f5", "en+m7")),
}
SENTENCES = {
    Part.TRAINING: (
        ("Алло, я слушаю вас.", "Да, слышно хорошо.", "Раз, два, три, четыре, пять.", "Кто это?"),
        ("Hello, who is speaking?", "Yes, I hear you well.", "One, two, three, four, five.", "Who is there?"),
    ),
    Part.HELD_BACK: (
        ("Здравствуйте, говорите громче.", "Слушаю.", "Сегодня у нас хорошая погода.", "Да, да, работает."),
        (
            "Good evening, what is it about?",
            "Speaking.",
            "The weather is fine today.",
            "It works, thank you.",
        ),
    ),
}
PROMPTS = ("Проверка домофона. Скажите что-нибудь после сигнала.", "Спасибо. Скажите ещё несколько слов.")
LISTEN_S = 4.0
COUNTS = {Verdict.GOOD: 100}  # of a truth; else
COUNT = 40


@frozen
class Labelled:
    """One recorded call: both directions, what is known of it, and what is true of the handset."""

    name: str
    truth: Verdict
    handset: Floats
    sent: Floats
    facts: CallFacts


@frozen
class Speech:
    """What residents say in a part, and our prompts."""

    said: list[Floats]
    prompts: list[Floats]


def speech(part: Part, tree: Tree) -> Speech:
    """Have espeak-ng say everything."""
    said = [
        speak(tree, voice, text)
        for voices, texts in zip(VOICES[part], SENTENCES[part], strict=True)
        for voice in voices
        for text in texts
    ]
    return Speech(said, [speak(tree, "ru", text) for text in PROMPTS])


def recordings(part: Part, spoken: Speech, seed: int = 1) -> list[Labelled]:
    """The labelled recordings of a part: `COUNT` of each truth."""
    rng = np.random.default_rng([seed, list(Part).index(part)])
    sent, prompts = _sent(spoken)
    made: list[Labelled] = []
    for truth in Verdict:
        for number in range(COUNTS.get(truth, COUNT)):
            handset, facts = _handset(truth, number, part, spoken, sent, prompts, rng)
            coded = handset if not handset.any() else sounds.through_a_law(handset)
            name = f"{truth.value}-{number}"
            made.append(Labelled(name, truth, coded, sent, facts))
    return made


def _sent(spoken: Speech) -> tuple[Floats, tuple[Prompt, ...]]:
    """Both prompts, each with its time to answer."""
    pieces = [np.zeros(RATE // 2)]
    prompts: list[Prompt] = []
    for prompt in spoken.prompts:
        begin = sum(piece.size for piece in pieces) / RATE
        pieces += [sounds.speech_at(prompt, -22.0), np.zeros(int(LISTEN_S * RATE))]
        prompts.append(Prompt(begin, begin + prompt.size / RATE))
    return sounds.through_a_law(np.concatenate(pieces)), tuple(prompts)


def _handset(
    truth: Verdict,
    number: int,
    part: Part,
    spoken: Speech,
    sent: Floats,
    prompts: tuple[Prompt, ...],
    rng: Rng,
) -> tuple[Floats, CallFacts]:
    packets = sent.size // 160
    loss = float(rng.choice([0.0, 0.0, 0.002, 0.005]))
    rtp = Rtp(round(packets * (1 - loss)), packets, loss, float(rng.uniform(0, 20)))
    lifted = bool(rng.random() < 0.5) or None
    line = LineState(rng.choice(["unknown", "level", "off_hook"]))
    facts = CallFacts(Ended.ANSWERED, prompts, rtp, line, lifted)
    size = sent.size
    match truth:
        case Verdict.GOOD:
            level = rng.uniform(-32, -20)
            voice = _voice(spoken, prompts, level, size, rng)
            handset = voice + _quiet(part, rng, size, min(-52, level - 24))
            if number % 3 == 0:
                handset += sounds.echo(sent, rng.uniform(0.03, 0.2), rng.uniform(-50, -37))
            if number % 4 == 0:
                handset += sounds.click(rng, size, prompts[0].end_s + rng.uniform(0.7, 3), 0.3)
            if number % 5 == 0:
                handset += sounds.at_level(_hum(part, rng, size), rng.uniform(-70, -60))
            return handset, facts
        case Verdict.WEAK:
            level = rng.uniform(-50, -41)
            return _voice(spoken, prompts, level, size, rng) + _quiet(part, rng, size, level - 22), facts
        case Verdict.NOISY:
            return _noisy(number, part, spoken, sent, facts, rng)
        case Verdict.ONE_WAY:
            return _one_way(number, part, sent, prompts, rng), facts
        case Verdict.DEAD:
            return _dead(number, part, spoken, sent, facts, rng)
        case Verdict.UNKNOWN:
            if number % 2:
                return _quiet(part, rng, size, -55), CallFacts(Ended.ANSWERED, prompts, rtp, lifted=False)
            cut = int((prompts[0].end_s + rng.uniform(0.2, 2)) * RATE)
            return _quiet(part, rng, size, -55)[:cut], CallFacts(Ended.ANSWERED, prompts[:1], Rtp())
        case Verdict.NOBODY | Verdict.BUSY | Verdict.UNREACHABLE:
            line = LineState(rng.choice(["unknown", "on_hook", "level"]))
            return np.zeros(size), CallFacts(Ended(truth.value.removesuffix("_answered")), line=line)


def _voice(spoken: Speech, prompts: tuple[Prompt, ...], level: float, size: int, rng: Rng) -> Floats:
    """Somebody who answers after one prompt or both."""
    made = np.zeros(size)
    answered = [prompts, prompts[:1], prompts[1:]][rng.integers(3)]
    for prompt in answered:
        said = sounds.speech_at(spoken.said[rng.integers(len(spoken.said))], level)
        start = int((prompt.end_s + rng.uniform(0.5, 1.5)) * RATE)
        said = said[: size - start]
        made[start : start + said.size] += said
    return made


def _quiet(part: Part, rng: Rng, size: int, below: float) -> Floats:
    """A line's own noise, up to `below` dBFS and down to 15 dB less."""
    slope = float(rng.choice([0.0, 2.0] if part is Part.TRAINING else [1.0, 1.5]))
    noise = sounds.hiss(rng, size) if slope == 0 and rng.random() < 0.5 else sounds.coloured(rng, size, slope)
    return sounds.at_level(noise, rng.uniform(below - 15, below))


def _hum(part: Part, rng: Rng, size: int) -> Floats:
    """50 Hz as a transformer has it, or (held back) the buzz of a rectifier or a dimmer."""
    if part is Part.TRAINING:
        return sounds.hum(rng, size, falls=float(rng.uniform(0.8, 1.5)))
    return sounds.hum(rng, size, every=int(rng.choice([1, 2])), falls=float(rng.uniform(0.2, 0.6)))


def _noise(part: Part, spoken: Speech, rng: Rng, size: int) -> Floats:
    if part is Part.TRAINING:
        return sounds.hiss(rng, size) if rng.random() < 0.5 else sounds.coloured(rng, size, 2.0)
    if rng.random() < 0.5:
        return sounds.coloured(rng, size, 1.0)
    return sounds.babble(rng, size, spoken.said)


def _noisy(
    number: int, part: Part, spoken: Speech, sent: Floats, facts: CallFacts, rng: Rng
) -> tuple[Floats, CallFacts]:
    level = rng.uniform(-30, -20)
    voice = _voice(spoken, facts.prompts, level, sent.size, rng)
    quiet = _quiet(part, rng, sent.size, -60)
    match number % 6:
        case 0:
            # Within 12 dB of the voice: noise that comes and goes, as babble does, is not told by its floor.
            behind = max(rng.uniform(-41, -30), level - 12)
            return voice + sounds.at_level(_noise(part, spoken, rng, sent.size), behind), facts
        case 1:
            return voice + quiet + sounds.at_level(_hum(part, rng, sent.size), rng.uniform(-48, -30)), facts
        case 2:
            loud = sounds.clip(voice, rng.uniform(2.5, 6))
            return loud + quiet, facts
        case 3:
            return voice + quiet + sounds.echo(sent, rng.uniform(0.04, 0.3), rng.uniform(-24, -8)), facts
        case 4:
            loose = sounds.rustle if part is Part.TRAINING else sounds.crackle
            return voice + quiet + sounds.at_level(loose(rng, sent.size), level - rng.uniform(2, 10)), facts
        case _:
            loss = float(rng.uniform(0.03, 0.15))
            came = np.repeat(rng.random(sent.size // 160 + 1) >= loss, 160)[: sent.size]
            packets = sent.size // 160
            lossy = Rtp(round(packets * (1 - loss)), packets, loss, float(rng.uniform(0, 60)))
            return (voice + quiet) * came, CallFacts(
                Ended.ANSWERED, facts.prompts, lossy, facts.line, facts.lifted
            )


def _one_way(number: int, part: Part, sent: Floats, prompts: tuple[Prompt, ...], rng: Rng) -> Floats:
    size = sent.size
    line = sounds.at_level(_quiet(part, rng, size, -50), rng.uniform(-61, -50))
    match number % 5:
        case 1:
            for _ in range(int(rng.integers(1, 5))):
                line += sounds.click(rng, size, rng.uniform(0, size / RATE - 0.1), rng.uniform(0.05, 0.5))
        case 2:
            tones = [((425.0,), 0.35, 0.35), ((425.0,), 1.0, 4.0), ((350.0, 440.0), 30.0, 0.0)]
            if part is Part.HELD_BACK:
                tones = [((480.0, 620.0), 0.5, 0.5), ((440.0, 480.0), 2.0, 4.0), ((400.0,), 0.4, 0.2)]
            hertz, on_s, off_s = tones[rng.integers(3)]
            line += sounds.at_level(sounds.cadence(size, hertz, on_s, off_s), rng.uniform(-35, -18))
        case 3:
            line += sounds.echo(sent, rng.uniform(0.03, 0.2), rng.uniform(-45, -33))
        case 4:
            line += sounds.at_level(_hum(part, rng, size), rng.uniform(-66, -59))
            if part is Part.HELD_BACK:
                line += sounds.at_level(sounds.crackle(rng, size, 10.0), rng.uniform(-58, -50))
    return line


def _dead(
    number: int, part: Part, spoken: Speech, sent: Floats, facts: CallFacts, rng: Rng
) -> tuple[Floats, CallFacts]:
    size = sent.size
    match number % 5:
        case 0:
            packets = size // 160
            return np.zeros(size), CallFacts(Ended.ANSWERED, facts.prompts, Rtp(0, packets))
        case 1:
            return np.full(size, 1e-9), facts  # A-law's idle code
        case 2:
            return _quiet(part, rng, size, -72), facts
        case 3:
            return _quiet(part, rng, size, -74) + sounds.click(
                rng, size, facts.prompts[0].end_s + 1, rng.uniform(0.05, 0.5)
            ), facts
        case _:
            line = LineState(rng.choice(["short", "open"]))
            return _quiet(part, rng, size, -48), CallFacts(
                Ended.ANSWERED, facts.prompts, facts.rtp, line, None
            )


def write(recording: Labelled, folder: Path) -> tuple[Path, Path]:
    """Write both directions as WAV; returns the handset's and what was sent."""
    paths = folder / f"{recording.name}-handset.wav", folder / f"{recording.name}-sent.wav"
    for path, samples in zip(paths, (recording.handset, recording.sent), strict=True):
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.clip(np.round(samples * 32768), -32768, 32767).astype("<i2").tobytes())
    return paths


@frozen
class Judged:
    """How a part was judged: how often each truth got each verdict, by recording, and how fast."""

    counts: Counter[tuple[Verdict, Verdict]]
    wrong: list[str]
    times_real: float

    def recall(self, truth: Verdict) -> float:
        """The share of a truth that was found."""
        return self.counts[truth, truth] / sum(n for (true, _), n in self.counts.items() if true is truth)

    def false_alarms(self) -> float:
        """The share of good handsets that were called dead, one-way, noisy or weak."""
        alarms = (Verdict.DEAD, Verdict.ONE_WAY, Verdict.NOISY, Verdict.WEAK)
        good = sum(n for (true, _), n in self.counts.items() if true is Verdict.GOOD)
        return sum(self.counts[Verdict.GOOD, verdict] for verdict in alarms) / good

    def table(self) -> str:
        """Truths down, verdicts across."""
        verdicts = list(Verdict)
        lines = [f"{'':16}" + "".join(f"{verdict.value[:8]:>9}" for verdict in verdicts) + "   recall"]
        for truth in verdicts:
            row = "".join(f"{self.counts[truth, verdict] or '.':>9}" for verdict in verdicts)
            lines.append(f"{truth.value:16}{row}{self.recall(truth):>8.1%}")
        return "\n".join([*lines, f"false alarms on good handsets: {self.false_alarms():.1%}"])


def judge_all(made: list[Labelled], folder: Path) -> Judged:
    """Judge every recording by the default thresholds."""
    counts: Counter[tuple[Verdict, Verdict]] = Counter()
    wrong: list[str] = []
    spent = sound_s = 0.0
    for recording in made:
        handset, sent = write(recording, folder)
        start = time.process_time()
        found = judge(handset, sent, recording.facts, HandsetConfig())
        if recording.facts.ended is Ended.ANSWERED:
            spent += time.process_time() - start
            sound_s += recording.handset.size / RATE
        counts[recording.truth, found.verdict] += 1
        if found.verdict is not recording.truth:
            wrong.append(f"{recording.name}: {found.verdict.value}: {found.why}")
    return Judged(counts, wrong, sound_s / spent)


def main() -> int:
    """Print both confusion tables; 3 when espeak-ng can't be had here."""
    try:
        tree = get_tree()
    except TestbedUnavailable as error:
        print(f"handsets: {error}", file=sys.stderr)
        return 3
    for part in Part:
        with tempfile.TemporaryDirectory() as folder:
            judged = judge_all(recordings(part, speech(part, tree)), Path(folder))
        print(f"{part.value}\n{judged.table()}\nmeasured at {judged.times_real:.0f} times real time a core")
        print("".join(f"  {line}\n" for line in judged.wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())
