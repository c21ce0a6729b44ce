"""Finished calls."""

from __future__ import annotations

from crm.desk.resource import Resource

RESOURCES: tuple[Resource, ...] = ()
