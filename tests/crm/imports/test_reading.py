"""Files as programs write them: encodings, delimiters, quotes, and what Excel makes of numbers and dates."""

from __future__ import annotations

import csv
import datetime
import io
import zipfile
from contextlib import suppress
from pathlib import Path

import openpyxl  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.imports import reading as import_reading
from crm.imports.reading import Line, Unreadable, open_sheet

HEADINGS = ["Улица", "Номер", "Дом"]
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1251")


def read(path: Path) -> list[Line]:
    with open_sheet(path) as sheet:
        return list(sheet.lines)


def as_csv(rows: list[list[str]], delimiter: str = ";", end: str = "\r\n") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(rows)
    return out.getvalue()


def xlsx(path: Path, rows: list[list[object]], formats: dict[str, str] | None = None) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, form in (formats or {}).items():
        book.active[cell].number_format = form
    book.save(path)
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_encoding_and_delimiter_are_found(tmp_path: Path, encoding: str, delimiter: str) -> None:
    rows = [HEADINGS, ["ул. Ленина; 2, корпус", '5 "а"', ""], ["", "", "ё"]]
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv(rows, delimiter).encode(encoding))
    assert [line.cells for line in read(path)] == rows


words = st.text(st.characters(codec="cp1251", exclude_categories=["C", "Z"]), max_size=12)
tables = st.lists(st.lists(words, min_size=3, max_size=3).filter(any), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(tables, st.sampled_from(ENCODINGS), st.sampled_from(";,\t"), st.sampled_from(["\n", "\r\n"]))
def test_any_table_comes_out_as_it_went_in(
    tmp_path: Path, rows: list[list[str]], encoding: str, delimiter: str, end: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv([HEADINGS, *rows], delimiter, end).encode(encoding))
    lines = read(path)
    cells = [[cell.replace("\u00ad", "") for cell in row] for row in rows]
    assert [line.cells for line in lines] == [HEADINGS, *(row for row in cells if any(row))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.csv"
    for start in (b"", b"PK\x03\x04"):
        path.write_bytes(start + data)
        with suppress(Unreadable):
            assert all(line.cells for line in read(path))


def test_rows_are_counted_as_the_file_has_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sep=,\na,b\n\n1,2\n , \n3,4\n")
    assert [(line.number, line.cells) for line in read(path)] == [
        (2, ["a", "b"]),
        (4, ["1", "2"]),
        (6, ["3", "4"]),
    ]


def test_numbers_dates_and_zeros_of_excel(tmp_path: Path) -> None:
    row = [
        42.0,
        7351001,
        55.1599,
        "007",
        7,
        datetime.date(2026, 1, 5),
        True,
        12345678901234567,
        None,
        " a\xa0b ",
    ]
    path = xlsx(tmp_path / "a.xlsx", [[f"h{n}" for n in range(10)], row], {"E2": "000"})
    line = read(path)[1]
    assert line.cells[:5] == ["42", "7351001", "55.1599", "007", "007"]
    assert line.cells[6:7] + line.cells[8:] == ["1", "", "a b"]
    assert "no date is expected here" in line.faults[5]
    assert "keeps 15 digits" in line.faults[7]
    assert set(line.faults) == {5, 7}


def test_first_sheet_is_read_with_its_row_numbers(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "a.xlsx", [["a"], [None], ["x"]])
    book = openpyxl.load_workbook(path)
    book.create_sheet("other").append(["y"])
    book.save(path)
    assert [(line.number, line.cells) for line in read(path)] == [(1, ["a"]), (3, ["x"])]


def test_control_characters_are_a_fault_of_their_cell(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a;b\n1\x07;2\n")
    assert set(read(path)[1].faults) == {0}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b'a;b\n1;"x', "row 2: unexpected end of data"),
        (b"\xef\xbb\xbfa;b\n\xff;1", "no text in UTF-8"),
        (b"\x98\x98;b", "no text in UTF-8, UTF-16 or cp1251"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel"),
        (b"PK\x03\x04 and no more", "no .xlsx workbook"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(Unreadable, match=says):
        read(path)


def test_too_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n" + "1;2\n" * 20)
    monkeypatch.setattr(import_reading, "MAX_ROWS", 10)
    with pytest.raises(Unreadable, match="more than 10 rows"):
        read(path)
    with pytest.raises(Unreadable, match="more than 10 rows"):
        read(xlsx(tmp_path / "a.xlsx", [["a"]] * 20))
    monkeypatch.setattr(import_reading, "MAX_BYTES", 10)
    with pytest.raises(Unreadable, match="are the most"):
        read(path)


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "a.xlsx", [["a"], ["1"]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet2.xml", b" " * (65 * 2**20))
    with pytest.raises(Unreadable, match="swells to 65 MB"):
        read(path)


def test_sheet_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    whole = xlsx(tmp_path / "a.xlsx", [["a"], ["1"]])
    path = tmp_path / "b.xlsx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[: len(data) // 2] if "sheet1" in name else data)
    with pytest.raises(Unreadable, match="save"):
        read(path)


def test_error_of_who_reads_is_not_taken_for_the_file_s(tmp_path: Path) -> None:
    path = xlsx(tmp_path / "a.xlsx", [["a"], ["1"]])
    with pytest.raises(KeyError, match="mine"), open_sheet(path):
        raise KeyError("mine")
