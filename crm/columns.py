"""Text in columns, whoever wrote it: cleaned of what moves the cursor, measured and cut in columns, not in bytes."""

from __future__ import annotations

import unicodedata

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
