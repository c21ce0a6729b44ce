"""Kamailio out of the private tree, with the configuration file that goes with us.

`kamailio_child` writes a run folder with kamailio.cfg and this testbed's site.cfg, and gives back the `Child` that
runs it; it is ready when it answers an OPTIONS.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import trio
from attrs import frozen

from testbed.debs import LIBRARIES, Tree
from testbed.processes import HOST, Child, ProcessFailed

CONFIGURATION = Path(__file__).resolve().parent.parent / "telephony" / "kamailio"


@frozen(kw_only=True)
class KamailioPlace:
    """Where one Kamailio listens (UDP and TCP; HTTP for nodes), its Asterisk, and the database with sip_credentials."""

    sip_port: int
    node_port: int
    asterisk_port: int
    credentials: Path
    realm: str = "teledom"
    ring_ms: int = 35_000


def kamailio_child(run_dir: Path, tree: Tree, place: KamailioPlace) -> Child:
    """Write Kamailio's files into `run_dir` and return the process to start."""
    run_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(CONFIGURATION / "kamailio.cfg", run_dir)
    defines = {
        "LISTEN_UDP": f"udp:{HOST}:{place.sip_port}",
        "LISTEN_TCP": f"tcp:{HOST}:{place.sip_port}",
        "LISTEN_NODE": f"tcp:{HOST}:{place.node_port}",
        "ASTERISK_IP": f'"{HOST}"',
        "ASTERISK_PORT": place.asterisk_port,
        "ASTERISK_URI": f'"sip:{HOST}:{place.asterisk_port}"',
        "DB_URL": f'"sqlite:///{place.credentials.absolute()}"',
        "REALM": f'"{place.realm}"',
        "RING_MS": place.ring_ms,
    }
    (run_dir / "site.cfg").write_text(
        "".join(f"#!define {name} {value}\n" for name, value in defines.items())
    )
    command = tree.command("usr/sbin/kamailio")
    command += ["-f", str(run_dir / "kamailio.cfg"), "-L", str(tree.root / LIBRARIES / "kamailio/modules")]
    # -DD: stays our child, and has its own workers. Memory: shared, and of each worker [MB].
    command += ["-Y", str(run_dir), "-w", str(run_dir), "-P", str(run_dir / "kamailio.pid"), "-DD", "-E"]
    command += ["-m", "256", "-M", "8"]

    async def ready() -> bool:
        return await answers_options(place.sip_port)

    return Child("Kamailio", command, log=run_dir / "kamailio.log", ready=ready, cwd=run_dir)


async def answers_options(port: int, *, within_s: float = 0.2) -> bool:
    """Whether whoever has UDP `port` of 127.0.0.1 answers a SIP OPTIONS."""
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((HOST, 0))
        mine = f"{HOST}:{sock.getsockname()[1]}"
        request = (
            f"OPTIONS sip:ping@{HOST}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {mine};branch=z9hG4bK-ready;rport\r\n"
            f"From: <sip:ping@{mine}>;tag=1\r\nTo: <sip:ping@{HOST}:{port}>\r\nCall-ID: ready@{mine}\r\n"
            f"CSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContact: <sip:ping@{mine}>\r\nContent-Length: 0\r\n\r\n"
        )
        with trio.move_on_after(within_s):
            try:
                await sock.sendto(request.encode(), (HOST, port))
                return (await sock.recv(4096)).startswith(b"SIP/2.0 200")
            except OSError:
                return False
    return False


async def kamailio_rpc(tree: Tree, run_dir: Path, *command: str) -> str:
    """What Kamailio's control socket answers to a command like `ul.dump`. Raises ProcessFailed."""
    line = [*tree.command("usr/sbin/kamcmd"), "-s", f"unixs:{run_dir}/kamailio_ctl", *command]
    done = await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False)
    if done.returncode:
        raise ProcessFailed(
            f"kamcmd {' '.join(command)} failed: {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout.decode(errors="replace")
