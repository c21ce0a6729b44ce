"""`teledom sos test`: a test is asked for, and its result printed; results and overdue panels are listed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sos_cli
import teledom
from crm.calls.calls import save_calls
from crm.sos.tests import ask_test, claim_test, due_tests, finish_test, put_back
from crm.store import Store
from crm.values.records import CallRecord, Outcome
from tests.test_sos_cli import NOW, Output, as_json, local, printed, refused, store

__all__ = ["store"]


@pytest.fixture
def node(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """What takes the next test that is asked for, and does something with it."""
    monkeypatch.setattr(sos_cli, "POLL_S", 0.02)
    threads: list[threading.Thread] = []

    def run(act: Callable[[int], None]) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            for test in due_tests(store, time.time(), 1):
                assert claim_test(store, test.id, "node1", time.time())
                act(test.id)
                return
            time.sleep(0.02)

    def start(act: Callable[[int], None]) -> None:
        thread = threading.Thread(target=run, args=(act,), daemon=True)
        threads.append(thread)
        thread.start()

    return start


@pytest.mark.parametrize(
    ("passed", "words", "code"), [(True, "passed", 0), (False, "failed", 1), (None, "not made", 1)]
)
@pytest.mark.parametrize("panel", ["500001", "02:50:00:07:A1:21"])
def test_a_test_is_asked_for_and_its_result_is_printed(
    store: Store, node: Any, capsys: Output, passed: bool | None, words: str, code: int, panel: str
) -> None:
    node(lambda id: finish_test(store, id, passed, "so it was", "abc123", time.time()))
    said = printed(capsys, "test", panel, "--wait", "10", code=code)
    assert said == [f"500001, Челябинск, ул. Ленина 5, п. 1: {words}: so it was (call abc123)"]


def test_a_test_as_json(store: Store, node: Any, capsys: Output) -> None:
    node(lambda id: finish_test(store, id, False, "busy", "abc123", time.time()))
    said = as_json(capsys, "test", "500001", "--wait", "10", code=1)
    assert (said["passed"], said["result"], said["call_id"]) == (False, "busy", "abc123")


def test_no_node_is_said_and_the_test_is_taken_back(store: Store, capsys: Output) -> None:
    assert "not made in 1 s: no node took it" in refused(capsys, "test", "500001", "--wait", "1")
    assert due_tests(store, time.time() + 9e6, 9) == []


def test_why_a_test_was_put_off_is_said(store: Store, node: Any, capsys: Output) -> None:
    node(lambda id: put_back(store, id, time.time() + 3600, "a 112 call comes first"))
    assert "not made in 1 s: a 112 call comes first" in refused(capsys, "test", "500001", "--wait", "1")


def test_a_test_that_goes_on_for_longer_is_left_alone(store: Store, node: Any, capsys: Output) -> None:
    node(lambda id: None)
    assert "the test goes on: see `teledom sos test --last" in refused(
        capsys, "test", "500001", "--wait", "1"
    )


def test_an_unknown_panel_is_1(store: Store, capsys: Output) -> None:
    assert "no active panel has the SIP user or MAC '5'" in refused(capsys, "test", "5")


def made(store: Store, panel: str, ago_s: float, passed: bool) -> None:
    id = ask_test(store, panel, NOW - ago_s)
    claim_test(store, id, "node1", NOW - ago_s)
    finish_test(store, id, passed, "answered" if passed else "busy", f"call{id}", NOW - ago_s + 5)


def test_the_last_results_are_listed(store: Store, capsys: Output) -> None:
    assert printed(capsys, "test", "--last") == []
    made(store, "500001", 100, True)
    made(store, "500002", 50, False)
    head, first, second = printed(capsys, "test", "--last")
    assert head.split() == ["STARTED", "PANEL", "ADDRESS", "ASKED", "RESULT", "CALL"]
    assert first.split("  ")[0] == local(NOW - 50)
    assert "by hand  failed: busy" in first
    assert "Челябинск, ул. Ленина 5, п. 1" in second
    assert [each["panel"] for each in as_json(capsys, "test", "500001", "--last")] == ["500001"]
    assert len(as_json(capsys, "test", "--last", "--limit", "1")) == 1


def test_overdue_panels_of_tested_cities_are_listed(store: Store, capsys: Output) -> None:
    made(store, "500001", 86_400, True)
    made(store, "500002", 5 * 86_400, True)
    made(store, "500002", 86_400, False)
    talked = CallRecord("c", "node1", "500003", "112", NOW - 60, kind="sos", outcome=Outcome.TALKED)
    save_calls(store, [talked])
    assert teledom.main(["sos", "test", "--overdue"]) == 0
    said = capsys.readouterr()
    _, first, second = said.out.splitlines()
    assert first.split()[:3] == ["never", "500004", "02:50:00:07:a1:24"]
    assert second.startswith(local(NOW - 5 * 86_400 + 5))
    assert "500002" in second
    assert second.endswith("failed: busy")
    assert said.err == "[dispatch.default] has no test_number: its panels are not tested\n"
    rows = as_json(capsys, "test", "--overdue")
    assert [(each["panel"], each["passed_at"]) for each in rows] == [
        ("500004", None),
        ("500002", NOW - 5 * 86_400 + 5),
    ]
    assert rows[1]["last"]["result"] == "busy"


def test_nobody_is_overdue_where_no_test_is_ever_due(store: Store, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "config.toml"
    file.write_text(file.read_text() + "[sos]\ntest_days = 0\n")
    assert "test_days is 0" in refused(capsys, "test", "--overdue")
