"""Hikvision's panels: ISAPI, with a Digest login; JSON where it is asked for, XML where they know nothing else.

They have no test of a line, and do not tell whether their SIP account is registered.
"""

from __future__ import annotations

import re

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

CALL_STATUS = {"idle": Idle.YES, "ring": Idle.NO, "onCall": Idle.NO}
OPEN = b"<RemoteControlDoor><cmd>open</cmd></RemoteControlDoor>"
DONE = ("0", "1")  # statusCode of ISAPI


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
