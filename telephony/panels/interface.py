"""What a panel is asked over its own HTTP interface, whoever made it, and what can go wrong between us.

A driver owns nothing but its connection, for as long as `open_panel` is entered. What a panel does not tell is said to
be not told: no state here is guessed. Nothing of this belongs between the button and the ring: a panel answers when it
likes, and some of them not while they are in a call.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import httpx
from attrs import field, frozen

SAID_MAX = 200  # characters of a panel's own words that are kept


class LineState(Enum):
    """The line to a flat's handset. LEVEL: a number that alone does not tell; UNKNOWN: not even that."""

    SHORT = "short"
    OPEN = "open"
    ON_HOOK = "on_hook"
    OFF_HOOK = "off_hook"
    LEVEL = "level"
    UNKNOWN = "unknown"


@frozen
class LineTest:
    """One test of a line. `level` is as the panel measured it, in `unit`: "ohm", or "" for a vendor's own scale.

    `said`: the panel's answer in its own words, cleaned and cut, for whoever doubts `state`.
    """

    state: LineState
    level: float | None
    unit: str
    said: str


class AnswerMeans(Enum):
    """What the panel's 200 OK to our INVITE means: the handset was lifted, or only that the line is connected."""

    LIFTED = "lifted"
    CONNECTED = "connected"
    UNKNOWN = "unknown"


class Idle(Enum):
    """Whether the panel is in no call. NOT_TOLD: it has no way to say so over HTTP."""

    YES = "yes"
    NO = "no"
    NOT_TOLD = "not_told"


class Registration(Enum):
    """Whether the panel says that its SIP account is registered."""

    REGISTERED = "registered"
    NOT_REGISTERED = "not_registered"
    NOT_TOLD = "not_told"


class PanelDriver(Protocol):
    """One panel, asked in its vendor's dialect. Each method raises a `PanelError` that says what was being done."""

    vendor: str
    answer_means: AnswerMeans
    has_line_test: bool

    async def line_test(self, flat: str) -> LineTest:
        """The line to the handset of a flat, by its number in digits.

        Raises `ValueError` for another number, `PanelBusy` while the panel is in a call, `PanelCannot`.
        """

    async def idle(self) -> Idle:
        """Whether it is in no call at this moment."""

    async def open_door(self, door: int = 1) -> None:
        """Open a door, counted from 1: the main one. Raises `PanelCannot` for one that the vendor does not have.

        After `PanelAway` the door may be open all the same.
        """

    async def registration(self) -> Registration:
        """Whether its SIP account is registered."""

    async def add_key(self, uid: str) -> None:
        """Let an RFID key open the main door; `uid` is hex, capitals, in the order in which the key sends it.

        One that it knows already is no error. Raises `ValueError` for no UID, `PanelCannot` for one that is too long.
        """

    async def remove_key(self, uid: str) -> None:
        """Forget a key; one that it does not know is no error. Raises as `add_key` does."""

    async def set_code(self, code: str, old: str) -> None:
        """Let an access code open the main door, instead of `old`; "" for none.

        Raises `ValueError` for no digits, `PanelCannot` for a code of a length that the vendor does not take.
        """


@frozen(kw_only=True)
class PanelAccess:
    """Where a panel is and who we are to it. Raises `ValueError` for what cannot be used, without the password.

    `url`: "http://10.1.2.3" or "https://…", with a port or without, and nothing behind it. `pin`: SHA-256 of the
    certificate (DER) in hex; None takes the first that is seen. Over http:// a Basic password is sent as it is.
    """

    vendor: str
    url: str
    user: str
    password: str = field(repr=False)
    pin: str | None = None

    def __attrs_post_init__(self) -> None:
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ValueError(f"the panel's url cannot be used: {error}") from None
        if url.userinfo:
            raise ValueError(
                f"the url of the panel at {url.host} has a user in it: put that into user and password"
            )
        if url.scheme not in ("http", "https") or not url.host or url.raw_path != b"/" or url.fragment:
            raise ValueError(
                f"a panel's url is http://host or https://host and nothing more, not {self.url!r}"
            )
        if not self.user.isprintable() or any(char in ':"\\' for char in self.user):
            raise ValueError(
                f"the panel's user {self.user!r} has characters that HTTP cannot carry in a name"
            )
        if self.pin is not None and url.scheme != "https":
            raise ValueError(f"{self.url} has no certificate to pin: make it https://…, or leave the pin out")
        if self.pin is not None and (len(self.pin) != 64 or set(self.pin) - set("0123456789abcdef")):
            raise ValueError(f"the pin of {self.url} is not a SHA-256 in 64 hex digits, in small letters")


class PanelError(Exception):
    """A panel could not be asked. `doing` says what was being asked of which panel, `said` what it answered."""

    def __init__(self, why: str, *, said: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.said = said[:SAID_MAX]
        self.doing = ""

    def __str__(self) -> str:
        said = f" (it said: {self.said})" if self.said else ""
        return f"{self.doing}: {self.why}{said}" if self.doing else self.why + said


class PanelAway(PanelError):
    """It cannot be reached, the connection broke, or its time was over: what was asked may have been done."""


class PanelRefused(PanelError):
    """It answered and did not do it. `status` is that of HTTP; 200 if it said no in its own words."""

    def __init__(self, why: str, *, status: int, said: str = "") -> None:
        super().__init__(why, said=said)
        self.status = status

    @property
    def may_be_so_already(self) -> bool:
        """Whether this may only mean that all is as it was asked to be: neither a login refused, nor a server's fault."""
        return self.status not in (401, 403) and self.status < 500 and not 300 <= self.status < 400


class PanelBusy(PanelError):
    """It says that it is in a call: to be asked again later."""


class PanelAnswer(PanelError):
    """Its answer cannot be understood: it is another model or firmware than what is known, or not this vendor's."""


class PanelCannot(PanelError):
    """This vendor's panels have no such function: nothing was sent."""


class PanelChanged(PanelError):
    """It shows another certificate than the one that was pinned: no password was sent to it."""


class PanelBarred(PanelError):
    """Its address is one that no panel can have, or the server's own: nothing was sent."""
