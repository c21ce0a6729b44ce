"""Requests that lie about where they come from, or what they are; what of them is kept, logged, or left in a browser."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from litestar.connection import ASGIConnection

from config import Config, WebConfig
from crm.model import table
from crm.site import address_of
from crm.staff.lockout import network_of
from crm.store import Store
from crm.tables.staff import Employee, Idempotent
from tests.crm.web.recorded import RecordedNodes
from tests.crm.web.site import PASSWORD, TestSite, open_site
from tests.crm.web.two_companies import OWN, fill

PROXY = WebConfig(proxies=("10.0.0.1", "10.0.0.2"))


def come_from(*forwarded: str, client: str = "10.0.0.1") -> str:
    """Where a request seems to come from that has these headers, each a line of its own."""
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope: Any = {"type": "http", "headers": headers, "client": (client, 1234), "path": "/", "state": {}}
    connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
    return address_of(connection, PROXY)


def test_of_what_is_said_of_an_address_the_last_word_is_the_proxy_s() -> None:
    assert come_from("6.6.6.6, 93.184.216.34") == "93.184.216.34"
    assert come_from("6.6.6.6", "93.184.216.34") == "93.184.216.34"
    assert come_from("6.6.6.6, 93.184.216.34, 10.0.0.2") == "93.184.216.34"
    assert come_from("6.6.6.6", client="93.184.216.34") == "93.184.216.34"
    assert come_from() == "10.0.0.1"


def test_a_network_of_ipv6_has_one_number_of_tries() -> None:
    assert network_of("2001:db8:1:2::5") == network_of("2001:db8:1:2:ffff::6")
    assert network_of("2001:db8:1:2::5") != network_of("2001:db8:1:3::5")
    assert network_of("93.184.216.34") == network_of("::ffff:93.184.216.34") == "93.184.216.34"


def test_what_the_database_refuses_is_logged_without_its_values(store: Store) -> None:
    row = {"login": "a", "name": "A", "language": "ru", "created_at": 0.0, "password_at": 0.0}
    twice = sa.insert(table(Employee)).values([{**row, "password_hash": "hash-of-somebody"}] * 2)
    with store.transaction() as connection, pytest.raises(sa.exc.IntegrityError) as refused:
        connection.execute(twice)

    assert "hash-of-somebody" not in str(refused.value)


def test_a_recording_stays_in_no_browser(store: Store) -> None:
    fill(store)
    with open_site(store, nodes=RecordedNodes({f"{OWN.word}.wav": b"sound"})) as site:
        answer = site.browser().get(f"/calls/{OWN.call}/recording")

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


def test_what_is_kept_of_a_request_that_may_come_again_tells_no_password(site: TestSite) -> None:
    program = site.token()
    key = {"Idempotency-Key": "0123456789abcdef"}
    body = {"login": "ivan", "name": "Иван", "password": PASSWORD, "groups": [], "language": "ru"}

    made = [program.post("/api/v1/employees", json=body, headers=key) for _ in range(2)]

    assert [each.status_code for each in made] == [201, 201]
    assert made[0].json() == made[1].json()
    kept = table(Idempotent)
    with site.store.reading() as connection:
        (row,) = connection.execute(sa.select(kept.c.request, kept.c.body)).all()
    assert PASSWORD not in row.body
    assert "argon2" not in row.body


@pytest.mark.parametrize("path", ["/staff/employees/new", "/staff/groups/new", "/staff/tokens/new"])
@pytest.mark.parametrize("number", ["²", "9" * 5000, "-1", "1e3"])
def test_a_number_that_is_none_is_no_failure(site: TestSite, path: str, number: str) -> None:
    browser = site.browser()
    form = {each: number for each in ("groups", "group_id", "cities", "companies", "houses")}

    assert browser.post(path, {**form, "name": "A"}).status_code == 422


def test_how_many_numbers_were_put_in_is_said_only_if_it_is_a_number(store: Store) -> None:
    with open_site(store, settings=Config()) as site:
        for done in ("²", "9" * 5000, "٣"):
            assert site.browser().get(f"/sos?done={done}").status_code == 200


def test_what_is_nested_without_end_is_no_failure(site: TestSite) -> None:
    json, program = {"content-type": "application/json"}, site.token()
    cursor = base64.urlsafe_b64encode(b"[" * 12_000).decode()

    assert program.post("/api/v1/houses", content=b"[" * 100_000, headers=json).status_code == 400
    assert site.browser().get(f"/houses?after={cursor}").status_code == 200


@pytest.mark.parametrize("path", ["employees/%s/edit", "employees/%s/password", "groups/%s/edit"])
def test_a_number_that_no_database_holds_is_nobody_s(site: TestSite, path: str) -> None:
    assert site.browser().get(f"/staff/{path % ('9' * 30)}").status_code == 404
