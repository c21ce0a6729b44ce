"""Tokens of programs: what they may do, how long, and what is kept of them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.model import table
from crm.rights import EVERYWHERE, Reach, Right
from crm.staff.groups import change_group
from crm.staff.tokens import LONGEST_S, Token, create_token, find_tokens, revoke_token, who_is_token
from crm.store import Store
from crm.tables.staff import ApiToken
from crm.who import SYSTEM, Forbidden, Invalid, NotFound
from tests.crm.employees import NOW, Employees, cheap
from tests.crm.houses import Houses

DAY = 86_400.0
CALLS = [Right.CALLS_VIEW]


@pytest.fixture
def staff(store: Store) -> Employees:
    return Employees(store, cheap())


def token_of(staff: Employees, id: int) -> Token:
    return next(token for token in find_tokens(staff.store, SYSTEM) if token.id == id)


def test_a_token_may_do_what_it_was_given_within_its_groups_reach(staff: Employees, houses: Houses) -> None:
    group = staff.group("City", [], Reach(cities=frozenset({houses.city})))
    new = create_token(staff.store, SYSTEM, "billing", CALLS, group, NOW + DAY, NOW)
    who = who_is_token(staff.store, new.secret, NOW, "192.0.2.9")
    assert who
    assert (who.by, who.name, who.address) == (f"token:{new.id}", "billing", "192.0.2.9")
    assert dict(who.rights.reaches) == {Right.CALLS_VIEW: Reach(cities=frozenset({houses.city}))}


def test_without_a_group_it_holds_everywhere(staff: Employees) -> None:
    new = create_token(staff.store, SYSTEM, "billing", CALLS, None, NOW + DAY, NOW)
    who = who_is_token(staff.store, new.secret, NOW)
    assert who
    assert who.rights.may_everywhere(Right.CALLS_VIEW)
    assert not who.rights.may(Right.CALLS_LISTEN)


def test_a_group_that_is_narrowed_narrows_its_tokens(staff: Employees, houses: Houses) -> None:
    group = staff.group("All", [])
    new = create_token(staff.store, SYSTEM, "billing", CALLS, group, NOW + DAY, NOW)
    change_group(staff.store, SYSTEM, group, "All", [], Reach(cities=frozenset({houses.city})), NOW)
    who = who_is_token(staff.store, new.secret, NOW)
    assert who
    assert not who.rights.may_everywhere(Right.CALLS_VIEW)


def test_nobody_widens_a_token_beyond_himself_by_widening_its_group(staff: Employees, houses: Houses) -> None:
    city = Reach(cities=frozenset({houses.city}))
    group = staff.group("City", [], city)
    create_token(staff.store, SYSTEM, "billing", [Right.DOORS_OPEN], group, NOW + DAY, NOW)
    keepers = staff.group("Staff", [Right.STAFF_VIEW, Right.STAFF_EDIT])
    who = staff.who(staff.add("petr", keepers))
    with pytest.raises(Forbidden, match=r"doors\.open"):
        change_group(staff.store, who, group, "City", [], EVERYWHERE, NOW)


def test_nobody_gives_a_token_more_than_he_has(staff: Employees, houses: Houses) -> None:
    city = Reach(cities=frozenset({houses.city}))
    makers, in_city = staff.group("Tokens", [Right.TOKENS_EDIT]), staff.group("City", CALLS, city)
    who = staff.who(staff.add("petr", makers, in_city))
    for rights, group in ((CALLS, None), ([Right.KEYS_EDIT], in_city)):
        with pytest.raises(Forbidden, match="does not have"):
            create_token(staff.store, who, "x", rights, group, NOW + DAY, NOW)
    create_token(staff.store, who, "x", CALLS, in_city, NOW + DAY, NOW)


def test_only_who_keeps_tokens_makes_sees_or_revokes_them(staff: Employees) -> None:
    new = create_token(staff.store, SYSTEM, "billing", CALLS, None, NOW + DAY, NOW)
    who = staff.who(staff.add("ivan"))
    for forbidden in (
        lambda: create_token(staff.store, who, "x", CALLS, None, NOW + DAY, NOW),
        lambda: find_tokens(staff.store, who),
        lambda: revoke_token(staff.store, who, new.id, NOW),
    ):
        with pytest.raises(Forbidden):
            forbidden()


def test_a_token_is_over_at_its_end_or_when_it_is_revoked(staff: Employees) -> None:
    first = create_token(staff.store, SYSTEM, "first", CALLS, None, NOW + DAY, NOW)
    second = create_token(staff.store, SYSTEM, "second", CALLS, None, NOW + DAY, NOW)
    assert who_is_token(staff.store, first.secret, NOW + DAY - 1)
    assert who_is_token(staff.store, first.secret, NOW + DAY) is None
    revoke_token(staff.store, SYSTEM, second.id, NOW + 5)
    revoke_token(staff.store, SYSTEM, second.id, NOW + 9)
    assert who_is_token(staff.store, second.secret, NOW + 6) is None
    assert token_of(staff, second.id).revoked_at == NOW + 5
    assert [(token.name, token.lasts(NOW + 10)) for token in find_tokens(staff.store, SYSTEM)] == [
        ("second", False),
        ("first", True),
    ]


def test_an_unknown_or_broken_token_is_nobodys(staff: Employees) -> None:
    new = create_token(staff.store, SYSTEM, "billing", CALLS, None, NOW + DAY, NOW)
    for wrong in ("", "td_", new.secret[:-1], new.secret[3:], new.secret + "=", "td_\ud800\0"):
        assert who_is_token(staff.store, wrong, NOW) is None


def test_the_token_is_random_and_only_its_hash_is_kept(staff: Employees) -> None:
    new = create_token(staff.store, SYSTEM, "billing", CALLS, None, NOW + DAY, NOW)
    assert new.secret.startswith("td_")
    assert len(new.secret) == 3 + 43  # 32 bytes in base64
    with staff.store.reading() as connection:
        kept = str(connection.execute(sa.select(table(ApiToken))).all())
    assert new.secret not in kept + str(staff.changes()) + repr(new)
    assert '"token":"•••"' in staff.changes()[-1][5]


def test_when_it_was_used_is_written_once_a_minute(staff: Employees) -> None:
    new = create_token(staff.store, SYSTEM, "billing", CALLS, None, NOW + DAY, NOW)
    assert token_of(staff, new.id).used_at is None
    used = []
    for after in (1, 2, 60, 61):
        who_is_token(staff.store, new.secret, NOW + after)
        used.append(token_of(staff, new.id).used_at)
    assert used == [NOW + 1, NOW + 1, NOW + 1, NOW + 61]


def test_a_token_needs_a_name_rights_and_an_end_that_is_not_far(staff: Employees) -> None:
    for name, rights, expires_at, wrong in (
        (" ", CALLS, NOW + DAY, "name"),
        ("x", [], NOW + DAY, "rights"),
        ("x", CALLS, NOW, "expires_at"),
        ("x", CALLS, NOW + LONGEST_S + 1, "expires_at"),
        ("x", CALLS, float("nan"), "expires_at"),
    ):
        with pytest.raises(Invalid) as caught:
            create_token(staff.store, SYSTEM, name, rights, None, expires_at, NOW)
        assert set(caught.value.errors) == {wrong}


def test_a_group_or_token_that_is_not_there_is_said(staff: Employees) -> None:
    with pytest.raises(NotFound, match="no group 99"):
        create_token(staff.store, SYSTEM, "x", CALLS, 99, NOW + DAY, NOW)
    with pytest.raises(NotFound, match="no token 99"):
        revoke_token(staff.store, SYSTEM, 99, NOW)
