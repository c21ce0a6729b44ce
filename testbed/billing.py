"""A small billing: the other end of docs/billing.md, for the tests and the demo.

A real HTTP server (h11 on Trio's streams). It keeps the companies that it is told of, tells debts and contracts by
cursor, and can be told to fail in every way in which such services do. It owns `companies` and `asked`; whoever runs it
may change `fault`, `script`, `token` and the feeds at any time. `python -m testbed.billing [--port N]` runs one.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import msgspec
import trio
from attrs import Factory, define, frozen

NEWLY = "2026-10-01T00:00:00Z"


class Fault(Enum):
    """How a request fails."""

    NONE = "none"
    AWAY = "away"  # the connection ends without an answer
    UNAVAILABLE = "unavailable"  # 503 with `retry_after`
    TOO_MANY = "too_many"  # 429 with `retry_after`
    BROKEN = "broken"  # 500
    REFUSED = "refused"  # 422 with a reason
    GONE = "gone"  # 410: the cursor is not known any more
    HANG = "hang"  # never answers
    DROPS = "drops"  # answers byte by byte, slowly
    HALF = "half"  # half of the answer, then the connection ends
    GARBAGE = "garbage"  # 200, and text that is no JSON
    WRONG_SHAPE = "wrong_shape"  # 200, and JSON of another kind
    REDIRECT = "redirect"


@frozen
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


@define
class FakeBilling:
    """One billing. `script` holds faults for the next requests, one each, before `fault` counts again.

    An entry of a feed is what the page says, as a dict; its cursor is how many stand up to it.
    """

    fault: Fault = Fault.NONE
    script: deque[Fault] = Factory(deque)
    fail_companies: set[str] = Factory(set)  # names that are refused
    retry_after: str = "1"
    drop_s: float = 0.05
    token: str = ""  # the bearer token that is asked for; "" asks for none
    page: int = 100  # entries of an answer at most
    companies: dict[str, dict[str, Any]] = Factory(dict)  # by billing_id
    debts: list[dict[str, Any]] = Factory(list)
    contracts: list[dict[str, Any]] = Factory(list)
    asked: list[Asked] = Factory(list)

    def owes(self, contract: str, amount: str, since: str = NEWLY) -> None:
        """From now on the contract owes so much ("0": nothing)."""
        self.debts.append({"contract": contract, "since": since, "amount": amount})

    def contract(self, contract: str, flat: str = "", *, active: bool = True, **house: str) -> None:
        """From now on the contract is that of a flat in a house (`fias` or `own_id`)."""
        self.contracts.append({"contract": contract, "house": house, "flat": flat, "active": active})

    async def run(
        self, port: int = 0, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve on 127.0.0.1 until cancelled; `task_status` gets the URL."""
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
            task_status.started(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/billing")
            await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            async with stream:
                while await self._request(http, stream):
                    http.start_next_cycle()
        except (trio.BrokenResourceError, h11.ProtocolError):
            return  # the client went away, or speaks something else

    async def _request(self, http: h11.Connection, stream: trio.SocketStream) -> bool:
        """Answer one request. Says whether the connection is good for another."""
        request: h11.Request | None = None
        body = b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        assert request is not None
        url = urlsplit(request.target.decode())
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        asked = Asked(request.method.decode(), url.path, query, msgspec.json.decode(body) if body else None)
        self.asked.append(asked)
        fault = self.script.popleft() if self.script else self.fault
        if fault is Fault.AWAY:
            return False
        if fault is Fault.HANG:
            await trio.sleep_forever()
        headers: dict[str, str] = {}
        status, answer = 401, b'{"detail":"who are you?"}'
        if not self.token or dict(request.headers).get(b"authorization") == f"Bearer {self.token}".encode():
            status, answer, headers = self._answer(asked, fault)
        return await self._send(http, stream, status, answer, headers, fault)

    async def _send(
        self,
        http: h11.Connection,
        stream: trio.SocketStream,
        status: int,
        answer: bytes,
        more: dict[str, str],
        fault: Fault,
    ) -> bool:
        headers = [("content-type", "application/json"), ("content-length", str(len(answer))), *more.items()]
        out = http.send(h11.Response(status_code=status, headers=headers)) or b""
        if fault is Fault.HALF:
            await stream.send_all(out + answer[: len(answer) // 2])
            return False
        out += http.send(h11.Data(data=answer)) or b""
        out += http.send(h11.EndOfMessage()) or b""
        if fault is Fault.DROPS:
            head = len(out) - len(answer)
            await stream.send_all(out[:head])
            for at in range(head, len(out)):
                await trio.sleep(self.drop_s)
                await stream.send_all(out[at : at + 1])
        else:
            await stream.send_all(out)
        return http.our_state is h11.DONE and http.their_state is h11.DONE

    def _answer(self, asked: Asked, fault: Fault) -> tuple[int, bytes, dict[str, str]]:
        match fault:
            case Fault.UNAVAILABLE:
                return 503, b"", {"retry-after": self.retry_after}
            case Fault.TOO_MANY:
                return 429, b"", {"retry-after": self.retry_after}
            case Fault.BROKEN:
                return 500, b"Internal Server Error", {}
            case Fault.REFUSED:
                return 422, b'{"title":"Unprocessable","detail":"inn: no such company"}', {}
            case Fault.GONE:
                return 410, b'{"detail":"this cursor is too old"}', {}
            case Fault.REDIRECT:
                return 302, b"", {"location": "https://127.0.0.1/"}
            case Fault.GARBAGE:
                return 200, b"<html>\xff it works!</html>", {}
            case Fault.WRONG_SHAPE:
                return 200, b'{"entries":{"1":true}}', {}
            case _:
                return self._well(asked)

    def _well(self, asked: Asked) -> tuple[int, bytes, dict[str, str]]:
        match asked.method, asked.path.split("/")[2:]:
            case "PUT", ["companies", key]:
                return self._put(unquote(key), asked.body)
            case "GET", ["debts"]:
                return self._page(self.debts, asked.query)
            case "GET", ["contracts"]:
                return self._page(self.contracts, asked.query)
            case _:
                return 404, b'{"detail":"there is nothing here"}', {}

    def _put(self, key: str, body: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        if body["name"] in self.fail_companies:
            return 422, b'{"detail":"this company is not ours"}', {}
        ours = key.removeprefix("teledom-")
        id = key if ours == key else f"B{ours}"
        known = self.companies.get(id)
        if known is None or known["code_since"] <= body["code_since"]:  # an older one comes late
            self.companies[id] = body
        return 200, msgspec.json.encode({"billing_id": id}), {}

    def _page(self, feed: list[dict[str, Any]], query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        start = int(query.get("after") or 0)
        end = start + min(self.page, int(query["limit"]))
        page = {"entries": feed[start:end], "next": str(min(end, len(feed))), "more": end < len(feed)}
        return 200, msgspec.json.encode(page), {}


@contextmanager
def running_billing(billing: FakeBilling) -> Iterator[str]:
    """Run it in a thread of its own until the block is left, for code that is not Trio's; its URL."""
    told: queue.Queue[tuple[str, trio.lowlevel.TrioToken, trio.CancelScope]] = queue.Queue()

    async def live() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                url: str = await nursery.start(billing.run)
                told.put((url, trio.lowlevel.current_trio_token(), scope))

    thread = threading.Thread(target=trio.run, args=(live,), daemon=True)
    thread.start()
    url, token, scope = told.get(timeout=10)
    try:
        yield url
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join(10)


async def _main(port: int) -> None:
    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(FakeBilling().run, port)
        print(url, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="testbed.billing", description="A billing that accepts all.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    try:
        trio.run(_main, parser.parse_args().port)
    except* KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
