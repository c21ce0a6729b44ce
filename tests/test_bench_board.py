"""The board's benchmark: what counts as calm. That it runs is tests/browser/test_board_load.py's."""

from __future__ import annotations

import argparse
from typing import Any

import attrs
import pytest

from bench.board import Measured, report

CALM = Measured(
    rate=50.0,
    calls=100,
    ok=100,
    problems={},
    beats_ms=[2.0] * 95 + [400.0] * 5,
    gap_ms=600.0,
    behind_ms=[10.0, 20.0],
    shown_per_s=50.0,
    to_phone_ms=[5.0],
    node=20.0,
    asterisk=10.0,
    crm=1.0,
    browser=5.0,
    others=3.0,
)
LIMITS = argparse.Namespace(rates=[50.0, 100.0], beat_ms=50.0, gap_ms=2000.0)


@pytest.mark.parametrize(
    ("changes", "calm"),
    [
        ({}, True),
        ({"ok": 99}, False),
        ({"gap_ms": 2001.0}, False),
        ({"beats_ms": [2.0] * 94 + [400.0] * 6}, False),
        ({"beats_ms": []}, False),
    ],
    ids=["as it should be", "a call went wrong", "no event for long", "beats are long", "none came"],
)
def test_a_rate_is_calm_if_calls_went_well_and_the_page_kept_up(changes: dict[str, Any], calm: bool) -> None:
    assert attrs.evolve(CALM, **changes).is_calm(50.0, 2000.0) is calm


def test_the_last_line_is_of_the_highest_calm_rate(capsys: pytest.CaptureFixture[str]) -> None:
    late = attrs.evolve(CALM, rate=100.0, gap_ms=9000.0)

    assert report(LIMITS, [CALM, late]) == 1
    assert capsys.readouterr().out.startswith("calm_per_s=50.00 of=100.00 beat_p95_ms=2.00 ")
    assert report(LIMITS, [CALM, attrs.evolve(CALM, rate=100.0)]) == 0
    assert report(LIMITS, [late]) == 1
    assert "calm_per_s=0.00" in capsys.readouterr().out.splitlines()[-1]
