"""The simulated fleet on fleets so small that their results can be worked out by hand."""

from __future__ import annotations

import sys

import pytest
from attrs import evolve

from bench import quality_fleet
from bench.quality_fleet import ANSWER_S, DAY, DAY_S, HOUR_S, Fleet, Plan, Result, shown, simulate

TEN = 10 * HOUR_S  # when quality calls begin
NOBODY_COMES = Fleet(panels=1, flats=1, calls_a_day=0, nobody=1.0)
ONE_ATTEMPT = Plan(attempts=1)
AT_ELEVEN = tuple(float(hour == 11) for hour in range(24))


def finished_s(result: Result) -> float:
    assert result.days is not None
    return result.days * DAY_S


def test_a_panels_calls_stand_the_spacing_apart() -> None:
    result = simulate(evolve(NOBODY_COMES, flats=3), ONE_ATTEMPT)

    assert finished_s(result) == pytest.approx(TEN + 25 + 2 * (900 + 25))
    assert (result.quality_calls, result.used_up, result.answered, result.left) == (3, 3, 0, 0)


def test_a_flat_is_tried_again_after_the_attempts_spacing_until_they_are_used_up() -> None:
    result = simulate(NOBODY_COMES, Plan(attempts=3))

    # 10:00:00, 14:00:25 and 18:00:50, 25 s of ringing each
    assert finished_s(result) == pytest.approx(TEN + 3 * 25 + 2 * 14_400)
    assert (result.quality_calls, result.used_up) == (3, 1)


def test_an_attempt_that_falls_behind_the_hours_waits_for_the_next_day() -> None:
    result = simulate(NOBODY_COMES, Plan(attempts=4))

    assert finished_s(result) == pytest.approx(DAY_S + TEN + 25)
    assert result.simulated_days == 2


def test_the_last_call_before_the_hours_end_is_brought_to_its_end() -> None:
    plan = Plan(attempts=1, opens_h=10, closes_h=10 + 10 / 3600)

    assert finished_s(simulate(NOBODY_COMES, plan)) == pytest.approx(TEN + 25)


def test_whoever_answers_has_a_verdict_after_one_call() -> None:
    result = simulate(evolve(NOBODY_COMES, nobody=0.0), Plan())

    shortest, longest, _ = ANSWER_S
    assert (result.answered, result.quality_calls) == (1, 1)
    assert TEN + shortest + 20 <= finished_s(result) <= TEN + longest + 20


def test_no_more_calls_at_once_than_all_nodes_may_make() -> None:
    fleet = evolve(NOBODY_COMES, panels=12, flats=12, panels_a_house=1)

    assert finished_s(simulate(fleet, Plan(at_once=2, attempts=1))) == pytest.approx(TEN + 6 * 25)
    assert finished_s(simulate(fleet, Plan(at_once=2, nodes=3, attempts=1))) == pytest.approx(TEN + 2 * 25)


def test_no_more_calls_at_once_in_a_house_than_it_may_have() -> None:
    fleet = evolve(NOBODY_COMES, panels=4, flats=4, panels_a_house=4)

    assert finished_s(simulate(fleet, Plan(per_house=1, attempts=1))) == pytest.approx(TEN + 4 * 25)
    assert finished_s(simulate(fleet, Plan(per_house=2, attempts=1))) == pytest.approx(TEN + 2 * 25)


def test_flats_are_dealt_out_evenly() -> None:
    result = simulate(evolve(NOBODY_COMES, panels=3, flats=7, panels_a_house=1), ONE_ATTEMPT)

    # The first panel has three of the seven.
    assert finished_s(result) == pytest.approx(TEN + 25 + 2 * (900 + 25))
    assert result.quality_calls == 7


def test_nobody_who_presses_is_nobody_met() -> None:
    result = simulate(evolve(NOBODY_COMES, panels=20, flats=200), Plan(), [300.0])

    assert (result.visitors, result.met, result.met_share, result.lost) == (0, 0, 0.0, 0)
    assert result.delay_ms(0.5) is None


def test_the_idle_share_is_what_is_left_of_the_day_beside_calls() -> None:
    result = simulate(evolve(NOBODY_COMES, flats=4), ONE_ATTEMPT)

    assert result.idle_share == pytest.approx(1 - 4 * 25 / DAY_S)


def test_a_panel_that_is_pressed_all_the_time_gets_no_quality_call() -> None:
    result = simulate(evolve(NOBODY_COMES, calls_a_day=20_000, hours=(1.0,) * 24), Plan(), most_days=2)

    assert (result.quality_calls, result.met, result.left) == (0, 0, 1)
    assert result.days is None
    assert result.visitors == 40_000
    assert 0 <= result.idle_share < 0.01


def test_a_quality_call_waits_until_the_panel_has_been_idle() -> None:
    fleet = evolve(NOBODY_COMES, calls_a_day=3600, hours=AT_ELEVEN)
    plan = Plan(attempts=1, opens_h=11.5, idle_s=600)

    # A visitor a second from 11 to 12: the queue at the door is served at 28 s each, and then it is idle.
    result = simulate(fleet, plan, most_days=1)
    assert (result.quality_calls, result.left) == (0, 1)
    fewer = simulate(evolve(fleet, calls_a_day=120), plan)
    assert finished_s(fewer) > 12 * HOUR_S + 500


def test_who_presses_during_a_quality_call_ends_it_and_it_is_no_attempt() -> None:
    # Without spacing and idle time the panel has a quality call at any time from 10:00 to 16:56.
    fleet = evolve(NOBODY_COMES, flats=1000, calls_a_day=1, hours=AT_ELEVEN)
    plan = Plan(attempts=1, spacing_s=0, idle_s=0)

    result = simulate(fleet, plan, [400.0])

    assert (result.met, result.met_share, result.lost) == (1, 1.0, 0)
    assert (result.delay_ms(0.5), result.delay_ms(0.99)) == (400.0, 400.0)
    assert (result.quality_calls, result.used_up) == (1001, 1000)
    assert TEN + 1000 * 25 < finished_s(result) < TEN + 1000 * 25 + 25 + 60 + 1


def test_who_waits_for_over_a_second_is_lost() -> None:
    fleet = evolve(NOBODY_COMES, flats=1400, calls_a_day=40, hours=AT_ELEVEN)
    plan = Plan(attempts=1, spacing_s=0, idle_s=0)

    assert simulate(fleet, plan, [1000.0]).lost == 0
    late = simulate(fleet, plan, [1000.1])
    assert late.lost == late.met > 10
    mixed = simulate(fleet, plan, [100.0, 5000.0])
    assert 0 < (mixed.lost or 0) < mixed.met
    assert mixed.delay_ms(0.99) == 5000.0


def test_without_measured_hand_overs_lost_and_delay_are_unknown() -> None:
    fleet = evolve(NOBODY_COMES, flats=1000, calls_a_day=1, hours=AT_ELEVEN)
    result = simulate(fleet, Plan(attempts=1, spacing_s=0, idle_s=0))

    assert (result.met, result.lost, result.delay_ms(0.5)) == (1, None, None)
    assert "lost=unknown delay_p50_ms=unknown" in shown(result)


def test_the_share_met_is_the_share_of_panels_with_a_quality_call() -> None:
    # Ten calls at any time on 200 panels, from 10 to 12, when all visitors come between 11 and 12.
    fleet = Fleet(panels=200, flats=4000, calls_a_day=2000, hours=AT_ELEVEN, panels_a_house=1, nobody=1.0)
    plan = Plan(at_once=10, spacing_s=0, idle_s=0, closes_h=12, attempts=1)

    result = simulate(fleet, plan, most_days=1)

    assert result.left > 0
    assert result.met_share == pytest.approx(10 / 200, rel=0.4)


def test_the_same_seed_gives_the_same_result_and_another_one_another() -> None:
    fleet = Fleet(panels=100, flats=1000, calls_a_day=2000)
    first = simulate(fleet, Plan(), [100.0, 200.0, 1500.0], seed=7)

    assert simulate(fleet, Plan(), [100.0, 200.0, 1500.0], seed=7) == first
    assert simulate(fleet, Plan(), [100.0, 200.0, 1500.0], seed=8) != first


def test_each_day_is_told_with_how_it_stands() -> None:
    days: list[Result] = []
    result = simulate(evolve(NOBODY_COMES, flats=60), ONE_ATTEMPT, on_day=days.append)

    # From 10:00 to 20:00 a call starts every 925 s: 39 of them.
    assert [(day.simulated_days, day.left) for day in days] == [(1, 21), (2, 0)]
    assert days[-1] == result


def test_the_days_profile_has_24_hours_with_a_peak_in_the_morning_and_a_higher_one_in_the_evening() -> None:
    assert len(DAY) == 24
    assert DAY.index(max(DAY[:12])) == 8
    assert DAY.index(max(DAY)) == 18


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["quality_fleet", *arguments])
    return quality_fleet.main()


def test_the_command_shows_each_day_and_the_figures_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--panels", "10", "--flats", "40", "--calls", "100", "--hand-over-ms", "300")

    assert run(monkeypatch, *small) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("  day 1: ")
    assert lines[-1].startswith("days=")
    assert "idle_share=" in lines[-1]
    assert run(monkeypatch, *small, "--spacing", "36000", "--most-days", "1") == 1
    assert "days=unknown" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [("--panels", "0"), ("--nobody", "1.5"), ("--hand-over-ms", "-1")])
def test_arguments_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *wrong)
