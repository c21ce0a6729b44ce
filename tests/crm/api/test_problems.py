"""What goes wrong under /api/ is a problem (RFC 9457), whatever it is; outside of it, a page of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from config import WebConfig
from crm.api import app as api
from crm.api.document import described, operations
from crm.desk.resource import Resource, Values
from crm.model import City, table
from crm.rights import Right
from crm.store import DatabaseAway, Store
from crm.web import sign_in_pages
from crm.who import Who
from tests.crm.web.site import PASSWORD, TestSite

CITIES = "/api/v1/cities"
CITY = {"name": "Омск", "region": "Омская область", "time_zone": "Asia/Omsk"}
JSON = {"content-type": "application/json"}
PROXY = "10.0.0.1"


def is_problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["type"]) == (status, f"/problems/{kind}")
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/nothing", "/api/v1/cities/x", "/api/v1/a/b/c/d"])
def test_an_unknown_path_is_a_problem(site: TestSite, path: str) -> None:
    is_problem(site.token().get(path), 404, "not-found")
    is_problem(site.browser("").client.get(path), 404, "not-found")


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(site: TestSite) -> None:
    answer = site.token().put(CITIES, json={})

    is_problem(answer, 405, "method")
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "malformed"),
        (b"", 400, "malformed"),
        (b'{"name": "\xff"}', 400, "malformed"),
        (b'{"name": "\xd0\x9e\xd0\xbc\xd1\x81\xd0\xba"}', 400, "malformed"),
        (b"{" + b" " * 2_100_000, 413, "too-large"),
    ],
    ids=["broken", "none", "no UTF-8", "too little", "too large"],
)
def test_a_body_that_cannot_be_read_is_a_problem(site: TestSite, body: bytes, status: int, kind: str) -> None:
    is_problem(site.token().post(CITIES, content=body, headers=JSON), status, kind)


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_a_body_of_another_type_is_a_problem(site: TestSite, media: str) -> None:
    answer = site.token().post(CITIES, content=b"{}", headers={"content-type": media})

    assert "application/json" in is_problem(answer, 415, "media-type")["detail"]
    is_problem(site.token().post("/api/v1/imports", json={}), 415, "media-type")


def test_a_value_of_another_type_is_not_bent_into_the_right_one(site: TestSite) -> None:
    answer = site.token().post("/api/v1/companies", json={"name": "УК", "active": 1})

    assert is_problem(answer, 400, "malformed")["errors"].keys() == {"active"}


def test_without_a_token_every_operation_is_closed(store: Store) -> None:
    site = TestSite(store, config=WebConfig(cookies="plain", proxies=("testclient",)))
    client = site.browser("").client
    for n, (path, method, _) in enumerate(operations(described(site.app))):
        at = path.replace("{what}", "sound").replace("{id}", "1").replace("{other_id}", "1")
        address = {"X-Forwarded-For": f"198.51.100.{n % 100}"}  # so that none asks too often
        for headers in ({}, {"authorization": "Bearer td_wrong"}):
            answer = client.request(method, at, headers=headers | address)
            is_problem(answer, 401, "no-token")
            assert answer.headers["www-authenticate"] == "Bearer"
    site.close()


def test_a_database_that_is_away_is_a_problem(site: TestSite, monkeypatch: pytest.MonkeyPatch) -> None:
    api = site.token()

    def away(*_: Any) -> None:
        raise DatabaseAway("the database does not answer")

    monkeypatch.setattr("crm.desk.desk.Desk.list", away)
    answer = api.get(CITIES)

    is_problem(answer, 503, "away")
    assert answer.headers["retry-after"] == "5"


def test_an_unknown_page_is_a_page_of_ours_with_the_menu_of_who_is_signed_in(site: TestSite) -> None:
    site.employee("petrov", [Right.KEYS_VIEW])
    for path in ("/no/such/page/at/all", "/houses/x"):
        answer = site.browser("petrov").get(path)
        assert answer.status_code == 404
        assert "There is no such page" in answer.text
        assert 'href="/keys"' in answer.text
        assert 'href="/employees"' not in answer.text
        stranger = site.browser("").get(path)
        assert (stranger.status_code, 'href="/keys"' in stranger.text) == (404, False)


def test_errors_carry_the_content_security_policy_too(site: TestSite) -> None:
    browser = site.browser()
    for path in ("/no/such/page/at/all", "/houses/999", "/nothing", "/api/v1/nothing", "/houses"):
        headers = browser.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


# --- sent again ------------------------------------------------------------------------------------------------------


def test_the_same_key_at_once_is_a_conflict_and_makes_one(
    site: TestSite, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    real = type(site.app.state.site.desk).create

    def slow(desk: Any, who: Who, resource: Resource, values: Values) -> int:
        begun.set()
        assert go_on.wait(20)
        made: int = real(desk, who, resource, values)
        return made

    monkeypatch.setattr("crm.desk.desk.Desk.create", slow)
    client, answers = site.token(), []
    headers = {"Idempotency-Key": "k1"}
    first = threading.Thread(target=lambda: answers.append(client.post(CITIES, json=CITY, headers=headers)))
    first.start()
    assert begun.wait(20)
    second = client.post(CITIES, json=CITY, headers=headers)
    go_on.set()
    first.join(20)

    assert "in progress" in is_problem(second, 409, "conflict")["detail"]
    assert answers[0].status_code == 201
    again = client.post(CITIES, json=CITY, headers=headers)
    assert (again.status_code, again.json()) == (201, answers[0].json())
    with store.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table(City))) == 1


def test_a_key_is_for_one_request_and_an_empty_one_is_none(site: TestSite) -> None:
    client = site.token()
    assert client.post(CITIES, json=CITY, headers={"Idempotency-Key": "k1"}).status_code == 201

    other = client.post(CITIES, json=CITY | {"name": "Тара"}, headers={"Idempotency-Key": "k1"})
    empty = client.post(CITIES, json=CITY | {"name": "Тара"}, headers={"Idempotency-Key": ""})

    assert "another request" in is_problem(other, 409, "conflict")["detail"]
    is_problem(empty, 422, "invalid")


# --- too many --------------------------------------------------------------------------------------------------------


@pytest.fixture
def few(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestSite]:
    """A site behind a proxy, whose API takes three requests a second."""
    monkeypatch.setattr(api, "REQUESTS_A_SECOND", 3)
    config = WebConfig(cookies="plain", time_zone="Asia/Yekaterinburg", proxies=("testclient", PROXY))
    monkeypatch.setattr("litestar.middleware.rate_limit.time", lambda: 1_790_000_000.5)
    site = TestSite(store, config=config)
    yield site
    site.close()


def from_address(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": f"{address}, {PROXY}"}


def test_who_asks_the_api_too_often_is_told_when_to_come_again(few: TestSite) -> None:
    client = few.token()

    answers = [client.get(CITIES, headers=from_address("203.0.113.5")) for _ in range(4)]

    assert [each.status_code for each in answers[:3]] == [200] * 3
    is_problem(answers[3], 429, "too-many")
    assert answers[3].headers["retry-after"] == "1"
    assert client.get(CITIES, headers=from_address("203.0.113.6")).status_code == 200


def test_signing_in_is_counted_by_itself_and_by_the_clients_address(
    few: TestSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, client = few.browser(""), few.token()
    browser.get("/sign-in")
    wrong = {"login": "admin", "password": "x", "next": "/"}
    for _ in range(5):
        client.get(CITIES, headers=from_address("203.0.113.5"))

    tries = [
        browser.post("/sign-in", wrong, **from_address("203.0.113.5")).status_code
        for _ in range(sign_in_pages.TRIES_A_MINUTE)
    ]
    refused = browser.post("/sign-in", wrong, **from_address("203.0.113.5"))
    right = {"login": "admin", "password": PASSWORD, "next": "/"}
    elsewhere = browser.post("/sign-in", right, **from_address("203.0.113.6"))

    assert 429 not in tries[:1]
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert elsewhere.status_code != 429
