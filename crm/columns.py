"""Text in columns, whoever wrote it: cleaned of what moves the cursor, measured and cut in columns, not in bytes."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

COLUMN_MAX = 70
_CONTROL = ("Cc", "Cf", "Cn", "Cs", "Co", "Zl", "Zp")


def clean(text: str) -> str:
    """Without control characters and what turns the direction of writing: a "·" stands for each."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("·" if unicodedata.category(c) in _CONTROL else c for c in text)


def width_of(text: str) -> int:
    """Columns that `text` takes: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def fit(text: str, width: int) -> str:
    """`text` in exactly `width` columns: filled with spaces, or cut, with "…"."""
    if (columns := width_of(text)) <= width:
        return text + " " * (width - columns)
    kept, columns = "", 0
    for c in text:
        columns += width_of(c)
        if columns > width - 1:
            break
        kept += c
    return kept + "…" + " " * (width - 1 - width_of(kept))


def table(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> list[str]:
    """Lines: a head, and a row each, in columns as wide as they need to be; numbers stand at the right."""
    rows = [*rows]
    cells = [[clean(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [min(COLUMN_MAX, max(map(width_of, column))) for column in zip(*cells, strict=True)]
    right = [bool(rows) and all(isinstance(row[n], int) for row in rows) for n in range(len(head))]
    return [
        "  ".join(
            " " * (width - width_of(cell)) + cell if to_right else fit(cell, width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    ]


def local(at: float | None) -> str:
    """A time as `teledom calls` writes it, "" for none."""
    return "" if at is None else datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


class Line:
    """A line of stderr that says how far something is, over itself again and again; nothing, unless `shown`."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._width = 0

    def show(self, text: str) -> None:
        if self._shown:
            print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def end(self) -> None:
        """Wipe it out."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)
            self._width = 0
