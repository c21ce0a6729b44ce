"""A panel as its HTTP server plays it: what a test sets, what the panel was asked, and one request and its reply."""

from __future__ import annotations

import hashlib
import ssl
from enum import Enum

import trustme
from attrs import Factory, define, frozen

from telephony.panels.interface import LineState


class Fault(Enum):
    """What is wrong with a panel's server, with every answer that it gives."""

    SERVER_ERROR = "server_error"  # 500
    REDIRECT = "redirect"  # 302, to https
    SILENCE = "silence"  # reads, and never answers
    GARBAGE = "garbage"  # 200, and bytes that are neither text nor JSON
    HUGE = "huge"  # 10 MB, the challenge to log in too
    CUT = "cut"  # the connection, in the middle of the answer
    NOT_HTTP = "not_http"
    ECHO = "echo"  # 500, with the login that it was sent, and the password


@frozen
class Certificate:
    """A certificate that nobody vouches for, for 127.0.0.1, and its SHA-256 in hex."""

    context: ssl.SSLContext
    sha256: str


def new_certificate() -> Certificate:
    """Another one each time."""
    leaf = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return Certificate(context, hashlib.sha256(der).hexdigest())


@frozen
class Seen:
    """A request as it came; `login` is its Authorization header, or ""."""

    method: str
    target: str
    login: str


@define
class PanelState:
    """What a panel is at the moment; a test may change all of it at any time."""

    vendor: str
    user: str = "admin"
    password: str = "schluessel+17"
    lines: dict[str, LineState] = Factory(dict)  # by flat; others are open
    levels: dict[str, float] = Factory(dict)  # a flat's level instead of what fits its line
    tells_more: bool = True  # the bounds of levels, words for lines: newer firmware
    in_call: bool = False
    registered: bool = True
    doors: list[int] = Factory(list)  # those opened, in order, counted from 1
    keys: set[str] = Factory(set)  # that it knows, as it writes them
    people: set[str] = Factory(set)  # whose cards Hikvision's keys are
    codes: list[str] = Factory(list)  # that open its door
    two_tables: bool = True  # of Beward's keys: newer models
    strict: bool = True  # what is there already, or not there, is refused
    fault: Fault | None = None
    delay_s: float = 0.0
    certificate: Certificate | None = None  # of the next connection; None speaks plain HTTP
    seen: list[Seen] = Factory(list)
    no_handset: set[str] = Factory(set)  # flats without an analog number
    connections: int = 0  # made so far
    challenge: str = ""  # to log in with Digest, instead of a good one
    nonces: set[str] = Factory(set)  # Digest challenges that nobody has used yet

    def line(self, flat: str) -> LineState:
        return self.lines.get(flat, LineState.OPEN)


@frozen
class Request:
    """What a dialect answers: `path` and `query` are unquoted."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes


@frozen
class Reply:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
