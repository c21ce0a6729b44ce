"""What a panel itself says before one of its flats is called: whether it is idle, and how the flat's line is.

Neither is needed to call: a panel that cannot be asked is called all the same, and the log says once why it was not.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import trio
from attrs import frozen

from actors.panel_access import unsealed
from crm.devices.panel_access import StoredAccess, find_access, pin_certificate
from crm.sealed import SealError
from crm.store import Store, StoreError
from crm.values.quality import Task
from logs import Once, get_logger
from telephony.panels import open_panel
from telephony.panels.interface import (
    AnswerMeans,
    Idle,
    LineTest,
    PanelBusy,
    PanelCannot,
    PanelError,
)

_once = Once(get_logger("quality"))


class PanelInCall(Exception):
    """The panel says that it has a call."""


@frozen
class Look:
    """`line` None: not tested."""

    line: LineTest | None = None
    answer_means: AnswerMeans = AnswerMeans.UNKNOWN


class PanelLooks:
    """`deadline_s` is for one question; `secret_key` opens the passwords of panels; `ours` are hosts that no panel is."""

    def __init__(self, store: Store, secret_key: str, deadline_s: float, ours: Collection[str] = ()) -> None:
        self._ours = ours
        self._store = store
        self._secret_key = secret_key
        self._deadline_s = deadline_s

    async def look(self, task: Task) -> Look:
        """Ask the panel of a task. Raises PanelInCall."""
        try:
            access = await trio.to_thread.run_sync(partial(find_access, self._store, task.domophone))
            if access is None or not access.url:
                return Look()
            look = await self._ask(task, access)
        except (PanelError, SealError, StoreError, ValueError) as error:
            kind = type(error).__name__
            _once.say(
                task.domophone, kind, f"a panel is called without a line test: {error}", panel=task.panel
            )
            return Look()
        _once.over(task.domophone, "a panel can be asked again")
        return look

    async def _ask(self, task: Task, access: StoredAccess) -> Look:
        known = unsealed(access, self._secret_key)
        pins: list[str] = []
        try:
            connecting = open_panel(known, deadline_s=self._deadline_s, on_pin=pins.append, ours=self._ours)
            async with connecting as panel:
                if await panel.idle() is Idle.NO:
                    raise PanelInCall
                line = await panel.line_test(task.dialled) if panel.has_line_test else None
                return Look(line, panel.answer_means)
        except PanelBusy:
            raise PanelInCall from None
        except PanelCannot:
            return Look()
        finally:
            if pins:
                await trio.to_thread.run_sync(partial(pin_certificate, self._store, task.domophone, pins[0]))
