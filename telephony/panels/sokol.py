"""Sokol's panels: resources with JSON.

The test of a line gives its resistance, and with newer firmware the panel's own word for it: `up` or `down`. Without
the word the flat's levels are asked for: `quiescent`, of a handset that lies, and `answer`, of one that is lifted.

A key is 7 bytes in hex, with zeros before it; public drivers write them in the order in which the key sends them, which
was tried on no hardware here. An access code has five digits; that of no flat stands under panelCode 0, and is one.
"""

from __future__ import annotations

import msgspec

from telephony.panels.http import Answer, PanelHttp, number
from telephony.panels.interface import (
    AnswerMeans,
    Idle,
    LineState,
    LineTest,
    PanelAnswer,
    PanelCannot,
    PanelRefused,
    Registration,
)
from telephony.panels.uids import UidOrder, padded

UID_ORDER = UidOrder.AS_SENT
CODE_DIGITS = 5
NO_FLAT = 0  # the panelCode of an access code that is everybody's
WORDS = {"up": LineState.OFF_HOOK, "down": LineState.ON_HOOK}


class Sokol:
    """See `PanelDriver`."""

    vendor = "sokol"
    answer_means = (
        AnswerMeans.UNKNOWN
    )  # its SIP stack is baresip, which does not know why it was told to answer
    has_line_test = True

    def __init__(self, http: PanelHttp) -> None:
        self._http = http

    async def line_test(self, flat: str) -> LineTest:
        answer = await self._http.ask("GET", f"/panelCode/{flat}/resist")
        ohm, state = resistance(answer)
        if state is None:
            state = state_of(ohm, await self._levels(flat))
        return LineTest(state, ohm, "ohm", answer.said)

    async def _levels(self, flat: str) -> tuple[float, float] | None:
        try:
            return flat_levels(await self._http.ask("GET", f"/panelCode/{flat}"))
        except (PanelRefused, PanelAnswer):  # firmware that does not show a flat
            return None

    async def idle(self) -> Idle:
        return Idle.NOT_TOLD  # calls are only in its syslog

    async def open_door(self, door: int = 1) -> None:
        done(await self._http.ask("PUT", f"/relay/{door}/open"))

    async def registration(self) -> Registration:
        return account_state(await self._http.ask("GET", "/system/info"))

    async def add_key(self, uid: str) -> None:
        key = padded(uid, UID_ORDER)
        try:
            done(await self._send("PUT", "/key/store/merge", [{"uuid": key}]))
        except PanelRefused as error:
            if not error.may_be_so_already or key not in listed_keys(
                await self._http.ask("GET", "/key/store")
            ):
                raise error from None

    async def remove_key(self, uid: str) -> None:
        key = padded(uid, UID_ORDER)
        try:
            done(await self._http.ask("DELETE", f"/key/store/{key}"))
        except PanelRefused as error:
            if not error.may_be_so_already or key in listed_keys(await self._http.ask("GET", "/key/store")):
                raise error from None

    async def set_code(self, code: str, old: str) -> None:
        if code and (len(code) != CODE_DIGITS or code[0] == "0"):
            raise PanelCannot(f"Sokol's panels take access codes of {CODE_DIGITS} digits, the first not 0")
        try:
            done(await self._http.ask("DELETE", f"/openCode/{NO_FLAT}"))
        except PanelRefused as error:
            if not error.may_be_so_already:  # it has none
                raise
        if code:
            done(await self._send("POST", "/openCode", {"code": int(code), "panelCode": NO_FLAT}))

    async def _send(self, method: str, path: str, values: object) -> Answer:
        content = msgspec.json.encode(values)
        return await self._http.ask(method, path, content=content, content_type="application/json")


def done(answer: Answer) -> None:
    """Make sure that it did what it was told. Raises `PanelError`."""
    if answer.good().content.strip():
        allowed(answer)


def listed_keys(answer: Answer) -> frozenset[str]:
    """The keys that it knows, as it writes them. Raises `PanelError`."""
    try:
        keys = msgspec.json.decode(answer.good().content, type=list[dict[str, object]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PanelAnswer("its answer is no list of keys", said=answer.said) from None
    return frozenset(str(key.get("uuid", "")).upper() for key in keys)


def allowed(answer: Answer) -> dict[str, object]:
    """The JSON of an answer that is no refusal. Raises `PanelRefused`, `PanelAnswer`."""
    values = answer.good().json()
    if values.get("errors"):
        raise PanelRefused("it refuses", status=answer.status, said=answer.said)
    return values


def resistance(answer: Answer) -> tuple[float, LineState | None]:
    """A line's resistance in ohms, and what the panel's word makes of it: None without one, LEVEL for all but two.

    Raises `PanelError`.
    """
    values = allowed(answer)
    ohm, word = number(values.get("resist")), values.get("status")
    if ohm is None:
        raise PanelAnswer("its answer has no resistance", said=answer.said)
    return ohm, WORDS.get(word, LineState.LEVEL) if isinstance(word, str) else None


def flat_levels(answer: Answer) -> tuple[float, float] | None:
    """The levels `quiescent` and `answer` of a flat, in ohms; None without them. Raises `PanelError`."""
    match allowed(answer).get("resistances"):
        case {"quiescent": quiescent, "answer": lifted}:
            lying, up = number(quiescent), number(lifted)
            return None if lying is None or up is None else (lying, up)
        case _:
            return None


def state_of(ohm: float, levels: tuple[float, float] | None) -> LineState:
    """What a resistance means by the flat's own levels, whichever of the two is the higher.

    From the higher level up to twice of it, and from the lower down to half of it, the line is as that level says.
    Between them nothing is sure, and further out it may as well be broken or short: that stays a number.
    """
    if levels is None or levels[0] == levels[1]:
        return LineState.LEVEL
    low, high = min(levels), max(levels)
    at = low if low / 2 <= ohm <= low else high if high <= ohm <= 2 * high else None
    if at is None or ohm <= 0:
        return LineState.LEVEL
    return LineState.ON_HOOK if at == levels[0] else LineState.OFF_HOOK


def account_state(answer: Answer) -> Registration:
    """Whether its SIP account is registered. Raises `PanelError`."""
    match allowed(answer).get("registerStatus"):
        case True:
            return Registration.REGISTERED
        case False:
            return Registration.NOT_REGISTERED
        case None:
            return Registration.NOT_TOLD
        case _:
            raise PanelAnswer("registerStatus is neither true nor false", said=answer.said)
