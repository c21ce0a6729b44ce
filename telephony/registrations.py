"""Who is registered at SIP, as the Kamailio beside a node says over HTTP: it alone knows, in its memory.

Kamailio answers two questions there and no other (kamailio.cfg, event_route[xhttp:request]): from where one SIP user has
registered, and which of many have. Nothing here is guessed: where it cannot be asked, the state is unknown, and why is
said. What a panel tells of itself is a stranger's text: cleaned and cut here. Times are UTC seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum

import httpx
import msgspec
import trio
from attrs import frozen

from telephony.panels.http import cleaned

DEADLINE_S = 1.5  # shorter than whoever asks the node waits
ASKED_MAX = 1000  # panels that a node is asked for at once
BODY_MAX = 3000  # characters of names in a request: Kamailio's buffer may be 4 kB
CONNECTIONS = 2  # at once; Kamailio has few workers for TCP
SIP_USER = r"[A-Za-z0-9._-]{1,64}"
NOT_SET = "no Kamailio can be asked: set [node] kamailio"

_HOST = re.compile(r"sips?:(?:[^@]*@)?([^;?>]+)", re.IGNORECASE)


class SipState(Enum):
    """Whether a SIP user is registered. NOT_ASKED: its node has no Kamailio to ask."""

    REGISTERED = "registered"
    NOT_REGISTERED = "not_registered"
    UNKNOWN = "unknown"
    NOT_ASKED = "not_asked"


@frozen(kw_only=True)
class Contact:
    """Where somebody is called: `address` is host and port, `transport` "udp" or "tcp", "" for what is not told.

    It registered at `at` last, and is good `until` (None: for ever) unless it registers again.
    """

    address: str
    transport: str
    user_agent: str
    at: float
    until: float | None


@frozen(kw_only=True)
class SipRegistration:
    """What is known of one panel, with its contacts, the newest first; `why` says why nothing is known."""

    panel: str
    state: SipState
    node: str = ""
    why: str = ""
    contacts: tuple[Contact, ...] = ()


@frozen(kw_only=True)
class SipRegistered:
    """Which of many panels are registered. The others are not if `state` is REGISTERED; else they are not known."""

    state: SipState
    node: str = ""
    why: str = ""
    registered: tuple[str, ...] = ()


def one_of(panel: str, said: Sequence[SipRegistration], away: Sequence[str | Exception]) -> SipRegistration:
    """A panel's registration out of what nodes said, and why others did not: registered where any Kamailio has it.

    It is not registered only if all were asked. NOT_ASKED becomes UNKNOWN.
    """
    there = [each for each in said if each.state is SipState.REGISTERED]
    if there:
        return max(there, key=lambda each: each.contacts[0].at if each.contacts else 0.0)
    why = _why_unknown([(each.state, each.why) for each in said], away)
    if why:
        return SipRegistration(panel=panel, state=SipState.UNKNOWN, why=why)
    return next(each for each in said if each.state is SipState.NOT_REGISTERED)


def together(said: Sequence[SipRegistered], away: Sequence[str | Exception]) -> SipRegistered:
    """The same of many panels."""
    found = tuple(dict.fromkeys(panel for each in said for panel in each.registered))
    why = _why_unknown([(each.state, each.why) for each in said], away)
    state = SipState.UNKNOWN if why else SipState.REGISTERED
    return SipRegistered(state=state, why=why, registered=found)


def _why_unknown(said: Sequence[tuple[SipState, str]], away: Sequence[str | Exception]) -> str:
    """ "": whoever has a Kamailio was asked, and there is one at all."""
    if away:
        return str(away[0])
    for state, why in said:
        if state is SipState.UNKNOWN:
            return why
    return NOT_SET if all(state is SipState.NOT_ASKED for state, _ in said) else ""


class _Contact(msgspec.Struct):
    """As usrloc's RPC gives it. `expires` is in seconds from now, or a word."""

    address: str = msgspec.field(name="Address")
    expires: int | str = msgspec.field(name="Expires")
    user_agent: str = msgspec.field(name="User-Agent", default="")
    received: str = msgspec.field(name="Received", default="")
    socket: str = msgspec.field(name="Socket", default="")
    modified: int = msgspec.field(name="Last-Modified", default=0)


class _One(msgspec.Struct):
    contact: _Contact = msgspec.field(name="Contact")


class _Result(msgspec.Struct):
    contacts: list[_One] = msgspec.field(name="Contacts")


class _Answer(msgspec.Struct):
    result: _Result


class _Away(Exception):
    """Kamailio did not say."""


class Registrations:
    """The Kamailio at `url` ("" for none), for the node of this name. `run` must be running for whatever is asked."""

    def __init__(
        self,
        url: str,
        node: str,
        *,
        deadline_s: float = DEADLINE_S,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url.rstrip("/")
        self._node = node
        self._deadline_s = deadline_s
        self._wall_clock = wall_clock
        self._client: httpx.AsyncClient | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the connections, until cancelled."""
        limits = httpx.Limits(max_connections=CONNECTIONS)
        try:
            async with httpx.AsyncClient(
                timeout=self._deadline_s, limits=limits, trust_env=False, headers={"user-agent": "teledom"}
            ) as self._client:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._client = None

    async def of(self, panel: str) -> SipRegistration:
        """A panel's registration, by its SIP user."""
        if not self._url:
            return SipRegistration(panel=panel, node=self._node, state=SipState.NOT_ASKED, why=NOT_SET)
        try:
            with trio.fail_after(self._deadline_s):
                contacts = await self._contacts(panel)
        except (trio.TooSlowError, _Away) as error:
            return SipRegistration(panel=panel, node=self._node, state=SipState.UNKNOWN, why=self._why(error))
        state = SipState.REGISTERED if contacts else SipState.NOT_REGISTERED
        return SipRegistration(panel=panel, node=self._node, state=state, contacts=contacts)

    async def of_many(self, panels: Sequence[str]) -> SipRegistered:
        """Which of these SIP users are registered."""
        if not self._url:
            return SipRegistered(node=self._node, state=SipState.NOT_ASKED, why=NOT_SET)
        found: list[str] = []
        try:
            with trio.fail_after(self._deadline_s):
                for body in _bodies(panels):
                    said = await self._ask("POST", "/registered", body)
                    found += [each for each in said.split(",") if each]
        except (trio.TooSlowError, _Away) as error:
            return SipRegistered(
                node=self._node, state=SipState.UNKNOWN, why=self._why(error), registered=tuple(found)
            )
        return SipRegistered(node=self._node, state=SipState.REGISTERED, registered=tuple(found))

    def _why(self, error: Exception) -> str:
        return str(error) or f"Kamailio does not answer at {self._url} within {self._deadline_s:g} s"

    async def _contacts(self, panel: str) -> tuple[Contact, ...]:
        if not re.fullmatch(SIP_USER, panel):
            raise _Away(f"{cleaned(panel)} is no SIP user")
        said = await self._ask("GET", f"/contacts/{panel}")
        try:
            answer = msgspec.json.decode(said, type=_Answer)
        except msgspec.MsgspecError as error:
            why = f"Kamailio at {self._url} says what is not understood: {cleaned(said)} ({error})"
            raise _Away(why) from error
        now = self._wall_clock()
        found = [_contact(each.contact, now) for each in answer.result.contacts if _is_good(each.contact)]
        return tuple(sorted(found, key=lambda each: -each.at))

    async def _ask(self, method: str, path: str, body: str = "") -> str:
        if self._client is None:
            raise _Away("nobody asks Kamailio at the moment: look at the node's log")
        # Kamailio takes no request without a length over TCP.
        headers = {"content-type": "text/plain", "content-length": str(len(body))}
        try:
            answer = await self._client.request(method, self._url + path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise _Away(
                f"Kamailio does not answer at {self._url} ({why}): see LISTEN_NODE in site.cfg"
            ) from error
        if answer.status_code != 200:
            raise _Away(
                f"what answers at {self._url} is no Kamailio with our kamailio.cfg: it says {answer.status_code}"
            )
        return answer.content.decode("utf-8", "replace")


def _bodies(panels: Iterable[str]) -> Iterator[str]:
    """The names in pieces that Kamailio takes. Kamailio stops at what is no name, so that is left out."""
    piece: list[str] = []
    length = 0
    for each in panels:
        if not re.fullmatch(SIP_USER, each):
            continue
        if length + len(each) >= BODY_MAX:
            yield ",".join(piece)
            piece, length = [], 0
        piece.append(each)
        length += len(each) + 1
    if piece:
        yield ",".join(piece)


def _is_good(contact: _Contact) -> bool:
    """Whether it has not run out, or been taken back."""
    return contact.expires == "permanent" or (isinstance(contact.expires, int) and contact.expires > 0)


def _contact(said: _Contact, now: float) -> Contact:
    behind_nat = said.received not in ("", "[not set]")
    uri = said.received if behind_nat else said.address
    host = _HOST.match(uri)
    return Contact(
        address=cleaned(host[1] if host else uri),
        transport=cleaned(said.socket.partition(":")[0]),
        user_agent="" if said.user_agent == "n/a" else cleaned(said.user_agent),
        at=float(said.modified),
        until=now + said.expires if isinstance(said.expires, int) else None,
    )
