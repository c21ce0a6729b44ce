"""The search over everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm.web.menu import Item
from crm.web.page import Extra

PAGES: list[Any] = []
EXTRAS: Mapping[str, Extra] = {}
ITEMS: tuple[Item, ...] = ()
