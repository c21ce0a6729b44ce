"""Control of a simulated Asterisk that is a process of its own: plain HTTP under /sim/, JSON in and out, no
password.

GET state, result, times, call · POST press, hangup, dtmf, phones, load, fault, drop, inject, restart. It
listens on 127.0.0.1 only.
"""

from __future__ import annotations

from typing import Any

import cattrs
import msgspec

from testbed.simulated.asterisk import Simulated
from testbed.simulated.faults import Faults
from testbed.simulated.load import Load, LoadSpec
from testbed.simulated.panels import PanelCall
from testbed.simulated.phones import Phone
from testbed.simulated.replies import Reply, ok, parse_body, refuse

_converter = cattrs.Converter(forbid_extra_keys=True)


def control(simulated: Simulated, method: str, path: str, query: dict[str, str], raw: bytes) -> Reply:
    """Do what is asked; 400 with the reason where it makes no sense."""
    try:
        body = query | parse_body(raw)
        found = _get(simulated, path, body) if method == "GET" else _post(simulated, path, body)
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, cattrs.BaseValidationError) as error:
        detail = (
            "; ".join(cattrs.transform_error(error))
            if isinstance(error, cattrs.BaseValidationError)
            else repr(error)
        )
        return refuse(400, f"/sim/{path}: {detail}")
    return refuse(404, f"there is no /sim/{path}") if found is None else ok(found)


def _get(simulated: Simulated, path: str, body: dict[str, Any]) -> Any:
    match path:
        case "state":
            return simulated.state()
        case "result":
            return simulated.load.result() if simulated.load is not None else {"finished": False, "calls": 0}
        case "times":
            return simulated.load.first_ms() if simulated.load is not None else []
        case "call":
            return _shown(_call(simulated, body["channel"]))
    return None


def _post(simulated: Simulated, path: str, body: dict[str, Any]) -> Any:
    world = simulated.world
    match path:
        case "press":
            call = simulated.press(str(body["panel"]), str(body["dialled"]), str(body.get("app", "TdCall")))
            simulated.presses[call.channel.id] = call
            return _shown(call)
        case "hangup":
            _call(simulated, body["channel"]).hangup()
            return {}
        case "dtmf":
            _call(simulated, body["channel"]).dtmf(str(body["digits"]))
            return {}
        case "phones":
            phones = _converter.structure(body.get("phones", {}), dict[str, Phone])
            if "default" in body:
                world.phones.default = _converter.structure(body["default"], Phone)
            world.phones.by_user.update(phones)
            return {"phones": len(world.phones.by_user)}
        case "load":
            simulated.start_load(Load(_converter.structure(body, LoadSpec)))
            return {}
        case "fault":
            faults = _converter.structure(body, Faults)
            for name in body:
                setattr(simulated.faults, name, getattr(faults, name))
            return {}
        case "drop":
            return {"dropped": simulated.drop_sockets(str(body.get("app", "")))}
        case "inject":
            simulated.inject(str(body["text"]), str(body.get("app", "TdCall")))
            return {}
        case "restart":
            simulated.restart()
            return {}
    return None


def _call(simulated: Simulated, channel: str) -> PanelCall:
    if channel not in simulated.presses:
        raise ValueError(f"no panel was pressed on channel {channel!r}")
    return simulated.presses[channel]


def _shown(call: PanelCall) -> dict[str, Any]:
    return {
        "channel": call.channel.id,
        "panel": call.panel,
        "dialled": call.dialled,
        "state": call.state.value,
        "seen": [state.value for _, state in call.seen],
        "code": call.code,
        "cause": call.cause,
        "digits": call.digits,
    }
