"""`teledom crm import`: what it prints, and its exit codes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

import imports_cli
from config import Config, load
from crm.imports.imports import ImportKind, describe
from testbed.databases import write_town

Output = pytest.CaptureFixture[str]
FLATS = "Дом;Город;Улица;Номер дома;Квартира;Этаж\n;Копейск;ул. Мира;1;12;{}\n"


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    url = f"sqlite:///{tmp_path}/crm.db"
    write_town(tmp_path / "crm.db")
    file = tmp_path / "config.toml"
    file.write_text(f'[crm]\nurl = "{url}"\n')
    return load(file, {})


def run(settings: Config, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    printing = argparse.ArgumentParser(add_help=False)
    printing.add_argument("--json", action="store_true")
    imports_cli.add_to(parser.add_subparsers(), printing, load=lambda args: settings)
    args = parser.parse_args(["import", *arguments])
    code: int = args.do(args)
    return code


def test_file_goes_in(settings: Config, capsys: Output) -> None:
    assert run(settings, "houses", str(describe(ImportKind.HOUSES).sample)) == 0
    assert capsys.readouterr().out == "3 rows: 3 added, 0 changed\n"


def test_check_writes_nothing(settings: Config, capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "flats.csv"
    file.write_text(FLATS.format(7))
    for _ in range(2):
        assert run(settings, "flats", str(file), "--check") == 0
        assert capsys.readouterr().out == "1 rows: all right, nothing was written\n"
    assert run(settings, "flats", str(file)) == 0
    assert capsys.readouterr().out == "1 rows: 0 added, 1 changed\n"


def test_errors_are_printed_by_row_and_column(settings: Config, capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "flats.csv"
    file.write_text(FLATS.format("ground"))
    assert run(settings, "flats", str(file)) == 1
    told = 'a whole number from -5 to 200 is expected, not "ground"'
    assert capsys.readouterr().out == f"row 2, Этаж: {told}\nnothing was written\n"
    assert run(settings, "flats", str(file), "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["state"] == "refused"
    assert printed["errors"] == [{"row": 2, "column": "Этаж", "text": told}]


def test_wrong_choice_is_named(settings: Config, capsys: Output) -> None:
    assert run(settings, "keys", str(describe(ImportKind.KEYS).sample), "--choice", "format=base64") == 1
    assert "teledom: format: one of auto, hex" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(settings, "keys", "x.csv", "--choice", "hex")


def test_missing_file_is_said(settings: Config, capsys: Output) -> None:
    assert run(settings, "flats", "nowhere.csv") == 1
    assert "reading the file nowhere.csv: No such file" in capsys.readouterr().out
