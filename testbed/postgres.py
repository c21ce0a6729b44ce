"""A real PostgreSQL on 127.0.0.1 out of the testbed's packages, with an empty database of ours.

    async with open_postgres(tmp_path, tree) as postgres:
        upgrade(postgres.url)

`postgres.child` can be stopped, killed and started again; what was committed is still there, as on any server. Everything
of one server is in its folder. It refuses to run as root, so as root it runs as nobody. Who comes over TCP is the role
teledom without a password: it may make databases of its own, and has no right to anything else on the machine.
For who has no Trio: `running(open_postgres(…), "postgres")` of threads.py.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import psycopg
import trio
from attrs import define, frozen

from testbed.debs import Tree
from testbed.processes import HOST, Child, ProcessFailed, open_port

ROLE = DATABASE = "teledom"
MAKE_S = 30.0  # for making the folder of data
READY_S = 20.0  # for a start, which after a kill reads the log of what was committed
ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C"}  # what every machine has

_INITDB = (
    *("--username=postgres", "--auth=reject", "--no-sync"),
    # Sorts and folds Cyrillic alike on every machine: its own tables, not those of the machine's libc.
    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
_SQL = f"CREATE ROLE {ROLE} LOGIN CREATEDB\n\nCREATE DATABASE {DATABASE} OWNER {ROLE}\n"
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",  # in its folder: a server that is killed leaves nothing in /dev/shm
    "log_checkpoints": "off",
}


@frozen
class Postgres:
    """A running server. `child` can be stopped, killed and started again; its port stays."""

    url: str
    child: Child


@define
class _Server(Child):
    """PostgreSQL's first process; those that it starts lead groups of their own."""

    async def stop(self) -> None:
        """End it, and with it what its clients are doing, as `systemctl stop` does; after `stop_s` KILL."""
        with trio.CancelScope(shield=True):
            if self.running:
                os.kill(self.pid, signal.SIGINT)  # TERM would wait until each client has left by itself
                with trio.move_on_after(self.stop_s):
                    await self.wait()
            await self.kill()

    async def kill(self) -> None:
        """End all its processes with KILL, as a power cut would: while one of them lives, no other can be started."""
        with trio.CancelScope(shield=True), ExitStack() as stack:
            started: list[int] = []
            if self.running:
                os.kill(self.pid, signal.SIGSTOP)  # it starts no more of them
                for pid in _children(self.pid):
                    with suppress(ProcessLookupError):
                        started.append(os.pidfd_open(pid))
                        stack.callback(os.close, started[-1])
            await Child.kill(self)
            for process in started:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                await trio.lowlevel.wait_readable(process)


@asynccontextmanager
async def open_postgres(
    folder: Path, tree: Tree, *, port: int | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Postgres]:
    """Make a server's data in `folder`, start the server, and end it when left. Raises ProcessFailed.

    `port`: one of a bed's (`bed.ports.take()`), else one that no testbed uses. `settings` are those of postgresql.conf.
    """
    with ExitStack() as stack:
        port = port or stack.enter_context(open_port())
        folder, binaries = _places(folder, tree)
        await _make_data(folder, tree, binaries)
        chosen = {**_SETTINGS, "port": str(port), **(settings or {})}
        options = [f"--{name}={value}" for name, value in chosen.items()]
        url = f"postgresql://{ROLE}@{HOST}:{port}/{DATABASE}"
        child = _Server(
            "postgres",
            [*_as_whom(), *tree.command(f"{binaries}/postgres"), "-D", f"{folder}/data", *options],
            log=folder / "postgres.log",
            ready=lambda: trio.to_thread.run_sync(_answers, url, abandon_on_cancel=True),
            ready_s=READY_S,
            cwd=folder,
            env=ENVIRONMENT,
        )
        async with child:
            yield Postgres(url, child)


def _places(folder: Path, tree: Tree) -> tuple[Path, Path]:
    """The whole path of `folder`, and where in the tree the newest server's programs are."""
    return folder.absolute(), max(tree.root.glob("usr/lib/postgresql/*/bin")).relative_to(tree.root)


async def _make_data(folder: Path, tree: Tree, binaries: Path) -> None:
    """A new folder `data` with the role and the database in it. Raises ProcessFailed."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
    # initdb runs the program `postgres` beside itself, which can't be the tree's own: that needs the tree's loader.
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    loader, *initdb = tree.command(f"{binaries}/initdb")
    postgres = tree.command(f"{binaries}/postgres")
    share = tree.root / "usr/share/postgresql" / binaries.parent.name
    _write_script(programs / "postgres", f'exec {shlex.join(postgres)} "$@"')
    as_if = [
        loader,
        "--argv0",
        str(programs / "initdb"),
        *initdb,
        "-D",
        str(data),
        "-L",
        str(share),
        *_INITDB,
    ]
    _write_script(programs / "initdb", f"exec {shlex.join(as_if)}")
    (programs / "roles.sql").write_text(_SQL)
    make = (
        './initdb && ./postgres --single -F -D "$1" postgres <roles.sql'
        f' && echo "host all {ROLE} {HOST}/32 trust" >"$1/pg_hba.conf"'
    )
    maker = Child(
        "initdb",
        [*_as_whom(), "sh", "-c", make, "sh", str(data)],
        log=folder / "initdb.log",
        cwd=programs,
        env=ENVIRONMENT,
    )
    code = None
    async with maker:
        with trio.move_on_after(MAKE_S):
            code = await maker.wait()
    if code:
        said = "\n".join(maker.log_lines()[-12:])
        raise ProcessFailed(f"making PostgreSQL's data in {data} ended with exit code {code}:\n{said}")
    if code is None:
        raise ProcessFailed(f"making PostgreSQL's data in {data} took more than {MAKE_S:g} s")


def _write_script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _as_whom() -> list[str]:
    """The start of a command line that runs the server: told to end when we die, and not as root."""
    if not shutil.which("setpriv"):
        return []
    if os.geteuid() != 0:
        return ["setpriv", "--pdeathsig=INT", "--"]
    nobody = pwd.getpwnam("nobody")
    # The tree and its folder may well be in folders that only root may enter. no_setuid_fixup: or access(2), by which
    # PostgreSQL looks for itself, would not heed the right to. It is why only a role that has no use of it may log in.
    return [
        "setpriv",
        "--pdeathsig=INT",
        *(f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"),
        *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"),
        *("--securebits=+no_setuid_fixup", "--"),
    ]


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
