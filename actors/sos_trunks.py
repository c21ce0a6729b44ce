"""The trunks to the dispatches: which are there, which failed lately, which take no location.

`run` asks Asterisk for each trunk's state, which follows its OPTIONS; calls tell what became of theirs. A trunk that is
known to fail is tried last, never left out. What is wrong with one is an alarm until it works again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import trio
from attrs import define

from actors.duty_desk import Alarm, DutyDesk
from actors.local_file import FILE_ERRORS
from actors.sos_file import Keep, SosFile
from config import DispatchConfig, SosConfig
from logs import get_logger
from said import Said, Says, said
from telephony.ari.client import Ari
from telephony.ari.control import EndpointState
from telephony.ari.errors import AriError

LOOK_S = 5.0
FILE_S = 2.0

log = get_logger("sos")


@define
class _Trunk:
    state: EndpointState = EndpointState.UNKNOWN
    failed_at: float = -math.inf  # Trio's clock


class Trunks:
    """The actor. All but `run` is for calls, and never waits for Asterisk."""

    def __init__(
        self,
        config: SosConfig,
        dispatches: Mapping[str, DispatchConfig],
        ari: Ari,
        file: SosFile,
        desk: DutyDesk,
    ) -> None:
        self._again_s = config.trunk_again_s
        self._ari = ari
        self._file = file
        self._desk = desk
        # All state, changed on Trio's thread by `run` and by calls, never across an await:
        self._trunks = {trunk: _Trunk() for each in dispatches.values() for trunk in each.trunks}
        self._plain = {trunk for each in dispatches.values() for trunk in each.plain_trunks}

    def order(self, trunks: Sequence[str]) -> list[str]:
        """The trunks as they are to be tried: those that are not there, or failed lately, behind the others."""
        return sorted(trunks, key=self._is_down)

    def _is_down(self, name: str) -> bool:
        trunk = self._trunks.get(name)
        if trunk is None:
            return False
        gone = trunk.state in (EndpointState.OFFLINE, EndpointState.MISSING)
        return gone or trio.current_time() - trunk.failed_at < self._again_s

    def takes_location(self, name: str) -> bool:
        return name not in self._plain

    async def refuses_location(self, name: str) -> None:
        """It took a call only without a location: from now on it is sent none."""
        if name in self._plain:
            return
        self._plain.add(name)
        log.warning("a trunk takes no location: put it into plain_trunks", trunk=name)
        with trio.move_on_after(FILE_S):
            try:
                await self._file.put([(Keep.PLAIN_TRUNK, name, time.time())])
            except FILE_ERRORS as error:
                log.error(
                    "it could not be remembered that a trunk takes no location", trunk=name, why=str(error)
                )

    def failed(self, name: str, why: Said) -> None:
        """A call could not be made over it."""
        trunk = self._trunks.setdefault(name, _Trunk())
        trunk.failed_at = trio.current_time()
        self._desk.alarm(Alarm.TRUNK_DOWN, name, why)

    def worked(self, name: str) -> None:
        """Somebody is behind it."""
        trunk = self._trunks.setdefault(name, _Trunk())
        trunk.failed_at = -math.inf
        self._desk.over(Alarm.TRUNK_DOWN, name)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at the trunks until cancelled; ready once it is known which take no location."""
        with trio.move_on_after(FILE_S):
            try:
                self._plain |= set(await self._file.read(Keep.PLAIN_TRUNK, float))
            except FILE_ERRORS as error:
                log.error("which trunks take no location cannot be read", why=str(error))
        task_status.started()
        while True:
            for name in self._trunks:
                try:
                    self._seen(name, await self._ari.control.endpoint_state(name))
                except AriError:
                    break  # said by who keeps the connection
            await trio.sleep(LOOK_S)

    def _seen(self, name: str, state: EndpointState) -> None:
        trunk = self._trunks[name]
        before, trunk.state = trunk.state, state
        match state:
            case EndpointState.MISSING:
                self._desk.alarm(Alarm.TRUNK_DOWN, name, said(Says.TRUNK_MISSING), another=False)
            case EndpointState.OFFLINE:
                self._desk.alarm(Alarm.TRUNK_DOWN, name, said(Says.TRUNK_OFFLINE), another=False)
            case EndpointState.ONLINE if (
                before is not state and trio.current_time() - trunk.failed_at >= self._again_s
            ):
                self._desk.over(Alarm.TRUNK_DOWN, name)
            case _ if trunk.failed_at > -math.inf and trio.current_time() - trunk.failed_at >= self._again_s:
                trunk.failed_at = -math.inf
                self._desk.over(Alarm.TRUNK_DOWN, name, "it has not failed for a while")
            case _:
                pass
