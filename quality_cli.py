"""`teledom quality …`: campaigns of calls to flats' handsets, a test call of one flat, a house's flats as a picture.

For people in columns, with times of this machine's zone; with --json as data. What a command needs is imported when it
runs. Exit codes are those of `teledom`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import Config
from crm.spreadsheets import csv_line
from crm.values import quality
from crm.values.quality import CallType, CampaignState, Only, TaskState

if TYPE_CHECKING:
    from crm.store import Store
    from crm.values.quality import Task

POLL_S = 0.3
REST_S = 0.1  # between two portions of a campaign that is made
TIMEOUT_S = 180
TYPES = {"connection": CallType.CONNECTION, "planned": CallType.PLANNED}
STATES = {
    "pause": (CampaignState.PAUSED, "begin no more of its calls for now"),
    "resume": (
        CampaignState.RUNNING,
        "go on with a campaign that was paused, or whose making was broken off",
    ),
    "stop": (CampaignState.STOPPED, "end a campaign for good"),
}
Load = Callable[[argparse.Namespace], Config]


class CannotDo(Exception):
    """What was asked could not be done; the message says why."""


def add_to(
    commands: Any, printing: argparse.ArgumentParser, *, load: Load, limit: Callable[[str], int]
) -> None:
    """Add `quality` to the commands. `load` reads the settings, `limit` a whole number."""

    def command(of: Any, name: str, do: Callable[..., int], text: str, about: str = "") -> Any:
        parser = of.add_parser(name, parents=[printing], help=text, description=about or text)
        parser.set_defaults(do=lambda args: _do(args, load, do), wrong=parser.error)
        return parser

    parser = commands.add_parser("quality", parents=[printing], help="calls to handsets, to find bad ones")
    tasks = parser.add_subparsers(metavar="TASK", required=True)

    campaign = tasks.add_parser("campaign", parents=[printing], help="make, list, pause, stop, report")
    parts = campaign.add_subparsers(metavar="TASK", required=True)
    about = "Without --city, --house, --panel and --flat all flats; with some, those that any of them names."
    create = command(parts, "create", _create, "make a campaign, and wait until it has begun", about)
    create.add_argument("name", metavar="NAME", help="what it is called in lists")
    _add_options(create, limit)
    listing = command(parts, "list", _list, "how campaigns stand, the newest first")
    listing.add_argument("--limit", metavar="N", type=limit, default=50, help="at most so many (default: 50)")
    for name, (state, text) in STATES.items():
        changing = command(parts, name, _set_state, text)
        changing.add_argument("id", metavar="ID", type=limit, help="the campaign's number in the list")
        changing.set_defaults(state=state)
    report = command(parts, "report", _report, "what a campaign has found; --json and --csv: of every flat")
    report.add_argument("id", metavar="ID", type=limit, help="the campaign's number in the list")
    report.add_argument("--csv", metavar="FILE", type=Path, help="write a row for each flat into a file")

    about = "Exit code 0: the handset is good; 1: it is not, or nothing was found out."
    test = command(tasks, "test", _test, "call one flat's handset now", about)
    test.add_argument("flat", metavar="FLAT", help="its id, or as here: 'ул. Ленина 5, 42'")
    text = f"seconds (default: {TIMEOUT_S})"
    test.add_argument("--timeout", metavar="S", type=limit, default=TIMEOUT_S, help=text)
    grid = command(tasks, "grid", _grid, "a house's flats, coloured by their last verdicts, as an SVG file")
    grid.add_argument("house", metavar="HOUSE", help="its id, or as here: 'ул. Ленина 5'")
    grid.add_argument("--svg", metavar="FILE", type=Path, required=True, help="the file to write")


def _add_options(create: Any, limit: Callable[[str], int]) -> None:
    many: dict[str, Any] = {"action": "append", "default": []}
    create.add_argument("--city", metavar="C", help="flats of this city: its name, FIAS id or id", **many)
    create.add_argument("--house", metavar="H", help="of this house: 'ул. Ленина 5', or its id", **many)
    create.add_argument("--panel", metavar="P", help="through this panel: its SIP user or MAC", **many)
    create.add_argument("--flat", metavar="F", help="this flat: 'ул. Ленина 5, 42', or its id", **many)
    only = [each.value for each in Only]
    create.add_argument("--only", choices=only, default=Only.ALL.value, help="by their last verdict")
    create.add_argument("--type", choices=TYPES, default="planned", help="the call's TYPE (default: planned)")
    begin, end = quality.BEGIN, quality.END
    text = f"in the house's time zone (default: {begin:%H:%M}-{end:%H:%M})"
    create.add_argument("--hours", type=_reads(quality.hours_from), default=(begin, end), help=text)
    text = "mon-fri (default), or mon,wed,sat-sun"
    create.add_argument("--days", type=_reads(quality.days_from), default=quality.DAYS, help=text)
    text = "2026-12-31: no calls on it"
    create.add_argument("--holiday", metavar="DATE", type=_reads(quality.date_from), help=text, **many)
    spacing, again = quality.SPACING_S, quality.ATTEMPT_SPACING_S
    text = f"between two calls of one panel (default: {spacing / 60:g}m)"
    create.add_argument(
        "--spacing", metavar="T", type=_reads(quality.duration_from), default=spacing, help=text
    )
    text = f"at once in one house (default: {quality.PER_HOUSE})"
    create.add_argument("--per-house", metavar="N", type=limit, default=quality.PER_HOUSE, help=text)
    text = f"at most so many calls of one flat (default: {quality.ATTEMPTS})"
    create.add_argument("--attempts", metavar="N", type=limit, default=quality.ATTEMPTS, help=text)
    text = f"between two calls of one flat (default: {again / 3600:g}h)"
    create.add_argument("--again", metavar="T", type=_reads(quality.duration_from), default=again, help=text)
    text = f"the highest comes first (default: {quality.PRIORITY})"
    create.add_argument("--priority", metavar="N", type=int, default=quality.PRIORITY, help=text)


def _do(args: argparse.Namespace, load: Load, do: Callable[..., int]) -> int:
    settings = load(args)
    from crm.store import Store, StoreError

    try:
        with Store(settings.crm.url) as store:
            return do(args, store)
    except (CannotDo, StoreError, quality.QualityError) as error:
        print(f"teledom: {error}", file=sys.stderr)
        return 1


# --- campaigns -----------------------------------------------------------------------------------------------------


def _create(args: argparse.Namespace, store: Store) -> int:
    from crm.quality import campaigns
    from crm.quality.making import create_campaign

    scope = quality.Scope(
        cities=tuple(campaigns.find_city(store, each) for each in args.city),
        houses=tuple(campaigns.find_house(store, each) for each in args.house),
        panels=tuple(campaigns.find_panel(store, each) for each in args.panel),
        flats=tuple(campaigns.find_flat(store, each) for each in args.flat),
    )
    begin, end = args.hours
    made = quality.Campaign(
        name=args.name,
        kind=TYPES[args.type],
        scope=scope,
        only=Only(args.only),
        hours=quality.Hours(begin, end, args.days, frozenset(args.holiday)),
        spacing_s=args.spacing,
        per_house=args.per_house,
        attempts=args.attempts,
        attempt_spacing_s=args.again,
        priority=args.priority,
    )
    id = create_campaign(store, made, time.time())
    total = _make(args, store, id)
    if args.json:
        return _print_json({"id": id, "flats": total})
    return _print([f"campaign {id} has begun: {total} flats to call"])


def _make(args: argparse.Namespace, store: Store, id: int) -> int:
    """Make a campaign until all of its flats are in it, alone or beside other programs; how many. Raises CannotDo."""
    from crm.columns import Line
    from crm.quality.campaigns import find_campaign, progress
    from crm.quality.making import make_some
    from crm.store import StoreError

    line = Line(sys.stderr.isatty() and not args.json)
    try:
        while (campaign := find_campaign(store, id)).state is CampaignState.MAKING:
            if made := campaign.making:
                line.show(f"{made.made:,} of {made.houses:,} houses, {made.flats:,} flats")
            if not make_some(store, id, time.time()) or store.is_sqlite:
                time.sleep(REST_S)  # another program is at it; or has only now a chance at SQLite's one lock
    except (StoreError, KeyboardInterrupt) as error:
        raise CannotDo(
            f"campaign {id} is not made yet ({str(error) or 'interrupted'}): the CRM goes on with it where it runs, "
            f"or `teledom quality campaign resume {id}`"
        ) from None
    finally:
        line.end()
    if campaign.making is not None or campaign.state in (CampaignState.IMPOSSIBLE, CampaignState.STOPPED):
        why = f": {campaign.why}" if campaign.why else ""
        raise CannotDo(f"campaign {id} is {quality.words(campaign.state.value)}{why}")
    return progress(store, id).total


def _list(args: argparse.Namespace, store: Store) -> int:
    from crm.columns import local, table
    from crm.quality.campaigns import campaigns
    from crm.quality.results import verdict_counts

    found = campaigns(store, limit=args.limit)
    if args.json:
        return _print_json([quality.campaign_json(*each) for each in found])
    if not found:
        print("no campaigns found", file=sys.stderr)
        return 0
    head = ("ID", "NAME", "STATE", "CREATED", "FLATS", "WAITING", "CALLING", "DONE", "VERDICTS")
    rows = [
        (
            *(each.id, each.name, quality.words(each.state.value), local(each.created_at)),
            *(so_far.total, so_far.waiting, so_far.calling, so_far.done, verdict_counts(so_far) or "-"),
        )
        for each, so_far in found
    ]
    return _print(table(head, rows))


def _set_state(args: argparse.Namespace, store: Store) -> int:
    from crm.quality.campaigns import find_campaign, set_state

    resumes = args.state is CampaignState.RUNNING
    if not (resumes and find_campaign(store, args.id).state is CampaignState.MAKING):
        set_state(store, args.id, args.state, time.time())
    if resumes:
        _make(args, store, args.id)
    if args.json:
        return _print_json({"id": args.id, "state": args.state.value})
    return _print([f"campaign {args.id} is {args.state.value}"])


def _report(args: argparse.Namespace, store: Store) -> int:
    from crm.columns import local, table
    from crm.quality.campaigns import find_campaign, progress, report
    from crm.quality.results import call_json, verdict_counts

    campaign, so_far = find_campaign(store, args.id), progress(store, args.id)
    rows = (call_json(*each) for each in report(store, args.id))
    if args.csv is not None:
        count = _write_csv(args.csv, rows)
        return _print_json({"flats": count}) if args.json else _print([f"{count} flats are in {args.csv}"])
    if args.json:
        return _print_json(quality.campaign_json(campaign, so_far) | {"tasks": [*rows]})
    bad = [each for each in rows if each["verdict"] in quality.BAD]
    ended = f", ended {local(campaign.ended_at)}" if campaign.ended_at is not None else ""
    state = quality.words(campaign.state.value)
    print(f"campaign {campaign.id}: {state}, begun {local(campaign.created_at)}{ended}")
    print(f"{so_far.done} of {so_far.total} flats done: {verdict_counts(so_far) or 'no verdicts yet'}")
    head = ("VERDICT", "ADDRESS", "FLAT", "PANEL", "WHY")
    shown = [
        (quality.words(each["verdict"]), *(each[name] for name in ("address", "flat", "panel", "why")))
        for each in bad
    ]
    return _print(table(head, shown)) if bad else 0


def _write_csv(file: Path, rows: Iterable[dict[str, Any]]) -> int:
    """A line for each row; how many. Raises CannotDo."""
    from crm.quality.results import REPORT_COLUMNS

    count = 0
    try:
        with file.open("wb") as out:
            out.write(csv_line(REPORT_COLUMNS))
            for row in rows:
                texts = row | {"measures": json.dumps(row["measures"], ensure_ascii=False)}
                cells = (texts[name] for name in REPORT_COLUMNS)
                out.write(csv_line("" if each is None else str(each) for each in cells))
                count += 1
    except OSError as error:
        raise CannotDo(f"writing the report into {file}: {error.strerror}") from error
    return count


# --- one flat, one house -------------------------------------------------------------------------------------------


def _test(args: argparse.Namespace, store: Store) -> int:
    from crm.quality.campaigns import find_flat
    from crm.quality.results import call_json, result_lines, task_result
    from crm.quality.tasks import add_test

    flat = find_flat(store, args.flat)
    task = _await_test(store, add_test(store, flat, time.time()), args.timeout)
    row = call_json(task, task_result(store, task.id))
    if args.json:
        _print_json(row)
    else:
        _print(result_lines(row))
    return 0 if task.verdict == "good" else 1


def _await_test(store: Store, id: int, timeout_s: float) -> Task:
    """Wait until a test is done, saying how it stands. Raises CannotDo: it is not, and is taken back if it can be."""
    from crm.quality.tasks import get_task, withdraw_test

    until, said = time.monotonic() + timeout_s, ""
    try:
        while time.monotonic() < until:
            task = get_task(store, id)
            if task is None:
                raise CannotDo("the test is gone: its flat or panel was taken out of the CRM")
            if task.state is TaskState.DONE:
                return task
            calling = f"calling {task.dialled} through panel {task.panel}, {task.address}"
            says = calling if task.state is TaskState.CALLING else f"waiting: {task.why or 'for a node'}"
            if says != said:
                print(says, file=sys.stderr, flush=True)
                said = says
            time.sleep(POLL_S)
    except BaseException:
        withdraw_test(store, id)
        raise
    if withdraw_test(store, id):
        raise CannotDo(
            f"the call was not made in {timeout_s:g} s ({said}): see that a node runs, and is ready (/readyz)"
        )
    raise CannotDo(f"no result in {timeout_s:g} s, and the call goes on: its result will be in the grid")


def _grid(args: argparse.Namespace, store: Store) -> int:
    from crm.quality.campaigns import find_house
    from crm.quality.grid import draw
    from crm.quality.results import house_grid

    grid = house_grid(store, find_house(store, args.house))
    try:
        args.svg.write_text(draw(grid), encoding="utf-8")
    except OSError as error:
        raise CannotDo(f"writing the grid into {args.svg}: {error.strerror}") from error
    if args.json:
        return _print_json({"address": grid.address, "flats": len(grid.flats), "file": str(args.svg)})
    return _print([f"{grid.address}: {len(grid.flats)} flats are in {args.svg}"])


# --- words ---------------------------------------------------------------------------------------------------------


def _print_json(what: object) -> int:
    print(json.dumps(what, ensure_ascii=False, indent=1))
    return 0


def _print(lines: Iterable[str]) -> int:
    for line in lines:
        print(line)
    return 0


def _reads(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A type of argparse whose ValueErrors are shown as they are."""

    def reads(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return reads
