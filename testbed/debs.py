"""Real programs in a private folder: fetched, never installed. Asterisk, Kamailio, PostgreSQL and phones; and Chromium.

An apt with a state of its own, run as whoever calls it, resolves and downloads today's packages of Debian's unstable
suite (the only one that has Asterisk) from the mirror that this machine already uses; apt checks their signatures;
`dpkg -x` unpacks them. No root, no chroot, no mount. Programs are then started by the tree's own loader with the
tree's own libraries (`Tree.command`), whatever the machine has. The browser is a tree of its own, which only tests need.

Standard library alone: it runs before there is an environment. `python3 -m testbed.debs` prints the tree's folder last,
`python3 -m testbed.debs testbed browser` those of both.
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

SUITES = ("sid", "testing")  # the second when the first can't be resolved today
LAYOUT = 1  # of the folders: a change makes other trees
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"

Say = Callable[[str], None]


class TestbedUnavailable(Exception):
    """Real parts can't be had on this machine; the message says what is missing and what would help."""

    __test__ = False  # not a test class, whatever its name


@dataclass(frozen=True)
class PackageSet:
    """What makes one tree: packages with all that they need."""

    name: str
    packages: tuple[str, ...]
    left_out: tuple[str, ...]  # said to be there already: needed by something that we don't use
    programs: tuple[str, ...]  # must be there at the end
    # Programs that start themselves again by /proc/self/exe, which would be the loader: these name the tree's loader
    # in their own file instead, written there by patchelf, and are started by their path (with `Tree.library_path`).
    own_loader: tuple[str, ...] = ()

    def folder(self, cache: Path) -> Path:
        """Where its tree is: another folder for other packages, and for files that name the folder they are in."""
        made_of: tuple[object, ...] = (self.packages, self.left_out, LAYOUT)
        if self.own_loader:
            made_of += (self.own_loader, str(cache))
        return cache / f"{self.name}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]}"


TESTBED = PackageSet(
    name="testbed",
    packages=(
        "asterisk",
        "asterisk-modules",
        "asterisk-core-sounds-en",
        "kamailio",
        "kamailio-sqlite-modules",
        "postgresql",
        "sip-tester",
        "baresip-core",
        "espeak-ng",
    ),
    # What PostgreSQL's packages need only as a service of the system, 15 MB.
    left_out=("locales", "postgresql-client-common", "postgresql-common", "ssl-cert"),
    programs=(
        "usr/sbin/asterisk",
        "usr/sbin/kamailio",
        "usr/bin/sipp",
        "usr/bin/baresip",
        "usr/bin/espeak-ng",
        "usr/lib/postgresql/*/bin/postgres",
    ),
)
BROWSER = PackageSet(
    name="browser",
    packages=("chromium", "fonts-dejavu-core", "fonts-liberation", "patchelf"),
    # What shows windows on a screen, and draws them by a graphics card: 70 MB to fetch.
    left_out=("libgl1-mesa-dri", "libgtk-3-0t64", "libllvm22", "x11-utils", "xdg-utils"),
    programs=("usr/lib/chromium/chromium", "usr/share/fonts/truetype/liberation*/LiberationSans-Regular.ttf"),
    own_loader=("usr/lib/chromium/chromium", "usr/lib/chromium/chrome_crashpad_handler"),
)
PACKAGE_SETS = {each.name: each for each in (TESTBED, BROWSER)}


@dataclass(frozen=True)
class Tree:
    """The unpacked packages."""

    root: Path

    @property
    def library_path(self) -> str:
        """The folders of the tree's libraries, as LD_LIBRARY_PATH has them."""
        libraries = self.root / LIBRARIES
        paths = [libraries, libraries / "kamailio", libraries / "pulseaudio", libraries / "baresip"]
        return ":".join(map(str, paths))

    def command(self, program: str) -> list[str]:
        """The start of a command line that runs `program` (a path inside the tree) with the tree's own libraries."""
        return [str(self.root / LOADER), "--library-path", self.library_path, str(self.root / program)]

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


def find_tree(packages: PackageSet = TESTBED) -> Tree | None:
    """The tree if it is there already, else None. Raises TestbedUnavailable if no folder can be had at all."""
    root = packages.folder(cache_folder())
    return Tree(root) if root.is_dir() else None


def get_tree(say: Say = print, packages: PackageSet = TESTBED) -> Tree:
    """The tree, made if it isn't there: instant the second time. Raises TestbedUnavailable."""
    if tree := find_tree(packages):
        return tree
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise TestbedUnavailable(
            f"the packages are for Linux on x86_64, and this is {platform.system()} on {platform.machine()}"
        )
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise TestbedUnavailable(f"{tool} is not there: the packages are Debian's")
    if not Path(KEYRING).exists():
        raise TestbedUnavailable(f"{KEYRING} is not there: apt-get install debian-archive-keyring")
    final = packages.folder(cache_folder())
    with _lock(final.parent / f"{packages.name}.lock", packages, say):
        return find_tree(packages) or _make_tree(final, packages, say)


@contextlib.contextmanager
def _lock(path: Path, packages: PackageSet, say: Say) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{packages.name}: another process is fetching it: waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_tree(final: Path, packages: PackageSet, say: Say) -> Tree:
    for left in final.parent.glob(f"{packages.name}-*.new"):  # of a run that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    work = final.with_name(f"{final.name}.new")
    started = time.monotonic()
    try:
        archives = _download(work, packages, say)
        root = work / "root"
        root.mkdir()
        say(f"{packages.name}: unpacking {len(archives)} packages")
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda archive: _unpack(archive, root), archives))
        for folder in ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale"):
            shutil.rmtree(root / folder, ignore_errors=True)
        missing = [program for program in packages.programs if not any(root.glob(program))]
        if missing:
            raise TestbedUnavailable(f"Debian's packages came without {', '.join(missing)}")
        for program in packages.own_loader:
            _run(
                [*Tree(root).command("usr/bin/patchelf"), "--set-interpreter", final / LOADER, root / program]
            )
        versions = dict(archive.name.split("_")[:2] for archive in archives)
        (root / "packages.json").write_text(json.dumps(versions, indent=1, sort_keys=True))
        root.rename(final)
    except OSError as error:
        raise TestbedUnavailable(f"Debian's packages could not be kept in {final.parent}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"{packages.name}: {final} made in {time.monotonic() - started:.0f} s")
    return Tree(final)


def _download(work: Path, packages: PackageSet, say: Say) -> list[Path]:
    apt = work / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").write_text("".join(map(_as_installed, packages.left_out)))
    mirror = _mirror()
    failure = ""
    for suite in SUITES:
        (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
        say(f"{packages.name}: reading Debian {suite}'s package lists")
        failure = _apt(apt, "update", "-o", "APT::Update::Error-Mode=any")
        if failure:
            continue
        say(f"{packages.name}: downloading {', '.join(packages.packages)} and what they need")
        failure = _apt(apt, "-y", "-d", "install", *packages.packages)
        if not failure:
            return sorted((apt / "cache/archives").glob("*.deb"))
    raise TestbedUnavailable(f"apt-get could not fetch the {packages.name}'s packages: {failure}")


def _as_installed(package: str) -> str:
    """What dpkg's list of installed packages would say of `package`."""
    return (
        f"Package: {package}\nStatus: install ok installed\nVersion: 99:0\nArchitecture: all\n"
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
    _run(["dpkg", "-x", archive, root])
    archive.unlink()  # a third of the space, at the moment when most is used


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedUnavailable(f"{' '.join(map(str, command))} failed: {done.stderr.strip()}")


def main() -> int:
    """Make the trees and print their folders; 3 when one can't be had here."""
    parser = argparse.ArgumentParser(prog="testbed/debs.py", description="Fetch packages of Debian.")
    parser.add_argument(
        "sets", nargs="*", metavar="SET", help=f"{' or '.join(PACKAGE_SETS)}; testbed if none"
    )
    parser.add_argument("--quiet", action="store_true", help="print the folders only")
    arguments = parser.parse_args()
    if unknown := set(arguments.sets) - set(PACKAGE_SETS):
        parser.error(f"no such set of packages: {', '.join(sorted(unknown))}")
    code = 0
    for name in arguments.sets or [TESTBED.name]:
        try:
            tree = get_tree(_silent if arguments.quiet else _say, PACKAGE_SETS[name])
            print(tree.root, flush=True)
        except TestbedUnavailable as error:
            print(f"{name}: {error}", file=sys.stderr)
            code = 3
    return code


def _say(line: str) -> None:
    print(line, flush=True)


def _silent(line: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
