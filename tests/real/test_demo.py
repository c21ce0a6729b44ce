"""`./run` as a process: it shows calls, counts them, and leaves nothing behind however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

TOP = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP)}


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "testbed.demo", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that work in `folder` or below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has just ended
    return found


def teledom(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a second terminal."""
    return subprocess.run(
        [sys.executable, "-m", "teledom", *arguments, "--config", "var/demo/config.toml"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def crm_of(demo: subprocess.Popen[str]) -> tuple[str, str, str]:
    """The CRM's address, and the login and password, as the demo says them."""
    assert demo.stdout is not None
    said = re.compile(r"the CRM is (http://127\.0\.0\.1:\d+)  login (\w+), password (\w+)\n")
    address, login, password = next(found for line in demo.stdout if (found := said.search(line))).groups()
    return address, login, password


def sign_in(address: str, login: str, password: str) -> tuple[int, str]:
    """The answer's status, and where it leads."""
    with httpx.Client(base_url=address) as client:
        client.get("/sign-in")
        form = {"login": login, "password": password, "_csrf_token": client.cookies["csrftoken"]}
        answer = client.post("/sign-in", data=form)
        if answer.status_code != 303:
            return answer.status_code, ""
        return client.get("/houses").status_code, answer.headers["location"]


def calls_of(folder: Path) -> list[dict[str, object]]:
    """What `teledom calls` tells of the demo's calls."""
    calls: list[dict[str, object]] = json.loads(teledom(folder, "calls", "--json").stdout)
    return calls


def test_it_ends_by_itself_and_every_call_was_bridged_and_heard_and_112_called_back(tmp_path: Path) -> None:
    with start(tmp_path, "--calls", "2") as demo:
        output, errors = demo.communicate(timeout=55)

    assert demo.returncode == 0, output + errors
    assert output.splitlines()[-1] == "2 calls: 2 bridged; 112: called, called back"
    assert output.count("  sound: the panel heard ") == 2
    assert "did NOT hear" not in output
    assert re.search(r"the duty desk's page is http://127\.0\.0\.1:\d+/sos\n", output)
    assert "  112 ← " in output  # the panel, or its address if that is known by then
    assert "  112 calls back → " in output
    calls = calls_of(tmp_path)
    assert sorted(str(call["kind"]) for call in calls) == ["call_back", "sos", "visitor", "visitor"]
    assert [call["outcome"] for call in calls] == ["talked"] * 4
    assert processes_of(tmp_path) == []


def test_while_it_runs_the_duty_desk_and_the_crm_have_pages_and_112_can_be_tested_by_hand(
    tmp_path: Path,
) -> None:
    with start(tmp_path) as demo:
        assert demo.stdout is not None
        page = next(line.split()[-1] for line in demo.stdout if "duty desk's page" in line)
        assert httpx.get(page).status_code == 200
        assert sign_in(*crm_of(demo)) == (200, "/")
        done = teledom(tmp_path, "sos", "test", "500001", "--wait", "20")
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (demo.returncode, errors) == (0, "")


@pytest.mark.timeout(150)
def test_while_it_runs_handsets_are_called_and_the_two_bad_ones_are_found(tmp_path: Path) -> None:
    # Visitors come seldom here: one who comes ends a quality call, which is made again a minute later.
    with start(tmp_path, "--every", "300") as demo:
        try:
            assert demo.stdout is not None
            next(line for line in demo.stdout if "  sound: the panel" in line)
            time.sleep(6)  # a panel is called when nobody has used it for 5 s
            flats = ("--flat", "пр. Победы 11, 7", "--flat", "ул. Мира 1, 14")
            hours = ("--hours", "0:00-23:59", "--days", "mon-sun")
            created = teledom(tmp_path, "quality", "campaign", "create", "demo", *flats, *hours)
            good = teledom(tmp_path, "quality", "test", "ул. Ленина 5, 42", "--timeout", "60")
            until, report = time.monotonic() + 90, ""
            while "2 of 2 flats done" not in report and time.monotonic() < until:
                time.sleep(0.5)
                report = teledom(tmp_path, "quality", "campaign", "report", "1").stdout
        finally:
            demo.send_signal(signal.SIGINT)
            _, errors = demo.communicate(timeout=30)

    assert created.returncode == 0, created.stderr
    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.splitlines()[1].startswith("good, confidence ")
    assert "2 of 2 flats done: 1 dead, 1 noisy" in report
    assert (demo.returncode, errors) == (0, "")
    assert processes_of(tmp_path) == []


def test_an_interrupt_while_sos_is_pressed_ends_everything(tmp_path: Path) -> None:
    with start(tmp_path, "--calls", "1") as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "dispatch-1: answered" in line:
                break
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)

    assert (demo.returncode, errors) == (0, "")
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM]])
def test_an_interrupt_in_the_midst_of_a_call_ends_everything(
    tmp_path: Path, signals: list[signal.Signals]
) -> None:
    with start(tmp_path) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "answered" in line:
                break
        assert processes_of(tmp_path)
        for number in signals:
            demo.send_signal(number)
            time.sleep(0.1)
        _, errors = demo.communicate(timeout=30)

    assert demo.returncode == 0, errors
    assert errors == ""
    assert processes_of(tmp_path) == []
    assert [call["outcome"] for call in calls_of(tmp_path)] in (["talked"], ["stopped"])


def test_where_no_real_asterisk_can_be_had_it_says_what_is_missing_and_what_else_there_is(
    tmp_path: Path,
) -> None:
    with start(tmp_path, "--calls", "1", TELEDOM_CACHE=str(tmp_path / "cache"), PATH="/nowhere") as demo:
        _, errors = demo.communicate(timeout=30)

    assert demo.returncode == 1
    assert "apt-get is not there" in errors
    assert "./run --simulated" in errors
    assert "[ari] url" in errors


@pytest.mark.parametrize("calls", ["0", "-1", "some"])
def test_a_number_of_calls_that_makes_no_sense_is_refused(tmp_path: Path, calls: str) -> None:
    with start(tmp_path, "--calls", calls) as demo:
        demo.communicate(timeout=30)

    assert demo.returncode == 2


def test_the_same_node_carries_calls_of_a_simulated_asterisk(tmp_path: Path) -> None:
    with start(tmp_path, "--simulated", "--calls", "1") as demo:
        output, errors = demo.communicate(timeout=55)

    assert demo.returncode == 0, output + errors
    assert output.splitlines()[-1] == "1 calls: 1 bridged"


def test_the_crm_lets_in_who_has_this_runs_password_and_ends_with_the_demo(tmp_path: Path) -> None:
    passwords = set()
    for _ in range(2):
        with start(tmp_path, "--simulated") as demo:
            address, login, password = crm_of(demo)
            try:
                assert httpx.get(f"{address}/healthz").text == "alive\n"
                assert sign_in(address, login, password) == (200, "/")
                for other in (login, "", "admin", "password"):
                    assert sign_in(address, login, other) == (403, "")
                assert sign_in(address, "admin", "admin") == (403, "")
            finally:
                demo.send_signal(signal.SIGINT)
                _, errors = demo.communicate(timeout=30)
        assert demo.returncode == 0, errors
        assert processes_of(tmp_path) == []
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/healthz")
        files = [file for file in (tmp_path / "var/demo").rglob("*") if file.is_file()]
        assert [file for file in files if password.encode() in file.read_bytes()] == []
        passwords.add(password)
    assert len(passwords) == 2
