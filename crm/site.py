"""What pages and the API work with: the desk, the settings, and what the server reaches beyond the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen
from litestar import Request
from litestar.connection import ASGIConnection

from config import WebConfig
from crm.desk import Desk
from crm.store import Store


@frozen
class Site:
    """The server's parts. `parts`, by name: "passwords", "nodes", "doors", … as those that use them say."""

    desk: Desk
    config: WebConfig
    parts: Mapping[str, Any] = field(factory=dict)
    now: Callable[[], float] = time.time

    @property
    def store(self) -> Store:
        return self.desk.store


def site_of(request: Request[Any, Any, Any]) -> Site:
    """The site that a request came to."""
    site: Site = request.app.state.site
    return site


def address_of(connection: ASGIConnection[Any, Any, Any, Any], config: WebConfig) -> str:
    """The IP address of whoever asks: what a proxy of ours says, or the connection's own."""
    address = connection.client.host if connection.client else ""
    if address in config.proxies:
        for each in reversed(connection.headers.get("x-forwarded-for", "").split(",")):
            if each.strip() and each.strip() not in config.proxies:
                return each.strip()[:64]
    return address
