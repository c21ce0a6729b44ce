"""Tokens of programs (billing, the mobile backend): "td_" and 256 random bits, shown once; only a hash is kept.

A token has rights of its own within the reach of a group (none: everywhere), an end, and nothing of who made it: it
goes on when he leaves. Who makes one gives it nothing that he does not have himself. A group that is narrowed narrows
its tokens at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from attrs import field, frozen

from crm.changes import SECRET, note_change
from crm.model import table
from crm.rights import EVERYWHERE, Reach, Right, Rights, format_rights, parse_rights
from crm.staff.groups import keep_staff_alone, need_to_give, read_group
from crm.staff.sessions import hash_of
from crm.store import Store
from crm.tables.staff import ApiToken
from crm.who import Invalid, NotFound, Who

_TOKENS = table(ApiToken)
PREFIX = "td_"  # so that programs that look for secrets in texts find it
LONGEST_S = 2 * 366 * 86_400.0
USED_EVERY_S = 60.0  # when it was last used is written no more often
NAME_LENGTH = 100


@frozen
class Token:
    """A token as it is shown: never itself. `group_id` None: everywhere. Times are UTC."""

    id: int
    name: str
    rights: frozenset[Right]
    group_id: int | None
    created_at: float
    expires_at: float
    used_at: float | None
    revoked_at: float | None

    def lasts(self, now: float) -> bool:
        """Whether it is good for anything at `now`."""
        return self.revoked_at is None and now < self.expires_at


@frozen
class NewToken:
    """`secret` is the token itself, to be shown this once."""

    id: int
    secret: str = field(repr=False)


def create_token(
    store: Store,
    who: Who,
    name: str,
    rights: Iterable[Right],
    group_id: int | None,
    expires_at: float,
    now: float,
) -> NewToken:
    """Raises Forbidden (also: more than `who` has), Invalid, NotFound (the group)."""
    who.need_everywhere(Right.TOKENS_EDIT)
    chosen, name, errors = frozenset(rights), " ".join(name.split()), {}
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        errors["name"] = f"a name of 1 to {NAME_LENGTH} characters is needed: which program it is for"
    if not chosen:
        errors["rights"] = "choose at least one right"
    if not now < expires_at <= now + LONGEST_S:
        errors["expires_at"] = f"an end within {LONGEST_S / 86_400:.0f} days from now is needed"
    if errors:
        raise Invalid(errors)
    secret = PREFIX + secrets.token_urlsafe(32)
    with store.transaction() as connection:
        keep_staff_alone(connection)  # the group stays as it is checked
        reach = EVERYWHERE if group_id is None else read_group(connection, group_id).reach
        need_to_give(connection, who, dict.fromkeys(chosen, reach))
        row = {"name": name, "rights": format_rights(chosen), "group_id": group_id, "expires_at": expires_at}
        id = connection.execute(
            sa.insert(_TOKENS).values(hash=hash_of(secret), created_at=now, **row).returning(_TOKENS.c.id)
        ).scalar_one()
        note_change(connection, who, "token", id, "create", after={**row, "token": SECRET}, at=now)
    return NewToken(int(id), secret)


def find_tokens(store: Store, who: Who) -> list[Token]:
    """All tokens, the newest first, those that are over too. Raises Forbidden."""
    who.need_everywhere(Right.TOKENS_EDIT)
    with store.reading() as connection:
        return [_token(row) for row in connection.execute(_shown().order_by(_TOKENS.c.id.desc()))]


def revoke_token(store: Store, who: Who, id: int, now: float) -> None:
    """End a token for good; one that is revoked already stays so. Raises Forbidden, NotFound."""
    who.need_everywhere(Right.TOKENS_EDIT)
    with store.transaction() as connection:
        row = connection.execute(_shown().where(_TOKENS.c.id == id)).first() if 0 < id < 2**31 else None
        if not row:
            raise NotFound(f"there is no token {id}")
        lasting = sa.update(_TOKENS).where(_TOKENS.c.id == id, _TOKENS.c.revoked_at.is_(None))
        if connection.execute(lasting.values(revoked_at=now)).rowcount:
            note_change(connection, who, "token", id, "revoke", before={"name": row.name}, at=now)


def who_is_token(store: Store, token: str, now: float, address: str = "") -> Who | None:
    """Who asks with this token and what he may do now; None: there is none, or it is over."""
    if not token.startswith(PREFIX):
        return None
    with store.reading() as connection:
        row = connection.execute(_shown().where(_TOKENS.c.hash == hash_of(token))).first()
        found = _token(row) if row else None
        if not found or not found.lasts(now):
            return None
        reach: Reach = EVERYWHERE
        if found.group_id is not None:
            try:
                reach = read_group(connection, found.group_id).reach
            except NotFound:
                return None  # deleted between the two statements, and this token with it
    if found.used_at is None or now - found.used_at >= USED_EVERY_S:
        with store.transaction() as connection:
            mine = sa.and_(_TOKENS.c.id == found.id, _TOKENS.c.used_at.is_not_distinct_from(found.used_at))
            connection.execute(sa.update(_TOKENS).where(mine).values(used_at=now))
    return Who(f"token:{found.id}", found.name, Rights.of_groups([(found.rights, reach)]), address)


def who_has_token(store: Store, id: int, now: float) -> Who | None:
    """Whose work a token's began, and what he may do now; None: the token is over."""
    with store.reading() as connection:
        row = connection.execute(_shown().where(_TOKENS.c.id == id)).first()
        found = _token(row) if row else None
        if not found or not found.lasts(now):
            return None
        reach = EVERYWHERE
        if found.group_id is not None:
            try:
                reach = read_group(connection, found.group_id).reach
            except NotFound:
                return None
    return Who(f"token:{found.id}", found.name, Rights.of_groups([(found.rights, reach)]))


def _shown() -> sa.Select[Any]:
    names = ("id", "name", "rights", "group_id", "created_at", "expires_at", "used_at", "revoked_at")
    return sa.select(*(_TOKENS.c[name] for name in names))


def _token(row: sa.Row[Any]) -> Token:
    values = dict(row._mapping)
    values["rights"] = parse_rights(values["rights"])
    return Token(**values)
