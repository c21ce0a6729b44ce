"""What pages and the API work with: the desk, the settings, and what the server reaches beyond the database.

What is reached beyond it (`Parts`) is asynchronous; handlers are plain functions in worker threads, and call it through
`wait_for`. Whoever makes the server gives the parts; one that is None is not there, and the page says so.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import trio
from attrs import field, frozen
from litestar import Request
from litestar.connection import ASGIConnection

from config import WebConfig
from crm.desk.desk import Desk
from crm.store import Store
from crm.who import Refused

T = TypeVar("T")


@frozen
class Site:
    """The server's parts. `parts`, by name:

    "passwords" (crm.staff.passwords.Passwords), "nodes" (nodes.Nodes: `subscribe`, `board`, `ring`, `lock_of`,
    `recording`, `registration_of`, `registered_of`), "doors" (crm_server.Doors: `open_door`, `open_channel`, `ask`),
    "chores" (crm.companies.chores.Chores: `wake`), "quality" (the configuration's [quality], for the folder of
    recordings), "imports" (crm.imports.worker.ImportWorker), "campaigns" (crm.quality.maker.CampaignMaker: `wake`),
    "settings" (config.Config as a whole: [sos] and [dispatch.…]).
    `failures` are the parts' errors whose text is for people.
    """

    desk: Desk
    config: WebConfig
    parts: Mapping[str, Any] = field(factory=dict)
    failures: tuple[type[Exception], ...] = ()
    now: Callable[[], float] = time.time

    @property
    def store(self) -> Store:
        return self.desk.store


def site_of(request: Request[Any, Any, Any]) -> Site:
    """The site that a request came to."""
    site: Site = request.app.state.site
    return site


def part(site: Site, name: str, what: str) -> Any:
    """A part that a page needs. Raises Refused: this server was started without it."""
    found = site.parts.get(name)
    if found is None:
        raise Refused(f"{what} is not there: this server was started without it")
    return found


def wait_for(work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Run an asynchronous function of a part from a handler's worker thread."""
    return trio.from_thread.run(work, *arguments)


def address_of(connection: ASGIConnection[Any, Any, Any, Any], config: WebConfig) -> str:
    """The IP address of whoever asks: what a proxy of ours says, or the connection's own."""
    address = connection.client.host if connection.client else ""
    if address in config.proxies:
        # A proxy may put a header of its own behind that of the client: all of them are one list, and its end is ours.
        said = ",".join(connection.headers.getall("x-forwarded-for", []))
        for each in reversed(said.split(",")):
            if each.strip() and each.strip() not in config.proxies:
                return each.strip()[:64]
    return address
