"""`teledom crm create-admin`: the first administrator, and another one where nobody can sign in any more.

There is no default password anywhere: it is asked for twice on the terminal, or is one line of standard input. Exit
codes are those of `teledom`.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from config import Config

if TYPE_CHECKING:
    from crm.staff.passwords import Passwords

Load = Callable[[argparse.Namespace], Config]


class CannotDo(Exception):
    """What was asked could not be done; the message says why."""


def add_to(
    commands: Any,
    printing: argparse.ArgumentParser,
    *,
    load: Load,
    passwords: Callable[[], Passwords] | None = None,
) -> None:
    """Add `create-admin` to the tasks of `crm`. `load` reads the settings, `passwords` makes what hashes them."""
    text = "make an employee who may do everything"
    parser = commands.add_parser(
        "create-admin",
        parents=[printing],
        help=text,
        description="Make an employee who may do everything. The password is asked for; it is no argument, as other "
        "programs see those. Where standard input is no terminal, it is its first line.",
    )
    parser.add_argument(
        "login", metavar="LOGIN", help="what he signs in with: Latin letters, digits, . _ @ + -"
    )
    parser.add_argument("--name", metavar="N", default="", help="as pages show it (default: the login)")
    parser.set_defaults(do=lambda args: _create_admin(args, load, passwords))


def _create_admin(
    args: argparse.Namespace, load: Load, make_passwords: Callable[[], Passwords] | None
) -> int:
    settings = load(args)
    from crm.staff.passwords import Passwords
    from crm.staff.staff import create_admin
    from crm.store import Store, StoreError
    from crm.who import Refused

    try:
        with Store(settings.crm.url) as store:
            store.check()  # before anybody thinks of a password
            password = _ask()
            passwords = (make_passwords or Passwords)()
            id = create_admin(store, passwords, args.login, args.name or args.login, password, time.time())
    except (CannotDo, Refused, StoreError) as error:
        print(f"teledom: making administrator {args.login}: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"id": id, "login": args.login.strip().lower()}, ensure_ascii=False))
    else:
        print(f"employee {id}, {args.login.strip().lower()}, may sign in and do everything")
    return 0


def _ask() -> str:
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line.strip("\r\n"):
            raise CannotDo("a line with the password is expected on standard input, and there is none")
        return line.rstrip("\r\n")
    try:
        password = getpass.getpass("Password: ")
        if getpass.getpass("The same again: ") != password:
            raise CannotDo("the two passwords differ: nothing was made")
    except (EOFError, KeyboardInterrupt):
        raise CannotDo("no password was entered: nothing was made") from None
    return password
