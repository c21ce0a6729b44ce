"""`teledom crm create-admin`: where the password comes from, what is made, and its exit codes."""

from __future__ import annotations

import argparse
import getpass
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import config
import staff_cli
import teledom
from crm.staff.passwords import Passwords
from crm.staff.sign_in import Origin, sign_in
from crm.staff.staff import who_is
from crm.store import Store
from testbed.databases import new_database

Output = pytest.CaptureFixture[str]
Terminal = Callable[..., None]


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("TELEDOM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[crm]\nurl = "sqlite:///crm.db"\n')
    return new_database(tmp_path / "crm.db")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What is typed at a terminal, one line for each question."""

    def types(*lines: str) -> None:
        class Tty(io.StringIO):
            def isatty(self) -> bool:
                return True

        left = iter(lines)

        def ask(_prompt: str) -> str:
            try:
                return next(left)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr(sys, "stdin", Tty())
        monkeypatch.setattr(getpass, "getpass", ask)

    return types


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def refused(capsys: Output, *arguments: str) -> str:
    assert teledom.main(["crm", "create-admin", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("teledom: making administrator ")
    assert said.err.count("\n") == 1
    return said.err


def test_an_administrator_with_a_piped_password_can_sign_in(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    piped(monkeypatch, "correct horse\nanother line\n")
    assert teledom.main(["crm", "create-admin", "Anna", "--name", "Анна"]) == 0
    assert capsys.readouterr().out == "employee 1, anna, may sign in and do everything\n"
    with Store(url) as store:
        signed = sign_in(store, Passwords(), "anna", "correct horse", Origin(), time.time())
        who = who_is(store, signed.employee_id)
    assert who
    assert who.name == "Анна"


def test_a_password_is_asked_for_twice_on_a_terminal(url: str, terminal: Terminal, capsys: Output) -> None:
    terminal("correct horse", "correct house")
    assert "the two passwords differ" in refused(capsys, "anna")
    terminal("correct horse")
    assert "no password was entered" in refused(capsys, "anna")
    terminal("correct horse", "correct horse")
    assert teledom.main(["crm", "create-admin", "anna", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": 1, "login": "anna"}


def test_there_is_no_default_password(url: str, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    for nothing in ("", "\n"):
        piped(monkeypatch, nothing)
        assert "a line with the password is expected" in refused(capsys, "anna")
    piped(monkeypatch, "short\n")
    assert "10 to 200 characters" in refused(capsys, "anna")


def test_a_login_that_is_taken_or_none_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    piped(monkeypatch, "correct horse\n")
    assert teledom.main(["crm", "create-admin", "anna"]) == 0
    capsys.readouterr()
    piped(monkeypatch, "correct horse\n")
    assert "an employee anna already" in refused(capsys, "ANNA")
    piped(monkeypatch, "correct horse\n")
    assert "login: 2 to 64 Latin letters" in refused(capsys, "анна")


def test_without_a_database_nobody_is_asked(
    tmp_path: Path, terminal: Terminal, url: str, capsys: Output
) -> None:
    (tmp_path / "crm.db").unlink()
    terminal()
    said = refused(capsys, "anna")
    assert "teledom db upgrade" in said


def test_more_than_one_line_of_why_is_never_printed_and_the_password_never(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    piped(monkeypatch, "qwertyuiop\n")
    assert "qwertyuiop" not in refused(capsys, "anna")


def test_how_hashes_are_made_can_be_chosen_by_who_adds_the_command(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    made: list[int] = []

    def cheap() -> Passwords:
        made.append(1)
        return Passwords(time_cost=1, memory_kib=8, lanes=1)

    parser = argparse.ArgumentParser()
    parser.set_defaults(json=False)
    staff_cli.add_to(
        parser.add_subparsers(),
        argparse.ArgumentParser(add_help=False),
        load=lambda _: config.load("config.toml", {}),
        passwords=cheap,
    )
    piped(monkeypatch, "correct horse\n")
    args = parser.parse_args(["create-admin", "anna"])
    assert args.do(args) == 0
    assert made == [1]
