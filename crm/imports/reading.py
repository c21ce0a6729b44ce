"""Reads a table out of a CSV or XLSX file, line by line, whatever program wrote it.

CSV: UTF-8 with or without BOM, UTF-16 or cp1251; commas, semicolons or tabs; quotes as in RFC 4180. XLSX: the first
sheet, with numbers as they were meant ("42", not "42.0"; "007" where the format says so). Cells come out as text, without
spaces around them, and without the guard of our own files (crm/spreadsheets.py). What is too large, or swells when
unpacked, is refused before it is read.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

from attrs import frozen

from crm.spreadsheets import unguarded

MAX_BYTES = 200 * 2**20
MAX_ROWS = 2_000_000
MAX_COLUMNS = 200
UNPACKED_MAX = 2 * 2**30  # of an XLSX file, all in all
STRINGS_MAX = 256 * 2**20  # of its table of texts, which is held in memory as a whole
SWELLS_MAX = 200  # times, for parts above SWELLS_FROM
SWELLS_FROM = 64 * 2**20
PRECISE_BELOW = 10**15  # Excel keeps 15 digits of a number

DELIMITERS = ";,\t"
_DROPPED = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad"))
_SPACES = str.maketrans(dict.fromkeys("\xa0\u202f\u2007\r\n\t", " "))
# What openpyxl raises where parts are missing, damaged, or XML that makes no sense.
_BROKEN = (
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    RuntimeError,
    EOFError,
    SyntaxError,
    zlib.error,
    OSError,
)
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


class Unreadable(Exception):
    """The file cannot be read as a table; the message says why and what to do."""


@frozen
class Line:
    """A line that has anything in it: its `number` in the file, from 1, its cells, and what is wrong with which."""

    number: int
    cells: list[str]
    faults: dict[int, str]


@frozen
class Sheet:
    """An opened file. `rows`: how many lines it has about, the headings among them. `lines` reads it, once.

    `lines` raises Unreadable for what is wrong in the middle of it.
    """

    rows: int
    lines: Iterator[Line]


@contextmanager
def open_sheet(path: Path) -> Iterator[Sheet]:
    """Open a CSV or XLSX file: which of the two, its content says. Raises Unreadable."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise Unreadable(f"reading the file {path.name}: {error.strerror}") from error
    if size > MAX_BYTES:
        raise Unreadable(
            f"the file has {size / 2**20:.0f} MB, and {MAX_BYTES // 2**20} are the most: split it"
        )
    if not head.strip():
        raise Unreadable("the file is empty: its first line has to be the headings of its columns")
    if head.startswith(_OLD_EXCEL):
        raise Unreadable("this is a workbook of an old Excel (.xls): save it as .xlsx or .csv")
    if head.startswith(b"PK\x03\x04"):
        with _open_xlsx(path) as sheet:
            yield sheet
    else:
        with _open_csv(path, head) as sheet:
            yield sheet


# --- CSV -----------------------------------------------------------------------------------------------------------


@contextmanager
def _open_csv(path: Path, head: bytes) -> Iterator[Sheet]:
    encoding = _encoding(path, head)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline(2**20)
        told = re.fullmatch(r"sep=(.)\r?\n?", first)  # Excel's own way to tell it
        delimiter = told[1] if told else _delimiter(first)
        file.seek(0)
        rows = 0
        for _ in _records(file, delimiter):
            rows += 1
            if rows > MAX_ROWS + 1:
                raise Unreadable(f"the file has more than {MAX_ROWS} rows: split it")
        file.seek(0)
        yield Sheet(rows, _csv_lines(file, delimiter, skip=1 if told else 0))


def _csv_lines(file: io.TextIOBase | io.TextIOWrapper, delimiter: str, skip: int) -> Iterator[Line]:
    for number, cells in enumerate(_records(file, delimiter), start=1):
        if number <= skip:
            continue
        line = _line(number, cells, {})
        if line is not None:
            yield line


def _records(file: io.TextIOBase | io.TextIOWrapper, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    number = 0
    try:
        for cells in reader:
            number += 1
            yield cells
    except csv.Error as error:
        raise Unreadable(
            f"row {number + 1}: {error}: a cell with a quote, a delimiter or a line break in it has to stand in quotes, "
            "and each quote within it twice"
        ) from error


def _delimiter(first: str) -> str:
    """The one that makes the most cells of the first line; a semicolon where none does."""

    def cells(delimiter: str) -> int:
        try:
            return max(len(row) for row in csv.reader([first], delimiter=delimiter))
        except (csv.Error, ValueError):
            return 0

    return max(DELIMITERS, key=cells)


def _encoding(path: Path, head: bytes) -> str:
    if head.startswith(codecs.BOM_UTF8):
        tried = ["utf-8-sig"]
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        tried = ["utf-16"]
    elif b"\0" in head:  # no BOM, but the zeros of digits and commas
        tried = ["utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"]
    else:
        tried = ["utf-8", "cp1251"]
    for encoding in tried:
        try:
            with path.open(encoding=encoding, newline="") as file:
                while file.read(2**20):
                    pass
        except UnicodeError:
            continue
        return encoding
    raise Unreadable("this is no text in UTF-8, UTF-16 or cp1251, and no .xlsx file: save it as one of them")


# --- XLSX ----------------------------------------------------------------------------------------------------------


@contextmanager
def _open_xlsx(path: Path) -> Iterator[Sheet]:
    import openpyxl  # type: ignore[import-untyped]
    from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped]

    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _see_that_it_fits(archive.infolist())
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except (zipfile.BadZipFile, InvalidFileException, *_BROKEN) as error:
            raise Unreadable(
                f"this is no .xlsx workbook, or a damaged one ({error}): save it anew"
            ) from error
        try:
            if not book.worksheets:
                raise Unreadable("the workbook has no sheet")
            sheet = book.worksheets[0]
            rows = sheet.max_row or 0
            sheet.reset_dimensions()  # a program that wrote them wrong would cut the sheet short
            yield Sheet(min(rows, MAX_ROWS), _xlsx_lines(sheet))
        finally:
            book.close()


def _see_that_it_fits(parts: list[zipfile.ZipInfo]) -> None:
    if len(parts) > 10_000 or sum(part.file_size for part in parts) > UNPACKED_MAX:
        raise Unreadable(f"the workbook unpacks to more than {UNPACKED_MAX // 2**30} GB: save it as CSV")
    for part in parts:
        if part.file_size > SWELLS_FROM and part.file_size > SWELLS_MAX * part.compress_size:
            raise Unreadable(
                f"{part.filename} in the workbook swells to {part.file_size // 2**20} MB, over {SWELLS_MAX} times "
                "its size: save it as CSV"
            )
        if part.filename.endswith("sharedStrings.xml") and part.file_size > STRINGS_MAX:
            raise Unreadable(
                f"the workbook has more than {STRINGS_MAX // 2**20} MB of texts: save it as CSV, which can be larger"
            )


def _xlsx_lines(sheet: Any) -> Iterator[Line]:
    try:
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            if number > MAX_ROWS + 1:
                raise Unreadable(f"the sheet has more than {MAX_ROWS} rows: split it")
            faults: dict[int, str] = {}
            texts = [_text(cell, place, faults) for place, cell in enumerate(cells)]
            while texts and not texts[-1]:
                del texts[-1]
            line = _line(number, texts, faults)
            if line is not None:
                yield line
    except (zipfile.BadZipFile, *_BROKEN) as error:
        raise Unreadable(f"the sheet cannot be read ({error}): save the workbook anew, or as CSV") from error


def _text(cell: Any, place: int, faults: dict[int, str]) -> str:
    value = cell.value
    match value:
        case None:
            return ""
        case str():
            if cell.data_type == "e":
                faults[place] = f"the result of a formula is expected, not the error {value}"
            return value
        case bool():
            return "1" if value else "0"
        case int() | float():
            return _number(value, str(cell.number_format or ""), place, faults)
        case date() | time() | timedelta():
            shown = value.isoformat() if not isinstance(value, timedelta) else str(value)
            faults[place] = (
                f"no date is expected here, and the program has made one ({shown}): "
                "set the column's format to text and enter it again"
            )
            return shown
        case _:
            return str(value)


def _number(value: float, form: str, place: int, faults: dict[int, str]) -> str:
    if abs(value) >= PRECISE_BELOW:
        faults[place] = (
            f"the program keeps 15 digits of a number, and this has more ({value:.0f}): "
            "set the column's format to text and enter it again"
        )
    if isinstance(value, float) and not value.is_integer():
        return repr(value)
    text = str(int(value))
    return text.zfill(len(form)) if re.fullmatch("0{2,}", form) else text


# --- both ----------------------------------------------------------------------------------------------------------


def _line(number: int, cells: list[str], faults: dict[int, str]) -> Line | None:
    """None: there is nothing in it."""
    clean = []
    for place, cell in enumerate(cells):
        text = unguarded(cell)
        if not text.isprintable():
            text = text.translate(_SPACES).translate(_DROPPED)
            if not text.isprintable():
                faults[place] = "text is expected, and there are characters in it that cannot be shown"
                text = "".join(each for each in text if each.isprintable())
        clean.append(text.strip())
    if not any(clean) and not faults:
        return None
    if len(clean) > MAX_COLUMNS:
        faults[MAX_COLUMNS] = f"at most {MAX_COLUMNS} columns are expected, and there are {len(clean)}"
        del clean[MAX_COLUMNS + 1 :]
    return Line(number, clean, faults)
