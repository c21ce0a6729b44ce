"""The demo town on a running bed, and a node beside it, for tests that follow a visitor's call from end to end.

`TownBed` is a bed whose Kamailio reads a CRM filled with the town. `open_node` runs a node in this process, with a copy
of that CRM as its own, so that a test may change it or take it away
(testbed/node_process.py runs one as a process). `visiting` is one call of a SIPp panel, looked at while it goes on.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import httpx
import trio
from attrs import define, frozen

from config import (
    DEFAULT,
    AriConfig,
    CallConfig,
    Config,
    CrmConfig,
    DispatchConfig,
    DutyConfig,
    JournalConfig,
    NodeConfig,
    PushConfig,
    QualityConfig,
    SosConfig,
)
from crm.calls.calls import find_calls
from crm.store import Store
from crm.town.town import Town, city_fias, password
from crm.values.records import CallRecord, Entry, EntryKind, LegRecord
from node import Node
from testbed.asterisk import SOS_CITIES
from testbed.bed import Bed, Credentials, Kind
from testbed.dispatch import DISPATCHER
from testbed.processes import HOST, ProcessFailed
from testbed.sipp import Media, SipMessage, Sipp, SippResult, panel_sipp, parse_messages

TOP = Path(__file__).resolve().parent.parent
POLL_S = 0.02


@frozen
class TownBed:
    """A bed, the town that its Kamailio knows, and the CRM's file that says so."""

    bed: Bed
    town: Town
    database: Path

    def panel(self, sip_user: str) -> Credentials:
        return Credentials(sip_user, password(sip_user), Kind.PANEL)

    def account(self, sip_user: str) -> Credentials:
        return Credentials(sip_user, password(sip_user), Kind.ACCOUNT)

    def accounts(self, panel: str, dialled: str) -> list[Credentials]:
        """Whose phones ring when this panel dials that."""
        return [self.account(each.sip_user) for each in self.town.panel(panel).dials[dialled].accounts]

    async def left_over(self) -> list[str]:
        """Ids of the channels and bridges that Asterisk has."""
        async with self._client() as client:
            replies = [await client.get(what) for what in ("channels", "bridges")]
        return [each["id"] for reply in replies for each in reply.json()]

    def _client(self) -> httpx.AsyncClient:
        auth = (self.bed.ari_user, self.bed.ari_password)
        return httpx.AsyncClient(base_url=self.bed.ari_url, auth=auth)

    async def nothing_left(self, *, within_s: float = 5) -> None:
        """Wait until Asterisk has no channel and no bridge. Raises ProcessFailed, after hanging up what it has."""
        left: list[str] = []
        with trio.move_on_after(within_s):
            while left := await self.left_over():  # noqa: ASYNC110 - nobody tells
                await trio.sleep(POLL_S)
            return
        async with self._client() as client:
            for id in left:
                for what in ("channels", "bridges"):
                    await client.delete(f"{what}/{quote(id, safe='')}")
        raise ProcessFailed(f"Asterisk still has after {within_s:g} s: {', '.join(left)}")


def copy_database(source: Path, target: Path, changes: Iterable[str] = ()) -> None:
    """A copy of a SQLite file that may be in use, after some statements."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        for statement in changes:
            new.execute(statement)
        new.commit()


@define
class RunningNode:
    """A node in this process. `entries` are what its journal noted so far, `database` its own copy of the CRM."""

    node: Node
    database: Path
    entries: list[tuple[CallRecord, Entry]] = attrs.Factory(list)

    async def noted(
        self, kind: EntryKind, *, number: int = 1, within_s: float = 10, **data: str | int | float
    ) -> Entry:
        """The `number`th entry of that kind with that data, waited for. Raises ProcessFailed."""
        with trio.move_on_after(within_s):
            while True:
                found = [
                    e
                    for _, e in self.entries
                    if e.kind is kind and all(e.data.get(k) == v for k, v in data.items())
                ]
                if len(found) >= number:
                    return found[number - 1]
                await trio.sleep(POLL_S)
        told = ", ".join(entry.kind.value for _, entry in self.entries)
        raise ProcessFailed(f"no {kind.value} {data or ''} within {within_s:g} s, but {told}")

    async def call(self, *, within_s: float = 10) -> CallRecord:
        """The only call, once it is in the database."""
        (record,) = await self.calls(1, within_s=within_s)
        return record

    async def calls(self, number: int, *, within_s: float = 10) -> list[CallRecord]:
        """The finished calls, oldest first, once `number` are in the database."""
        return await saved_calls(self.database, number, within_s=within_s)

    async def ready(self, *, within_s: float = 10) -> None:
        """Wait until /readyz would say so. Raises ProcessFailed."""
        with trio.move_on_after(within_s):
            while any(self.node.readiness().values()):  # noqa: ASYNC110 - nobody tells
                await trio.sleep(POLL_S)
            return
        raise ProcessFailed(f"the node was not ready after {within_s:g} s: {self.node.readiness()}")

    async def not_ready(self, part: str, *, saying: str = "", within_s: float = 10) -> str:
        """Why `part` keeps the node from being ready, once it does for what is `saying` so. Raises ProcessFailed."""
        why: str | None = None
        with trio.move_on_after(within_s):
            while True:
                why = self.node.readiness()[part]
                if why is not None and saying in why:
                    return why
                await trio.sleep(POLL_S)
        raise ProcessFailed(f"{part} did not say {saying!r} within {within_s:g} s, but {why!r}")


async def saved_calls(database: Path, number: int, *, within_s: float = 10) -> list[CallRecord]:
    """The finished calls in a CRM, oldest first, once there are `number`. Raises ProcessFailed."""
    found: list[CallRecord] = []
    with trio.move_on_after(within_s), Store(f"sqlite:///{database}") as store:
        while True:
            found = [c for c in await trio.to_thread.run_sync(find_calls, store) if c.ended_at is not None]
            if len(found) >= number:
                return found[::-1]
            await trio.sleep(POLL_S)
    raise ProcessFailed(f"{len(found)} calls, and not {number}, were saved within {within_s:g} s")


def configure(
    place: TownBed,
    folder: Path,
    *,
    call: Mapping[str, Any] | None = None,
    ari: Mapping[str, Any] | None = None,
    push: Mapping[str, Any] | None = None,
    crm: Mapping[str, Any] | None = None,
    sos: Mapping[str, Any] | None = None,
    dispatch: Mapping[str, Mapping[str, Any]] | None = None,
    duty: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
) -> Config:
    """A node's settings for this bed, with its files in `folder`; the rest are changes to single ones.

    Each city's dispatch has the trunks that the bed's dialplan takes as well: "chel", "kop" and "default".
    """
    bed = place.bed
    ari_config = AriConfig(url=bed.ari_url, user=bed.ari_user, password=bed.ari_password, reconnect_max_s=0.5)
    return Config(
        node=NodeConfig(
            name="test",
            state_dir=str(folder),
            http=f"{HOST}:{bed.ports.take()}",
            kamailio=bed.kamailio_url,
        ),
        ari=attrs.evolve(ari_config, **(ari or {})),
        call=attrs.evolve(CallConfig(), **(call or {})),
        sos=attrs.evolve(SosConfig(pause_s=0.5, recordings=str(bed.recordings)), **(sos or {})),
        dispatch={
            name: attrs.evolve(each, **(dispatch or {}).get(name, {})) for name, each in dispatches().items()
        },
        duty=attrs.evolve(DutyConfig(), **(duty or {})),
        quality=attrs.evolve(
            QualityConfig(
                recordings=str(bed.recordings), idle_s=0.2, test_idle_s=0.2, answer_s=6.0, listen_s=3.0
            ),
            **(quality or {}),
        ),
        push=attrs.evolve(PushConfig(coalesce_ms=0), **(push or {})),
        crm=attrs.evolve(CrmConfig(url=f"sqlite:///{folder}/node.db"), **(crm or {})),
        journal=JournalConfig(flush_ms=20),
    )


def dispatches() -> dict[str, DispatchConfig]:
    """The town's dispatches, over the bed's trunks."""
    found = {}
    for name, city in (("chel", "Челябинск"), ("kop", "Копейск"), (DEFAULT, "")):
        number, trunks = SOS_CITIES[city]
        fias = city_fias(city) if city else ""
        found[name] = DispatchConfig(fias=fias, trunks=trunks, callers=(DISPATCHER,), reserve=(number,))
    return found


@asynccontextmanager
async def open_node(
    place: TownBed,
    folder: Path,
    *,
    changes: Iterable[str] = (),
    wait_ready: bool = True,
    **settings: Mapping[str, Any],
) -> AsyncIterator[RunningNode]:
    """Run a node until the block is left. `changes` are statements for its CRM; `settings` see `configure`."""
    database = folder / "node.db"
    if not database.exists():
        copy_database(place.database, database, changes)
    async with run_node(configure(place, folder, **settings), database) as running:
        if wait_ready:
            await running.ready()
        yield running


@asynccontextmanager
async def run_node(config: Config, database: Path) -> AsyncIterator[RunningNode]:
    """Run a node with these settings, whose CRM is `database`, until the block is left."""
    running = RunningNode(Node(config), database)
    running.node.journal.listen(lambda record, entry: running.entries.append((record, entry)))
    async with trio.open_nursery() as nursery:
        await nursery.start(running.node.run)
        yield running
        nursery.cancel_scope.cancel()


@define
class Visit:
    """A panel's call under way: `messages` so far, `result` once it is over."""

    sipp: Sipp
    _result: SippResult | None = None

    @property
    def messages(self) -> tuple[SipMessage, ...]:
        return self.sipp.messages

    @property
    def result(self) -> SippResult:
        if self._result is None:
            raise ProcessFailed("the panel's call is not over yet")
        return self._result


@asynccontextmanager
async def visiting(
    place: TownBed,
    panel: str,
    dialled: str,
    *,
    give_up_ms: int = 20_000,
    talk_ms: int = 300,
    media: Media = Media.AUDIO,
    media_port: int = 0,
) -> AsyncIterator[Visit]:
    """A SIPp panel calls once; leaving the block waits for the end of its call."""
    user = place.panel(panel)
    options = ("-m", "1", "-timeout", "60s")
    sipp = panel_sipp(
        place.bed,
        media=media,
        media_port=media_port,
        give_up_ms=give_up_ms,
        talk_ms=talk_ms,
        must_be_answered=False,
        options=options,
    )
    visit = Visit(sipp)

    async def call() -> None:
        visit._result = await sipp.run([(user.user, user.password, dialled)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        yield visit


def stamped(sipp: Sipp) -> list[tuple[float, SipMessage]]:
    """What a SIPp sent and got, each with its time [s of the day]."""
    log = sipp.folder / "messages.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    times = re.findall(
        r"^-{20,} \S+[T ](\d+):(\d+):([\d.]+)Z?\n(?:UDP|TCP) message", text, flags=re.MULTILINE
    )
    at = [int(hours) * 3600 + int(minutes) * 60 + float(seconds) for hours, minutes, seconds in times]
    return list(zip(at, parse_messages(text), strict=True))


def moment(sipp: Sipp, wanted: Callable[[SipMessage], bool]) -> float:
    """When the first such message went or came [s of the day]. Raises ProcessFailed."""
    for at, message in stamped(sipp):
        if wanted(message):
            return at
    raise ProcessFailed(f"no such message in {sipp.folder}/messages.log")


def legs(record: CallRecord) -> dict[str, LegRecord]:
    """The legs of a call's accounts, by account."""
    return {leg.account: leg for leg in record.legs if leg.role == "account"}


def kinds(record: CallRecord) -> list[EntryKind]:
    """What happened, in its order."""
    return [entry.kind for entry in record.entries]
