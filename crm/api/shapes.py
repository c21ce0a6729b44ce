"""The JSON of records, made from their descriptions (crm.desk.resource): what is read, what makes one, what changes one.

Times are RFC 3339 with a zone. A field that is left out of a change stays as it is; null empties it. Secrets are taken
and never given.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from crm.desk.resource import Field, Kind, Link, Resource, Row, Values

ID = Annotated[int, Meta(ge=1, le=2**31 - 1, examples=[17])]
LABELS = {Kind.REFERENCE: "the id of one of"}


def _type(field: Field) -> Any:
    about = (
        field.label + (f", in {field.unit}" if field.unit else "") + (f": {field.hint}" if field.hint else "")
    )
    examples = [field.example] if field.example is not None else None
    match field.kind:
        case Kind.TEXT | Kind.LONG_TEXT | Kind.SECRET:
            shortest = None if field.optional else 1
            return Annotated[
                str, Meta(min_length=shortest, max_length=field.longest, description=about, examples=examples)
            ]
        case Kind.CHOICE:
            return Literal[tuple(value for value, _ in field.choices)]
        case Kind.INTEGER:
            low = int(field.low) if field.low is not None else -(2**31)
            high = int(field.high) if field.high is not None else 2**31 - 1
            return Annotated[int, Meta(ge=low, le=high, description=about, examples=examples)]
        case Kind.NUMBER:
            return Annotated[float, Meta(ge=field.low, le=field.high, description=about, examples=examples)]
        case Kind.YES_NO:
            return Annotated[bool, Meta(description=about)]
        case Kind.TIME:
            return Annotated[datetime, Meta(tz=True, description=about, examples=["2026-11-24T09:03:22Z"])]
        case Kind.REFERENCE:
            about = f"{about}: the id of one of {field.refers_to}"
            return Annotated[int, Meta(ge=1, le=2**31 - 1, description=about, examples=examples or [17])]


@cache
def record_type(resource: Resource) -> type[Struct]:
    """What a record is given as."""
    fields: list[Any] = [("id", ID), ("title", Annotated[str, Meta(description="its name as text")])]
    for each in resource.readable():
        of = Literal[tuple(v for v, _ in each.choices)] if each.kind is Kind.CHOICE else _bare(each)
        fields.append((each.name, of | None))
        if each.shown is not None:
            what = Annotated[str, Meta(description=f"{each.label}, as text")]
            fields.append((f"{each.name.removesuffix('_id')}_shown", what))
    return msgspec.defstruct(_name(resource.entity), fields, kw_only=True)


def _bare(field: Field) -> Any:
    """The type of what is given: what lies in the database is not refused for its length."""
    of = {Kind.INTEGER: int, Kind.NUMBER: float, Kind.YES_NO: bool, Kind.TIME: datetime, Kind.REFERENCE: int}
    examples = [field.example] if field.example is not None and field.kind is not Kind.TIME else None
    return Annotated[of.get(field.kind, str), Meta(description=field.label, examples=examples)]


@cache
def new_type(resource: Resource) -> type[Struct]:
    """What makes a record."""
    fields: list[Any] = []
    for each in resource.fields:
        if not each.written:
            continue
        if not each.optional and each.default is None:
            fields.append((each.name, _type(each)))
        else:
            fields.append((each.name, _type(each) | None | UnsetType, UNSET))
    name = f"New{_name(resource.entity)}"
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


@cache
def change_type(resource: Resource) -> type[Struct]:
    """What changes a record: any of its fields."""
    fields = [
        (each.name, (_type(each) | None | UnsetType) if each.optional else (_type(each) | UnsetType), UNSET)
        for each in resource.fields
        if each.written and not each.once
    ]
    name = f"{_name(resource.entity)}Change"
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


@cache
def link_type(resource: Resource, link: Link) -> type[Struct]:
    """What a link says, as it is put."""
    fields = [(each.name, _type(each) | None | UnsetType, UNSET) for each in link.fields]
    name = f"{_name(resource.entity)}{_name(link.name)}Link"
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


@cache
def linked_type(resource: Resource, link: Link) -> type[Struct]:
    """What hangs on a record by a link."""
    fields: list[Any] = [("id", ID), ("title", str)]
    for each in link.fields:
        of = Literal[tuple(v for v, _ in each.choices)] if each.kind is Kind.CHOICE else _bare(each)
        fields.append((each.name, of | None))
    return msgspec.defstruct(f"{_name(resource.entity)}{_name(link.name)}", fields, kw_only=True)


@cache
def page_type(resource: Resource) -> type[Struct]:
    """A part of a list."""
    fields: list[Any] = [
        ("items", list[record_type(resource)]),  # type: ignore[misc]
        (
            "next",
            Annotated[str | None, Meta(description="the cursor of the next page; null: this is the last")],
        ),
        ("total", Annotated[int, Meta(description="rows in all, as far as they were counted")]),
        ("more", Annotated[bool, Meta(description="there are more than were counted")]),
    ]
    return msgspec.defstruct(f"{_name(resource.entity)}Page", fields, kw_only=True)


def as_record(resource: Resource, row: Row) -> Struct:
    """A record as it is given."""
    given: dict[str, Any] = {"id": row.id, "title": row.title}
    for each in resource.readable():
        given[each.name] = _out(each, row.values.get(each.name))
        if each.shown is not None:
            given[f"{each.name.removesuffix('_id')}_shown"] = row.shown.get(each.name, "")
    return record_type(resource)(**given)


def as_linked(resource: Resource, link: Link, row: Row) -> Struct:
    """What hangs on a record, as it is given."""
    given = {each.name: _out(each, row.values.get(each.name)) for each in link.fields}
    return linked_type(resource, link)(id=row.id, title=row.title, **given)


def read_values(fields: Sequence[Field], data: Struct) -> Values:
    """The fields of `data` that are set, as the desk takes them."""
    values: Values = {}
    for each in fields:
        value = getattr(data, each.name, UNSET)
        if value is not UNSET:
            values[each.name] = value.timestamp() if isinstance(value, datetime) else value
    return values


def moment(at: float | None) -> datetime | None:
    """UTC seconds as they are given; None for what no calendar has."""
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _out(field: Field, value: Any) -> Any:
    return moment(value) if field.kind is Kind.TIME else value


def _name(text: str) -> str:
    """ "block_kind" → "BlockKind"."""
    return "".join(part.title() for part in text.replace("-", "_").replace(" ", "_").split("_"))
