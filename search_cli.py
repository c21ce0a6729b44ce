"""`teledom crm reindex`: the words by which houses, people, companies and keys are found, made anew.

Needed once after an upgrade from a version without them, or where rows were put into the database by hand. Pages are
served meanwhile. Exit codes are those of `teledom`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from config import Config

if TYPE_CHECKING:
    from crm.search.index import Indexed

TOLD = 50_000  # records between two lines of progress


def add_to(
    commands: Any, printing: argparse.ArgumentParser, *, load: Callable[[argparse.Namespace], Config]
) -> None:
    """Add `reindex` to the tasks of `crm`. `load` reads the settings."""
    parser = commands.add_parser(
        "reindex",
        parents=[printing],
        help="make the words anew by which things are found",
        description="Make the words anew by which houses, people, companies and keys are found. "
        "Pages are served meanwhile.",
    )
    parser.set_defaults(do=lambda args: _reindex(args, load))


def _reindex(args: argparse.Namespace, load: Callable[[argparse.Namespace], Config]) -> int:
    settings = load(args)
    from crm.search.index import reindex_all
    from crm.store import Store, StoreError

    def tell(kind: Indexed, done: int) -> None:
        if done and done % TOLD == 0 and not args.json:
            print(f"{kind.value}: {done} so far", flush=True)

    began = time.monotonic()
    try:
        with Store(settings.crm.url) as store:
            records = reindex_all(store, tell)
    except StoreError as error:
        print(f"teledom: making the index of words anew: {error}", file=sys.stderr)
        return 1
    took_s = round(time.monotonic() - began, 1)
    if args.json:
        print(json.dumps({"records": records, "took_s": took_s}))
    else:
        print(f"{records} houses, people, companies and keys can be found: {took_s:g} s")
    return 0
