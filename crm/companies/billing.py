"""Billing over HTTP (docs/billing.md): what it is told of companies, and what it tells of debts and contracts.

`Billing` is synchronous and used by one thread at a time. Every question may be asked twice without harm: one that fails
for a reason that passes (no connection, 429, 502, 503, 504) is asked again within its deadline, after a pause that grows
or that billing asks for. Who wants to wait longer than that gets BillingAway and comes back later.
"""

from __future__ import annotations

import datetime
import email.utils
import random
import time
from collections.abc import Callable
from decimal import Decimal
from types import TracebackType
from typing import Annotated, Any, Generic, Self, TypeVar
from urllib.parse import quote

import attrs
import httpx
import msgspec
from attrs import frozen

from config import BILLING_TOKEN, BillingConfig

PAGE = 500  # entries that one answer is asked for
BODY_MAX_BYTES = 4_194_304
AMOUNT_MAX = 10**15
PAUSE_S, PAUSE_MAX_S = 0.25, 4.0
_PASSES = {429, 502, 503, 504}
T = TypeVar("T")


class BillingError(Exception):
    """Billing could not be told or asked; the message says what, why, and what to do."""


class BillingAway(BillingError):
    """It cannot be reached, or has no time: later may help, not before `retry_after_s` seconds if that is given."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BillingRefused(BillingError):
    """It understood, and says no: to this token, this company or this cursor."""


class BillingGone(BillingRefused):
    """It does not know this cursor any more: the feed is to be read from its beginning."""


class BillingNonsense(BillingError):
    """What it answers is not what docs/billing.md says."""


@frozen(kw_only=True)
class CompanyTold:
    """What billing is told of a company; `code_since` in UTC seconds."""

    key: str  # its billing_id, or "teledom-ID"
    name: str
    inn: str
    active: bool
    code: str
    code_since: float


_PLAIN = r"^[^\x00-\x1f\x7f]*$"
_Short = Annotated[str, msgspec.Meta(max_length=64, pattern=_PLAIN)]
_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_PLAIN)]
_Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]


@frozen
class DebtTold:
    """A contract owes `amount` since `since`; 0: nothing any more."""

    contract: _Key
    since: _Moment
    amount: Decimal


@frozen
class HouseTold:
    """A house by its FIAS id, or by the operator's own."""

    fias: Annotated[str, msgspec.Meta(max_length=36, pattern=_PLAIN)] = ""
    own_id: _Short = ""


@frozen
class ContractTold:
    """A contract is that of a flat, or (`active` False) of none any more."""

    contract: _Key
    house: HouseTold = HouseTold()
    flat: Annotated[str, msgspec.Meta(max_length=20, pattern=_PLAIN)] = ""
    active: bool = True


@frozen
class Page(Generic[T]):
    """Some entries of a feed, in order; `next` is the cursor behind them, and `more`: there are others already."""

    entries: tuple[T, ...]
    next: Annotated[str, msgspec.Meta(max_length=255, pattern=_PLAIN)]
    more: bool


@frozen
class _Registered:
    billing_id: _Key


class Billing:
    """Billing as `settings` say; a context manager that closes its connections. `sleep` waits between tries."""

    def __init__(
        self,
        settings: BillingConfig,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._sleep, self._clock = settings, sleep, clock
        headers = {"accept": "application/json"}
        if settings.token:
            headers["authorization"] = f"Bearer {settings.token}"
        self._http = httpx.Client(headers=headers, follow_redirects=False, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def put_company(self, company: CompanyTold) -> str:
        """Tell of a company and its code; billing's own id of it. Raises BillingError."""
        since = datetime.datetime.fromtimestamp(company.code_since, datetime.UTC)
        body = attrs.asdict(company) | {"code_since": since}
        del body["key"]
        path = f"/companies/{quote(company.key, safe='')}"
        return self._ask("PUT", path, _Registered, body=msgspec.json.encode(body)).billing_id

    def debts(self, after: str) -> Page[DebtTold]:
        """Debts that changed behind this cursor ("": all that there are). Raises BillingError."""
        page = self._page("/debts", after, Page[DebtTold])
        for each in page.entries:
            if not each.amount.is_finite() or abs(each.amount) > AMOUNT_MAX:
                raise BillingNonsense(
                    f"asking billing for /debts: an amount of {each.amount} for {each.contract!r}"
                )
        return page

    def contracts(self, after: str) -> Page[ContractTold]:
        """Contracts that changed behind this cursor ("": all that there are). Raises BillingError."""
        return self._page("/contracts", after, Page[ContractTold])

    def _page(self, path: str, after: str, kind: type[Page[T]]) -> Page[T]:
        page = self._ask("GET", path, kind, params={"after": after, "limit": str(PAGE)})
        if page.more and page.next == after:
            raise BillingNonsense(
                f"asking billing for {path}: it says that there is more behind {after!r}, and does not go on"
            )
        return page

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> T:
        doing = f"asking billing at {self._settings.url}: {method} {path}"
        until = self._clock() + self._settings.deadline_s
        pause_s = PAUSE_S
        while True:
            try:
                status, headers, content = self._try(method, path, params, body, until)
            except httpx.TransportError as error:
                why, wait_s = _said(error), 0.0
            else:
                if status not in _PASSES:
                    return _read(doing, status, content, kind)
                why, wait_s = f"it answers {status}", _retry_after(headers.get("retry-after", ""))
            wait_s = max(wait_s, pause_s * random.uniform(0.8, 1.2))
            if self._clock() + wait_s >= until:
                raise BillingAway(f"{doing}: {why}; see that it runs, and [billing] url", wait_s)
            self._sleep(wait_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _try(
        self, method: str, path: str, params: dict[str, str] | None, body: bytes, until: float
    ) -> tuple[int, httpx.Headers, bytes]:
        left_s = max(until - self._clock(), 0.01)
        url = self._settings.url.rstrip("/") + path
        headers = {"content-type": "application/json"} if body else {}
        content = b""
        with self._http.stream(
            method, url, params=params, content=body or None, headers=headers, timeout=left_s
        ) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > BODY_MAX_BYTES:
                    return response.status_code, response.headers, content
                if self._clock() > until:  # it comes, but by drops
                    raise httpx.ReadTimeout("the answer took too long")
            return response.status_code, response.headers, content


def pause_before_next_try(settings: BillingConfig, tries: int) -> float:
    """Seconds until the next try, after `tries` in vain: twice as long each time, with some chance in it."""
    longest = settings.retry_max_s
    return min(settings.retry_s * 2.0 ** min(max(tries, 1) - 1, 30), longest) * random.uniform(0.8, 1.2)


def _read(doing: str, status: int, content: bytes, kind: type[T]) -> T:
    if status in (401, 403):
        raise BillingRefused(f"{doing}: it answers {status}: set {BILLING_TOKEN} to a token that it knows")
    if status == 410:
        raise BillingGone(f"{doing}: it answers 410{_detail(content)}")
    if 400 <= status < 500:
        raise BillingRefused(f"{doing}: it answers {status}{_detail(content)}")
    if not 200 <= status < 300:
        raise BillingNonsense(
            f"{doing}: it answers {status}{_detail(content)}; see its log, and [billing] url"
        )
    if len(content) > BODY_MAX_BYTES:
        raise BillingNonsense(f"{doing}: an answer of over {BODY_MAX_BYTES} bytes; see docs/billing.md")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BillingNonsense(f"{doing}: an answer as none in docs/billing.md: {error}") from error


def _detail(content: bytes) -> str:
    """What a refusal says of itself ("detail" of RFC 9457), made harmless; "" for nothing."""
    try:
        said: Any = msgspec.json.decode(content[:BODY_MAX_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    text = str(said.get("detail") or said.get("title") or "") if isinstance(said, dict) else ""
    return f": {''.join(each if each.isprintable() else ' ' for each in text)[:150]}" if text else ""


def _retry_after(text: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 for none."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
