"""Values of a record's fields: checked as they are entered, and made into columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from crm.desk.resource import Field, Kind, Resource, Row, Values
from crm.who import Invalid

if TYPE_CHECKING:
    from crm.desk.desk import Desk

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def check_values(resource: Resource, values: Values, *, creating: bool) -> Values:
    """`values` as they are kept; on creation with defaults. Raises Invalid: for each field what is expected."""
    errors: dict[str, str] = {}
    checked: Values = {}
    known = {each.name: each for each in resource.fields}
    for name in values:
        if name not in known:
            errors[name] = "there is no such field"
    for each in resource.fields:
        if not each.written:
            if each.name in values:
                errors[each.name] = "this cannot be set"
            continue
        if each.name not in values:
            if creating:
                checked[each.name] = each.default
                if each.default is None and not each.optional:
                    errors[each.name] = "this is needed"
            continue
        if each.once and not creating:
            errors[each.name] = "this cannot be changed any more"
            continue
        try:
            checked[each.name] = check_value(each, values[each.name])
        except ValueError as error:
            errors[each.name] = str(error)
    if errors:
        raise Invalid(errors)
    return checked


def check_value(field: Field, value: Any) -> Any:
    """One value as it is kept. Raises ValueError with what is expected."""
    if value is None or value == "":
        if field.kind is Kind.SECRET:
            return None
        if not field.optional:
            raise ValueError("this is needed")
        return "" if field.kind in (Kind.TEXT, Kind.LONG_TEXT) and field.default == "" else None
    match field.kind:
        case Kind.TEXT | Kind.LONG_TEXT | Kind.SECRET:
            return _text(field, value)
        case Kind.INTEGER | Kind.REFERENCE:
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError("a whole number is expected")
            return _in_range(field, value, -(2**31), 2**31 - 1)
        case Kind.NUMBER | Kind.TIME:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
                raise ValueError("a number is expected")
            return _in_range(field, float(value), -1e12, 1e12)
        case Kind.YES_NO:
            if not isinstance(value, bool):
                raise ValueError("yes or no is expected")
            return value
        case Kind.CHOICE:
            if value not in [choice for choice, _ in field.choices]:
                raise ValueError("one of these is expected: " + ", ".join(c for c, _ in field.choices))
            return value


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text is expected")
    text = value if field.kind is Kind.SECRET else value.strip()
    if _CONTROLS.search(text) or (field.kind is not Kind.LONG_TEXT and "\n" in text):
        raise ValueError("there are characters in it that cannot be shown")
    if not text.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise ValueError("there are characters in it that cannot be shown")
    if len(text) > field.longest:
        raise ValueError(f"at most {field.longest} characters are expected")
    if field.clean is not None:
        text = field.clean(text)
    if field.pattern and not re.fullmatch(field.pattern, text):
        raise ValueError(field.hint or "this does not look right")
    if not text and not field.optional:
        raise ValueError("this is needed")
    return text


def _in_range(field: Field, value: float, low: float, high: float) -> float:
    low = field.low if field.low is not None else low
    high = field.high if field.high is not None else high
    if not low <= value <= high:
        raise ValueError(f"a number from {low:g} to {high:g} is expected")
    return value


def column_values(
    desk: Desk, connection: sa.Connection, resource: Resource, values: Values, before: Row | None
) -> dict[str, Any]:
    """What is written into the model's columns; enums as the model wants them."""
    if resource.prepare is not None:
        values = resource.prepare(desk, connection, dict(values), before)
    columns = resource.model.__table__.c
    of_attribute = {c.key: c for c in columns} | {c.name: c for c in columns}
    found: dict[str, Any] = {}
    for name, value in values.items():
        column = of_attribute.get(name)
        if column is None:
            continue
        if isinstance(column.type, sa.Enum) and column.type.enum_class is not None and value is not None:
            value = column.type.enum_class(value)
        if value is None and not column.nullable:
            if column.default is not None:
                continue
            value = "" if isinstance(column.type, sa.String) else value
        found[column.key] = value
    return found
