"""`teledom crm codes`: run, list, make, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import teledom
from crm.store import Store
from testbed.billing import FakeBilling, Fault, running_billing
from testbed.databases import new_database
from tests.crm.companies.world import add_company

Output = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Two active companies and one that is not, without billing."""
    monkeypatch.delenv("TELEDOM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[crm]\nurl = "sqlite:///crm.db"\n')
    with Store(new_database(tmp_path / "crm.db")) as store:
        add_company(store, "Альфа")
        add_company(store, "Бета")
        add_company(store, "Гамма", active=False)
        yield store


@pytest.fixture
def billing(store: Store, tmp_path: Path) -> Iterator[FakeBilling]:
    fake = FakeBilling()
    with running_billing(fake) as url, (tmp_path / "config.toml").open("a") as settings:
        settings.write(f'[billing]\nurl = "{url}"\n')
        settings.flush()
        yield fake


def printed(capsys: Output, *arguments: str, code: int = 0) -> list[str]:
    assert teledom.main(["crm", "codes", *arguments]) == code
    return capsys.readouterr().out.splitlines()


def as_json(capsys: Output, *arguments: str, code: int = 0) -> Any:
    return json.loads("\n".join(printed(capsys, *arguments, "--json", code=code)))


def refused(capsys: Output, *arguments: str) -> str:
    """The one line that says why it could not be done."""
    assert teledom.main(["crm", "codes", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("teledom: ")
    assert said.err.count("\n") == 1
    return said.err


def test_run_makes_the_codes_that_are_due_once(store: Store, capsys: Output) -> None:
    (line,) = printed(capsys, "run")
    assert "2 made now, 2 in all; ended" in line
    again = as_json(capsys, "run")
    assert (again["made"], again["run"]["made"], again["billing_error"]) == (0, 2, "")


def test_list_shows_the_codes_that_hold_and_a_companys_history(store: Store, capsys: Output) -> None:
    assert printed(capsys, "list") == []
    printed(capsys, "run")
    held = as_json(capsys, "list")
    assert [each["company"] for each in held] == ["Альфа", "Бета"]
    lines = printed(capsys, "list")
    assert all(each["code"] in line for each, line in zip(held, lines, strict=True))
    printed(capsys, "make", "Альфа")
    history = as_json(capsys, "list", "Альфа")
    assert [each["made_by"] for each in history] == ["command line", ""]
    assert history[1]["ended_at"] is not None
    assert "ended" in printed(capsys, "list", "1")[1]


def test_make_makes_one_by_name_or_id(store: Store, capsys: Output) -> None:
    (made,) = as_json(capsys, "make", "Бета")
    (other,) = as_json(capsys, "make", str(made["company_id"]))
    assert made["company_id"] == other["company_id"]
    assert made["code"] != other["code"]
    assert "is not active" in refused(capsys, "make", "Гамма")
    assert "there is no company 'Дельта'" in refused(capsys, "make", "Дельта")
    assert "there is no company '99'" in refused(capsys, "list", "99")


def test_billing_is_told_at_once(store: Store, billing: FakeBilling, capsys: Output) -> None:
    (made,) = as_json(capsys, "make", "Альфа")
    assert billing.companies["B1"]["code"] == made["code"]
    assert made["billing_at"] is not None
    assert "2 in all" not in printed(capsys, "run")[0]  # the first had its own since Monday
    assert set(billing.companies) == {"B1", "B2"}


def test_billing_that_is_away_is_an_error_and_the_codes_are_made(
    store: Store, billing: FakeBilling, capsys: Output
) -> None:
    billing.fault = Fault.UNAVAILABLE
    billing.retry_after = "60"  # longer than the deadline: it does not wait for that
    assert teledom.main(["crm", "codes", "run"]) == 1
    said = capsys.readouterr()
    assert "2 made now, 2 in all; goes on, billing knows 2 not yet" in said.out
    assert "codes are made, and billing is told again later" in said.err
    assert len(as_json(capsys, "list")) == 2


def test_without_a_database_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[crm]\nurl = "sqlite:///none.db"\n')
    assert "teledom db upgrade" in refused(capsys, "run")
