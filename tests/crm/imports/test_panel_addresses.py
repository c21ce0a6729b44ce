"""A password that was given for a panel's address stays with its host, whoever imports another address."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.imports.imports import ImportKind
from crm.sealed import Seal, new_key
from tests.crm.imports.conftest import Desk

HEAD = "MAC;SIP user;SIP password;Vendor;URL;HTTP password\n"
KEY = new_key()
MAC = "025000000001"


@pytest.fixture
def panel(desk: Desk) -> Desk:
    """A panel at https://10.0.0.5 with a password, whose certificate is known."""
    row = f"{MAC};600;x;sokol;https://10.0.0.5;secret\n"
    assert desk.run(ImportKind.PANELS, HEAD + row, secret_key=KEY).added == 1
    with desk.store.transaction() as connection:
        connection.execute(sa.text("UPDATE domophones SET tls_pin = 'aa'"))
    return desk


@pytest.mark.parametrize("address", ["https://10.6.6.6", "http://10.0.0.5"])
def test_another_host_or_less_protection_needs_the_password_again(panel: Desk, address: str) -> None:
    ((row, column, text),) = panel.errors(ImportKind.PANELS, HEAD + f"{MAC};;;;{address};\n")

    assert (row, column) == (2, "HTTP password")
    assert "given for another address" in text
    assert panel.all("SELECT url, tls_pin FROM domophones") == [("https://10.0.0.5", "aa")]


def test_with_a_password_the_panel_moves_and_its_certificate_is_forgotten(panel: Desk) -> None:
    moved = panel.run(ImportKind.PANELS, HEAD + f"{MAC};;;;https://10.6.6.6;another\n", secret_key=KEY)

    assert moved.changed == 1
    ((url, sealed, pin),) = panel.all("SELECT url, http_password, tls_pin FROM domophones")
    assert (url, Seal(KEY).open(sealed), pin) == ("https://10.6.6.6", "another", None)


def test_the_same_host_keeps_its_password(panel: Desk) -> None:
    assert panel.run(ImportKind.PANELS, HEAD + f"{MAC};;;;https://10.0.0.5:8443;\n").changed == 1

    ((url, sealed),) = panel.all("SELECT url, http_password FROM domophones")
    assert (url, Seal(KEY).open(sealed)) == ("https://10.0.0.5:8443", "secret")


def test_what_stays_as_it_is_keeps_its_certificate(panel: Desk) -> None:
    panel.run(ImportKind.PANELS, HEAD + f"{MAC};;;;https://10.0.0.5;\n")

    assert panel.one("SELECT tls_pin FROM domophones") == "aa"
