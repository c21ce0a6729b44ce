"""A house's flats as a picture in SVG: floors from below, entrances side by side, a colour and a sign for each verdict.

The signs tell what the colours do. A text of the CRM stands in it escaped, without control characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from xml.sax.saxutils import escape

from attrs import frozen

from crm.columns import clean, fit, width_of
from crm.quality.results import GridFlat, HouseGrid
from crm.values.quality import UNKNOWN

NEVER = ""
CELL, GAP, LEFT, TOP, FONT = 58, 24, 44, 76, 14


@frozen
class Look:
    """How a verdict is shown: its sign, the cell's colour, and what it is called."""

    sign: str
    colour: str
    name: str


LOOKS = {
    "good": Look("+", "#7ccf8a", "good"),
    "weak": Look("w", "#f4e07a", "weak"),
    "noisy": Look("n", "#f5b461", "noisy"),
    "one_way": Look("1", "#c9a0f0", "one way"),
    "dead": Look("×", "#f08a80", "dead"),
    "nobody_answered": Look("o", "#b9d6f2", "nobody answered"),
    "busy": Look("b", "#b9d6f2", "busy"),
    "unreachable": Look("u", "#cccccc", "unreachable"),
    UNKNOWN: Look("?", "#dddddd", "unknown"),
    NEVER: Look("·", "#ffffff", "never checked"),
}


def draw(grid: HouseGrid) -> str:
    """The picture, as a whole SVG file."""
    entrances = sorted({flat.entrance for flat in grid.flats}, key=_natural)
    floors = sorted({flat.floor for flat in grid.flats}, key=lambda floor: -1000 if floor is None else floor)
    cells: dict[tuple[str, int | None], list[GridFlat]] = {}
    for flat in sorted(grid.flats, key=lambda flat: _natural(flat.number)):
        cells.setdefault((flat.entrance, flat.floor), []).append(flat)
    bottom = TOP + CELL * len(floors)
    parts = [_text(LEFT, 28, grid.address, size=18)]
    for n, floor in enumerate(floors):
        y = bottom - CELL * (n + 1)
        parts.append(_text(LEFT - 10, y + CELL / 2 + 5, "?" if floor is None else str(floor), anchor="end"))
    x = LEFT
    for entrance in entrances:
        across = max(len(cells.get((entrance, floor), ())) for floor in floors)
        parts.append(_text(x, TOP - 10, fit(clean(entrance or "no entrance"), across * 6).rstrip()))
        for n, floor in enumerate(floors):
            y = bottom - CELL * (n + 1)
            flats = cells.get((entrance, floor), ())
            parts += [_cell(flat, x + CELL * column, y) for column, flat in enumerate(flats)]
        x += CELL * across + GAP
    legend = _legend(grid.flats, bottom + 34)
    width = max(x, LEFT + 11 * width_of(clean(grid.address)), 240)
    height = bottom + 34 + 26 * len(legend)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="{FONT}">'
    )
    return "\n".join(
        [head, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, *legend, "</svg>", ""]
    )


def look(verdict: str) -> Look:
    """That of a verdict; of one that is not known here, as of an unknown one."""
    return LOOKS.get(verdict, LOOKS[UNKNOWN])


def _cell(flat: GridFlat, x: float, y: float) -> str:
    shown = look(flat.last.verdict if flat.last is not None else NEVER)
    when = f", {datetime.fromtimestamp(flat.last.at):%Y-%m-%d %H:%M}" if flat.last is not None else ""
    middle = x + CELL / 2 - 2
    return (
        f"<g><title>{_escaped(f'{flat.number}: {shown.name}{when}')}</title>"
        f'<rect x="{x}" y="{y}" width="{CELL - 4}" height="{CELL - 4}" rx="4" fill="{shown.colour}" stroke="#555555"/>'
        f"{_text(middle, y + 22, fit(clean(flat.number), 6).rstrip(), anchor='middle')}"
        f"{_text(middle, y + 44, shown.sign, anchor='middle', size=18)}</g>"
    )


def _legend(flats: Iterable[GridFlat], y: float) -> list[str]:
    """A line for each look that the picture has, with how many flats have it."""
    counts = Counter(look(flat.last.verdict if flat.last is not None else NEVER) for flat in flats)
    lines = []
    for shown in (each for each in LOOKS.values() if counts[each]):
        lines.append(
            f'<rect x="{LEFT}" y="{y - 15}" width="20" height="20" rx="3" fill="{shown.colour}" stroke="#555555"/>'
            f"{_text(LEFT + 10, y, shown.sign, anchor='middle')}"
            f"{_text(LEFT + 30, y, f'{shown.name}: {counts[shown]}')}"
        )
        y += 26
    return lines


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = FONT) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return escape(clean(text))


def _natural(text: str) -> list[tuple[int, str]]:
    """In the order of people: "2" before "10"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"\d+|\D+", text)]
