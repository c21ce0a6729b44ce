"""What the sections of the CRM add to the demo town, in this order; each once, and a second time it changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from crm.search.index import reindex_all
from crm.store import Store
from crm.town.companies import fill_companies
from crm.town.devices import fill_devices
from crm.town.keys import fill_keys
from crm.town.people import fill_people

FILLS: tuple[Callable[[Store], None], ...] = (fill_people, fill_companies, fill_devices, fill_keys)


def fill_more(store: Store) -> None:
    """Raises StoreError."""
    for fill in FILLS:
        fill(store)
    reindex_all(store)
