"""Which presses met a quality call, and how long they waited for it: the plain part of that bench."""

from __future__ import annotations

import pytest

from bench.quality_hand_over import Press, tell_apart
from crm.values.records import CallRecord, Outcome

BEGAN, ANSWERED, ENDED = 100.0, 102.0, 110.0


def quality(
    panel: str = "panel1", outcome: Outcome = Outcome.PREEMPTED, answered: float | None = ANSWERED
) -> CallRecord:
    call = CallRecord("0123456789abcdef", "bench", panel, "42", started_at=BEGAN, kind="quality")
    call.answered_at, call.ended_at, call.outcome = answered, ENDED, outcome
    return call


@pytest.mark.parametrize(
    ("at", "counts"),
    [(99.0, (0, 0, 1)), (101.0, (1, 0, 0)), (105.0, (0, 1, 0)), (111.0, (0, 0, 1))],
    ids=["before it", "while it rings", "after the answer", "after its end"],
)
def test_a_press_is_told_by_the_moment_of_the_call_that_it_ended(
    at: float, counts: tuple[int, int, int]
) -> None:
    found = tell_apart([Press("panel1", at, 5.0)], [quality()])

    assert (len(found.ringing), len(found.answered), len(found.unmet)) == counts


def test_a_call_of_another_panel_or_one_that_ended_by_itself_was_not_met() -> None:
    press = Press("panel1", 105.0, 5.0)

    assert tell_apart([press], [quality("panel2")]).unmet == [press]
    assert tell_apart([press], [quality(outcome=Outcome.TALKED)]).unmet == [press]


def test_the_delay_is_over_the_median_of_those_who_met_none_and_never_below_0() -> None:
    unmet = [Press("panel2", 105.0, ms) for ms in (3.0, 4.0, 50.0)]
    met = [Press("panel1", 105.0, ms) for ms in (3.5, 14.0)]

    assert tell_apart([*met, *unmet], [quality()]).delays_ms == [0.0, 10.0]


def test_a_visitor_who_never_heard_it_ring_is_lost() -> None:
    found = tell_apart([Press("panel1", 105.0, None), Press("panel2", 105.0, 4.0)], [quality()])

    assert found.lost == 1
    assert found.delays_ms[0] > 1000
