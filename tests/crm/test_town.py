"""The demo town is what it says it is: the directory finds each flat by what each panel dials."""

from __future__ import annotations

import time

import sqlalchemy as sa

from crm.directory.directory import find
from crm.model import Account, Domophone, Vendor, table
from crm.store import Store
from crm.town.town import Town, TownPanel, fill, ha1


def test_filling_twice_changes_nothing(store: Store) -> None:
    first = fill(store)
    counts = count_all(store)
    assert fill(store) == first
    assert count_all(store) == counts


def test_every_number_that_a_panel_dials_finds_its_flat_and_people(store: Store) -> None:
    town = fill(store)
    with store.reading() as connection:
        for panel in town.panels:
            for dialled, flat in panel.dials.items():
                found = find(connection, panel.sip_user, dialled, time.time())
                assert found.panel is not None
                assert (found.panel.mac, found.panel.address) == (panel.mac, panel.address)
                assert found.panel.door_digits == panel.door_digits
                assert found.flat is not None
                assert (found.flat.id, found.flat.number, found.flat.address) == (
                    flat.id,
                    flat.number,
                    flat.address,
                )
                assert (bool(found.flat.blocks), found.flat.auto_open) == (flat.blocked, flat.auto_open)
                assert [(a.sip_user, a.domain, [p.token for p in a.phones]) for a in found.flat.accounts] == [
                    (a.sip_user, a.domain, [p.token for p in a.phones if p.rings]) for a in flat.accounts
                ]


def test_passwords_are_those_that_kamailio_checks(store: Store) -> None:
    town = fill(store, realm="example.ru")
    passwords = {panel.sip_user: panel.password for panel in town.panels}
    accounts = {
        a.sip_user: a for panel in town.panels for flat in panel.dials.values() for a in flat.accounts
    }
    passwords |= {user: account.password for user, account in accounts.items()}
    with store.reading() as connection:
        kept = connection.execute(sa.text("SELECT username, domain, ha1 FROM sip_credentials")).all()
    assert passwords.keys() <= {row.username for row in kept}
    for username, domain, kept_ha1 in kept:
        assert domain == "example.ru"
        if username in passwords:
            assert kept_ha1 == ha1(username, "example.ru", passwords[username])
    assert not {panel.sip_user for panel in town.panels} & accounts.keys()


def test_the_town_has_a_flat_of_every_kind(store: Store) -> None:
    town = fill(store)
    flats = {flat.id: flat for panel in town.panels for flat in panel.dials.values()}.values()
    assert {panel.vendor for panel in town.panels} == set(Vendor)
    assert {panel.address.partition(",")[0] for panel in town.panels} == {"Челябинск", "Копейск"}
    assert [flat.number for flat in flats if flat.blocked] == ["3"]
    assert [flat.number for flat in flats if flat.auto_open] == ["5"]
    assert [flat.number for flat in flats if not flat.accounts] == ["4"]
    assert {len(flat.accounts) for flat in flats} == {0, 1, 2, 3, 4}
    assert any(account.asleep for flat in flats for account in flat.accounts)
    assert any(len(account.phones) > 1 for flat in flats for account in flat.accounts)


def test_a_gate_serves_two_houses_that_have_the_same_number(store: Store) -> None:
    town = fill(store)
    gate = the_gate(town)
    assert gate.dials["10042"] == gate.dials["1#42"] != gate.dials["20042"]
    assert gate.dials["10042"].number == gate.dials["20042"].number == "42"


def test_a_panel_is_found_by_its_sip_user(store: Store) -> None:
    town = fill(store)
    assert all(town.panel(panel.sip_user) is panel for panel in town.panels)


def the_gate(town: Town) -> TownPanel:
    return next(panel for panel in town.panels if "1#42" in panel.dials)


def count_all(store: Store) -> list[int]:
    with store.reading() as connection:
        return [
            int(connection.execute(sa.select(sa.func.count()).select_from(each)).scalar_one())
            for each in (table(Account), table(Domophone), *Account.metadata.sorted_tables)
        ]
