"""What is asked of Asterisk beside calls, over HTTP: who it is, what it has, filters and subscriptions."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec
from attrs import frozen

from config import AriConfig, AriTransport
from telephony.ari.errors import AriAway, AriError, AriTooOld, AriUnauthorized, RequestFailed
from telephony.ari.events import Bridge, Channel

OLDEST = (20, 0)
DEADLINE_S = 10.0

T = TypeVar("T")


@frozen
class Snapshot:
    """All channels and bridges that Asterisk has, and the channels whose events each application is sent."""

    channels: tuple[Channel, ...]
    bridges: tuple[Bridge, ...]
    subscribed: dict[str, frozenset[str]]


class EndpointState(Enum):
    """A PJSIP endpoint: its OPTIONS are answered, or not; it sends none; there is no such endpoint."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    MISSING = "missing"


class Control:
    """Requests that no call makes. `version` is what Asterisk said last that it is."""

    def __init__(self, config: AriConfig, applications: Sequence[str]) -> None:
        self.config = config
        self.applications = applications
        self.version = ""
        self.tls = _tls(config) if urlsplit(config.url).scheme == "https" else None
        self._http: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Requests can be made inside."""
        auth = (self.config.user, self.config.password)
        timeout = httpx.Timeout(DEADLINE_S)
        async with httpx.AsyncClient(
            base_url=self.config.url, auth=auth, timeout=timeout, verify=self.tls or True
        ) as self._http:
            yield

    @property
    def http(self) -> httpx.AsyncClient:
        """The client, whose base is ARI's URL. AriAway before it is open."""
        if self._http is None:
            raise AriAway(f"no requests to {self.config.url} can be made yet")
        return self._http

    async def snapshot(self) -> Snapshot:
        """What Asterisk has now. Raises AriError."""
        channels = await self._read("channels", list[Channel])
        bridges = await self._read("bridges", list[Bridge])
        subscribed = {}
        for name in self.applications:
            try:
                application = await self._read(f"applications/{name}", _Application)
            except RequestFailed as error:
                if error.status != 404:
                    raise
                application = _Application()  # its socket is not open yet: it is sent nothing
            subscribed[name] = frozenset(application.channel_ids)
        return Snapshot(tuple(channels), tuple(bridges), subscribed)

    async def subscribe(self, application: str, channel_id: str) -> None:
        """Have a channel's events sent to an application again. Raises AriError."""
        await self.request(
            "POST",
            f"applications/{application}/subscription?eventSource=channel:{quote(channel_id, safe='')}",
        )

    async def endpoint_state(self, name: str) -> EndpointState:
        """Whether a PJSIP endpoint can be called. Raises AriError."""
        try:
            found = await self._read(f"endpoints/PJSIP/{quote(name, safe='')}", _Endpoint)
        except RequestFailed as error:
            if error.status != 404:
                raise
            return EndpointState.MISSING
        return EndpointState(found.state) if found.state in ("online", "offline") else EndpointState.UNKNOWN

    async def variable(self, name: str) -> str:
        """A global variable or function of Asterisk's, "" where it has no value. Raises AriError."""
        try:
            return (await self._read(f"asterisk/variable?variable={quote(name)}", _Variable)).value
        except RequestFailed as error:
            if error.status != 404:
                raise
            return ""

    async def _read(self, path: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(await self.request("GET", path), type=kind)
        except msgspec.MsgspecError as error:
            raise AriAway(
                f"GET {path} at {self.config.url}: what answers is no Asterisk ({error})"
            ) from error

    async def request(self, method: str, path: str, body: object | None = None) -> bytes:
        what = f"{method} {path}"
        try:
            response = await self.http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise AriAway(f"{what} at {self.config.url}: {_said(error)}") from error
        if response.status_code == 401:
            raise AriUnauthorized(
                f"Asterisk at {self.config.url} refuses the user {self.config.user!r}: compare [ari] user and "
                "TELEDOM_ARI_PASSWORD with ari.conf"
            )
        if response.status_code == 503:
            raise AriAway(f"{what} at {self.config.url}: Asterisk is still starting")
        if response.status_code >= 400:
            raise RequestFailed(what, response.status_code, response.text[:200])
        return response.content

    async def probe(self) -> AriTransport:
        """Who is there, and how requests get to it. Raises AriError."""
        info = await self._read("asterisk/info", _Info)
        self.version = info.system.version
        found = re.search(r"(\d+)\.(\d+)", self.version)
        numbers = (int(found[1]), int(found[2])) if found else OLDEST
        if numbers < OLDEST:
            raise AriTooOld(
                f"Asterisk at {self.config.url} is {self.version}: {OLDEST[0]} or newer is needed (22.4 is better)"
            )
        if self.config.transport is not AriTransport.AUTO:
            return self.config.transport
        rest_over_websocket = numbers >= (22, 4) or (numbers[0] == 20 and numbers >= (20, 14))
        return AriTransport.WEBSOCKET if rest_over_websocket else AriTransport.HTTP


@frozen
class _System:
    version: str


@frozen
class _Info:
    system: _System


@frozen
class _Endpoint:
    state: str = ""


@frozen
class _Variable:
    value: str = ""


@frozen
class _Application:
    channel_ids: tuple[str, ...] = ()


def _tls(config: AriConfig) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=config.ca_file or None)
    except OSError as error:
        raise AriError(f"[ari] ca_file {config.ca_file!r} can't be read: {error}") from error


def _said(error: BaseException) -> str:
    """What went wrong: httpx wraps some errors without their words."""
    said, cause = "", error
    while True:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message}): see [ari] ca_file"
        said = said or str(cause)
        below = cause.__cause__ or cause.__context__
        if below is None:
            return said or type(error).__name__
        cause = below
