"""One panel's HTTP: one connection, passwords, bounded answers, and a certificate that is pinned on first use.

`PanelHttp` owns the connection and the pin. It uses httpx's transport and no client: nothing is redirected, nothing
unpacked, no cookie kept, no proxy taken from the environment. A name is looked up once, and judged (where.py); all goes
to the address that it had then. Deadlines are those of whoever asks.

A panel makes its own certificate, so nobody vouches for it: what counts is that it stays the same. It is compared at the
end of each handshake, inside the TLS object itself, which sends no data before that: no password ever leaves over a
connection whose certificate is another one.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections.abc import Callable, Collection, Generator, Mapping
from types import TracebackType
from typing import Self

import httpx
import msgspec
import trio
from attrs import frozen

from telephony.panels.interface import (
    SAID_MAX,
    PanelAccess,
    PanelAnswer,
    PanelAway,
    PanelChanged,
    PanelRefused,
)
from telephony.panels.where import find_address

ANSWER_MAX_BYTES = 65_536
KEEPALIVE_S = 5.0  # shorter than small servers keep a connection that nobody uses


def cleaned(text: str) -> str:
    """A stranger's words on one line, for people: printable, and no more than 200 characters."""
    text = "".join(char if char.isprintable() else " " for char in text[: 8 * SAID_MAX])
    return " ".join(text.split())[:SAID_MAX]


@frozen
class Answer:
    """What a panel answered: the HTTP status, no more than 64 KiB of content, and the same for people to read."""

    status: int
    content: bytes
    said: str

    def good(self) -> Self:
        """Itself, if the status is one of success. Raises `PanelRefused`."""
        if 200 <= self.status < 300:
            return self
        if self.status in (404, 405, 501):
            why = f"it answered {self.status}: it knows no such request, so check the vendor and the model"
        else:
            why = f"it answered {self.status}: look at its own log, or restart it if that goes on"
        raise PanelRefused(why, status=self.status, said=self.said)

    def json(self) -> dict[str, object]:
        """The JSON object that it is. Raises `PanelAnswer`."""
        try:
            return msgspec.json.decode(self.content, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise PanelAnswer("its answer is no JSON object: check the vendor", said=self.said) from None

    def parameters(self) -> dict[str, str]:
        """Its lines of Name=value, as some panels write what is set in them; other lines are left out."""
        lines = (line.partition("=") for line in self.text().splitlines())
        return {name.strip(): value.strip() for name, equals, value in lines if equals}

    def text(self) -> str:
        """The content as it is; bytes that are no UTF-8 are replaced."""
        return self.content.decode("utf-8", "replace")


def number(value: object) -> float | None:
    """A number as panels write it: a JSON number, or plain digits in a text; None for all else."""
    match value:
        case bool():
            return None
        case int() | float():
            return float(value) if -1e9 < value < 1e9 else None
        case str() if re.fullmatch(r"\s*-?[0-9]{1,9}(\.[0-9]{1,9})?\s*", value):
            return float(value)
        case _:
            return None


class PanelHttp:
    """The connection to one panel, as an async context manager.

    `new_auth` makes what logs in to one request; `ours` are hosts of our own that no panel is. A Digest challenge is
    answered once and forgotten: there are panels that refuse a nonce that comes a second time.
    """

    def __init__(
        self,
        access: PanelAccess,
        new_auth: Callable[[str, str], httpx.Auth],
        on_pin: Callable[[str], None],
        ours: Collection[str] = (),
    ) -> None:
        self._access = access
        self._ours = ours
        self._address: str | None = None  # where it is, once it was looked up
        self._new_auth = new_auth
        self._on_pin = on_pin
        self._pin = access.pin
        basic = base64.b64encode(f"{access.user}:{access.password}".encode()).decode()
        self._secrets = [text for text in (basic, access.password) if text]
        self._url = httpx.URL(access.url)
        limits = httpx.Limits(max_connections=1, keepalive_expiry=KEEPALIVE_S)
        self._transport = httpx.AsyncHTTPTransport(verify=self._tls(), limits=limits, trust_env=False)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.__aexit__(kind, error, traceback)

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        content: bytes = b"",
        content_type: str = "",
    ) -> Answer:
        """One request, logged in; `query` is quoted, `path` goes out as it is.

        Raises `PanelAway`, `PanelBarred`, `PanelChanged`, `PanelRefused` (user or password, or a redirect), `PanelAnswer`
        (too long).
        """
        if self._address is None:
            port = self._url.port or (443 if self._url.scheme == "https" else 80)
            self._address = await find_address(self._url.host, port, self._ours)
        host = self._url.raw_host.decode()
        headers = {"host": self._url.netloc.decode(), "user-agent": "teledom", "accept-encoding": "identity"}
        if content_type:
            headers["content-type"] = content_type
        there = self._url.copy_with(host=self._address)
        url = there.copy_with(path=path, params=query) if query else there.copy_with(path=path)
        named = {"sni_hostname": host}  # for TLS: the name, not the address
        request = httpx.Request(method, url, headers=headers, content=content, extensions=named)
        flow = self._new_auth(self._access.user, self._access.password).sync_auth_flow(request)
        try:
            answer = await self._log_in(flow)
        finally:
            flow.close()
        if answer.status in (401, 403):
            why = f"it refuses user {self._access.user!r} ({answer.status}): check user and password of this panel"
            raise PanelRefused(why, status=answer.status)
        if 300 <= answer.status < 400:
            why = f"it redirects to another address ({answer.status}): check whether its url is http or https"
            raise PanelRefused(why, status=answer.status)
        return answer

    async def _log_in(self, flow: Generator[httpx.Request, httpx.Response, None]) -> Answer:
        """Send what the login wants sent, until it is satisfied; the last answer."""
        request = next(flow)
        while True:
            answer, headers = await self._send(request)
            try:
                request = flow.send(httpx.Response(answer.status, headers=headers, request=request))
            except StopIteration:
                return answer
            except (httpx.ProtocolError, NotImplementedError, LookupError, ValueError):
                asked = self._said(headers.get("www-authenticate", ""))
                raise PanelAnswer("it asks for a login of an unknown kind", said=asked) from None

    async def _send(self, request: httpx.Request) -> tuple[Answer, httpx.Headers]:
        content = b""
        try:
            response = await self._transport.handle_async_request(request)
            try:
                assert isinstance(response.stream, httpx.AsyncByteStream)
                # Cancelled and not left: httpx's generators, one in the other, are only cleaned up from inside.
                with trio.CancelScope() as too_long:
                    async for chunk in response.stream:
                        content += chunk
                        if len(content) > ANSWER_MAX_BYTES:
                            too_long.cancel()
            finally:
                await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            why = f"cannot connect: {self._said(str(error)) or 'no answer'}; check its url, power and network"
            raise PanelAway(why) from None
        except httpx.TransportError as error:
            why = f"the connection broke: {self._said(str(error)) or type(error).__name__}"
            raise PanelAway(why) from None
        said = self._said(content.decode("utf-8", "replace"))
        if len(content) > ANSWER_MAX_BYTES:
            raise PanelAnswer(f"its answer is longer than {ANSWER_MAX_BYTES} bytes", said=said)
        return Answer(response.status_code, content, said), response.headers

    def _said(self, text: str) -> str:
        """What came from outside, for people: a panel may send back what it was sent, and errors end in a log."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return cleaned(text)

    def _tls(self) -> ssl.SSLContext:
        check = self._check

        class Pinned(ssl.SSLObject):
            def do_handshake(self) -> None:
                super().do_handshake()
                check(self.getpeercert(binary_form=True))

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.sslobject_class = Pinned
        return context

    def _check(self, certificate: bytes | None) -> None:
        assert certificate is not None  # there are no anonymous ciphers in the context
        seen = hashlib.sha256(certificate).hexdigest()
        if self._pin is None:
            self._pin = seen
            self._on_pin(seen)
        elif seen != self._pin:
            raise PanelChanged(
                f"its certificate has SHA-256 {seen}, and {self._pin} is pinned; no password was sent. If the panel was"
                " exchanged or reset, take the pin away; else somebody stands in between"
            )
