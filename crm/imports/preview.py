"""Keys of a file before they are imported: each of the first ones in every byte order, and which order fits all best."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from attrs import frozen

from crm.imports.columns import read_headings
from crm.imports.kinds.keys import Keys
from crm.imports.reading import Unreadable, open_sheet
from crm.keys.formats import KeyFormat
from crm.keys.many import Guess, Line, guess_format, preview
from crm.store import Store
from crm.who import Who

LOOKED_AT = 500
SHOWN = 12


@frozen
class KeyLine:
    """A key as it stands in the file, and its UID in each format in which it can be read; `known`: the CRM has it."""

    text: str
    uids: Mapping[KeyFormat, str]
    known: frozenset[KeyFormat]


@frozen
class KeyPreview:
    """The first keys of a file, and the formats that fit, the best first."""

    lines: tuple[KeyLine, ...]
    guesses: tuple[Guess, ...]
    looked_at: int


def preview_keys(store: Store, who: Who, path: Path) -> KeyPreview | None:
    """None: there is no column of keys in the file, or it cannot be read. Raises Forbidden."""
    texts = _keys(path)
    if not texts:
        return None
    lines = preview(store, who, texts)
    return KeyPreview(tuple(map(_shown, lines[:SHOWN])), guess_format(lines), len(lines))


def _keys(path: Path) -> list[str]:
    try:
        with open_sheet(path) as sheet:
            lines = iter(sheet.lines)
            first = next(lines, None)
            if first is None:
                return []
            headings, _ = read_headings(first, Keys.columns)
            place = next((place for place, column in headings.places if column.name == "uid"), None)
            if place is None:
                return []
            return [line.cells[place] for line in islice(lines, LOOKED_AT) if place < len(line.cells)]
    except (Unreadable, FileNotFoundError):
        return []


def _shown(line: Line) -> KeyLine:
    uids: dict[KeyFormat, str] = {}
    for each in line.readings:
        uids.setdefault(each.format, each.uid)
    return KeyLine(line.text, uids, frozenset(f for f, uid in uids.items() if uid in line.known))
