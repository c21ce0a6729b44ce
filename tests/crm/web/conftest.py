"""The application over an empty database of either kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm.store import Store
from tests.crm.web.site import TestSite, open_site


@pytest.fixture
def site(store: Store) -> Iterator[TestSite]:
    with open_site(store) as site:
        yield site
