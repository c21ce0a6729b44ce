"""Quality calls: campaigns and results."""

from __future__ import annotations

from crm.resource import Resource

RESOURCES: tuple[Resource, ...] = ()
