"""What others do while an import runs: they write until its own writing begins, and what they change may make it fail."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.imports.imports import ImportKind, ImportState, list_imports
from crm.imports.staging import Staging
from crm.model import Account, table
from crm.search.index import reindex_all
from crm.search.search import search
from crm.store import Store
from crm.who import COMMAND_LINE, SYSTEM, Conflict
from tests.crm.imports.conftest import Desk

ACCOUNTS = "SIP user;Password;Resident;Phone;House;Flats\n"


@pytest.fixture
def at_writing(monkeypatch: pytest.MonkeyPatch) -> list[sa.Executable]:
    """Statements that somebody else commits in the moment before an import's own writing begins."""
    others: list[sa.Executable] = []
    begin = Staging.begin_writing

    def first_others(staging: Staging) -> None:
        with Store(_url_of(staging), busy_s=0.2) as store, store.transaction() as connection:
            for statement in others:
                connection.execute(statement)
        begin(staging)

    monkeypatch.setattr(Staging, "begin_writing", first_others)
    return others


def _url_of(staging: Staging) -> str:
    url = staging.connection.engine.url
    if staging.is_sqlite:
        return f"sqlite:///{staging.connection.exec_driver_sql('PRAGMA database_list').all()[0][2]}"
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def an_account(user: str) -> sa.Executable:
    return sa.insert(table(Account)).values(sip_user=user, domain="teledom", ha1="0" * 32)


def test_others_write_until_the_writing_begins(desk: Desk, at_writing: list[sa.Executable]) -> None:
    at_writing.append(an_account("900"))
    assert desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;x;Anna;;L5;42\n").state is ImportState.DONE
    assert desk.all("SELECT sip_user FROM accounts ORDER BY sip_user") == [("100",), ("900",)]


def test_what_somebody_has_added_meanwhile_is_not_written_over(
    desk: Desk, at_writing: list[sa.Executable]
) -> None:
    at_writing.append(an_account("101"))
    with pytest.raises(Conflict, match="do it again"):
        desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;x;Anna;;L5;42\n101;y;Boris;;L5;42\n")
    assert desk.all("SELECT sip_user, ha1 FROM accounts") == [("101", "0" * 32)]
    assert desk.all("SELECT name FROM residents") == []
    assert desk.all("SELECT word FROM search_words WHERE kind = 'resident'") == []
    (view,) = list_imports(desk.store, COMMAND_LINE)
    assert view.state is ImportState.FAILED


def test_a_flat_that_somebody_has_deleted_meanwhile_is_not_linked(
    desk: Desk, at_writing: list[sa.Executable]
) -> None:
    at_writing += [
        sa.text("DELETE FROM entrance_flats"),
        sa.text(f"DELETE FROM flats WHERE id = {desk.flat}"),
    ]
    with pytest.raises(Conflict):
        desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;x;Anna;;L5;42\n")
    assert desk.all("SELECT sip_user FROM accounts") == []


def test_words_of_new_residents_and_keys_are_those_that_the_index_makes(desk: Desk) -> None:
    rows = "100;x;Anna Maria;+73510000001;L5;42\n101;y;;+73510000002;L5;42\n102;z;;;L5;42\n"
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + rows + "103;z;Anna;+73510000001;;\n")
    keys = "Key;House;Flats\n04A1B2C3D4E5F6;L5;42\n0A1B2C3D4E;L5;42\n"
    assert desk.run(ImportKind.KEYS, keys).state is ImportState.DONE
    every = "SELECT word, kind, ref_id FROM search_words WHERE kind <> 'house' ORDER BY 2, 3, 1"
    before = desk.all(every)
    assert {kind for _, kind, _ in before} == {"resident", "key"}
    reindex_all(desk.store)
    assert desk.all(every) == before


def test_a_resident_who_gets_another_name_is_found_by_it(desk: Desk) -> None:
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;x;Anna;+73510000001;L5;42\n")
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "100;x;Boris;;;\n101;x;Clara;;;\n")
    found = {
        hit.title
        for name in ("anna", "boris", "clara")
        for each in search(desk.store, SYSTEM, name)
        for hit in each.hits
    }
    assert {"Boris", "Clara"} <= found
    assert "Anna" not in found
