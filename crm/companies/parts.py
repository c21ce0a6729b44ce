"""The chores of this process, as pages and the API ask for them: to know their settings, and to have them look now."""

from __future__ import annotations

import trio

from crm.companies.chores import Chores
from crm.site import Site, part


def chores_of(site: Site) -> Chores:
    """Raises Refused: this server does without."""
    found: Chores = part(site, "chores", "the making of codes")
    return found


def wake(chores: Chores) -> None:
    """Have what is due done at once: from a handler's worker thread."""
    trio.from_thread.run_sync(chores.wake)
