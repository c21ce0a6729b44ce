"""The history of changes: who, when, what it was before and after. Written in the transaction of the change itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from crm.model import table
from crm.tables.staff import Change
from crm.who import Who

_CHANGES = table(Change)
SECRET = "•••"  # stands for a value that is never shown again


def note_change(
    connection: sa.Connection,
    who: Who,
    entity: str,
    id: int,
    action: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    *,
    at: float | None = None,
) -> None:
    """Write that `who` did `action` ("create", "update", "delete", "open", "block", …) to an entity ("house", 7).

    Of `before` and `after` only what differs is kept; where nothing does and both are there, nothing is written.
    """
    was, now = dict(before or {}), dict(after or {})
    if before is not None and after is not None:
        differing = [name for name in {**was, **now} if was.get(name) != now.get(name)]
        if not differing:
            return
        was = {name: was[name] for name in differing if name in was}
        now = {name: now[name] for name in differing if name in now}
    connection.execute(
        sa.insert(_CHANGES).values(
            at=time.time() if at is None else at,
            by=who.by,
            who=who.name,
            address=who.address,
            entity=entity,
            entity_id=id,
            action=action,
            before=_text(was) if before is not None else "",
            after=_text(now) if after is not None else "",
        )
    )


def _text(values: Mapping[str, Any]) -> str:
    return msgspec.json.encode(values, enc_hook=str).decode()
