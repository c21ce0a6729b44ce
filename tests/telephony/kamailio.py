"""Kamailio's answers to a node on paper: registrations as usrloc's RPC words them, over a real socket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import trio
from attrs import Factory, define

NO_CONTACTS: dict[str, Any] = {"result": {"Contacts": []}}


def contact(**changes: Any) -> dict[str, Any]:
    """One that registered at 1,000,000 for 600 s; "User-Agent" and the like are changed by their names."""
    said = {
        "Address": "sip:500001@10.1.2.3:5062;line=7",
        "Expires": 600,
        "Q": -1,
        "User-Agent": "Beward DKS",
        "Received": "[not set]",
        "Path": "[not set]",
        "Socket": "udp:10.0.0.1:5060",
        "Last-Modified": 1_000_000,
    }
    return {"Contact": said | {name.replace("_", "-"): value for name, value in changes.items()}}


def found(*contacts: Mapping[str, Any]) -> bytes:
    """What it says of an account with these contacts."""
    result = {"AoR": "500001", "Contacts": list(contacts)}
    return msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": 1})


@define
class PaperKamailio:
    """`contacts` by SIP user; `raw` is said instead to whatever is asked. `bodies` are what came with POSTs."""

    contacts: dict[str, bytes] = Factory(dict)
    raw: bytes | None = None
    status: int = 200
    silent: bool = False
    bodies: list[str] = Factory(list)

    async def serve(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; starts with its URL."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        await trio.serve_listeners(self._answer, [listener])

    async def _answer(self, stream: trio.SocketStream) -> None:
        buffer = b""
        while True:
            while (end := buffer.find(b"\r\n\r\n")) < 0:
                if not (piece := await stream.receive_some()):
                    return
                buffer += piece
            head, buffer = buffer[:end].decode(), buffer[end + 4 :]
            length = re.search(r"(?i)content-length: (\d+)", head)
            assert length is not None, "the real one takes no request without"
            while len(buffer) < int(length[1]):
                buffer += await stream.receive_some()
            body, buffer = buffer[: int(length[1])].decode(), buffer[int(length[1]) :]
            method, path, _ = head.split(" ", 2)
            if self.silent:
                await trio.sleep_forever()
            content = self._say(method, path, body) if self.raw is None else self.raw
            await stream.send_all(
                f"HTTP/1.1 {self.status} x\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
            )

    def _say(self, method: str, path: str, body: str) -> bytes:
        if method == "POST":
            self.bodies.append(body)
            return "".join(f"{user}," for user in body.split(",") if user in self.contacts).encode()
        return self.contacts.get(path.removeprefix("/contacts/"), msgspec.json.encode(NO_CONTACTS))
