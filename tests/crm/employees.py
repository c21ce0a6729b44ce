"""Employees for tests of signing in: real ones, in a real database, with cheap hashes."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from attrs import define

from crm.model import table
from crm.rights import EVERYWHERE, Reach, Right
from crm.staff.groups import create_group
from crm.staff.lockout import SignInOutcome, find_sign_ins
from crm.staff.passwords import Passwords
from crm.staff.sessions import Origin
from crm.staff.sign_in import SignedIn, sign_in
from crm.staff.staff import create_admin, create_employee, who_is
from crm.store import Store
from crm.tables.staff import Change, Employee
from crm.who import SYSTEM, Who

NOW = 1_790_000_000.0
PASSWORD = "correct horse"
HERE = Origin("192.0.2.1", "Firefox")


def cheap(**options: float) -> Passwords:
    """Argon2id with the least that it allows: a test is not to take a second for each password."""
    settings = {"time_cost": 1, "memory_kib": 8, "lanes": 1, **options}
    return Passwords(**settings)  # type: ignore[arg-type]


@define
class Employees:
    """Makes employees in `store`; an administrator "root" is there from the start."""

    store: Store
    passwords: Passwords

    def __attrs_post_init__(self) -> None:
        create_admin(self.store, self.passwords, "root", "Root", PASSWORD, NOW - 86_400)

    def add(self, login: str, *groups: int) -> int:
        return create_employee(self.store, SYSTEM, self.passwords, login, login, PASSWORD, groups, NOW - 3600)

    def group(self, name: str, rights: Iterable[Right], reach: Reach = EVERYWHERE) -> int:
        return create_group(self.store, SYSTEM, name, rights, reach, NOW)

    def who(self, id: int) -> Who:
        found = who_is(self.store, id, "192.0.2.1")
        assert found
        return found

    def id(self, login: str) -> int:
        with self.store.reading() as connection:
            of = table(Employee)
            return int(connection.execute(sa.select(of.c.id).where(of.c.login == login)).scalar_one())

    def sign_in(self, login: str, password: str = PASSWORD, now: float = NOW, **options: str) -> SignedIn:
        return sign_in(self.store, self.passwords, login, password, HERE, now, **options)  # type: ignore[arg-type]

    def outcomes(self, login: str = "") -> list[SignInOutcome]:
        """Of all tries, the oldest first."""
        return [row.outcome for row in reversed(find_sign_ins(self.store, SYSTEM, login=login))]

    def changes(self) -> list[tuple[str, str, int, str, str, str]]:
        """Who did what to what, the oldest first."""
        of = table(Change)
        with self.store.reading() as connection:
            rows = sa.select(
                *(of.c[name] for name in ("by", "entity", "entity_id", "action", "before", "after"))
            )
            return [tuple(row) for row in connection.execute(rows.order_by(of.c.id))]
