"""All or nothing: refused files, processes that die, runs that are done again; and how far an import is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm.imports import run as import_run
from crm.imports.imports import (
    ImportKind,
    ImportState,
    get_import,
    give_up,
    list_imports,
    run_import,
    start_import,
    unfinished_imports,
)
from crm.imports.kinds.accounts import Accounts
from crm.imports.staging import open_staging
from crm.store import Store
from crm.who import COMMAND_LINE, Conflict
from tests.crm.imports.conftest import NOW, Desk

ACCOUNTS = "SIP user;Password;Resident;House;Flats\n"
GOOD = ACCOUNTS + "100;x;Anna;L5;42\n101;y;Boris;L5;42\n"

DIES = """
import os, signal, sys
from pathlib import Path
from crm.imports.kinds.accounts import Accounts
from crm.imports.imports import run_import
from crm.store import Store
from crm.who import COMMAND_LINE

write = Accounts.write

def die(self):
    write(self)
    os.kill(os.getpid(), signal.SIGKILL)

Accounts.write = die
run_import(Store(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), COMMAND_LINE, 1.0)
"""


def nothing_is_there(desk: Desk) -> bool:
    tables = ("accounts", "residents", "account_flats", "resident_flats", "changes", "search_words")
    return not any(desk.one(f"SELECT COUNT(*) FROM {name}") for name in tables)


def test_one_wrong_row_of_many_refuses_all(desk: Desk) -> None:
    view = desk.run(ImportKind.ACCOUNTS, GOOD + "102;z;Clara;L5;43\n")
    assert view.state is ImportState.REFUSED
    assert [(fault.row, fault.column) for fault in view.errors] == [(4, "Flats")]
    assert 'the house has no "43"' in view.errors[0].text
    assert nothing_is_there(desk)


def test_error_in_the_middle_of_writing_leaves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Accounts, *args: object, **options: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Accounts, "_link", fails)
    with pytest.raises(RuntimeError, match="out of luck"):
        desk.run(ImportKind.ACCOUNTS, GOOD)
    assert nothing_is_there(desk)
    (view,) = list_imports(desk.store, COMMAND_LINE)
    assert view.state is ImportState.FAILED
    assert view.errors[0].text == "broken off, nothing was written: out of luck"


def test_killed_process_has_written_nothing_and_is_done_again(desk: Desk, url: str, tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text(GOOD)
    id = start_import(desk.store, ImportKind.ACCOUNTS, path.name, COMMAND_LINE, NOW)
    root = Path(__file__).resolve().parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", DIES, url, str(id), str(path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert ended.returncode == -signal.SIGKILL
    assert nothing_is_there(desk)
    assert [(view.id, view.state) for view in unfinished_imports(desk.store)] == [(id, ImportState.WRITING)]
    view = run_import(desk.store, id, path, COMMAND_LINE, NOW)
    assert (view.state, view.added, view.rows) == (ImportState.DONE, 2, 2)
    assert desk.one("SELECT COUNT(*) FROM accounts") == 2
    assert unfinished_imports(desk.store) == ()


def test_broken_off_import_can_be_given_up(desk: Desk) -> None:
    id = start_import(desk.store, ImportKind.ACCOUNTS, "a.csv", COMMAND_LINE, NOW)
    give_up(desk.store, id, NOW + 5)
    view = get_import(desk.store, id, COMMAND_LINE)
    assert (view.state, view.ended_at) == (ImportState.FAILED, NOW + 5)
    assert unfinished_imports(desk.store) == ()


def test_done_import_is_not_done_twice(desk: Desk) -> None:
    view = desk.run(ImportKind.ACCOUNTS, GOOD)
    again = run_import(desk.store, view.id, desk.folder / "import.csv", COMMAND_LINE, NOW)
    assert again == view
    assert desk.one("SELECT COUNT(*) FROM changes WHERE entity = 'import'") == 1


def test_import_that_somebody_else_has_done_meanwhile_writes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def done_elsewhere(self: object, connection: sa.Connection, values: dict[str, object]) -> bool:
        return values["state"] != ImportState.DONE.value

    monkeypatch.setattr(import_run.Run, "_put_down", done_elsewhere)
    with pytest.raises(Conflict, match="by somebody else"):
        desk.run(ImportKind.ACCOUNTS, GOOD)
    assert nothing_is_there(desk)


def test_checking_writes_nothing_and_the_same_import_can_be_written_then(desk: Desk) -> None:
    view = desk.run(ImportKind.ACCOUNTS, GOOD, check_only=True)
    assert (view.state, view.rows) == (ImportState.READY, 2)
    assert nothing_is_there(desk)
    view = run_import(desk.store, view.id, desk.folder / "import.csv", COMMAND_LINE, NOW)
    assert (view.state, view.added) == (ImportState.DONE, 2)


def test_progress_is_seen_by_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_run, "PROGRESS_S", 0.0)
    monkeypatch.setattr(import_run, "LOOK_EVERY", 100)
    seen: list[tuple[ImportState, int, int]] = []

    def look(state: ImportState, done: int, rows: int) -> None:
        with Store(desk.store.shown) as other:
            view = list_imports(other, COMMAND_LINE)[0]
        if state is not ImportState.WRITING or done == 0 or not desk.store.is_sqlite:
            assert (view.state, view.done if state is not ImportState.REFUSED else done) == (state, done)
        seen.append((state, done, rows))

    rows = "".join(f"{n};x;Anna;L5;42\n" for n in range(1000, 1300))
    view = desk.run(ImportKind.ACCOUNTS, ACCOUNTS + rows, on_progress=look)
    assert (view.state, view.done) == (ImportState.DONE, 300)
    assert [each for each in seen if each[0] is ImportState.CHECKING][:3] == [
        (ImportState.CHECKING, 0, 0),
        (ImportState.CHECKING, 100, 300),
        (ImportState.CHECKING, 200, 300),
    ]
    writing = [done for state, done, _ in seen if state is ImportState.WRITING]
    assert len(writing) > 3
    assert writing == sorted(writing)


def test_history_has_an_entry_for_the_import_and_for_each_row_without_passwords(desk: Desk) -> None:
    desk.run(ImportKind.ACCOUNTS, GOOD)
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;new;Anna Maria;L5;42\n101;y;;L5;42\n")
    entries = desk.all("SELECT entity, action, before, after FROM changes ORDER BY id")
    assert [each[:2] for each in entries] == [
        *[("resident", "create")] * 2,
        *[("account", "create")] * 2,
        ("import", "import"),
        ("resident", "update"),
        ("account", "update"),
        ("import", "import"),
    ]
    before, after = (str(text).replace(" ", "") for text in entries[5][2:])
    assert (before, after) == ('{"name":"Anna"}', '{"name":"AnnaMaria"}')
    assert "ha1" in entries[6][3]
    assert "•••" in entries[6][3]
    assert desk.one("SELECT ha1 FROM accounts WHERE sip_user = '100'") not in str(entries)


def test_search_finds_what_was_imported(desk: Desk) -> None:
    desk.run(ImportKind.ACCOUNTS, GOOD)
    assert desk.one("SELECT COUNT(*) FROM search_words WHERE kind = 'resident' AND word LIKE 'boris%'") == 1


def test_the_database_knows_the_ids_that_rows_were_given_before_it_joins_by_them(store: Store) -> None:
    with open_staging(store) as staging:
        staging.create("import_doors", {"row": "INTEGER", "name": "TEXT"})
        for row in range(100):
            staging.put("import_doors", (row, "п. 1"))
        staging.close_tables()
        staging.give_ids("import_doors", "entrances")
        known = "SELECT null_frac FROM pg_stats WHERE tablename = 'import_doors' AND attname = 'id'"
        # By those from before all are null, so that a join with it is a look through all of it for each row.
        assert staging.is_sqlite or staging.run(known).scalar() == 0
