"""Many keys at once: what each line can mean, which way of writing all of them have, and the import itself.

A list of keys comes from one reader or one program, so that one format is right for all of it. The preview shows each
line in every byte order, and which of them are known already: that is the best sign of the right one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from attrs import frozen

from crm.changes import note_change
from crm.keys.formats import KeyFormat, Reading, ways
from crm.keys.keys import insert_keys
from crm.keys.panels import sync_keys
from crm.keys.reach import Binding, check_bindings
from crm.model import table
from crm.rights import Right
from crm.store import Store
from crm.tables.keys import Key, KeyBinding, Technology
from crm.who import Invalid, Who

CHUNK = 500
SEEN_BEFORE = 10  # a line that is known already says as much as so many that only look right

_KEYS = table(Key)


@frozen
class Line:
    """One line of a list: `known` are those of its UIDs that the CRM has."""

    text: str
    readings: tuple[Reading, ...]
    known: frozenset[str]


@frozen
class Guess:
    """How well a format fits a list: lines that can be read in it, that are known then, and of which it is likely."""

    format: KeyFormat
    readable: int
    known: int
    likely: int

    @property
    def score(self) -> int:
        return self.readable + self.likely + SEEN_BEFORE * self.known


@frozen
class Imported:
    """What became of an import: keys that were added, and known ones that were bound to more."""

    added: int
    known: int


def preview(store: Store, who: Who, lines: Sequence[str]) -> tuple[Line, ...]:
    """What each line can mean, and what of it is known. Empty lines are left out. Raises Forbidden."""
    who.need(Right.KEYS_EDIT)
    read = [(line.strip(), ways(line)) for line in lines if line.strip()]
    with store.reading() as connection:
        known = _known(connection, {each.uid for _, readings in read for each in readings})
    return tuple(
        Line(text, readings, frozenset(each.uid for each in readings if each.uid in known))
        for text, readings in read
    )


def guess_format(lines: Iterable[Line]) -> tuple[Guess, ...]:
    """The formats in which any line can be read, the best first."""
    counts: dict[KeyFormat, list[int]] = {}
    for line in lines:
        best = line.readings[0].sure if line.readings else None
        seen = set()
        for each in line.readings:
            if each.format in seen:
                continue
            seen.add(each.format)
            count = counts.setdefault(each.format, [0, 0, 0])
            count[0] += 1
            count[1] += each.uid in line.known
            count[2] += each.sure is best
    guesses = [Guess(format, *count) for format, count in counts.items()]
    order = list(KeyFormat)
    return tuple(sorted(guesses, key=lambda guess: (-guess.score, order.index(guess.format))))


def import_keys(
    store: Store,
    who: Who,
    lines: Sequence[tuple[str, Sequence[Binding]]],
    format: KeyFormat,
    now: float,
    *,
    technology: Technology | None = None,
    note: str = "",
) -> Imported:
    """Add all of these keys, each with its bindings, or none; one that is known gets the bindings that it lacks.

    Raises Invalid (each wrong line by its number, from 1), Forbidden.
    """
    who.need(Right.KEYS_EDIT)
    errors: dict[str, str] = {}
    read: dict[str, tuple[Reading, str, set[Binding]]] = {}
    for number, (text, bindings) in enumerate(lines, 1):
        reading = next((each for each in ways(text) if each.format is format), None)
        if reading is None:
            errors[str(number)] = f"{text.strip()[:40]!r} is no key written as {format.value}"
        elif not bindings and not who.rights.may_everywhere(Right.KEYS_EDIT):
            errors[str(number)] = "it is bound to nothing that you see"
        else:
            read.setdefault(reading.uid, (reading, text, set()))[2].update(bindings)
    if errors:
        raise Invalid(errors)
    with store.transaction() as connection:
        check_bindings(connection, who, {each for _, _, bindings in read.values() for each in bindings})
        added = known = 0
        every = list(read.items())
        for at in range(0, len(every), CHUNK):
            some = every[at : at + CHUNK]
            ids = _known(connection, {uid for uid, _ in some})
            new = [(reading, text, technology, note) for uid, (reading, text, _) in some if uid not in ids]
            known += len(ids)
            if new:
                made = insert_keys(connection, new, now)
                added += len(made)
                for (reading, *_), id in zip(new, made, strict=True):
                    ids[reading.uid] = id
                    texts = {"uid": reading.uid, "bindings": sorted(b.text for b in read[reading.uid][2])}
                    note_change(connection, who, "key", id, "create", None, texts, at=now)
            _bind_more(connection, who, {ids[uid]: bindings for uid, (_, _, bindings) in some}, now)
            sync_keys(connection, ids.values(), now)
    return Imported(added, known)


def _bind_more(connection: sa.Connection, who: Who, wanted: dict[int, set[Binding]], now: float) -> None:
    of = table(KeyBinding)
    there: dict[int, set[Binding]] = {}
    for row in connection.execute(sa.select(of).where(of.c.key_id.in_(wanted))):
        there.setdefault(row.key_id, set()).add(Binding(row.scope, row.ref_id))
    rows = []
    for id, bindings in wanted.items():
        has = there.get(id, set())
        rows += [{"key_id": id, "scope": each.scope, "ref_id": each.ref_id} for each in bindings - has]
        if has:
            before, after = (
                {"bindings": sorted(each.text for each in some)} for some in (has, has | bindings)
            )
            note_change(connection, who, "key", id, "update", before, after, at=now)
    if rows:
        connection.execute(sa.insert(of), rows)


def _known(connection: sa.Connection, uids: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    every = sorted(uids)
    for at in range(0, len(every), CHUNK):
        query = sa.select(_KEYS.c.uid, _KEYS.c.id).where(_KEYS.c.uid.in_(every[at : at + CHUNK]))
        found.update((uid, id) for uid, id in connection.execute(query))
    return found
