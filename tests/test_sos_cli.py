"""`teledom sos`: what it prints of pools, leases and tests, and its exit codes."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

import teledom
from crm.sos.leases import add_numbers, commit, load_pool
from crm.store import Store
from crm.town.town import city_fias
from crm.values.sos import Lease, Why
from testbed.databases import write_town

NOW = time.time()
CHEL, KOP = city_fias("Челябинск"), city_fias("Копейск")
MAC = "02500007a121"  # of panel 500001
Output = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The demo town, and settings with a dispatch for one of its cities."""
    monkeypatch.delenv("TELEDOM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(
        f"""
[crm]
url = "sqlite:///crm.db"
[dispatch.chel]
fias = "{CHEL}"
trunks = ["dispatch-1", "dispatch-2"]
test_number = "7001"
reserve = ["+73512000091", "+73512000092"]
"""
    )
    write_town(tmp_path / "crm.db")
    store = Store(f"sqlite:///{tmp_path}/crm.db")
    with store.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM sos_numbers")
        connection.exec_driver_sql("DELETE FROM sos_pools")
    return store


def lease(number: str, ended_ago_s: float | None, panel: str = "500001", **changes: Any) -> Lease:
    """A lease whose call lasted for a minute, or goes on."""
    ended = None if ended_ago_s is None else NOW - ended_ago_s
    began = NOW - 30 if ended is None else ended - 60
    held = None if ended is None else ended + 1800
    call = f"call{number[-2:]}{panel[-1]}"
    made = Lease(call, CHEL, number, panel, MAC, call, "node1", Why.FREE, began, ended, held)
    return attrs.evolve(made, **changes)


def numbers(store: Store, *leases: Lease) -> None:
    """Eight numbers in Chelyabinsk, some of them lent."""
    add_numbers(store, CHEL, [f"+7351200000{n}" for n in range(8)])
    commit(store, CHEL, load_pool(store, CHEL).version, leases)


def printed(capsys: Output, *arguments: str, code: int = 0) -> list[str]:
    assert teledom.main(["sos", *arguments]) == code
    return capsys.readouterr().out.splitlines()


def as_json(capsys: Output, *arguments: str, code: int = 0) -> Any:
    assert teledom.main(["sos", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def refused(capsys: Output, *arguments: str) -> str:
    """The one line that says why it could not be done."""
    assert teledom.main(["sos", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("teledom: ")
    assert said.err.count("\n") == 1
    return said.err


def local(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


# --- pools ---------------------------------------------------------------------------------------------------------


def test_pools_show_how_each_citys_numbers_stand(store: Store, capsys: Output) -> None:
    numbers(
        store,
        lease("+73512000000", None),
        lease("+73512000001", 60),
        lease("+73512000002", 120),
        lease("+73512000003", 4000),
        lease("+73512000004", 20_000),
        lease("+73512000091", 60),
    )
    head, chel, default, *notes = printed(capsys, "pools")
    assert head.split("  ")[0] == "DISPATCH"
    assert head.split()[-7:] == ["NUMBERS", "FREE", "KEPT", "GUARANTEED", "IN", "CALL", "RESERVE"]
    assert chel.split() == [
        *("chel", "Челябинск", CHEL, "dispatch-1,", "dispatch-2", "8", "4", "1", "2", "1"),
        *("1", "of", "2", "free"),
    ]
    assert default.split()[:3] == ["default", "any", "other"]
    assert notes == [
        "[dispatch.default]: it has no numbers: `teledom sos pools add default NUMBER…` puts some in",
        "[dispatch.default]: it has no trunks, so it cannot be called",
    ]


def test_pools_as_json(store: Store, capsys: Output) -> None:
    numbers(store, lease("+73512000000", None))
    chel, default = as_json(capsys, "pools")
    assert (chel["dispatch"], chel["city"], chel["fias"]) == ("chel", "Челябинск", CHEL)
    assert [chel[key] for key in ("numbers", "free", "kept", "guaranteed", "in_call", "reserve_free")] == [
        *(8, 7, 0, 0, 1, 2)
    ]
    assert chel["trunks"] == ["dispatch-1", "dispatch-2"]
    assert chel["notes"] == []
    assert len(default["notes"]) == 2


def test_numbers_of_a_city_without_a_dispatch_are_pointed_out(store: Store, capsys: Output) -> None:
    add_numbers(store, KOP, ["+73513900001"])
    add_numbers(store, "ffffffff-0000-0000-0000-000000000000", ["+73510000001"])
    said = printed(capsys, "pools")
    assert "Копейск: no [dispatch.…] has this city, so its numbers are lent to nobody" in said
    assert any(line.startswith("ffffffff-") and "lent to nobody" in line for line in said)


@pytest.mark.parametrize("city", ["chel", "Челябинск", "челябинск", CHEL, CHEL.upper()])
def test_numbers_are_put_into_the_pool_of_a_city_however_it_is_named(
    store: Store, capsys: Output, city: str
) -> None:
    assert printed(capsys, "pools", "add", city, "+73512000001", "+73512000002") == ["2 put in"]
    again = printed(capsys, "pools", "add", city, "+73512000002", "+73512000003")
    assert again == ["1 put in; 1 that a pool has already left alone"]
    assert len(load_pool(store, CHEL).numbers) == 3
    assert as_json(capsys, "pools", "add", city, "+73512000004") == {"fias": CHEL, "added": 1}


def test_numbers_for_the_default_dispatch(store: Store, capsys: Output) -> None:
    printed(capsys, "pools", "add", "default", "+73510000001")
    assert len(load_pool(store, "").numbers) == 1


def test_what_is_no_number_or_no_city_is_put_in_nowhere(store: Store, capsys: Output) -> None:
    assert "'12-34' is no telephone number" in refused(capsys, "pools", "add", "chel", "12345", "12-34")
    assert "Москва" in refused(capsys, "pools", "add", "Москва", "12345")
    assert load_pool(store, CHEL).numbers == ()


# --- leases --------------------------------------------------------------------------------------------------------


def test_leases_are_listed_with_the_panels_address_and_why_in_words(store: Store, capsys: Output) -> None:
    old, new = lease("+73512000001", 4000), lease("+73512000002", None, "500006", why=Why.EXPIRED)
    gone = lease("+73512000003", 9000, "gone")
    numbers(store, old, new, gone)
    head, *lines = printed(capsys, "leases")
    assert head.split()[:4] == ["STARTED", "ENDED", "HELD", "UNTIL"]
    first, second, third = ([cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines)
    assert first == [
        *(local(new.started_at), "+73512000002", "500006", "Копейск, пр. Коммунистический 3, п. 1"),
        *("call026", "kept for another panel, whose guarantee was over"),
    ]
    assert second == [
        *(local(old.started_at), local(NOW - 4000), local(NOW - 2200), "+73512000001", "500001"),
        *("Челябинск, ул. Ленина 5, п. 1", "call011", "free, the longest unused"),
    ]
    assert third[4:6] == ["gone", "call03e"]


def test_leases_are_chosen_by_number_panel_city_and_time(store: Store, capsys: Output) -> None:
    numbers(
        store,
        lease("+73512000001", 4000),
        lease("+73512000002", 60, "500002", domophone="02500007a122"),
        lease("+73513900001", 90, "500006", fias=KOP, domophone="02500007a126"),
    )

    def found(*arguments: str) -> list[str]:
        return [each["panel"] for each in as_json(capsys, "leases", *arguments)]

    assert found() == ["500002", "500006", "500001"]
    assert found("--number", "8 351 200-00-01") == ["500001"]
    assert found("--panel", "500002") == found("--panel", "02:50:00:07:A1:22") == ["500002"]
    assert found("--city", "chel") == found("--city", "Челябинск") == ["500002", "500001"]
    assert found("--city", KOP) == ["500006"]
    assert found("--since", "30m") == ["500002", "500006"]
    assert found("--limit", "1") == ["500002"]
    assert found("--panel", "nobody") == []
    assert printed(capsys, "leases", "--panel", "nobody") == []
    assert "Москва" in refused(capsys, "leases", "--city", "Москва")


def test_leases_as_json(store: Store, capsys: Output) -> None:
    numbers(store, lease("+73512000001", 4000))
    (said,) = as_json(capsys, "leases")
    assert (said["number"], said["why"], said["ended_at"]) == ("+73512000001", "free", NOW - 4000)
    assert said["address"] == "Челябинск, ул. Ленина 5, п. 1"


# --- who -----------------------------------------------------------------------------------------------------------


def fields(lines: list[str]) -> dict[str, str]:
    return {line[:12].strip(): line[12:] for line in lines}


@pytest.mark.parametrize(
    ("ended_ago_s", "guaranteed"),
    [
        (None, "in a call"),
        (60, f"until {local(NOW + 1740)}"),
        (4000, f"was until {local(NOW - 2200)}; kept until it is needed"),
        (99_999, f"was until {local(NOW - 98_199)}; a call back reaches this panel until it is lent again"),
    ],
    ids=["in a call", "held", "kept", "anybody's"],
)
def test_who_tells_the_panel_its_address_and_how_long_it_is_guaranteed(
    store: Store, capsys: Output, ended_ago_s: float | None, guaranteed: str
) -> None:
    mine = lease("+73512000001", ended_ago_s)
    numbers(store, mine)
    for words in (["+73512000001"], ["8", "351", "200-00-01"], ["3512000001"]):
        assert fields(printed(capsys, "who", *words)) == {
            "number": "+73512000001",
            "panel": "500001",
            "MAC": "02:50:00:07:a1:21",
            "address": "Челябинск, ул. Ленина 5, п. 1",
            "since": local(mine.started_at),
            "guaranteed": guaranteed,
            "call": "call011: see `teledom calls show call011`",
            "why": "free, the longest unused",
        }


def test_who_tells_who_it_was_at_a_time(store: Store, capsys: Output) -> None:
    numbers(store, lease("+73512000001", 20_000), lease("+73512000001", 60, "500002"))
    assert fields(printed(capsys, "who", "+73512000001"))["panel"] == "500002"
    then = fields(printed(capsys, "who", "+73512000001", "--at", "5h"))
    assert then["panel"] == "500001"
    assert then["guaranteed"].startswith("was until ")
    at = datetime.fromtimestamp(NOW - 20_030).isoformat()
    assert fields(printed(capsys, "who", "+73512000001", "--at", at))["guaranteed"] == "in a call"
    assert "no panel has stood" in refused(capsys, "who", "+73512000001", "--at", "7d")


def test_nobody_behind_a_number_is_1_and_one_line(store: Store, capsys: Output) -> None:
    assert refused(capsys, "who", "+7351", "299") == "teledom: no panel has ever stood behind +7351 299\n"
    assert refused(capsys, "who", "x", "--json").startswith("teledom: no panel")


def test_who_knows_panels_own_numbers(store: Store, capsys: Output) -> None:
    with store.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE domophones SET sos_number = '+73512777777' WHERE sip_user = '500002'"
        )
    said = fields(printed(capsys, "who", "83512777777", "--at", "3h"))
    assert (said["panel"], said["since"]) == ("500002", "always: the number is the panel's own")
    data = as_json(capsys, "who", "83512777777")
    assert (data["panel"], data["lease"], data["number"]) == ("500002", None, "+73512777777")


def test_who_as_json(store: Store, capsys: Output) -> None:
    numbers(store, lease("+73512000001", 60))
    said = as_json(capsys, "who", "+73512000001")
    assert (said["panel"], said["domophone"], said["address"]) == (
        "500001",
        MAC,
        "Челябинск, ул. Ленина 5, п. 1",
    )
    assert said["lease"]["held_until"] == NOW - 60 + 1800


# --- the command line itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["nonsense"], ["who"], ["test"], ["test", "--overdue", "--last"], ["test", "5", "--wait", "0"]),
        *(["leases", "--limit", "x"], ["who", "1", "--at", "noon"], ["pools", "add", "chel"], ["pools", "x"]),
    ],
)
def test_a_wrong_command_line_is_2(store: Store, arguments: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        teledom.main(["sos", *arguments])
    assert caught.value.code == 2
    assert "usage: teledom sos" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["pools"], ["pools", "add"], ["leases"], ["who"], ["test"]])
def test_every_command_has_help(command: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        teledom.main(["sos", *command, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: teledom sos")


@pytest.mark.parametrize("command", [["pools"], ["leases"], ["who", "1"], ["test", "1"], ["test", "--last"]])
def test_a_wrong_configuration_is_2_and_a_database_that_is_not_there_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], capsys: Output
) -> None:
    monkeypatch.delenv("TELEDOM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.toml"
    file.write_text('[crm]\nurl = "sqlite:///crm.db"\n')
    assert "teledom db upgrade" in refused(capsys, *command)
    file.write_text("[sos]\nhold_s = 1\n")
    assert teledom.main(["sos", *command]) == 2
    assert capsys.readouterr().err.startswith("config.toml:2: [sos] hold_s")
