"""The testbed for tests on the real Asterisk and Kamailio: one tree, and one bed for the whole run.

The bed lives in a thread of its own, since a fixture of pytest-trio lasts for one test only; its files are in pytest's
temporary folder, and its pids in `bed.asterisk` and `bed.kamailio`. A test that stops or kills one of them
takes `own_bed` instead. With CI=true a testbed that can't be had is a failure, otherwise a skip.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from testbed.bed import Bed, Credentials, Kind, open_bed, write_credentials
from testbed.databases import write_town
from testbed.debs import TestbedUnavailable, Tree, get_tree
from testbed.threads import running
from testbed.town_bed import TownBed

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
    database = write_credentials(folder / "crm.db", (*PANELS, *ACCOUNTS))
    with running(open_bed(folder, tree, crm_db=database, ring_ms=RING_MS), "bed") as bed:
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
    with running(open_bed(folder, tree, crm_db=folder / "crm.db", ring_ms=RING_MS), "town") as bed:
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
