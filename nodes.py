"""The nodes as the CRM sees them: one live board of all, and what one may ask of them. A client of node_api.py.

`Nodes` owns the connections and what each node said last. While somebody listens every node is asked by a task of its
own, so that one that hangs holds up nobody; while nobody does, none is. A listener that is slow gets the newest board,
and never those between. All of it is for one Trio thread.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import trio
from attrs import define, evolve, field, frozen

from live import CALLS, Heard, LiveBoard, LiveNode, PanelLock, merged
from logs import Once, get_logger
from telephony.registrations import ASKED_MAX, SipRegistered, SipRegistration, SipState, one_of, together

EVERY_S = 0.5
DEADLINE_S = 2.0
GATHER_S = 0.05  # what answers of several nodes are waited for before they are merged
NO_NODE = "no node is set"
MANY_S = 10.0  # for which panels' registrations are asked for
TOO_SLOW = f"no answer within {MANY_S:g} s"
PASSED_ON = ("content-type", "content-length", "content-range", "accept-ranges", "cache-control")

log = get_logger("nodes")
T = TypeVar("T")
_node = msgspec.json.Decoder(LiveNode).decode
_lock = msgspec.json.Decoder(PanelLock).decode
_registration = msgspec.json.Decoder(SipRegistration).decode
_registered = msgspec.json.Decoder(SipRegistered).decode


class NodeError(Exception):
    """A node was asked for something, and it did not come; the message says why."""


class NodeAway(NodeError):
    """No node answers."""


class NodeRefused(NodeError):
    """A node answers, and says no. `status` is HTTP's."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@frozen
class _Ringing:
    call_id: str


@frozen
class _Problem:
    detail: str = ""


@frozen
class Recording:
    """A file as it comes from a node: HTTP's status (200, 206, 416), the headers to pass on, and its bytes."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


@define(eq=False)
class Listener:
    """Boards as they come, the newest only: `with nodes.subscribe() as boards: async for board in boards:`."""

    _leave: Callable[[Listener], None]
    _newest: LiveBoard | None = field(default=None, init=False)
    _there: trio.Event = field(factory=trio.Event, init=False)

    def put(self, board: LiveBoard) -> None:
        """There is a newer board; `Nodes` calls it."""
        self._newest = board
        self._there.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LiveBoard:
        await self._there.wait()
        self._there = trio.Event()
        assert self._newest is not None
        return self._newest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(self)


class Nodes:
    """All nodes, by their URLs ("http://127.0.0.1:8089"). `run` must be running for whatever is asked."""

    def __init__(
        self,
        urls: Sequence[str],
        token: str = "",
        *,
        calls: int = CALLS,
        every_s: float = EVERY_S,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._urls = tuple(dict.fromkeys(url.rstrip("/") for url in urls))
        self._headers = {"user-agent": "teledom-crm"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._calls = calls
        self._every_s = every_s
        self._wall_clock = wall_clock
        self._once = Once(log)
        self._client: httpx.AsyncClient | None = None
        # All state: who listens, what each node said last, which have not been asked since somebody listens.
        self._listeners: set[Listener] = set()
        self._heard = {url: Heard(url) for url in self._urls}
        self._unasked: set[str] = set()
        self._listening = trio.Event()
        self._news = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask the nodes while somebody listens, until cancelled."""
        timeout = httpx.Timeout(DEADLINE_S)
        try:
            async with (
                httpx.AsyncClient(headers=self._headers, timeout=timeout, trust_env=False) as self._client,
                trio.open_nursery() as nursery,
            ):
                for url in self._urls:
                    nursery.start_soon(self._ask_again_and_again, url)
                nursery.start_soon(self._tell_listeners)
                task_status.started()
        finally:
            self._client = None

    # --- the board ---------------------------------------------------------------------------------------------

    def subscribe(self) -> Listener:
        """Listen to boards: the first comes as soon as every node was asked, then about one each `every_s`."""
        listener = Listener(self._listeners.discard)
        if not self._listeners:
            self._unasked = set(self._urls)
            self._listening.set()
            self._listening = trio.Event()
        elif not self._unasked:
            listener.put(self.board())
        self._listeners.add(listener)
        return listener

    def board(self) -> LiveBoard:
        """What all nodes said last, together. Nodes say nothing while nobody listens."""
        return merged([*self._heard.values()], self._wall_clock(), self._calls)

    async def _ask_again_and_again(self, url: str) -> None:
        while True:
            if not self._listeners:
                await self._listening.wait()
            began = trio.current_time()
            try:
                answer = await self._read("GET", url, "live.json", _node, calls=str(self._calls))
            except NodeError as error:
                self._is_away(url, str(error))
            else:
                self._answers(url, answer)
            self._unasked.discard(url)
            self._news.set()
            await trio.sleep_until(began + self._every_s)

    def _answers(self, url: str, answer: LiveNode) -> None:
        self._once.over(url, f"the node {answer.node} at {url} answers again")
        before = self._heard[url]
        known = before.answer is not None and not before.away and before.answer.not_ready
        since = before.since if known else self._wall_clock()
        self._heard[url] = Heard(url, answer, since=since if answer.not_ready else 0.0)

    def _is_away(self, url: str, why: str) -> None:
        self._once.say(url, why, "a node does not answer", url=url, why=why)
        before = self._heard[url]
        since = before.since if before.away else self._wall_clock()
        self._heard[url] = evolve(before, away=why, since=since)

    async def _tell_listeners(self) -> None:
        while True:
            await self._news.wait()
            began = trio.current_time()
            await trio.sleep(GATHER_S)
            self._news = trio.Event()
            if self._unasked or not self._listeners:
                continue
            board = self.board()
            for listener in self._listeners:
                listener.put(board)
            await trio.sleep_until(began + self._every_s)

    # --- what is asked -----------------------------------------------------------------------------------------

    async def ring(self, flat_id: int, who: str) -> str:
        """Have a flat's phones rung for a test, by any node that is ready: the call's id. Raises NodeError."""
        error: NodeError = NodeAway(NO_NODE)
        for url in sorted(self._urls, key=self._is_well, reverse=True):
            try:
                asked = {"flat_id": flat_id, "who": who}
                decode = msgspec.json.Decoder(_Ringing).decode
                return (await self._read("POST", url, "ring", decode, body=asked)).call_id
            except NodeRefused as refused:
                if refused.status < 500:
                    raise
                error = refused
            except NodeAway as away:
                if not isinstance(error, NodeRefused):
                    error = away
        raise error

    async def lock_of(self, sip_user: str) -> PanelLock:
        """A panel's lock, on whichever node it is held; free if no node that answers holds it. Raises NodeError."""
        locks, errors = await self._ask_all("GET", f"domophones/{quote(sip_user, safe='')}.json", _lock)
        if not locks:
            raise errors[-1] if errors else NodeAway(NO_NODE)
        return next((lock for lock in locks if lock.held_for), locks[0])

    async def registration_of(self, sip_user: str) -> SipRegistration:
        """A panel's registration, by whichever Kamailio has it; of one that none has it is unknown while any is away."""
        path = f"registrations/{quote(sip_user, safe='')}.json"
        return one_of(sip_user, *await self._ask_all("GET", path, _registration))

    async def registered_of(self, sip_users: Sequence[str]) -> SipRegistered:
        """Which of many panels are registered, with any Kamailio. Where that is not known, it gives up."""
        found: list[str] = []
        with trio.move_on_after(MANY_S):
            for first in range(0, len(sip_users), ASKED_MAX):
                body = {"panels": sip_users[first : first + ASKED_MAX]}
                part = together(*await self._ask_all("POST", "registered", _registered, body))
                found += part.registered
                if part.state is SipState.UNKNOWN:
                    return evolve(part, registered=tuple(found))
            return SipRegistered(state=SipState.REGISTERED, registered=tuple(found))
        return SipRegistered(state=SipState.UNKNOWN, why=TOO_SLOW, registered=tuple(found))

    async def _ask_all(
        self, method: str, path: str, decode: Callable[[bytes], T], body: object | None = None
    ) -> tuple[list[T], list[NodeError]]:
        """What all nodes answer, asked at once, and why the others do not."""
        answers: list[T] = []
        errors: list[NodeError] = []

        async def ask(url: str) -> None:
            try:
                answers.append(await self._read(method, url, path, decode, body=body))
            except NodeError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for url in self._urls:
                nursery.start_soon(ask, url)
        return answers, errors

    @asynccontextmanager
    async def recording(self, name: str, node: str = "", *, wanted: str = "") -> AsyncIterator[Recording]:
        """A recording or picture, by the name that its record has; `node` made it, and is asked first.

        `wanted` is a Range header to pass on. Raises NodeError; NodeRefused with status 404: no node has it.
        """
        error: NodeError = NodeAway(NO_NODE)
        headers = {"range": wanted} if wanted else {}
        for url in sorted(self._urls, key=lambda url: self._name_of(url) != node):
            request = self._open.build_request(
                "GET", f"{url}/recordings/{quote(name.lstrip('/'))}", headers=headers
            )
            try:
                response = await self._open.send(request, stream=True)
            except httpx.HTTPError as failed:
                error = error if isinstance(error, NodeRefused) else _away(url, failed)
                continue
            try:
                if response.status_code in (200, 206, 416):
                    passed = {key: response.headers[key] for key in PASSED_ON if key in response.headers}
                    yield Recording(response.status_code, passed, response.aiter_bytes())
                    return
                error = NodeRefused(response.status_code, f"{url}: the node has no recording {name}")
            finally:
                await response.aclose()
        raise error

    @property
    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            raise NodeAway("Nodes.run does not run")
        return self._client

    def _is_well(self, url: str) -> bool:
        heard = self._heard[url]
        return heard.answer is not None and not heard.away and not heard.answer.not_ready

    def _name_of(self, url: str) -> str:
        answer = self._heard[url].answer
        return "" if answer is None else answer.node

    async def _read(
        self,
        method: str,
        url: str,
        path: str,
        decode: Callable[[bytes], T],
        *,
        body: object | None = None,
        **query: str,
    ) -> T:
        """A node's answer. Raises NodeError."""
        try:
            with trio.fail_after(DEADLINE_S):
                response = await self._open.request(method, f"{url}/{path}", params=query, json=body)
        except trio.TooSlowError:
            raise NodeAway(f"{url}: no answer within {DEADLINE_S:g} s") from None
        except httpx.HTTPError as error:
            raise _away(url, error) from error
        if response.status_code >= 400:
            why = ""
            with suppress(msgspec.MsgspecError):
                why = msgspec.json.decode(response.content, type=_Problem).detail
            raise NodeRefused(
                response.status_code, f"{url}: {why or f'the node answered {response.status_code}'}"
            )
        try:
            return decode(response.content)
        except msgspec.MsgspecError as error:
            raise NodeAway(f"{url}: what answers is no node of this version ({error})") from error


def _away(url: str, error: httpx.HTTPError) -> NodeAway:
    why = str(error) or type(error).__name__
    if not isinstance(error, httpx.ConnectError):
        return NodeAway(f"{url}: {why}")
    if why.startswith("all attempts"):  # which says no more than that
        return NodeAway(f"{url}: no connection")
    return NodeAway(f"{url}: no connection ({why})")
