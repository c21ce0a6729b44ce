"""What a message over ARI's WebSocket costs this process: our socket beside trio-websocket, on loopback.

A server of its own process sends messages of the size of ARI's events, one frame a write, evenly at a given rate; the
client takes each, and sends a request for every third, as a call with four accounts does. Nothing is decoded: only the
framing, and how it meets Trio, is measured, as CPU of the client's process. `own` is telephony/ari/websocket.py with
the default [ari] coalesce_ms, `own_at_once` the same with 0.

The last line, for each rate: own_us_RATE= own_at_once_us_RATE= trio_websocket_us_RATE= ratio_RATE= (trio-websocket's
µs a message to our own's). Exit code 0: measured; 2: it could not be.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha1
from pathlib import Path

import trio
import trio_websocket

from bench.report import figures
from config import AriConfig
from telephony.ari.errors import AriError
from telephony.ari.websocket import Tick, open_socket

TOP = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
WARM_UP = 0.2  # of the messages: not counted
REQUEST_EVERY = 3
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
EVENT = (
    b'{"type":"ChannelStateChange","timestamp":"2026-11-24T14:03:22.118+0000","channel":{"id":'
    b'"td-84c5a505e1f20b77-acc-1","name":"PJSIP/televoip-0000002a","state":"Ringing","protocol_id":'
    b'"a7c1f0de-5b1c-4d3e-9f52-3e2a5d0c7b11","caller":{"name":"","number":""},"connected":{"name":"panel","number":'
    b'"500005"},"accountcode":"","dialplan":{"context":"from-kamailio","exten":"s","priority":1,"app_name":"AppDial2",'
    b'"app_data":"(Outgoing Line)"},"creationtime":"2026-11-24T14:03:22.101+0000","language":"ru"},"asterisk_id":'
    b'"02:00:00:00:00:01","application":"TdCall"}'
)
REQUEST = (
    '{"type":"RESTRequest","request_id":"4711","method":"POST","uri":"channels/td-84c5a505e1f20b77-acc-1",'
    '"query_strings":[{"name":"endpoint","value":"PJSIP/7352012@televoip"},{"name":"app","value":"TdCall"}]}'
)

Client = Callable[[int, int], Awaitable[float]]
"""Takes so many messages from the server at a port; CPU seconds a message."""


# --- the server, a process of its own -----------------------------------------------------------------------------


def serve(rate: float, count: int) -> None:
    """Say a port, take one client, send it `count` messages and take its requests, then close."""
    with socket.create_server((HOST, 0)) as listening:
        listening.settimeout(10)
        print(listening.getsockname()[1], flush=True)
        connection, _ = listening.accept()
    with connection:
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _shake_hands(connection)
        reader = threading.Thread(target=_drain, args=[connection, count // REQUEST_EVERY], daemon=True)
        reader.start()
        frame = b"\x81\x7e" + len(EVENT).to_bytes(2, "big") + EVENT
        begun = time.monotonic()
        for n in range(count):
            ahead = begun + n / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            connection.sendall(frame)
        reader.join(10)
        connection.sendall(b"\x88\x02\x03\xe8")  # close, 1000
        with contextlib.suppress(ConnectionResetError):  # who measured is gone already
            connection.recv(65_536)


def _shake_hands(connection: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    key = next(value.strip() for name, _, value in lines if name.lower() == b"sec-websocket-key")
    accept = b64encode(sha1(key + WEBSOCKET_GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _drain(connection: socket.socket, requests: int) -> None:
    left = requests * (8 + len(REQUEST))  # a masked frame's head is 8 bytes at this length
    while left > 0 and (data := connection.recv(65_536)):
        left -= len(data)


# --- the clients ----------------------------------------------------------------------------------------------------


def _own(coalesce_s: float) -> Client:
    async def take(port: int, count: int) -> float:
        taken, since, since_count = 0, 0.0, 0
        request = REQUEST.encode()
        async with open_socket(f"ws://{HOST}:{port}/", {}, peer=HOST, tick=Tick(coalesce_s)) as opened:
            async for batch in opened.messages():
                for _ in batch:
                    taken += 1
                    if taken % REQUEST_EVERY == 0:
                        opened.send(request)
                if not since and taken >= count * WARM_UP:
                    since, since_count = time.process_time(), taken
                if taken >= count:
                    break
            return (time.process_time() - since) / (taken - since_count)

    return take


async def _trio_websocket(port: int, count: int) -> float:
    warm_up = round(count * WARM_UP)
    since = 0.0
    async with trio_websocket.open_websocket_url(f"ws://{HOST}:{port}/", disconnect_timeout=2) as opened:
        for taken in range(1, count + 1):
            await opened.get_message()
            if taken % REQUEST_EVERY == 0:
                await opened.send_message(REQUEST)
            if taken == warm_up:
                since = time.process_time()
        return (time.process_time() - since) / (count - warm_up)


async def _measure(client: Client, rate: float, seconds: float) -> float:
    """µs of CPU a message."""
    count = max(50, round(rate * seconds))
    command = [sys.executable, "-m", "bench.framing", "--serve", str(rate), str(count)]
    server = await trio.lowlevel.open_process(command, cwd=TOP, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        with trio.fail_after(seconds * 3 + 10):
            port = int(await server.stdout.receive_some(16))
            return await client(port, count) * 1e6
    finally:
        server.kill()
        with trio.CancelScope(shield=True):
            await server.wait()


async def _compare(rates: list[int], seconds: float, rounds: int) -> dict[str, float]:
    coalesce_s = AriConfig().coalesce_ms / 1000
    clients = {"own": _own(coalesce_s), "own_at_once": _own(0.0), "trio_websocket": _trio_websocket}
    found: dict[str, float] = {}
    for rate in rates:
        best = dict.fromkeys(clients, float("inf"))
        for _ in range(rounds):  # the least of several: what else the machine does only adds
            for name, client in clients.items():
                best[name] = min(best[name], await _measure(client, rate, seconds))
        for name, us in best.items():
            print(f"{rate:6} messages a second  {name:15} {us:6.1f} µs a message", flush=True)
            found[f"{name}_us_{rate}"] = us
        found[f"ratio_{rate}"] = best["trio_websocket"] / best["own"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.framing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rates",
        type=int,
        nargs="+",
        default=[1000, 10_000],
        help="messages a second (default: 1000 10000; 10 to 20000)",
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run (default: 2; 0.2 to 30)")
    parser.add_argument("--rounds", type=int, default=2, help="runs, the best counts (default: 2; 1 to 10)")
    parser.add_argument("--serve", nargs=2, metavar=("RATE", "COUNT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(float(args.serve[0]), int(args.serve[1]))
        return 0
    if not all(10 <= rate <= 20_000 for rate in args.rates) or len(args.rates) > 10:
        parser.error("--rates takes up to 10 numbers from 10 to 20000")
    if not (0.2 <= args.seconds <= 30 and 1 <= args.rounds <= 10):
        parser.error("--seconds takes 0.2 to 30, --rounds 1 to 10")
    failed: list[BaseException] = []
    found: dict[str, float] = {}
    try:
        found = trio.run(_compare, args.rates, args.seconds, args.rounds)
    except* (AriError, trio.TooSlowError, trio_websocket.ConnectionClosed, OSError) as group:
        failed.append(group)
    if failed:
        print(f"bench.framing: the sockets could not be measured: {failed[0]!r}", file=sys.stderr)
        return 2
    print(figures(**found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
