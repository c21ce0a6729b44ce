"""The CRM's fleet in a real PostgreSQL: as many houses, flats, people, keys and calls as an operator has.

Rows come from bench.crm_rows, straight into COPY. Indexes and constraints are taken away before and made anew behind
the last row, which is many times as fast; what comes out is the schema of the migrations. A `Size` of scale 1 has
22,000 panels, 60,000 entrances, 2,000,000 flats, 730,000 accounts, 400 companies, 1,000,000 keys and 500,000 calls.

`python -m bench.crm_fleet --scale 0.1` fills one in a folder of its own, and leaves it running until Enter.
The last line: rows= fill_s= rows_s= database_mb=. Exit code 0: filled; 2: it could not be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import chain, islice
from pathlib import Path

import psycopg
import sqlalchemy as sa
from attrs import frozen

from bench.crm_rows import CrmFleet
from bench.fleet_rows import Row
from bench.report import figures
from crm.store import StoreError, upgrade
from testbed.debs import TestbedUnavailable, get_tree
from testbed.postgres import open_postgres
from testbed.processes import ProcessFailed
from testbed.threads import running

LINES = 5000  # rows in one write to COPY
BUILT_IN = ("block_kinds", "alembic_version")  # filled by the migrations
# What one sets on a server of its own with 8 GB; nothing of it changes what is safe but the two of loading.
SERVER = {
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "512MB",
    "random_page_cost": "1.1",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_parallel_workers_per_gather": "0",  # two cores are for several users
    "jit": "off",
}


@frozen
class Size:
    """A fleet of this scale: 1 is an operator's."""

    scale: float = 1.0
    keys: int = 1_000_000
    calls: int = 500_000
    changes: int = 200_000

    def fleet(self) -> CrmFleet:
        return CrmFleet(
            self._of(22_000, 20),
            self._of(2_000_000, 1000),
            self._of(730_000, 50),
            companies=self._of(400, 4),
            keys=self._of(self.keys, 50),
            calls=self._of(self.calls, 50),
            changes=self._of(self.changes, 50),
        )

    def _of(self, count: int, least: int) -> int:
        return max(least, round(count * self.scale))


@frozen
class Filled:
    """A database with a fleet in it."""

    url: str
    fleet: CrmFleet
    rows: int
    fill_s: float


@contextmanager
def open_fleet(folder: Path, size: Size, *, tell: bool = True) -> Iterator[Filled]:
    """A server of its own with this fleet, until left. Raises TestbedUnavailable, ProcessFailed, StoreError."""
    with running(open_postgres(folder, get_tree(), settings=SERVER), "postgres") as postgres:
        upgrade(postgres.url)
        yield fill(postgres.url, size.fleet(), tell=tell)


def fill(url: str, fleet: CrmFleet, *, tell: bool = False) -> Filled:
    """Put `fleet` into the empty database at `url`, as the owner of its tables."""
    began = time.monotonic()
    total = 0
    with psycopg.connect(url, options="-c synchronous_commit=off") as connection:
        for statement in (taken := _Taken(connection)).away:
            connection.execute(statement)
        for model, rows in fleet.tables():
            count = _copy(connection, model.__tablename__, model.__table__, rows)
            total += count
            if tell:
                print(
                    f"  {model.__tablename__}: {count:,} rows, {time.monotonic() - began:.0f} s", flush=True
                )
        for statement in taken.back:
            connection.execute(statement)
        _count_on(connection)
        connection.commit()
        if tell:
            print(f"  indexes: {time.monotonic() - began:.0f} s", flush=True)
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE, FREEZE)")
    return Filled(url, fleet, total, time.monotonic() - began)


class _Taken:
    """The statements that take constraints and indexes away, and those that bring them back."""

    def __init__(self, connection: psycopg.Connection) -> None:
        constraints = connection.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype::text FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'p', 'u')"
        ).fetchall()
        constraints = [row for row in constraints if row[0] not in BUILT_IN or row[3] == "f"]
        # Foreign keys go first and come last: they hang on the others.
        ordered = sorted(constraints, key=lambda row: row[3] != "f")
        names = {row[1] for row in constraints}
        indexes = connection.execute(
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        ).fetchall()
        indexes = [row for row in indexes if row[1] not in names and row[0] not in BUILT_IN]
        drop = [f'ALTER TABLE {table} DROP CONSTRAINT "{name}"' for table, name, *_ in ordered]
        make = [f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {text}' for table, name, text, _ in ordered]
        self.away = [*drop, *(f'DROP INDEX "{name}"' for _, name, _ in indexes)]
        self.back = [*(text for _, _, text in indexes), *reversed(make)]


def _copy(connection: psycopg.Connection, name: str, table: sa.FromClause, rows: Iterator[Row]) -> int:
    first = next(rows, None)
    if first is None:
        return 0
    columns = {column.name: _text(column, first) for column in table.columns}
    if "id" in columns and "id" not in first:
        del columns["id"]  # the database counts
    enums = [key for key, value in first.items() if isinstance(value, Enum)]
    line = "\t".join(columns.values()) + "\n"
    listed = ", ".join(f'"{column}"' for column in columns)
    count = 0
    every = chain([first], rows)
    with connection.cursor().copy(f"COPY \"{name}\" ({listed}) FROM STDIN (NULL 'None')") as copy:
        while some := list(islice(every, LINES)):
            for row in some if enums else ():
                for key in enums:
                    value = row[key]
                    row[key] = value.value if value is not None else None
            copy.write("".join([line % row for row in some]))
            count += len(some)
    return count


def _text(column: sa.ColumnElement[object], row: Row) -> str:
    """How COPY is told a column: the row's value, or else its default. Neither tabs nor backslashes are in any."""
    assert isinstance(column, sa.Column)
    if column.name in row:
        return f"%({column.name})s"
    default = column.default.arg if isinstance(column.default, sa.ColumnDefault) else None
    return str(default.value if isinstance(default, Enum) else default)


def _count_on(connection: psycopg.Connection) -> None:
    """New rows get ids behind those that are there."""
    owned = connection.execute(
        "SELECT s.oid::regclass::text, t.oid::regclass::text, a.attname FROM pg_class s"
        " JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i') AND d.classid = 'pg_class'::regclass"
        " JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid"
        " WHERE s.relkind = 'S'"
    ).fetchall()
    for sequence, table, column in owned:
        connection.execute(f"SELECT setval('{sequence}', (SELECT max({column}) FROM {table}))")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crm_fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of an operator's fleet (default: 1; 0.001 to 2)"
    )
    parser.add_argument("--keys", type=int, default=1_000_000, help="at scale 1 (default: 1000000)")
    parser.add_argument("--folder", help="for the server's files (default: a temporary one)")
    args = parser.parse_args()
    if not 0.001 <= args.scale <= 2 or not 0 < args.keys <= 4_000_000:
        parser.error("--scale takes 0.001 to 2, --keys up to 4000000")
    with tempfile.TemporaryDirectory(prefix="teledom-bench-") as scratch:
        folder = Path(args.folder or scratch)
        try:
            with open_fleet(folder, Size(args.scale, keys=args.keys)) as filled:
                with psycopg.connect(filled.url) as connection:
                    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
                megabytes = round(row[0] / 1e6) if row else 0
                print(f"database: {filled.url}")
                print(
                    figures(
                        rows=filled.rows,
                        fill_s=f"{filled.fill_s:.1f}",
                        rows_s=round(filled.rows / filled.fill_s),
                        database_mb=megabytes,
                    ),
                    flush=True,
                )
                if sys.stdin.isatty():
                    input("Enter ends the server ")
        except (TestbedUnavailable, ProcessFailed, StoreError, psycopg.Error, OSError) as error:
            print(f"bench.crm_fleet: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
