"""Lines of files for spreadsheets, in which no text is run as a formula; and the way back for imports.

A cell that a spreadsheet would run gets an apostrophe before it, the guard. A text that itself looks guarded gets one
more, so that taking one off gives every text back as it was: `unguarded(guarded(text)) == text`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

_GUARD = "'"
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_line(cells: Iterable[str], delimiter: str = ",") -> bytes:
    """A line of a CSV file, in UTF-8."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerow(guarded(cell) for cell in cells)
    return buffer.getvalue().encode()


def guarded(cell: str) -> str:
    """The cell as it is safe in a spreadsheet. Numbers and phones, +73512000001, stay as they are."""
    return _GUARD + cell if _is_run(cell) else cell


def unguarded(cell: str) -> str:
    """The cell without what `guarded` put before it; any other apostrophe stays."""
    return cell[1:] if cell.startswith(_GUARD) and _is_run(cell) else cell


def _is_run(cell: str) -> bool:
    """Whether it begins as a formula, behind apostrophes or not."""
    bare = cell.lstrip(_GUARD)
    return bare.startswith(_FORMULAS) and not bare.lstrip("+-").replace(".", "", 1).isdigit()
