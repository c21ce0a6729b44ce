"""The pages of houses beyond what all records have: making one whole, its grid and cards, gates, panels, deleting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from crm.model import BlockKind, City, Entrance, EntranceFlat, Flat, House, Street
from crm.rights import Reach, Right
from crm.store import Store
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite, open_site, plain

HOUSING = (Right.HOUSING_VIEW, Right.HOUSING_EDIT)
HTMX = {"hx-request": "true"}


class NodesThatRing:
    """A node as far as it is needed here. `why` it does not ring; "": it does."""

    def __init__(self) -> None:
        self.rung: list[tuple[int, str]] = []
        self.why = ""

    async def ring(self, flat_id: int, who: str) -> str:
        if self.why:
            raise RuntimeError(self.why)
        self.rung.append((flat_id, who))
        return "84c5a505c31e2aac"


@pytest.fixture
def nodes() -> NodesThatRing:
    return NodesThatRing()


@pytest.fixture
def site(store: Store, nodes: NodesThatRing) -> Iterator[TestSite]:
    with open_site(store, nodes=nodes) as site:
        yield site


@pytest.fixture
def street(store: Store, houses: Houses) -> int:
    with store.session() as session:
        row = Street(city_id=houses.city, name="ул. Мира")
        session.add(row)
        session.flush()
        return row.id


def numbers(store: Store) -> list[tuple[str, int | None]]:
    with store.reading() as connection:
        rows = connection.execute(sa.select(Flat.number, Flat.floor).order_by(Flat.id)).all()
    return [(number, floor) for number, floor in rows]


def exist(store: Store, of: type, where: object = True) -> int:
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(of)) or 0


# --- making ----------------------------------------------------------------------------------------------------------


def test_a_house_is_made_with_its_entrances_and_flats_in_one_form(
    site: TestSite, store: Store, street: int
) -> None:
    browser = site.browser()
    assert "Предпросмотр" in browser.text("/houses/new")

    form = {"street_id": f"ул. Мира #{street}", "number": "5а", "entrances": "1: 1-4; 2: 5-8", "floors": "2"}
    made = browser.post("/houses/new", form)

    assert made.status_code == 303
    shown = browser.text(made.headers["location"])
    assert "Челябинск, ул. Мира 5а" in shown
    assert "п. 1 п. 2" in shown
    assert numbers(store)[:4] == [("1", 1), ("2", 1), ("3", 2), ("4", 2)]


def test_the_preview_shows_floors_and_what_is_wrong_at_its_entrance(site: TestSite, street: int) -> None:
    site.employee("john", HOUSING)
    browser = site.browser("john")

    typed = {"entrances": "1: 1-4\n2: 9-5\n3: 4", "floors": "2"}
    shown = plain(browser.post("/houses/preview", typed).text)

    assert "2 3 4" in shown
    assert "9-5 is no range" in shown
    assert "flat 4 is at п. 1 already" in shown or "more floors (2)" in shown
    assert plain(browser.post("/houses/preview", {"entrances": ""}).text).startswith("What you type")
    wrong = browser.post("/houses/preview", {"entrances": "1: 1-4", "per_floor": "many"})
    assert wrong.status_code == 200


def test_what_is_wrong_with_a_new_house_is_said_and_nothing_is_lost(
    site: TestSite, store: Store, street: int
) -> None:
    browser = site.browser()
    form = {"street_id": f"ул. Мира #{street}", "number": "", "entrances": "1: 4-1", "floors": "2"}

    for change, said in (({}, "не диапазон"), ({"entrances": "1: 1-4"}, "нужно заполнить")):
        answer = browser.post("/houses/new", form | change)
        assert answer.status_code == 422
        assert (form | change)["entrances"] in answer.text
        assert f'value="ул. Мира #{street}"' in answer.text
        assert said in answer.text or 'class="error"' in answer.text
    answer = browser.post("/houses/new", form | {"number": "5", "entrances": "1: 1-4", "per_floor": "0"})
    assert answer.status_code == 422
    assert exist(store, House) == exist(store, Entrance) == 0


def test_a_manager_is_told_where_he_may_make_houses(
    site: TestSite, store: Store, houses: Houses, street: int
) -> None:
    site.employee("manager", HOUSING, Reach(houses=frozenset({houses.house("1")})))
    form = {"street_id": f"ул. Мира #{street}", "number": "5", "entrances": "1: 1-4"}

    answer = site.browser("manager").post("/houses/new", form)

    assert answer.status_code == 422
    assert "may make houses only where" in answer.text
    assert exist(store, House) == 1


def test_who_may_only_look_makes_nothing(site: TestSite, houses: Houses) -> None:
    house = houses.house("1")
    houses.flat(house, "1", houses.entrance("п. 1", house))
    site.employee("looker", [Right.HOUSING_VIEW])
    browser = site.browser("looker")

    for path in ("/houses/new", f"/house/{house}/add", f"/house/{house}/gate", f"/house/{house}/delete"):
        assert browser.get(path).status_code == 403, path
    for path in ("/houses/new", "/houses/preview", f"/house/{house}/add", f"/house/{house}/delete"):
        assert browser.post(path, {"entrances": "9: 9", "confirm": "1"}).status_code == 403, path
    shown = browser.get(f"/houses/{house}").text
    assert f"/house/{house}/" not in shown.replace(f"/house/{house}/grid", "")


def test_flats_are_added_to_a_house_that_is_there(site: TestSite, store: Store, houses: Houses) -> None:
    house = houses.house("1")
    houses.flat(house, "1", houses.entrance("п. 1", house))
    browser = site.browser()
    path = f"/house/{house}/add"

    shown = plain(browser.post("/houses/preview", {"house_id": str(house), "entrances": "1: 1-3"}).text)
    assert "уже есть" in shown
    assert browser.post(path, {"entrances": "1: 1-3"}).status_code == 422
    assert browser.post(path, {"entrances": " "}).status_code == 422
    assert browser.post(path, {"entrances": "1: 2-3; 2: 4"}).status_code == 303
    assert [number for number, _ in numbers(store)] == ["1", "2", "3", "4"]
    assert browser.post(path, {"entrances": "калитка: 1-4", "call": "yes"}).status_code == 303
    assert exist(store, EntranceFlat) == 8


# --- the grid --------------------------------------------------------------------------------------------------------


def test_the_grid_tells_by_word_and_sign_how_each_flat_is(site: TestSite, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    fine, blocked = houses.flat(house, "1", entrance), houses.flat(house, "2", entrance)
    houses.phone(houses.account("7351001", fine), "token")
    houses.block(blocked, BlockKind.DEBT, 0.0)
    site.employee("john")
    browser = site.browser("john")

    shown = browser.get(f"/houses/{house}").text

    assert 'class="cell act"' in shown
    assert "calls blocked 1" in plain(shown)
    assert "never called 1" in plain(shown)
    accounts = browser.get(f"/house/{house}/grid?by=accounts", **HTMX)
    assert "all accounts ring 1" in plain(accounts.text)
    assert accounts.headers["hx-replace-url"] == f"/houses/{house}?by=accounts"
    assert "<html" not in accounts.text
    for by in ("handset", "blocks", "call", "nonsense"):
        assert browser.get(f"/houses/{house}?by={by}").status_code == 200


def test_a_cell_opens_its_flat_beside_the_grid(site: TestSite, houses: Houses) -> None:
    house, other = houses.house("1"), houses.house("2")
    flat = houses.flat(house, "7", houses.entrance("п. 1", house))
    houses.account("7351007", flat)
    site.employee("john")
    browser = site.browser("john")

    page = f"http://testserver.local/houses/{house}?by=call"
    card = browser.get(f"/flat/{flat}/card", **{"hx-request": "true", "hx-current-url": page})

    assert card.headers["hx-replace-url"] == f"/houses/{house}?by=call&flat={flat}"
    assert "7351007" in plain(card.text)
    assert "7351007" in browser.text(f"/houses/{house}?flat={flat}")
    assert "7351007" in browser.text(f"/flats/{flat}")
    assert "7351007" not in browser.text(f"/houses/{other}?flat={flat}")
    assert browser.get("/flat/99999/card").status_code == 404


def test_a_manager_sees_no_grid_and_card_beyond_his_houses(site: TestSite, houses: Houses) -> None:
    mine, other = houses.house("1"), houses.house("2")
    flat = houses.flat(other, "7")
    site.employee("manager", [*HOUSING, Right.CALLS_MAKE], Reach(houses=frozenset({mine})))
    browser = site.browser("manager")

    for path in (f"/house/{other}/grid", f"/flat/{flat}/card", f"/house/{other}/add"):
        assert browser.get(path).status_code == 404, path
    assert browser.post(f"/flat/{flat}/ring").status_code == 404
    assert "7" not in browser.text(f"/houses/{mine}?flat={flat}").partition("Flat by")[2]


# --- ringing ---------------------------------------------------------------------------------------------------------


def test_a_flats_phones_are_rung_for_a_test(site: TestSite, nodes: NodesThatRing, houses: Houses) -> None:
    flat = houses.flat(houses.house("1"), "7")
    site.employee("john")
    browser = site.browser("john")

    rung = browser.post(f"/flat/{flat}/ring", None, **HTMX)
    assert rung.status_code == 200
    assert 'href="/calls/84c5a505c31e2aac"' in rung.text
    assert nodes.rung == [(flat, "John")]
    assert browser.post(f"/flat/{flat}/ring").headers["location"] == "/calls/84c5a505c31e2aac"

    nodes.why = "no node is ready"
    failed = browser.post(f"/flat/{flat}/ring", None, **HTMX)
    assert failed.status_code == 409
    assert "no node is ready" in failed.text


def test_nobody_rings_without_the_right(site: TestSite, nodes: NodesThatRing, houses: Houses) -> None:
    flat = houses.flat(houses.house("1"), "7")
    site.employee("looker", [Right.HOUSING_VIEW])
    browser = site.browser("looker")
    assert "Ring this" not in browser.text(f"/flats/{flat}")
    assert browser.post(f"/flat/{flat}/ring").status_code == 403
    assert nodes.rung == []


# --- gates, panels, numbers ------------------------------------------------------------------------------------------


def test_a_gate_is_made_for_two_houses_with_their_prefixes(
    site: TestSite, store: Store, houses: Houses
) -> None:
    first, second = houses.house("1"), houses.house("2")
    houses.flat(first, "42"), houses.flat(second, "42")
    browser = site.browser()
    path = f"/house/{first}/gate"
    assert f"#{first}" in browser.get(path).text
    form = {"name": "ворота", "house.0": f"#{first}", "house.2": f"x #{second}", "flats": "yes"}

    refused = browser.post(path, form)
    assert refused.status_code == 422
    assert "дайте каждому дому свой префикс" in refused.text
    assert browser.post(path, form | {"house.3": "nobody"}).status_code == 422
    assert browser.post(path, form | {"name": ""}).status_code == 422
    made = browser.post(path, form | {"prefix.0": "1", "prefix.2": "2"})
    assert made.status_code == 303
    assert exist(store, EntranceFlat) == 2
    shown = browser.text(f"/houses/{first}")
    assert "ворота также ул. Ленина 2 1 1" in shown


def test_a_panel_is_put_at_an_entrance_and_taken_off(site: TestSite, houses: Houses) -> None:
    house, other = houses.house("1"), houses.house("2")
    entrance, foreign = houses.entrance("п. 1", house), houses.entrance("п. 1", other)
    panel = houses.panel("700001", foreign)
    browser = site.browser()
    path = f"/house/{house}/panels"

    assert browser.post(path, {"entrance": str(entrance), "panel": f"700001 #{panel}"}).status_code == 303
    assert "700001" in browser.text(f"/houses/{house}")
    assert browser.post(path, {"entrance": str(foreign), "panel": f"#{panel}"}).status_code == 422
    assert browser.post(path, {"entrance": str(entrance), "panel": "nothing"}).status_code == 422
    assert browser.post(path, {"entrance": str(entrance), "panel": "#99999"}).status_code == 422
    gone = {"entrance": str(entrance), "panel": str(panel)}
    assert browser.post(f"{path}/remove", gone).status_code == 303
    assert "700001" not in browser.text(f"/houses/{house}")
    assert browser.post(f"{path}/remove", gone).status_code == 404


def test_numbers_at_the_panel_are_set_and_refused_beside_their_field(site: TestSite, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house, prefixes=("3",))
    for number in ("1", "2"):
        houses.flat(house, number, entrance)
    browser = site.browser()
    path = f"/house/{house}/numbers"
    assert 'value="3"' in browser.get(f"{path}?entrance={entrance}").text
    form = {"entrance": str(entrance), "prefix": "4", "flats": "1-2", "how": "counted", "number": "101"}

    assert browser.post(path, form).status_code == 303
    assert "п. 1 4 2 отличаются 2: 1 → 101" in browser.text(f"/houses/{house}")
    for wrong in ({"number": "x"}, {"flats": "7"}, {"entrance": "99"}, {"prefix": "x"}, {"number": "0"}):
        answer = browser.post(path, form | wrong)
        assert answer.status_code == 422, wrong
        assert 'class="error"' in answer.text, wrong
    assert browser.post(path, form | {"how": "", "number": ""}).status_code == 303


# --- deleting --------------------------------------------------------------------------------------------------------


def test_a_house_goes_with_everything_once_its_number_is_written(
    site: TestSite, store: Store, houses: Houses
) -> None:
    house = houses.house("5а")
    houses.flat(house, "1", houses.entrance("п. 1", house))
    browser = site.browser()

    refused = browser.post(f"/houses/{house}/delete")
    assert refused.status_code == 409
    assert "в доме есть квартиры или подъезды" in refused.text
    assert "1 квартира, 1 подъезд" in browser.text(f"/house/{house}/delete")
    assert browser.post(f"/house/{house}/delete", {"confirm": "5"}).status_code == 422
    assert browser.post(f"/house/{house}/delete", {"confirm": "5А"}).status_code == 303
    assert exist(store, House) == exist(store, Flat) == exist(store, Entrance) == 0
    assert exist(store, City) == 1


def test_an_entrance_goes_with_its_ties(site: TestSite, store: Store, houses: Houses) -> None:
    house = houses.house("5")
    entrance = houses.entrance("п. 1", house)
    houses.flat(house, "1", entrance)
    browser = site.browser()

    assert browser.post(f"/entrances/{entrance}/delete").status_code == 409
    assert f"/entrance/{entrance}/delete" in browser.get(f"/entrances/{entrance}").text
    assert "1 квартира, в которую отсюда звонят" in browser.text(f"/entrance/{entrance}/delete")
    assert browser.post(f"/entrance/{entrance}/delete").status_code == 303
    assert (exist(store, Entrance), exist(store, Flat)) == (0, 1)
