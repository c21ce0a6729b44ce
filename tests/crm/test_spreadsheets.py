"""Files for spreadsheets: nothing in them is run as a formula, and reading them gives each text as it was."""

from __future__ import annotations

from pathlib import Path

import openpyxl  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.imports.reading import open_sheet
from crm.spreadsheets import csv_line, guarded, unguarded

FORMULAS = "=+-@\t\r\n"
begins = st.text("'=+-@\t\r\n 1", max_size=5)
texts = st.builds("".join, st.tuples(begins, st.text(st.characters(codec="utf-8"), max_size=8)))
# What reading leaves as it is: without spaces at its ends, and nothing in it that cannot be shown.
shown = st.builds("".join, st.tuples(st.text("'=+-@1", max_size=5), st.text("аяAz09 '=+-@,;\"", max_size=8)))
rows = st.lists(st.lists(shown.map(str.strip), min_size=2, max_size=2).filter(any), min_size=1, max_size=6)


@settings(max_examples=500)
@given(texts)
def test_any_text_comes_back_from_its_guard(text: str) -> None:
    assert unguarded(guarded(text)) == text


@settings(max_examples=500)
@given(texts)
def test_no_cell_begins_a_formula_but_numbers(text: str) -> None:
    cell = guarded(text)
    assert not cell.startswith(tuple(FORMULAS)) or cell.lstrip("+-").replace(".", "", 1).isdigit()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@home", "'@home"),
        ("-арка", "'-арка"),
        ("+7 351 2000001", "'+7 351 2000001"),
        ("'=1", "''=1"),
        ("''@", "'''@"),
        ("+73512000001", "+73512000001"),
        ("-61.4", "-61.4"),
        ("'-61.4", "'-61.4"),
        ("'тихий'", "'тихий'"),
        ("'", "'"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_only_what_looks_like_a_formula_is_guarded(text: str, cell: str) -> None:
    assert guarded(text) == cell
    assert unguarded(cell) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(rows, st.sampled_from(",;"))
def test_a_file_of_ours_is_read_as_it_was_written(
    tmp_path: Path, rows: list[list[str]], delimiter: str
) -> None:
    file = tmp_path / "a.csv"
    heads = ["Street", "Note"]
    file.write_bytes("\ufeff".encode() + b"".join(csv_line(row, delimiter) for row in [heads, *rows]))

    with open_sheet(file) as sheet:
        assert [line.cells for line in sheet.lines] == [heads, *rows]


def test_a_file_that_a_spreadsheet_saved_as_a_workbook_is_read_as_it_was_written(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append([guarded("=1+1"), guarded("'=1"), guarded("5"), "'quoted'"])
    book.save(tmp_path / "a.xlsx")

    with open_sheet(tmp_path / "a.xlsx") as sheet:
        assert [line.cells for line in sheet.lines] == [["=1+1", "'=1", "5", "'quoted'"]]
