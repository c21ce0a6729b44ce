"""PostgreSQL is started out of the testbed's packages, taken away, given back, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
import trio

from crm.model import City, table
from crm.store import DatabaseAway, Store, upgrade
from testbed.debs import Tree
from testbed.postgres import Postgres, open_postgres
from testbed.processes import ProcessFailed
from testbed.threads import running

pytestmark = [pytest.mark.real, pytest.mark.database]


def family(postgres: Postgres) -> set[int]:
    """The server's first process and those that it started."""
    pid = postgres.child.pid
    return {pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())}


def alive(pids: set[int]) -> set[int]:
    left = set()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX":  # ended, and not yet asked after
                left.add(pid)
    return left


def count_cities(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table(City))).scalar_one())


def add_city(store: Store, name: str) -> None:
    with store.transaction() as connection:
        connection.execute(sa.insert(table(City)), {"region": "", "name": name, "time_zone": "UTC"})


@contextmanager
def busy_client(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """A client whose question the server is at work on."""
    with closing(psycopg.connect(postgres.url)) as client:
        client.pgconn.send_query(b"SELECT pg_sleep(60)")
        client.pgconn.flush()
        yield client


async def test_what_was_committed_is_there_after_a_crash(tmp_path: Path, tree: Tree) -> None:
    async with open_postgres(tmp_path, tree) as postgres:
        await trio.to_thread.run_sync(upgrade, postgres.url)
        with Store(postgres.url) as store:
            add_city(store, "Копейск")

            await postgres.child.kill()
            with pytest.raises(DatabaseAway, match="see that the server runs"):
                count_cities(store)
            await postgres.child.start()

            assert count_cities(store) == 1


async def test_a_server_that_was_killed_at_work_starts_again_at_once(tmp_path: Path, tree: Tree) -> None:
    async with open_postgres(tmp_path, tree) as postgres:
        with busy_client(postgres):
            before = family(postgres)
            await postgres.child.kill()
            assert alive(before) == set()
            await postgres.child.start()

        assert postgres.child.running


async def test_its_end_waits_for_no_client_and_leaves_no_process(tmp_path: Path, tree: Tree) -> None:
    async with open_postgres(tmp_path, tree) as postgres:
        with busy_client(postgres):
            before = family(postgres)
            assert len(alive(before)) > 1
            began = time.monotonic()
            await postgres.child.stop()

        assert time.monotonic() - began < postgres.child.stop_s
        assert await postgres.child.wait() == 0
        await postgres.child.start()
        before |= family(postgres)

    assert alive(before) == set()


async def test_over_tcp_there_is_our_role_alone(tmp_path: Path, tree: Tree) -> None:
    async with open_postgres(tmp_path, tree, settings={"work_mem": "1234kB"}) as postgres:
        with closing(psycopg.connect(postgres.url)) as client:
            assert client.execute("SHOW is_superuser").fetchone() == ("off",)
            assert client.execute("SHOW work_mem").fetchone() == ("1234kB",)
            assert client.execute("SELECT lower('КОПЕЙСК')").fetchone() == ("копейск",)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                client.execute("COPY (SELECT 1) TO PROGRAM 'true'")

        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(postgres.url, user="postgres")


def test_it_runs_without_trio_as_well(tmp_path: Path, tree: Tree) -> None:
    with running(open_postgres(tmp_path, tree), "postgres") as postgres:
        with closing(psycopg.connect(postgres.url)) as client:
            assert client.execute("SELECT 1").fetchone() == (1,)
        before = family(postgres)

    assert alive(before) == set()


def test_it_does_not_outlive_a_parent_that_is_killed(tmp_path: Path, tree: Tree) -> None:
    script = (
        "import pathlib, trio\nfrom testbed.debs import Tree\nfrom testbed.postgres import open_postgres\n"
        "async def main():\n"
        f"    tree = Tree(pathlib.Path({str(tree.root)!r}))\n"
        f"    async with open_postgres(pathlib.Path({str(tmp_path)!r}), tree) as postgres:\n"
        "        print(postgres.child.pid, flush=True)\n        await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        watched = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()

    try:
        trio.run(_ended, watched)
    finally:
        os.close(watched)


async def _ended(descriptor: int) -> None:
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(descriptor)


def test_one_that_cannot_be_made_says_why(tmp_path: Path, tree: Tree) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "something").touch()

    with pytest.raises(ProcessFailed, match=r"(?s)exit code 1.*exists but is not empty"):
        with running(open_postgres(tmp_path, tree), "postgres"):
            pass
