"""The sections of the CRM, each as descriptions of its records (crm.desk.resource): all that there is, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from crm.desk.resource import Resource
from crm.sections import (
    accounts,
    blocks,
    calls,
    companies,
    devices,
    emergency,
    flats,
    housing,
    imports,
    keys,
    people,
    quality,
    relays,
    staff,
)

_MODULES = (
    calls,
    emergency,
    quality,
    housing,
    flats,
    people,
    accounts,
    companies,
    devices,
    relays,
    keys,
    blocks,
    imports,
    staff,
)


@cache
def all_resources() -> Mapping[str, Resource]:
    """Every kind of record, by its name in addresses."""
    return MappingProxyType({each.name: each for module in _MODULES for each in module.RESOURCES})
