"""The password of an account that rings in others' houses as well is not imported by who keeps some houses only."""

from __future__ import annotations

from crm.imports.imports import ImportKind
from crm.who import COMMAND_LINE
from tests.crm.imports.conftest import Desk
from tests.crm.imports.test_checks import ACCOUNTS, manager


def test_a_password_for_doors_beyond_the_reach_is_refused(desk: Desk) -> None:
    desk.houses.flat(desk.l7, "1")
    for house, flat in (("L5", "42"), ("L7", "1")):
        desk.run(ImportKind.ACCOUNTS, ACCOUNTS + f"800;;first;;;;{house};{flat};;\n", who=COMMAND_LINE)
    before = desk.one("SELECT ha1 FROM accounts")

    for row in ("800;;another;;;;L7;1;;\n", "800;;;" + "0" * 32 + ";;;L7;1;;\n"):
        ((number, _, text),) = desk.errors(ImportKind.ACCOUNTS, ACCOUNTS + row, who=manager(desk))
        assert number == 2
        assert '"800@teledom" has flats beyond your houses' in text
    assert desk.one("SELECT ha1 FROM accounts") == before

    # What says the password that is there, or none, changes nothing beyond.
    for row in ("800;;first;;;;L7;1;;no\n", "800;;;;;;L7;1;;yes\n"):
        assert desk.errors(ImportKind.ACCOUNTS, ACCOUNTS + row, who=manager(desk)) == []
    desk.run(ImportKind.ACCOUNTS, ACCOUNTS + "800;;another;;;;L7;1;;\n")
    assert desk.one("SELECT ha1 FROM accounts") != before
