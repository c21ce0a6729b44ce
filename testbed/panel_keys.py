"""Keys and access codes as panels' servers have them, one function a vendor; None: that request is about neither."""

from __future__ import annotations

import re

import msgspec

from testbed.panel_state import PanelState, Reply, Request

OK = Reply(200, b"OK\r\n")
FAILED = Reply(200, b"Request failed:Key\r\n")


def beward(panel: PanelState, request: Request) -> Reply | None:
    query, action = request.query, request.query.get("action")
    name = request.path.removeprefix("/cgi-bin/")
    if name == "intercom_cgi" and action == "set" and "DoorCodeActive" in query:
        panel.codes[:] = [query["DoorCode"]] if query["DoorCodeActive"] == "on" else []
        return OK
    tables = ("mifare_cgi", "extrfid_cgi") if panel.two_tables else ("rfid_cgi",)
    if name not in tables:
        return None
    table = "" if name != "extrfid_cgi" else "outer "  # what an outer reader knows is kept apart
    key = table + query.get("Key", "")
    match action:
        case "add":
            return FAILED if not _add(panel, key) else OK
        case "delete":
            return FAILED if not _remove(panel, key) else OK
        case "list":
            mine = sorted(
                each.removeprefix("outer ") for each in panel.keys if each.startswith("outer ") is bool(table)
            )
            label = "KeyValue" if name == "rfid_cgi" else "Key"
            return Reply(200, "".join(f"{label}{n}={each}\r\n" for n, each in enumerate(mine, 1)).encode())
        case _:
            return Reply(200, b"")


def sokol(panel: PanelState, request: Request) -> Reply | None:
    match request.method, request.path.strip("/").split("/"):
        case "PUT", ["key", "store", "merge"]:
            for key in msgspec.json.decode(request.body, type=list[dict[str, str]]):
                panel.keys.add(key["uuid"])
            return Reply(200)
        case "DELETE", ["key", "store", key]:
            return Reply(200) if _remove(panel, key) else Reply(404, b'{"errors":[{"message":"no key"}]}')
        case "GET", ["key", "store"]:
            return _json([{"uuid": key, "panelCode": 0} for key in sorted(panel.keys)])
        case "DELETE", ["openCode", "0"]:
            had = bool(panel.codes)
            panel.codes.clear()
            return Reply(200) if had else Reply(404, b'{"errors":[{"message":"no code"}]}')
        case "POST", ["openCode"]:
            panel.codes.append(str(msgspec.json.decode(request.body)["code"]))
            return Reply(200)
        case _:
            return None


def qtech(panel: PanelState, asked: dict[str, object]) -> Reply | None:
    match asked:
        case {"target": "rfkey", "action": "add", "data": {"code": str() as key}}:
            return _qtech({}) if _add(panel, key) else _json({"retcode": -1, "message": "exists", "data": {}})
        case {"target": "rfkey", "action": "del", "data": {"code": str() as key}}:
            return (
                _qtech({}) if _remove(panel, key) else _json({"retcode": -1, "message": "none", "data": {}})
            )
        case {"target": "rfkey", "action": "get"}:
            return _qtech(_rows(sorted(panel.keys)))
        case {"target": "privatekey", "action": "get"}:
            return _qtech(_rows(panel.codes))
        case {"target": "privatekey", "action": "add", "data": {"code": str() as code}}:
            panel.codes.append(code)
            return _qtech({})
        case {"target": "privatekey", "action": "del", "data": {"id": str() as id}}:
            del panel.codes[int(id) - 1]
            return _qtech({})
        case _:
            return None


def hikvision(panel: PanelState, request: Request) -> Reply | None:
    match = re.fullmatch(r"/ISAPI/AccessControl/(UserInfo|CardInfo)/(SetUp|Delete)", request.path)
    if match is None or request.method != "PUT" or request.query != {"format": "json"}:
        return None
    match (*match.groups(), msgspec.json.decode(request.body)):
        case "UserInfo", "SetUp", {
            "UserInfo": {"employeeNo": str() as person, "Valid": {}, "doorRight": "1"}
        }:
            panel.people.add(person)
        case "CardInfo", "SetUp", {"CardInfo": {"employeeNo": person, "cardNo": str() as card}}:
            if person not in panel.people:
                return _isapi(6, "employeeNoNotExist")
            panel.keys.add(card)
        case "CardInfo", "Delete", {"CardInfoDelCond": {"CardNoList": [{"cardNo": card}]}}:
            panel.keys.discard(card)
        case "UserInfo", "Delete", {"UserInfoDelCond": {"EmployeeNoList": [{"employeeNo": person}]}}:
            panel.people.discard(person)
        case _:
            return _isapi(6, "badJsonContent")
    return _isapi(1, "ok")


def _add(panel: PanelState, key: str) -> bool:
    new = key not in panel.keys
    panel.keys.add(key)
    return new or not panel.strict


def _remove(panel: PanelState, key: str) -> bool:
    had = key in panel.keys
    panel.keys.discard(key)
    return had or not panel.strict


def _rows(codes: list[str]) -> dict[str, object]:
    return {"num": len(codes), **{str(n): {"id": n, "code": code} for n, code in enumerate(codes, 1)}}


def _json(values: object) -> Reply:
    return Reply(200, msgspec.json.encode(values), (("content-type", "application/json"),))


def _qtech(data: dict[str, object]) -> Reply:
    return _json({"retcode": 0, "message": "OK", "data": data})


def _isapi(code: int, text: str) -> Reply:
    return _json(
        {"statusCode": code, "statusString": "OK" if code == 1 else "Invalid", "subStatusCode": text}
    )
