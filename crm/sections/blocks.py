"""Blocks of flats, and the kinds of block that there are."""

from __future__ import annotations

from crm.resource import Resource

RESOURCES: tuple[Resource, ...] = ()
