"""A file for spreadsheets is sent in portions: its first line at once, all of its lines, in their order."""

from __future__ import annotations

from collections.abc import Iterator

from crm.web.list_pages import PORTION, in_portions


def test_all_lines_come_in_few_portions_and_the_first_at_once() -> None:
    lines = [f"{n};{'x' * 80}\r\n".encode() for n in range(5000)]
    portions = list(in_portions(iter(lines)))
    assert portions[0] == lines[0]
    assert b"".join(portions) == b"".join(lines)
    assert all(PORTION <= len(portion) < PORTION + len(lines[-1]) for portion in portions[1:-1])


def test_no_more_lines_are_read_than_are_sent() -> None:
    read = []

    def lines() -> Iterator[bytes]:
        for n in range(3):
            read.append(n)
            yield b"line"

    portions = in_portions(lines())
    assert next(portions) == b"line"
    assert read == [0]
    assert list(portions) == [b"lineline"]


def test_a_file_without_lines_is_empty() -> None:
    assert list(in_portions(iter(()))) == []
