"""Hikvision's panels: ISAPI, with a Digest login; JSON where it is asked for, XML where they know nothing else.

They have no test of a line, and do not tell whether their SIP account is registered. A key is a card of a person: each
is given a person of its own, as one person has only few. Its number is the UID as a decimal number, of the bytes in the
order in which the key sends them, as public drivers have it; tried on no hardware here. How an access code that opens the
door is set is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from telephony.panels.http import Answer, PanelHttp
from telephony.panels.interface import (
    AnswerMeans,
    Idle,
    LineTest,
    PanelAnswer,
    PanelCannot,
    PanelRefused,
    Registration,
)
from telephony.panels.uids import UidOrder, ordered

CALL_STATUS = {"idle": Idle.YES, "ring": Idle.NO, "onCall": Idle.NO}
OPEN = b"<RemoteControlDoor><cmd>open</cmd></RemoteControlDoor>"
DONE = ("0", "1")  # statusCode of ISAPI
UID_ORDER = UidOrder.AS_SENT
CARD_BYTES, CARD_DIGITS = 8, 10  # of a card's number at most, and at least
VALID = {
    "enable": True,
    "beginTime": "2020-01-01T00:00:00",
    "endTime": "2037-12-31T23:59:59",
    "timeType": "local",
}
ACCESS = "/ISAPI/AccessControl"


class Hikvision:
    """See `PanelDriver`."""

    vendor = "hikvision"
    answer_means = AnswerMeans.UNKNOWN
    has_line_test = False

    def __init__(self, http: PanelHttp) -> None:
        self._http = http

    async def line_test(self, flat: str) -> LineTest:
        raise PanelCannot("Hikvision's panels have no test of a flat's line")

    async def idle(self) -> Idle:
        return call_status(await self._http.ask("GET", "/ISAPI/VideoIntercom/callStatus", {"format": "json"}))

    async def open_door(self, door: int = 1) -> None:
        path = f"/ISAPI/AccessControl/RemoteControl/door/{door}"
        done(await self._http.ask("PUT", path, content=OPEN, content_type="application/xml"))

    async def registration(self) -> Registration:
        return Registration.NOT_TOLD

    async def add_key(self, uid: str) -> None:
        person, card = f"td{uid}", card_number(uid)
        doors = {"doorRight": "1", "RightPlan": [{"doorNo": 1, "planTemplateNo": "1"}]}
        user = {"employeeNo": person, "name": uid, "userType": "normal", "Valid": VALID, **doors}
        await self._set("UserInfo/SetUp", {"UserInfo": user})
        await self._set(
            "CardInfo/SetUp", {"CardInfo": {"employeeNo": person, "cardNo": card, "cardType": "normalCard"}}
        )

    async def remove_key(self, uid: str) -> None:
        person, card = f"td{uid}", card_number(uid)
        await self._set("CardInfo/Delete", {"CardInfoDelCond": {"CardNoList": [{"cardNo": card}]}})
        await self._set("UserInfo/Delete", {"UserInfoDelCond": {"EmployeeNoList": [{"employeeNo": person}]}})

    async def set_code(self, code: str, old: str) -> None:
        raise PanelCannot("how Hikvision's panels take an access code is not known")

    async def _set(self, what: str, values: Mapping[str, object]) -> None:
        content = msgspec.json.encode(values)
        path, query = f"{ACCESS}/{what}", {"format": "json"}
        applied(await self._http.ask("PUT", path, query, content=content, content_type="application/json"))


def card_number(uid: str) -> str:
    """The number of the card with this UID. Raises `PanelCannot`: it is too long."""
    data = ordered(uid, UID_ORDER)
    if len(data) > CARD_BYTES:
        raise PanelCannot(f"its keys have {CARD_BYTES} bytes at most, and this one {len(data)}")
    return f"{int.from_bytes(data):0{CARD_DIGITS}}"


def applied(answer: Answer) -> None:
    """Make sure that it took what it was sent as JSON. Raises `PanelError`."""
    status = answer.good().json().get("statusCode")
    if not isinstance(status, int):
        raise PanelAnswer("it does not say whether that is done", said=answer.said)
    if str(status) not in DONE:
        raise PanelRefused(f"it refuses with statusCode {status}", status=answer.status, said=answer.said)


def call_status(answer: Answer) -> Idle:
    """Whether it is in no call. Raises `PanelError`."""
    match answer.good().json():
        case {"CallStatus": {"status": str() as word}} if word in CALL_STATUS:
            return CALL_STATUS[word]
        case _:
            raise PanelAnswer("its answer has no call status that is known", said=answer.said)


def done(answer: Answer) -> None:
    """Make sure that it did what it was told: an error may come with HTTP 200. Raises `PanelError`.

    One number is looked for in the XML, which is not parsed: it is a stranger's.
    """
    text = answer.good().text()
    status = re.search(r"<statusCode>\s*([0-9]{1,4})\s*</statusCode>", text)
    if status is None and text.strip():
        raise PanelAnswer("it does not say whether the door is open", said=answer.said)
    if status is not None and status[1] not in DONE:
        raise PanelRefused(f"it refuses with statusCode {status[1]}", status=answer.status, said=answer.said)
