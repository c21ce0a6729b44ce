"""The history of changes as people read it: labels instead of columns, names instead of numbers, times of a clock.

What a change has before and after are the values of its record by their fields, those of a link by its columns, or what
whoever made it wrote beside (`BESIDE`). A record that is not there any more, or beyond the reader's reach, is told by its
number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from attrs import define, field, frozen

from crm.changes import SECRET
from crm.desk.resource import Field, Kind, Link, Resource
from crm.site import Site
from crm.tables.blocks import BlockKindRow
from crm.web import language as languages
from crm.web import show
from crm.who import Who

# What was done, where it is not said by its own name.
ACTIONS: Mapping[str, str] = {
    "code": "a new code",
    "reset": "certificate forgotten",
    "lost": "key lost",
    "found": "key found again",
    "import": "import of a file",
}
BESIDE: Mapping[str, Field] = {
    each.name: each
    for each in (
        Field(name="from", label="From", kind=Kind.TIME),
        Field(name="until", label="Until", kind=Kind.TIME),
        Field(name="reason", label="Reason"),
        Field(name="kind", label="Kind"),
        Field(name="code_at", label="Code made", kind=Kind.TIME),
        Field(name="lost_at", label="Lost", kind=Kind.TIME),
        Field(name="lost_why", label="Why it is lost"),
        Field(name="groups", label="Groups", kind=Kind.REFERENCE, refers_to="groups"),
        Field(name="cities", label="Cities", kind=Kind.REFERENCE, refers_to="cities"),
        Field(name="companies", label="Companies", kind=Kind.REFERENCE, refers_to="companies"),
        Field(name="houses", label="Houses", kind=Kind.REFERENCE, refers_to="houses"),
        Field(name="house_id", label="House", kind=Kind.REFERENCE, refers_to="houses"),
        Field(name="entrance_id", label="Entrance", kind=Kind.REFERENCE, refers_to="entrances"),
        Field(name="task", label="Call to the flat", kind=Kind.REFERENCE, refers_to="quality-tasks"),
        Field(name="everywhere", label="Everywhere", kind=Kind.YES_NO),
        Field(name="second factor", label="Second factor", kind=Kind.YES_NO),
        Field(name="flats", label="Flats", kind=Kind.INTEGER),
        Field(name="entrances", label="Entrances", kind=Kind.INTEGER),
        Field(name="panels", label="Panels", kind=Kind.INTEGER),
        Field(name="rows", label="Rows", kind=Kind.INTEGER),
        Field(name="added", label="Rows added", kind=Kind.INTEGER),
        Field(name="changed", label="Rows changed", kind=Kind.INTEGER),
        Field(name="numbers", label="Numbers of flats"),
        Field(name="name", label="Name"),
        Field(name="number", label="Number"),
        Field(name="panel", label="Panel"),
        Field(name="panel_number", label="Number at the panel"),
        Field(name="prefix", label="Prefix at the panel"),
        Field(name="bindings", label="What the key opens"),
        Field(name="channel", label="Channel"),
        Field(name="outcome", label="What came of it"),
        Field(name="password", label="Password", kind=Kind.SECRET),
        Field(name="token", label="Token", kind=Kind.SECRET),
        Field(name="http_password", label="Password of HTTP", kind=Kind.SECRET),
        Field(name="http_user", label="User of HTTP"),
        Field(name="url", label="Address"),
        Field(name="tls_pin", label="Certificate"),
    )
}
# Records that have no resource: what one is called, and where its page is.
OTHERS: Mapping[str, tuple[str, str]] = {"import": ("Import", "/imports/{id}")}
NOTHING = "–"
_KINDS_OF_BLOCK = sa.select(BlockKindRow.code, BlockKindRow.name)


@frozen
class Ref:
    """A record that a value names."""

    resource: str
    id: int


@frozen
class Piece:
    """A part of a value as text; with a `path` it leads to a page."""

    text: str
    path: str = ""


Part = str | Ref


@frozen
class Told:
    """A change in words. `before` and `after`: labels with what stood there, as pieces."""

    id: int
    at: float
    who: str
    by_path: str
    address: str
    action: str
    kind: str
    record: Piece
    before: tuple[tuple[str, tuple[Piece, ...]], ...]
    after: tuple[tuple[str, tuple[Piece, ...]], ...]


@define
class ChangeWords:
    """Words changes in `clock`'s language, for `who`."""

    _site: Site
    _who: Who
    _clock: show.Clock
    _names: dict[Ref, str] = field(factory=dict, init=False)
    _kinds: Mapping[str, str] = field(factory=dict, init=False)

    def told(self, changes: Sequence[Mapping[str, Any]]) -> list[Told]:
        """Rows of the table of changes, in words."""
        sides = [
            (self._side(each, "before", "after"), self._side(each, "after", "before")) for each in changes
        ]
        refs = {ref for change in changes if (ref := self._record(change)) is not None}
        refs |= {part for both in sides for side in both for _, parts in side for part in _refs(parts)}
        self._name(refs)
        return [self._told(change, *both) for change, both in zip(changes, sides, strict=True)]

    def _told(self, change: Mapping[str, Any], before: Side, after: Side) -> Told:
        resource = self._resource(change["entity"])
        label, path = OTHERS.get(change["entity"], (change["entity"].replace("_", " "), ""))
        record, id = self._record(change), change["entity_id"]
        if record is not None and (name := self._names.get(record)):
            piece = Piece(name, f"/{record.resource}/{id}")
        else:
            piece = Piece(f"#{id}", path.format(id=id))
        return Told(
            id=change["id"],
            at=change["at"],
            who=languages.say(self._clock.language, change["who"]),
            by_path=_by_path(change["by"]),
            address=change["address"],
            action=self._action(change, resource),
            kind=self._(resource.label_one if resource else label),
            record=piece,
            before=self._pieces(before),
            after=self._pieces(after),
        )

    def _(self, text: str) -> str:
        return languages.translations(self._clock.language).gettext(text) if text else ""

    def _resource(self, entity: str) -> Resource | None:
        return next((each for each in self._site.desk.resources.values() if each.entity == entity), None)

    def _record(self, change: Mapping[str, Any]) -> Ref | None:
        resource = self._resource(change["entity"])
        return Ref(resource.name, change["entity_id"]) if resource and change["action"] != "delete" else None

    def _name(self, refs: Iterable[Ref]) -> None:
        desk = self._site.desk
        wanted: dict[str, set[int]] = {}
        for ref in refs:
            wanted.setdefault(ref.resource, set()).add(ref.id)
        for name, ids in wanted.items():
            found = desk.titles(self._who, desk.resource(name), ids)
            self._names |= {Ref(name, id): title for id, title in found.items()}

    def _action(self, change: Mapping[str, Any], resource: Resource | None) -> str:
        action = change["action"]
        verb, _, name = action.partition(" ")
        link = _link(resource, name)
        if link is None or verb not in ("link", "unlink"):
            return self._(ACTIONS.get(action, action))
        if verb == "unlink":
            word = self._("taken off")
        else:
            word = self._("changed") if object_of(change["before"]) else self._("put")
        return f"{word}: {self._(link.label)}"

    # --- values ----------------------------------------------------------------------------------------------------

    def _side(self, change: Mapping[str, Any], side: str, other: str) -> Side:
        """The labels of what was before or after, with their values; what was nothing on both sides is left out."""
        resource = self._resource(change["entity"])
        link = _link(resource, change["action"].partition(" ")[2])
        found = []
        there = object_of(change[other])
        for name, value in object_of(change[side]).items():
            if (link is not None and name == link.mine) or (_is_nothing(value) and name not in there):
                continue
            known = _field(resource, link, name)
            label = self._(known.label) if known else name.replace("_", " ")
            found.append((label, tuple(self._value(known, value))))
        return found

    def _value(self, known: Field | None, value: Any) -> Iterator[Part]:
        if _is_nothing(value):
            yield NOTHING
        elif isinstance(value, list):
            for n, each in enumerate(value):
                yield from [", "] if n else []
                yield from self._value(known, each)
        elif isinstance(value, dict):
            for n, (name, each) in enumerate(value.items()):
                inner = BESIDE.get(name)
                yield f"{', ' if n else ''}{self._(inner.label) if inner else name}: "
                yield from self._value(inner, each)
        else:
            yield self._one(known, value)

    def _one(self, known: Field | None, value: Any) -> Part:
        if value == SECRET or known is None:
            return self._yes_no(value) if isinstance(value, bool) else str(value)
        match known.kind:
            case Kind.REFERENCE if isinstance(value, int):
                return Ref(known.refers_to, value)
            case Kind.TIME if isinstance(value, int | float):
                return self._clock(value)
            case Kind.YES_NO:
                return self._yes_no(bool(value))
            case Kind.CHOICE:
                return self._(dict(known.choices).get(str(value), str(value)))
            case Kind.INTEGER | Kind.NUMBER if isinstance(value, int | float):
                return f"{show.number(value)} {self._(known.unit)}".rstrip()
            case _ if known.words is not None:
                return known.words(str(value), self._)
        if known.name == "mac":
            return show.mac(str(value))
        if known.name == "bindings":
            entity, _, id = str(value).partition(" ")
            resource = self._resource(entity)
            return Ref(resource.name, int(id)) if resource and id.isdecimal() else str(value)
        if known.name in ("kind", "outcome"):
            return self._kind(str(value))
        return str(value)

    def _kind(self, value: str) -> str:
        """Of a block its kind's name; else what the word says."""
        if not self._kinds:
            with self._site.store.reading() as connection:
                self._kinds = {str(code): str(name) for code, name in connection.execute(_KINDS_OF_BLOCK)}
        return self._kinds.get(value) or languages.say(self._clock.language, value.replace("_", " "))

    def _yes_no(self, value: bool) -> str:
        return self._("yes") if value else self._("no")

    def _pieces(self, side: Side) -> tuple[tuple[str, tuple[Piece, ...]], ...]:
        return tuple((label, tuple(map(self._piece, parts))) for label, parts in side)

    def _piece(self, part: Part) -> Piece:
        if isinstance(part, str):
            return Piece(part)
        name = self._names.get(part)
        return Piece(name, f"/{part.resource}/{part.id}") if name else Piece(f"#{part.id}")


Side = Sequence[tuple[str, Sequence[Part]]]


def _is_nothing(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _refs(parts: Iterable[Part]) -> Iterator[Ref]:
    return (part for part in parts if isinstance(part, Ref))


def _link(resource: Resource | None, name: str) -> Link | None:
    return next((each for each in resource.links if each.name == name), None) if resource else None


def _field(resource: Resource | None, link: Link | None, name: str) -> Field | None:
    """What a name in a change means."""
    if link is not None:
        if name == link.other:
            return Field(name=name, label=link.label, kind=Kind.REFERENCE, refers_to=link.to)
        fields: Iterable[Field] = link.fields
    else:
        fields = resource.fields if resource else ()
    return next((each for each in fields if each.name == name), None) or BESIDE.get(name)


def _by_path(by: str) -> str:
    kind, _, id = by.partition(":")
    return f"/{kind}s/{id}" if kind in ("employee", "token") and id.isdigit() else ""


def object_of(text: str) -> dict[str, Any]:
    """What was before or after, by field."""
    try:
        found: Any = msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        found = {"JSON": text}
    return found if isinstance(found, dict) else {"JSON": found}
