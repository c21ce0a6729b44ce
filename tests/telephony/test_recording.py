"""The verdict from what was heard and what is known: a good one needs a voice, and a missing fact is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest

from config import HandsetConfig
from telephony.panels.interface import LineState
from telephony.recording import (
    CallFacts,
    Ended,
    Heard,
    Judgement,
    Measure,
    Rtp,
    Verdict,
    at_least,
    at_most,
    decide,
)
from telephony.recording_measures import judge

THRESHOLDS = HandsetConfig()
ANSWERED = CallFacts(Ended.ANSWERED, rtp=Rtp(700, 700, 0.0, 5.0))


def heard(
    values: Mapping[str, float] = MappingProxyType({}),
    *,
    voice: bool = True,
    silent: bool = False,
    tone: bool = False,
    listened_s: float = 7.0,
) -> Heard:
    """What was heard, all well but for `values`."""
    t = THRESHOLDS
    level = values.get("level", -26.0)
    measures: tuple[Measure, ...] = (
        at_least("speech_level", level if voice else None, "dBov", t.weak_dbov),
        at_most("speech_level_hot", level if voice else None, "dBov", t.hot_dbov),
        at_most("noise_floor", values.get("noise", -60.0), "dBFS", t.noise_dbfs),
        at_least("snr", values.get("snr", 30.0) if voice else None, "dB", t.snr_db),
        at_most("hum", values.get("hum", 0.0), "dB", t.hum_db),
        at_most("hum_share", values.get("hum_share", 0.0), "of 1", t.hum_share),
        at_most("clipping", values.get("clipping", 0.0), "of 1", t.clipping),
        at_most("echo", values.get("echo", -100.0), "dB", t.echo_db),
    )
    return Heard(voice, silent, tone, listened_s, measures)


def verdict(found: Heard | None, facts: CallFacts = ANSWERED) -> Verdict:
    return decide(found, facts, THRESHOLDS).verdict


def test_a_clear_voice_is_good() -> None:
    found = decide(heard(), ANSWERED, THRESHOLDS)

    assert found.verdict is Verdict.GOOD
    assert found.confidence == 1.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"level": -45.0}, Verdict.WEAK),
        ({"level": -45.0, "snr": 10.0}, Verdict.WEAK),
        ({"level": -45.0, "noise": -40.0}, Verdict.NOISY),
        ({"noise": -40.0}, Verdict.NOISY),
        ({"snr": 10.0}, Verdict.NOISY),
        ({"hum": 14.0}, Verdict.NOISY),
        ({"hum_share": 0.5}, Verdict.NOISY),
        ({"clipping": 0.01}, Verdict.NOISY),
        ({"echo": -20.0}, Verdict.NOISY),
    ],
)
def test_what_disturbs_a_voice_decides(values: dict[str, float], expected: Verdict) -> None:
    assert verdict(heard(values)) is expected


def test_a_level_near_its_threshold_is_less_sure_than_one_far_from_it() -> None:
    near, far = (decide(heard({"level": level}), ANSWERED, THRESHOLDS) for level in (-39.0, -46.0))

    assert (near.verdict, far.verdict) == (Verdict.WEAK, Verdict.WEAK)
    assert 0.5 <= near.confidence < far.confidence <= 1.0


def test_a_network_that_loses_too_much_makes_a_talk_noisy_and_says_so() -> None:
    found = decide(heard(), attrs.evolve(ANSWERED, rtp=Rtp(630, 700)), THRESHOLDS)

    assert found.verdict is Verdict.NOISY
    assert "network" in found.why
    assert {m.name: m.well for m in found.measures if m.name in ("packets", "loss", "jitter")} == {
        "packets": False,
        "loss": False,
        "jitter": None,
    }


def test_a_little_loss_leaves_a_voice_good_with_a_note() -> None:
    found = decide(heard(), attrs.evolve(ANSWERED, rtp=Rtp(loss=0.015)), THRESHOLDS)

    assert found.verdict is Verdict.GOOD
    assert found.confidence < 1
    assert "to be watched: loss" in found.why


@pytest.mark.parametrize(
    ("found", "facts", "expected"),
    [
        (heard(voice=False, silent=True), ANSWERED, Verdict.DEAD),
        (heard(voice=False, silent=True), CallFacts(Ended.ANSWERED), Verdict.DEAD),
        (heard(voice=False, silent=True), CallFacts(Ended.ANSWERED, rtp=Rtp(0, 700)), Verdict.DEAD),
        (
            heard(voice=False, silent=True),
            CallFacts(Ended.ANSWERED, rtp=Rtp(0, 700), lifted=True),
            Verdict.ONE_WAY,
        ),
        (heard(voice=False), ANSWERED, Verdict.ONE_WAY),
        (heard(voice=False, tone=True), ANSWERED, Verdict.ONE_WAY),
        (heard({"noise": -30.0}, voice=False), ANSWERED, Verdict.NOISY),
        (heard(voice=False, listened_s=2.9), ANSWERED, Verdict.UNKNOWN),
        (heard(voice=False, silent=True, listened_s=2.9), ANSWERED, Verdict.UNKNOWN),
        (heard(voice=False), CallFacts(Ended.ANSWERED, lifted=False), Verdict.UNKNOWN),
        (heard(voice=False, silent=True), CallFacts(Ended.ANSWERED, lifted=False), Verdict.UNKNOWN),
        (heard(voice=False), CallFacts(Ended.ANSWERED, line=LineState.OPEN), Verdict.DEAD),
    ],
)
def test_without_a_voice_what_came_back_decides(found: Heard, facts: CallFacts, expected: Verdict) -> None:
    assert verdict(found, facts) is expected


def test_silence_is_surer_where_the_handset_was_surely_lifted() -> None:
    perhaps, surely = (
        decide(heard(voice=False), attrs.evolve(ANSWERED, lifted=lifted), THRESHOLDS)
        for lifted in (None, True)
    )

    assert perhaps.confidence < surely.confidence < 0.8


@pytest.mark.parametrize(
    ("ended", "line", "expected"),
    [
        (Ended.NOBODY, LineState.UNKNOWN, Verdict.NOBODY),
        (Ended.BUSY, LineState.OFF_HOOK, Verdict.BUSY),
        (Ended.UNREACHABLE, LineState.UNKNOWN, Verdict.UNREACHABLE),
        (Ended.NOBODY, LineState.SHORT, Verdict.DEAD),
        (Ended.NOBODY, LineState.OPEN, Verdict.DEAD),
        (Ended.NOBODY, LineState.LEVEL, Verdict.NOBODY),
    ],
)
def test_a_call_that_was_not_answered_is_judged_without_its_recording(
    ended: Ended, line: LineState, expected: Verdict
) -> None:
    found = judge(Path("/none.wav"), Path("/none.wav"), CallFacts(ended, line=line), THRESHOLDS)

    assert found.verdict is expected


def test_a_voice_speaks_against_a_line_test_that_says_open() -> None:
    found: Judgement = decide(heard(), attrs.evolve(ANSWERED, line=LineState.OPEN), THRESHOLDS)

    assert found.verdict is Verdict.GOOD
    assert found.confidence <= 0.7
    assert "open" in found.why
