"""`teledom quality`: campaigns, a test call, the grid, and its exit codes."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from datetime import time as clock
from pathlib import Path
from typing import Any

import pytest

import quality_cli
import teledom
from crm.quality import making
from crm.quality.campaigns import campaigns, find_campaign, find_flat, set_state
from crm.quality.tasks import claim_task, due_tasks, finish_task, put_back
from crm.store import DatabaseAway, Store
from crm.values.quality import CallType, CampaignState, Hours, Only, Result, Scope, Task
from testbed.databases import write_town

ZONE = "Asia/Yekaterinburg"
FLATS = 13  # of the demo town
MEASURES = [{"name": "snr", "value": 9.1, "unit": "dB", "threshold": 15.0, "well": False}]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The demo town."""
    monkeypatch.delenv("TELEDOM_CONFIG", raising=False)
    monkeypatch.setattr(quality_cli, "POLL_S", 0.02)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[crm]\nurl = "sqlite:///crm.db"\n')
    write_town(tmp_path / "crm.db")
    return Store(f"sqlite:///{tmp_path}/crm.db")


def printed(capsys: Output, *arguments: str, code: int = 0) -> list[str]:
    assert teledom.main(["quality", *arguments]) == code
    return capsys.readouterr().out.splitlines()


def as_json(capsys: Output, *arguments: str, code: int = 0) -> Any:
    return json.loads("\n".join(printed(capsys, *arguments, "--json", code=code)))


def refused(capsys: Output, *arguments: str) -> str:
    """The one line that says why it could not be done."""
    assert teledom.main(["quality", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("teledom: ")
    assert said.err.count("\n") == 1
    return said.err


def wrong(capsys: Output, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        teledom.main(["quality", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


def result(task: Task, verdict: str) -> Result:
    now = time.time()
    return Result(
        task_id=task.id,
        flat_id=task.flat_id,
        campaign_id=task.campaign_id,
        kind=task.kind,
        verdict=verdict,
        confidence=0.9,
        why="hum",
        measures=json.dumps(MEASURES),
        recording="a.wav",
        panel=task.panel,
        started_at=now - 20,
        ended_at=now,
    )


def call(store: Store, verdict: str, campaign: int | None) -> Task:
    (task,) = due_tasks(store, campaign, [ZONE], time.time(), 1)
    assert claim_task(store, task.id, "n1", time.time(), 9)
    finish_task(store, task.id, result(task, verdict))
    return task


@contextmanager
def node(store: Store, verdict: str) -> Iterator[None]:
    """Something that makes one test call: it has to wait at first, then has a verdict ("": it never ends)."""

    def make() -> None:
        until = time.monotonic() + 20
        while not (due := due_tasks(store, None, [], time.time(), 1)) and time.monotonic() < until:
            time.sleep(0.01)
        (task,) = due
        assert claim_task(store, task.id, "n1", time.time(), 9)
        if not verdict:
            return
        put_back(store, task.id, 0.0, "a visitor calls", False, time.time())
        time.sleep(0.1)
        assert claim_task(store, task.id, "n1", time.time(), 9)
        time.sleep(0.1)
        finish_task(store, task.id, result(task, verdict))

    thread = threading.Thread(target=make)
    thread.start()
    yield
    thread.join()


# --- campaigns -----------------------------------------------------------------------------------------------------


def test_a_campaign_is_made_with_what_is_said_in_the_ways_of_people(store: Store, capsys: Output) -> None:
    said = as_json(
        capsys,
        *("campaign", "create", "Зима", "--house", "Челябинск, ул. Ленина 5", "--flat", "ул. Мира 1, 12"),
        *("--city", "копейск", "--panel", "02:50:00:07:A1:24", "--only", "never", "--type", "connection"),
        *("--hours", "9:30-21:00", "--days", "mon,sat-sun", "--holiday", "2027-01-01", "--spacing", "90s"),
        *("--per-house", "2", "--attempts", "5", "--again", "2d", "--priority", "-1"),
    )
    made = find_campaign(store, said["id"])
    assert said["flats"] == 11  # all but the two of ул. Ленина 7
    assert made.scope == Scope((2,), (1,), ("500004",), (find_flat(store, "ул. Мира 1, 12"),))
    assert made.hours == Hours(clock(9, 30), clock(21), frozenset({0, 5, 6}), frozenset({date(2027, 1, 1)}))
    assert (made.name, made.kind, made.only) == ("Зима", CallType.CONNECTION, Only.NEVER)
    assert (made.spacing_s, made.per_house, made.attempts) == (90.0, 2, 5)
    assert (made.attempt_spacing_s, made.priority) == (172_800.0, -1)
    assert made.created_at == pytest.approx(time.time(), abs=60)


def test_a_campaign_of_nothing_but_a_name_is_of_all_flats_by_the_defaults(
    store: Store, capsys: Output
) -> None:
    assert printed(capsys, "campaign", "create", "all") == [f"campaign 1 has begun: {FLATS} flats to call"]
    made = find_campaign(store, 1)
    assert (made.scope, made.hours, made.kind) == (Scope(), Hours(), CallType.PLANNED)
    assert (made.spacing_s, made.attempt_spacing_s) == (900.0, 14_400.0)


def test_what_does_not_exist_or_takes_no_flat_makes_no_campaign(store: Store, capsys: Output) -> None:
    create = ("campaign", "create", "x")
    assert "no house ул. Ленина 99" in refused(capsys, *create, "--house", "ул. Ленина 99")
    assert "no flat 999" in refused(capsys, *create, "--flat", "999")
    assert "Москва" in refused(capsys, *create, "--city", "Москва")
    assert "'nobody'" in refused(capsys, *create, "--panel", "nobody")
    assert "no flat is in it" in refused(capsys, *create, "--only", "bad")
    assert campaigns(store) == []


@pytest.fixture
def house_by_house(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "HOUSES_AT_ONCE", 1)
    monkeypatch.setattr(quality_cli, "REST_S", 0.0)


def breaks_at(count: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever makes a campaign is interrupted before its portion of this number."""
    portions = 0

    def make_some(*arguments: Any) -> bool:
        nonlocal portions
        portions += 1
        if portions == count:
            raise error
        return made(*arguments)

    made = making.make_some
    monkeypatch.setattr(making, "make_some", make_some)


@pytest.mark.usefixtures("house_by_house")
def test_a_large_campaign_is_made_before_the_command_ends(store: Store, capsys: Output) -> None:
    assert printed(capsys, "campaign", "create", "all") == [f"campaign 1 has begun: {FLATS} flats to call"]
    assert find_campaign(store, 1).state is CampaignState.RUNNING
    assert as_json(capsys, "campaign", "create", "all") == {"id": 2, "flats": FLATS}


@pytest.mark.usefixtures("house_by_house")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), DatabaseAway("the database is away")])
def test_a_making_that_was_interrupted_says_what_goes_on_with_it(
    store: Store, capsys: Output, error: BaseException
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        breaks_at(2, error, patch)
        said = refused(capsys, "campaign", "create", "all")
    assert f"campaign 1 is not made yet ({str(error) or 'interrupted'})" in said
    assert "`teledom quality campaign resume 1`" in said
    _, line = printed(capsys, "campaign", "list")
    assert "being made" in line
    (listed,) = as_json(capsys, "campaign", "list")
    assert (listed["state"], listed["making"]["made"]) == ("being_made", 1)

    assert printed(capsys, "campaign", "resume", "1") == ["campaign 1 is running"]
    assert find_campaign(store, 1).state is CampaignState.RUNNING
    assert as_json(capsys, "campaign", "list")[0]["progress"]["total"] == FLATS
    assert "is running already" in refused(capsys, "campaign", "resume", "1")


@pytest.mark.usefixtures("house_by_house")
def test_a_making_that_somebody_pauses_waits_for_resume(store: Store, capsys: Output) -> None:
    made = making.make_some

    def paused_meanwhile(store: Store, id: int, now: float) -> bool:
        set_state(store, id, CampaignState.PAUSED, now)
        return made(store, id, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "make_some", paused_meanwhile)
        assert "campaign 1 is paused" in refused(capsys, "campaign", "create", "all")
    assert printed(capsys, "campaign", "resume", "1") == ["campaign 1 is running"]
    assert as_json(capsys, "campaign", "report", "1")["progress"]["total"] == FLATS


@pytest.mark.usefixtures("house_by_house")
def test_a_large_campaign_without_flats_is_impossible_and_says_why(store: Store, capsys: Output) -> None:
    assert "campaign 1 is impossible: no flat is in it" in refused(
        capsys, "campaign", "create", "x", "--only", "bad"
    )
    assert printed(capsys, "campaign", "report", "1")[0].startswith("campaign 1: impossible, begun")
    assert "is impossible, which is for good" in refused(capsys, "campaign", "resume", "1")


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--hours", "20:00-10:00", "write 10:00-20:00"),
        ("--days", "fri-mon", "write mon-fri"),
        ("--holiday", "tomorrow", "write 2026-12-31"),
        ("--spacing", "15", "write 30s, 15m, 4h or 2d"),
        ("--attempts", "0", "a whole number"),
        ("--type", "test", "invalid choice"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_how_to_write_it(
    store: Store, capsys: Output, option: str, value: str, says: str
) -> None:
    assert says in wrong(capsys, "campaign", "create", "x", option, value)
    assert campaigns(store) == []


def test_campaigns_are_listed_with_their_progress_and_changed_by_their_number(
    store: Store, capsys: Output
) -> None:
    assert printed(capsys, "campaign", "list") == []
    printed(capsys, "campaign", "create", "first")
    call(store, "one_way", 1)
    assert printed(capsys, "campaign", "pause", "1") == ["campaign 1 is paused"]
    assert "is paused already" in refused(capsys, "campaign", "pause", "1")
    head, line = printed(capsys, "campaign", "list")
    assert head.split() == [
        *("ID", "NAME", "STATE", "CREATED", "FLATS", "WAITING", "CALLING", "DONE", "VERDICTS"),
    ]
    assert line.split()[:3] == ["1", "first", "paused"]
    assert line.split()[5:] == [str(FLATS), str(FLATS - 1), "0", "1", "1", "one", "way"]
    assert as_json(capsys, "campaign", "resume", "1") == {"id": 1, "state": "running"}
    (said,) = as_json(capsys, "campaign", "list")
    assert (said["state"], said["kind"], said["hours"]["begin"]) == ("running", 2, "10:00")
    assert said["progress"]["verdicts"] == {"one_way": 1}
    printed(capsys, "campaign", "stop", "1")
    assert find_campaign(store, 1).state is CampaignState.STOPPED
    assert "no campaign 7" in refused(capsys, "campaign", "stop", "7")


def test_a_report_is_a_summary_with_the_bad_ones_or_every_flat_as_data(
    store: Store, capsys: Output, tmp_path: Path
) -> None:
    printed(capsys, "campaign", "create", "x")
    bad, good = call(store, "noisy", 1), call(store, "good", 1)
    first, second, head, *lines = printed(capsys, "campaign", "report", "1")
    assert first.startswith("campaign 1: running, begun 20")
    assert second == f"2 of {FLATS} flats done: 1 good, 1 noisy"
    assert head.split() == ["VERDICT", "ADDRESS", "FLAT", "PANEL", "WHY"]
    (line,) = lines
    assert line.startswith("noisy ")
    assert bad.address in line
    assert line.endswith("hum")

    said = as_json(capsys, "campaign", "report", "1")
    assert len(said["tasks"]) == FLATS
    by_flat = {each["flat_id"]: each for each in said["tasks"]}
    assert by_flat[bad.flat_id]["measures"] == MEASURES
    assert (by_flat[good.flat_id]["verdict"], by_flat[good.flat_id]["confidence"]) == ("good", 0.9)

    assert printed(capsys, "campaign", "report", "1", "--csv", "r.csv") == [f"{FLATS} flats are in r.csv"]
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["flat_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == FLATS
    assert json.loads(rows[str(bad.flat_id)]["measures"]) == MEASURES
    assert rows[str(bad.flat_id)]["address"] == bad.address
    assert "No such file" in refused(capsys, "campaign", "report", "1", "--csv", "away/r.csv")
    assert "no campaign 2" in refused(capsys, "campaign", "report", "2")


# --- one flat, one house -------------------------------------------------------------------------------------------


def test_a_test_call_waits_for_its_result_saying_how_it_stands(store: Store, capsys: Output) -> None:
    with node(store, "noisy"):
        assert teledom.main(["quality", "test", "ул. Ленина 5, 1"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[:2] == [
        "Челябинск, ул. Ленина 5, п. 1, flat 1",
        "noisy, confidence 0.90: hum",
    ]
    assert [line.split() for line in said.out.splitlines()[3:]] == [["snr", "9.1", "15", "dB", "not", "well"]]
    assert "waiting: a visitor calls" in said.err
    assert "calling 1 through panel 500001, Челябинск, ул. Ленина 5, п. 1" in said.err


def test_a_good_handset_is_exit_code_0_and_json_has_it_all(store: Store, capsys: Output) -> None:
    with node(store, "good"):
        said = as_json(capsys, "test", "ул. Ленина 5, 1")
    assert (said["verdict"], said["panel"], said["measures"]) == ("good", "500001", MEASURES)


def test_a_test_that_no_node_takes_is_taken_back(store: Store, capsys: Output) -> None:
    assert teledom.main(["quality", "test", "ул. Ленина 5, 1", "--timeout", "1"]) == 1
    assert "was not made in 1 s (waiting: for a node)" in capsys.readouterr().err
    assert due_tasks(store, None, [], time.time(), 5) == []


def test_a_call_that_goes_on_is_not_taken_back(store: Store, capsys: Output) -> None:
    with node(store, ""):
        assert teledom.main(["quality", "test", "ул. Ленина 5, 1", "--timeout", "1"]) == 1
    assert "no result in 1 s, and the call goes on" in capsys.readouterr().err


def test_a_flat_that_is_not_known_is_not_called(store: Store, capsys: Output) -> None:
    assert "no flat Ленина 5, 77" in refused(capsys, "test", "Ленина 5, 77")


def test_the_grid_of_a_house_is_an_svg_file(store: Store, capsys: Output, tmp_path: Path) -> None:
    assert printed(capsys, "grid", "ул. Ленина 5", "--svg", "g.svg") == [
        "Челябинск, ул. Ленина 5: 7 flats are in g.svg"
    ]
    assert (tmp_path / "g.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert as_json(capsys, "grid", "1", "--svg", "g.svg")["flats"] == 7
    assert "No such file" in refused(capsys, "grid", "1", "--svg", "away/g.svg")
    assert "no house 99" in refused(capsys, "grid", "99", "--svg", "g.svg")
