"""The node's HTTP, asked by a real client over a real socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from functools import partial

import httpx
import pytest
import trio
from prometheus_client import CollectorRegistry, Counter

import health
from actors.duty_desk import Alarm, DutyDesk, Kind, Row, State
from board import Board
from config import DutyConfig
from serving import CannotListen

Parts = dict[str, str | None]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def open_http(
    nursery: trio.Nursery,
    readiness: Callable[[], Parts],
    registry: CollectorRegistry | None = None,
    board: Board | None = None,
) -> str:
    """Start it at a free port of this machine; its URL."""
    registry = registry or CollectorRegistry()
    serve = partial(health.serve, "127.0.0.1:0", readiness, board=board, registry=registry)
    url: str = await nursery.start(serve)
    return url


async def test_healthz_says_that_the_process_is_alive_whatever_else_is_wrong(
    nursery: trio.Nursery, client: httpx.AsyncClient
) -> None:
    url = await open_http(nursery, lambda: {"asterisk": "away"})
    answer = await client.get(f"{url}/healthz")
    assert (answer.status_code, answer.text) == (200, "alive\n")


async def test_readyz_names_each_part_and_what_is_wrong_with_it(
    nursery: trio.Nursery, client: httpx.AsyncClient
) -> None:
    parts: Parts = {"journal": None, "asterisk": "connection refused at 127.0.0.1:8088"}
    url = await open_http(nursery, lambda: parts)
    answer = await client.get(f"{url}/readyz")
    assert (answer.status_code, answer.json()) == (503, parts)

    parts["asterisk"] = None
    answer = await client.get(f"{url}/readyz")
    assert (answer.status_code, answer.json()) == (200, {"journal": None, "asterisk": None})
    assert answer.headers["cache-control"] == "no-store"


async def test_metrics_are_what_prometheus_reads(nursery: trio.Nursery, client: httpx.AsyncClient) -> None:
    registry = CollectorRegistry()
    Counter("calls", "Calls", ["outcome"], registry=registry).labels("talked").inc(3)
    url = await open_http(nursery, dict, registry)
    answer = await client.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'calls_total{outcome="talked"} 3.0' in answer.text.splitlines()


async def test_an_unknown_page_is_not_found(nursery: trio.Nursery, client: httpx.AsyncClient) -> None:
    url = await open_http(nursery, dict)
    assert (await client.get(f"{url}/nothing")).status_code == 404


async def test_the_duty_desks_board_is_a_page_and_json(
    nursery: trio.Nursery, client: httpx.AsyncClient
) -> None:
    desk = DutyDesk(DutyConfig(), "node1")
    url = await open_http(nursery, dict, board=desk)
    quiet = await client.get(f"{url}/sos", headers={"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.8"})
    assert "Сейчас вызовов нет" in quiet.text
    desk.show(
        Row(call_id="c1", kind=Kind.SOS, state=State.BUSY, at=1.0, started_at=1.0, address="<b>Тула</b>")
    )
    desk.alarm(Alarm.CITY_UNKNOWN, "panel1", "no house")

    answer = await client.get(f"{url}/sos", headers={"Accept-Language": "en"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (answer.headers["refresh"], answer.headers["cache-control"]) == ("2", "no-store")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "&lt;b&gt;Тула&lt;/b&gt;" in answer.text
    assert "The city is unknown: panel1" in answer.text

    answer = await client.get(f"{url}/sos.json")
    assert answer.headers["cache-control"] == "no-store"
    assert [(call["call_id"], call["state"]) for call in answer.json()["calls"]] == [("c1", "busy")]
    assert [alarm["kind"] for alarm in answer.json()["alarms"]] == ["city_unknown"]


async def test_without_a_board_there_is_no_page_of_it(
    nursery: trio.Nursery, client: httpx.AsyncClient
) -> None:
    url = await open_http(nursery, dict)
    assert (await client.get(f"{url}/sos")).status_code == 404
    assert (await client.get(f"{url}/sos.json")).status_code == 404


async def test_a_readiness_that_fails_is_an_error_of_that_request_only(
    nursery: trio.Nursery, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    def readiness() -> Parts:
        raise LookupError("a bug")

    url = await open_http(nursery, readiness)
    assert (await client.get(f"{url}/readyz")).status_code == 500
    assert "a bug" in capsys.readouterr().out
    assert (await client.get(f"{url}/healthz")).status_code == 200


async def test_a_port_in_use_is_one_error_that_names_it_and_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen, match=rf"{address}.*in use.*\[node\] http"):
            await health.serve(address, dict)


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:80"):
        await health.serve("192.0.2.1:80", dict)


async def test_it_can_be_stopped_and_started_again_at_the_same_port(client: httpx.AsyncClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(health.serve, address, dict)
            assert url == f"http://{address}"
            assert (await client.get(f"{url}/healthz")).status_code == 200  # its connection stays open
            nursery.cancel_scope.cancel()
