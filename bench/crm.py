"""What the CRM's pages, API, search and imports take with an operator's fleet on a real PostgreSQL.

A server of its own is filled by bench.crm_fleet, and the real program (`teledom crm`) is started on it. An administrator
signs in, and `--users` at once open pages, go on to the next ones, and look at records, as people do; programs with a
token do the same by the API; people type into the search. Then accounts are imported from a file.

Each line says its figures by kind of page; those under "slow" need 100 ms and more at the 95th percentile. The last line:
page_p95_ms= api_p95_ms= search_p95_ms= import_rows_s= rss_mb= (of the server's process, the most). Exit code 0: every
request was answered well; 1: not so; 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import httpx
import psycopg
import trio
from attrs import Factory, define, frozen

from bench.crm_fleet import Filled, Size, open_fleet
from bench.crm_imports import ImportRefused, measure_imports
from bench.crm_rows import CrmFleet
from bench.crm_search import QUESTIONS, typed
from bench.fleet_rows import FIRST_ID
from bench.report import figures, percentile
from crm.passwords import Passwords
from crm.rights import Right
from crm.staff import create_admin
from crm.store import Store, StoreError
from crm.tokens import create_token
from crm.who import SYSTEM
from testbed.debs import TestbedUnavailable
from testbed.processes import HOST, Child, ProcessFailed, open_ports

TOP = Path(__file__).resolve().parent.parent
LOGIN, PASSWORD = f"bench-{uuid.uuid4().hex[:8]}", "only for this bench 7351"
API = "/api/v1"
SLOW_MS = 100.0
PAUSE_S = 0.03  # between two requests of a user: the API answers 200 a second from one address
DAY_S = 86_400.0

Chooses = Callable[[CrmFleet, random.Random], str]


def _one(path: str, count: Callable[[CrmFleet], int], after: str = "") -> Chooses:
    return lambda fleet, chance: f"{path}/{FIRST_ID + chance.randrange(count(fleet))}{after}"


# What is opened, by its name: a path with ids by chance. "next" follows a list's link to its next page, three times.
LISTS: Mapping[str, str] = {
    "houses": "/houses",
    "houses_of_a_street": "/houses?street_id={street_id}",
    "flats": "/flats",
    "entrances": "/entrances",
    "domophones": "/domophones",
    "accounts": "/accounts",
    "accounts_by_user": "/accounts?sip_user={account}",
    "residents": "/residents",
    "residents_by_name": "/residents?name={family}",
    "companies": "/companies",
    "keys": "/keys",
    "calls": "/calls",
    "calls_of_a_panel": "/calls?panel={panel}",
    "blocks": "/blocks",
}
RECORDS: Mapping[str, Chooses] = {
    "house": _one("/houses", lambda fleet: fleet.houses),
    "flat": _one("/flats", lambda fleet: fleet.flats),
    "entrance": _one("/entrances", lambda fleet: fleet.entrances),
    "domophone": _one("/domophones", lambda fleet: fleet.panels),
    "account": _one("/accounts", lambda fleet: fleet.accounts),
    "resident": lambda fleet, chance: (
        f"/residents/{FIRST_ID + fleet.resident(chance.randrange(fleet.accounts))}"
    ),
    "company": _one("/companies", lambda fleet: fleet.companies),
    "key": _one("/keys", lambda fleet: fleet.keys),
    "call": lambda fleet, chance: f"/calls/{fleet.call_id(chance.randrange(fleet.calls))}",
}
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
        slow = [kind for kind, times in self.took_ms.items() if percentile(times, 0.95) >= SLOW_MS]
        print(f"  slow: {self.name}: {', '.join(slow) or 'none'}", flush=True)


@define
class Server:
    """The program under test."""

    url: str
    child: Child
    token: str
    rss_mb: float = 0.0

    def most_rss_mb(self) -> float:
        """The most memory that it has had."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0


def start(filled: Filled, folder: Path, port: int) -> Server:
    """The server's process, to be entered; the administrator and the token are made. Raises StoreError."""
    now = time.time()
    with Store(filled.url) as store:
        create_admin(store, Passwords(), LOGIN, "Bench", PASSWORD, now)
        token = create_token(store, SYSTEM, "bench", list(Right), None, now + DAY_S, now).secret
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
        ready=ready,
        cwd=TOP,
        env={"TELEDOM_SECRET_KEY": "only for this bench, as it is written here"},
    )
    return Server(url, child, token)


class BenchFailed(Exception):
    """It cannot be measured; the message says why."""


async def sign_in(client: httpx.AsyncClient) -> None:
    """As a browser does. Raises BenchFailed."""
    page = await client.get("/sign-in")
    field = re.search(r'name="_csrf_token" value="([^"]+)"', page.text)
    form = {"login": LOGIN, "password": PASSWORD, "next": "/", "_csrf_token": field[1] if field else ""}
    answer = await client.post("/sign-in", data=form)
    if answer.status_code != 303:
        raise BenchFailed(f"the administrator cannot sign in: HTTP {answer.status_code}")


@frozen
class User:
    """Somebody who asks one thing after the other."""

    client: httpx.AsyncClient
    fleet: CrmFleet
    chance: random.Random
    rounds: int

    async def ask(self, group: Group, kind: str, path: str) -> httpx.Response:
        at = trio.current_time()
        answer = await self.client.get(path)
        group.add(kind, (trio.current_time() - at) * 1000, answer.status_code)
        await trio.sleep(PAUSE_S)
        return answer

    def _filled_in(self, path: str) -> str:
        fleet, chance = self.fleet, self.chance
        person = fleet.name(fleet.resident(chance.randrange(fleet.accounts)))
        return path.format(
            street_id=FIRST_ID + chance.randrange(100),
            account=f"8{chance.randrange(fleet.accounts):09}",
            family=person.split()[0],
            panel=f"9{chance.randrange(fleet.panels):06}",
        )

    async def open_pages(self, group: Group) -> None:
        for _ in range(self.rounds):
            for name, path in LISTS.items():
                page = await self.ask(group, name, self._filled_in(path))
                for _ in range(3):
                    link = _NEXT_LINK.search(page.text)
                    if page.status_code != 200 or link is None:
                        break
                    page = await self.ask(group, f"{name}_next", link[1].replace("&amp;", "&"))
            for name, choose in RECORDS.items():
                await self.ask(group, name, choose(self.fleet, self.chance))

    async def ask_api(self, group: Group) -> None:
        for _ in range(self.rounds):
            for name, path in LISTS.items():
                path = API + self._filled_in(path)
                answer = await self.ask(group, name, path)
                for _ in range(3):
                    cursor = answer.json().get("next") if answer.status_code == 200 else None
                    if not cursor:
                        break
                    more = f"{path}{'&' if '?' in path else '?'}after={cursor}"
                    answer = await self.ask(group, f"{name}_next", more)
            for name, choose in RECORDS.items():
                await self.ask(group, name, API + choose(self.fleet, self.chance))

    async def type(self, group: Group) -> None:
        for _ in range(self.rounds):
            for name, question in QUESTIONS.items():
                text, _ = question(self.fleet, self.chance)
                for part in typed(text):
                    await self.ask(group, name, SEARCH + str(httpx.QueryParams(q=part))[2:])


async def measure(filled: Filled, server: Server, args: argparse.Namespace) -> list[Group]:
    """All groups, one after the other, each by all users at once. Raises BenchFailed, httpx.HTTPError."""
    pages, api, searches = Group("page"), Group("api"), Group("search")
    chances = [random.Random(args.seed * 1000 + n) for n in range(args.users)]
    async with server.child:
        limits = httpx.Limits(max_connections=args.users, max_keepalive_connections=args.users)
        async with (
            httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as browser,
            httpx.AsyncClient(
                base_url=server.url,
                timeout=30,
                limits=limits,
                headers={"Authorization": f"Bearer {server.token}"},
            ) as program,
        ):
            await sign_in(browser)
            for client, do, group in (
                (browser, User.open_pages, pages),
                (program, User.ask_api, api),
                (browser, User.type, searches),
            ):
                warm = User(client, filled.fleet, random.Random(args.seed), 1)
                await do(warm, Group("warm-up"))
                async with trio.open_nursery() as nursery:
                    for chance in chances:
                        user = User(client, filled.fleet, chance, args.rounds)
                        nursery.start_soon(partial(do, user, group))
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
        server = start(filled, folder, ports.take())
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
    return 1 if any(group.wrong for group in groups) else 0


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
    parser.add_argument("--users", type=int, default=4, help="at once (default: 4; 1 to 20)")
    parser.add_argument("--rounds", type=int, default=10, help="by each user (default: 10; 1 to 1000)")
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
