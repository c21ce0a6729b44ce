"""Forms: from what a browser posts to a record's values, and back.

A field that was not in the form is left as it is; a box that is not ticked is told by a hidden field beside it. A
reference is typed with suggestions, and posted as its title with " #id" at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from crm.desk.resource import Field, Kind, Values
from crm.desk.values import check_value
from crm.who import Invalid


def read_form(fields: Sequence[Field], posted: Mapping[str, Any], zone: tzinfo) -> Values:
    """Values of `fields` that were posted. Raises Invalid: what is not even of the field's kind."""
    values: Values = {}
    errors: dict[str, str] = {}
    for each in fields:
        if each.name not in posted:
            continue
        try:
            values[each.name] = read_value(each, _last(posted[each.name]), zone)
        except ValueError as error:
            errors[each.name] = str(error)
    if errors:
        raise Invalid({**_unfit(fields, values), **errors})
    return values


def _unfit(fields: Sequence[Field], values: Values) -> dict[str, str]:
    """What is wrong with those that could be read: all is said at once."""
    errors: dict[str, str] = {}
    for each in fields:
        if each.name in values:
            try:
                check_value(each, values[each.name])
            except ValueError as error:
                errors[each.name] = str(error)
    return errors


def read_value(field: Field, text: str, zone: tzinfo) -> Any:
    """One value as it was typed. Raises ValueError with what is expected."""
    bare = text.strip()
    match field.kind:
        case Kind.TEXT | Kind.SECRET | Kind.CHOICE:
            return text
        case Kind.LONG_TEXT:
            return text.replace("\r\n", "\n")
        case Kind.YES_NO:
            return bare == "yes"
        case _ if not bare:
            return None
        case Kind.INTEGER:
            if not re.fullmatch(r"[+-]?\d{1,10}", bare):
                raise ValueError("a whole number is expected")
            return int(bare)
        case Kind.NUMBER:
            try:
                return float(bare.replace(",", "."))
            except ValueError:
                raise ValueError("a number is expected") from None
        case Kind.REFERENCE:
            return read_reference(bare)
        case Kind.TIME:
            return read_time(bare, zone)


def read_reference(text: str) -> int:
    """The id at the end of "ул. Ленина 5 #12", or alone. Raises ValueError."""
    found = re.search(r"(?:^|#)\s*(\d{1,10})\s*$", text)
    if found is None:
        raise ValueError("choose one of those that are shown while you type")
    return int(found[1])


def read_time(text: str, zone: tzinfo) -> float:
    """UTC seconds of a local time. Raises ValueError."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("a date and time is expected, like 2026-11-24 14:03") from None


def _last(value: Any) -> str:
    """Of several values of one name the last: a tick comes behind its hidden field."""
    if isinstance(value, (list, tuple)):
        value = value[-1] if value else ""
    return value if isinstance(value, str) else ""
