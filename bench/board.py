"""The live board under a load of real calls: does it stutter, how far is it behind, what does it cost whom?

A real node (`teledom node`) carries visitors' calls on the simulated Asterisk; the CRM (`teledom crm`) asks it, and
Chromium shows the board: each a process of its own, all on this machine, which therefore has to carry four times what a
node's host does. For each rate, from low to high, calls come at it for `--seconds`; the others of a flat's phones ring
until the first has answered.

Of each rate: how long the page works on an event (`beat_ms`), the longest time without one (`gap_ms`; one comes each
0.5 s), how old an event is when it is shown (`behind_ms`), calls a second as the board says it, when phones rang, and the
CPU of each (100: one core; `others`: what else this machine did). A rate is carried calmly if every call went well, no
beat took longer than `--beat-ms` at p95 and no gap was longer than `--gap-ms`.

The last line: calm_per_s= of= beat_p95_ms= gap_ms= behind_p95_ms= to_phone_p95_ms= ok= calls= of the highest rate that
was carried calmly. Exit code 0: that was the highest asked for; 1: it was not; 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import trio
from attrs import frozen
from cryptography.fernet import Fernet
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as BrowserError

from bench.calls import open_node
from bench.cpu import cpu_ms
from bench.houses import make_houses
from bench.report import figures, percentile
from bench.simulated_load import SimulatedLoad, open_simulated_process
from config import SECRET_KEY
from testbed.browser import ENGLISH, open_pages, running_browser
from testbed.crm_process import add_admin
from testbed.debs import BROWSER, TestbedUnavailable, get_tree
from testbed.processes import HOST, Child, ProcessFailed, open_ports

TOP = Path(__file__).resolve().parent.parent
LOGIN = "bench"
WARM_UP_RATE = 20.0
# An event's `at` is when the CRM had put it together.
OBSERVE = """() => {
  window.beats = []; window.came = []; window.behind = []; window.paces = [];
  if (window.observed) return;
  window.observed = true;
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) { window.beats.push(each.duration); window.came.push(each.startTime); }
  }).observe({ type: "measure" });
  const parse = JSON.parse;
  JSON.parse = (text) => {
    const value = parse(text);
    if (value && value.at) window.behind.push(Date.now() - 1000 * value.at);
    return value;
  };
  setInterval(() => {
    const pace = document.querySelector('[data-figure="pace"]');
    if (pace) window.paces.push(Number(pace.textContent.replace(",", ".")));
  }, 1000);
}"""


@frozen(kw_only=True)
class Measured:
    """What one rate gave. CPU is in percent of a core."""

    rate: float
    calls: int
    ok: int
    problems: dict[str, int]
    beats_ms: list[float]
    gap_ms: float
    behind_ms: list[float]
    shown_per_s: float
    to_phone_ms: list[float]
    node: float
    asterisk: float
    crm: float
    browser: float
    others: float

    def is_calm(self, beat_ms: float, gap_ms: float) -> bool:
        beat = percentile(self.beats_ms, 0.95)
        return self.ok == self.calls and bool(self.beats_ms) and beat <= beat_ms and self.gap_ms <= gap_ms

    def line(self) -> str:
        return figures(
            per_s=self.rate,
            shown_per_s=self.shown_per_s,
            beats=len(self.beats_ms),
            beat_p50_ms=percentile(self.beats_ms, 0.5),
            beat_p95_ms=percentile(self.beats_ms, 0.95),
            beat_max_ms=max(self.beats_ms, default=0.0),
            gap_ms=self.gap_ms,
            behind_p95_ms=percentile(self.behind_ms, 0.95),
            to_phone_p95_ms=percentile(self.to_phone_ms, 0.95),
            ok=self.ok,
            calls=self.calls,
            node=round(self.node),
            asterisk=round(self.asterisk),
            crm=round(self.crm),
            browser=round(self.browser),
            others=round(self.others),
        )


@frozen
class Bench:
    """All that runs beside the browser, whose thread calls it."""

    load: SimulatedLoad
    node: Child
    crm: Child
    seconds: float

    def measure(self, page: Page, browser: Browser, rate: float) -> Measured:
        """Calls at this rate, and what the page saw of them. In a worker thread of Trio."""
        calls = max(1, round(rate * self.seconds))
        page.evaluate(OBSERVE)
        before, began = self._cpu(browser), time.monotonic()
        trio.from_thread.run(self.load.run, calls, rate)
        took_ms = 1000 * (time.monotonic() - began)
        used = {name: 100 * (ms - before[name]) / took_ms for name, ms in self._cpu(browser).items()}
        beats, came, behind, paces = (
            page.evaluate(f"window.{name}") for name in ("beats", "came", "behind", "paces")
        )
        result = self.load.result()
        return Measured(
            rate=rate,
            calls=calls,
            ok=result.ok,
            problems=result.problems,
            beats_ms=beats,
            gap_ms=max((after - one for one, after in pairwise(came)), default=took_ms),
            behind_ms=behind,
            shown_per_s=max(paces, default=0.0),
            to_phone_ms=result.to_phone_ms,
            node=used["node"],
            asterisk=used["asterisk"],
            crm=used["crm"],
            browser=used["browser"],
            others=max(0.0, used["machine"] - sum(used[each] for each in used if each != "machine")),
        )

    def _cpu(self, browser: Browser) -> dict[str, float]:
        """CPU so far, in ms."""
        session = browser.new_browser_cdp_session()
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        return {
            "node": cpu_ms(self.node.pid),
            "asterisk": cpu_ms(self.load.asterisk_pid),
            "crm": cpu_ms(self.crm.pid),
            "browser": sum(1000 * float(each["cpuTime"]) for each in processes),
            "machine": _machine_ms(),
        }


def _machine_ms() -> float:
    """What all cores have worked so far."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + sum(rest[:2])) * 1000 / os.sysconf("SC_CLK_TCK")


def _crm(folder: Path, url: str) -> Child:
    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=1, trust_env=False) as client:
                return (await client.get(f"{url}/healthz")).status_code == 200
        except httpx.HTTPError:
            return False

    return Child(
        "the CRM",
        [sys.executable, "-m", "teledom", "crm", "--config", str(folder / "config.toml")],
        log=folder / "crm.log",
        ready=ready,
        ready_s=60.0,
        cwd=TOP,
        env={SECRET_KEY: Fernet.generate_key().decode()},
    )


def _watch(bench: Bench, folder: Path, url: str, password: str, rates: list[float]) -> list[Measured]:
    """Open the board in Chromium, and measure each rate. In a worker thread of Trio."""
    found = []
    with (
        running_browser(folder / "browser", get_tree(packages=BROWSER)) as browser,
        open_pages(browser, ENGLISH) as pages,
    ):
        page = pages.page()
        page.goto(f"{url}/sign-in")
        page.fill("[name=login]", LOGIN)
        page.fill("[name=password]", password)
        page.press("[name=password]", "Enter")
        page.wait_for_url("**/board")
        trio.from_thread.run(bench.load.run, len(bench.load.flats), WARM_UP_RATE)
        print(f"the board is open; each of {len(bench.load.flats)} panels was pressed once", flush=True)
        for rate in rates:
            measured = bench.measure(page, browser, rate)
            for what, count in measured.problems.items():
                print(f"{count} calls: {what}")
            print(measured.line(), flush=True)
            found.append(measured)
    return found


async def measure(args: argparse.Namespace, folder: Path) -> list[Measured]:
    """Start it all, and measure each rate."""
    database = f"sqlite:///{folder}/crm.db"
    life_s = args.answer + args.talk + 2.0  # a panel is pressed again only when its last call is long over
    flats = make_houses(database, max(20, math.ceil(max(args.rates) * life_s)), args.accounts)
    password = add_admin(database, LOGIN, "Bench")
    async with AsyncExitStack() as stack:
        ports = stack.enter_context(open_ports())
        load = await stack.enter_async_context(
            open_simulated_process(folder, flats, answer_s=args.answer, talk_s=args.talk)
        )
        url = f"{HOST}:{ports.take()}"
        web = f'[web]\nhttp = "{url}"\ncookies = "plain"\n'
        node = await stack.enter_async_context(open_node(folder, load, ports, web))
        crm = await stack.enter_async_context(_crm(folder, f"http://{url}"))
        bench = Bench(load, node, crm, args.seconds)
        return await trio.to_thread.run_sync(
            partial(_watch, bench, folder, f"http://{url}", password, sorted(args.rates))
        )


def report(args: argparse.Namespace, found: list[Measured]) -> int:
    calm = [each for each in found if each.is_calm(args.beat_ms, args.gap_ms)]
    best = calm[-1] if calm else found[0]
    print(
        figures(
            calm_per_s=best.rate if calm else 0.0,
            of=max(args.rates),
            beat_p95_ms=percentile(best.beats_ms, 0.95),
            gap_ms=best.gap_ms,
            behind_p95_ms=percentile(best.behind_ms, 0.95),
            to_phone_p95_ms=percentile(best.to_phone_ms, 0.95),
            ok=best.ok,
            calls=best.calls,
        ),
        flush=True,
    )
    return 0 if calm and best.rate == max(args.rates) else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.board",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=[25.0, 50.0, 75.0, 100.0],
        metavar="R",
        help="calls a second (default: 25 50 75 100; up to 200)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=15.0,
        help="calls come at each rate for so long (default: 15; to 300)",
    )
    parser.add_argument("--accounts", type=int, default=3, help="accounts a flat (default: 3; 1 to 10)")
    parser.add_argument(
        "--answer", type=float, default=1.0, help="seconds until a phone answers (default: 1)"
    )
    parser.add_argument(
        "--talk", type=float, default=2.0, help="seconds from the answer to the end (default: 2)"
    )
    parser.add_argument("--beat-ms", type=float, default=50.0, help="p95 of a calm beat (default: 50)")
    parser.add_argument("--gap-ms", type=float, default=2000.0, help="longest calm gap (default: 2000)")
    args = parser.parse_args()
    if not all(1 <= rate <= 200 for rate in args.rates) or not 2 <= args.seconds <= 300:
        parser.error("--rates takes 1 to 200, --seconds 2 to 300")
    if not (1 <= args.accounts <= 10 and 0.05 <= args.answer <= 20 and 0.1 <= args.talk <= 60):
        parser.error("--accounts takes 1 to 10, --answer 0.05 to 20 s, --talk 0.1 to 60 s")
    os.environ.setdefault("PYTHONPATH", str(TOP))
    with tempfile.TemporaryDirectory(prefix="teledom-bench-") as scratch:
        return _bounded(args, Path(scratch).absolute())


def _bounded(args: argparse.Namespace, folder: Path) -> int:
    once_s = args.answer + args.talk + 20  # what the load waits for after its last press
    warm_up_s = max(args.rates) * (args.answer + args.talk + 2) / WARM_UP_RATE
    limit_s = 120 + warm_up_s + once_s + len(args.rates) * (args.seconds + once_s)

    async def run() -> list[Measured]:
        with trio.fail_after(limit_s):
            return await measure(args, folder)

    found: list[Measured] = []
    try:
        found = trio.run(run)
    except* (ProcessFailed, TestbedUnavailable, BrowserError, httpx.HTTPError) as group:
        for error in group.exceptions:
            print(f"bench.board: {error}", file=sys.stderr)
    except* trio.TooSlowError:
        print(f"bench.board: not over after {limit_s:.0f} s", file=sys.stderr)
    return report(args, found) if found else 2


if __name__ == "__main__":
    sys.exit(main())
