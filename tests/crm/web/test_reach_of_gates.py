"""Who shares a gate with another company sees the gate and its panel, and nothing of who shares it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm.rights import Reach
from crm.store import Store
from tests.crm.web.site import Browser, TestSite
from tests.crm.web.town import REACH, open_town
from tests.crm.web.two_companies import CITY as GATE
from tests.crm.web.two_companies import FOREIGN, OWN, Side, fill_gate
from tests.crm.web.walking import told


@pytest.fixture
def town(store: Store, url: str, tmp_path: Path) -> Iterator[TestSite]:
    with open_town(store, url, tmp_path) as site:
        yield site


@pytest.fixture
def browser(town: TestSite) -> Browser:
    return town.browser("bounded")


def test_who_shares_a_gate_sees_the_gate_and_nothing_of_who_shares_it(
    town: TestSite, browser: Browser
) -> None:
    fill_gate(town.store)
    program = town.token(reach=REACH)
    for way in (
        f"/houses/{OWN.id}",
        f"/entrances/{GATE}",
        f"/domophones/{GATE}",
        "/calls",
        f"/house/{OWN.id}/grid",
    ):
        answer = browser.get(way)
        assert answer.status_code == 200, way
        assert not told(answer), way
    for way in (f"houses/{OWN.id}/doors", f"entrances/{GATE}/houses", f"domophones/{GATE}", "calls"):
        answer = program.get(f"/api/v1/{way}")
        assert answer.status_code == 200, way
        assert not told(answer), way
    assert "ворота" in browser.get(f"/houses/{OWN.id}").text


@pytest.mark.parametrize(("side", "other"), [(OWN, FOREIGN), (FOREIGN, OWN)])
def test_a_gate_is_named_by_the_first_house_that_the_reader_sees(
    town: TestSite, side: Side, other: Side
) -> None:
    fill_gate(town.store)
    reach = Reach(companies=frozenset({side.id}))
    town.employee("neighbour", reach=reach)
    browser, program = town.browser("neighbour"), town.token(reach=reach)
    address = f"ул. Общая 1{side.word}, ворота"
    ways = [
        *("/domophones", "/domophones.csv", f"/domophones/{GATE}", "/search?q=p-gate"),
        *("/entrances", "/entrances.csv", f"/entrances/{GATE}", f"/houses/{side.id}"),
        *("/pick/entrances?field=other&other=ворота", f"/entrances?house_id={side.id}"),
    ]
    for way in ways:
        answer = browser.get(way)
        assert answer.status_code == 200, way
        text = html.unescape(answer.text)
        assert other.word not in text, way
        assert address in text or way.startswith("/houses/"), way
    for way in ("domophones", f"domophones/{GATE}", "entrances", f"entrances/{GATE}", "search?q=p-gate"):
        answer = program.get(f"/api/v1/{way}")
        assert answer.status_code == 200, way
        assert address in answer.text, way
        assert other.word not in answer.text, way
    # Neither does a filter tell that the other house has this gate.
    for way in (f"entrances?house_id={other.id}",):
        assert program.get(f"/api/v1/{way}").json()["total"] == 0, way
    assert "ворота" not in browser.get(f"/pick/entrances?field=other&other=1{other.word}, ворота").text
