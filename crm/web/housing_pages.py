"""What houses, entrances and flats have beside what all records have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm.web import house_door_pages, house_grid_pages, new_house_pages, quality_result_pages
from crm.web.menu import Item
from crm.web.page import Extra

PAGES: list[Any] = [
    *new_house_pages.HANDLERS,
    *house_grid_pages.HANDLERS,
    *house_door_pages.HANDLERS,
]
EXTRAS: Mapping[str, Extra] = {
    "houses": Extra(panels=house_grid_pages.house_panels, shown=frozenset({"entrances"})),
    "flats": Extra(panels=house_grid_pages.flat_panels, actions=quality_result_pages.flat_actions),
    "entrances": Extra(panels=house_door_pages.entrance_panels),
}
ITEMS: tuple[Item, ...] = ()
