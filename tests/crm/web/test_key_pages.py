"""The pages of keys: found as they are written, added, bound, lost and found again, and pasted in by the hundred."""

from __future__ import annotations

import pytest

from crm.keys.formats import KeyFormat, written
from crm.keys.keys import add_key, find_keys, get_key, panels_of_key
from crm.keys.reach import Binding
from crm.rights import Reach, Right
from crm.tables.keys import KeyScope
from crm.who import SYSTEM
from tests.crm.houses import Houses
from tests.crm.web.site import Browser, TestSite, plain

UID = "01005E614E"
NOW = 1_700_000_000.0


class Home:
    def __init__(self, houses: Houses) -> None:
        self.house, self.other = houses.house("5"), houses.house("7")
        self.entrance = houses.entrance("п. 1", self.house)
        self.panel = houses.panel("500001", self.entrance)
        self.flat = houses.flat(self.house, "42", self.entrance)
        away = houses.entrance("п. 1", self.other)
        houses.panel("500002", away)
        self.flat_away = houses.flat(self.other, "1", away)


@pytest.fixture
def home(houses: Houses) -> Home:
    return Home(houses)


def flat(id: int) -> Binding:
    return Binding(KeyScope.FLAT, id)


def english(site: TestSite, *rights: Right, reach: Reach | None = None) -> Browser:
    site.employee("john", rights or tuple(Right), reach or Reach(everywhere=True))
    return site.browser("john")


@pytest.mark.parametrize("format", written(UID))
def test_the_list_finds_a_key_in_any_way_of_writing_it(site: TestSite, home: Home, format: KeyFormat) -> None:
    add_key(site.store, SYSTEM, UID, [flat(home.flat)], NOW, format=KeyFormat.HEX)
    add_key(site.store, SYSTEM, "04A1B2C3D4E5F6", [], NOW, format=KeyFormat.HEX)
    text = written(UID)[format]

    answer = site.browser().client.get("/keys", params={"uid": text})

    assert UID in plain(answer.text)
    assert "04A1B2C3D4E5F6" not in plain(answer.text)


def test_the_list_is_filtered_by_what_keys_open_and_whether_they_are_lost(site: TestSite, home: Home) -> None:
    browser = english(site)
    mine = add_key(site.store, SYSTEM, UID, [flat(home.flat)], NOW, format=KeyFormat.HEX)
    add_key(site.store, SYSTEM, "04A1B2C3D4E5F6", [flat(home.flat_away)], NOW, format=KeyFormat.HEX)
    browser.post(f"/key/{mine}/lost", {"why": "Anna"})

    for query in ("state=lost", f"flat_id={home.flat}", f"house_id={home.house}", "technology=em_marin"):
        text = browser.text(f"/keys?{query}")
        assert UID in text, query
        assert "04A1B2C3D4E5F6" not in text, query


def test_what_is_typed_is_read_at_once_with_what_is_known(site: TestSite, home: Home) -> None:
    browser = english(site)
    id = add_key(site.store, SYSTEM, UID, [flat(home.flat)], NOW, format=KeyFormat.HEX)

    part = browser.get("/key/readings?uid=4e615e0001", **{"hx-request": "true"}).text

    assert "<html" not in part
    assert f'href="/keys/{id}"' in part
    assert "known already" in part
    assert "4E615E0001" in part
    assert "This is no key" in browser.text("/key/readings?uid=hello")


def test_a_key_is_added_in_the_reading_that_is_chosen(site: TestSite, home: Home) -> None:
    browser = english(site)
    form = {"uid": "0012345678", "scope": "flat", "ref": f"кв. 42 #{home.flat}", "note": "консьерж"}

    refused = browser.post("/key/add", form)
    assert refused.status_code == 303
    (key,) = find_keys(site.store, SYSTEM, "00BC614E")
    assert (key.format, key.given, key.note) == (KeyFormat.DECIMAL, "0012345678", "консьерж")
    browser.post("/key/add", {**form, "reading": "decimal:0000BC614E"})
    assert get_key(site.store, SYSTEM, key.id + 1).uid == "0000BC614E"
    assert [each.sip_user for each in panels_of_key(site.store, SYSTEM, key.id)] == ["500001"]


def test_the_keys_of_a_bundle_are_added_one_after_the_other_to_the_same_flat(
    site: TestSite, home: Home
) -> None:
    browser = english(site)
    where = {"scope": "flat", "ref": str(home.flat), "note": "blue"}

    made = browser.post("/key/add", {"uid": "04A1B2C3D4E501", "next": "yes", **where})
    form = browser.get(made.headers["location"]).text

    assert "04A1B2C3D4E501" in plain(form)
    assert "is added" in form
    assert "Ленина 5, кв. 42 #" in form
    assert 'value="blue"' in form
    # Enter, which a reader types behind each key, presses the first button: the next one again.
    assert form.index('name="next"') < form.index("Cancel")
    assert "Add, and the next one" in form.partition('class="actions"')[2].partition("</button>")[0]
    browser.post("/key/add", {"uid": "04A1B2C3D4E502", **where})
    for uid in ("04A1B2C3D4E501", "04A1B2C3D4E502"):
        (key,) = find_keys(site.store, SYSTEM, uid)
        assert [binding for binding, _ in key.bindings] == [flat(home.flat)]


def test_a_key_that_is_to_open_something_is_not_added_to_nothing(site: TestSite, home: Home) -> None:
    browser = english(site)

    answer = browser.post("/key/add", {"uid": UID, "scope": "flat", "ref": ""})
    many = browser.post(
        "/key/import", {"lines": UID, "format": "hex", "scope": "entrance", "ref": "", "technology": ""}
    )

    for each in (answer, many):
        assert each.status_code == 422
        assert 'id="k-ref-error">choose what the key is to open' in each.text
        assert UID in each.text
    assert find_keys(site.store, SYSTEM, UID) == ()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"uid": "hello"}, "is no key"),
        ({"uid": "04A1B2C3D4E5F6", "scope": "flat", "ref": "somewhere"}, "choose one of those"),
        ({"uid": "04A1B2C3D4E5F6", "scope": "flat", "ref": "#999999"}, "there is no flat 999999"),
        ({"uid": UID, "reading": f"hex:{UID}"}, "is known already"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_typed_is_lost(
    site: TestSite, home: Home, form: dict[str, str], said: str
) -> None:
    browser = english(site)
    add_key(site.store, SYSTEM, UID, [], NOW, format=KeyFormat.HEX)

    answer = browser.post("/key/add", {**form, "note": "kept"})

    assert answer.status_code == 422
    assert said in plain(answer.text)
    assert f'value="{form["uid"]}"' in answer.text
    assert 'value="kept"' in answer.text


def test_a_keys_page_shows_all_ways_of_writing_it_what_it_opens_and_its_panels(
    site: TestSite, home: Home
) -> None:
    id = add_key(site.store, SYSTEM, UID, [flat(home.flat)], NOW, format=KeyFormat.HEX)

    text = english(site).text(f"/keys/{id}")

    for each in written(UID).values():
        assert each in text
    assert "ул. Ленина 5, 42" in text
    assert "500001 to learn it" in text.replace("  ", " ")
    assert "1 is still to be told" in text


def test_a_key_is_bound_and_unbound_on_its_page(site: TestSite, home: Home) -> None:
    browser = english(site)
    id = add_key(site.store, SYSTEM, UID, [flat(home.flat)], NOW, format=KeyFormat.HEX)

    suggested = browser.get("/key/pick?scope=entrance&ref=п. 1").text
    assert f"#{home.entrance}" in suggested
    assert browser.get("/key/pick?scope=nothing&ref=x").text.strip() == ""
    assert browser.post(f"/key/{id}/bind", {"scope": "flat", "ref": f"#{home.flat_away}"}).status_code == 303
    assert {each.sip_user for each in panels_of_key(site.store, SYSTEM, id) if each.wanted} == {
        "500001",
        "500002",
    }
    assert browser.post(f"/key/{id}/unbind/flat/{home.flat}").status_code == 303
    assert {each.sip_user for each in panels_of_key(site.store, SYSTEM, id) if each.wanted} == {"500002"}
    assert browser.post(f"/key/{id}/bind", {"scope": "flat", "ref": ""}).status_code == 422


def test_a_lost_key_is_blocked_everywhere_and_found_again(site: TestSite, home: Home) -> None:
    browser = english(site)
    id = add_key(site.store, SYSTEM, UID, [flat(home.flat)], NOW, format=KeyFormat.HEX)
    assert "Blocked everywhere at once" in browser.get(f"/keys/{id}").text

    browser.post(f"/key/{id}/lost", {"why": "in the bus"})

    text = browser.text(f"/keys/{id}")
    assert "lost: it opens nothing" in text
    assert "in the bus" in text
    assert "to forget it" in text
    browser.post(f"/key/{id}/found")
    assert "lost: it opens nothing" not in browser.text(f"/keys/{id}")
    assert get_key(site.store, SYSTEM, id).lost_at is None


def test_keys_are_pasted_in_with_a_look_first(site: TestSite, home: Home) -> None:
    browser = english(site)
    add_key(site.store, SYSTEM, "04A1B2C3", [], NOW, format=KeyFormat.HEX)
    lines = "C3B2A104\r\n\r\nD4C3B2A1\r\n"
    form = {"lines": lines, "scope": "house", "ref": f"#{home.house}"}

    looked = plain(browser.post("/key/import/preview", form).text)
    assert "04A1B2C3" in looked
    assert "2 lines" in looked
    assert 'value="hex_reversed" checked' in browser.last.text  # type: ignore[union-attr]
    done = plain(browser.post("/key/import", {**form, "format": "hex_reversed"}).text)

    assert "1 key was added. 1 was known already." in done
    (key,) = find_keys(site.store, SYSTEM, "A1B2C3D4")[:1]
    assert (key.uid, key.format) == ("A1B2C3D4", KeyFormat.HEX_REVERSED)
    assert [binding.scope for binding, _ in key.bindings] == [KeyScope.HOUSE]


def test_one_wrong_line_imports_nothing_and_is_shown(site: TestSite, home: Home) -> None:
    browser = english(site)

    answer = browser.post("/key/import", {"lines": "04A1B2C3\nhello", "format": "hex"})

    assert answer.status_code == 422
    assert "is no key written as hex" in plain(answer.text)
    assert find_keys(site.store, SYSTEM, "04A1B2C3") == ()
    assert browser.post("/key/import", {"lines": "04A1B2C3"}).status_code == 422
    assert browser.post("/key/import/preview", {"lines": "1\n" * 5001}).status_code == 422


def test_nobody_sees_or_changes_keys_beyond_his_houses(site: TestSite, home: Home) -> None:
    reach = Reach(houses=frozenset({home.house}))
    browser = english(site, Right.KEYS_VIEW, Right.KEYS_EDIT, Right.HOUSING_VIEW, reach=reach)
    away = add_key(site.store, SYSTEM, "04A1B2C3D4E5F6", [flat(home.flat_away)], NOW, format=KeyFormat.HEX)
    both = [flat(home.flat), flat(home.flat_away)]
    shared = add_key(site.store, SYSTEM, UID, both, NOW, format=KeyFormat.HEX)

    assert "04A1B2C3D4E5F6" not in browser.text("/keys")
    assert browser.get(f"/keys/{away}").status_code == 404
    assert browser.post(f"/key/{away}/lost").status_code == 404
    page = browser.text(f"/keys/{shared}")
    assert "500001" in page
    assert "500002" not in page
    assert "Ленина 7" not in page
    form = {"uid": "04A1B2C3", "reading": "hex:04A1B2C3", "scope": "flat", "ref": f"#{home.flat_away}"}
    assert browser.post("/key/add", form).status_code == 422
    assert browser.post("/key/add", {**form, "scope": "", "ref": ""}).status_code == 422
    assert browser.post("/key/add", {**form, "ref": f"#{home.flat}"}).status_code == 303


def test_who_only_sees_keys_has_no_buttons_to_change_them(site: TestSite, home: Home) -> None:
    browser = english(site, Right.KEYS_VIEW)
    id = add_key(site.store, SYSTEM, UID, [flat(home.flat)], NOW, format=KeyFormat.HEX)

    page = browser.get(f"/keys/{id}").text

    assert "/lost" not in page
    assert "/unbind" not in page
    assert browser.get("/key/add").status_code == 403
    assert browser.get("/key/readings?uid=04A1B2C3").status_code == 403
    assert browser.post(f"/key/{id}/lost").status_code == 422
    assert get_key(site.store, SYSTEM, id).lost_at is None
