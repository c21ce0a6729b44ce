"""The columns of an import: their headings in Russian and English, and how a cell of each is read.

A cell's reader takes its text, never empty, and gives a value; or it raises BadCell, which says what is expected.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from attrs import frozen

from crm.devices.access import check_url
from crm.imports.reading import Line

_E = TypeVar("_E", bound=Enum)
Value = str | int | float | bool | tuple[str, ...]
SHOWN = 40  # characters of a cell, in a message
LIST_BEGINS, LIST_NAMES = (
    "id",
    2,
)  # how a list of the CRM begins as a file: with each record's id and its name


class BadCell(ValueError):
    """What is expected in a cell."""


@frozen
class Column:
    """`ru` and `en` are its headings, either of which may stand in the file; `about` says what belongs there.

    `listed` is how a list of the CRM heads it, where that is different. A `secret` one is not shown in messages.
    """

    name: str
    ru: str
    en: str
    about: str
    read: Callable[[str], Value]
    required: bool = False
    secret: bool = False
    listed: tuple[str, ...] = ()


@frozen
class Fault:
    """What is wrong: `row` as in the file (0: the whole file), `column` its heading ("" for the whole row)."""

    row: int
    column: str
    text: str


@frozen
class Headings:
    """Which column each place of a line is, and how it is headed in this file (`shown`, by name).

    `others` are the headings of columns that are not in the file, `nameless` the places without a heading. `from_list`:
    the file is one that a list of the CRM gave.
    """

    places: tuple[tuple[int, Column], ...]
    shown: Mapping[str, str]
    others: Mapping[str, str]
    nameless: tuple[int, ...]
    width: int
    from_list: bool = False


def plain(text: str) -> str:
    """A name as it is compared: small letters, "ё" as "е", one space between words."""
    return " ".join(text.casefold().replace("ё", "е").split())


def read_headings(line: Line, columns: Sequence[Column]) -> tuple[Headings, list[Fault]]:
    """Find the columns by their headings, in any order; case, spaces and a "*" do not matter.

    A list of the CRM as a file begins with each record's id and name, and has what no import changes: that is left out.
    """
    known = {_bare(name): column for column in columns for name in (column.ru, column.en)}
    from_list = bool(line.cells) and _bare(line.cells[0]) == LIST_BEGINS
    if from_list:
        known |= {_bare(name): column for column in columns for name in column.listed}
    places: list[tuple[int, Column]] = []
    shown: dict[str, str] = {}
    faults = []
    for place, heading in enumerate(line.cells):
        if not heading or (from_list and place < LIST_NAMES):
            continue
        column = known.get(_bare(heading))
        if column is None and from_list:
            continue
        if column is None:
            faults.append(Fault(line.number, heading, _unknown(heading, columns)))
        elif column.name in shown:
            text = f'this column is there already, as "{shown[column.name]}": leave one of them out'
            faults.append(Fault(line.number, heading, text))
        else:
            places.append((place, column))
            shown[column.name] = heading
    for column in columns:
        if column.required and column.name not in shown:
            text = f'a column "{column.ru}" (or "{column.en}") is expected, and there is none: {column.about}'
            faults.append(Fault(line.number, column.ru, text))
    others = {column.name: column.ru for column in columns if column.name not in shown}
    nameless = tuple(place for place, heading in enumerate(line.cells) if not heading)
    return Headings(tuple(places), shown, others, nameless, len(line.cells), from_list), faults


def _unknown(heading: str, columns: Sequence[Column]) -> str:
    names = {plain(name): name for column in columns for name in (column.ru, column.en)}
    near = difflib.get_close_matches(plain(heading), names, n=1, cutoff=0.5)
    if near:
        return f'there is no such column here; the nearest one is "{names[near[0]]}"'
    return "there is no such column here; these are: " + ", ".join(column.ru for column in columns)


def _bare(heading: str) -> str:
    return plain(heading).replace(" ", "").strip("*:")


def shown(text: str) -> str:
    """A cell's text, as messages have it."""
    return f'"{text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"}"'


# --- readers of cells ----------------------------------------------------------------------------------------------


def text(most: int) -> Callable[[str], str]:
    """Any text of at most so many characters."""

    def read(cell: str) -> str:
        if len(cell) > most:
            raise BadCell(f"a text of at most {most} characters")
        return cell

    return read


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Text that fully matches a regular expression; `expected` says it in words."""
    compiled = re.compile(pattern)

    def read(cell: str) -> str:
        if not compiled.fullmatch(cell):
            raise BadCell(expected)
        return cell

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within these bounds."""

    def read(cell: str) -> int:
        if not re.fullmatch("-?[0-9]{1,9}", cell) or not low <= int(cell) <= high:
            raise BadCell(f"a whole number from {low} to {high}")
        return int(cell)

    return read


def degrees(most: float) -> Callable[[str], float]:
    """Degrees from -most to most, with a point or a comma."""

    def read(cell: str) -> float:
        try:
            value = float(cell.replace(",", "."))
        except ValueError:
            value = math.nan
        if not abs(value) <= most:
            raise BadCell(f"degrees from -{most:g} to {most:g}, as 55.1599")
        return value

    return read


def one_of(of: type[_E], words: Mapping[str, _E]) -> Callable[[str], str]:
    """The value of an enum's member, by that value or by one of `words` (small letters)."""
    known = {**{str(member.value): member for member in of}, **words}

    def read(cell: str) -> str:
        found = known.get(plain(cell))
        if found is None:
            raise BadCell("one of " + ", ".join(known))
        return str(found.value)

    return read


_YES_NO = {word: True for word in ("да", "yes", "true", "истина", "1", "+")} | {
    word: False for word in ("нет", "no", "false", "ложь", "0", "-")
}


def yes_no(cell: str) -> bool:
    found = _YES_NO.get(plain(cell))
    if found is None:
        raise BadCell("yes or no (да, нет, 1, 0)")
    return found


def guid(cell: str) -> str:
    if not re.fullmatch("(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", cell):
        raise BadCell("a GUID as FIAS has it, 8-4-4-4-12 hexadecimal digits")
    return cell.lower()


def mac(cell: str) -> str:
    """12 small hexadecimal digits, however they were parted."""
    bare = re.sub(r"[-:.\s]", "", cell).lower()
    if not re.fullmatch("[0-9a-f]{12}", bare):
        raise BadCell("a MAC of 12 hexadecimal digits, as 02:50:00:07:a1:21")
    return bare


def ha1(cell: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{32}", cell):
        raise BadCell("MD5(user:domain:password), 32 hexadecimal digits")
    return cell.lower()


def phone(cell: str) -> str:
    """E.164; a Russian number may begin with 8 or 7 instead of +7, or have its 10 digits only."""
    bare = re.sub(r"[-\s().]", "", cell)
    if found := re.fullmatch("(?:8|7|\\+7)?([3-9][0-9]{9})", bare):
        return "+7" + found[1]
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", bare):
        raise BadCell("a phone number, as +73512000001 or 8 351 200-00-01")
    return bare


def time_zone(cell: str) -> str:
    try:
        ZoneInfo(cell)
    except (KeyError, ValueError, OSError):  # no such one; no name of one; the name of a folder
        raise BadCell("the IANA name of a time zone, as Asia/Yekaterinburg") from None
    return cell


def http_url(cell: str) -> str:
    try:
        parts = urlsplit(cell)
        fine = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        fine = fine and (parts.port is None or parts.port > 0) and len(cell) <= 255 and " " not in cell
        check_url(cell.rstrip("/"))
    except ValueError:  # crm.who.Invalid is one, too
        fine = False
    if not fine:
        raise BadCell("an address as http://10.0.0.5 or https://10.0.0.5:8443, without user and password")
    return cell.rstrip("/")


def names(most: int) -> Callable[[str], tuple[str, ...]]:
    """Several texts, a comma or semicolon between two; one that comes twice counts once."""

    def read(cell: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(each.strip() for each in re.split("[,;]", cell) if each.strip()))
        if not found or any(len(each) > most for each in found):
            raise BadCell(f"texts of at most {most} characters, with commas between them")
        return found

    return read


_RANGE = re.compile(r"([0-9]{1,4})\s*[-–—]\s*([0-9]{1,4})")
MAX_ENTRANCES = 100


def entrance_names(cell: str) -> tuple[str, ...]:
    """Names of entrances: "1-4" and "2" are "п. 1" to "п. 4" and "п. 2", anything else is a name as it stands."""
    found: list[str] = []
    for each in re.split("[,;]", cell):
        name = each.strip()
        if not name:
            continue
        if spread := _RANGE.fullmatch(name):
            first, last = int(spread[1]), int(spread[2])
            if not first <= last < first + MAX_ENTRANCES:
                raise BadCell(f"a range of at most {MAX_ENTRANCES} entrances, as 1-4")
            found += [f"п. {n}" for n in range(first, last + 1)]
        else:
            found.append(entrance_name(name))
    if not found or len(found) > MAX_ENTRANCES or any(len(name) > 64 for name in found):
        raise BadCell("entrances, as 1-4 or 1, 2, арка")
    return tuple(dict.fromkeys(found))


def entrance_name(cell: str) -> str:
    """A single one, likewise."""
    return f"п. {int(cell)}" if re.fullmatch("[0-9]{1,4}", cell) else cell
