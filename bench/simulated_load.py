"""A load on the simulated Asterisk, which runs as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import Factory, define, frozen

from bench.houses import BenchFlat
from testbed.processes import Child

TOP = Path(__file__).resolve().parent.parent


@frozen
class LoadResult:
    """How a run went: `to_phone_ms` from each panel's INVITE to the first of a phone."""

    ok: int
    to_phone_ms: list[float]
    problems: dict[str, int]


@define
class SimulatedLoad:
    """Presses panels over the control path."""

    ari_url: str
    asterisk_pid: int
    flats: list[BenchFlat]
    answer_s: float
    talk_s: float
    ari_user: str = "teledom"
    ari_password: str = "secret"
    _last: dict[str, Any] = Factory(dict)

    def over(self) -> int:
        """Calls of this run that have gone well and are over."""
        return int(self._last.get("ok", 0))

    async def run(self, calls: int, rate: float) -> None:
        control = self.ari_url.removesuffix("/ari") + "/sim"
        visits = [{"panel": f.panel, "dialled": f.dialled, "accounts": list(f.accounts)} for f in self.flats]
        spec = {
            "calls": calls,
            "rate": rate,
            "visits": visits,
            "answer_s": self.answer_s,
            "talk_s": self.talk_s,
        }
        async with httpx.AsyncClient(timeout=10) as client:
            (await client.post(f"{control}/load", json=spec)).raise_for_status()
            while True:
                await trio.sleep(0.5)
                self._last = (await client.get(f"{control}/result")).raise_for_status().json()
                if self._last["finished"]:
                    break
            times = (await client.get(f"{control}/times")).raise_for_status().json()
        self._last["times"] = times

    def result(self) -> LoadResult:
        return LoadResult(self._last["ok"], self._last["times"], self._last["problems"])


@asynccontextmanager
async def open_simulated_process(
    folder: Path, flats: list[BenchFlat], *, answer_s: float, talk_s: float
) -> AsyncIterator[SimulatedLoad]:
    log = folder / "simulated.log"

    async def ready() -> bool:
        return "ari=" in log.read_text()

    child = Child(
        "the simulated Asterisk",
        [sys.executable, "-m", "testbed.simulated", "--life", "3600"],
        log=log,
        ready=ready,
        cwd=TOP,
    )
    async with child:
        [line] = [line for line in child.log_lines() if line.startswith("ari=")]
        yield SimulatedLoad(line.removeprefix("ari="), child.pid, flats, answer_s, talk_s)
