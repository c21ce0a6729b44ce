"""A real Kamailio and a real Asterisk, side by side on 127.0.0.1, in one `async with`.

    with the CRM's database (or one that `write_credentials` made):

    tree = get_tree()
    async with open_bed(Path("/tmp/bed"), tree, crm_db=db) as bed:
        ...  # bed.ari_url, bed.ari_user, bed.ari_password, bed.kamailio_sip

Everything of one bed is in its run folder: configuration, logs, sockets.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from enum import Enum
from pathlib import Path

import trio
from attrs import define, field, frozen

from testbed.asterisk import BACK_PORTS, DISPATCHES, AsteriskPlace, Trunk, asterisk_child
from testbed.debs import Tree
from testbed.kamailio import KamailioPlace, kamailio_child, kamailio_rpc
from testbed.processes import HOST, Child, Ports, open_ports

REALM = "teledom"
LONGEST = 75  # bytes of a run folder's path: Asterisk's control socket is 27 further on, and 107 are a socket's limit


class Kind(Enum):
    """Whose SIP credentials: a resident's account, or a panel."""

    ACCOUNT = "account"
    PANEL = "panel"


@frozen
class Credentials:
    """One SIP user of the testbed; of a panel also its city, and what it dials for 112 beside SOS ("": nothing)."""

    user: str
    password: str = field(repr=False)
    kind: Kind
    city: str = ""
    sos: str = ""


@define
class Bed:
    """A running testbed. `asterisk` and `kamailio` can be stopped, killed and restarted; their ports stay."""

    run_dir: Path
    tree: Tree
    ports: Ports
    asterisk: Child
    kamailio: Child
    ari_url: str
    ari_user: str
    ari_password: str = field(repr=False)
    kamailio_sip: tuple[str, int]
    kamailio_url: str  # where nodes ask it who is registered
    asterisk_sip: tuple[str, int]
    trunks: tuple[Trunk, ...]

    @property
    def recordings(self) -> Path:
        """Where Asterisk puts what it records."""
        return self.run_dir / "asterisk/spool/monitor"

    def trunk(self, name: str) -> Trunk:
        """The trunk to a dispatch. Raises KeyError."""
        return {trunk.name: trunk for trunk in self.trunks}[name]

    async def registered(self, user: str) -> bool:
        """Whether Kamailio has a registration of `user`."""
        listed = await kamailio_rpc(self.tree, self.run_dir / "kamailio", "ul.dump")
        return any(line.split() == ["AoR:", user] for line in listed.splitlines())

    async def asterisk_cli(self, command: str) -> str:
        """What Asterisk's command line prints for `command`."""
        line = [*self.tree.command("usr/sbin/asterisk"), "-C", f"{self.run_dir}/asterisk/etc/asterisk.conf"]
        done = await trio.run_process(
            [*line, "-rx", command], capture_stdout=True, capture_stderr=True, check=False
        )
        return done.stdout.decode(errors="replace")


@asynccontextmanager
async def open_bed(
    run_dir: Path,
    tree: Tree,
    *,
    crm_db: Path,
    ring_ms: int = 35_000,
    ari_user: str = "teledom",
    ari_password: str = "testbed",
) -> AsyncIterator[Bed]:
    """Start Kamailio and Asterisk, and end them when left. Raises ProcessFailed.

    `crm_db` is the SQLite file with the table or view sip_credentials(username, domain, ha1, kind, city, sos); `ring_ms`
    how long Kamailio keeps an INVITE to a phone. At the trunks to the dispatches nobody is, until testbed.dispatch
    opens one.
    """
    with _short_name(run_dir) as run_dir, open_ports() as ports:
        kamailio_port, node_port, asterisk_port = ports.take(), ports.take(), ports.take()
        trunks = tuple(Trunk(name, ports.take(1 + BACK_PORTS)) for name in DISPATCHES)
        asterisk_place = AsteriskPlace(
            sip_port=asterisk_port,
            http_port=ports.take(),
            rtp=ports.rtp,
            kamailio_port=kamailio_port,
            trunks=trunks,
            ari_user=ari_user,
            ari_password=ari_password,
        )
        kamailio_place = KamailioPlace(
            sip_port=kamailio_port,
            node_port=node_port,
            asterisk_port=asterisk_port,
            credentials=crm_db,
            realm=REALM,
            ring_ms=ring_ms,
        )
        asterisk = asterisk_child(run_dir / "asterisk", tree, asterisk_place)
        kamailio = kamailio_child(run_dir / "kamailio", tree, kamailio_place)
        bed = Bed(
            run_dir=run_dir,
            tree=tree,
            ports=ports,
            asterisk=asterisk,
            kamailio=kamailio,
            ari_url=asterisk_place.ari_url,
            ari_user=ari_user,
            ari_password=ari_password,
            kamailio_sip=(HOST, kamailio_port),
            kamailio_url=f"http://{HOST}:{node_port}",
            asterisk_sip=(HOST, asterisk_port),
            trunks=trunks,
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kamailio.start)
                nursery.start_soon(asterisk.start)
            yield bed
        finally:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(kamailio.stop)
                    nursery.start_soon(asterisk.stop)


@contextmanager
def _short_name(folder: Path) -> Iterator[Path]:
    """The same folder, under a short name where its own is too long for a Unix socket in it."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if len(os.fsencode(folder)) <= LONGEST:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="td-") as place:
        link = Path(place) / "bed"
        link.symlink_to(folder)
        yield link


def ha1(user: str, password: str, realm: str = REALM) -> str:
    """What a digest is checked against: MD5(user:realm:password)."""
    return hashlib.md5(f"{user}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()


def write_credentials(path: Path, users: Iterable[Credentials]) -> Path:
    """Write a small SQLite file with just what Kamailio reads of the CRM; returns `path`."""
    rows = [
        (user.user, REALM, ha1(user.user, user.password), user.kind.value, user.city, user.sos)
        for user in users
    ]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS sip_credentials (username, domain, ha1, kind, city, sos)"
        )
        database.execute("DELETE FROM sip_credentials")
        database.executemany("INSERT INTO sip_credentials VALUES (?, ?, ?, ?, ?, ?)", rows)
    return path
