"""`teledom crm codes …`: the weekly codes of management companies, made, listed, and one made by hand.

For people in columns, with times of this machine's zone; with --json as data. What a command needs is imported when it
runs. Exit codes are those of `teledom`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from config import Config

if TYPE_CHECKING:
    from crm.companies.code_billing import Told
    from crm.companies.code_runs import Code
    from crm.store import Store

Load = Callable[[argparse.Namespace], Config]


def add_to(commands: Any, printing: argparse.ArgumentParser, *, load: Load) -> None:
    """Add `codes` to the commands of `teledom crm`. `load` reads the settings."""

    def command(name: str, do: Callable[..., int], text: str, about: str = "") -> Any:
        parser = tasks.add_parser(name, parents=[printing], help=text, description=about or text)
        parser.set_defaults(do=lambda args: _do(args, load, do))
        return parser

    codes = commands.add_parser("codes", parents=[printing], help="management companies' access codes")
    tasks = codes.add_subparsers(metavar="TASK", required=True)
    about = "Makes what is due: this week's codes, unless they are made, or the rest of a run that was broken off."
    command("run", _run, "make the week's codes that are due, and tell billing", about)
    listing = command("list", _list, "the codes that hold, or one company's history")
    listing.add_argument("company", metavar="COMPANY", nargs="?", help="its id or name: all that it has had")
    make = command("make", _make, "make one company's new code now, and tell billing")
    make.add_argument("company", metavar="COMPANY", help="its id or name")


def _do(args: argparse.Namespace, load: Load, do: Callable[..., int]) -> int:
    settings = load(args)
    from crm.companies.codes import NoCodesLeft
    from crm.store import Store, StoreError
    from crm.who import Refused

    try:
        with Store(settings.crm.url) as store:
            return do(args, settings, store)
    except (Refused, NoCodesLeft, StoreError) as error:
        print(f"teledom: {error}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.companies import code_runs
    from crm.who import COMMAND_LINE

    billing = bool(settings.billing.url)
    made = code_runs.make_codes(store, settings.codes, time.time(), billing=billing)
    why = _why(_tell(settings, store))
    run = code_runs.open_run(store)
    if run is not None:
        code_runs.end_run(store, run, time.time())
    newest = code_runs.runs(store, COMMAND_LINE, 1)[0]
    if args.json:
        print(
            json.dumps({"made": made, "run": attrs.asdict(newest), "billing_error": why}, ensure_ascii=False)
        )
    else:
        state = "ended" if newest.ended_at is not None else f"goes on, billing knows {newest.untold} not yet"
        print(f"week {newest.week}: {made} made now, {newest.made} in all; {state}")
    return _said(why)


def _list(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.companies import code_runs
    from crm.who import COMMAND_LINE

    if args.company is None:
        codes = code_runs.codes_that_hold(store, COMMAND_LINE)
    else:
        codes = code_runs.codes_of(store, COMMAND_LINE, code_runs.find_company(store, args.company))
    _show(args, codes)
    return 0


def _make(args: argparse.Namespace, settings: Config, store: Store) -> int:
    from crm.companies import code_runs
    from crm.who import COMMAND_LINE

    company = code_runs.find_company(store, args.company)
    billing = bool(settings.billing.url)
    digits = settings.codes.digits
    made = code_runs.make_by_hand(store, COMMAND_LINE, company, digits, time.time(), billing=billing)
    why = _why(_tell(settings, store))
    _show(args, [each for each in code_runs.codes_of(store, COMMAND_LINE, company) if each.id == made.id])
    return _said(why)


def _tell(settings: Config, store: Store) -> Told:
    """Tell billing of what it is to be told now."""
    from crm.companies.billing import Billing
    from crm.companies.code_billing import Told, tell_due

    if not settings.billing.url:
        return Told()
    with Billing(settings.billing) as billing:
        return tell_due(store, billing, settings.billing, time.time)


def _why(told: Told) -> str:
    return "; ".join([*told.refused, *([told.away] if told.away else [])])


def _said(why: str) -> int:
    """The exit code: codes are made, but billing does not know them."""
    if why:
        print(f"teledom: codes are made, and billing is told again later: {why}", file=sys.stderr)
    return 1 if why else 0


def _show(args: argparse.Namespace, codes: list[Code]) -> None:
    if args.json:
        print(json.dumps([attrs.asdict(each) for each in codes], ensure_ascii=False, indent=1))
        return
    for each in codes:
        print(_row(each))
    if not codes:
        print("no codes yet", file=sys.stderr)


def _row(code: Code) -> str:
    from crm.columns import clean, fit

    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(code.made_at))
    made = f"by {clean(code.made_by)}" if code.made_by else f"week {code.week}"
    if code.ended_at is not None:
        made += ", ended"
    panels = f"{code.panels_done}/{code.panels} panels"
    billing = (
        "told" if code.billing_at is not None else "not told" if code.billing_due_at is not None else "-"
    )
    if code.billing_error:
        billing = clean(code.billing_error)
    name = fit(clean(code.company), 28)
    return f"{code.company_id:>6}  {name}  {code.code:<8}  {since}  {fit(made, 24)}  {panels:>13}  billing: {billing}"
