"""Residents, and what they have in common with their accounts and phones (accounts.py).

Each is within somebody's reach if one of its flats is; what has no flat yet, only for who has the right everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Link, Reaches, Resource, Row, Values, choices
from crm.keys.panels import sync_keys
from crm.model import Role, table
from crm.rights import EVERYWHERE, Reach, Right
from crm.search.index import Indexed, reindex
from crm.search.places import begins, words_match
from crm.search.text import phones_of, words_of
from crm.sections.shared import FLAT_TITLE, FLATS, FLATS_IN_HOUSES, HOUSES, clean_phone, read_id, with_field
from crm.tables.keys import KeyBinding, KeyScope
from crm.tables.people import Resident, ResidentFlat
from crm.tables.search import SearchWord
from crm.who import Conflict, Forbidden, Who

SECTION = "Users"
RESIDENTS = table(Resident)
_LIVES, _KEYS = table(ResidentFlat), table(KeyBinding)
_WORDS = table(SearchWord)
ROLE_LABELS = choices(Role)


def through_flats(link: sa.Table, mine: str, own: sa.ColumnElement[Any]) -> Reaches:
    """For what `link` joins to flats: one of them is within reach."""

    def within(reach: Reach) -> sa.ColumnElement[bool]:
        flats = link.join(FLATS, FLATS.c.id == link.c.flat_id).join(HOUSES, HOUSES.c.id == FLATS.c.house_id)
        return own.in_(sa.select(link.c[mine]).select_from(flats).where(reach.of_houses()))

    return within


def by_flat(link: sa.Table, mine: str, own: sa.ColumnElement[Any]) -> tuple[Field, Field]:
    """Filters of a list by a flat, and by a house."""

    def of_flat(text: str) -> sa.ColumnElement[bool]:
        return own.in_(sa.select(link.c[mine]).where(link.c.flat_id == read_id(text)))

    def of_house(text: str) -> sa.ColumnElement[bool]:
        flats = link.join(FLATS, FLATS.c.id == link.c.flat_id)
        return own.in_(sa.select(link.c[mine]).select_from(flats).where(FLATS.c.house_id == read_id(text)))

    about: dict[str, Any] = {"kind": Kind.REFERENCE, "written": False, "listed": False, "find": Find.SAME}
    return (
        Field(name="house_id", label="House", refers_to="houses", where=of_house, **about),
        Field(name="flat_id", label="Flat", refers_to="flats", where=of_flat, **about),
    )


def at_home(
    name: str, label: str, link: sa.Table, mine: str, own: sa.ColumnElement[Any]
) -> Callable[[Reach], Field]:
    """A column of a list: the first flat of those that `link` joins, and that somebody may see."""
    flats = link.join(FLATS_IN_HOUSES, FLATS.c.id == link.c.flat_id)
    first = sa.select(FLAT_TITLE).select_from(flats).where(link.c[mine] == own).order_by(FLATS.c.id).limit(1)

    def field(seen: Reach) -> Field:
        column = first.where(seen.of_houses()).correlate(own.table).scalar_subquery()
        return Field(
            name=name, label=label, column=column, written=False, example="Челябинск, ул. Ленина 5, кв. 42"
        )

    return field


def role(column: Any) -> Field:
    """Who somebody is to a flat."""
    return Field(
        name="role", label="Role", kind=Kind.CHOICE, column=column, choices=ROLE_LABELS, default="resident"
    )


def rings(column: Any) -> Field:
    """The switch of something for a flat."""
    return Field(name="rings", label="Rings", kind=Kind.YES_NO, column=column, default=True)


def need_all_flats(connection: sa.Connection, who: Who, link: sa.Table, mine: str, id: int, why: str) -> None:
    """Raises Forbidden, with this reason: this one has flats beyond the reach of `who`, whose it is as well."""
    reach = who.rights.reach(Right.PEOPLE_EDIT)
    flats = link.join(FLATS, FLATS.c.id == link.c.flat_id).join(HOUSES, HOUSES.c.id == FLATS.c.house_id)
    beyond = sa.select(FLATS.c.id).select_from(flats).where(link.c[mine] == id, sa.not_(reach.of_houses()))
    if not reach.everywhere and connection.execute(beyond.limit(1)).first():
        raise Forbidden(why)


def need_flat(who: Who) -> dict[str, str]:
    """What is made without a flat would be nobody's but for who may everywhere."""
    if who.rights.may_everywhere(Right.PEOPLE_EDIT):
        return {}
    return {"": "who keeps some houses only makes residents and accounts by moving them in"}


def _named(text: str) -> sa.Select[Any]:
    """Who has a name with words that begin so, by the index of words."""
    matching = words_match(Indexed.RESIDENT, words_of(text))
    if matching is None:
        raise ValueError("at least two letters of a name are expected")
    return sa.select(_WORDS.c.ref_id).where(matching)


def _phoned(text: str) -> sa.Select[Any]:
    beginning, _ = phones_of(text)
    if not beginning:
        raise ValueError("the beginning of a telephone number is expected, like +7 912 345")
    return sa.select(RESIDENTS.c.id).where(begins(RESIDENTS.c.phone, beginning))


def _picked(text: str) -> sa.Select[Any]:
    for find in (_phoned, _named):
        try:
            return find(text)
        except ValueError:
            continue
    return sa.select(RESIDENTS.c.id).where(sa.false())


def _check_resident(connection: sa.Connection, who: Who, id: int | None, values: Values) -> dict[str, str]:
    return need_flat(who) if id is None else {}


def _resident_written(
    connection: sa.Connection, who: Who, id: int, before: Row | None, after: Row | None
) -> None:
    if after is not None:
        reindex(connection, Indexed.RESIDENT, [id])
        return
    why = "this resident has flats beyond your houses, too: take it off yours instead"
    need_all_flats(connection, who, _LIVES, "resident_id", id, why)
    if connection.execute(_keys_of(id).limit(1)).first():
        raise Conflict("keys are bound to this resident: bind them to something else first")
    connection.execute(
        sa.delete(_WORDS).where(_WORDS.c.kind == Indexed.RESIDENT.value, _WORDS.c.ref_id == id)
    )


def _keys_of(resident: int) -> sa.Select[Any]:
    return sa.select(_KEYS.c.key_id).where(_KEYS.c.scope == KeyScope.RESIDENT, _KEYS.c.ref_id == resident)


def _lives_elsewhere(connection: sa.Connection, resident: int, flat: int) -> None:
    sync_keys(connection, connection.scalars(_keys_of(resident)).all(), time.time())


_home = at_home("home", "Lives at", _LIVES, "resident_id", RESIDENTS.c.id)


@lru_cache(64)
def _residents_seen(seen: Reach) -> Resource:
    return with_field(RESIDENTS_RESOURCE, _home(seen))


RESIDENTS_RESOURCE = Resource(
    name="residents",
    entity="resident",
    label="Residents",
    label_one="Resident",
    section=SECTION,
    icon="users",
    model=Resident,
    source=RESIDENTS,
    title=RESIDENTS.c.name,
    view=Right.PEOPLE_VIEW,
    edit=Right.PEOPLE_EDIT,
    reach=through_flats(_LIVES, "resident_id", RESIDENTS.c.id),
    seen=lambda seen: _residents_seen(seen),
    check=_check_resident,
    written=_resident_written,
    picked_ids=_picked,
    fields=(
        Field(
            name="name",
            label="Full name",
            column=RESIDENTS.c.name,
            optional=False,
            find=Find.BEGINS,
            ids=_named,
            example="Иванова Мария Петровна",
        ),
        Field(
            name="phone",
            label="Phone number",
            column=RESIDENTS.c.phone,
            clean=clean_phone,
            default="",
            longest=32,
            find=Find.BEGINS,
            ids=_phoned,
            example="+79123456789",
        ),
        _home(EVERYWHERE),
        Field(
            name="email",
            label="E-mail",
            column=RESIDENTS.c.email,
            default="",
            pattern=r"([^@\s]+@[^@\s]+)?",
            hint="like name@example.ru, or nothing",
            example="maria@example.ru",
        ),
        Field(
            name="note",
            label="Note",
            kind=Kind.LONG_TEXT,
            column=RESIDENTS.c.note,
            default="",
            longest=2000,
            listed=False,
            example="звонить после 18:00",
        ),
        *by_flat(_LIVES, "resident_id", RESIDENTS.c.id),
    ),
    links=(
        Link(
            name="flats",
            label="Flats",
            table=_LIVES,
            mine="resident_id",
            other="flat_id",
            to="flats",
            fields=(role(_LIVES.c.role),),
            other_right=Right.PEOPLE_EDIT,
            changed=_lives_elsewhere,
        ),
    ),
)

RESOURCES = (RESIDENTS_RESOURCE,)
