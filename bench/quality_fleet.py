"""How long it takes to call every handset of a fleet, and how often a visitor meets such a call: a simulation.

Panels, visitors and quality calls are numbers and times here; nothing rings. The rules are those of the product: a
panel has one call at a time, a quality call starts only on a panel that is idle, and yields to a visitor at once.
Everything is simulated event by event, day by day. The same seed gives the same result; visitors come at the same
times whatever the plan is.

What is assumed, since nobody has measured it: visitors come by `DAY`, and to every panel alike; their calls last as
`VISITOR_S` says; who is at home answers after `ANSWER_S`. 161 calls/s is the peak second of the operator's year, and
not of every day: with 20 quality calls on 22,000 panels, even that second's visitors meet 0.15 of them.

The last line: days= quality_calls= met= met_share= lost= delay_p50_ms= delay_p95_ms= delay_p99_ms= idle_share=
took_s=. Without --hand-over-ms lost and delays are unknown. Exit code 0: every handset was checked; 1: not within
--most-days.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import accumulate

from attrs import Factory, define, field, frozen

from bench.report import figures, percentile

DAY_S, HOUR_S = 86_400.0, 3600.0
LOST_MS = 1000.0  # a visitor who waits longer for the panel has gone

# Visitors' calls by hour: people come home from school and work; in the morning doctors, couriers and workmen.
DAY = (4, 2, 1, 1, 2, 6, 20, 50, 65, 52, 46, 46, 50, 50, 50, 55, 65, 80, 95, 90, 70, 48, 26, 12)
VISITOR_S = (5.0, 60.0, 20.0)  # ringing and talk: shortest, longest, most frequent (triangular, mean 28 s)
ANSWER_S = (2.0, 25.0, 8.0)  # until a resident lifts the handset: the same (mean 12 s)

Press = tuple[float, int]  # when, in seconds from the first midnight, and at which panel


@frozen
class Fleet:
    """Panels and who uses them. `hours` are weights of the day's 24 hours; `nobody` the share of quality calls that
    nobody answers, each by chance for itself."""

    panels: int = 22_000
    flats: int = 400_000  # with a handset; dealt out evenly
    calls_a_day: int = 65_000
    hours: Sequence[float] = DAY
    panels_a_house: int = 4
    nobody: float = 0.4


@frozen
class Plan:
    """How quality calls are spread: the campaign's settings.

    `spacing_s` lies between a quality call's end and the next one's start on the same panel, `attempt_spacing_s`
    between a call that nobody answered and the flat's next; a panel has had no call at all for `idle_s`.
    """

    at_once: int = 20  # for each node
    nodes: int = 1
    spacing_s: float = 900.0
    idle_s: float = 60.0
    opens_h: float = 10.0
    closes_h: float = 20.0  # none starts later
    per_house: int = 2  # at once
    attempts: int = 3
    attempt_spacing_s: float = 14_400.0
    ring_s: float = 25.0  # then nobody is there
    talk_s: float = 20.0


@frozen
class Result:
    """What has come of it by the end of the `simulated_days`. `None` is unknown."""

    simulated_days: int
    days: float | None  # from the first midnight to the last result; None while some are `left`
    answered: int  # handsets with a verdict
    used_up: int  # handsets whose every attempt was in vain
    left: int  # handsets without a result
    quality_calls: int
    visitors: int
    met: int  # visitors who pressed while their panel had a quality call
    delays_ms: tuple[float, ...]  # theirs, until they had the panel; none where no hand-over was measured
    idle_share: float  # of all panels' time, without any call

    @property
    def met_share(self) -> float:
        return self.met / self.visitors if self.visitors else 0.0

    @property
    def lost(self) -> int | None:
        """Visitors who were kept waiting for more than `LOST_MS`."""
        return sum(delay > LOST_MS for delay in self.delays_ms) if len(self.delays_ms) == self.met else None

    def delay_ms(self, share: float) -> float | None:
        """What `share` (0 to 1) of those who met a quality call waited at most; None as well when nobody did."""
        return percentile(self.delays_ms, share) if self.delays_ms else None


def simulate(
    fleet: Fleet,
    plan: Plan,
    hand_over_ms: Sequence[float] = (),
    *,
    seed: int = 1,
    most_days: int = 365,
    on_day: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Run days until every handset has its result, `most_days` at most.

    A quality call that a visitor ends is no attempt: its flat is the panel's next, after the spacing. `hand_over_ms`
    are measured times from a visitor's press to the panel's being free of the quality call; each visitor who meets
    one gets one of them by chance. Without any, lost visitors and delays are unknown. `on_day` is told how it stands
    after each day.
    """
    campaign = _Campaign(fleet, plan, hand_over_ms, random.Random(f"handsets {seed}"))
    result = campaign.result(0)
    while result.left and result.simulated_days < most_days:
        day = result.simulated_days
        campaign.run_day(day * DAY_S, _presses(fleet, random.Random(f"visitors {seed} {day}"), day * DAY_S))
        result = campaign.result(day + 1)
        on_day(result)
    return result


def _presses(fleet: Fleet, chance: random.Random, midnight: float) -> list[Press]:
    """A day's visitors, in order."""
    hours = chance.choices(range(24), cum_weights=list(accumulate(fleet.hours)), k=fleet.calls_a_day)
    at = [midnight + (hour + chance.random()) * HOUR_S for hour in hours]
    return [(each, chance.randrange(fleet.panels)) for each in sorted(at)]


@define
class _Panel:
    """One panel. `tasks` are its flats still to be called, soonest first: not before when, and attempts made."""

    house: int
    tasks: deque[tuple[float, int]]
    busy_until: float = -math.inf  # of the last call that is known of
    call: int = 0  # its quality call's number; 0: none
    call_from: float = 0.0


@define
class _Campaign:
    """The state. A panel with tasks is in exactly one place: `ready`, in a call, or `held` by its house."""

    fleet: Fleet
    plan: Plan
    hand_over_ms: Sequence[float]
    chance: random.Random
    panels: list[_Panel] = field(init=False)
    left: int = field(init=False)
    ready: list[tuple[float, int]] = field(init=False)  # a heap: from when on, panel
    ends: list[tuple[float, int, int, bool]] = Factory(list)  # a heap: when, call, panel, answered
    in_house: dict[int, int] = Factory(dict)  # quality calls
    held: dict[int, list[int]] = Factory(dict)  # panels that wait for another one of their house
    running: int = 0
    started: int = 0
    answered: int = 0
    used_up: int = 0
    finished_at: float = 0.0
    visitors: int = 0
    met: int = 0
    busy_s: float = 0.0
    delays_ms: list[float] = Factory(list)

    def __attrs_post_init__(self) -> None:
        count, first = self.fleet.panels, (0.0, 0)
        houses = math.ceil(count / self.fleet.panels_a_house)
        each, more = divmod(self.fleet.flats, count)
        # Neighbours in the order of panels are of different houses, so that a house's limit seldom holds one up.
        self.panels = [_Panel(n % houses, deque([first] * (each + (n < more)))) for n in range(count)]
        self.left = self.fleet.flats
        self.ready = [(0.0, n) for n, panel in enumerate(self.panels) if panel.tasks]

    def run_day(self, midnight: float, presses: Sequence[Press]) -> None:
        """Everything that happens before the next midnight, in order; calls that stand go on the next day."""
        over, opens, closes = (midnight + h * HOUR_S for h in (24, self.plan.opens_h, self.plan.closes_h))
        slots = self.plan.at_once * self.plan.nodes
        now, coming = midnight, 0
        while True:
            start = math.inf
            if self.ready and self.running < slots:
                start = max(self.ready[0][0], now, opens)
                if start >= closes:
                    start = math.inf
            press = presses[coming][0] if coming < len(presses) else math.inf
            end = self.ends[0][0] if self.ends else math.inf
            now = min(start, press, end)
            if now >= over:
                return
            if now == end:
                self._end(now)
            elif now == press:
                self._press(now, presses[coming][1])
                coming += 1
            else:
                self._start(now)

    def _start(self, now: float) -> None:
        """The panel that has been ready longest is called, if it may be."""
        n = heappop(self.ready)[1]
        panel = self.panels[n]
        idle_at = panel.busy_until + self.plan.idle_s
        if idle_at > now:
            heappush(self.ready, (idle_at, n))
            return
        if self.in_house.get(panel.house, 0) >= self.plan.per_house:
            self.held.setdefault(panel.house, []).append(n)
            return
        self.started += 1
        self.running += 1
        self.in_house[panel.house] = self.in_house.get(panel.house, 0) + 1
        panel.call, panel.call_from = self.started, now
        answered = self.chance.random() >= self.fleet.nobody
        lasts_s = self.plan.ring_s
        if answered:
            lasts_s = min(self.chance.triangular(*ANSWER_S), lasts_s) + self.plan.talk_s
        heappush(self.ends, (now + lasts_s, panel.call, n, answered))

    def _end(self, now: float) -> None:
        _, call, n, answered = heappop(self.ends)
        panel = self.panels[n]
        if panel.call != call:
            return  # a visitor has ended it before
        attempts = panel.tasks.popleft()[1] + 1
        if answered or attempts == self.plan.attempts:
            self.answered += answered
            self.used_up += not answered
            self.left -= 1
            self.finished_at = now
        else:
            panel.tasks.append((now + self.plan.attempt_spacing_s, attempts))
        self._give_back(now, n)

    def _give_back(self, now: float, n: int) -> None:
        """The quality call on this panel is over: panel, house and slot are free."""
        panel = self.panels[n]
        self.busy_s += now - panel.call_from
        self.running -= 1
        self.in_house[panel.house] -= 1
        panel.call, panel.busy_until = 0, now
        if panel.tasks:
            heappush(self.ready, (max(now + self.plan.spacing_s, panel.tasks[0][0]), n))
        for other in self.held.pop(panel.house, ()):
            heappush(self.ready, (now, other))

    def _press(self, now: float, n: int) -> None:
        """A visitor: ends the panel's quality call; waits while another visitor's call stands."""
        panel = self.panels[n]
        begins = max(now, panel.busy_until)
        if panel.call:
            self._give_back(now, n)
            self.met += 1
            begins = now
            if self.hand_over_ms:
                self.delays_ms.append(self.chance.choice(self.hand_over_ms))
                begins += self.delays_ms[-1] / 1000
        lasts_s = self.chance.triangular(*VISITOR_S)
        panel.busy_until = begins + lasts_s
        self.visitors += 1
        self.busy_s += lasts_s

    def result(self, days: int) -> Result:
        over = days * DAY_S
        beyond_s = sum(max(0.0, panel.busy_until - over) for panel in self.panels)
        return Result(
            simulated_days=days,
            days=None if self.left else self.finished_at / DAY_S,
            answered=self.answered,
            used_up=self.used_up,
            left=self.left,
            quality_calls=self.started,
            visitors=self.visitors,
            met=self.met,
            delays_ms=tuple(self.delays_ms),
            idle_share=1 - (self.busy_s - beyond_s) / (over * len(self.panels)) if over else 1.0,
        )


def shown(result: Result) -> str:
    """The figures as a line of `key=value`."""

    def known(value: float | None, form: str) -> str:
        return "unknown" if value is None else format(value, form)

    return figures(
        days=known(result.days, ".2f"),
        quality_calls=result.quality_calls,
        met=result.met,
        met_share=f"{result.met_share:.6f}",
        lost=known(result.lost, "d"),
        **{f"delay_p{n}_ms": known(result.delay_ms(n / 100), ".0f") for n in (50, 95, 99)},
        idle_share=f"{result.idle_share:.5f}",
    )


def show_day(result: Result) -> None:
    """How it stands, as a line of progress."""
    calls = f"{result.quality_calls:,} quality calls, of which visitors met {result.met:,}"
    print(f"  day {result.simulated_days}: {result.left:,} handsets left; so far {calls}", flush=True)


def main() -> int:
    fleet, plan = Fleet(), Plan()
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m bench.quality_fleet", None, __doc__, formatter_class=layout)
    ranges: list[tuple[str, int | float, int, int, str]] = [
        ("panels", fleet.panels, 1, 100_000, "how many"),
        ("flats", fleet.flats, 1, 2_000_000, "with a handset"),
        ("calls", fleet.calls_a_day, 0, 1_000_000, "visitors' a day"),
        ("nobody", fleet.nobody, 0, 1, "share of quality calls that nobody answers"),
        ("at-once", plan.at_once, 1, 10_000, "quality calls of a node"),
        ("nodes", plan.nodes, 1, 100, "how many make quality calls"),
        ("spacing", plan.spacing_s, 0, 1_000_000, "seconds between two on the same panel"),
        ("most-days", 365, 1, 10_000, "after which it is given up"),
        ("seed", 1, 0, 1_000_000, "which random visitors come"),
    ]
    for name, default, low, high, text in ranges:
        text = f"{text}, {low} to {high} (default: {default})"
        parser.add_argument(f"--{name}", type=type(default), default=default, metavar="N", help=text)
    parser.add_argument(
        "--hand-over-ms", type=float, nargs="+", default=[], metavar="MS", help="measured times to draw from"
    )
    args = parser.parse_args()
    for name, _, low, high, _ in ranges:
        if not low <= getattr(args, name.replace("-", "_")) <= high:
            parser.error(f"--{name} takes {low} to {high}")
    if not all(each >= 0 for each in args.hand_over_ms):
        parser.error("--hand-over-ms takes times from 0 ms")
    fleet = Fleet(args.panels, args.flats, args.calls, nobody=args.nobody)
    plan = Plan(args.at_once, args.nodes, args.spacing)
    began = time.monotonic()
    more = {"seed": args.seed, "most_days": args.most_days}
    result = simulate(fleet, plan, args.hand_over_ms, on_day=show_day, **more)
    print(figures(answered=result.answered, used_up=result.used_up, visitors=result.visitors))
    print(shown(result), figures(took_s=time.monotonic() - began), flush=True)
    return 1 if result.left else 0


if __name__ == "__main__":
    sys.exit(main())
