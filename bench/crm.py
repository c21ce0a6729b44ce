"""What the CRM's pages, API, search and imports take with an operator's fleet on a real PostgreSQL.

A server of its own is filled by bench.crm_fleet, and the real program (`teledom crm`) is started on it. An administrator
signs in, somebody who sees a city, and somebody who sees the houses of a company. `--users` at once, of these three in
turn, open lists with filters and orders, go on to the next pages, look at records, and take the first bytes of files
(bench.crm_paths); programs with tokens do the same by the API; people type into the search. Then accounts are imported.

Each line says its figures by kind of page, @ who asked; below them stand the slowest kinds, and those that are over the
target: 100 ms at the 95th percentile, of all requests of a group, and better of each kind. The last line: page_p95_ms=
api_p95_ms= search_p95_ms= import_rows_s= rss_mb= (of the server's process, the most). Exit code 0: every request was
answered well, and with a whole fleet (--scale 1 and more) within the targets; 1: not so; 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager, AsyncExitStack, aclosing, nullcontext
from functools import partial
from pathlib import Path

import httpx
import psycopg
import trio
from attrs import Factory, define, frozen

from bench.crm_fleet import Filled, Size, open_fleet
from bench.crm_imports import ImportRefused, measure_imports
from bench.crm_paths import FILES, LISTS, PAGES, RECORDS, Chooser, Sees
from bench.crm_search import QUESTIONS, typed
from bench.report import figures, percentile
from crm.rights import Right
from crm.staff.groups import create_group
from crm.staff.passwords import Passwords
from crm.staff.staff import create_employee
from crm.staff.tokens import create_token
from crm.store import Store, StoreError
from crm.who import SYSTEM
from testbed.debs import TestbedUnavailable
from testbed.processes import HOST, Child, ProcessFailed, open_ports

TOP = Path(__file__).resolve().parent.parent
NEXT_PAGES = 3  # of each list
Clients = Mapping[Sees, httpx.AsyncClient]
LOGIN, PASSWORD = f"bench-{uuid.uuid4().hex[:8]}", "only for this bench 7351"
API = "/api/v1"
TARGET_MS = 100.0
SLOWEST = 5  # kinds that are named in any case
PAUSE_S = 0.03  # between two requests of a user: the API answers 200 a second from one address
TYPING_S = 0.2  # no three letters are typed in less
DAY_S = 86_400.0

SEARCH = "/search?q="
_NEXT_LINK = re.compile(r'href="([^"]*[?&](?:amp;)?after=[^"]+)"')


@frozen
class Group:
    """Requests whose times are told together."""

    name: str
    took_ms: dict[str, list[float]] = Factory(dict)
    wrong: dict[str, int] = Factory(dict)  # by kind and status: "houses 404"

    def add(self, kind: str, took_ms: float, status: int) -> None:
        if status == 200:
            self.took_ms.setdefault(kind, []).append(took_ms)
        else:
            key = f"{kind} {status}"
            self.wrong[key] = self.wrong.get(key, 0) + 1

    @property
    def times(self) -> list[float]:
        return [each for times in self.took_ms.values() for each in times]

    def p95_ms(self) -> float | str:
        return percentile(self.times, 0.95) if self.times else "unknown"

    def is_in_time(self) -> bool:
        p95_ms = self.p95_ms()
        return isinstance(p95_ms, float) and p95_ms <= TARGET_MS

    def show(self) -> None:
        for kind, times in self.took_ms.items():
            print(
                figures(
                    of=self.name,
                    kind=kind,
                    requests=len(times),
                    p50_ms=percentile(times, 0.5),
                    p95_ms=percentile(times, 0.95),
                    max_ms=max(times),
                ),
                flush=True,
            )
        for key, count in sorted(self.wrong.items()):
            print(f"  not answered well: {self.name} {key}: {count} times")
        p95s = {kind: percentile(times, 0.95) for kind, times in self.took_ms.items()}
        ordered = sorted(p95s.items(), key=lambda each: -each[1])
        slow = [f"{kind} {p95_ms:.0f}" for kind, p95_ms in ordered if p95_ms > TARGET_MS]
        slowest = ", ".join(f"{kind} {p95_ms:.0f}" for kind, p95_ms in ordered[:SLOWEST])
        print(f"  slowest: {self.name} [p95, ms]: {slowest or 'none'}")
        print(f"  over {TARGET_MS:g} ms: {self.name}: {', '.join(slow) or 'none'}", flush=True)


@define
class Server:
    """The program under test; `tokens` by who sees what."""

    url: str
    child: Child
    tokens: Mapping[Sees, str]
    rss_mb: float = 0.0

    def most_rss_mb(self) -> float:
        """The most memory that it has had."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0


def start(filled: Filled, folder: Path, port: int, seed: int) -> Server:
    """The server's process, to be entered; three people and their tokens are made. Raises StoreError."""
    now = time.time()
    tokens = {}
    with Store(filled.url) as store:
        for sees in Sees:
            name, rights = f"{LOGIN}-{sees.value}", list(Right)
            group = create_group(store, SYSTEM, name, rights, sees.reach(seed, filled.fleet), now)
            create_employee(store, SYSTEM, Passwords(), name, "Bench", PASSWORD, [group], now)
            tokens[sees] = create_token(store, SYSTEM, name, rights, group, now + DAY_S, now).secret
    url = f"http://{HOST}:{port}"
    file = folder / "config.toml"
    file.write_text(
        f'[crm]\nurl = "{filled.url}"\n[web]\nhttp = "{HOST}:{port}"\ncookies = "plain"\n[log]\nlevel = "warning"\n'
    )

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=1) as client:
                return (await client.get(f"{url}/healthz")).status_code == 200
        except httpx.HTTPError:
            return False

    child = Child(
        "crm",
        [sys.executable, str(TOP / "teledom.py"), "crm", "--config", str(file)],
        log=folder / "crm.log",
        ready_s=60,
        ready=ready,
        cwd=TOP,
        env={"TELEDOM_SECRET_KEY": "only for this bench, as it is written here"},
    )
    return Server(url, child, tokens)


class BenchFailed(Exception):
    """It cannot be measured; the message says why."""


async def sign_in(client: httpx.AsyncClient, sees: Sees) -> None:
    """As a browser does. Raises BenchFailed."""
    page = await client.get("/sign-in")
    field = re.search(r'name="_csrf_token" value="([^"]+)"', page.text)
    token = field[1] if field else ""
    form = {"login": f"{LOGIN}-{sees.value}", "password": PASSWORD, "next": "/", "_csrf_token": token}
    answer = await client.post("/sign-in", data=form)
    if answer.status_code != 303:
        raise BenchFailed(f"who sees {sees.value} cannot sign in: HTTP {answer.status_code}")


@frozen
class User:
    """Somebody who asks one thing after the other."""

    client: httpx.AsyncClient
    chooser: Chooser
    rounds: int

    async def ask(self, group: Group, kind: str, path: str, *, pause_s: float = PAUSE_S) -> httpx.Response:
        at = trio.current_time()
        answer = await self.client.get(path)
        self._note(group, kind, trio.current_time() - at, answer.status_code)
        await trio.sleep(pause_s)
        return answer

    async def begin_file(self, group: Group, kind: str, path: str) -> None:
        """As far as the first bytes of a file."""
        at = trio.current_time()
        async with self.client.stream("GET", path) as answer:
            async with aclosing(answer.aiter_raw()) as pieces:  # type: ignore[type-var]  # a generator
                await anext(pieces, b"")
            self._note(group, kind, trio.current_time() - at, answer.status_code)
        await trio.sleep(PAUSE_S)

    def _note(self, group: Group, kind: str, took_s: float, status: int) -> None:
        group.add(f"{kind}@{self.chooser.sees.value}", took_s * 1000, status)

    async def open_pages(self, group: Group) -> None:
        path = self.chooser.path
        for _ in range(self.rounds):
            for name, of in LISTS.items():
                page = await self.ask(group, name, path(of))
                for _ in range(NEXT_PAGES):
                    link = _NEXT_LINK.search(page.text)
                    if page.status_code != 200 or link is None:
                        break
                    page = await self.ask(group, f"{name}_next", link[1].replace("&amp;", "&"))
            for name, of in (*RECORDS.items(), *PAGES.items()):
                await self.ask(group, name, path(of))
            for name, of in FILES.items():
                await self.begin_file(group, name, of)

    async def ask_api(self, group: Group) -> None:
        for _ in range(self.rounds):
            for name, of in LISTS.items():
                path = API + self.chooser.path(_for_programs(of))
                answer = await self.ask(group, name, path)
                for _ in range(NEXT_PAGES):
                    cursor = answer.json().get("next") if answer.status_code == 200 else None
                    if not cursor:
                        break
                    more = f"{path}{'&' if '?' in path else '?'}after={cursor}"
                    answer = await self.ask(group, f"{name}_next", more)
            for name, of in RECORDS.items():
                await self.ask(group, name, API + self.chooser.path(of))

    async def type(self, group: Group) -> None:
        for _ in range(self.rounds):
            for name, question in QUESTIONS.items():
                text, _ = question(self.chooser.fleet, self.chooser.chance)
                for part in typed(text):
                    await self.ask(group, name, SEARCH + str(httpx.QueryParams(q=part))[2:], pause_s=TYPING_S)


def _for_programs(path: str) -> str:
    """Pages say yes and no, the API true and false."""
    return re.sub(r"=(yes|no)$", lambda found: "=true" if found[1] == "yes" else "=false", path)


async def measure(filled: Filled, server: Server, args: argparse.Namespace) -> list[Group]:
    """All groups, one after the other, each by all users at once. Raises BenchFailed, httpx.HTTPError."""
    pages, api, searches = Group("page"), Group("api"), Group("search")
    chances = [random.Random(args.seed * 1000 + n) for n in range(args.users)]
    async with server.child, AsyncExitStack() as stack:
        browsers: dict[Sees, httpx.AsyncClient] = {}
        programs: dict[Sees, httpx.AsyncClient] = {}
        for sees in Sees:
            for clients, headers in (
                (browsers, {}),
                (programs, {"Authorization": f"Bearer {server.tokens[sees]}"}),
            ):
                client = httpx.AsyncClient(base_url=server.url, timeout=30, headers=headers)
                clients[sees] = await stack.enter_async_context(client)
            await sign_in(browsers[sees], sees)
        for clients, do, group in (
            (browsers, User.open_pages, pages),
            (programs, User.ask_api, api),
            (browsers, User.type, searches),
        ):

            def user(sees: Sees, chance: random.Random, rounds: int, clients: Clients = clients) -> User:
                return User(clients[sees], Chooser(filled.fleet, sees, args.seed, chance), rounds)

            for sees in Sees:
                await do(user(sees, random.Random(args.seed), 1), Group("warm-up"))
            async with trio.open_nursery() as nursery:
                for n, chance in enumerate(chances):
                    one = user(list(Sees)[n % len(Sees)], chance, args.rounds)
                    nursery.start_soon(partial(do, one, group))
            group.show()
        server.rss_mb = server.most_rss_mb()
    return [pages, api, searches]


def run(args: argparse.Namespace, folder: Path) -> int:
    """Measure and print; the exit code. Raises what main() knows."""
    size = Size(args.scale, keys=args.keys)
    place: AbstractContextManager[Filled] = (
        nullcontext(Filled(args.url, size.fleet(), 0, 0.0)) if args.url else open_fleet(folder, size)
    )
    with place as filled, open_ports() as ports:
        print(figures(rows=filled.rows, fill_s=f"{filled.fill_s:.1f}"), flush=True)
        server = start(filled, folder, ports.take(), args.seed)
        pages, api, searches = groups = trio.run(measure, filled, server, args)
        import_rows_s = measure_imports(filled.url, args.imported)
    print(
        figures(
            page_p95_ms=pages.p95_ms(),
            api_p95_ms=api.p95_ms(),
            search_p95_ms=searches.p95_ms(),
            import_rows_s=round(import_rows_s),
            rss_mb=server.rss_mb,
        ),
        flush=True,
    )
    late = [group.name for group in groups if not group.is_in_time()] if args.scale >= 1 else []
    if late:
        print(f"bench.crm: over {TARGET_MS:g} ms: {', '.join(late)}", file=sys.stderr)
    return 1 if late or any(group.wrong for group in groups) else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of an operator's fleet (default: 1; 0.001 to 2)"
    )
    parser.add_argument("--url", help="a database that bench.crm_fleet filled (default: one is filled here)")
    parser.add_argument("--keys", type=int, default=1_000_000, help="at scale 1 (default: 1000000)")
    parser.add_argument("--users", type=int, default=3, help="at once (default: 3; 1 to 20)")
    parser.add_argument("--rounds", type=int, default=3, help="by each user (default: 3; 1 to 1000)")
    parser.add_argument(
        "--imported", type=int, default=50_000, help="accounts (default: 50000; 100 to 2000000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="which records are opened (default: 1)")
    args = parser.parse_args()
    if not 0.001 <= args.scale <= 2 or not 0 < args.keys <= 4_000_000:
        parser.error("--scale takes 0.001 to 2, --keys up to 4000000")
    if not (1 <= args.users <= 20 and 1 <= args.rounds <= 1000 and 100 <= args.imported <= 2_000_000):
        parser.error("--users takes 1 to 20, --rounds 1 to 1000, --imported 100 to 2000000")
    with tempfile.TemporaryDirectory(prefix="teledom-bench-") as scratch:
        try:
            return run(args, Path(scratch))
        except (
            *(TestbedUnavailable, ProcessFailed, StoreError, BenchFailed, ImportRefused),
            *(httpx.HTTPError, psycopg.Error, OSError),
        ) as error:
            print(f"bench.crm: {error}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
