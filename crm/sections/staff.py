"""Employees, groups, sign-ins, tokens, and the history of changes."""

from __future__ import annotations

from crm.resource import Resource

RESOURCES: tuple[Resource, ...] = ()
