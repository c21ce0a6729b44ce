"""What hangs on a record: rows of a table between two, shown, put and taken (crm.desk.resource.Link)."""

from __future__ import annotations

from enum import Enum
from typing import Any

import sqlalchemy as sa

from crm.changes import note_change
from crm.desk.resource import Field, Link, Resource, Row, Values
from crm.desk.values import check_value
from crm.who import Invalid, NotFound, Who


def rows(
    connection: sa.Connection,
    other: Resource,
    link: Link,
    id: int,
    within: sa.ColumnElement[bool],
    limit: int,
) -> tuple[Row, ...]:
    """The other records, with what their links say; those `within`."""
    mine, theirs = link.table.c[link.mine], link.table.c[link.other]
    columns = [each.column for each in link.fields]
    statement = (
        sa.select(other.id, other.title, *columns)
        .select_from(other.source.join(link.table, theirs == other.id))
        .where(mine == id, within)
        .order_by(other.id)
        .limit(limit)
    )
    found = []
    for row in connection.execute(statement):
        values = dict(zip((each.name for each in link.fields), map(_plain, row[2:]), strict=True))
        found.append(Row(int(row[0]), str(row[1]), values))
    return tuple(found)


def put(
    connection: sa.Connection,
    who: Who,
    resource: Resource,
    link: Link,
    id: int,
    other_id: int,
    values: Values,
) -> None:
    """Make the link, or change what it says. Raises Invalid."""
    errors: dict[str, str] = {}
    checked: dict[str, Any] = {}
    known = {each.name: each for each in link.fields}
    for name, value in values.items():
        if name not in known:
            errors[name] = "there is no such field"
            continue
        try:
            checked[name] = _for_column(known[name].column, _kept(known[name], value))
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise Invalid(errors)
    table, here = link.table, _here(link, id, other_id)
    before = connection.execute(sa.select(table).where(here)).mappings().first()
    if before is not None:
        if checked:
            connection.execute(sa.update(table).where(here).values(checked))
    else:
        defaults = {each.name: _for_column(each.column, each.default) for each in link.fields}
        row = {link.mine: id, link.other: other_id, **defaults, **checked}
        connection.execute(sa.insert(table).values(row))
    after = connection.execute(sa.select(table).where(here)).mappings().one()
    note_change(
        connection,
        who,
        resource.entity,
        id,
        f"link {link.name}",
        {} if before is None else {k: _plain(v) for k, v in before.items()},
        {k: _plain(v) for k, v in after.items()},
    )


def take(connection: sa.Connection, who: Who, resource: Resource, link: Link, id: int, other_id: int) -> None:
    """Take the link away. Raises NotFound."""
    here = _here(link, id, other_id)
    before = connection.execute(sa.select(link.table).where(here)).mappings().first()
    if before is None:
        raise NotFound(f"nothing of this hangs on {resource.entity} {id}")
    connection.execute(sa.delete(link.table).where(here))
    was = {k: _plain(v) for k, v in before.items()}
    note_change(connection, who, resource.entity, id, f"unlink {link.name}", was, None)


def _kept(field: Field, value: Any) -> Any:
    """What is kept of a value; of none, where there has to be one, the usual. Raises ValueError."""
    found = check_value(field, value)
    if found is None and not field.column.nullable:
        found = field.default
        if found is None:
            raise ValueError("this is needed")
    return found


def _here(link: Link, id: int, other_id: int) -> sa.ColumnElement[bool]:
    return sa.and_(link.table.c[link.mine] == id, link.table.c[link.other] == other_id)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _for_column(column: Any, value: Any) -> Any:
    kind = column.type
    if isinstance(kind, sa.Enum) and kind.enum_class is not None and value is not None:
        return kind.enum_class(value)
    return value
