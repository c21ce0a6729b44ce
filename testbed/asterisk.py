"""Asterisk out of the private tree, with the configuration files that go with us.

`asterisk_child` writes a run folder (etc, log, spool, …), copies telephony/asterisk into it, puts this testbed's
addresses into its site/ folder, and gives back the `Child` that runs it; it is ready when ARI answers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
from attrs import field, frozen

from crm.town.town import city_fias
from testbed.debs import LIBRARIES, Tree
from testbed.processes import HOST, Child

CONFIGURATION = Path(__file__).resolve().parent.parent / "telephony" / "asterisk"


DISPATCHES = ("dispatch-1", "dispatch-2")
BACK_PORTS = 4
# Where 112 calls go while there is no node, and from which number; "" is every other city.
SOS_CITIES = {
    "Челябинск": ("+73512000000", ("dispatch-1", "dispatch-2")),
    "Копейск": ("+73513900000", ("dispatch-2", "dispatch-1")),
    "": ("+73510000000", ("dispatch-2",)),
}


@frozen
class Trunk:
    """A trunk to a dispatch: the dispatch is called at `port`, and calls back from one of the BACK_PORTS behind."""

    name: str
    port: int

    @property
    def back_ports(self) -> range:
        return range(self.port + 1, self.port + 1 + BACK_PORTS)


@frozen(kw_only=True)
class AsteriskPlace:
    """Where one Asterisk listens, and whom it talks to."""

    sip_port: int
    http_port: int
    rtp: tuple[int, int]
    kamailio_port: int
    trunks: tuple[Trunk, ...] = ()
    ari_user: str
    ari_password: str = field(repr=False)

    @property
    def ari_url(self) -> str:
        return f"http://{HOST}:{self.http_port}/ari"


def asterisk_child(run_dir: Path, tree: Tree, place: AsteriskPlace) -> Child:
    """Write Asterisk's folders into `run_dir` and return the process to start."""
    etc = run_dir / "etc"
    if etc.exists():
        shutil.rmtree(etc)
    shutil.copytree(CONFIGURATION, etc, ignore=shutil.ignore_patterns("sounds"))
    _write_site(etc, place)
    _write_directories(run_dir, tree, etc)

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                reply = await client.get(
                    f"{place.ari_url}/asterisk/ping", auth=(place.ari_user, place.ari_password)
                )
        except httpx.HTTPError:
            return False
        return reply.status_code == 200

    command = tree.command("usr/sbin/asterisk")
    return Child(
        "Asterisk",
        [*command, "-C", str(etc / "asterisk.conf"), "-f"],
        log=run_dir / "asterisk.log",
        ready=ready,
        ready_s=30,
        cwd=run_dir,
    )


def _write_site(etc: Path, place: AsteriskPlace) -> None:
    pjsip = (etc / "site/pjsip.conf").read_text()
    pjsip = pjsip.replace(f"{HOST}:5080", f"{HOST}:{place.sip_port}")
    pjsip = pjsip.replace(f"{HOST}:5060", f"{HOST}:{place.kamailio_port}")
    (etc / "site/pjsip.conf").write_text(pjsip + "".join(map(_trunk, place.trunks)))
    (etc / "site/sos.conf").write_text("[sos-cities]\n" + "".join(map(_city, SOS_CITIES)))
    (etc / "site/http.conf").write_text(f"[general](+)\nbindaddr = {HOST}\nbindport = {place.http_port}\n")
    (etc / "site/ari.conf").write_text(
        f"[{place.ari_user}]\ntype = user\nread_only = no\npassword_format = plain\n"
        f"password = {place.ari_password}\n"
    )
    (etc / "site/rtp.conf").write_text(f"rtpstart = {place.rtp[0]}\nrtpend = {place.rtp[1]}\n")


def _trunk(trunk: Trunk) -> str:
    match = ",".join(f"{HOST}:{port}" for port in (trunk.port, *trunk.back_ports))
    return f"""
[{trunk.name}](endpoint-dispatch)
transport = transport-udp
aors = {trunk.name}
from_domain = teledom
media_address = {HOST}
bind_rtp_to_media_address = yes

[{trunk.name}](aor-dispatch)
contact = sip:{HOST}:{trunk.port}
qualify_frequency = 1
qualify_timeout = 1.0

[{trunk.name}]
type = identify
endpoint = {trunk.name}
match = {match}
"""


def _city(name: str) -> str:
    number, trunks = SOS_CITIES[name]
    return f"exten => {city_fias(name) if name else 'default'},1,Return({number},{'&'.join(trunks)})\n"


def _write_directories(run_dir: Path, tree: Tree, etc: Path) -> None:
    """Every path of Asterisk's into the run folder; the sounds are the tree's, beside any that are put there."""
    share = tree.root / "usr/share/asterisk"
    data = run_dir / "data"
    for folder in ("data/sounds/en", "data/sounds/ru", "var", "spool", "run", "cache", "keys"):
        (run_dir / folder).mkdir(parents=True, exist_ok=True)
    for name, target in (
        ("documentation", share / "documentation"),
        ("rest-api", share / "rest-api"),
        *((f"sounds/en/{each.name}", each) for each in (share / "sounds/en_US_f_Allison").iterdir()),
        *(
            (f"sounds/{language}/teledom", CONFIGURATION / "sounds" / language / "teledom")
            for language in ("en", "ru")
        ),
    ):
        link = data / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    with (etc / "asterisk.conf").open("a") as file:
        file.write(
            f"""
[directories]
astcachedir = {run_dir}/cache
astetcdir = {etc}
astmoddir = {tree.root}/{LIBRARIES}/asterisk/modules
astvarlibdir = {run_dir}/var
astdbdir = {run_dir}/var
astkeydir = {run_dir}/keys
astdatadir = {data}
astagidir = {data}
astspooldir = {run_dir}/spool
astrundir = {run_dir}/run
astlogdir = {run_dir}
"""
        )
