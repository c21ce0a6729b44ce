"""Ringing a flat's phones for a test, which a node does: whoever asks needs the right, and a node that is ready."""

from __future__ import annotations

from typing import Protocol

import structlog
import trio

from crm.rights import Right
from crm.site import Site
from crm.who import Conflict, Who

_log = structlog.get_logger("test ring")


class Nodes(Protocol):
    """The part "nodes" of the site, as far as it is needed here."""

    async def ring(self, flat_id: int, who: str) -> str:
        """The call's id. Raises an error whose message says why nothing rings."""


def ring_flat(site: Site, who: Who, flat_id: int) -> str:
    """Have a flat's phones rung: the call's id. In a worker thread of Trio. Raises Forbidden, NotFound, Conflict."""
    with site.store.reading() as connection:
        site.desk.get_in(connection, who, site.desk.resource("flats"), flat_id, Right.CALLS_MAKE)
    nodes: Nodes | None = site.parts.get("nodes")
    if nodes is None:
        raise Conflict("no node is set that could ring: see [web] nodes in config.toml")
    try:
        return trio.from_thread.run(nodes.ring, flat_id, who.name)
    except Exception as error:  # whatever it is, nothing rings
        _log.warning("a flat could not be rung for a test", flat=flat_id, who=who.by, why=str(error))
        raise Conflict(f"no node rings: {error}") from error
