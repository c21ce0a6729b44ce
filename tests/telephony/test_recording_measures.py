"""Each measure on a sound whose answer is known."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from config import HandsetConfig
from telephony import recording_measures as measures
from telephony.recording import Measure, Prompt, SoundError, r_factor
from telephony.recording_voice import Found, find_voice
from testbed import handset_sounds as sounds
from testbed.handset_sounds import Floats

RATE = 8000
THRESHOLDS = HandsetConfig()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def sine(hertz: float, level: float, seconds: float) -> Floats:
    return sounds.at_level(np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE), level)


def vowels(rng: np.random.Generator, level: float, seconds: float = 2.0) -> Floats:
    """A voice's pitch between 90 and 140 Hz with its harmonics, in syllables of a quarter second."""
    times = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(115 + 25 * np.sin(2 * np.pi * 0.9 * times)) / RATE
    tones = [np.sin(n * phase + rng.uniform(0, 6)) / n**0.7 for n in range(1, 28)]
    return sounds.at_level(np.sum(tones, axis=0) * (times % 0.3 < 0.25), level)


def silence(seconds: float) -> Floats:
    return np.zeros(int(seconds * RATE))


def voice(samples: Floats) -> Found:
    return find_voice(samples, np.ones(samples.size // 160, bool))


def heard(handset: Floats, *prompts: Prompt, sent: Floats | None = None) -> dict[str, Measure]:
    sent = np.zeros(handset.size) if sent is None else sent
    return {each.name: each for each in measures.hear(handset, sent, prompts, THRESHOLDS).measures}


# --- the active speech level --------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [-16.0, -26.0, -38.0, -50.0])
def test_the_level_of_a_steady_tone_is_its_own(level: float) -> None:
    found = measures.active_level(sine(1000, level, 4))

    assert found == pytest.approx(level, abs=0.3)


def test_pauses_do_not_take_the_active_level_down(rng: np.random.Generator) -> None:
    said = sounds.at_level(rng.normal(size=2 * RATE), -26)

    found = measures.active_level(np.concatenate([silence(4), said, silence(4)]))

    assert found == pytest.approx(-26, abs=0.6)


def test_silence_has_no_level() -> None:
    assert measures.active_level(silence(1)) is None


# --- noise and hum ------------------------------------------------------------------------------------------------


def test_the_noise_floor_and_snr_are_those_of_the_mix(rng: np.random.Generator) -> None:
    said = np.concatenate([silence(2), vowels(rng, -26), silence(3)])

    found = heard(said + sounds.at_level(rng.normal(size=said.size), -50))

    assert found["noise_floor"].value == pytest.approx(-50, abs=1.5)
    assert found["snr"].value == pytest.approx(25, abs=2.5)


def test_packets_that_never_came_are_no_low_noise_floor(rng: np.random.Generator) -> None:
    noise = sounds.at_level(rng.normal(size=4 * RATE), -40)

    found = heard(np.concatenate([silence(4), noise]))

    assert found["noise_floor"].value == pytest.approx(-40, abs=1.5)
    assert found["noise_floor"].well is False


def test_hum_stands_out_with_its_level_and_share(rng: np.random.Generator) -> None:
    hum = sounds.at_level(sounds.hum(rng, 4 * RATE), -40)
    noise = sounds.at_level(rng.normal(size=hum.size), -46)

    found = heard(hum + noise)

    assert found["hum_level"].value == pytest.approx(-40, abs=0.5)
    assert found["hum_share"].value == pytest.approx(0.8, abs=0.03)
    assert (found["hum"].value or 0) > 15
    assert found["hum"].well is False


def test_noise_and_tones_of_an_exchange_are_no_hum(rng: np.random.Generator) -> None:
    noise = heard(sounds.at_level(sounds.coloured(rng, 4 * RATE, 2), -40))
    tone = heard(sounds.at_level(sounds.cadence(4 * RATE, (350.0, 440.0), 9.0, 0.0), -20) + 1e-4)

    assert noise["hum"].value == pytest.approx(0, abs=2.5)
    assert noise["hum_share"].well
    assert tone["hum"].well is not False


def test_hum_that_nobody_hears_is_well(rng: np.random.Generator) -> None:
    found = heard(sounds.at_level(sounds.hum(rng, 4 * RATE), -64))

    assert (found["hum"].value or 0) > 10
    assert found["hum"].well


# --- clipping and echo --------------------------------------------------------------------------------------------


def test_clipping_counts_runs_of_three_samples_at_the_rail() -> None:
    samples = np.zeros(1000)
    samples[10:13] = 1.0
    samples[20:22] = 1.0
    samples[30:37] = -1.0

    assert measures.clipped_share(samples) == pytest.approx(0.010)


def test_a_loud_sine_that_only_touches_full_scale_is_not_clipped() -> None:
    assert measures.clipped_share(sine(1000, -3.1, 1)) == 0.0
    assert measures.clipped_share(sounds.clip(sine(500, -3.1, 1), 2.0)) > 0.3


@pytest.mark.parametrize("level", [-10.0, -28.0, -34.0])
def test_the_echo_of_a_prompt_is_found_at_its_level(rng: np.random.Generator, level: float) -> None:
    prompt = vowels(rng, -22)
    sent = np.concatenate([silence(1), prompt, silence(1)])
    back = sounds.echo(sent, 0.08, level) + sounds.at_level(rng.normal(size=sent.size), -60)

    found = measures.echo_level(back, sent, (Prompt(1, 3),))

    assert found == pytest.approx(level, abs=1.5)


def test_another_voice_during_a_prompt_is_no_echo(rng: np.random.Generator) -> None:
    sent = np.concatenate([silence(1), sounds.at_level(sounds.hiss(rng, 2 * RATE), -22), silence(1)])
    other = np.concatenate([silence(1), vowels(rng, -22), silence(1)])

    assert measures.echo_level(other, sent, (Prompt(1, 3),)) == measures.NOTHING_DB


def test_an_echo_sooner_than_25_ms_is_the_line_and_not_counted(rng: np.random.Generator) -> None:
    sent = np.concatenate([silence(1), sounds.at_level(sounds.hiss(rng, 2 * RATE), -22), silence(1)])
    noise = sounds.at_level(rng.normal(size=sent.size), -60)

    found = measures.echo_level(sounds.echo(sent, 0.01, -10) + noise, sent, (Prompt(1, 3),))

    assert found is not None
    assert found < THRESHOLDS.echo_db


def test_without_a_prompt_there_is_no_echo_to_measure() -> None:
    assert measures.echo_level(silence(2), silence(2), ()) is None


# --- a voice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [-20.0, -35.0, -50.0])
def test_syllables_are_a_voice(rng: np.random.Generator, level: float) -> None:
    said = np.concatenate([silence(2), vowels(rng, level), silence(2)])
    found = voice(sounds.through_a_law(said + sounds.at_level(rng.normal(size=said.size), -66)))

    assert found.voice.sum() / 50 == pytest.approx(1.75, abs=0.5)


def test_what_is_no_voice_is_none(rng: np.random.Generator) -> None:
    count = 8 * RATE
    busy = sounds.at_level(sounds.cadence(count, (425.0,), 0.35, 0.35), -20)
    ringing = sounds.at_level(sounds.cadence(count, (440.0, 480.0), 1.0, 2.0), -20)
    buzzer = np.sign(sounds.cadence(count, (110.0,), 0.5, 0.5)) * 0.1
    noises = [sounds.coloured(rng, count, slope) for slope in (0.0, 1.0, 2.0)]
    others = [sounds.crackle(rng, count), sounds.rustle(rng, count), sounds.hum(rng, count)]
    quiet = sounds.at_level(rng.normal(size=count), -60)

    found = [voice(sounds.through_a_law(each + quiet)) for each in (busy, ringing, buzzer)]
    found += [voice(sounds.through_a_law(sounds.at_level(each, -35) + quiet)) for each in (*noises, *others)]

    assert [int(each.voice.sum()) for each in found] == [0] * 9
    assert found[0].tone.sum() / 50 == pytest.approx(4, abs=0.6)


def test_a_voice_is_looked_for_outside_of_prompts_alone(rng: np.random.Generator) -> None:
    said = np.concatenate([silence(1), vowels(rng, -26), silence(4)])
    said += sounds.at_level(rng.normal(size=said.size), -60)

    assert heard(said, Prompt(1, 3))["speech"].value == 0.0
    assert (heard(said, Prompt(4, 5))["speech"].value or 0) > 1.0


# --- the network, the file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "r"), [(0.0, 93.2), (0.01, 75.3), (0.05, 42.1)])
def test_r_falls_with_loss_as_g_107_says(loss: float, r: float) -> None:
    assert r_factor(loss) == pytest.approx(r, abs=0.1)


def test_samples_of_a_wav_come_out_between_minus_one_and_one(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", 8000)

    assert measures.read_wav(path).tolist() == [0.0, 0.5, -1.0]


def test_a_wav_of_another_form_is_named_with_what_is_expected(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", 16000)

    with pytest.raises(SoundError, match=r"a\.wav has 16000 Hz, 1 channels, 16 bit, and 8000 Hz"):
        measures.read_wav(path)


@pytest.mark.parametrize("content", [None, b"", b"RIFF\0\0"])
def test_a_file_that_is_no_wav_is_named_with_what_was_done(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "b.wav"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SoundError, match=r"reading the recording .*b\.wav failed: .+: see whether"):
        measures.read_wav(path)


def write_wav(path: Path, rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.array([0, 16384, -32768], "<i2").tobytes())
    return path
