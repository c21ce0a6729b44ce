"""How long a search takes over a whole fleet, for each kind of question, and which tables it reads as a whole.

Questions are typed: each is asked at every third letter, and at its end. `--url` names a database that bench.crm_fleet
filled at this --scale; without it one is filled here.

The last line: searches= p50_ms= p95_ms= p99_ms= max_ms= late= (groups that the deadline cut off) missed= (questions that
did not find what they asked for) scanned= (tables that a statement reads as a whole, with their rows). Exit code 0: all
was found in time, and no table of over 30,000 rows was read as a whole; 1: not so; 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from attrs import Factory, define

from bench.crm_fleet import Size, open_fleet
from bench.crm_rows import CrmFleet
from bench.fleet_rows import FIRST_ID
from bench.report import figures, percentile
from crm.rights import Reach, Right, Rights
from crm.search.search import Found, search
from crm.search.text import other_layout
from crm.store import Store, StoreError
from crm.who import SYSTEM, Who
from testbed.debs import TestbedUnavailable
from testbed.processes import ProcessFailed

MANY = 30_000  # rows; a fleet's panels are fewer, its flats are not
LETTERS = 3  # typed between two searches

Question = Callable[[CrmFleet, random.Random], tuple[str, Found]]


def _flat(fleet: CrmFleet, chance: random.Random) -> tuple[str, Found]:
    flat = fleet.home(chance.randrange(fleet.accounts))
    house = flat // fleet.per_entrance // 4
    street, city = fleet.street(house)
    return f"{city} {street} {fleet.house_number(house)} {flat % (fleet.per_entrance * 4) + 1}", Found.FLAT


def _house(fleet: CrmFleet, chance: random.Random) -> tuple[str, Found]:
    house = chance.randrange(fleet.houses)
    return f"{fleet.street(house)[0]}, {fleet.house_number(house)}", Found.HOUSE


def _street(fleet: CrmFleet, chance: random.Random) -> tuple[str, Found]:
    return fleet.street(chance.randrange(fleet.houses))[0].split(" ", 1)[1], Found.STREET


def _wrong_keyboard(fleet: CrmFleet, chance: random.Random) -> tuple[str, Found]:
    return other_layout(_house(fleet, chance)[0].split(" ", 1)[1]), Found.HOUSE


def _resident(fleet: CrmFleet, chance: random.Random) -> str:
    return fleet.name(fleet.resident(chance.randrange(fleet.accounts)))


def _phone(fleet: CrmFleet, chance: random.Random) -> str:
    return fleet.phone(fleet.resident(chance.randrange(fleet.accounts)))


def _mac(fleet: CrmFleet, chance: random.Random) -> str:
    return f"02f0{chance.randrange(fleet.panels):08x}"


QUESTIONS: Mapping[str, Question] = {
    "flat": _flat,
    "house": _house,
    "street": _street,
    "keyboard": _wrong_keyboard,
    "name": lambda fleet, chance: (" ".join(_resident(fleet, chance).split()[:2]), Found.RESIDENT),
    "first_name": lambda fleet, chance: (" ".join(_resident(fleet, chance).split()[1:]), Found.RESIDENT),
    "phone": lambda fleet, chance: ("8" + _phone(fleet, chance)[2:], Found.PHONE),
    "phone_end": lambda fleet, chance: (_phone(fleet, chance)[-5:], Found.PHONE),
    "mac": lambda fleet, chance: (":".join(_pairs(_mac(fleet, chance))), Found.PANEL),
    "mac_end": lambda fleet, chance: (_mac(fleet, chance)[-4:], Found.PANEL),
    "panel": lambda fleet, chance: (f"9{chance.randrange(fleet.panels):06}", Found.PANEL),
    "account": lambda fleet, chance: (f"8{chance.randrange(fleet.accounts):09}", Found.ACCOUNT),
    "key": lambda fleet, chance: (fleet.uid(chance.randrange(fleet.keys)), Found.KEY),
    "key_printed": lambda fleet, chance: (
        f"{int(fleet.uid(chance.randrange(fleet.keys // 2) * 2)[-8:], 16):010}",
        Found.KEY,
    ),
    "call": lambda fleet, chance: (fleet.call_id(chance.randrange(fleet.calls)), Found.CALL),
    "company": lambda fleet, chance: (fleet.company(chance.randrange(fleet.companies)), Found.COMPANY),
    "inn": lambda fleet, chance: (f"74{chance.randrange(fleet.companies):08}", Found.COMPANY),
    "nothing": lambda fleet, chance: ("".join(chance.choices("щъэжюъы", k=8)), Found.EMPLOYEE),
}


def _pairs(text: str) -> list[str]:
    return [text[n : n + 2] for n in range(0, len(text), 2)]


def typed(text: str) -> Iterator[str]:
    """What stands in the field while `text` is typed, and at its end."""
    yield from (text[:n] for n in range(LETTERS, len(text), LETTERS))
    yield text


@define
class Measured:
    """Times of one kind of question; `missed` are those that did not find what was asked for."""

    took_ms: list[float] = Factory(list)
    late: int = 0
    missed: list[str] = Factory(list)


def measure_search(
    store: Store, fleet: CrmFleet, questions: int, *, seed: int = 1, who: Who = SYSTEM
) -> dict[str, Measured]:
    """Ask so many questions of each kind, letter by letter. Raises StoreError."""
    chance = random.Random(seed)
    found = {kind: Measured() for kind in QUESTIONS}
    for turn in range(questions + 1):
        for kind, question in QUESTIONS.items():
            text, wanted = question(fleet, chance)
            for part in typed(text):
                at = time.perf_counter()
                groups = search(store, who, part)
                took_ms = (time.perf_counter() - at) * 1000
                if turn == 0:
                    continue  # compiles statements, opens a connection, and is not counted
                found[kind].took_ms.append(took_ms)
                found[kind].late += sum(group.late for group in groups)
                if part == text and kind != "nothing" and not any(group.kind is wanted for group in groups):
                    found[kind].missed.append(text)
    return found


def company_manager(company: int) -> Who:
    """Somebody with all rights for the houses of one company (0, 1, …)."""
    reach = Reach(companies=frozenset({FIRST_ID + company}))
    return Who("employee:1", "a manager", Rights(dict.fromkeys(Right, reach)))


def city_manager(city: int) -> Who:
    """Somebody with all rights for the houses of one city (0, 1, …)."""
    reach = Reach(cities=frozenset({FIRST_ID + city}))
    return Who("employee:2", "a dispatcher", Rights(dict.fromkeys(Right, reach)))


@contextmanager
def watching() -> Iterator[list[tuple[str, Any]]]:
    """The statements that are executed meanwhile, with their parameters."""
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def tables_scanned(store: Store, fleet: CrmFleet, *, seed: int = 1, who: Who = SYSTEM) -> dict[str, int]:
    """Tables of PostgreSQL's that a search reads as a whole, by its plans, and their rows."""
    chance = random.Random(seed)
    scanned: dict[str, int] = {}
    for question in QUESTIONS.values():
        text, _ = question(fleet, chance)
        for part in typed(text):
            with watching() as asked:
                search(store, who, part)
            with store.reading() as connection:
                for statement, parameters in asked:
                    if not statement.startswith("SELECT") or "set_config" in statement:
                        continue
                    plan = connection.exec_driver_sql(
                        f"EXPLAIN (FORMAT JSON) {statement}", parameters
                    ).scalar()
                    for name in _scans(plan if isinstance(plan, list) else json.loads(str(plan))):
                        rows = connection.exec_driver_sql(
                            "SELECT reltuples::bigint FROM pg_class WHERE relname = %(name)s", {"name": name}
                        )
                        scanned[name] = int(rows.scalar() or 0)
    return scanned


def _scans(plan: Any) -> Iterator[str]:
    match plan:
        case list():
            for each in plan:
                yield from _scans(each)
        case dict():
            if plan.get("Node Type") == "Seq Scan":
                yield plan["Relation Name"]
            for each in plan.values():
                yield from _scans(each)


def show(found: Mapping[str, Measured], who: str, missed: str) -> list[float]:
    """Prints figures for each kind of question, those that were not found as `missed`; all times."""
    for kind, measured in found.items():
        print(
            figures(
                who=who,
                question=kind,
                searches=len(measured.took_ms),
                p50_ms=percentile(measured.took_ms, 0.5),
                p95_ms=percentile(measured.took_ms, 0.95),
                max_ms=max(measured.took_ms, default=0.0),
                late=measured.late,
                **{missed: len(measured.missed)},
            ),
            flush=True,
        )
    return [each for measured in found.values() for each in measured.took_ms]


def run(store: Store, fleet: CrmFleet, questions: int, seed: int) -> int:
    """Measure and print; the exit code. Raises StoreError."""
    people = {
        "everywhere": SYSTEM,
        "a_city": city_manager(seed % 6),
        "a_company": company_manager(seed % fleet.companies),
    }
    times: list[float] = []
    late = missed = 0
    for name, who in people.items():
        found = measure_search(store, fleet, questions, seed=seed, who=who)
        times += show(found, name, "missed" if who is SYSTEM else "beyond")
        late += sum(each.late for each in found.values())
        missed += sum(len(each.missed) for each in found.values()) if who is SYSTEM else 0
        for kind, each in found.items() if who is SYSTEM else ():
            for text in each.missed[:3]:
                print(f"  missed: {kind} {text}")
    scanned = tables_scanned(store, fleet, seed=seed)
    shown = ",".join(f"{name}:{rows}" for name, rows in sorted(scanned.items())) or "none"
    print(
        figures(
            searches=len(times),
            p50_ms=percentile(times, 0.5),
            p95_ms=percentile(times, 0.95),
            p99_ms=percentile(times, 0.99),
            max_ms=max(times),
            late=late,
            missed=missed,
            scanned=shown,
        ),
        flush=True,
    )
    return 1 if late or missed or any(rows > MANY for rows in scanned.values()) else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crm_search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of an operator's fleet (default: 1; 0.001 to 2)"
    )
    parser.add_argument("--url", help="a database that bench.crm_fleet filled (default: one is filled here)")
    parser.add_argument("--questions", type=int, default=20, help="of each kind (default: 20; 1 to 10000)")
    parser.add_argument("--seed", type=int, default=1, help="which questions are asked (default: 1)")
    args = parser.parse_args()
    if not 0.001 <= args.scale <= 2 or not 1 <= args.questions <= 10_000:
        parser.error("--scale takes 0.001 to 2, --questions 1 to 10000")
    size = Size(args.scale)
    try:
        if args.url:
            with Store(args.url) as store:
                return run(store, size.fleet(), args.questions, args.seed)
        with tempfile.TemporaryDirectory(prefix="teledom-bench-") as scratch:
            with open_fleet(Path(scratch), size) as filled, Store(filled.url) as store:
                return run(store, filled.fleet, args.questions, args.seed)
    except (TestbedUnavailable, ProcessFailed, StoreError, OSError) as error:
        print(f"bench.crm_search: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
