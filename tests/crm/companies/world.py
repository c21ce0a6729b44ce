"""Management companies for tests, in a real database, and a billing that is really asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from attrs import define, frozen

from config import BillingConfig
from crm.companies.billing import Billing
from crm.model import House, table
from crm.store import Store
from crm.tables.companies import Company
from testbed.billing import FakeBilling, running_billing


@frozen
class World:
    """A billing, and how it is asked."""

    fake: FakeBilling
    settings: BillingConfig
    client: Billing


@define
class SkippingClock:
    """The machine's clock, on which a pause is over at once."""

    skipped_s: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.skipped_s += seconds

    def __call__(self) -> float:
        return time.monotonic() + self.skipped_s


@contextmanager
def billing_world(deadline_s: float = 10, token: str = "") -> Iterator[World]:
    """A billing, asked with a clock on which pauses between tries take no time."""
    clock = SkippingClock()
    fake = FakeBilling(token=token)
    with running_billing(fake) as url:
        settings = BillingConfig(url=url, token=token, deadline_s=deadline_s, retry_s=30, retry_max_s=3600)
        with Billing(settings, sleep=clock.sleep, clock=clock) as client:
            yield World(fake, settings, client)


def add_company(store: Store, name: str, *houses: int, active: bool = True) -> int:
    """With these houses; its id."""
    with store.transaction() as connection:
        row = {"name": name, "inn": "7451000000", "active": active}
        id: int = connection.execute(
            sa.insert(table(Company)).values(row).returning(table(Company).c.id)
        ).scalar_one()
        for house in houses:
            connection.execute(sa.update(House).where(House.id == house).values(company_id=id))
        return id
