"""What panels answer, one function a vendor: the dialects that telephony/panels speaks, from the other side."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from attrs import frozen

from telephony.panels.interface import LineState
from testbed import panel_keys, panel_login
from testbed.panel_state import PanelState, Reply, Request

Login = Callable[[PanelState, str, str, str], Reply | None]

NOT_FOUND = Reply(404, b"Not Found")
BEWARD_UP, BEWARD_DOOR = 230, 450
BEWARD_LEVELS = {
    LineState.SHORT: 0,
    LineState.ON_HOOK: 120,
    LineState.OFF_HOOK: 340,
    LineState.OPEN: 520,
}
SOKOL_QUIESCENT, SOKOL_ANSWER = 4000, 800
SOKOL_OHMS = {LineState.SHORT: 0, LineState.ON_HOOK: 4100, LineState.OFF_HOOK: 750, LineState.OPEN: 65_535}
SOKOL_WORDS = {LineState.ON_HOOK: "down", LineState.OFF_HOOK: "up"}
QTECH_ANALOG = 100  # the analog number of flat 17 is 117


def beward(panel: PanelState, request: Request) -> Reply:
    query = request.query
    match request.path, query.get("action"):
        case "/cgi-bin/intercom_cgi", "linelevel":
            if panel.in_call:
                return Reply(200, b"Request failed:Busy\r\n")
            flat = query["Apartment"]
            level = panel.levels.get(flat, BEWARD_LEVELS[panel.line(flat)])
            return Reply(200, f"{level:g}\r\n".encode())
        case "/cgi-bin/intercom_cgi", "maindoor" | "altdoor" as action:
            panel.doors.append(1 if action == "maindoor" else 2)
            return Reply(200, b"OK\r\n")
        case "/cgi-bin/apartment_cgi", "get" if panel.tells_more:
            text = f"Number={query['Number']}\r\nBlockCMS=off\r\nHandsetUpLevel={BEWARD_UP}\r\n"
            return Reply(200, f"{text}DoorOpenLevel={BEWARD_DOOR}\r\n".encode())
        case "/cgi-bin/sip_cgi", "regstatus":
            return Reply(200, f"AccountReg1={panel.registered:d}\nAccountReg2=0\n".encode())
        case _:
            return panel_keys.beward(panel, request) or NOT_FOUND


def sokol(panel: PanelState, request: Request) -> Reply:
    parts = request.path.strip("/").split("/")
    match request.method, parts:
        case "GET", ["panelCode", flat, "resist"]:
            line = panel.line(flat)
            values: dict[str, object] = {"resist": panel.levels.get(flat, SOKOL_OHMS[line])}
            if panel.tells_more:
                values["status"] = SOKOL_WORDS.get(line, "unknown")
            return _json(values)
        case "GET", ["panelCode", flat]:
            levels = {"quiescent": SOKOL_QUIESCENT, "answer": SOKOL_ANSWER}
            return _json({"panelCode": int(flat), "resistances": levels})
        case "PUT", ["relay", door, "open"]:
            if door not in ("1", "2"):
                return _json({"errors": [{"message": "no such relay"}]})
            panel.doors.append(int(door))
            return Reply(200)
        case "GET", ["system", "info"]:
            return _json({"deviceID": "a1b2c3", "model": "ISCom X1", "registerStatus": panel.registered})
        case _:
            return panel_keys.sokol(panel, request) or NOT_FOUND


def qtech(panel: PanelState, request: Request) -> Reply:
    if (request.method, request.path) != ("POST", "/api"):
        return NOT_FOUND
    asked = msgspec.json.decode(request.body, type=dict[str, object])
    match asked:
        case {"target": "dialreplace", "action": "get"}:
            rows = {str(n): _row(panel, flat) for n, flat in enumerate(panel.lines)}
            return _qtech({"num": len(rows), **rows})
        case {"target": "rs485", "action": "status", "data": {"num": str() as num}}:
            line = panel.line(str(int(num) - QTECH_ANALOG))
            flags = (LineState.SHORT, LineState.OPEN, LineState.OFF_HOOK)
            errors = {f"line_err{n}": int(line is state) for n, state in enumerate(flags, 1)}
            return _qtech({"result": int(line is LineState.ON_HOOK), **errors})
        case {"target": "relay", "action": "trig", "data": {"relay_num": int() as relay}}:
            panel.doors.append(relay + 1)
            return _qtech({})
        case {"target": "sip", "action": "get"}:
            return _qtech(
                {"SipAccount": {"AccountID": "0", "AccountStatus": "2" if panel.registered else "3"}}
            )
        case _:
            unknown = _json({"retcode": 1, "message": "unknown target", "data": {}})
            return panel_keys.qtech(panel, asked) or unknown


def hikvision(panel: PanelState, request: Request) -> Reply:
    match request.method, request.path:
        case "GET", "/ISAPI/VideoIntercom/callStatus" if request.query == {"format": "json"}:
            return _json({"CallStatus": {"status": "onCall" if panel.in_call else "idle"}})
        case "PUT", path if door := re.fullmatch(r"/ISAPI/AccessControl/RemoteControl/door/(\d+)", path):
            if b"<cmd>open</cmd>" not in request.body:
                return _isapi(400, 6, "Invalid Content")
            if door[1] != "1":  # a refusal comes with 200
                return _isapi(200, 4, "Invalid Operation")
            panel.doors.append(1)
            return _isapi(200, 1, "OK")
        case _:
            return panel_keys.hikvision(panel, request) or _isapi(404, 4, "Invalid Operation")


@frozen
class Dialect:
    """How a vendor's panels want a login, and what they answer then."""

    login: Login
    reply: Callable[[PanelState, Request], Reply]


DIALECTS = {
    "beward": Dialect(panel_login.basic, beward),
    "sokol": Dialect(panel_login.basic, sokol),
    "qtech": Dialect(panel_login.basic, qtech),
    "hikvision": Dialect(panel_login.digest, hikvision),
}


def _row(panel: PanelState, flat: str) -> dict[str, str]:
    analog = "0" if flat in panel.no_handset else str(int(flat) + QTECH_ANALOG)
    return {
        "prefix": flat,
        "replace1": analog,
        "replace2": f"10000{flat}",
        "tags": "0",
    }


def _json(values: dict[str, object]) -> Reply:
    return Reply(200, msgspec.json.encode(values), (("content-type", "application/json"),))


def _qtech(data: dict[str, object]) -> Reply:
    return _json({"retcode": 0, "message": "OK", "data": data})


def _isapi(status: int, code: int, text: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<ResponseStatus version="2.0"><statusCode>{code}</statusCode>'
    return Reply(status, f"{body}<statusString>{text}</statusString></ResponseStatus>".encode())
