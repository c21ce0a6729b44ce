"""Nobody sees beyond: who keeps one company's houses walks through all of the application, with all rights there are.

The routes are the application's own, so that a new page is walked through, too. What of the other company is in an
answer shows by its words (two_companies); what does not exist looks like what is beyond.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from crm.desk.resource import Find, Kind
from crm.rights import Right
from crm.sections import all_resources
from crm.staff.staff import who_is
from crm.store import Store
from crm.web.board_stream import viewer_of
from crm.web.board_view import BoardView
from crm.web.page import SignedIn
from tests.crm.web.site import Browser, TestSite
from tests.crm.web.town import REACH, TownNodes, open_town
from tests.crm.web.two_companies import FOREIGN, OWN, Side
from tests.crm.web.walking import (
    FORM,
    body_of,
    differing,
    everything,
    filled,
    parts_of,
    routes,
    told,
    ways_of_sides,
)

# What hangs on no house is seen by whoever may see it anywhere; what is of all houses, by whoever may everywhere.
SHARED = frozenset({"cities", "streets", "block-kinds"})
FOR_ALL = frozenset({"employees", "groups", "tokens", "sign-ins", "changes", "code-runs"})
REFUSED = (403, 404, 405)
# A call that is not there yet is waited for; one that is beyond looks the same.
SAYS_NOTHING = ("/calls/{id:str}/now",)
NOT_THERE = "is not there: this server was started without it"
# Pages in which nothing of anybody stands but one's own.
ANYBODYS = {"/profile", "/sign-in", "/healthz", "/search", "/key/pick"}


@pytest.fixture
def town(store: Store, url: str, tmp_path: Path) -> Iterator[TestSite]:
    with open_town(store, url, tmp_path) as site:
        yield site


@pytest.fixture
def browser(town: TestSite) -> Browser:
    return town.browser("bounded")


# --- looking -------------------------------------------------------------------------------------------------------


def walk(site: TestSite, get: Any, *, api: bool) -> dict[str, int]:
    """Ask for everything there is to look at; the statuses by path. Whatever of the other company shows is a fault."""
    statuses: dict[str, int] = {}
    faults: list[str] = []
    for _, path in routes(site, "GET"):
        if path.startswith("/api/") is not api:
            continue
        for sides in ways_of_sides(path):
            for way in filled(path, *sides):
                answer = get(way)
                statuses[way] = answer.status_code
                beyond = FOREIGN in sides and path not in SAYS_NOTHING
                asked = [each for each in FOREIGN.marks if each in way.lower()]
                leaks = [mark for mark in told(answer) if mark not in asked]
                if leaks:
                    at = answer.text.lower().index(leaks[0])
                    faults.append(f"{way} tells {leaks}: …{answer.text[max(0, at - 150) : at + 40]}…")
                if answer.status_code >= 500 and NOT_THERE not in answer.text:
                    faults.append(f"{way} fails: {answer.status_code} {answer.text[-200:]}")
                named = way.removeprefix("/api/v1").split("/")[1]
                if beyond and named not in SHARED and answer.status_code not in REFUSED:
                    faults.append(f"{way} is answered {answer.status_code}")
    assert not faults, "\n".join(faults)
    return statuses


def test_no_page_shows_anything_of_another_company(town: TestSite, browser: Browser) -> None:
    statuses = walk(town, browser.get, api=False)

    for name in all_resources():
        if name not in SHARED and name not in FOR_ALL:
            assert statuses[f"/{name}"] == 200, name
            assert statuses[f"/{name}.csv"] == 200, name
            assert statuses[f"/{name}/{OWN.id}"] == 200, name
            if name != "sos-numbers":  # it has digits alone
                assert OWN.word in browser.get(f"/{name}/{OWN.id}").text, name
    assert OWN.word in browser.get(f"/calls/{OWN.call}").text


def test_no_request_of_the_api_tells_anything_of_another_company(town: TestSite) -> None:
    program = town.token(reach=REACH)
    statuses = walk(town, program.get, api=True)

    for name in all_resources():
        if name not in SHARED and name not in FOR_ALL:
            assert statuses[f"/api/v1/{name}"] == 200, name
            assert statuses[f"/api/v1/{name}/{OWN.id}"] == 200, name
            assert program.get(f"/api/v1/{name}").json()["total"] == 1, name


# --- lists, and what finds -----------------------------------------------------------------------------------------


def texts_of(store: Store, name: str, field: str, side: Side = FOREIGN) -> str:
    """What the other company's record has in a field, as a filter takes it."""
    resource = all_resources()[name]
    column = resource.field(field).column
    with store.reading() as connection:
        found = connection.execute(
            sa.select(column).select_from(resource.source).where(resource.id == side.id)
        ).scalar()
    return str(getattr(found, "value", found) or side.word)


def test_no_filter_finds_or_counts_what_is_another_company_s(town: TestSite) -> None:
    program = town.token(reach=REACH)
    faults = []
    for name, resource in all_resources().items():
        if name in SHARED or name in FOR_ALL:
            continue
        for field in resource.fields:
            if field.find not in (Find.SAME, Find.BEGINS, Find.CONTAINS):
                continue
            if field.kind not in (Kind.TEXT, Kind.REFERENCE):
                continue
            reference = field.kind is Kind.REFERENCE
            value = FOREIGN.id if reference else texts_of(town.store, name, field.name)
            if not reference and value == texts_of(town.store, name, field.name, OWN):
                continue  # a city's: both have it
            answer = program.get(f"/api/v1/{name}", params={field.name: value})
            total = answer.json().get("total") if answer.status_code == 200 else None
            if (
                answer.status_code not in (200, 422)
                or total
                or FOREIGN.word in answer.text.replace(str(value), "")
            ):
                faults.append(f"{name}?{field.name}={value}: {answer.status_code} {answer.text[:300]}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("side", [OWN, FOREIGN], ids=["own", "beyond"])
def test_search_and_suggestions_find_only_what_is_within_reach(
    town: TestSite, browser: Browser, side: Side
) -> None:
    program = town.token(reach=REACH)
    texts = (side.word, side.mac, side.phone, side.uid, f"Общая 1{side.word}", f"УК {side.word}", side.panel)
    found = "".join(program.get("/api/v1/search", params={"q": text}).text for text in texts)
    pages = "".join(browser.get(f"/search?{urlencode({'q': text})}").text for text in texts)
    picked = ""
    for name in all_resources():
        for text in (*texts, side.account, f"{side.word} Иван"):
            answer = browser.get(f"/pick/{name}?{urlencode({'field': 'q', 'q': text})}")
            assert answer.status_code in (200, 403), (name, text)
            picked += answer.text
    for text in (found, pages, picked):
        # What is found is led to by its id; the words that were asked for may stand in the answer.
        assert (str(side.id) in text) is (side is OWN)


def test_the_calls_of_another_company_are_not_found_by_anything(town: TestSite, browser: Browser) -> None:
    program = town.token(reach=REACH)
    for asked in (
        {"address": f"Общая 1{FOREIGN.word}"},
        {"flat": f"7{FOREIGN.word}"},
        {"flat_id": FOREIGN.id},
        {"house_id": FOREIGN.id},
        {"panel": FOREIGN.panel},
        {"panel": FOREIGN.mac},
        {"account": FOREIGN.account},
    ):
        api = program.get("/api/v1/calls", params=asked)
        pages = (
            browser.get(f"/calls?{urlencode(asked)}").text
            + browser.get(f"/calls.csv?{urlencode(asked)}").text
        )
        assert api.json().get("items") == [], (asked, api.text)
        assert FOREIGN.call not in pages, asked
    for asked in ({"panel": OWN.panel}, {"flat_id": OWN.id}):
        assert OWN.call in program.get("/api/v1/calls", params=asked).text, asked


# --- changing ------------------------------------------------------------------------------------------------------


def test_no_form_changes_anything_beyond(town: TestSite, browser: Browser) -> None:
    before = everything(town.store)
    faults = []
    for _, path in routes(town, "POST", "PUT", "PATCH", "DELETE"):
        # A file is refused before it is read: see test_import_pages.
        if path.startswith(("/api/", "/sign-", "/profile", "/imports/new/")):
            continue
        for sides in ways_of_sides(path):
            for way in filled(path, *sides) if FOREIGN in sides or not sides else ():
                answer = browser.post(way, FORM)
                after = everything(town.store) if answer.status_code < 400 else before
                if answer.status_code >= 500 and NOT_THERE not in answer.text:
                    faults.append(f"{way} fails: {answer.status_code} {answer.text[-200:]}")
                if leaks := [each for each in told(answer) if each not in way.lower()]:
                    faults.append(f"{way} tells {leaks}")
                if after != before:
                    faults.append(f"{way} changes {differing(before, after)}")
                    before = after
    assert not faults, "\n".join(faults)
    assert differing(before, everything(town.store)) == ""


def test_no_request_changes_anything_beyond_or_refers_to_it(town: TestSite) -> None:
    program = town.token(reach=REACH)
    document = program.get("/api/v1/openapi.json").json()
    schemas = document["components"]["schemas"]
    before = everything(town.store)
    faults = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method == "get":
                continue
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            body = None if content is None else body_of(content["schema"], schemas)
            parts = re.findall(r"\{\w+\}", path)
            refers = body is not None and str(FOREIGN.id) in str(body)
            for sides in itertools.product((OWN, FOREIGN), repeat=len(parts)):
                if FOREIGN not in sides and not refers:
                    continue
                way = path
                for part, side in zip(parts, sides, strict=True):
                    way = way.replace(part, str(side.id), 1)
                answer = program.request(method.upper(), way, json=body)
                after = everything(town.store) if answer.status_code < 400 else before
                if answer.status_code >= 500 and NOT_THERE not in answer.text:
                    faults.append(f"{method} {way} fails: {answer.status_code} {answer.text[-200:]}")
                if answer.status_code < 400 and FOREIGN in sides:
                    faults.append(f"{method} {way} {body} is done: {answer.text[:300]}")
                if after != before:
                    faults.append(f"{method} {way} {body} changes {differing(before, after)}")
                    before = after
    assert not faults, "\n".join(faults)
    assert differing(before, everything(town.store)) == ""


def test_no_record_refers_to_what_is_beyond(town: TestSite) -> None:
    program = town.token(reach=REACH)
    before = everything(town.store)
    for name, resource in all_resources().items():
        for field in resource.fields:
            if field.kind is Kind.REFERENCE and field.written and resource.edit is not None:
                answer = program.patch(f"/api/v1/{name}/{OWN.id}", json={field.name: FOREIGN.id})
                assert answer.status_code in (400, 403, 404, 409, 422), (name, field.name, answer.text)
    assert differing(before, everything(town.store)) == ""


def test_who_has_no_right_sees_his_profile_alone(town: TestSite) -> None:
    town.employee("nobody", rights=())
    browser = town.browser("nobody")
    seen = []
    for _, path in routes(town, "GET"):
        if path.startswith("/api/"):
            continue
        for way in filled(path, *([OWN] * len(parts_of(path)))):
            answer = browser.get(way)
            assert not any(mark in answer.text.lower() for mark in OWN.marks if mark not in way.lower()), way
            if answer.status_code == 200:
                seen.append(way)
    assert set(seen) - {each for each in seen if each.startswith("/api")} <= ANYBODYS


def test_the_first_event_of_the_board_has_no_call_of_another_company(town: TestSite) -> None:
    user = who_is(town.store, town.employee("watcher", reach=REACH))
    assert user is not None
    signed_in = SignedIn(user, 1, "watcher", "en", "s")
    site = town.app.state.site
    for right in (Right.BOARD_VIEW, Right.SOS_VIEW):
        event = BoardView(viewer_of(site, signed_in, right)).event(TownNodes({}).board()).decode().lower()
        assert OWN.word.lower() in event
        assert not [mark for mark in FOREIGN.marks if mark in event]
