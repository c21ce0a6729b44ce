"""A house as it is typed: entrances with their ranges of flats, and each flat's floor. Plain functions of a text.

"1: 1-36; 2: 37-72 (2-10)" are two entrances. Flats are ranges and single ones by commas, with letters ("5а-5г"); what is
between two ranges is a gap. In brackets stand the floors (9 or 2-10), how many flats are on each (×4), or both.
"1-4: 1-144" are four entrances with as many flats each. What is wrong is a `Fault` of the entrance that it stands at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

MAX_FLATS = 3000  # of a house
MAX_ENTRANCES = 60
NUMBER_LENGTH = 20
NAME_LENGTH = 64
FLOORS = (-10, 200)

_DASH = r"\s*[-–—]\s*"
_PART = re.compile(r"\s*([^:]*?)\s*(?::\s*([^()]*?)\s*(?:\(([^()]*)\)\s*)?)?", re.S)
_SPREAD = re.compile(rf"(\d{{1,4}}){_DASH}(\d{{1,4}})")
_RANGE = re.compile(rf"(\d{{1,5}})([^\W\d_]?){_DASH}(\d{{1,5}})([^\W\d_]?)")
_SINGLE = re.compile(r"[^\W_][\w./\- ]*")
_FLOORS = re.compile(rf"\s*(?:(-?\d{{1,3}})(?:{_DASH}(-?\d{{1,3}}))?)?\s*(?:[xXхХ×*]\s*(\d{{1,3}}))?\s*")
_ALPHABETS = ("абвгдежзиклмнопрстуфхцчшщэюя", "abcdefghijklmnopqrstuvwxyz")


@frozen
class Fault:
    """What is wrong: a message id for gettext, and the values that stand in it."""

    text: str
    values: Mapping[str, Any] = field(factory=dict)

    def __str__(self) -> str:
        return self.text % self.values


@frozen
class DoorText:
    """An entrance as it is described: `flats` "1-36, 40а", `floors` "9" or "2-10", `per_floor` flats on each."""

    name: str
    flats: str = ""
    floors: str = ""
    per_floor: int | None = None


@frozen
class PlannedFlat:
    number: str
    floor: int | None = None


@frozen
class PlannedDoor:
    """An entrance with its flats, and what is wrong with it; `typed` is what was typed for it."""

    name: str
    typed: str
    flats: tuple[PlannedFlat, ...] = ()
    faults: tuple[Fault, ...] = ()


@frozen
class HousePlan:
    doors: tuple[PlannedDoor, ...]

    @property
    def faults(self) -> dict[int, Fault]:
        """The first fault of each entrance that has one, by its place."""
        return {n: each.faults[0] for n, each in enumerate(self.doors) if each.faults}

    @property
    def flats(self) -> int:
        return sum(len(each.flats) for each in self.doors)


class _Unclear(Exception):
    def __init__(self, text: str, **values: Any) -> None:
        super().__init__(text)
        self.fault = Fault(text, values)


def read_doors(text: str, floors: str = "", per_floor: int | None = None) -> list[DoorText]:
    """The entrances of a text; `floors` and `per_floor` are of those that say nothing else."""
    found = []
    for part in re.split(r"[;\n]", text):
        if not part.strip():
            continue
        match = _PART.fullmatch(part)
        if match is None:
            name, _, flats = part.partition(":")
            found.append(DoorText(name.strip(), flats or "?"))
            continue
        name, flats, told = match[1], match[2] or "", match[3]
        shown = _FLOORS.fullmatch(told) if told is not None else None
        if told is None:
            found.append(DoorText(name, flats, floors, per_floor))
        elif shown is None:
            found.append(DoorText(name, flats, told))
        else:
            on_each = int(shown[3]) if shown[3] else None
            bare = re.split(r"[xXхХ×*]", told)[0].strip()
            found.append(DoorText(name, flats, bare or (floors if on_each else ""), on_each))
    return found


def plan(doors: Sequence[DoorText], taken: Iterable[str] = ()) -> HousePlan:
    """What `doors` come to; `taken` are numbers of flats that are there already."""
    planned = [each for door in doors for each in _planned(door)]
    behind: dict[str, str] = {}
    taken = {each.lower() for each in taken}
    names: set[str] = set()
    total = 0
    for n, door in enumerate(planned):
        faults = list(door.faults)
        total += len(door.flats)
        if door.name.lower() in names:
            faults.append(Fault("this entrance stands here twice"))
        if total > MAX_FLATS or n >= MAX_ENTRANCES:
            most = {"flats": MAX_FLATS, "entrances": MAX_ENTRANCES}
            faults.append(Fault("a house has at most %(flats)s flats and %(entrances)s entrances", most))
        for flat in door.flats:
            number = flat.number.lower()
            if number in behind:
                said = {"flat": flat.number, "entrance": behind[number]}
                faults.append(Fault("flat %(flat)s is at %(entrance)s already", said))
            elif number in taken:
                faults.append(Fault("flat %(flat)s is there already", {"flat": flat.number}))
            behind.setdefault(number, door.name)
        names.add(door.name.lower())
        planned[n] = evolve(door, faults=tuple(faults))
    return HousePlan(tuple(planned))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """In the order of people: "2" before "10", "5" before "5а"."""
    parts = re.findall(r"\d+|\D+", text.lower())
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def door_name(text: str) -> str:
    """ "1" is "п. 1"; anything else stands as it is."""
    return f"п. {int(text)}" if re.fullmatch("[0-9]{1,4}", text) else text


def read_numbers(text: str) -> list[str]:
    """The flats of "1-36, 40а, 5а-5г". Raises ValueError with what is expected."""
    try:
        return _numbers(text)
    except _Unclear as error:
        raise ValueError(str(error.fault)) from None


def _planned(door: DoorText) -> list[PlannedDoor]:
    """The entrance, or the entrances when its name is a range of them."""
    spread = _SPREAD.fullmatch(door.name.strip())
    names = [door_name(door.name.strip())]
    try:
        if spread is not None:
            first, last = int(spread[1]), int(spread[2])
            if not door.flats.strip():
                raise _Unclear("an entrance stands before its flats: 1: 1-36")
            if not first < last < first + MAX_ENTRANCES:
                raise _Unclear("a range of entrances is like 1-4")
            names = [door_name(str(n)) for n in range(first, last + 1)]
        if not names[0] or len(names[0]) > NAME_LENGTH or not names[0].isprintable():
            raise _Unclear("an entrance has a name of 1 to 64 characters")
        numbers = _numbers(door.flats)
        each, rest = divmod(len(numbers), len(names))
        if rest:
            said = {"flats": len(numbers), "entrances": len(names)}
            raise _Unclear("%(flats)s flats cannot be shared out evenly to %(entrances)s entrances", **said)
        low, floors = _floors(door.floors)
        made = []
        for n, name in enumerate(names):
            some = numbers[n * each : (n + 1) * each]
            made.append(PlannedDoor(name, door.flats, _on_floors(some, low, floors, door.per_floor)))
        return made
    except _Unclear as error:
        return [PlannedDoor(door_name(door.name.strip()) or "?", door.flats, (), (error.fault,))]


def _numbers(text: str) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        part = re.sub(r"\s+", " ", part.strip())
        if part:
            found += _part(part)
        if len(found) > MAX_FLATS:
            raise _Unclear("a house has at most %(flats)s flats", flats=MAX_FLATS)
    seen: set[str] = set()
    for number in found:
        if number.lower() in seen:
            raise _Unclear("flat %(flat)s stands here twice", flat=number)
        seen.add(number.lower())
    return found


def _part(part: str) -> list[str]:
    match = _RANGE.fullmatch(part)
    if match is not None:
        first, last = int(match[1]), int(match[3])
        letter, end = match[2].lower(), match[4].lower()
        if letter and end and first == last:
            letters = next((a for a in _ALPHABETS if letter in a and end in a), "")
            if letters and letters.index(letter) < letters.index(end):
                some = letters[letters.index(letter) : letters.index(end) + 1]
                return [f"{first}{each if match[2].islower() else each.upper()}" for each in some]
        elif not letter and not end and 0 < first <= last:
            if last - first >= MAX_FLATS:
                raise _Unclear("a house has at most %(flats)s flats", flats=MAX_FLATS)
            return [str(n) for n in range(first, last + 1)]
        raise _Unclear("%(part)s is no range: from the lower to the higher, like 1-36 or 5а-5г", part=part)
    if len(part) > NUMBER_LENGTH or not _SINGLE.fullmatch(part):
        raise _Unclear("%(part)s is no flat: ranges and numbers are expected, like 1-36, 40а", part=part[:40])
    return [part]


def _floors(told: str) -> tuple[int | None, int | None]:
    """The lowest floor, and how many there are."""
    match = re.fullmatch(rf"\s*(?:(-?\d{{1,3}})(?:{_DASH}(-?\d{{1,3}}))?)?\s*", told)
    if match is None:
        raise _Unclear("floors are like 9, or 2-10")
    if not match[1]:
        return None, None
    low, high = (int(match[1]), int(match[2])) if match[2] else (1, int(match[1]))
    if not FLOORS[0] <= low <= high <= FLOORS[1]:
        raise _Unclear("floors are like 9, or 2-10")
    return low, high - low + 1


def _on_floors(
    numbers: Sequence[str], low: int | None, floors: int | None, per_floor: int | None
) -> tuple[PlannedFlat, ...]:
    """From the lowest floor up."""
    count = len(numbers)
    if not count or (floors is None and not per_floor):
        return tuple(PlannedFlat(each) for each in numbers)
    low = 1 if low is None else low
    if per_floor:
        if floors is not None and count > floors * per_floor:
            said = {"flats": count, "floors": floors, "each": per_floor}
            raise _Unclear("%(flats)s flats do not fit on %(floors)s floors with %(each)s on each", **said)
        if low + (count - 1) // per_floor > FLOORS[1]:
            raise _Unclear("floors are like 9, or 2-10")
        return tuple(PlannedFlat(each, low + n // per_floor) for n, each in enumerate(numbers))
    assert floors is not None
    if floors > count:
        raise _Unclear(
            "there are more floors (%(floors)s) than flats (%(flats)s)", floors=floors, flats=count
        )
    return tuple(PlannedFlat(each, low + n * floors // count) for n, each in enumerate(numbers))
