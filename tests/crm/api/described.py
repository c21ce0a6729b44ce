"""The API's description, and the demo town's API as Schemathesis asks it: in this process, without a network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
import trio
from attrs import frozen
from litestar import Litestar
from litestar.testing import TestClient
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from actors.panel_says import PanelSays
from config import BillingConfig, CodesConfig, load
from crm.companies.chores import Chores
from crm.imports.worker import ImportWorker
from crm.rights import Reach, Right
from crm.staff.groups import create_group
from crm.staff.tokens import create_token
from crm.store import Store
from crm.town.town import fill
from crm.who import COMMAND_LINE, Who
from live import Counts, LiveBoard, PanelLock
from telephony.panels.interface import Idle, Registration
from telephony.registrations import SipRegistered, SipRegistration, SipState
from tests.crm.web.recorded import RecordedNodes
from tests.crm.web.site import KEY, TestSite, open_site

ADDRESS = "http://teledom.test"
QUIET = LiveBoard(at=0.0, calls_per_s=0.0, series=(0,) * 60, now=Counts(), nodes=(), alarms=(), calls=())


class Boards:
    """Quiet ones, for ever."""

    async def __anext__(self) -> LiveBoard:
        await trio.lowlevel.checkpoint()
        return QUIET


@frozen
class StillNodes(RecordedNodes):
    """Nodes on which nothing goes on."""

    @contextmanager
    def subscribe(self) -> Iterator[Boards]:
        yield Boards()

    async def lock_of(self, sip_user: str) -> PanelLock:
        return PanelLock(panel=sip_user)

    async def registration_of(self, sip_user: str) -> SipRegistration:
        return SipRegistration(panel=sip_user, state=SipState.NOT_REGISTERED)

    async def registered_of(self, sip_users: Sequence[str]) -> SipRegistered:
        return SipRegistered(state=SipState.REGISTERED, registered=tuple(sip_users[1:]))

    async def ring(self, flat_id: int, who: str) -> str:
        return f"{flat_id:016x}"


class OpenDoors:
    """Doors that open at once, and panels that answer."""

    async def open_door(self, domophone_id: int, door: int, who: Who) -> None:
        await trio.lowlevel.checkpoint()

    async def open_channel(self, channel_id: int, who: Who) -> None:
        await trio.lowlevel.checkpoint()

    async def ask(self, domophone_id: int, who: Who) -> PanelSays:
        await trio.lowlevel.checkpoint()
        return PanelSays(Registration.REGISTERED, Idle.NOT_TOLD)


class InProcess(BaseAdapter):
    """How requests' sessions reach an application in this process."""

    def __init__(self, client: TestClient[Litestar]) -> None:
        super().__init__()
        self.client = client

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        body = request.body or b""
        assert isinstance(body, str | bytes), "a body is sent as a whole"
        answer = self.client.request(
            request.method or "GET",
            request.url or "/",
            content=body,
            headers=[(_bytes(name), _bytes(value)) for name, value in request.headers.items()],
            follow_redirects=False,
        )
        found = requests.Response()
        found.status_code, found._content = answer.status_code, answer.content
        found.headers = CaseInsensitiveDict(answer.headers)
        found.request, found.url, found.reason = request, request.url or "", answer.reason_phrase
        found.elapsed = timedelta(0)
        found.raw = HTTPResponse(b"", dict(answer.headers), answer.status_code, version=11)
        return found

    def close(self) -> None:
        pass


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@contextmanager
def open_town(store: Store, folder: Path) -> Iterator[TestSite]:
    """The application over the demo town, with all that it reaches beyond the database."""
    fill(store)
    config = load(Path(__file__).parents[3] / "config.toml", {})
    with open_site(
        store,
        nodes=StillNodes({}),
        doors=OpenDoors(),
        chores=Chores(store, CodesConfig(), BillingConfig()),
        settings=config,
        quality=config.quality,
        imports=ImportWorker(store, "", KEY, folder),
    ) as site:
        yield site


def new_group(store: Store, reach: Reach) -> int | None:
    """A group with all rights within `reach`; None: they hold everywhere."""
    if reach.everywhere:
        return None
    return create_group(store, COMMAND_LINE, "bounded", Right, reach, time.time())


def new_token(store: Store, group: int | None = None) -> str:
    """A program's token, with all rights within a group's reach."""
    now = time.time()
    return create_token(store, COMMAND_LINE, "a program", Right, group, now + 3600, now).secret
