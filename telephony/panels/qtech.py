"""Qtech's panels: one address, `POST /api`, with a target, an action and its data as JSON.

The test of a line wants the number that the flat has on the analog side, not the flat's own: the panel's dial plan has
it, so that is asked for first. Another flat's line is never tested in its stead.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from telephony.panels.http import Answer, PanelHttp, number
from telephony.panels.interface import (
    AnswerMeans,
    Idle,
    LineState,
    LineTest,
    PanelAnswer,
    PanelRefused,
    Registration,
)

REGISTERED = 2.0
NO_HANDSET = ("", "0")  # what the dial plan has instead of an analog number
FAULTS = (LineState.SHORT, LineState.OPEN, LineState.OFF_HOOK)  # line_err1, 2, 3
OPEN_S = 3  # for how long a relay holds the door


class Qtech:
    """See `PanelDriver`."""

    vendor = "qtech"
    answer_means = AnswerMeans.UNKNOWN
    has_line_test = True

    def __init__(self, http: PanelHttp) -> None:
        self._http = http

    async def line_test(self, flat: str) -> LineTest:
        line = analog_number(await self._call("dialreplace", "get"), flat)
        if line in NO_HANDSET:
            return LineTest(LineState.UNKNOWN, None, "", "no analog number in the panel's dial plan")
        answer = await self._call("rs485", "status", {"num": line})
        return LineTest(line_state(answer), None, "", answer.said)

    async def idle(self) -> Idle:
        return Idle.NOT_TOLD  # calls are only in its syslog

    async def open_door(self, door: int = 1) -> None:
        allowed(
            await self._call("relay", "trig", {"mode": 0, "relay_num": door - 1, "level": 0, "delay": OPEN_S})
        )

    async def registration(self) -> Registration:
        return account_state(await self._call("sip", "get"))

    async def _call(self, target: str, action: str, data: Mapping[str, object] | None = None) -> Answer:
        content = msgspec.json.encode({"target": target, "action": action, "session": "", "data": data or {}})
        return await self._http.ask("POST", "/api", content=content, content_type="application/json")


def allowed(answer: Answer) -> dict[str, object]:
    """The data of an answer that is no refusal. Raises `PanelRefused`, `PanelAnswer`."""
    values = answer.good().json()
    if number(values.get("retcode", 0)) != 0:
        raise PanelRefused("it refuses", status=answer.status, said=answer.said)
    match values.get("data"):
        case dict() as data:
            return data
        case None:
            return {}
        case _:
            raise PanelAnswer("the data in its answer is no object", said=answer.said)


def analog_number(answer: Answer, flat: str) -> str:
    """The number of a flat's handset in the dial plan; one that is not in there is dialled as it is.

    Raises `PanelError`.
    """
    for entry in allowed(answer).values():
        match entry:
            case {"prefix": str() | int() as prefix, "replace1": str() | int() as line} if (
                str(prefix) == flat
            ):
                return str(line).strip()
    return flat


def line_state(answer: Answer) -> LineState:
    """What the panel found on a line. Raises `PanelError`.

    `result` says that all is well with it; else one of three flags says what is not. All three told and none set is
    a handset that lies on its hook, too.
    """
    data = allowed(answer)
    if number(data.get("result")) or data.get("result") is True:
        return LineState.ON_HOOK
    flags = {state: data.get(f"line_err{n}") for n, state in enumerate(FAULTS, 1)}
    for state, flag in flags.items():
        if flag is True or number(flag):
            return state
    if all(flag is False or number(flag) == 0 for flag in flags.values()):
        return LineState.ON_HOOK
    raise PanelAnswer("it does not tell how the line is", said=answer.said)


def account_state(answer: Answer) -> Registration:
    """Whether its SIP account is registered: `AccountStatus` is 2 then. Raises `PanelError`."""
    match allowed(answer):
        case {"AccountStatus": value} | {"SipAccount": {"AccountStatus": value}}:
            status = number(value)
        case _:
            return Registration.NOT_TOLD
    if status is None:
        raise PanelAnswer("AccountStatus is no number", said=answer.said)
    return Registration.REGISTERED if status == REGISTERED else Registration.NOT_REGISTERED
