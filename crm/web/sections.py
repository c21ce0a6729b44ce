"""What each section adds to the pages that all records have: pages of its own, parts of records' pages, the menu."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm.sections import all_resources
from crm.web import (
    api_pages,
    block_pages,
    board_pages,
    call_pages,
    change_pages,
    company_pages,
    device_pages,
    group_pages,
    housing_pages,
    import_pages,
    key_pages,
    panel_state_pages,
    people_pages,
    profile_pages,
    quality_pages,
    search_pages,
    sos_pages,
    staff_pages,
    token_pages,
)
from crm.web.menu import Item, Section
from crm.web.page import Extra

_MODULES = (
    board_pages,
    call_pages,
    sos_pages,
    quality_pages,
    housing_pages,
    people_pages,
    company_pages,
    device_pages,
    panel_state_pages,
    key_pages,
    block_pages,
    import_pages,
    staff_pages,
    group_pages,
    token_pages,
    api_pages,
    change_pages,
    search_pages,
    profile_pages,
)
# The sections in the order of the menu; "" stands by itself.
ORDER = (
    "",
    "Calls",
    "112",
    "Quality",
    "Housing stock",
    "Users",
    "Companies",
    "Devices",
    "Keys",
    "Blocks",
    "Staff",
)
PAGES: list[Any] = [page for module in _MODULES for page in module.PAGES]
EXTRAS: Mapping[str, Extra] = {name: extra for module in _MODULES for name, extra in module.EXTRAS.items()}


def menu() -> tuple[Section, ...]:
    """Each section with its own pages and its lists."""
    sections: dict[str, list[Item]] = {label: [] for label in ORDER}
    for module in _MODULES:
        for item in module.ITEMS:
            sections.setdefault(item.section, []).append(item)
    for each in all_resources().values():
        if each.in_menu:
            item = Item(each.label, f"/{each.name}", each.view, each.icon, each.section)
            sections.setdefault(each.section, []).append(item)
    return tuple(Section(label, tuple(items)) for label, items in sections.items())
