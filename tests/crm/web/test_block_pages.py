"""The pages of blocks: flats of a house blocked after a look at how many, taken back, and kinds that are kept."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from crm.housing.blocks import NewBlock, block_flats, standing_blocks
from crm.model import FlatBlock, House, table
from crm.rights import Reach, Right
from crm.tables.blocks import BlockKindRow
from crm.who import SYSTEM
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite, plain

BLOCKS = table(FlatBlock)


@pytest.fixture
def flats(houses: Houses) -> dict[str, int]:
    """A house's flats by number, with the house's id as "house"."""
    house = houses.house("5")
    return {"house": house} | {str(n): houses.flat(house, str(n)) for n in range(1, 6)}


def kinds_at(site: TestSite, flat: int) -> list[str]:
    return [each.kind for each in standing_blocks(site.store, SYSTEM, flat, time.time())]


def test_flats_of_a_house_are_blocked_after_a_look_at_how_many(site: TestSite, flats: dict[str, int]) -> None:
    site.employee("john")
    browser = site.browser("john")
    block_flats(site.store, SYSTEM, [flats["2"]], NewBlock("request", 1.0), 1.0)
    assert f"#{flats['house']}" in browser.get(f"/blocks/new?house_id={flats['house']}").text
    form = {"house_id": f"#{flats['house']}", "flats": "1-3", "kind": "request", "reason": "ремонт"}

    looked = browser.post("/blocks/preview", form).text
    done = browser.post("/blocks", form)

    assert "<html" not in looked
    assert "2 flats will be blocked" in plain(looked)
    assert "1 flat has such a block already" in plain(looked)
    assert done.status_code == 303
    assert [kinds_at(site, flats[n]) for n in "1234"] == [["request"], ["request"], ["request"], []]
    listed = browser.text(done.headers["location"])
    assert "ремонт" in listed
    assert "кв. 4" not in listed
    for query in ("state=stands", "source=hand", f"house_id={flats['house']}"):
        assert "кв. 1" in browser.text(f"/flat-blocks?{query}")
    assert "кв. 1" not in browser.text("/flat-blocks?state=past")


def test_times_are_those_of_the_house(site: TestSite, flats: dict[str, int]) -> None:
    with site.store.transaction() as connection:
        connection.execute(sa.update(House).values(time_zone="Asia/Kamchatka"))
    form = {"house_id": f"#{flats['house']}", "flats": "1", "kind": "debt"}

    site.browser().post("/blocks", {**form, "since": "2030-01-01T12:00", "until": "2030-01-02T12:00"})

    with site.store.reading() as connection:
        row = connection.execute(sa.select(BLOCKS.c["from"], BLOCKS.c.until)).one()
    assert tuple(row) == (1893456000.0, 1893542400.0)  # midnight, UTC


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flats": "77"}, "this house has no flat 77"),
        ({"house_id": ""}, "this is needed"),
        ({"until": "2001-01-01T00:00"}, "a time after its beginning is expected"),
        ({"kind": ""}, "this is needed"),
        ({"flats": "2"}, "all of them have a block of this kind already"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_typed_is_lost(
    site: TestSite, flats: dict[str, int], change: dict[str, str], said: str
) -> None:
    site.employee("john")
    block_flats(site.store, SYSTEM, [flats["2"]], NewBlock("request", 1.0), 1.0)
    form = {"house_id": f"#{flats['house']}", "flats": "1", "kind": "request", "reason": "kept"} | change

    answer = site.browser("john").post("/blocks", form)

    assert answer.status_code == 422
    assert said in plain(answer.text)
    assert 'value="kept"' in answer.text
    assert kinds_at(site, flats["1"]) == []


def test_a_block_is_taken_back_on_its_page_but_not_billings(site: TestSite, flats: dict[str, int]) -> None:
    site.employee("john")
    browser = site.browser("john")
    _, (mine,) = block_flats(site.store, SYSTEM, [flats["1"]], NewBlock("request", 1.0), 1.0)
    with site.store.transaction() as connection:
        row = {"flat_id": flats["1"], "kind": "debt", "from": 1.0, "reason": "", "source": "billing"}
        billing = connection.scalar(sa.insert(BLOCKS).values(row).returning(BLOCKS.c.id))

    assert f"/blocks/{mine}/take-back" in browser.get(f"/flat-blocks/{mine}").text
    assert f"/blocks/{billing}/take-back" not in browser.get(f"/flat-blocks/{billing}").text
    assert browser.post(f"/blocks/{mine}/take-back").status_code == 303
    refused = browser.post(f"/blocks/{billing}/take-back")

    assert refused.status_code == 409
    assert "billing has set this block" in plain(refused.text)
    assert kinds_at(site, flats["1"]) == ["debt"]
    assert "past" in browser.text(f"/flat-blocks/{mine}")


def test_only_kinds_that_one_may_set_are_offered_and_nobody_sees_beyond(
    site: TestSite, houses: Houses, flats: dict[str, int]
) -> None:
    away_house = houses.house("7")
    away = houses.flat(away_house, "1")
    _, (there,) = block_flats(site.store, SYSTEM, [away], NewBlock("request", 1.0), 1.0)
    rights = [Right.BLOCKS_VIEW, Right.BLOCKS_SET, Right.HOUSING_VIEW]
    site.employee("anna", rights, Reach(houses=frozenset({flats["house"]})))
    browser = site.browser("anna")

    page = browser.get(f"/blocks/new?house_id={flats['house']}").text
    assert 'value="request"' in page
    assert 'value="admin"' not in page
    form = {"house_id": f"#{flats['house']}", "flats": "*", "kind": "admin"}
    assert browser.post("/blocks", form).status_code == 422
    assert (
        browser.post("/blocks", form | {"house_id": f"#{away_house}", "kind": "request"}).status_code == 422
    )
    assert "Ленина 7" not in browser.text("/flat-blocks")
    assert browser.get(f"/flat-blocks/{there}").status_code == 404
    assert browser.post(f"/blocks/{there}/take-back").status_code == 404
    assert browser.post("/blocks", form | {"kind": "request"}).status_code == 303
    assert [kinds_at(site, flats[n]) for n in "15"] == [["request"], ["request"]]


def test_the_blocks_of_a_list_are_taken_back_together_after_a_look(
    site: TestSite, flats: dict[str, int], houses: Houses
) -> None:
    site.employee("john")
    browser = site.browser("john")
    away = houses.flat(houses.house("7"), "1")
    for ids, kind in (
        ([flats[n] for n in "123"], "request"),
        ([flats["1"]], "technical"),
        ([away], "request"),
    ):
        block_flats(site.store, SYSTEM, ids, NewBlock(kind, 1.0), 1.0)
    where = f"house_id={flats['house']}&kind_id={kind_id(site, 'request')}"
    assert f"/blocks/take-back?{where}".replace("&", "&amp;") in browser.get(f"/flat-blocks?{where}").text
    assert "/blocks/take-back" not in browser.get("/flat-blocks").text

    looked = browser.get(f"/blocks/take-back?{where}").text
    block_flats(site.store, SYSTEM, [flats["4"]], NewBlock("request", 1.0), 1.0)  # which was not seen
    seen = looked.partition('name="ids" value="')[2].partition('"')[0]
    done = browser.post(f"/blocks/take-back?{where}", {"ids": seen})

    assert "3 blocks end now" in plain(looked)
    assert done.status_code == 303
    assert done.headers["location"] == f"/flat-blocks?{where}"
    assert [kinds_at(site, flats[n]) for n in "1234"] == [["technical"], [], [], ["request"]]
    assert kinds_at(site, away) == ["request"]
    again = browser.post(f"/blocks/take-back?{where}", {"ids": seen})
    assert again.status_code == 422
    assert browser.post(f"/blocks/take-back?{where}", {"ids": ""}).status_code == 422


def kind_id(site: TestSite, code: str) -> int:
    kinds = table(BlockKindRow)
    with site.store.reading() as connection:
        return int(connection.execute(sa.select(kinds.c.id).where(kinds.c.code == code)).scalar_one())


def test_who_may_set_no_kind_gets_no_form(site: TestSite, flats: dict[str, int]) -> None:
    site.employee("ilya", [Right.BLOCKS_VIEW, Right.HOUSING_VIEW])
    browser = site.browser("ilya")

    assert browser.get("/blocks/new").status_code == 403
    assert "/blocks/new" not in browser.get("/flat-blocks").text


def test_a_built_in_kind_is_changed_and_never_deleted(site: TestSite, flats: dict[str, int]) -> None:
    site.employee("john")
    browser = site.browser("john")
    kinds = table(BlockKindRow)
    with site.store.reading() as connection:
        debt = connection.scalar(sa.select(kinds.c.id).where(kinds.c.code == "debt"))

    assert browser.post(f"/block-kinds/{debt}", {"stops_app": "yes"}).status_code == 303
    refused = browser.post(f"/block-kinds/{debt}/delete")

    assert refused.status_code == 409
    assert "built in" in plain(refused.text)
    with site.store.reading() as connection:
        assert connection.scalar(sa.select(kinds.c.stops_app).where(kinds.c.code == "debt"))
