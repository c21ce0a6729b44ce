"""`teledom crm` as a process of its own beside a town, and the town's panels as they answer over their own HTTP.

Whoever starts one makes the key that passwords of panels are sealed with, and an administrator with a random password:
there is no other one.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import sqlalchemy as sa
from cryptography.fernet import Fernet

from config import SECRET_KEY, Config
from crm.devices.access import set_panel_access
from crm.model import Domophone
from crm.staff.passwords import Passwords
from crm.staff.staff import create_admin
from crm.store import Store
from crm.town.town import TownPanel
from crm.who import COMMAND_LINE
from telephony.panels.interface import LineState
from testbed.panel_state import PanelState
from testbed.panels import open_panel_server
from testbed.processes import Child
from testbed.town_bed import TOP


def new_secret_key() -> str:
    """A key for TELEDOM_SECRET_KEY."""
    return Fernet.generate_key().decode()


def add_admin(database: str, login: str, name: str) -> str:
    """Make an employee who may do everything in the CRM at this URL; his password. Raises Refused, StoreError."""
    password = secrets.token_hex(8)
    with Store(database) as store:
        create_admin(store, Passwords(), login, name, password, time.time())
    return password


def crm_child(config: Config, file: Path) -> Child:
    """The CRM with these settings, which stand in `file` as well; it is ready when it answers."""

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=1, trust_env=False) as client:
                return (await client.get(f"http://{config.web.http}/healthz")).status_code == 200
        except httpx.HTTPError:
            return False

    return Child(
        "the CRM",
        [sys.executable, str(TOP / "teledom.py"), "crm", "--config", str(file.absolute())],
        log=file.parent / "crm.log",
        ready=ready,
        ready_s=30.0,
        cwd=file.parent,
        env={SECRET_KEY: config.crm.secret_key},
    )


@asynccontextmanager
async def open_town_panels(
    database: str, secret_key: str, panels: Iterable[TownPanel]
) -> AsyncIterator[dict[str, PanelState]]:
    """Serve these panels' own HTTP until the block is left, and have the CRM know where; each by its SIP user."""
    states: dict[str, PanelState] = {}
    async with AsyncExitStack() as servers:
        with Store(database) as store:
            with store.reading() as connection:
                known = connection.execute(sa.select(Domophone.sip_user, Domophone.id)).all()
            ids = {user: id for user, id in known}
            for panel in panels:
                state = PanelState(panel.vendor.value, password=secrets.token_hex(8))
                state.lines = {dialled: LineState.ON_HOOK for dialled in panel.dials if dialled.isdecimal()}
                url = await servers.enter_async_context(open_panel_server(state))
                access = {"url": url, "user": state.user, "password": state.password}
                id = ids[panel.sip_user]
                set_panel_access(store, secret_key, COMMAND_LINE, id, time.time(), **access)
                states[panel.sip_user] = state
        yield states
