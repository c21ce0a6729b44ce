"""How well handsets are judged, on recordings with voices, sentences and noises that no threshold was set on."""

from __future__ import annotations

import os

import pytest

from telephony.recording import Verdict
from testbed.debs import TestbedUnavailable, get_tree
from testbed.handsets import COUNT, Judged, Part, judge_all, recordings, speech

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    try:
        tree = get_tree()
    except TestbedUnavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"espeak-ng is not to be had: {error}", pytrace=False)
        pytest.skip(f"espeak-ng is not to be had: {error}")
    made = recordings(Part.HELD_BACK, speech(Part.HELD_BACK, tree))
    found = judge_all(made, tmp_path_factory.mktemp("handsets"))
    print(found.table(), *found.wrong, sep="\n")
    return found


@pytest.mark.parametrize("truth", [Verdict.DEAD, Verdict.ONE_WAY, Verdict.NOISY])
def test_a_handset_that_is_not_well_is_found(judged: Judged, truth: Verdict) -> None:
    assert sum(count for (true, _), count in judged.counts.items() if true is truth) >= COUNT
    assert judged.recall(truth) >= 0.95


def test_a_good_handset_raises_no_alarm(judged: Judged) -> None:
    assert judged.false_alarms() <= 0.02


def test_nothing_without_a_voice_is_called_good(judged: Judged) -> None:
    voiceless = (
        Verdict.DEAD,
        Verdict.ONE_WAY,
        Verdict.NOBODY,
        Verdict.BUSY,
        Verdict.UNREACHABLE,
        Verdict.UNKNOWN,
    )
    assert [judged.counts[truth, Verdict.GOOD] for truth in voiceless] == [0] * 6


def test_recordings_are_measured_a_hundred_times_faster_than_they_last(judged: Judged) -> None:
    assert judged.times_real >= 100
