"""112 for tests of pages and the API: a city with a dispatch, two houses with a panel each, and leases of their calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from config import Config, DispatchConfig
from crm.sos.leases import add_numbers, commit, load_pool
from crm.store import Store
from crm.values.sos import Lease, Why
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite, open_site

CITY = "c-1"  # that of Houses
NUMBERS = [f"+7351200000{n}" for n in range(1, 5)]
SETTINGS = Config(dispatch={"chel": DispatchConfig(fias=CITY, trunks=("trunk-1",), test_number="7001")})


@frozen
class SosWorld:
    """Panel p1 of house `mine` had the first number and its call goes on; p2 of `other` is guaranteed the second."""

    site: TestSite
    mine: int
    other: int
    now: float


@contextmanager
def sos_world(store: Store) -> Iterator[SosWorld]:
    houses = Houses(store)
    mine, other = houses.house("1"), houses.house("2")
    houses.panel("p1", houses.entrance("п. 1", mine))
    houses.panel("p2", houses.entrance("п. 1", other))
    now = time.time()
    add_numbers(store, CITY, NUMBERS)
    one = Lease("call-1", CITY, NUMBERS[0], "p1", "000000000001", "call-1", "node1", Why.FREE, now - 60)
    two = Lease(
        *("call-2", CITY, NUMBERS[1], "p2", "000000000002", "call-2", "node1", Why.FREE),
        *(now - 600, now - 500, now + 1300),
    )
    commit(store, CITY, load_pool(store, CITY).version, [one, two])
    with open_site(store, settings=SETTINGS) as site:
        yield SosWorld(site, mine, other, now)
