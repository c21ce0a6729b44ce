"""The testbed for tests on the real Asterisk and Kamailio: one tree, and one bed for the whole run.

The bed lives in a thread with a Trio of its own, since a fixture of pytest-trio lasts for one test only; its files are
in pytest's temporary folder, and its pids in `bed.asterisk` and `bed.kamailio`. A test that stops or kills one of them
takes `own_bed` instead. With CI=true a testbed that can't be had is a failure, otherwise a skip.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from testbed.bed import Bed, Credentials, Kind, open_bed, write_credentials
from testbed.debs import TestbedUnavailable, Tree, get_tree
from testbed.town_bed import TownBed, write_town

PANELS = tuple(Credentials(f"panel{n}", f"secret-p{n}", Kind.PANEL) for n in range(1, 5))
ACCOUNTS = tuple(Credentials(f"account{n}", f"secret-a{n}", Kind.ACCOUNT) for n in range(1, 17))
RING_MS = 5000  # how long Kamailio keeps a call to a phone, here


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def tree() -> Tree:
    """The unpacked packages: fetched at the first use on a machine."""
    try:
        return get_tree()
    except TestbedUnavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the testbed is not to be had: {error}", pytrace=False)
        pytest.skip(f"the testbed is not to be had: {error}")


@pytest.fixture(scope="session")
def bed(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Kamailio and Asterisk, shared by all tests: leave them as you found them."""
    folder = tmp_path_factory.mktemp("bed")
    with running_bed(folder, tree, write_credentials(folder / "crm.db", (*PANELS, *ACCOUNTS))) as bed:
        yield bed


@pytest.fixture
async def own_bed(tree: Tree, tmp_path: Path) -> AsyncIterator[Bed]:
    """Kamailio and Asterisk for one test, which may kill them."""
    database = write_credentials(tmp_path / "crm.db", (*PANELS, *ACCOUNTS))
    async with open_bed(tmp_path, tree, crm_db=database, ring_ms=RING_MS) as bed:
        yield bed


@pytest.fixture(scope="session")
def _shared_place(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TownBed]:
    folder = tmp_path_factory.mktemp("town")
    town = write_town(folder / "crm.db")
    with running_bed(folder, tree, folder / "crm.db") as bed:
        yield TownBed(bed, town, folder / "crm.db")


@pytest.fixture
async def place(_shared_place: TownBed) -> AsyncIterator[TownBed]:
    """Kamailio and Asterisk with the demo town, shared by all tests; after each, Asterisk has nothing left."""
    yield _shared_place
    await _shared_place.nothing_left()


@pytest.fixture
async def own_place(tree: Tree, tmp_path: Path) -> AsyncIterator[TownBed]:
    """The same for one test, which may kill or change them."""
    town = write_town(tmp_path / "crm.db")
    async with open_bed(tmp_path, tree, crm_db=tmp_path / "crm.db", ring_ms=RING_MS) as bed:
        yield TownBed(bed, town, tmp_path / "crm.db")


class running_bed:
    """A bed in a thread of its own, as a plain context manager. Raises what starting it raised."""

    def __init__(self, folder: Path, tree: Tree, database: Path) -> None:
        self._arguments = folder, tree, database
        self._started = threading.Event()
        self._bed: Bed | None = None
        self._error: BaseException | None = None
        self._stop = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = threading.Thread(target=self._run, name="bed", daemon=True)

    def __enter__(self) -> Bed:
        self._thread.start()
        self._started.wait()
        if self._bed is None:
            raise self._error or RuntimeError("the bed ended before it was ready")
        return self._bed

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            self._token.run_sync_soon(self._stop.set)
        self._thread.join(20)

    def _run(self) -> None:
        try:
            trio.run(self._live)
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _live(self) -> None:
        folder, tree, database = self._arguments
        self._token = trio.lowlevel.current_trio_token()
        async with open_bed(folder, tree, crm_db=database, ring_ms=RING_MS) as self._bed:
            self._started.set()
            await self._stop.wait()
