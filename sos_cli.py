"""`teledom sos …`: pools of numbers, leases, who stands behind a number, test calls.

For people in columns, with times of this machine's zone; with --json as data. What a command needs is imported when it
runs. Exit codes are those of `teledom`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import attrs

from config import DEFAULT, Config

if TYPE_CHECKING:
    from crm.sos.tests import PanelTest
    from crm.store import Store

POLL_S = 0.3
WAIT_S = 90
Load = Callable[[argparse.Namespace], Config]


class CannotDo(Exception):
    """What was asked could not be done; the message says why."""


def add_to(
    commands: Any,
    printing: argparse.ArgumentParser,
    *,
    load: Load,
    since: Callable[[str], float],
    limit: Callable[[str], int],
) -> None:
    """Add `sos` to the commands. `load` reads the settings, `since` a point in time, `limit` a whole number."""

    def command(of: Any, name: str, do: Callable[..., int], text: str, about: str = "") -> Any:
        parser = of.add_parser(name, parents=[printing], help=text, description=about or text)
        parser.set_defaults(do=lambda args: _do(args, load, do), wrong=parser.error)
        return parser

    when = "2026-11-24, 2026-11-24T14:03, 14:03, or 2h, 30m, 7d ago"
    sos = commands.add_parser("sos", parents=[printing], help="112: pools of numbers, leases, test calls")
    tasks = sos.add_subparsers(metavar="TASK", required=True)

    about = "How the numbers of each dispatch stand. `teledom sos pools add CITY NUMBER…` puts some in."
    pools = command(tasks, "pools", _pools, "how each city's numbers stand", about)
    adding = pools.add_subparsers(metavar="add CITY NUMBER…")
    add = command(adding, "add", _add, "put numbers into a city's pool")
    add.add_argument("city", metavar="CITY", help="the NAME of its [dispatch.NAME], its own, or its FIAS id")
    add.add_argument("numbers", metavar="NUMBER", nargs="+", help="as the trunk wants it: +73512000001")

    leases = command(tasks, "leases", _leases, "which panel was lent which number, the newest first")
    leases.add_argument("--number", metavar="N", help="of this number, in any way of writing it")
    leases.add_argument("--panel", metavar="P", help="of this panel: its SIP user or its MAC")
    leases.add_argument("--city", metavar="C", help="of this city: as for `pools add`")
    leases.add_argument("--since", metavar="T", type=since, help=f"since {when}")
    leases.add_argument("--limit", metavar="N", type=limit, default=50, help="at most so many (default: 50)")

    who = command(tasks, "who", _who, "which panel stands behind a number")
    who.add_argument("number", metavar="NUMBER", nargs="+", help="in any way of writing it: +7351…, 8 351 …")
    who.add_argument("--at", metavar="T", type=since, help=f"at {when}; otherwise now")

    about = (
        "A node calls the dispatch's test number as this panel's 112 call would, but not the panel. "
        "Exit code 0: the test passed; 1: it failed, or was not made."
    )
    test = command(tasks, "test", _test, "make a test call of a panel's 112", about)
    test.add_argument("panel", metavar="PANEL", nargs="?", help="its SIP user or its MAC")
    test.add_argument("--wait", metavar="S", type=limit, default=WAIT_S, help=f"seconds (default: {WAIT_S})")
    listing = test.add_mutually_exclusive_group()
    listing.add_argument(
        "--overdue", action="store_true", help="list panels that have been tested too long ago"
    )
    listing.add_argument(
        "--last", action="store_true", help="list the last results, with PANEL those of one panel"
    )
    test.add_argument(
        "--limit", metavar="N", type=limit, default=50, help="at most so many lines (default: 50)"
    )


def _do(args: argparse.Namespace, load: Load, do: Callable[..., int]) -> int:
    settings = load(args)
    from crm.store import Store, StoreError

    try:
        with Store(settings.crm.url) as store:
            return do(args, settings, store)
    except (CannotDo, StoreError) as error:
        print(f"teledom: {error}", file=sys.stderr)
        return 1


def _print_json(what: object) -> int:
    print(json.dumps(what, ensure_ascii=False, indent=1))
    return 0


def _print(lines: Iterable[str]) -> int:
    for line in lines:
        print(line)
    return 0


# --- pools ---------------------------------------------------------------------------------------------------------


def _pools(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.columns import table
    from crm.sos.stands import all_stand

    stands = all_stand(settings, store)
    if args.json:
        return _print_json([attrs.asdict(each) for each in stands])
    counts = ("NUMBERS", "FREE", "KEPT", "GUARANTEED", "IN CALL", "RESERVE")
    rows = [
        (
            each.dispatch or "-",
            "any other" if each.dispatch == DEFAULT else each.city or "?",
            *(each.fias or "-", ", ".join(each.trunks) or "-"),
            *(each.numbers, each.free, each.kept, each.guaranteed, each.in_call),
            f"{each.reserve_free} of {len(each.reserve)} free" if each.reserve else "-",
        )
        for each in stands
    ]
    _print(table(("DISPATCH", "CITY", "FIAS", "TRUNKS", *counts), rows))
    for each in stands:
        about = f"[dispatch.{each.dispatch}]" if each.dispatch else each.city or each.fias
        _print(f"{about}: {note}" for note in each.notes)
    return 0


def _add(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.sos.leases import add_numbers

    for number in args.numbers:
        if not re.fullmatch(r"\+?[0-9]{1,20}", number):
            raise CannotDo(f"{number!r} is no telephone number: digits are expected, perhaps behind a +")
    fias = _fias(args.city, settings, store)
    added = add_numbers(store, fias, args.numbers)
    if args.json:
        return _print_json({"fias": fias, "added": added})
    known = len(set(args.numbers)) - added
    left = f"; {known} that a pool has already left alone" if known else ""
    return _print([f"{added} put in{left}"])


def _fias(city: str, settings: Config, store: Store) -> str:
    """The FIAS id of a city that is named by its dispatch, by its own name, or by that id. Raises CannotDo."""
    from crm.sos import text as sos_text

    if city in settings.dispatch:
        return settings.dispatch[city].fias
    cities = sos_text.cities(store)
    found = {fias for fias, name in cities if city.lower() == fias.lower() or city.lower() == name.lower()}
    if len(found) > 1:
        raise CannotDo(f"several cities are called {city}: give a FIAS id, one of {', '.join(sorted(found))}")
    if not found:
        raise CannotDo(f"no [dispatch.…], and no city of the CRM with a FIAS id, is called {city}")
    return found.pop()


# --- leases --------------------------------------------------------------------------------------------------------


def _leases(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.sos import text as sos_text
    from crm.sos.leases import find_leases

    fias = None if args.city is None else _fias(args.city, settings, store)
    number, panel = args.number, args.panel
    found = find_leases(store, fias=fias, number=number, panel=panel, since=args.since, limit=args.limit)
    places = sos_text.places_of(store, (lease.panel for lease in found))
    if args.json:
        return _print_json([sos_text.lease_json(lease, places) for lease in found])
    if not found:
        print("no leases found", file=sys.stderr)
        return 0
    return _print(sos_text.leases(found, places))


def _who(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.columns import clean, local
    from crm.sos import text as sos_text
    from crm.sos.leases import who
    from crm.sos.stands import number_stands

    number = " ".join(args.number)
    owner = who(store, number, args.at)
    if owner is None:
        when = "ever stood" if args.at is None else f"stood at {local(args.at)}, or before,"
        raise CannotDo(f"no panel has {when} behind {number}")
    lease = owner.lease
    places = sos_text.places_of(store, [owner.panel])
    address = sos_text.address(places, owner.panel)
    if args.json:
        shown = attrs.asdict(owner, recurse=False) | {"address": address}
        return _print_json(shown | {"lease": lease and sos_text.lease_json(lease, places)})
    lines = {
        "number": owner.number,
        "panel": owner.panel,
        "MAC": sos_text.mac(owner.domophone),
        "address": address or "not known: no active panel has this SIP user",
    }
    if lease is None:
        lines["since"] = "always: the number is the panel's own"
    else:
        at = time.time() if args.at is None else args.at
        until = local(lease.held_until)
        lines["since"] = local(lease.started_at)
        lines["guaranteed"] = {
            "IN_CALL": "in a call",
            "HELD": f"until {until}",
            "EXPIRED": f"was until {until}; kept until it is needed",
            "FREE": f"was until {until}; a call back reaches this panel until it is lent again",
        }[number_stands(settings.sos, lease.number, lease, at).standing.name]
        lines["call"] = f"{lease.call_id}: see `teledom calls show {lease.call_id}`"
        lines["why"] = sos_text.why(lease)
    return _print(f"{name:12}{clean(text)}" for name, text in lines.items())


# --- tests ---------------------------------------------------------------------------------------------------------


def _test(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.columns import clean
    from crm.sos import text as sos_text

    if args.overdue:
        return _overdue(args, settings, store)
    if args.last:
        return _last(args, store)
    if args.panel is None:
        args.wrong("PANEL, --overdue or --last is expected")
    test = _await_test(store, args.panel, args.wait)
    places = sos_text.places_of(store, [test.panel])
    if args.json:
        _print_json(sos_text.test_json(test, places))
    else:
        where = ", ".join(filter(None, (test.panel, sos_text.address(places, test.panel))))
        call = f" (call {test.call_id})" if test.call_id else ""
        print(clean(f"{where}: {sos_text.outcome(test)}{call}"))
    return 0 if test.passed else 1


def _await_test(store: Store, panel: str, wait_s: float) -> PanelTest:
    """Ask for a test, and wait until it has ended. Raises CannotDo: it has not, and is taken back if it can be."""
    from crm.sos.tests import NoSuchPanel, ask_test, get_test, withdraw_test

    try:
        id = ask_test(store, panel, time.time())
    except NoSuchPanel as error:
        raise CannotDo(str(error)) from error
    until, why = time.monotonic() + wait_s, ""
    try:
        while time.monotonic() < until:
            test = get_test(store, id)
            if test is not None:
                if test.ended_at is not None:
                    return test
                why = test.result or why
            time.sleep(POLL_S)
    except BaseException:
        withdraw_test(store, id)
        raise
    if not withdraw_test(store, id):
        raise CannotDo(
            f"no result in {wait_s:g} s, and the test goes on: see `teledom sos test --last {panel}`"
        )
    why = why or "no node took it: see that one runs, and is ready (/readyz)"
    raise CannotDo(f"the test was not made in {wait_s:g} s: {why}")


def _last(args: argparse.Namespace, store: Store) -> int:
    from crm.sos import text as sos_text
    from crm.sos.tests import last_tests

    found = last_tests(store, panel=args.panel, limit=args.limit)
    places = sos_text.places_of(store, (test.panel for test in found))
    if args.json:
        return _print_json([sos_text.test_json(test, places) for test in found])
    if not found:
        print("no tests found", file=sys.stderr)
        return 0
    return _print(sos_text.tests(found, places))


def _overdue(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.sos import text as sos_text
    from crm.sos.test_plan import with_test_number
    from crm.sos.tests import overdue

    days = settings.sos.test_days
    if not days:
        raise CannotDo("no test is ever due: [sos] test_days is 0")
    found = overdue(store, days, time.time(), with_test_number(settings.dispatch))
    for name, dispatch in settings.dispatch.items():
        if not dispatch.test_number:
            print(f"[dispatch.{name}] has no test_number: its panels are not tested", file=sys.stderr)
    if args.json:
        return _print_json([sos_text.overdue_json(each) for each in found])
    if not found:
        print("no panel is overdue", file=sys.stderr)
        return 0
    return _print(sos_text.overdue(found))
