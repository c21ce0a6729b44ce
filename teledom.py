"""The command line: `teledom node|all|check-config|calls|sos|quality|crm|db|bench`, each with --help.

Exit codes: 0 well; 1 what was asked could not be done (one line on standard error says why); 2 the command line or the
configuration is wrong, and nothing was started. What prints data takes --json and prints it to standard output.
What a command needs is imported when it runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import runpy
import sys
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import attrs

import all_cli
import codes_cli
import config
import imports_cli
import quality_cli
import search_cli
import sos_cli
import staff_cli
from config import Config, ConfigError

BENCHES = Path(__file__).resolve().parent / "bench"
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what `arguments` (default: the process's) say; the exit code."""
    args = _parser().parse_args(arguments)
    try:
        code: int = args.do(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `teledom calls | head` is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return code


# --- commands ------------------------------------------------------------------------------------------------------


def _node(args: argparse.Namespace) -> int:
    settings = _load(args, need_secrets=True)
    import node

    return node.main(settings)


def _crm(args: argparse.Namespace) -> int:
    settings = _load(args)
    import crm_server

    return crm_server.main(settings)


def _check_config(args: argparse.Namespace) -> int:
    try:
        settings = _load(args)
    except ConfigError as error:
        if not args.json:
            raise
        print(json.dumps({"ok": False, "errors": error.lines}, ensure_ascii=False, indent=1))
        return 2
    secrets = {name: bool(os.environ.get(name)) for name in config.SECRETS}
    if args.json:
        shown = attrs.asdict(
            settings,
            filter=lambda attribute, _: attribute.repr is not False,  # secrets
            value_serializer=lambda _, a, value: _plain(a, value),
        )
        print(json.dumps({"ok": True, "settings": shown, "secrets": secrets}, ensure_ascii=False, indent=1))
        return 0
    print(f"{_file(args)}: well")
    for name, there in secrets.items():
        print(f"{name}: {'set' if there else 'not set'}")
    if not secrets[config.ARI_PASSWORD]:
        print(f"`teledom node` needs {config.ARI_PASSWORD}: [ari] user's password in Asterisk's ari.conf")
    return 0


def _calls(args: argparse.Namespace) -> int:
    settings = _load(args)
    from crm.calls.calls import find_calls
    from crm.calls.timeline import as_json, summary_line
    from crm.store import Store, StoreError

    try:
        with Store(settings.crm.url) as store:
            records = find_calls(store, panel=args.panel, flat=args.flat, since=args.since, limit=args.limit)
    except StoreError as error:
        return _failed(f"looking up calls: {error}")
    if args.json:
        print(json.dumps([as_json(record) for record in records], ensure_ascii=False, indent=1))
        return 0
    for record in records:
        print(summary_line(record))
    if not records:
        print("no calls found", file=sys.stderr)
    return 0


def _show_call(args: argparse.Namespace) -> int:
    settings = _load(args)
    from crm.calls.calls import NoSuchCall, get_call
    from crm.calls.timeline import as_json, show
    from crm.store import Store, StoreError

    try:
        with Store(settings.crm.url) as store:
            record = get_call(store, args.id)
    except NoSuchCall as error:
        return _failed(str(error))
    except StoreError as error:
        return _failed(f"looking up call {args.id}: {error}")
    print(json.dumps(as_json(record), ensure_ascii=False, indent=1) if args.json else show(record))
    return 0


def _upgrade(args: argparse.Namespace) -> int:
    settings = _load(args)
    from crm.store import Store, StoreError, upgrade

    try:
        upgrade(settings.crm.url)
        with Store(settings.crm.url) as store:
            print(f"database {store.shown}: ready")
    except StoreError as error:
        return _failed(f"bringing the database to the newest schema: {error}")
    return 0


def _demo(args: argparse.Namespace) -> int:
    settings = _load(args)
    from crm.store import Store, StoreError, upgrade
    from crm.town.housing import fill_housing
    from crm.town.town import fill

    try:
        upgrade(settings.crm.url)
        with Store(settings.crm.url) as store:
            town = fill(store)
            fill_housing(store)
            print(f"database {store.shown}: the demo town with {len(town.panels)} panels is in it")
    except StoreError as error:
        return _failed(f"filling in the demo town: {error}")
    return 0


def _bench(args: argparse.Namespace) -> int:
    """The script runs as if started by itself: it has its own --help, figures and exit code."""
    sys.argv = [f"bench/{args.name}.py", *args.rest]
    runpy.run_module(f"bench.{args.name}", run_name="__main__", alter_sys=True)
    return 0


# --- the command line ----------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the settings (default: TELEDOM_CONFIG or ./config.toml)",
    )
    printing = argparse.ArgumentParser(add_help=False, parents=[common])
    printing.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")

    parser = argparse.ArgumentParser(
        prog="teledom", description="Carries the calls of apartment-house intercoms."
    )
    parser.set_defaults(json=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    node = commands.add_parser("node", parents=[common], help="run a node beside its Asterisk until SIGTERM")
    node.set_defaults(do=_node)

    check = commands.add_parser(
        "check-config", parents=[printing], help="say what is wrong with the settings"
    )
    check.set_defaults(do=_check_config)

    calls = commands.add_parser(
        "calls",
        parents=[printing],
        help="finished calls, the newest first",
        description="Finished calls, the newest first. `teledom calls show ID` shows one, leg by leg.",
    )
    calls.add_argument(
        "--panel", metavar="P", help="of this panel: its SIP user, its MAC, or part of its address"
    )
    calls.add_argument("--flat", metavar="N", help="to the flat of this number")
    calls.add_argument(
        "--since",
        metavar="T",
        type=_since,
        help="since 2026-11-24, 2026-11-24T14:03, 14:03, or 2h, 30m, 7d ago",
    )
    calls.add_argument("--limit", metavar="N", type=_limit, default=50, help="at most so many (default: 50)")
    calls.set_defaults(do=_calls)
    show = calls.add_subparsers(metavar="show ID").add_parser(
        "show", parents=[printing], help="one call, leg by leg"
    )
    show.add_argument(
        "id", metavar="ID", help="the call's id, or as much of its beginning as no other call has"
    )
    show.set_defaults(do=_show_call)

    sos_cli.add_to(commands, printing, load=_load, since=_since, limit=_limit)
    all_cli.add_to(commands, common, load=_load, file=_file)
    quality_cli.add_to(commands, printing, load=_load, limit=_limit)

    crm = commands.add_parser(
        "crm",
        parents=[common],
        help="run the CRM until SIGTERM; its tasks",
        description="Without a task: the CRM's pages and its API, until SIGTERM.",
    )
    crm.set_defaults(do=_crm)
    crm_tasks = crm.add_subparsers(metavar="TASK")
    staff_cli.add_to(crm_tasks, printing, load=_load)
    codes_cli.add_to(crm_tasks, printing, load=_load)
    imports_cli.add_to(crm_tasks, printing, load=_load)
    search_cli.add_to(crm_tasks, printing, load=_load)

    database = commands.add_parser("db", parents=[common], help="prepare the database")
    tasks = database.add_subparsers(metavar="TASK", required=True)
    upgrade = tasks.add_parser("upgrade", parents=[common], help="make the tables, or bring them up to date")
    upgrade.set_defaults(do=_upgrade)
    demo = tasks.add_parser("demo", parents=[common], help="fill in a small town to try things with")
    demo.set_defaults(do=_demo)

    bench = commands.add_parser("bench", help="measure: each script has its own --help")
    bench.add_argument("name", metavar="NAME", choices=_benches(), help=", ".join(_benches()))
    bench.add_argument("rest", metavar="…", nargs=argparse.REMAINDER, help="the script's own arguments")
    bench.set_defaults(do=_bench)
    return parser


def _benches() -> list[str]:
    """The scripts under bench/ that can be run; the others are their parts."""
    return sorted(file.stem for file in BENCHES.glob("*.py") if "\ndef main(" in file.read_text())


def _since(text: str) -> float:
    """A point in time (UTC seconds) from how a person says it; without a zone it is this machine's."""
    if ago := re.fullmatch(r"(\d{1,9})\s*([smhd])", text):
        return time.time() - int(ago[1]) * UNITS_S[ago[2]]
    now = datetime.datetime.now().astimezone()
    try:
        if re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", text):
            at = datetime.time.fromisoformat(text.zfill(8 if text.count(":") == 2 else 5))
            point = datetime.datetime.combine(now.date(), at).astimezone()
            if point > now:
                point = datetime.datetime.combine(now.date() - datetime.timedelta(days=1), at).astimezone()
            return point.timestamp()
        return datetime.datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write 2026-11-24, 2026-11-24T14:03, 14:03, 2h, 30m or 7d"
        ) from None


def _limit(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1 to 999999 is expected")
    return int(text)


def _file(args: argparse.Namespace) -> str:
    named: str | None = getattr(args, "config", None)
    return named or os.environ.get("TELEDOM_CONFIG") or "config.toml"


def _load(args: argparse.Namespace, *, need_secrets: bool = False) -> Config:
    return config.load(_file(args), os.environ, need_secrets=need_secrets)


def _plain(attribute: object, value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _failed(why: str) -> int:
    print(f"teledom: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
