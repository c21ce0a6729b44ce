"""Lists of records: filtered, sorted, in pages by a cursor, so that the thousandth page costs what the first does.

A cursor holds the values by which its last row was sorted, behind which `page` goes on, and how many rows there were, so
that only the first page counts them. Counting stops at `COUNTED`: nobody needs the exact number of two million rows while
he waits for fifty of them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec
import sqlalchemy as sa
from attrs import frozen

from crm.among import among
from crm.desk import found as desk_found
from crm.desk.resource import Field, Find, Kind, Page, Query, Resource, Row
from crm.who import Invalid

COUNTED = 1000
LIMIT_MAX = 5000
MOST_COUNTED = LIMIT_MAX + 1


def page(
    connection: sa.Connection,
    resource: Resource,
    within: sa.ColumnElement[bool],
    query: Query,
    *,
    count: bool = True,
) -> Page:
    """The rows of `query` that are `within`. Raises Invalid."""
    limit = max(1, min(query.limit, LIMIT_MAX))
    conditions = [within, *_conditions(resource, query.filters)]
    keys = _keys(resource, query.sort, query.filters)
    last, counted = _read_cursor(query.after, len(keys)) if query.after else ([], None)
    by_index = _found_by_index(resource, query.filters)
    if len(keys) > 1:
        conditions += [resource.id.in_(ids) for ids in by_index]
    elif by_index:
        # The order is that of ids: so the first of them are those of this page.
        first, *others = by_index
        base = [*conditions, *(resource.id.in_(ids) for ids in others)]
        behind = last[0] if last else 0
        if not isinstance(behind, int):
            raise _no_cursor()
        some, more = desk_found.first_ids(connection, resource, base, first, behind, limit + 1)
        if not last:
            counted = _Counted(min(len(some), MOST_COUNTED), more)
        conditions = [among(connection, resource.id, some[: limit + 1])]
    elif count and not last:
        # Those of this page are the first of those that are counted: what is looked for once is not looked for twice.
        some = _first(connection, resource, conditions, keys[0][1], max(limit, COUNTED) + 1)
        counted = _Counted(len(some), False)
        conditions = [among(connection, resource.id, some[: limit + 1])]
    statement = _select(resource, [key for key, _ in keys]).where(*conditions)
    if last:
        statement = statement.where(_behind(keys, last))
    statement = statement.order_by(*(key.desc() if down else key.asc() for key, down in keys))
    found = connection.execute(statement.limit(limit + 1)).all()
    rows = tuple(_row(resource, tuple(each)) for each in found[:limit])
    over = len(found) > limit
    if counted is None:
        counts = count and over and not last
        counted = _count(connection, resource, conditions) if counts else _Counted(len(rows), over)
    next = _cursor(found[limit - 1][-len(keys) :], counted) if over else ""
    return Page(rows, next, min(counted.rows, COUNTED), counted.more or counted.rows > COUNTED)


@frozen
class _Counted:
    """So many rows were found, and whether there are `more`."""

    rows: int
    more: bool


def _first(
    connection: sa.Connection,
    resource: Resource,
    conditions: list[sa.ColumnElement[bool]],
    down: bool,
    most: int,
) -> list[int]:
    """The first ids, or with `down` the last."""
    some = sa.select(resource.id).select_from(resource.source).where(*conditions)
    in_order = some.order_by(resource.id.desc() if down else resource.id)
    return list(connection.scalars(in_order.limit(most)))


def _count(
    connection: sa.Connection, resource: Resource, conditions: list[sa.ColumnElement[bool]]
) -> _Counted:
    """How many rows there are, up to one more than are counted."""
    some = sa.select(sa.literal(1)).select_from(resource.source).where(*conditions).limit(COUNTED + 1)
    rows = connection.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0
    return _Counted(rows, False)


def _found_by_index(resource: Resource, filters: Mapping[str, str]) -> list[sa.Select[Any]]:
    return [each.ids(filters[each.name]) for each in resource.fields if each.ids and filters.get(each.name)]


def row(connection: sa.Connection, resource: Resource, within: sa.ColumnElement[bool], id: int) -> Row | None:
    """The record with this id, if it is `within`."""
    if not 0 < id < 2**31:
        return None
    found = connection.execute(_select(resource, []).where(within, resource.id == id).limit(1)).first()
    return None if found is None else _row(resource, tuple(found))


def pick(
    connection: sa.Connection, resource: Resource, within: sa.ColumnElement[bool], text: str, limit: int
) -> tuple[tuple[int, str], ...]:
    """Ids and titles of records that `text` finds."""
    text = text.strip()[:100]
    condition: sa.ColumnElement[bool] = sa.true()
    ids = resource.picked_ids(text) if text and resource.picked_ids is not None else None
    if ids is not None:
        some, _ = desk_found.first_ids(connection, resource, [within], ids, 0, limit)
        condition = resource.id.in_(some[:limit])
    elif text and resource.picked_by is not None:
        condition = resource.picked_by(text)
    elif text:
        condition = _any_case(resource.title, text)
    statement = sa.select(resource.id, resource.title).select_from(resource.source).where(within, condition)
    found = connection.execute(statement.order_by(resource.id).limit(limit)).all()
    return tuple((int(id), str(title)) for id, title in found)


def _any_case(column: Any, text: str) -> sa.ColumnElement[bool]:
    # SQLite knows the case of ASCII letters only: "ленина" is to find "Ленина", too.
    ways = sorted({text, text.lower(), text.title(), text.capitalize(), text.upper()})
    return sa.or_(*(column.icontains(way, autoescape=True) for way in ways))


def _select(resource: Resource, keys: list[Any]) -> sa.Select[Any]:
    columns: list[Any] = [resource.id, resource.title]
    for each in resource.readable():
        columns.append(each.column)
        if each.shown is not None:
            columns.append(each.shown)
    return sa.select(*columns, *(key.label(f"key{n}") for n, key in enumerate(keys))).select_from(
        resource.source
    )


def _row(resource: Resource, found: Sequence[Any]) -> Row:
    values: dict[str, Any] = {}
    shown: dict[str, str] = {}
    at = 2
    for each in resource.readable():
        value = found[at]
        values[each.name] = value.value if isinstance(value, Enum) else value
        at += 1
        if each.shown is not None:
            shown[each.name] = found[at] or ""
            at += 1
    return Row(int(found[0]), str(found[1]), values, shown)


def _keys(resource: Resource, sort: str, filters: Mapping[str, str]) -> list[tuple[Any, bool]]:
    """Expressions to sort by, each with whether downwards; the id is the last."""
    usual = next((order for name, order in resource.order_of.items() if filters.get(name)), resource.order)
    names = [sort] if sort else list(usual)
    keys: list[tuple[Any, bool]] = []
    for name in names:
        down, bare = name.startswith("-"), name.removeprefix("-")
        try:
            field = resource.field(bare)
        except KeyError:
            raise Invalid({"sort": f"there is no field {bare}"}) from None
        if sort and not field.sortable:
            raise Invalid({"sort": f"this list is not sorted by {bare}"})
        keys.append((_never_null(field), down))
    keys.append((resource.id, bool(keys) and keys[-1][1]))
    return keys


def _never_null(field: Field) -> Any:
    """NULL has no place in an order that a cursor can go on behind."""
    if field.orders is not None:
        return field.orders
    expression = field.shown if field.shown is not None else field.column
    column = getattr(expression, "expression", expression)
    if isinstance(column, sa.Column) and not column.nullable:
        if isinstance(column.type, sa.Enum):
            return sa.cast(column, sa.String)
        return column
    if isinstance(expression.type, sa.String):
        return sa.func.coalesce(expression, "")
    return sa.func.coalesce(expression, -1)


def _behind(keys: list[tuple[Any, bool]], last: list[Any]) -> sa.ColumnElement[bool]:
    directions = {down for _, down in keys}
    if len(directions) == 1:
        left = sa.tuple_(*(key for key, _ in keys))
        right = sa.tuple_(
            *(sa.literal(v, key.type) for (key, _), v in zip(keys, last, strict=True)),
        )
        return left < right if directions == {True} else left > right
    ways = []
    for n, (key, down) in enumerate(keys):
        same = [k == v for (k, _), v in zip(keys[:n], last[:n], strict=True)]
        ways.append(sa.and_(*same, key < last[n] if down else key > last[n]))
    return sa.or_(*ways)


def _cursor(values: Any, counted: _Counted) -> str:
    told = [*values, counted.rows, counted.more]
    return base64.urlsafe_b64encode(msgspec.json.encode(told)).decode().rstrip("=")


def _read_cursor(text: str, length: int) -> tuple[list[Any], _Counted]:
    """The values by which the last row was sorted, and how many rows there were."""
    try:
        told = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, msgspec.DecodeError, RecursionError):
        told = None
    match told:
        case [*values, int(rows), bool(more)] if len(values) == length and 0 <= rows <= MOST_COUNTED:
            counted = _Counted(rows, more)
        case _:
            raise _no_cursor()
    if any(not isinstance(each, (str, int, float)) for each in values):
        raise _no_cursor()
    if any(isinstance(each, str) and "\0" in each for each in values):
        raise _no_cursor()
    return values, counted


def _no_cursor() -> Invalid:
    return Invalid({"after": "this is no cursor of this list: begin at its first page"})


def _conditions(resource: Resource, filters: Mapping[str, str]) -> list[sa.ColumnElement[bool]]:
    """Raises Invalid: a filter that there is not, or a value that cannot be one."""
    found: list[sa.ColumnElement[bool]] = []
    errors: dict[str, str] = {}
    for name, text in filters.items():
        if text == "":
            continue
        bare, bound = name, ""
        for ending in ("_from", "_to"):
            if name.endswith(ending):
                bare, bound = name.removesuffix(ending), ending
        field = next((f for f in resource.fields if f.name in (name, bare)), None)
        if field is None or field.find is Find.NOT or (field.find is Find.BETWEEN) != bool(bound):
            errors[name] = "this list has no such filter"
            continue
        if "\0" in text:
            errors[name] = "there are characters in it that cannot be searched for"
            continue
        try:
            found.append(_condition(field, bound, text))
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise Invalid(errors)
    return found


def _condition(field: Field, bound: str, text: str) -> sa.ColumnElement[bool]:
    if field.ids is not None:
        field.ids(text)  # says what is wrong with it; `page` asks for them
        return sa.true()
    if field.kind is Kind.CHOICE:
        return _one_of(field, text.split(","))
    if field.where is not None:
        return field.where(text)
    column = field.column
    match field.find:
        case Find.BETWEEN:
            value = _number(text)
            condition: sa.ColumnElement[bool] = column >= value if bound == "_from" else column < value
        case Find.BEGINS:
            text = field.clean(text) if field.clean is not None else text
            condition = column.startswith(text, autoescape=True)
        case Find.CONTAINS:
            condition = _any_case(column, text)
        case _ if field.kind is Kind.YES_NO:
            if text not in ("yes", "no"):
                raise ValueError("yes or no is expected")
            condition = column.is_(text == "yes")
        case _ if field.kind in (Kind.INTEGER, Kind.REFERENCE):
            condition = column == int(_number(text))
        case _:
            condition = column == (field.clean(text) if field.clean is not None else text)
    return condition


def _one_of(field: Field, values: list[str]) -> sa.ColumnElement[bool]:
    """Raises ValueError."""
    if not {value for value, _ in field.choices}.issuperset(values):
        raise ValueError("one of these is expected: " + ", ".join(v for v, _ in field.choices))
    if field.where is not None:
        return sa.or_(*map(field.where, values))
    is_enum = isinstance(getattr(field.column, "type", None), sa.Enum)
    column = sa.cast(field.column, sa.String) if is_enum else field.column
    return column == values[0] if len(values) == 1 else column.in_(values)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("a number is expected") from None
    if not -1e12 < value < 1e12:
        raise ValueError("a number is expected")
    return value
