"""The command line: what it prints, its exit codes, and what it says when something is wrong."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

import node
import teledom
from config import SECRETS, Config
from crm.calls.calls import save_calls
from crm.store import Store
from crm.values.records import CallRecord, Entry, EntryKind, LegEnd, LegRecord, Outcome
from testbed.databases import new_database

TOP = Path(teledom.__file__).parent
NOW = time.time()
Output = pytest.CaptureFixture[str]


def call(call_id: str, ago_s: float, **fields: object) -> CallRecord:
    at = NOW - ago_s
    record = CallRecord(
        call_id,
        "node1",
        "panel-12",
        "42",
        at,
        address="Челябинск, ул. Ленина 5, п. 2",
        flat="42",
        answered_at=at + 6,
        answered_by="7351",
        ended_at=at + 20,
        outcome=Outcome.TALKED,
        legs=[LegRecord("td-1-acc-1", "account", "7351", at, at + 1, at + 6, at + 20, LegEnd.DROPPED, 16)],
        entries=[Entry(at, EntryKind.BUTTON, "", {"panel": "panel-12", "dialled": "42"})],
    )
    return attrs.evolve(record, **fields)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config.toml with a database beside it that is not there yet; no secrets, and nothing else, are set."""
    for name in ("TELEDOM_CONFIG", *SECRETS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text('[crm]\nurl = "sqlite:///crm.db"\n')
    return path


@pytest.fixture
def calls(file: Path) -> Path:
    """The same, with three calls in the database."""
    with Store(new_database(file.parent / "crm.db")) as store:
        save_calls(
            store,
            [
                call("aa11bb22cc33dd44", 7000),
                call("aa99", 60, panel="panel-13", address="Копейск, пр. Победы 11, п. 1", flat="7"),
                call("bb00", 100_000, flat="43"),
            ],
        )
    return file


# --- which configuration -------------------------------------------------------------------------------------------


def test_config_toml_of_the_folder_is_used(file: Path, capsys: Output) -> None:
    assert teledom.main(["check-config"]) == 0
    assert "config.toml: well" in capsys.readouterr().out


def test_the_environment_names_another_and_the_option_one_before_that(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("TELEDOM_CONFIG", "from-environment.toml")
    assert teledom.main(["check-config"]) == 2
    assert "from-environment.toml" in capsys.readouterr().err
    assert teledom.main(["check-config", "--config", "from-option.toml"]) == 2
    assert "from-option.toml" in capsys.readouterr().err
    assert teledom.main(["check-config", "--config", str(file)]) == 0


@pytest.mark.parametrize(
    "command", [["node"], ["calls"], ["calls", "show", "a"], ["db", "upgrade"], ["db", "demo"]]
)
def test_a_wrong_configuration_starts_nothing(
    file: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("TELEDOM_ARI_PASSWORD", "hush")
    file.write_text("[call]\nring_s = 0\n")
    assert teledom.main(command) == 2
    said = capsys.readouterr()
    assert said.err == "config.toml:2: [call] ring_s = 0: a number of seconds from 1 to 300 is expected\n"
    assert said.out == ""
    assert [each.name for each in file.parent.iterdir()] == ["config.toml"]


def test_errors_of_the_configuration_as_json(file: Path, capsys: Output) -> None:
    file.write_text("[call]\nring_s = 0\ntalk_s = 0\n")
    assert teledom.main(["check-config", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    assert [line.split(":")[1] for line in said["errors"]] == ["2", "3"]


def test_settings_as_json_say_which_secrets_are_set_and_never_what_they_are(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    for name in ("ARI_PASSWORD", "DUTY_TOKEN", "NODE_TOKEN"):
        monkeypatch.setenv(f"TELEDOM_{name}", "hush")
    assert teledom.main(["check-config", "--json"]) == 0
    out = capsys.readouterr().out
    said = json.loads(out)
    assert said["settings"]["call"]["ringing"] == "180"
    assert said["settings"]["node"]["state_dir"] == f"{file.parent}/var"
    assert said["secrets"] == {
        "TELEDOM_ARI_PASSWORD": True,
        "TELEDOM_PUSH_TOKEN": False,
        "TELEDOM_DUTY_TOKEN": True,
        "TELEDOM_NODE_TOKEN": True,
        "TELEDOM_BILLING_TOKEN": False,
        "TELEDOM_SECRET_KEY": False,
    }
    assert "hush" not in out


def test_a_node_needs_its_secret_and_is_not_started_without(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    started: list[Config] = []

    def main(config: Config) -> int:
        started.append(config)
        return 7

    monkeypatch.setattr(node, "main", main)
    assert teledom.main(["node"]) == 2
    assert "TELEDOM_ARI_PASSWORD" in capsys.readouterr().err
    assert started == []

    monkeypatch.setenv("TELEDOM_ARI_PASSWORD", "hush")
    assert teledom.main(["node"]) == 7
    assert started[0].ari.password == "hush"


# --- the database --------------------------------------------------------------------------------------------------


def test_the_database_is_made_and_filled(file: Path, capsys: Output) -> None:
    assert teledom.main(["db", "upgrade"]) == 0
    assert "crm.db: ready" in capsys.readouterr().out
    assert teledom.main(["db", "demo"]) == 0
    assert "the demo town" in capsys.readouterr().out
    assert teledom.main(["calls"]) == 0
    assert "no calls found" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["calls"], ["calls", "show", "aa"]])
def test_a_database_that_is_not_there_is_one_line_that_says_what_to_do(
    file: Path, command: list[str], capsys: Output
) -> None:
    assert teledom.main(command) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "crm.db" in said.err
    assert "teledom db upgrade" in said.err


# --- calls ---------------------------------------------------------------------------------------------------------


def listed(capsys: Output, *arguments: str) -> list[str]:
    assert teledom.main(["calls", "--json", *arguments]) == 0
    return [each["call_id"][:4] for each in json.loads(capsys.readouterr().out)]


def test_calls_are_listed_newest_first(calls: Path, capsys: Output) -> None:
    assert teledom.main(["calls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["aa99", "aa11bb22", "bb00"]
    assert "Копейск, пр. Победы 11, п. 1 → flat 7" in lines[0]


def test_calls_are_chosen_by_panel_flat_time_and_number(calls: Path, capsys: Output) -> None:
    assert listed(capsys) == ["aa99", "aa11", "bb00"]
    assert listed(capsys, "--panel", "panel-12") == ["aa11", "bb00"]
    assert listed(capsys, "--flat", "43") == ["bb00"]
    assert listed(capsys, "--since", "30m") == ["aa99"]
    assert listed(capsys, "--since", "3h") == ["aa99", "aa11"]
    assert listed(capsys, "--limit", "1") == ["aa99"]
    assert listed(capsys, "--panel", "panel-13", "--flat", "42") == []


@pytest.mark.parametrize("part", ["Победы", "победы 11", "КОПЕЙСК", "пр. Победы 11, п. 1"])
def test_a_panel_can_be_named_by_part_of_its_address(calls: Path, capsys: Output, part: str) -> None:
    assert listed(capsys, "--panel", part) == ["aa99"]


def test_wildcards_in_an_address_are_plain_text(calls: Path, capsys: Output) -> None:
    assert listed(capsys, "--panel", "%") == []


def test_a_call_is_shown_by_as_much_of_its_id_as_is_needed(calls: Path, capsys: Output) -> None:
    assert teledom.main(["calls", "show", "aa1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("call aa11bb22cc33dd44")
    assert "button: panel panel-12 calls 42" in out

    assert teledom.main(["calls", "show", "bb", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["call_id"], said["outcome"], said["talked_s"]) == ("bb00", "talked", 14.0)
    assert said["legs"][0]["end"] == "dropped"


def test_an_id_that_is_no_calls_is_an_error(calls: Path, capsys: Output) -> None:
    assert teledom.main(["calls", "show", "ff"]) == 1
    assert "no call has an id that begins with ff" in capsys.readouterr().err


def test_an_id_that_is_several_calls_names_them(calls: Path, capsys: Output) -> None:
    assert teledom.main(["calls", "show", "aa"]) == 1
    assert "aa11bb22cc33dd44, aa99" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(calls: Path) -> None:
    url = f"sqlite:///{calls.parent}/crm.db"
    with Store(url) as store:
        save_calls(store, [call(f"c{n:04}", n) for n in range(1500)])
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m teledom calls --limit 1500 | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


# --- --since -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ago_s"), [("45s", 45), ("30m", 1800), ("2h", 7200), ("7d", 604_800), ("2 h", 7200)]
)
def test_since_takes_how_long_ago(text: str, ago_s: float) -> None:
    assert abs(time.time() - ago_s - teledom._since(text)) < 5


def test_since_takes_a_date_and_a_moment_of_this_machines_zone() -> None:
    for text, moment in {
        "2026-11-24": datetime.datetime(2026, 11, 24),
        "2026-11-24T14:03": datetime.datetime(2026, 11, 24, 14, 3),
        "2026-11-24 14:03:22": datetime.datetime(2026, 11, 24, 14, 3, 22),
        "2026-11-24T14:03+05:00": datetime.datetime.fromisoformat("2026-11-24T14:03+05:00"),
    }.items():
        assert teledom._since(text) == moment.astimezone().timestamp()


def test_since_takes_a_time_of_day_the_last_that_was() -> None:
    for text in ("00:00", "9:30", "14:03", "23:59:59"):
        point = teledom._since(text)
        assert -1 < time.time() - point < 25.1 * 3600
        shown = datetime.datetime.fromtimestamp(point).strftime("%H:%M:%S")
        assert shown.startswith(text.zfill(5) if text.count(":") == 1 else text)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "25:00", "2026-13-01", "2x", "-2h", "99999999999h", "１２:00"]
)
def test_since_refuses_what_is_no_time_and_says_what_is(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 2026-11-24"):
        teledom._since(text)


# --- the command line itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["calls", "--limit", "0"],
        ["calls", "--since", "noon"],
        ["bench", "nonsense"],
        ["db"],
    ],
)
def test_a_wrong_command_line_is_2(file: Path, arguments: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        teledom.main(arguments)
    assert caught.value.code == 2
    assert "usage: teledom" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [[], ["node"], ["check-config"], ["calls"], ["calls", "show"], ["db"], ["db", "upgrade"], ["bench"]],
)
def test_every_command_has_help(command: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        teledom.main([*command, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: teledom")


def test_a_bench_has_its_own_help(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["teledom"])
    monkeypatch.delitem(sys.modules, "bench.calls", raising=False)  # it is run, not imported
    with pytest.raises(SystemExit) as caught:
        teledom.main(["bench", "calls", "--help"])
    assert caught.value.code == 0
    assert "--rate" in capsys.readouterr().out


def test_the_program_runs_from_any_folder_and_keeps_exit_codes(file: Path) -> None:
    done = subprocess.run(
        [TOP / "teledom", "check-config"], cwd=file.parent, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        [TOP / "teledom", "check-config", "--config", "nowhere.toml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
