"""The conformance tests' Asterisks: every test runs against the simulated one, and, marked `real`, against a
real one.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from testbed.asterisk import AsteriskPlace, asterisk_child
from testbed.debs import TestbedUnavailable, get_tree
from testbed.processes import open_ports
from tests.conformance.sides import Side, real_side, simulated_side

SIDES = ["simulated", pytest.param("real", marks=pytest.mark.real)]


@pytest.fixture(scope="session")
def real_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskPlace]:
    """One real Asterisk for all tests; no Kamailio: each test's SIP peer takes its place."""
    try:
        tree = get_tree()
    except TestbedUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no real Asterisk: {error}")
    run_dir: Path = tmp_path_factory.mktemp("asterisk")
    with open_ports() as ports:
        place = AsteriskPlace(
            sip_port=ports.take(),
            http_port=ports.take(),
            rtp=ports.rtp,
            kamailio_port=ports.take(),
            ari_user="teledom",
            ari_password="testbed",
        )
        child = asterisk_child(run_dir, tree, place)
        trio.run(child.start)
        try:
            yield place
        finally:
            trio.run(child.stop)


@pytest.fixture(params=SIDES)
def place(request: pytest.FixtureRequest) -> AsteriskPlace | None:
    """The real Asterisk's, or None for the simulated one. Not async: what starts the real one runs Trio
    itself.
    """
    if request.param == "simulated":
        return None
    found: AsteriskPlace = request.getfixturevalue("real_place")
    return found


@pytest.fixture
async def side(place: AsteriskPlace | None) -> AsyncIterator[Side]:
    """An Asterisk, simulated or real, with nothing going on."""
    async with simulated_side() if place is None else real_side(place) as side:
        yield side
