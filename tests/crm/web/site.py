"""The CRM's application in a test's own process: browsers that are signed in, and programs with tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import httpx
from attrs import define, field
from cryptography.fernet import Fernet
from litestar import Litestar
from litestar.stores.memory import MemoryStore
from litestar.testing import TestClient

from actors.doors import DoorNotOpened
from actors.panel_says import PanelNotAsked
from config import WebConfig
from crm.app import make_app
from crm.desk.desk import Desk
from crm.rights import EVERYWHERE, Reach, Right
from crm.sections import all_resources
from crm.site import Site
from crm.staff.groups import create_group
from crm.staff.passwords import Passwords
from crm.staff.staff import create_admin, create_employee
from crm.staff.tokens import create_token
from crm.store import Store
from crm.who import COMMAND_LINE
from nodes import NodeError

PASSWORD = "a long enough password"
CHEAP = Passwords(time_cost=1, memory_kib=8, lanes=1)
KEY = Fernet.generate_key().decode()
FAILURES: dict[type[Exception], int] = {NodeError: 503, DoorNotOpened: 502, PanelNotAsked: 502}
NOWHERE = Store("sqlite:////nonexistent/crm.db")  # what is asked of it fails


@define
class Browser:
    """A client with cookies. What it is answered it keeps in `last`; forms are posted with the token against forgery."""

    client: TestClient[Litestar]
    last: httpx.Response | None = None

    def get(self, path: str, **headers: str) -> httpx.Response:
        self.last = self.client.get(path, headers=headers, follow_redirects=False)
        return self.last

    def post(self, path: str, data: Mapping[str, Any] | None = None, **headers: str) -> httpx.Response:
        cookies = self.client.cookies
        token = cookies.get("csrftoken", "") or cookies.get("__Host-csrftoken", "")
        body = {**(data or {}), "_csrf_token": token}
        self.last = self.client.post(path, data=body, headers=headers, follow_redirects=False)
        return self.last

    def sign_in(self, login: str, password: str = PASSWORD) -> httpx.Response:
        self.get("/sign-in")
        return self.post("/sign-in", {"login": login, "password": password, "next": "/"})

    def text(self, path: str) -> str:
        """What a page says, without its tags. Raises AssertionError: it is no page."""
        response = self.get(path)
        assert response.status_code == 200, (path, response.status_code, response.text[-500:])
        return plain(response.text)


@define
class TestSite:
    """The application over `store`, with an administrator "admin"; all its clients end with it."""

    __test__ = False

    store: Store
    parts: dict[str, Any] = field(factory=dict)
    config: WebConfig = field(factory=lambda: WebConfig(cookies="plain", time_zone="Asia/Yekaterinburg"))
    app: Litestar = field(init=False)
    _stack: ExitStack = field(factory=ExitStack)

    def __attrs_post_init__(self) -> None:
        parts = {"passwords": CHEAP, **self.parts}
        self.app = _made(self.config)
        self.app.state.site = Site(
            Desk(self.store, all_resources(), KEY), self.config, parts, tuple(FAILURES)
        )
        for name in ("api_rate", "sign_in_rate"):
            self.app.stores.register(name, MemoryStore(), allow_override=True)
        create_admin(self.store, CHEAP, "admin", "Админ", PASSWORD, time.time())

    def browser(self, login: str = "admin") -> Browser:
        """A browser in which `login` is signed in; "" for nobody."""
        browser = Browser(self._stack.enter_context(_open_client(self.app)))
        if login:
            assert browser.sign_in(login).status_code == 303
        return browser

    def employee(
        self,
        login: str,
        rights: Iterable[Right] = tuple(Right),
        reach: Reach = EVERYWHERE,
        language: str = "en",
    ) -> int:
        """An employee whose one group gives these rights; his id."""
        now = time.time()
        group = create_group(self.store, COMMAND_LINE, f"group of {login}", rights, reach, now)
        name = login.title()
        return create_employee(
            self.store, COMMAND_LINE, CHEAP, login, name, PASSWORD, [group], now, language=language
        )

    def token(
        self, rights: Iterable[Right] = tuple(Right), reach: Reach = EVERYWHERE
    ) -> TestClient[Litestar]:
        """A program's client, with a token that has these rights."""
        now = time.time()
        group = None
        if not reach.everywhere:
            group = create_group(self.store, COMMAND_LINE, f"group {now} {id(reach)}", rights, reach, now)
        new = create_token(self.store, COMMAND_LINE, "a program", rights, group, now + 3600, now)
        client = self._stack.enter_context(_open_client(self.app))
        client.headers["Authorization"] = f"Bearer {new.secret}"
        return client

    def close(self) -> None:
        self._stack.close()


@cache
def _made(config: WebConfig) -> Litestar:
    """The application with these settings: making one takes longer than most tests. Its site is the test's own."""
    return make_app(NOWHERE, config, secret_key=KEY, failures=FAILURES)


@contextmanager
def _open_client(app: Litestar) -> Iterator[TestClient[Litestar]]:
    # Each client starts the application once more, and its emitter of events knows only the last start: without this
    # the others' streams stay open, which is a warning, and so an error, in whatever test runs by then.
    emitter: Any = app.event_emitter
    outer = emitter._exit_stack, emitter._send_stream
    with TestClient(app, backend="trio") as client:
        yield client
    emitter._exit_stack, emitter._send_stream = outer
    left: Any = client.lifespan_handler.stream_receive
    left.send_stream.close()
    left.receive_stream.close()


@contextmanager
def open_site(store: Store, **parts: Any) -> Iterator[TestSite]:
    """The application; `parts` are what it reaches beyond the database."""
    site = TestSite(store, parts)
    try:
        yield site
    finally:
        site.close()


def plain(html: str) -> str:
    """A page's text, in one line."""
    bare = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare)).strip()
