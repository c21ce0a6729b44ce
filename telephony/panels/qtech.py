"""Qtech's panels: one address, `POST /api`, with a target, an action and its data as JSON.

The test of a line wants the number that the flat has on the analog side, not the flat's own: the panel's dial plan has
it, so that is asked for first. Another flat's line is never tested in its stead.

A key is 7 bytes in hex, with zeros before it; public drivers write them in the order in which the key sends them, with
the panel's reader set to turn them (ReverseMode), which was tried on no hardware here. There may be several access codes,
each with a name of its own.
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
from telephony.panels.uids import UidOrder, padded

REGISTERED = 2.0
NO_HANDSET = ("", "0")  # what the dial plan has instead of an analog number
FAULTS = (LineState.SHORT, LineState.OPEN, LineState.OFF_HOOK)  # line_err1, 2, 3
UID_ORDER = UidOrder.AS_SENT
ALWAYS = dict.fromkeys(("mon", "tue", "wed", "thur", "fri", "sat", "sun"), 1)
NAME = "teledom"  # of access codes that are ours
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

    async def add_key(self, uid: str) -> None:
        key = padded(uid, UID_ORDER)
        values = {"name": "", "code": key, "door_num": 1, "door_wiegand_num": 2, "device_name": "", **ALWAYS}
        try:
            allowed(await self._call("rfkey", "add", values))
        except PanelRefused as error:
            if not error.may_be_so_already or key not in rows_by_code(await self._call("rfkey", "get")):
                raise error from None

    async def remove_key(self, uid: str) -> None:
        key = padded(uid, UID_ORDER)
        try:
            allowed(await self._call("rfkey", "del", {"code": key}))
        except PanelRefused as error:
            if not error.may_be_so_already or key in rows_by_code(await self._call("rfkey", "get")):
                raise error from None

    async def set_code(self, code: str, old: str) -> None:
        there = rows_by_code(await self._call("privatekey", "get"))
        if code and code not in there:
            hours = {"door_num": 1, "time_start": "00:00", "time_end": "23:59", "device_name": NAME}
            allowed(await self._call("privatekey", "add", {"name": NAME, "code": code, **ALWAYS, **hours}))
        if old and old != code and old in there:
            allowed(await self._call("privatekey", "del", {"id": there[old]}))

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


def rows_by_code(answer: Answer) -> dict[str, str]:
    """The ids of keys or access codes, by the code that each has. Raises `PanelError`."""
    found: dict[str, str] = {}
    for entry in allowed(answer).values():
        match entry:
            case {"id": str() | int() as id, "code": str() | int() as code}:
                found[str(code).upper()] = str(id)
    return found


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
