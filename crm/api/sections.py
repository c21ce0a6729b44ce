"""Requests of single sections, beside those that all records have."""

from __future__ import annotations

from typing import Any

from crm.api import (
    blocks,
    calls,
    companies,
    devices,
    emergency,
    housing,
    imports,
    keys,
    live,
    panel_state,
    people,
    quality,
    search,
    staff,
)

_MODULES = (
    live,
    calls,
    emergency,
    quality,
    housing,
    people,
    companies,
    devices,
    panel_state,
    keys,
    blocks,
    imports,
    search,
    staff,
)
REQUESTS: list[Any] = [request for module in _MODULES for request in module.REQUESTS]
