"""Management companies for tests, in a real database, and a billing that is really asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from attrs import frozen

from config import BillingConfig
from crm.billing import Billing
from crm.company_model import Company
from crm.model import House, table
from crm.store import Store
from testbed.billing import FakeBilling, running_billing


@frozen
class World:
    """A billing, and how it is asked."""

    fake: FakeBilling
    settings: BillingConfig
    client: Billing


@contextmanager
def billing_world(deadline_s: float = 0.5, token: str = "") -> Iterator[World]:
    """Tries within `deadline_s` are made one after the other, without a pause."""
    fake = FakeBilling(token=token)
    with running_billing(fake) as url:
        settings = BillingConfig(url=url, token=token, deadline_s=deadline_s, retry_s=30, retry_max_s=3600)
        with Billing(settings, sleep=lambda _: None) as client:
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
