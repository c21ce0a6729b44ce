"""What 112 costs: the time from the panel's INVITE to the dispatch's, idle and while visitors call; leases a second.

The node runs as a process of its own, all of the product on, against the testbed's real Asterisk and Kamailio. SIPp is
the panel that presses SOS and the dispatch; under load SIPp is visitors' panels and phones as well, which elsewhere are
other machines' work, so that they run at the lowest priority (--nice 0: at the same as all others). Where this user may,
Asterisk, Kamailio and the node run in real time, as Asterisk does by Debian's own unit, and what measures above them
(--no-real-time: not).
Leases are given out by the pool's own actor, each committed before the next is asked for, from pools of 10 and of 1,000
numbers, on SQLite and on PostgreSQL; `who` asks a history of --history leases.

The last line: idle_p95_ms= loaded_p95_ms= ratio= leases_s= (the slowest of the four) who_ms= Exit code 0: every call
reached the dispatch; 1: not every one did; 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
import trio
from attrs import frozen

from actors.duty_desk import DutyDesk
from actors.sos_file import SosFile
from actors.sos_pool import SosPool
from bench.calls import open_node
from bench.houses import PASSWORD, BenchFlat, make_houses
from bench.priority import INSTRUMENTS, make_real_time, may_be_real_time
from bench.real_load import SHORT, RealLoad, invites, open_real
from bench.report import figures, percentile
from config import DispatchConfig, DutyConfig, SosConfig
from crm.model import City, table
from crm.sos.leases import add_numbers, who
from crm.store import Store, upgrade
from crm.tables.sos import SosLease
from testbed.debs import TestbedUnavailable, get_tree
from testbed.dispatch import trunk_is
from testbed.postgres import open_postgres
from testbed.processes import ProcessFailed, open_ports
from testbed.sipp import Media, Sipp, panel_sipp, sdp

TOP = Path(__file__).resolve().parent.parent
FIAS = "5f1b6b7e-7d2a-4e0e-9b57-1f4a8c3d2e10"
TRUNK = "dispatch-1"
SETTINGS = f'[dispatch.bench]\nfias = "{FIAS}"\ntrunks = ["{TRUNK}"]\n'
NUMBERS = 100
LIFE_S = 4.0  # of a visitor's call, and of an SOS call: no panel is pressed again before


@frozen
class Latency:
    """From the panel's INVITE to the dispatch's [ms]; how many of the calls did not get there."""

    times_ms: list[float]
    missing: int


# --- the time to the dispatch --------------------------------------------------------------------------------------


async def measure_latency(args: argparse.Namespace, folder: Path) -> tuple[Latency, Latency]:
    """Idle, and under the load of visitors' calls."""
    visitors = max(20, round(args.rate * LIFE_S))
    callers = max(10, round(args.sos_rate * LIFE_S))
    url = f"sqlite:///{folder}/crm.db"
    flats = make_houses(url, visitors + callers, args.accounts)
    with Store(url) as store:
        with store.transaction() as connection:
            connection.execute(table(City).update().values(fias=FIAS))
        add_numbers(store, FIAS, [f"+7351{n:07}" for n in range(NUMBERS)])
    async with AsyncExitStack() as stack:
        ports = stack.enter_context(open_ports())
        instruments_in_memory(stack, folder / "bed")
        load = await stack.enter_async_context(
            open_real(
                folder, flats[:visitors], answer_s=0.5, talk_s=1.5, under=["nice", "-n", str(args.nice)]
            )
        )
        node = await stack.enter_async_context(open_node(folder, load, ports, SETTINGS))
        dispatch = await stack.enter_async_context(open_dispatch(load, args.instruments))
        if args.instruments:
            for child in (load.bed.asterisk, load.bed.kamailio, node):
                make_real_time(child)
        print(f"{visitors} visitors' panels, {callers} that press SOS; the node is ready", flush=True)
        panels = flats[visitors:]
        await press(args, load, panels, 20, dispatch)
        idle = await press(args, load, panels, args.calls, dispatch)
        print(figures(**shown("idle", idle)), flush=True)
        loaded = await press_under_load(args, load, panels, dispatch)
        print(figures(**shown("loaded", loaded)), flush=True)
    return idle, loaded


def instruments_in_memory(stack: AsyncExitStack, bed: Path) -> None:
    """SIPp writes down every message: not on the disk that leases are committed to."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK):
        bed.mkdir(parents=True)
        sipp = stack.enter_context(tempfile.TemporaryDirectory(prefix="teledom-bench-", dir=memory))
        (bed / "sipp").symlink_to(sipp)


async def press_under_load(
    args: argparse.Namespace, load: RealLoad, panels: list[BenchFlat], dispatch: Sipp
) -> Latency:
    """SOS while visitors call, from when their calls have reached their number to when they end."""
    seconds = args.calls / args.sos_rate + LIFE_S + 4
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run, round(seconds * args.rate), args.rate)
        await trio.sleep(LIFE_S)
        found = await press(args, load, panels, args.calls, dispatch)
    result = load.result()
    print(
        figures(
            visitors=round(seconds * args.rate),
            visitors_ok=result.ok,
            visitors_p95_ms=percentile(result.to_phone_ms, 0.95),
        )
    )
    return found


@asynccontextmanager
async def open_dispatch(load: RealLoad, under: Sequence[str]) -> AsyncIterator[Sipp]:
    places = {
        "RING_MS": "200",
        "TALK_MS": "60000",
        "REFUSES": "0",
        "CODE": "500",
        "REFUSES_MULTIPART": "0",
        "MULTIPART_CODE": "415",
        "SILENT": "0",
        "BUSY_FIRST": "0",
        "SDP": sdp(Media.AUDIO),
    }
    dispatch = Sipp(
        load.bed,
        "dispatch",
        places,
        SHORT,
        port=load.bed.trunk(TRUNK).port,
        under=under,
    )
    async with dispatch.prepare(server=True, trace=False):
        await trunk_is(load.bed, TRUNK, "online")
        yield dispatch


async def press(
    args: argparse.Namespace, load: RealLoad, panels: list[BenchFlat], calls: int, dispatch: Sipp
) -> Latency:
    """`calls` presses of SOS, evenly; each is told by its place in the order, as the next comes much later."""
    seen = len(came(dispatch))
    options = [
        "-m",
        str(calls),
        "-r",
        "1",
        "-rp",
        str(round(1000 / args.sos_rate)),
        "-timeout",
        f"{calls / args.sos_rate + 60:.0f}s",
        *SHORT,
    ]
    sipp = panel_sipp(load.bed, talk_ms=500, give_up_ms=20_000, options=options)
    sipp.under = args.instruments
    await sipp.run([(panel.panel, PASSWORD, "112") for panel in panels], trace=False)
    await trio.sleep(0.5)
    sent = sorted(at for times in invites(sipp, sent=True).values() for at in times)
    got = came(dispatch)[seen:]
    times_ms = [(b - a) * 1000 for a, b in zip(sent, got, strict=False)]
    return Latency(times_ms, calls - len(got))


def came(dispatch: Sipp) -> list[float]:
    return sorted(at for times in invites(dispatch, sent=False).values() for at in times)


def shown(name: str, latency: Latency) -> dict[str, float | int]:
    times = latency.times_ms
    shares = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))
    figures = {f"{name}_{label}_ms": percentile(times, share) for label, share in shares}
    return {**figures, f"{name}_calls": len(times), f"{name}_missing": latency.missing}


# --- leases --------------------------------------------------------------------------------------------------------


async def measure_leases(args: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """The lowest rate of leases a second, and the longest median of `who` [ms]."""
    rates, times = [], []
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    sqlite = f"sqlite:///{folder}/leases.db"
    async with open_postgres(folder / "postgres", get_tree()) as postgres:
        for name, url in (("sqlite", sqlite), ("postgresql", postgres.url)):
            await trio.to_thread.run_sync(upgrade, url)
            with Store(url, durable=True) as store:
                for size in (10, 1000):
                    rate = await leases_a_second(
                        args, store, folder / f"{name}-{size}.db", f"{name}-{size}", size
                    )
                    rates.append(rate)
                    print(figures(database=name, numbers=size, leases_s=rate), flush=True)
                times.append(await trio.to_thread.run_sync(who_ms, args, store))
                print(figures(database=name, history=args.history, who_ms=times[-1]), flush=True)
    return min(rates), max(times)


async def leases_a_second(args: argparse.Namespace, store: Store, file: Path, fias: str, size: int) -> float:
    numbers = [f"{fias}-{n}" for n in range(size)]
    await trio.to_thread.run_sync(add_numbers, store, fias, numbers)
    desk = DutyDesk(DutyConfig(), "bench")
    kept = SosFile(file)
    config = SosConfig(commit_ms=5000)
    pool = SosPool(
        "bench", DispatchConfig(fias=fias), config, node="bench", store=store, file=kept, desk=desk
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        while len(pool.pool.numbers) < size:  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.01)
        began = time.perf_counter()
        for n in range(args.leases):
            lease = await pool.lend(f"panel{n}", f"{n:012x}", f"{fias}-{n}")
            assert lease is not None
        took_s = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    kept.close()
    return float(args.leases) / took_s


def who_ms(args: argparse.Namespace, store: Store) -> float:
    """The median time of an answer."""
    rows = [
        {
            "id": f"history{n}",
            "fias": FIAS,
            "number": f"+7352{n % 1000:07}",
            "panel": f"panel{n % 22_000}",
            "domophone": f"{n % 22_000:012x}",
            "call_id": f"history{n}",
            "node": "bench",
            "why": "free",
            "started_at": 1.7e9 + n,
            "ended_at": 1.7e9 + n + 60,
            "held_until": 1.7e9 + n + 1860,
        }
        for n in range(args.history)
    ]
    with store.transaction() as connection:
        for start in range(0, len(rows), 5000):
            connection.execute(table(SosLease).insert(), rows[start : start + 5000])
    times = []
    for n in range(200):
        began = time.perf_counter()
        assert who(store, f"8352{n:07}") is not None
        times.append((time.perf_counter() - began) * 1000)
    return percentile(times, 0.5)


# --- all of it -----------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--calls",
        type=int,
        default=100,
        help="SOS calls, idle and again under load (default: 100; 20 to 2000)",
    )
    parser.add_argument("--sos-rate", type=float, default=2.0, help="SOS calls a second (default: 2; to 10)")
    parser.add_argument(
        "--rate", type=float, default=60.0, help="visitors' calls a second (default: 60; to 200)"
    )
    parser.add_argument("--accounts", type=int, default=4, help="accounts a flat (default: 4; 1 to 20)")
    parser.add_argument("--nice", type=int, default=19, help="of the load's SIPp (default: 19; 0 to 19)")
    parser.add_argument(
        "--no-real-time", action="store_true", help="Asterisk, Kamailio and the node at the usual priority"
    )
    parser.add_argument(
        "--leases", type=int, default=300, help="leases from each pool (default: 300; to 10000)"
    )
    parser.add_argument("--history", type=int, default=50_000, help="leases in the history (default: 50000)")
    args = parser.parse_args()
    if not (20 <= args.calls <= 2000 and 0 < args.sos_rate <= 10 and 0 < args.rate <= 200):
        parser.error("--calls takes 20 to 2000, --sos-rate up to 10, --rate up to 200")
    if not (1 <= args.accounts <= 20 and 0 <= args.nice <= 19 and 1 <= args.leases <= 10_000):
        parser.error("--accounts takes 1 to 20, --nice 0 to 19, --leases 1 to 10000")
    real_time = not args.no_real_time and may_be_real_time()
    args.instruments = ["chrt", "-r", str(INSTRUMENTS)] if real_time else []
    print(f"Asterisk, Kamailio and the node {'in real time' if real_time else 'at the usual priority'}")
    os.environ.setdefault("PYTHONPATH", str(TOP))
    with tempfile.TemporaryDirectory(prefix="teledom-bench-") as scratch:
        try:
            return trio.run(measure, args, Path(scratch))
        except* (ProcessFailed, TestbedUnavailable, trio.TooSlowError) as group:
            print(f"bench.sos: {group.exceptions[0]}", file=sys.stderr)
        return 2


async def measure(args: argparse.Namespace, folder: Path) -> int:
    with trio.fail_after(240 + 2 * args.calls / args.sos_rate):
        leases_s, answer_ms = await measure_leases(args, folder)
        idle, loaded = await measure_latency(args, folder)
    before, after = percentile(idle.times_ms, 0.95), percentile(loaded.times_ms, 0.95)
    print(
        figures(
            idle_p95_ms=before,
            loaded_p95_ms=after,
            ratio=after / before if before else 0.0,
            leases_s=leases_s,
            who_ms=answer_ms,
        ),
        flush=True,
    )
    return 0 if not (idle.missing or loaded.missing) else 1


if __name__ == "__main__":
    sys.exit(main())
