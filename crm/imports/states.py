"""What an import is to those who look at it: its kind, its state, and a row of the table `imports` as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import msgspec
from attrs import frozen

from crm.imports.columns import Fault


class ImportKind(Enum):
    """What a file holds."""

    HOUSES = "houses"
    FLATS = "flats"
    ACCOUNTS = "accounts"
    PANELS = "panels"
    KEYS = "keys"


class ImportState(Enum):
    """How an import stands. One that is CHECKING or WRITING while nobody runs it was broken off: nothing was written."""

    CHECKING = "checking"
    REFUSED = "refused"  # its errors say why
    READY = "ready"  # checked only, and right
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"  # not the file's fault; its error says what to do


GOING = (ImportState.CHECKING, ImportState.WRITING)


@frozen
class ImportView:
    """An import as it stands: `done` of `rows` rows; `errors` when it was refused or has failed."""

    id: int
    kind: ImportKind
    name: str
    state: ImportState
    by: str
    who: str
    rows: int
    done: int
    added: int
    changed: int
    errors: tuple[Fault, ...]
    choices: Mapping[str, str]
    created_at: float
    ended_at: float | None


def view_of(row: Any) -> ImportView:
    """From a row of the table."""
    errors = tuple(Fault(*each) for each in msgspec.json.decode(row.errors))
    choices = msgspec.json.decode(row.choices, type=dict[str, str])
    return ImportView(
        *(row.id, ImportKind(row.kind), row.name, ImportState(row.state), row.by, row.who),
        *(row.rows, row.done, row.added, row.changed),
        errors,
        choices,
        row.created_at,
        row.ended_at,
    )


def encode_faults(faults: Iterable[Fault]) -> str:
    """As the table has them."""
    return msgspec.json.encode([(each.row, each.column, each.text) for each in faults]).decode()
