"""Residents, their accounts and phones."""

from __future__ import annotations

from crm.resource import Resource

RESOURCES: tuple[Resource, ...] = ()
