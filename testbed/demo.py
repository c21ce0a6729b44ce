"""`./run`: a node, its CRM with the demo town, Kamailio, Asterisk, panels and phones, and a visitor every few seconds.

A call counts only when each end recorded the other's sound. Now and then, and at the end, a panel's SOS is pressed: a
dispatch of 112 answers, and calls back. The CRM's pages run beside it as a process of their own, with an administrator
made for this run. With `--simulated` the same node runs against the simulated Asterisk, without SIP and sound.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import attrs
import trio
from attrs import define, field

import logs
from config import (
    AriConfig,
    CallConfig,
    Config,
    CrmConfig,
    LogConfig,
    NodeConfig,
    PushConfig,
    QualityConfig,
    SosConfig,
    WebConfig,
)
from crm.store import Store, upgrade
from crm.town.housing import fill_housing
from crm.town.town import Town, fill
from crm.values.records import CallRecord, Entry
from node import Node
from testbed.bed import Bed, open_bed
from testbed.crm_process import add_admin, crm_child, new_secret_key, open_town_panels
from testbed.debs import TestbedUnavailable, Tree, get_tree
from testbed.emergency import Emergency, tested_dispatches
from testbed.gateway import PushGateway, open_gateway
from testbed.node_process import as_toml
from testbed.processes import HOST, Ports, open_ports
from testbed.visitors import Score, Visitors

FOLDER = Path("var/demo")
SOS_EVERY = 10  # visitors, when there is no end of them
LOGIN = "demo"  # to the CRM; its password is another one each time


@define
class Progress:
    """Says what was done, and when, in seconds since the start."""

    started_at: float = field(factory=time.monotonic)

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self.started_at:6.1f} s  {text}", flush=True)


def _configure(folder: Path, ari: AriConfig, push_url: str, ports: Ports, bed: Bed | None = None) -> Config:
    """The demo's settings, with 112 over the trunks of a `bed`; also as a file, for the CRM and for commands."""
    config = Config(
        node=NodeConfig(
            name="demo",
            state_dir=str(folder.absolute()),
            http=f"{HOST}:{ports.take()}",
            kamailio="" if bed is None else bed.kamailio_url,
        ),
        ari=ari,
        call=CallConfig(),
        push=PushConfig(url=push_url),
        crm=CrmConfig(url=_database(folder), secret_key=new_secret_key()),
        web=WebConfig(http=f"{HOST}:{ports.take()}", time_zone="Asia/Yekaterinburg", cookies="plain"),
        log=LogConfig(level="warning"),
    )
    if bed is not None:
        # Test calls are made by hand only: they would come amid the visitors.
        recordings = str(bed.recordings.resolve())
        sos = SosConfig(recordings=recordings, test_days=0)
        quality = QualityConfig(recordings=recordings, idle_s=5.0, test_idle_s=0.5)
        config = attrs.evolve(config, sos=sos, quality=quality, dispatch=tested_dispatches())
    (folder / "config.toml").write_text(as_toml(config))
    return config


async def _demonstrate(tree: Tree, calls: int | None, every_s: float, progress: Progress) -> Score:
    progress("testbed: Asterisk, Kamailio, SIPp and baresip are unpacked")
    town = _fill(progress)
    demo = Visitors(town, progress)
    async with (
        open_bed(FOLDER / "bed", tree, crm_db=FOLDER / "crm.db") as bed,
        open_gateway(PushGateway(on_push=demo.on_push)) as push_url,
        trio.open_nursery() as nursery,
    ):
        progress(f"Kamailio at {_address(bed.kamailio_sip)} and Asterisk at {bed.ari_url} are running")
        ari = AriConfig(url=bed.ari_url, user=bed.ari_user, password=bed.ari_password)
        sos = Emergency(bed, progress, demo.score.sos)
        config = _configure(FOLDER, ari, push_url, bed.ports, bed)
        nursery.start_soon(_run_crm, config, town, progress)
        async with trio.open_nursery() as starting:  # a trunk's state is known only after a while
            starting.start_soon(nursery.start, sos.answer)
            await _start_node(nursery, config, demo.on_entry, sos.on_entry)
            progress("the node is attached to Asterisk")
            await demo.open_ends(bed, nursery)
            await nursery.start(demo.wake_phones)
            progress(f"{demo.ends()} are on; one phone sleeps")
        progress(f"the 112 dispatch answers; the duty desk's page is http://{config.node.http}/sos")
        number = 0
        while calls is None or number < calls:
            await demo.visit(number)
            number += 1
            if number == calls or (calls is None and number % SOS_EVERY == 0):
                await sos.press(demo.a_panel())
            if number != calls:
                await trio.sleep(every_s)
        nursery.cancel_scope.cancel()
    return demo.score


async def _start_node(
    nursery: trio.Nursery, config: Config, *listeners: Callable[[CallRecord, Entry], None]
) -> None:
    logs.set_up(config.log)
    node = Node(config)
    for listener in listeners:
        node.journal.listen(listener)
    await nursery.start(node.run)
    with trio.fail_after(20):
        while any(node.readiness().values()):  # noqa: ASYNC110 - what /readyz would say
            await trio.sleep(0.02)


async def _run_crm(config: Config, town: Town, progress: Progress) -> None:
    """The CRM's own process, and what it reaches of panels, until cancelled."""
    password = await trio.to_thread.run_sync(add_admin, config.crm.url, LOGIN, "Demo")
    async with (
        open_town_panels(config.crm.url, config.crm.secret_key, town.panels),
        crm_child(config, FOLDER / "config.toml"),
    ):
        progress(f"the CRM is http://{config.web.http}  login {LOGIN}, password {password}")
        await trio.sleep_forever()


def _database(folder: Path) -> str:
    return f"sqlite:///{folder.absolute()}/crm.db"


def _fill(progress: Progress) -> Town:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    url = _database(FOLDER)
    upgrade(url)
    with Store(url) as store:
        town = fill(store)
        fill_housing(store)
    flats = {flat.id: flat for panel in town.panels for flat in panel.dials.values()}
    accounts = {a.sip_user for flat in flats.values() for a in flat.accounts}
    progress(f"CRM: a town of {len(town.panels)} panels, {len(flats)} flats and {len(accounts)} accounts")
    return town


def _address(pair: tuple[str, int]) -> str:
    return f"{pair[0]}:{pair[1]}"


async def _simulate(calls: int | None, every_s: float, progress: Progress) -> Score:
    from testbed.simulated import Phone as SimulatedPhone
    from testbed.simulated import open_simulated

    town = _fill(progress)
    demo = Visitors(town, progress)
    with open_ports() as ports:
        async with (
            open_simulated() as simulated,
            open_gateway(PushGateway()) as push_url,
            trio.open_nursery() as nursery,
        ):
            progress(f"a simulated Asterisk is at {simulated.ari_url}: no SIP and no sound")
            ari = AriConfig(url=simulated.ari_url, user=simulated.user, password=simulated.password)
            config = _configure(FOLDER, ari, push_url, ports)
            nursery.start_soon(_run_crm, config, town, progress)
            await _start_node(nursery, config, demo.on_entry)
            progress("the node is attached to it")
            number = 0
            while calls is None or number < calls:
                visit = demo.visits[number % len(demo.visits)]
                first = number % len(visit.flat.accounts)
                for n, account in enumerate(visit.flat.accounts):
                    phone = SimulatedPhone(answer_s=1.5, dtmf=visit.panel.door_digits[:1], dtmf_s=1.5)
                    simulated.phone(account.sip_user, phone if n == first else SimulatedPhone())
                demo.score.calls += 1
                known = len(demo.bridged)
                call = simulated.press(visit.panel.sip_user, visit.dialled)
                await trio.sleep(4.0)
                call.hangup()
                await trio.sleep(0.5)
                demo.score.bridged += len(demo.bridged) > known
                number += 1
                if number != calls:
                    await trio.sleep(every_s)
            nursery.cancel_scope.cancel()
    return attrs.evolve(demo.score, sound=demo.score.bridged)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One demonstration at a time in a checkout: each begins with an empty folder."""
    FOLDER.parent.mkdir(exist_ok=True)
    with (FOLDER.parent / "demo.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("./run: another ./run is going on in this checkout: end that one first")
        yield


async def _until_interrupted(work: Callable[[], Awaitable[Score]]) -> Score | None:
    """Do the work, or end it in its order at Ctrl-C or SIGTERM: then None."""
    score: Score | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            score = await work()
            nursery.cancel_scope.cancel()
    return score


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run", description=__doc__)
    parser.add_argument(
        "--calls", type=int, metavar="N", help="end after N calls (default: go on until Ctrl-C)"
    )
    parser.add_argument(
        "--every", type=float, metavar="S", help="seconds between calls (default: 3; with --calls 0.5)"
    )
    parser.add_argument(
        "--simulated", action="store_true", help="against the simulated Asterisk: no SIP, no sound"
    )
    args = parser.parse_args()
    if args.calls is not None and args.calls < 1:
        parser.error("--calls takes a number from 1")
    every_s = args.every if args.every is not None else 3.0 if args.calls is None else 0.5
    with _alone():
        try:
            start = _simulate if args.simulated else partial(_demonstrate, get_tree())
            # From here on only `_until_interrupted` hears it: a second Ctrl-C, while all is ending, changes nothing.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            score = trio.run(_until_interrupted, partial(start, args.calls, every_s, Progress()))
        except TestbedUnavailable as error:
            print(
                f"./run: {error}\n"
                "  without it: ./run --simulated     the same node against a simulated Asterisk\n"
                "  or with an Asterisk of your own: set [ari] url and user in config.toml, TELEDOM_ARI_PASSWORD in the\n"
                "  environment, and run ./teledom node",
                file=sys.stderr,
            )
            return 1
    if score is None:
        print("\nstopped; look calls up with: ./teledom calls --config var/demo/config.toml")
        return 0
    print(f"\nlook calls up with: ./teledom calls --config {FOLDER}/config.toml")
    if score.sound < score.calls:
        print(f"two-way audio in {score.sound} of {score.calls} calls")
    sos = f"; {score.sos}" if score.sos.pressed else ""
    print(f"{score.calls} calls: {score.bridged} bridged{sos}")
    return 0 if score.calls == score.bridged == score.sound and score.sos.all_went_well() else 1


if __name__ == "__main__":
    sys.exit(main())
