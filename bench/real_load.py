"""A load on the testbed's real Asterisk and Kamailio: SIPp as panels and as phones.

One SIPp has the phones that answer, another those that only ring. A call is told by what the panel dialled
and by the account in the phone's Request-URI, so the times of its two INVITEs come out of SIPp's own short
logs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import Factory, define

from bench.houses import PASSWORD, BenchFlat
from bench.simulated_load import LoadResult
from testbed.bed import Bed, Credentials, Kind, open_bed
from testbed.debs import get_tree
from testbed.sipp import Sipp, SippResult, panel_sipp, register

SHORT = ("-trace_shortmsg", "-shortmessage_file", "short.log")
_RING_ONLY_MS = 120_000
_AT_ONCE = 1000  # accounts that one SIPp registers, within its ten seconds


@define
class RealLoad:
    """Runs SIPp's panels against a bed whose phones are up."""

    bed: Bed
    flats: list[BenchFlat]
    answer_s: float
    talk_s: float
    answering: Sipp
    ringing: Sipp
    under: Sequence[str] = ()
    _run: tuple[float, float, int] = (0.0, 1.0, 0)  # when this run began, its rate, its calls
    _panels: Sipp | None = None
    _result: SippResult | None = None
    _seen: dict[str, int] = Factory(dict)

    @property
    def ari_url(self) -> str:
        return self.bed.ari_url

    @property
    def ari_user(self) -> str:
        return self.bed.ari_user

    @property
    def ari_password(self) -> str:
        return self.bed.ari_password

    @property
    def asterisk_pid(self) -> int:
        return self.bed.asterisk.pid

    def over(self) -> int:
        """Calls of this run that are over, by the clock: SIPp keeps to its rate, and phones to their times."""
        began, rate, calls = self._run
        return min(calls, int((trio.current_time() - began - self.answer_s - self.talk_s) * rate))

    async def run(self, calls: int, rate: float) -> None:
        """`calls` presses at `rate`; over when SIPp is."""
        self._seen = {sipp.scenario + str(sipp.port): _count(sipp) for sipp in (self.answering, self.ringing)}
        tenths = max(1, math.ceil(rate * 0.1))
        options = ["-m", str(calls), "-r", str(tenths), "-rp", str(round(1000 * tenths / rate)), "-l", "3000"]
        limit_s = calls / rate + self.talk_s + 60
        self._panels = panel_sipp(
            self.bed,
            talk_ms=int(self.talk_s * 1000) + 10_000,
            give_up_ms=20_000,
            options=[*options, "-timeout", f"{limit_s:.0f}s", *SHORT],
        )
        self._panels.under = self.under
        self._run = trio.current_time(), rate, calls
        rows = [(flat.panel, PASSWORD, flat.dialled) for flat in self.flats]
        self._result = await self._panels.run(rows, trace=False)

    def result(self) -> LoadResult:
        assert self._panels is not None
        assert self._result is not None
        pressed = invites(self._panels, sent=True)
        rung: dict[str, list[float]] = {}
        for sipp in (self.answering, self.ringing):
            skip = self._seen[sipp.scenario + str(sipp.port)]
            rung |= invites(sipp, sent=False, skip=skip)
        times_ms, unrung = [], 0
        for flat in self.flats:
            for nth, at in enumerate(pressed.get(flat.dialled, [])):
                firsts = [rung[a][nth] for a in flat.accounts if nth < len(rung.get(a, []))]
                unrung += len(firsts) < len(flat.accounts)
                if firsts:
                    times_ms.append((min(firsts) - at) * 1000)
        problems = {"some account was not rung": unrung} if unrung else {}
        if self._result.failed:
            problems["the panel's SIPp counts them as failed"] = self._result.failed
        return LoadResult(max(0, self._result.succeeded - unrung), times_ms, problems)


@asynccontextmanager
async def open_real(
    folder: Path, flats: list[BenchFlat], *, answer_s: float, talk_s: float, under: Sequence[str] = ()
) -> AsyncIterator[RealLoad]:
    """Asterisk, Kamailio and the phones, registered; `under` stands before SIPp's commands (nice).
    Raises TestbedUnavailable, ProcessFailed.
    """
    tree = get_tree()
    async with open_bed(folder / "bed", tree, crm_db=folder / "crm.db") as bed:
        answering = _phone(bed, round(answer_s * 1000), round(talk_s * 1000), under)
        ringing = _phone(bed, _RING_ONLY_MS, 1000, under)
        async with answering.prepare(server=True, trace=False), ringing.prepare(server=True, trace=False):
            first = [Credentials(flat.accounts[0], PASSWORD, Kind.ACCOUNT) for flat in flats]
            rest = [Credentials(a, PASSWORD, Kind.ACCOUNT) for flat in flats for a in flat.accounts[1:]]
            for users, phone in ((first, answering), (rest, ringing)):
                for start in range(0, len(users), _AT_ONCE):
                    await register(bed, users[start : start + _AT_ONCE], phone.port, expires_s=3600)
            yield RealLoad(bed, flats, answer_s, talk_s, answering, ringing, under)


def _phone(bed: Bed, ring_ms: int, talk_ms: int, under: Sequence[str]) -> Sipp:
    sdp = (Path(__file__).resolve().parent.parent / "testbed/scenarios/audio.sdp").read_text().strip()
    places = {
        "RING_MS": str(ring_ms),
        "TALK_MS": str(talk_ms),
        "CODE": "0",
        "SDP": sdp.replace("\n", "\n      "),
    }
    return Sipp(bed, "phone", places, SHORT, under=under)


def _lines(sipp: Sipp) -> list[str]:
    log = sipp.folder / "short.log"
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def _count(sipp: Sipp) -> int:
    return len(_lines(sipp))


def invites(sipp: Sipp, *, sent: bool, skip: int = 0) -> dict[str, list[float]]:
    """When INVITEs to each user went out or came in, in seconds since the epoch; `skip` so many lines."""
    found: dict[str, list[float]] = defaultdict(list)
    calls: set[str] = set()  # an INVITE may be sent twice
    for line in _lines(sipp)[skip:]:
        fields = line.split("\t")
        if len(fields) < 7 or not fields[6].startswith("INVITE sip:") or fields[3] != ("S" if sent else "R"):
            continue
        at, call_id, sequence = float(fields[2]), fields[4], fields[5]
        if call_id in calls or (sent and sequence != "CSeq:2 INVITE"):  # a panel's first has no password yet
            continue
        calls.add(call_id)
        found[fields[6].removeprefix("INVITE sip:").partition("@")[0]].append(at)
    return found
