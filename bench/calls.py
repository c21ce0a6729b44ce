"""What a visitor's call costs: CPU of the node and of Asterisk, and the time from the panel's INVITE to the
phones'.

The node runs as a process of its own, all of the product on (pushes to a gateway, journal, HTTP), against the
testbed's real Asterisk and Kamailio with SIPp as panels and phones, or with --simulated against the simulated
Asterisk. In every call the first account's phone answers and hangs up, the others ring until they are
dropped. A warm-up comes first and is not counted. Times are from the panel's INVITE (with its password) to
the first phone's; simulated: from the press to the first originate.

The last line: app_ms_per_call= asterisk_ms_per_call= ratio= p50_ms= p95_ms= p99_ms= ok= calls= Exit code 0:
every call went well; 1: not every one did; 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import sqlalchemy as sa
import trio
from attrs import define, frozen

from bench.cpu import cpu_ms, rss_mb
from bench.houses import BenchFlat, make_houses
from bench.real_load import RealLoad, open_real
from bench.report import figures, percentile
from bench.simulated_load import SimulatedLoad, open_simulated_process
from crm.model import table
from crm.store import Store
from crm.tables.calls import Call
from testbed.debs import TestbedUnavailable
from testbed.processes import HOST, Child, Ports, ProcessFailed, open_ports

TOP = Path(__file__).resolve().parent.parent
LEAK_FROM = 500  # finished calls after which memory should grow no more


@frozen
class Window:
    """What was measured from the end of the warm-up to the end of the last call."""

    app_ms: float
    asterisk_ms: float
    took_s: float
    rss_500_mb: float
    rss_end_mb: float


@define
class Memory:
    """The node's memory when `LEAK_FROM` calls were over; before that, and in shorter runs, the latest."""

    pid: int
    early_mb: float = 0.0
    settled: bool = False

    async def watch(self, over: Callable[[], int]) -> None:
        while not self.settled:
            self.early_mb = rss_mb(self.pid)
            self.settled = over() >= LEAK_FROM
            await trio.sleep(0.25)


@asynccontextmanager
async def open_node(
    folder: Path, load: RealLoad | SimulatedLoad, ports: Ports, more: str = ""
) -> AsyncIterator[Child]:
    """The gateway and the node, each a process, with `more` settings; ready when /readyz says so."""
    gateway_port, http_port = ports.take(), ports.take()

    async def gateway_ready() -> bool:
        return (folder / "gateway.log").read_text().startswith("http")

    gateway = Child(
        "the push gateway",
        [sys.executable, "-m", "testbed.gateway", "--port", str(gateway_port)],
        log=folder / "gateway.log",
        ready=gateway_ready,
        cwd=TOP,
    )
    (folder / "config.toml").write_text(
        f'[node]\nname = "bench"\nstate_dir = "{folder}"\nhttp = "{HOST}:{http_port}"\n'
        f'[ari]\nurl = "{load.ari_url}"\nuser = "{load.ari_user}"\n'
        f'[push]\nurl = "http://{HOST}:{gateway_port}/push"\n'
        f'[crm]\nurl = "sqlite:///{folder}/crm.db"\n[log]\nlevel = "warning"\n{more}'
    )

    async def node_ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                return (await client.get(f"http://{HOST}:{http_port}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    node = Child(
        "the node",
        [sys.executable, "-m", "teledom", "node", "--config", str(folder / "config.toml")],
        log=folder / "node.log",
        ready=node_ready,
        ready_s=20,
        stop_s=15,
        cwd=TOP,
        env={"TELEDOM_ARI_PASSWORD": load.ari_password},
    )
    async with gateway, node:
        yield node


async def measure(args: argparse.Namespace, folder: Path) -> tuple[Window, RealLoad | SimulatedLoad, int]:
    """Run it all; the figures, the load with its results, and how many calls the journal has as talked."""
    life_s = args.answer + args.talk + 1.0  # a panel is pressed again only when its last call is long over
    flats = make_houses(f"sqlite:///{folder}/crm.db", max(20, math.ceil(args.rate * life_s)), args.accounts)
    async with AsyncExitStack() as stack:
        ports = stack.enter_context(open_ports())
        load = await stack.enter_async_context(_open_load(args, folder, flats))
        node = await stack.enter_async_context(open_node(folder, load, ports))
        print(f"{len(flats)} panels, {args.accounts} accounts a flat; the node is ready", flush=True)
        if args.warm_up:
            await load.run(args.warm_up, args.rate)
            await trio.sleep(1)
            print(f"warm-up of {args.warm_up} calls is over", flush=True)
        memory = Memory(node.pid)
        before = cpu_ms(node.pid), cpu_ms(load.asterisk_pid), trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(memory.watch, lambda: args.warm_up + load.over())
            await load.run(args.calls, args.rate)
            nursery.cancel_scope.cancel()
        await trio.sleep(0.5)  # what the journal still has to save belongs to these calls
        window = Window(
            app_ms=cpu_ms(node.pid) - before[0],
            asterisk_ms=cpu_ms(load.asterisk_pid) - before[1],
            took_s=trio.current_time() - before[2],
            rss_500_mb=memory.early_mb,
            rss_end_mb=rss_mb(node.pid),
        )
        await trio.sleep(0.5)
    return window, load, _talked(folder)


def _open_load(
    args: argparse.Namespace, folder: Path, flats: list[BenchFlat]
) -> AbstractAsyncContextManager[RealLoad | SimulatedLoad]:
    if args.simulated:
        return open_simulated_process(folder, flats, answer_s=args.answer, talk_s=args.talk)
    return open_real(folder, flats, answer_s=args.answer, talk_s=args.talk)


def _talked(folder: Path) -> int:
    calls = table(Call)
    count = sa.select(sa.func.count()).select_from(calls).where(calls.c.outcome == "talked")
    with Store(f"sqlite:///{folder}/crm.db") as store, store.reading() as connection:
        return int(connection.execute(count).scalar_one())


def report(args: argparse.Namespace, window: Window, load: RealLoad | SimulatedLoad, talked: int) -> int:
    result = load.result()
    for what, count in result.problems.items():
        print(f"{count} calls: {what}")
    app, asterisk = window.app_ms / args.calls, window.asterisk_ms / args.calls
    share = window.app_ms / 10 / window.took_s, window.asterisk_ms / 10 / window.took_s
    print(
        figures(
            took_s=window.took_s,
            node_percent=share[0],
            asterisk_percent=share[1],
            journal_talked=talked,
            journal_expected=args.warm_up + args.calls,
        )
    )
    print(figures(rss_500_mb=window.rss_500_mb, rss_end_mb=window.rss_end_mb))
    print(
        figures(
            app_ms_per_call=app,
            asterisk_ms_per_call=asterisk,
            ratio=app / asterisk if asterisk else 0.0,
            p50_ms=percentile(result.to_phone_ms, 0.50),
            p95_ms=percentile(result.to_phone_ms, 0.95),
            p99_ms=percentile(result.to_phone_ms, 0.99),
            ok=result.ok,
            calls=args.calls,
        ),
        flush=True,
    )
    return 0 if result.ok == args.calls else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.calls",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--simulated", action="store_true", help="against the simulated Asterisk")
    parser.add_argument(
        "--calls", type=int, default=400, help="calls that are measured (default: 400; 1 to 20000)"
    )
    parser.add_argument("--rate", type=float, default=40.0, help="calls a second (default: 40; to 400)")
    parser.add_argument("--accounts", type=int, default=4, help="accounts a flat (default: 4; 1 to 50)")
    parser.add_argument(
        "--warm-up", type=int, default=100, help="calls before the measured ones (default: 100)"
    )
    parser.add_argument(
        "--answer", type=float, default=0.5, help="seconds until a phone answers (default: 0.5)"
    )
    parser.add_argument(
        "--talk", type=float, default=1.5, help="seconds from the answer to the end (default: 1.5)"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="leave configuration, logs and database here")
    args = parser.parse_args()
    if not (1 <= args.calls <= 20_000 and 0 < args.rate <= 400 and 1 <= args.accounts <= 50):
        parser.error("--calls takes 1 to 20000, --rate up to 400, --accounts 1 to 50")
    if not (0 <= args.warm_up <= 5000 and 0.05 <= args.answer <= 20 and 0.1 <= args.talk <= 60):
        parser.error("--warm-up takes up to 5000, --answer 0.05 to 20 s, --talk 0.1 to 60 s")
    with tempfile.TemporaryDirectory(prefix="teledom-bench-") as scratch:
        folder = Path(args.keep or scratch).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "crm.db").exists():
            parser.error(f"--keep {folder}: there is a crm.db of another run in it")
        os.environ.setdefault("PYTHONPATH", str(TOP))
        limit_s = 90 + (args.calls + args.warm_up) / args.rate + 2 * (args.answer + args.talk)
        measured: tuple[Window, RealLoad | SimulatedLoad, int] | None = None
        try:
            measured = trio.run(_bounded, args, folder, limit_s)
        except* (ProcessFailed, TestbedUnavailable, trio.TooSlowError) as group:
            for error in _leaves(group):
                print(f"bench.calls: {error or f'not over after {limit_s:.0f} s'}", file=sys.stderr)
        return 2 if measured is None else report(args, *measured)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


async def _bounded(
    args: argparse.Namespace, folder: Path, limit_s: float
) -> tuple[Window, RealLoad | SimulatedLoad, int]:
    with trio.fail_after(limit_s):
        return await measure(args, folder)


if __name__ == "__main__":
    sys.exit(main())
