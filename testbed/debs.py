"""A real Asterisk, Kamailio, PostgreSQL, SIPp, baresip and espeak-ng in a private folder: fetched, never installed.

An apt with a state of its own, run as whoever calls it, resolves and downloads today's packages of Debian's unstable
suite (the only one that has Asterisk) from the mirror that this machine already uses; apt checks their signatures;
`dpkg -x` unpacks them. No root, no chroot, no mount. Programs are then started by the tree's own loader with the
tree's own libraries (`Tree.command`), whatever the machine has.

Standard library alone: it runs before there is an environment. `python3 testbed/debs.py` prints the tree's folder last.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "asterisk",
    "asterisk-modules",
    "asterisk-core-sounds-en",
    "kamailio",
    "kamailio-sqlite-modules",
    "postgresql",
    "sip-tester",
    "baresip-core",
    "espeak-ng",
)
# What PostgreSQL's packages need only as a service of the system: said to be there already, which spares 15 MB.
LEFT_OUT = ("locales", "postgresql-client-common", "postgresql-common", "ssl-cert")
SUITES = ("sid", "testing")  # the second when the first can't be resolved today
LAYOUT = 1  # of the folder: a change makes another tree
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PROGRAMS = (
    "usr/sbin/asterisk",
    "usr/sbin/kamailio",
    "usr/bin/sipp",
    "usr/bin/baresip",
    "usr/bin/espeak-ng",
    "usr/lib/postgresql/*/bin/postgres",
)
LIBRARIES = "usr/lib/x86_64-linux-gnu"

Say = Callable[[str], None]


class TestbedUnavailable(Exception):
    """Real parts can't be had on this machine; the message says what is missing and what would help."""

    __test__ = False  # not a test class, whatever its name


@dataclass(frozen=True)
class Tree:
    """The unpacked packages."""

    root: Path

    def command(self, program: str) -> list[str]:
        """The start of a command line that runs `program` (a path inside the tree) with the tree's own libraries."""
        libraries = self.root / LIBRARIES
        paths = [libraries, libraries / "kamailio", libraries / "pulseaudio", libraries / "baresip"]
        return [
            str(self.root / "usr/lib64/ld-linux-x86-64.so.2"),
            "--library-path",
            ":".join(map(str, paths)),
            str(self.root / program),
        ]

    def versions(self) -> dict[str, str]:
        """Each unpacked package's version, by name."""
        versions: dict[str, str] = json.loads((self.root / "packages.json").read_text())
        return versions


def cache_folder() -> Path:
    """Where the tree is kept: TELEDOM_CACHE, else ~/.cache/teledom, else a folder of this user's under /tmp."""
    candidates = [os.environ.get("TELEDOM_CACHE", "")]
    if os.environ.get("XDG_CACHE_HOME"):
        candidates.append(os.environ["XDG_CACHE_HOME"] + "/teledom")
    candidates.append(os.environ.get("HOME", "/nonexistent") + "/.cache/teledom")
    candidates.append(f"/tmp/teledom-cache-{os.getuid()}")
    for candidate in filter(None, candidates):
        with contextlib.suppress(OSError):
            folder = Path(candidate).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    raise TestbedUnavailable("no folder to cache in can be written: set TELEDOM_CACHE to one")


def find_tree(cache: Path | None = None) -> Tree | None:
    """The tree if it is there already, else None."""
    root = (cache or cache_folder()) / tree_name()
    return Tree(root) if root.is_dir() else None


def tree_name() -> str:
    """The name of the tree's folder: another one for other packages."""
    return "testbed-" + hashlib.sha256(repr((PACKAGES, LEFT_OUT, LAYOUT)).encode()).hexdigest()[:12]


def get_tree(say: Say = print) -> Tree:
    """The tree, made if it isn't there: instant the second time. Raises TestbedUnavailable."""
    cache = cache_folder()
    if tree := find_tree(cache):
        return tree
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise TestbedUnavailable(
            f"the testbed's packages are for Linux on x86_64, and this is {platform.system()} on {platform.machine()}"
        )
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise TestbedUnavailable(f"{tool} is not there: the testbed's packages are Debian's")
    if not Path(KEYRING).exists():
        raise TestbedUnavailable(f"{KEYRING} is not there: apt-get install debian-archive-keyring")
    with _lock(cache / "testbed.lock", say):
        return find_tree(cache) or _make_tree(cache, say)


@contextlib.contextmanager
def _lock(path: Path, say: Say) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("testbed: another process is fetching it: waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_tree(cache: Path, say: Say) -> Tree:
    for left in cache.glob("testbed-*.new"):  # of a run that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    work = cache / f"{tree_name()}.new"
    started = time.monotonic()
    try:
        archives = _download(work, say)
        root = work / "root"
        root.mkdir()
        say(f"testbed: unpacking {len(archives)} packages")
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda archive: _unpack(archive, root), archives))
        for folder in ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale"):
            shutil.rmtree(root / folder, ignore_errors=True)
        missing = [program for program in PROGRAMS if not any(root.glob(program))]
        if missing:
            raise TestbedUnavailable(f"Debian's packages came without {', '.join(missing)}")
        versions = dict(archive.name.split("_")[:2] for archive in archives)
        (root / "packages.json").write_text(json.dumps(versions, indent=1, sort_keys=True))
        final = cache / tree_name()
        root.rename(final)
    except OSError as error:
        raise TestbedUnavailable(f"the testbed's packages could not be kept in {cache}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"testbed: {final} made in {time.monotonic() - started:.0f} s")
    return Tree(final)


def _download(work: Path, say: Say) -> list[Path]:
    apt = work / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").write_text("".join(map(_as_installed, LEFT_OUT)))
    mirror = _mirror()
    failure = ""
    for suite in SUITES:
        (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
        say(f"testbed: reading Debian {suite}'s package lists")
        failure = _apt(apt, "update", "-o", "APT::Update::Error-Mode=any")
        if failure:
            continue
        say(f"testbed: downloading {', '.join(PACKAGES)} and what they need")
        failure = _apt(apt, "-y", "-d", "install", *PACKAGES)
        if not failure:
            return sorted((apt / "cache/archives").glob("*.deb"))
    raise TestbedUnavailable(f"apt-get could not fetch the testbed's packages: {failure}")


def _as_installed(package: str) -> str:
    """What dpkg's list of installed packages would say of `package`."""
    return (
        f"Package: {package}\nStatus: install ok installed\nVersion: 9999\nArchitecture: all\n"
        "Multi-Arch: foreign\n\n"
    )


def _mirror() -> str:
    """The address of the Debian mirror that this machine itself uses."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    # Suites like -security and -updates have mirrors of their own, without unstable.
    plain = [uri for uri in listed if re.search(r"/debian/?$", uri)]
    if not plain:
        raise TestbedUnavailable("apt's sources name no Debian mirror (a line ending in /debian)")
    return plain[0]


def _apt(apt: Path, *arguments: str) -> str:
    """Run apt-get with a state of its own in `apt`; the errors that it printed, or "" if it did well."""
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": apt / "parts",
        "Dir::State": apt,
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Cache::archives": apt / "cache/archives",
        "Dir::Log": apt,
        "APT::Install-Recommends": 0,
        "APT::Sandbox::User": "root" if os.getuid() == 0 else "",
        "APT::Architecture": "amd64",
        "Acquire::Languages": "none",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Retries": 3,
        "Acquire::http::Timeout": 30,
        "Debug::NoLocking": 1,
    }
    command = ["apt-get", "-q"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return ""
    errors = [line[3:] for line in done.stderr.splitlines() if line.startswith("E: ")]
    return "; ".join(errors[:3]) or f"exit code {done.returncode}"


def _unpack(archive: Path, root: Path) -> None:
    done = subprocess.run(["dpkg", "-x", archive, root], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedUnavailable(f"{archive.name} could not be unpacked: {done.stderr.strip()}")
    archive.unlink()  # a third of the space, at the moment when most is used


def main() -> int:
    """Make the tree and print its folder; 3 when it can't be had here."""
    parser = argparse.ArgumentParser(prog="testbed/debs.py", description="Fetch the testbed's packages.")
    parser.add_argument("--quiet", action="store_true", help="print the folder only")
    arguments = parser.parse_args()
    try:
        tree = get_tree((lambda line: None) if arguments.quiet else lambda line: print(line, flush=True))
    except TestbedUnavailable as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 3
    print(tree.root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
