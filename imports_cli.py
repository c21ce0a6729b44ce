"""`teledom crm import KIND FILE`: a CSV or XLSX file into the CRM, checked as a whole first.

On a terminal a line says how far it is; errors come one a line, by row and column. Exit code 0: done (or, with --check,
right); 1: refused, with nothing written.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import Config

if TYPE_CHECKING:
    from crm.imports.imports import ImportState, ImportView

Load = Callable[[argparse.Namespace], Config]
KINDS = ("houses", "flats", "accounts", "panels", "keys")


def add_to(commands: Any, printing: argparse.ArgumentParser, *, load: Load) -> None:
    """Add `import` to the commands of `teledom crm`. `load` reads the settings."""
    text = "import houses, flats, accounts, panels or keys from CSV or XLSX"
    about = f"{text}: all of the file or, where anything in it is wrong, nothing. docs/imports.md has the columns."
    parser = commands.add_parser("import", parents=[printing], help=text, description=about)
    parser.add_argument("kind", metavar="KIND", choices=KINDS, help=", ".join(KINDS))
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="CSV or XLSX; its first line has the headings"
    )
    parser.add_argument("--check", action="store_true", help="only say whether it is right")
    parser.add_argument(
        "--choice",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what is chosen for the file: format=… of keys, domain=… of accounts and panels",
    )
    parser.set_defaults(do=lambda args: _import(args, load, parser))


def _import(args: argparse.Namespace, load: Load, parser: argparse.ArgumentParser) -> int:
    choices = dict(each.partition("=")[::2] for each in args.choice)
    if not all("=" in each for each in args.choice):
        parser.error("--choice: NAME=VALUE is expected")
    settings = load(args)
    from crm.columns import Line
    from crm.imports.imports import ImportKind, ImportState, run_import, start_import
    from crm.store import Store, StoreError
    from crm.who import COMMAND_LINE, Refused

    line = Line(sys.stderr.isatty() and not args.json)

    def show(state: ImportState, done: int, rows: int) -> None:
        line.show(f"{state.value}: {done:,} of {rows:,} rows")

    try:
        with Store(settings.crm.url) as store:
            now, who = time.time(), COMMAND_LINE
            id = start_import(store, ImportKind(args.kind), args.file.name, who, now, choices)
            view = run_import(store, id, args.file, who, now, check_only=args.check, on_progress=show)
    except (Refused, StoreError) as error:
        line.end()
        print(f"teledom: {error}", file=sys.stderr)
        return 1
    line.end()
    print(json.dumps(_plain(view), ensure_ascii=False, indent=1) if args.json else _said(view))
    return 0 if view.state in (ImportState.DONE, ImportState.READY) else 1


def _said(view: ImportView) -> str:
    match view.state.value:
        case "done":
            return f"{view.rows} rows: {view.added} added, {view.changed} changed"
        case "ready":
            return f"{view.rows} rows: all right, nothing was written"
    lines = []
    for fault in view.errors:
        places = [f"row {fault.row}"] if fault.row else []
        places += [fault.column] if fault.column else []
        lines.append(": ".join([", ".join(places), fault.text] if places else [fault.text]))
    return "\n".join([*lines, "nothing was written"])


def _plain(view: ImportView) -> dict[str, object]:
    return {
        **{"id": view.id, "kind": view.kind.value, "name": view.name, "state": view.state.value},
        **{"rows": view.rows, "added": view.added, "changed": view.changed},
        "errors": [{"row": each.row, "column": each.column, "text": each.text} for each in view.errors],
    }
