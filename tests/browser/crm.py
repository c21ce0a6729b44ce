"""The CRM at work for tests in a browser: `teledom crm` beside a node, a real Asterisk and Kamailio, over the demo town.

All of it lives in a thread of its own, once for the folder's tests; `Crm.do` runs something there. A test
that changes what others look at makes a thing of its own first, or puts it back. Who visits is an employee by his
`Role`, in either language, and is signed in by a cookie: few tests go through the sign-in page.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx
import trio
from attrs import define, field
from playwright.sync_api import Locator, Page, expect

from config import Config, WebConfig
from crm.desk.desk import Desk
from crm.desk.resource import Query
from crm.rights import EVERYWHERE, Reach, Right
from crm.sections import all_resources
from crm.staff.groups import create_group
from crm.staff.passwords import Passwords
from crm.staff.staff import create_employee
from crm.store import Store
from crm.town.housing import fill_housing
from crm.town.town import Town
from crm.who import COMMAND_LINE
from testbed.baresip import Baresip, open_baresip
from testbed.bed import open_bed
from testbed.browser import Pages
from testbed.crm_process import crm_child, new_secret_key, open_town_panels
from testbed.databases import write_town
from testbed.debs import Tree
from testbed.dispatch import open_dispatch
from testbed.gateway import PushGateway, open_gateway
from testbed.node_process import node_child
from testbed.panel_state import PanelState
from testbed.processes import HOST, Child
from testbed.town_bed import TownBed, configure

PANEL, FLAT = "500001", "1"  # whose first account has a phone that is on, and the second one that never is
PHONES = ("7351001", "7351003")
COMPANY_PANEL = "500005"
COMPANY, HOUSE = "УК Уют", "ул. Мира 1"  # whose manager sees this house alone
QUICK = Passwords(time_cost=1, memory_kib=8, lanes=1)
T = TypeVar("T")


class Role(Enum):
    """Who looks at the pages; the value begins his login."""

    ADMIN = "admin"
    MANAGER = "manager"  # of a company
    DISPATCHER = "dispatcher"
    CREW = "crew"  # connects flats


_WATCH = (Right.BOARD_VIEW, Right.SOS_VIEW, Right.CALLS_VIEW, Right.HOUSING_VIEW)
_CONNECT = (
    *(Right.HOUSING_VIEW, Right.HOUSING_EDIT, Right.PEOPLE_VIEW, Right.PEOPLE_EDIT),
    *(Right.DEVICES_VIEW, Right.DOORS_OPEN, Right.KEYS_VIEW, Right.KEYS_EDIT, Right.CALLS_MAKE),
)
RIGHTS = {
    Role.ADMIN: tuple(Right),
    Role.MANAGER: tuple(Right),  # he may do everything, with his house
    Role.DISPATCHER: _WATCH,
    Role.CREW: _CONNECT,
}


@define
class Crm:
    """What runs. `panel` is at PANEL, `phones` by account; `doors` are panels' own servers by SIP user."""

    url: str
    database: str
    secret_key: str = field(repr=False)
    password: str = field(repr=False)  # of all employees
    town: Town
    node: Child
    server: Child
    panel: Baresip
    phones: dict[str, Baresip]
    doors: dict[str, PanelState]
    _token: trio.lowlevel.TrioToken
    _sessions: dict[str, str] = field(factory=dict)

    def do(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run something in the thread where all of it lives."""
        return trio.from_thread.run(work, *arguments, trio_token=self._token)

    def login(self, role: Role, language: str = "ru") -> str:
        return f"{role.value}-{language[:2]}"

    def session(self, login: str) -> str:
        """A session's token of who has this login, the same for all tests."""
        if login not in self._sessions:
            with httpx.Client(base_url=self.url) as client:
                client.get("/sign-in")
                form = {"login": login, "password": self.password, "_csrf_token": client.cookies["csrftoken"]}
                answer = client.post("/sign-in", data=form)
                assert answer.status_code == 303, answer.text
                self._sessions[login] = client.cookies["teledom"]
        return self._sessions[login]

    def add_employee(self, login: str, rights: tuple[Right, ...], reach: Reach, language: str) -> None:
        """Another one, with the password that all have."""
        with Store(self.database) as store:
            _add_employee(store, login, rights, reach, language, self.password)

    def id_of(self, resource: str, **filters: str) -> int:
        """The only record that a list filtered so shows."""
        (id,) = self.ids(resource, **filters)
        return id

    def ids(self, resource: str, **filters: str) -> list[int]:
        """Those of all records that a list filtered so shows."""
        with Store(self.database) as store:
            desk = Desk(store, all_resources(), self.secret_key)
            every = desk.every(COMMAND_LINE, desk.resource(resource), Query(filters))
            return [row.id for row in every]

    def flat(self, panel: str, dialled: str) -> int:
        """A flat's id, by what a panel dials for it."""
        return self.town.panel(panel).dials[dialled].id

    def visitor(self, pages: Pages, role: Role = Role.ADMIN, language: str = "ru") -> Visitor:
        """A page of who is signed in as that."""
        token = self.session(self.login(role, language))
        pages.context.add_cookies([{"name": "teledom", "value": token, "url": self.url}])
        return Visitor(pages.page(), self.url)

    async def visit(self, *, answered: bool = True) -> None:
        """A visitor's call, from the button to its end: talked and let in, or nobody answers."""
        await self.ring()
        await trio.sleep(0.8)
        if answered:
            await self.answer()
            await self.phones[PHONES[0]].send_digits("5")
            await trio.sleep(0.8)
        await self.hang_up()
        await trio.sleep(0.3)  # or it was the panel's next call that ended this one

    async def press_sos(self) -> None:
        """The panel calls 112, which answers."""
        await self.panel.dial("112")
        await self.panel.wait_event("CALL_ESTABLISHED")

    async def ring(self) -> None:
        """The panel calls its flat, whose phone rings."""
        await self.panel.dial(FLAT)
        await self.phones[PHONES[0]].wait_event("CALL_INCOMING")

    async def answer(self) -> None:
        """The phone that rings is answered."""
        await self.phones[PHONES[0]].accept()
        await self.panel.wait_event("CALL_ESTABLISHED")

    async def hang_up(self) -> None:
        """The panel ends its call, and the node has heard of it."""
        await self.panel.hangup()
        await self.phones[PHONES[0]].wait_event("CALL_CLOSED")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The CRM's process stands still meanwhile."""
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server.pid, signal.SIGCONT)


@define
class Visitor:
    """One page of an employee's, by paths."""

    page: Page
    url: str

    def open(self, path: str, status: int = 200) -> Page:
        """Go there. Raises AssertionError: it is answered by something else."""
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == status, f"{path} is answered with {answer.status}"
        return self.page

    def path(self) -> str:
        return self.page.url.removeprefix(self.url)

    def menu(self) -> list[str]:
        """The paths that the menu of this page leads to."""
        links = self.page.locator("nav#menu a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        return [str(link) for link in links]

    def says(self, text: str) -> None:
        """The page's content says so, soon at least."""
        expect(self.page.locator("main")).to_contain_text(text)


@asynccontextmanager
async def open_crm(folder: Path, tree: Tree) -> AsyncIterator[Crm]:
    """Start all of it, with some calls in its history, and end it when left."""
    token, password = trio.lowlevel.current_trio_token(), secrets.token_hex(8)
    database = folder / "node.db"
    town = write_town(database)
    url, key = f"sqlite:///{database}", new_secret_key()
    _fill(url, key, password)
    async with AsyncExitStack() as stack:
        bed = await stack.enter_async_context(open_bed(folder / "bed", tree, crm_db=database, ring_ms=5000))
        place = TownBed(bed, town, database)
        push = await stack.enter_async_context(open_gateway(PushGateway()))
        config = _configure(place, folder, push, key)
        doors = await stack.enter_async_context(open_town_panels(url, key, town.panels))
        node, server = node_child(config, folder), crm_child(config, folder / "config.toml")
        async with trio.open_nursery() as starting:
            for child in (node, server):
                stack.push_async_callback(child.stop)
                starting.start_soon(child.start)
        panel = await stack.enter_async_context(open_baresip(bed, place.panel(PANEL)))
        phones = {
            user: await stack.enter_async_context(open_baresip(bed, place.account(user))) for user in PHONES
        }
        await stack.enter_async_context(open_dispatch(bed, "dispatch-1", talk_ms=60_000))
        address = f"http://{config.web.http}"
        crm = Crm(address, url, key, password, town, node, server, panel, phones, doors, token)
        await crm.press_sos()
        await panel.hangup()
        await crm.visit()
        await crm.visit(answered=False)
        yield crm


def _configure(place: TownBed, folder: Path, push: str, key: str) -> Config:
    crm = {"url": f"sqlite:///{place.database}", "secret_key": key, "fresh_s": 0.0}
    config = configure(place, folder, push={"url": push}, crm=crm, sos={"test_days": 0})
    web = WebConfig(
        http=f"{HOST}:{place.bed.ports.take()}",
        nodes=(f"http://{config.node.http}",),
        time_zone="Asia/Yekaterinburg",
        cookies="plain",
        proxies=(HOST,),  # so that a test can come from an address of its own
    )
    return attrs.evolve(config, web=web)


def _fill(url: str, key: str, password: str) -> None:
    """All flats of the houses, a company with one of them, and employees of every role in both languages."""
    with Store(url) as store:
        fill_housing(store)
        desk = Desk(store, all_resources(), key)
        companies, houses = desk.resource("companies"), desk.resource("houses")
        company = desk.create(COMMAND_LINE, companies, {"name": COMPANY, "active": True})
        house = next(row.id for row in desk.every(COMMAND_LINE, houses, Query()) if HOUSE in row.title)
        desk.update(COMMAND_LINE, houses, house, {"company_id": company})
        for role, rights in RIGHTS.items():
            reach = Reach(companies=frozenset({company})) if role is Role.MANAGER else EVERYWHERE
            for language in ("ru", "en"):
                _add_employee(store, f"{role.value}-{language}", rights, reach, language, password)


def _add_employee(
    store: Store, login: str, rights: tuple[Right, ...], reach: Reach, language: str, password: str
) -> None:
    now = time.time()
    group = create_group(store, COMMAND_LINE, f"group of {login}", rights, reach, now)
    name = {"ru": "Мария Тестова", "en": "Mary Test"}[language]
    create_employee(store, COMMAND_LINE, QUICK, login, name, password, [group], now, language=language)


def pick(field: Locator, typed: str, wanted: str = "") -> None:
    """Choose what a field that refers to a record suggests for what is typed: the first, or one that has `wanted`."""
    field.fill(typed)
    options = field.page.locator(f"#{field.get_attribute('list')} option")
    option = options.and_(field.page.locator(f'[value*="{wanted or typed}"]')).first
    option.wait_for(state="attached")
    field.fill(str(option.get_attribute("value")))
