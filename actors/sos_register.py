"""This node's copy of what 112 needs to know of every panel: in memory, in the node's file, and from the database anew.

A 112 call asks the copy, and so waits for no database. `run` reads the panels in portions, over and over; a panel that is
not in the copy yet is asked for by itself. While the database is away the copy stays what it is.
"""

from __future__ import annotations

import trio
from attrs import define

from actors.local_file import FILE_ERRORS
from actors.sos_file import Keep, Row, SosFile
from crm.sos.panels import SosPanel, read_panel, read_panels
from crm.store import Store, StoreError
from crm.values.sos import same_number
from logs import Once, get_logger

PORTION = 200  # panels: some milliseconds of a thread, in which calls go on
PAUSE_S = 0.05
RETRY_S = 5.0
FILE_S = 5.0

log = get_logger("sos")


@define
class _Known:
    panel: SosPanel
    round: int  # in which it was seen last


class SosRegister:
    """The actor. `panel`, `find` and `owner` may be asked by anybody on Trio's thread."""

    def __init__(self, store: Store, file: SosFile, *, refresh_s: float) -> None:
        self._store = store
        self._file = file
        self._refresh_s = refresh_s
        self._limiter = trio.CapacityLimiter(2)
        self._once = Once(log)
        # All state, changed by `run` and `find`, never across an await:
        self._panels: dict[str, _Known] = {}  # by SIP user
        self._owners: dict[str, str] = {}  # numbers that panels have of their own: the panel's SIP user
        self._round = 0

    def __len__(self) -> int:
        return len(self._panels)

    def panel(self, sip_user: str) -> SosPanel | None:
        """The panel as the copy has it."""
        known = self._panels.get(sip_user)
        return known.panel if known is not None else None

    def panels(self) -> list[SosPanel]:
        return [known.panel for known in self._panels.values()]

    def area(self, fias: str) -> tuple[str, str]:
        """Region and city of a FIAS id, as its panels have them; "" for what nobody knows."""
        panels = (known.panel for known in self._panels.values())
        return next(((each.region, each.city) for each in panels if fias and each.fias == fias), ("", ""))

    def owner(self, number: str) -> SosPanel | None:
        """The panel whose own number this is."""
        sip_user = self._owners.get(same_number(number))
        return self.panel(sip_user) if sip_user is not None else None

    async def find(self, sip_user: str, deadline_s: float) -> SosPanel | None:
        """The panel, from the database if the copy does not have it and that answers in time."""
        found = self.panel(sip_user)
        if found is not None:
            return found
        with trio.move_on_after(deadline_s):
            try:
                found = await trio.to_thread.run_sync(
                    self._ask, sip_user, limiter=self._limiter, abandon_on_cancel=True
                )
            except StoreError as error:
                log.warning(
                    "a panel is not in the copy, and the database is away", panel=sip_user, why=str(error)
                )
        if found is not None:
            self._take([found])
        return found

    def _ask(self, sip_user: str) -> SosPanel | None:
        with self._store.reading() as connection:
            return read_panel(connection, sip_user)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the copy, until cancelled; ready once what was kept on disk is in memory."""
        with trio.move_on_after(FILE_S):
            try:
                kept = await self._file.read(Keep.PANEL, SosPanel)
                self._take([panel for panel in kept.values() if panel.sip_user not in self._panels])
            except FILE_ERRORS as error:
                log.error("the copy of panels cannot be read", file=str(self._file.path), why=str(error))
        task_status.started()
        while True:
            try:
                await self._go_round()
                self._once.over("copy", "the panels' copy is up to date again")
                pause_s = self._refresh_s
            except StoreError as error:
                self._once.say("copy", type(error).__name__, f"the panels' copy stays as it is: {error}")
                pause_s = RETRY_S
            except FILE_ERRORS as error:
                self._once.say("copy", type(error).__name__, f"the panels' copy cannot be kept: {error}")
                pause_s = RETRY_S
            await trio.sleep(pause_s)

    async def _go_round(self) -> None:
        """Read all panels; what is new goes to disk, what is gone goes."""
        self._round += 1
        after = 0
        while True:
            after, panels = await trio.to_thread.run_sync(
                self._portion, after, limiter=self._limiter, abandon_on_cancel=True
            )
            if after < 0:
                break
            await self._keep(self._take(panels), [])
            await trio.sleep(PAUSE_S)
        gone = [user for user, known in self._panels.items() if known.round < self._round]
        for sip_user in gone:
            self._drop(sip_user)
        await self._keep([], gone)

    def _portion(self, after: int) -> tuple[int, list[SosPanel]]:
        """In a worker thread. -1: there are no more."""
        with self._store.reading() as connection:
            last, panels = read_panels(connection, after, PORTION)
            return (last, panels) if last > after else (-1, [])

    def _take(self, panels: list[SosPanel]) -> list[SosPanel]:
        """Into memory; those that are new or changed."""
        changed = []
        for panel in panels:
            known = self._panels.get(panel.sip_user)
            if known is not None and known.panel == panel:
                known.round = self._round
                continue
            if known is not None:
                self._drop(panel.sip_user)
            self._panels[panel.sip_user] = _Known(panel, self._round)
            if panel.own_number:
                self._owners[same_number(panel.own_number)] = panel.sip_user
            changed.append(panel)
        return changed

    def _drop(self, sip_user: str) -> None:
        known = self._panels.pop(sip_user)
        if known.panel.own_number:
            self._owners.pop(same_number(known.panel.own_number), None)

    async def _keep(self, changed: list[SosPanel], gone: list[str]) -> None:
        if changed or gone:
            rows: list[Row] = [(Keep.PANEL, panel.sip_user, panel) for panel in changed]
            await self._file.put(rows, [(Keep.PANEL, sip_user) for sip_user in gone])
