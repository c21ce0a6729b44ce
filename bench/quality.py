"""What quality calls cost visitors, how long a whole fleet takes, and how well handsets are judged.

1. Hand-over, measured: the time from the panel's INVITE to its 180 for presses that meet a quality call and for presses
   that meet none, alternately on the same panels (bench/quality_hand_over.py).
2. The fleet, simulated (bench/quality_fleet.py): each of its visitors who meets a quality call waits as long as one of
   the first did. A smaller fleet has fewer visitors in proportion.
3. Measuring: the held-back recordings of testbed/handsets.py are judged; their speed is that of one core.

The last line: days= met= (the share of all visitors' calls that met a quality call) lost= (the share that did not get
through) visitor_delay_p99_ms= (of those that met one) realtime_factor= recall_dead= recall_one_way= recall_noisy=
false_alarms= (of good handsets).
Exit code 0: every visitor's call on Asterisk got through, and every handset of the fleet has its result; 1: not so; 2: it
could not be measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from bench.quality_fleet import Fleet, Plan, Result, show_day, shown, simulate
from bench.quality_hand_over import HandOver, Press, measure
from bench.report import figures, percentile
from crm.store import StoreError
from telephony.recording import Verdict
from testbed.debs import TestbedUnavailable, get_tree
from testbed.handsets import Judged, Part, judge_all, recordings, speech
from testbed.processes import ProcessFailed

TOP = Path(__file__).resolve().parent.parent


def show_hand_over(found: HandOver) -> None:
    """What was measured, as lines of figures."""
    print(figures(met_ringing=len(found.ringing), met_answered=len(found.answered), unmet=len(found.unmet)))
    for name, presses in (("met", found.met), ("unmet", found.unmet)):
        print(figures(**_percentiles(name, presses)))
    delays = " ".join(f"{delay:.0f}" for delay in sorted(found.delays_ms))
    print(f"delays by the hand-over [ms]: {delays}")
    print(figures(did_not_get_through=found.lost), flush=True)


def _percentiles(name: str, presses: Sequence[Press]) -> dict[str, float]:
    waited = [press.waited_ms for press in presses]
    return {f"{name}_p{n}_ms": percentile(waited, n / 100) for n in (50, 95, 99)}


def judge_held_back(seed: int) -> Judged:
    """Raises TestbedUnavailable."""
    spoken = speech(Part.HELD_BACK, get_tree())
    with tempfile.TemporaryDirectory(prefix="teledom-bench-") as folder:
        return judge_all(recordings(Part.HELD_BACK, spoken, seed), Path(folder))


def show_all(result: Result, judged: Judged) -> None:
    """The last line."""
    visitors, delay_ms = max(1, result.visitors), result.delay_ms(0.99)
    recalls = {
        f"recall_{each.value}": judged.recall(each) for each in (Verdict.DEAD, Verdict.ONE_WAY, Verdict.NOISY)
    }
    print(
        figures(
            days="unknown" if result.days is None else f"{result.days:.2f}",
            met=f"{result.met_share:.6f}",
            lost=f"{(result.lost or 0) / visitors:.6f}",
            visitor_delay_p99_ms="unknown" if delay_ms is None else delay_ms,
            realtime_factor=judged.times_real,
            **{name: f"{share:.3f}" for name, share in recalls.items()},
            false_alarms=f"{judged.false_alarms():.3f}",
        ),
        flush=True,
    )


def main() -> int:
    fleet = Fleet()
    parser = argparse.ArgumentParser(
        prog="python -m bench.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ranges = [
        ("presses", 60, 1, 200, "visitors that are to meet a quality call, and as many that are not"),
        ("panels", fleet.panels, 1, 100_000, "of the fleet"),
        ("flats", fleet.flats, 1, 2_000_000, "of the fleet, with a handset"),
        ("seed", 1, 0, 1_000_000, "of everything that is left to chance"),
    ]
    for name, default, low, high, text in ranges:
        text = f"{text} (default: {default}; {low} to {high})"
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=text)
    args = parser.parse_args()
    for name, _, low, high, _ in ranges:
        if not low <= getattr(args, name) <= high:
            parser.error(f"--{name} takes {low} to {high}")
    os.environ.setdefault("PYTHONPATH", str(TOP))
    try:
        return run(args)
    except* (ProcessFailed, TestbedUnavailable, StoreError, trio.TooSlowError) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        why = str(error) or "the presses took too long: see whether this machine is busy with something else"
        print(f"bench.quality: {why}", file=sys.stderr)
    return 2


def run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="teledom-bench-") as scratch:
        found = trio.run(partial(measure, Path(scratch), args.presses, args.seed))
    show_hand_over(found)
    usual = Fleet()
    calls = round(usual.calls_a_day * args.panels / usual.panels)
    fleet = Fleet(args.panels, args.flats, calls)
    result = simulate(fleet, Plan(), found.delays_ms, seed=args.seed, on_day=show_day)
    print(shown(result), flush=True)
    judged = judge_held_back(args.seed)
    print(judged.table(), flush=True)
    show_all(result, judged)
    return 1 if found.lost or result.left else 0


if __name__ == "__main__":
    sys.exit(main())
