"""What the size of the CRM costs a call: lookups in a database as large as an operator's, against the demo town.

Both are filled in here: the town into a small database of its own, and town and fleet together into a large one. The
fleet has panels of all three ways of dialling, gates with two houses each, and more entrances than panels, as an
operator's has. Then CPU time per lookup is measured, in turns: the town's flats in the small database, the same flats
in the large one, and random flats with residents of random panels. Nothing is answered from memory of ours. In a
database given by --url the town is measured before the fleet goes in.

The last line: rows= fill_s= town_lookup_ms= fleet_lookup_ms= ratio= p99_ms=  (CPU; p99_ms is the fleet's, by the wall
clock). Exit code 0: measured; 2: it could not be.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from attrs import Factory, define, frozen

from bench.fleet_rows import Fleet
from bench.report import figures, percentile
from crm.directory.directory import find
from crm.model import Base, City, table
from crm.store import Store, StoreError, upgrade
from crm.town.town import fill

CHUNK = 20_000  # rows in one transaction
ROUNDS = 10

Dial = tuple[str, str]


class FleetFailed(Exception):
    """It cannot be measured; the message says why."""


@define
class Measured:
    """CPU seconds and wall-clock times of lookups in one database."""

    lookups: int = 0
    cpu_s: float = 0.0
    wall_ms: list[float] = Factory(list)

    @property
    def cpu_ms(self) -> float:
        return self.cpu_s * 1000 / self.lookups if self.lookups else 0.0


@frozen
class Filled:
    """A large database, filled."""

    rows: int
    fill_s: float


def fill_fleet(store: Store, fleet: Fleet, limit_s: float) -> Filled:
    """Bulk inserts with progress. Raises StoreError, and FleetFailed when it takes longer than `limit_s`."""
    began = time.monotonic()
    total = 0
    for kind, rows in fleet.tables():
        statement = sa.insert(table(kind))
        count = 0
        for chunk in _chunks(rows):
            with store.transaction() as connection:
                connection.execute(statement, chunk)
            count += len(chunk)
            took = time.monotonic() - began
            if took > limit_s:
                raise FleetFailed(f"filling is not over after {limit_s:g} s: see --limit, or ask for less")
            if count % (25 * CHUNK) == 0:
                print(f"  {kind.__tablename__}: {count:,} rows, {took:.0f} s so far", flush=True)
        total += count
        print(f"  {kind.__tablename__}: {count:,} rows", flush=True)
    if not store.is_sqlite:
        with store.transaction() as connection:
            connection.execute(sa.text("ANALYZE"))  # as autovacuum does before long
    return Filled(total, time.monotonic() - began)


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def look_up(store: Store, dials: Sequence[Dial], into: Measured, *, must_ring: bool) -> None:
    """Look each up, as the directory's worker thread does. Raises FleetFailed when one is not found."""
    with store.reading() as connection:
        now = time.time()
        cpu = time.process_time()
        for sip_user, dialled in dials:
            at = time.perf_counter()
            lookup = find(connection, sip_user, dialled, now)
            into.wall_ms.append((time.perf_counter() - at) * 1000)
            if lookup.flat is None or (must_ring and not lookup.flat.accounts):
                raise FleetFailed(f"panel {sip_user} dialled {dialled}: no flat with residents was found")
        into.cpu_s += time.process_time() - cpu
        into.lookups += len(dials)


def measure(args: argparse.Namespace, small: Store | None, large: Store, fleet: Fleet) -> None:
    """Fill in, measure, print. Without a `small` database the town is measured in the large one, before the fleet."""
    town = fill(large)
    chance = random.Random(args.seed)
    in_town: list[Dial] = [(panel.sip_user, dialled) for panel in town.panels for dialled in panel.dials]
    some = max(1, args.lookups // ROUNDS)
    if small is not None:
        fill(small)
    look_up(small or large, in_town, Measured(), must_ring=False)  # compiles statements, and is not counted
    in_small, in_large, in_fleet = Measured(), Measured(), Measured()
    if small is None:
        for _ in range(ROUNDS):
            look_up(large, chance.choices(in_town, k=some), in_small, must_ring=False)
    filled = fill_fleet(large, fleet, args.limit)
    print(f"{filled.rows:,} rows in {filled.fill_s:.1f} s", flush=True)
    look_up(large, in_town, Measured(), must_ring=False)
    for _ in range(ROUNDS):
        if small is not None:
            look_up(small, chance.choices(in_town, k=some), in_small, must_ring=False)
        look_up(large, chance.choices(in_town, k=some), in_large, must_ring=False)
        look_up(large, [fleet.dial(chance) for _ in range(some)], in_fleet, must_ring=True)
    print(
        figures(
            lookups=in_fleet.lookups,
            town_in_fleet_ms=f"{in_large.cpu_ms:.3f}",
            town_in_fleet_ratio=in_large.cpu_ms / in_small.cpu_ms,
            town_p99_ms=f"{percentile(in_small.wall_ms, 0.99):.3f}",
            p50_ms=f"{percentile(in_fleet.wall_ms, 0.5):.3f}",
            max_ms=f"{max(in_fleet.wall_ms):.3f}",
        )
    )
    print(
        figures(
            rows=filled.rows,
            fill_s=filled.fill_s,
            town_lookup_ms=f"{in_small.cpu_ms:.3f}",
            fleet_lookup_ms=f"{in_fleet.cpu_ms:.3f}",
            ratio=in_fleet.cpu_ms / in_small.cpu_ms,
            p99_ms=f"{percentile(in_fleet.wall_ms, 0.99):.3f}",
        ),
        flush=True,
    )


def open_empty(url: str) -> Store:
    """The database at `url`, brought to our schema. Raises StoreError, FleetFailed: somebody's data is in it."""
    upgrade(url)
    store = Store(url)
    with store.reading() as connection:
        if connection.execute(sa.select(City.id).limit(1)).first() is not None:
            raise FleetFailed(f"database {store.shown} is not empty: name one that may be filled and emptied")
    return store


def emptying(store: Store) -> Callable[[], None]:
    """What takes our rows out of a database again."""

    def empty() -> None:
        with store.transaction() as connection:
            for each in reversed(Base.metadata.sorted_tables):
                connection.execute(
                    sa.delete(each) if store.is_sqlite else sa.text(f"TRUNCATE {each} CASCADE")
                )
        store.close()

    return empty


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--panels", type=int, default=22_000, help="default: 22000; 20 to 50000")
    parser.add_argument("--flats", type=int, default=2_000_000, help="default: 2000000; 1000 to 4000000")
    parser.add_argument("--accounts", type=int, default=730_000, help="default: 730000; 10 to 2000000")
    parser.add_argument(
        "--lookups", type=int, default=4000, help="of each kind (default: 4000; 10 to 100000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="which random flats are called (default: 1)")
    parser.add_argument("--limit", type=float, default=900, help="most seconds to fill in (default: 900)")
    parser.add_argument(
        "--url", help="an empty database to fill, and to empty at the end (default: a SQLite file in /tmp)"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="leave the databases; SQLite files are made here")
    args = parser.parse_args()
    if not (
        20 <= args.panels <= 50_000 and 1000 <= args.flats <= 4_000_000 and 10 <= args.accounts <= 2_000_000
    ):
        parser.error("--panels takes 20 to 50000, --flats 1000 to 4000000, --accounts 10 to 2000000")
    if not (10 <= args.lookups <= 100_000 and 0 < args.limit <= 7200):
        parser.error("--lookups takes 10 to 100000, --limit up to 7200 s")
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="teledom-bench-"))
        folder = Path(args.keep or scratch).absolute()
        try:
            fleet = Fleet(args.panels, args.flats, args.accounts)
            folder.mkdir(parents=True, exist_ok=True)
            small = None if args.url else stack.enter_context(open_empty(f"sqlite:///{folder}/town.db"))
            large = stack.enter_context(open_empty(args.url or f"sqlite:///{folder}/fleet.db"))
            if args.url and not args.keep:
                stack.callback(emptying(large))
            measure(args, small, large, fleet)
        except (StoreError, FleetFailed, ValueError, OSError) as error:
            print(f"bench.fleet: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
