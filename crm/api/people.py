"""Residents, accounts, phones: what the API does beside what all records have."""

from __future__ import annotations

from typing import Any

REQUESTS: list[Any] = []
