"""Lists filtered by several values of a choice: what is shown, its links and its file, and how it is chosen."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa

from crm.calls.calls import save_calls
from crm.model import BlockKind, Domophone, Vendor, table
from crm.values.records import Outcome
from tests.crm.calls.test_timeline import talk
from tests.crm.houses import Houses
from tests.crm.web.site import Browser, TestSite

EACH = 40  # of three vendors: two together have more than a page
BOTH = "vendor=beward&vendor=sokol"
DAY = 86_400.0


@pytest.fixture
def panels(site: TestSite, houses: Houses) -> None:
    door = houses.entrance("п. 1", houses.house("5"))
    houses.panel("first", door)
    with site.store.transaction() as connection:
        (one,) = connection.execute(sa.select(table(Domophone))).mappings().all()
        for n in range(3 * EACH):
            vendor = (Vendor.BEWARD, Vendor.SOKOL, Vendor.QTECH)[n % 3]
            new = {
                **one,
                "id": one["id"] + n + 1,
                "mac": f"{n + 100:012x}",
                "sip_user": f"{vendor.value}-{n}-",
            }
            connection.execute(sa.insert(table(Domophone)).values({**new, "vendor": vendor}))
        connection.execute(sa.delete(table(Domophone)).where(Domophone.id == one["id"]))


@pytest.fixture
def browser(site: TestSite, panels: None) -> Browser:
    site.employee("john")
    return site.browser("john")


def shown(page: str) -> list[str]:
    return re.findall(r"\b((?:beward|sokol|qtech)-\d+)-", page)


def links(page: str, word: str) -> list[str]:
    """Where the links whose address has this word lead."""
    return [html.unescape(each) for each in re.findall(r'href="([^"]+)"', page) if word in each]


def test_what_has_one_of_the_values_is_listed_through_all_pages(browser: Browser) -> None:
    first = browser.get(f"/domophones?{BOTH}&sort=sip_user").text
    (next,) = links(first, "after=")
    second = browser.get(next).text

    assert f"{2 * EACH} rows" in first
    assert parse_qsl(urlsplit(next).query)[:2] == [("vendor", "beward"), ("vendor", "sokol")]
    found = set(shown(first)) | set(shown(second))
    assert len(found) == 2 * EACH
    assert not [each for each in found if each.startswith("qtech")]


def test_one_value_and_values_with_commas_are_taken_too(browser: Browser) -> None:
    assert f"{EACH} rows" in browser.text("/domophones?vendor=sokol")
    assert f"{2 * EACH} rows" in browser.text("/domophones?vendor=sokol,beward")
    assert f"{3 * EACH} rows" in browser.text("/domophones?vendor=")


def test_the_file_has_the_same_rows(browser: Browser) -> None:
    (file,) = links(browser.get(f"/domophones?{BOTH}").text, ".csv")

    lines = browser.get(file).text.splitlines()

    assert parse_qsl(urlsplit(file).query) == [("vendor", "beward"), ("vendor", "sokol")]
    assert len(lines) == 1 + 2 * EACH
    assert not [each for each in lines if "qtech" in each]


def test_what_is_chosen_is_ticked_and_said(browser: Browser) -> None:
    page = browser.get(f"/domophones?{BOTH}").text

    box = page.partition('<fieldset class="several"><legend>Vendor</legend>')[2].partition("</fieldset>")[0]
    assert re.findall(r'value="(\w+)" checked', box) == ["beward", "sokol"]
    assert "chosen: 2" in box
    assert "Sokol</span></summary>" in browser.get("/domophones?vendor=sokol").text


def test_a_choice_of_two_stays_a_simple_one(browser: Browser) -> None:
    assert '<select name="model">' in browser.get("/relays").text
    both = browser.get("/relays?model=shelly-1&model=shelly-2").text
    assert both.count('name="model" value="shelly-') == both.count("checked") == 2


def test_a_value_that_there_is_not_is_said(browser: Browser) -> None:
    assert "one of these is expected" in browser.text(f"/domophones?{BOTH}&vendor=nokia")


def test_the_part_of_the_page_brings_the_link_to_its_file(browser: Browser) -> None:
    part = browser.get(f"/domophones?{BOTH}", **{"hx-request": "true", "hx-target": "list"}).text

    assert '<div class="actions" id="list-actions" hx-swap-oob="true">' in part
    assert [urlsplit(each).query for each in links(part, ".csv")] == [BOTH]
    assert "hx-swap-oob" not in browser.get("/domophones").text.partition('id="list-actions"')[2][:60]


def test_blocks_of_several_states_are_listed_and_taken_back(site: TestSite, houses: Houses) -> None:
    site.employee("john")
    browser, now = site.browser("john"), site.app.state.site.now()
    house = houses.house("5")
    for number, since, until in (("1", -DAY, None), ("2", DAY, None), ("3", -2 * DAY, now - DAY)):
        houses.block(houses.flat(house, number), BlockKind.TECHNICAL, now + since, until)
    states = "state=to_come&state=stands"

    page = browser.get(f"/flat-blocks?{states}").text
    (back,) = links(page, "take-back")

    assert "2 rows" in page
    assert urlsplit(back).query == states
    assert "2 blocks end now" in browser.text(back)
    assert "2 rows" in browser.text("/flat-blocks?state=to_come&state=past")


def test_calls_of_several_outcomes_and_kinds(site: TestSite) -> None:
    site.employee("john")
    records = []
    outcomes = (Outcome.TALKED, Outcome.GAVE_UP, Outcome.LOST)
    for n, (outcome, kind) in enumerate((o, k) for o in outcomes for k in ("visitor", "sos", "quality")):
        record = talk()
        record.call_id, record.outcome, record.kind = f"{outcome.value}-{kind}-call", outcome, kind
        record.started_at += n
        records.append(record)
    save_calls(site.store, records)
    browser = site.browser("john")
    query = "outcome=talked&outcome=lost&kind=sos&kind=visitor"

    page = browser.get(f"/calls?{query}").text
    (file,) = links(page, ".csv")

    wanted = ["lost-sos-call", "lost-visitor-call", "talked-sos-call", "talked-visitor-call"]
    assert re.findall(r'href="/calls/(\w+-\w+-call)"', page) == wanted
    assert [line.split(",")[1] for line in browser.get(file).text.splitlines()[1:]] == wanted
    assert urlsplit(file).query == query
    assert page.count("checked") == 4
