"""What a section of the CRM is made of: a `Resource` describes one kind of record, and a `Field` one thing of it.

Lists, forms, record pages, CSV files, the API and its documentation are all made from these descriptions (desk.py reads
and writes by them), so that each of them works alike everywhere. Labels are message ids for gettext, in English.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import sqlalchemy as sa
from attrs import field, frozen

from crm.model import Base
from crm.rights import Reach, Right
from crm.who import Who

Values = dict[str, Any]  # by the fields' names
Reaches = Callable[[Reach], sa.ColumnElement[bool]]


class Kind(Enum):
    """What a field holds; in brackets its Python type."""

    TEXT = "text"  # (str)
    LONG_TEXT = "long_text"  # (str) of several lines
    INTEGER = "integer"  # (int)
    NUMBER = "number"  # (float)
    YES_NO = "yes_no"  # (bool)
    CHOICE = "choice"  # (str) one of `choices`
    TIME = "time"  # (float) UTC seconds
    REFERENCE = "reference"  # (int) the id of a record of `refers_to`
    SECRET = "secret"  # (str) written, never read


class Find(Enum):
    """How a list is filtered by a field."""

    NOT = "not"
    SAME = "same"
    BEGINS = "begins"
    CONTAINS = "contains"  # reads the whole table: for small ones
    BETWEEN = "between"


@frozen(kw_only=True)
class Field:
    """One thing of a record. `column` reads it (None: it is only written, as a secret is).

    `shown` is the SQL text of what a reference refers to; `words` says a text in a language, by its translation of
    messages. `optional`: it may be None, or "" for a text. `once`: set when
    the record is made, and never changed. `written` False: it is read only. `clean` makes what was entered canonical,
    or raises ValueError with what is expected. `orders` is what a list sorts by, where that is not the column;
    `where` makes the condition of a filter of what was typed, where the column is not simply compared; `ids` the
    statement of the ids that an index finds, where those may be many, of which few are within somebody's reach.
    """

    name: str
    label: str
    kind: Kind = Kind.TEXT
    column: Any = None
    shown: sa.ColumnElement[str] | None = None
    refers_to: str = ""
    choices: tuple[tuple[str, str], ...] = ()  # (value, label)
    optional: bool = True
    once: bool = False
    written: bool = True
    listed: bool = True
    sortable: bool = False
    find: Find = Find.NOT
    where: Callable[[str], sa.ColumnElement[bool]] | None = None
    ids: Callable[[str], sa.Select[Any]] | None = None
    orders: Any = None
    default: Any = None
    low: float | None = None
    high: float | None = None
    longest: int = 255
    pattern: str = ""
    clean: Callable[[str], str] | None = None
    words: Callable[[str, Callable[[str], str]], str] | None = None
    hint: str = ""
    unit: str = ""
    example: Any = None


@frozen(kw_only=True)
class Link:
    """Records of `to` that hang on this record, by rows of a table with the columns `mine` and `other`.

    `fields` are what such a row says beside (their `column` is in `table`). Who puts or takes one needs the other record
    within the reach of `other_right` (None: of seeing it). `changed` does what is to be done in the same transaction.
    """

    name: str
    label: str
    table: sa.Table
    mine: str
    other: str
    to: str
    fields: tuple[Field, ...] = ()
    written: bool = True
    other_right: Right | None = None
    changed: Callable[[sa.Connection, int, int], None] | None = None


@frozen(kw_only=True)
class Resource:
    """One kind of record. `name` is its place in addresses ("houses"), `entity` its name in the history ("house").

    `source` is what is selected from: the model's table, joined with what columns and `reach` need. `reach` makes the
    condition that a row is within somebody's reach; None: what hangs on no house, seen by all who have the right, and
    changed by who has it everywhere. `seen` is the same kind of record for somebody bounded to a reach, where what is
    shown of one depends on it. `title` is a record's name as text. `order`: fields of the usual order ("-" before
    one: downwards); the id is always the last. `order_of` has another one for a list that is filtered by a field.
    `prepare` makes column values of field values (secrets, derived columns); `check` finds what is wrong beyond single
    fields; `written` does what is to be done in the same transaction.
    """

    name: str
    entity: str
    label: str
    label_one: str
    model: type[Base]
    fields: tuple[Field, ...]
    source: sa.FromClause
    title: sa.ColumnElement[str]
    view: Right
    edit: Right | None = None
    reach: Reaches | None = None
    seen: Callable[[Reach], Resource] | None = None
    order: tuple[str, ...] = ()
    order_of: Mapping[str, tuple[str, ...]] = field(factory=dict, eq=False)
    links: tuple[Link, ...] = ()
    creates: bool = True
    deletes: bool = True
    icon: str = "squares-2x2"
    section: str = ""
    in_menu: bool = True
    prepare: Callable[[Any, sa.Connection, Values, Row | None], Values] | None = None
    check: Callable[[sa.Connection, Who, int | None, Values], Mapping[str, str]] | None = None
    written: Callable[[sa.Connection, Who, int, Row | None, Row | None], None] | None = None
    picked_by: Callable[[str], sa.ColumnElement[bool]] | None = (
        None  # finds records by what is typed into a field
    )
    picked_ids: Callable[[str], sa.Select[Any] | None] | None = None  # the same, as Field.ids

    @property
    def id(self) -> Any:
        """The column of its id."""
        return self.model.__table__.c.id

    def field(self, name: str) -> Field:
        """Raises KeyError."""
        for each in self.fields:
            if each.name == name:
                return each
        raise KeyError(name)

    def link(self, name: str) -> Link:
        """Raises KeyError."""
        for each in self.links:
            if each.name == name:
                return each
        raise KeyError(name)

    def readable(self) -> tuple[Field, ...]:
        return tuple(each for each in self.fields if each.column is not None)


@frozen
class Row:
    """A record as it was read: values by field, and for references what they refer to as text.

    `beyond` are the references to what is not for whoever asked to see: of these there is the id alone.
    """

    id: int
    title: str
    values: Mapping[str, Any]
    shown: Mapping[str, str] = field(factory=dict)
    beyond: frozenset[str] = frozenset()


@frozen
class Query:
    """What a list is asked for. `filters` are texts as in the address line, by field ("name", "at_from", "at_to"); of a
    choice several values, with commas between them.

    `sort` is a field's name, with "-" before it downwards; "" for the usual order. `after` is a cursor of `Page.next`.
    """

    filters: Mapping[str, str] = field(factory=dict)
    sort: str = ""
    after: str = ""
    limit: int = 50


@frozen
class Page:
    """A part of a list. `total` is the number of all rows, `more` when there are more than were counted."""

    rows: tuple[Row, ...]
    next: str
    total: int
    more: bool


def choices(kind: type[Enum]) -> tuple[tuple[str, str], ...]:
    """The values of an enum, with their names as labels ("gave_up" → "gave up")."""
    return tuple((str(each.value), str(each.value).replace("_", " ")) for each in kind)
