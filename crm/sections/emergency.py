"""112: numbers, leases, test calls."""

from __future__ import annotations

from crm.resource import Resource

RESOURCES: tuple[Resource, ...] = ()
