"""Beward's DKS panels: CGI requests, answered in plain text.

A line's level is a number on the panel's own scale. What it means is set in the panel, for each flat:
`HandsetUpLevel`, from which it takes the handset for lifted, and `DoorOpenLevel`, from which for its button pressed.
Those two are asked for after the level; without them it stays a number.

Keys stand in one table (`rfid_cgi`), or in newer models in two: one of the panel's own reader, one of an outer reader.
A key is 7 bytes in hex, with zeros before it; public drivers write them in the order in which the key sends them, which
was tried on no hardware here. A panel has one access code.
"""

from __future__ import annotations

from telephony.panels.http import Answer, PanelHttp, number
from telephony.panels.interface import (
    AnswerMeans,
    Idle,
    LineState,
    LineTest,
    PanelAnswer,
    PanelBusy,
    PanelCannot,
    PanelRefused,
    Registration,
)
from telephony.panels.uids import UidOrder, padded

INTERCOM = "/cgi-bin/intercom_cgi"
APARTMENT = "/cgi-bin/apartment_cgi"
SIP = "/cgi-bin/sip_cgi"
DOORS = {1: "maindoor", 2: "altdoor"}
KEYS, OUTER_KEYS, OLD_KEYS = "/cgi-bin/mifare_cgi", "/cgi-bin/extrfid_cgi", "/cgi-bin/rfid_cgi"
FAILED = "Request failed:"
UID_ORDER = UidOrder.AS_SENT


class Beward:
    """See `PanelDriver`."""

    vendor = "beward"
    answer_means = AnswerMeans.UNKNOWN
    has_line_test = True

    def __init__(self, http: PanelHttp) -> None:
        self._http = http
        self._tables: tuple[str, ...] = ()  # of keys, once the panel has told

    async def line_test(self, flat: str) -> LineTest:
        answer = await self._http.ask("GET", INTERCOM, {"action": "linelevel", "Apartment": flat})
        level = line_level(answer)
        return LineTest(state_of(level, await self._bounds(flat)), level, "", answer.said)

    async def _bounds(self, flat: str) -> tuple[float, float] | None:
        try:
            return flat_bounds(await self._http.ask("GET", APARTMENT, {"action": "get", "Number": flat}))
        except (PanelRefused, PanelAnswer):  # firmware without levels of a flat's own
            return None

    async def idle(self) -> Idle:
        return Idle.NOT_TOLD  # only the test of a line says that it is busy

    async def open_door(self, door: int = 1) -> None:
        if door not in DOORS:
            raise PanelCannot(f"Beward's panels have doors 1 and 2, not {door}")
        answer = allowed(await self._http.ask("GET", INTERCOM, {"action": DOORS[door]}))
        if answer.text().strip() != "OK":
            raise PanelAnswer("it does not say that the door is open", said=answer.said)

    async def registration(self) -> Registration:
        return account_state(await self._http.ask("GET", SIP, {"action": "regstatus"}))

    async def add_key(self, uid: str) -> None:
        key = padded(uid, UID_ORDER)
        for table in await self._key_tables():
            kind = {} if table == OLD_KEYS else {"Type": "1"}
            try:
                done(await self._http.ask("GET", table, {"action": "add", "Key": key, **kind}))
            except PanelRefused as error:
                if not error.may_be_so_already or not await self._knows(table, key):
                    raise error from None

    async def remove_key(self, uid: str) -> None:
        key = padded(uid, UID_ORDER)
        for table in await self._key_tables():
            try:
                done(await self._http.ask("GET", table, {"action": "delete", "Key": key}))
            except PanelRefused as error:
                if not error.may_be_so_already or await self._knows(table, key):
                    raise error from None

    async def set_code(self, code: str, old: str) -> None:
        values = {"DoorCode": code, "DoorCodeActive": "on"} if code else {"DoorCodeActive": "off"}
        done(await self._http.ask("GET", INTERCOM, {"action": "set", **values}))

    async def _key_tables(self) -> tuple[str, ...]:
        if not self._tables:
            answer = await self._http.ask("GET", OUTER_KEYS)
            older = answer.status == 404 or "is not defined" in answer.text()
            self._tables = (OLD_KEYS,) if older else (KEYS, OUTER_KEYS)
        return self._tables

    async def _knows(self, table: str, key: str) -> bool:
        """Whether a table has a key: a refusal may only mean that all is as it should be."""
        return key in listed_keys(await self._http.ask("GET", table, {"action": "list"}))


def allowed(answer: Answer) -> Answer:
    """An answer that is no refusal. Raises `PanelBusy`, `PanelRefused`."""
    text = answer.text().strip()
    if text.startswith(FAILED):
        if text.removeprefix(FAILED).strip().casefold() == "busy":
            raise PanelBusy("it is in a call: try again later")
        raise PanelRefused("it refuses", status=answer.status, said=answer.said)
    return answer.good()


def done(answer: Answer) -> None:
    """Make sure that it did what it was told. Raises `PanelError`."""
    if allowed(answer).text().strip() != "OK":
        raise PanelAnswer("it does not say that it is done", said=answer.said)


def listed_keys(answer: Answer) -> frozenset[str]:
    """The keys in a table, as it writes them: lines of Key1=… or KeyValue1=…. Raises `PanelError`."""
    values = allowed(answer).parameters()
    return frozenset(value.upper() for name, value in values.items() if name.startswith("Key"))


def line_level(answer: Answer) -> float:
    """A line's level, on the panel's own scale. Raises `PanelError`."""
    level = number(allowed(answer).text())
    if level is None:
        raise PanelAnswer("its answer is no level of a line", said=answer.said)
    return level


def flat_bounds(answer: Answer) -> tuple[float, float] | None:
    """From which level the panel takes a flat's handset for lifted, and from which its button for pressed."""
    values = answer.good().parameters()
    up, door = number(values.get("HandsetUpLevel")), number(values.get("DoorOpenLevel"))
    return None if up is None or door is None else (up, door)


def state_of(level: float, bounds: tuple[float, float] | None) -> LineState:
    """What a level means by the panel's own bounds, on whose scale it rises from lying over lifted to the button.

    0 is no measurement, and from the button's level on a broken line measures alike: both stay a number.
    """
    if bounds is None or not 0 < bounds[0] < bounds[1] or not 0 < level < bounds[1]:
        return LineState.LEVEL
    return LineState.ON_HOOK if level < bounds[0] else LineState.OFF_HOOK


def account_state(answer: Answer) -> Registration:
    """Whether the first SIP account, which is the one that calls go over, is registered. Raises `PanelError`."""
    values = allowed(answer).parameters()
    match values.get("AccountReg1"):
        case "1":
            return Registration.REGISTERED
        case "0":
            return Registration.NOT_REGISTERED
        case None if values:
            return Registration.NOT_TOLD
        case _:
            raise PanelAnswer("its answer has no AccountReg1 that is 0 or 1", said=answer.said)
