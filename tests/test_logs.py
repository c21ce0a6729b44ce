"""The log: one line an event whatever stands in it, no secrets, and nobody fails by writing it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

import logs
from config import LogConfig, PushConfig


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_strangers_text_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json"):
        logs.set_up(LogConfig(format=form))
        logs.get_logger("router").warning("dialled", digits="12\n2026 [error] made up \x1b[31m")
        lines = written(capsys)
        assert len(lines) == 1
        assert "\x1b[31m" not in lines[0]


def test_json_is_an_object_a_line_with_the_trace_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogConfig(format="json"))
    logs.get_logger("ari").error("Мира", exc_info=ValueError("why"))
    (line,) = written(capsys)
    said: dict[str, Any] = json.loads(line)
    assert (said["event"], said["level"], said["part"]) == ("Мира", "error", "ari")
    assert "why" in said["exception"]
    assert said["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogConfig(level="warning"))
    logs.get_logger("ari").info("detail")
    assert written(capsys) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_settings_nor_a_trace_show_a_secret(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogConfig(format=form))
    token = "hu" + "sh"
    try:
        raise LookupError(len(token))
    except LookupError:
        logs.get_logger("push").exception("failed", settings=PushConfig(token=token))
    assert "hush" not in capsys.readouterr().err


def test_a_log_whose_reader_is_gone_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", buffering=1, closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        logs.set_up(LogConfig())
        logs.get_logger("ari").error("Asterisk is away")
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), write)  # so that closing it can write the rest
    logs.get_logger("ari").error("closed by now")
    os.close(write)


def test_what_lasts_is_said_when_it_begins_changes_and_ends() -> None:
    with capture_logs() as said:
        once = logs.Once(logs.get_logger("ari"))
        once.over("asterisk", "Asterisk is there")
        for state in ("refused", "refused", "password", "password"):
            once.say("asterisk", state, "Asterisk is away", why=state)
        once.over("asterisk", "Asterisk is there")
        once.over("asterisk", "Asterisk is there")
        once.say("asterisk", "refused", "Asterisk is away", why="refused")
    assert [(line["event"], line.get("why")) for line in said] == [
        ("Asterisk is away", "refused"),
        ("Asterisk is away", "password"),
        ("Asterisk is there", None),
        ("Asterisk is away", "refused"),
    ]
