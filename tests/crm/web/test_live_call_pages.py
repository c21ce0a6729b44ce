"""A call that goes on has a page, and a flat's card says how far its test ring is, until the record is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import pytest
from attrs import define, field

from crm.calls.calls import save_calls
from crm.rights import Reach, Right
from crm.store import Store
from crm.values.records import Outcome
from live import CallState, Counts, LiveBoard, LiveCall
from tests.crm.calls.test_timeline import talk
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite, open_site, plain

ID = "9f3a12cd34ef5678"
HTMX = {"hx-request": "true"}


@define
class Boards:
    """Boards that come: one, and then no more."""

    board: LiveBoard | None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LiveBoard:
        if self.board is None:
            raise StopAsyncIteration
        board, self.board = self.board, None
        return board


@define
class BoardNodes:
    """Nodes that say what goes on, and ring. `silent`: they say nothing at all."""

    calls: list[LiveCall] = field(factory=list)
    silent: bool = False

    @contextmanager
    def subscribe(self) -> Iterator[Boards]:
        calls, now = tuple(self.calls), time.time()
        board = LiveBoard(at=now, calls_per_s=0.0, series=(), now=Counts(), nodes=(), alarms=(), calls=calls)
        yield Boards(None if self.silent else board)

    async def ring(self, flat_id: int, who: str) -> str:
        return ID


@pytest.fixture
def nodes() -> BoardNodes:
    return BoardNodes()


@pytest.fixture
def site(store: Store, nodes: BoardNodes) -> Iterator[TestSite]:
    with open_site(store, nodes=nodes) as site:
        yield site


@pytest.fixture
def flat(houses: Houses) -> int:
    house = houses.house("5")
    return houses.flat(house, "42", houses.entrance("п. 2", house))


def ringing(flat: int | None, *, phones: int = 2, panel: str = "") -> LiveCall:
    began = time.time() - 3
    return LiveCall(
        call_id=ID,
        node="node1",
        kind="test_ring",
        state=CallState.RINGING,
        started_at=began,
        since=began,
        panel=panel,
        address="ул. Ленина 5",
        flat="42",
        flat_id=flat,
        phones=2,
        phones_ringing=phones,
    )


def test_a_call_that_goes_on_has_a_page_that_moves_by_itself(
    site: TestSite, nodes: BoardNodes, flat: int
) -> None:
    nodes.calls.append(ringing(flat))
    site.employee("john")

    page = site.browser("john").get(f"/calls/{ID}")

    assert page.status_code == 200
    assert f'hx-get="/calls/{ID}/now' in page.text
    assert "x-quiet" in page.text
    assert "rings 2 phones" in plain(page.text)


def test_when_it_has_a_record_its_page_is_loaded_again_and_a_card_says_what_became_of_each_phone(
    site: TestSite, store: Store, flat: int
) -> None:
    record = talk()
    record.flat_id = flat
    save_calls(store, [record])
    site.employee("john")
    browser = site.browser("john")

    at_card = browser.get(f"/calls/{ID}/now", **HTMX, **{"hx-current-url": "http://x/houses/1?flat=1"})
    at_page = browser.get(f"/calls/{ID}/now", **HTMX, **{"hx-current-url": f"http://x/calls/{ID}"})

    assert "hx-refresh" not in at_card.headers
    assert "hx-trigger" not in at_card.text
    assert "7351043 no push was sent, answered after 6.1 s" in plain(at_card.text)
    assert f'href="/calls/{ID}"' in at_card.text
    assert at_page.headers["hx-refresh"] == "true"


def test_a_card_waits_for_a_ring_that_no_board_shows_but_not_for_ever(
    site: TestSite, nodes: BoardNodes, flat: int
) -> None:
    nodes.silent = True
    site.employee("john")
    browser = site.browser("john")
    now = int(time.time())

    rung = browser.post(f"/flat/{flat}/ring", None, **HTMX).text
    early = browser.get(f"/calls/{ID}/now?begun={now - 5}", **HTMX)
    late = browser.get(f"/calls/{ID}/now?begun={now - 3600}", **HTMX)

    assert 'hx-trigger="every 2s"' in rung
    assert "is being put through" in plain(early.text)
    assert f"begun={now - 5}" in early.text
    assert "nothing is known of it yet" in plain(late.text)
    assert "hx-trigger" not in late.text


@pytest.mark.parametrize("with_flat", [True, False])
def test_nobody_sees_a_call_that_goes_on_beyond_his_houses(
    site: TestSite, nodes: BoardNodes, houses: Houses, flat: int, with_flat: bool
) -> None:
    nodes.calls.append(ringing(flat if with_flat else None, panel="" if with_flat else "500009"))
    other = Reach(houses=frozenset({houses.house("7")}))
    site.employee("manager", [Right.CALLS_VIEW], other)
    site.employee("nobody", [Right.HOUSING_VIEW, Right.CALLS_MAKE])
    manager = site.browser("manager")

    assert manager.get(f"/calls/{ID}").status_code == 404
    assert "ул. Ленина" not in manager.get(f"/calls/{ID}/now", **HTMX).text
    assert "rings" not in plain(manager.get(f"/calls/{ID}/now", **HTMX).text)
    assert site.browser("nobody").get(f"/calls/{ID}/now", **HTMX).status_code == 403


def test_who_is_bounded_sees_the_test_ring_of_his_own_flat(
    site: TestSite, nodes: BoardNodes, store: Store, houses: Houses
) -> None:
    house = houses.house("5")
    nodes.calls.append(ringing(houses.flat(house, "42")))
    site.employee("manager", [Right.CALLS_VIEW], Reach(houses=frozenset({house})))

    assert "rings 2 phones" in site.browser("manager").text(f"/calls/{ID}")


def test_what_is_neither_recorded_nor_going_on_is_not_there(site: TestSite, nodes: BoardNodes) -> None:
    assert site.browser().get(f"/calls/{ID}").status_code == 404
    nodes.silent = True
    assert site.browser().get(f"/calls/{ID}").status_code == 404


def test_a_flats_card_says_of_its_last_calls_how_they_ended_in_the_words_of_all_pages(
    site: TestSite, store: Store, houses: Houses
) -> None:
    house = houses.house("5")
    record = talk()
    record.flat_id = houses.flat(house, "42")
    record.outcome = Outcome.RING_TIMEOUT
    save_calls(store, [record])
    browser = site.browser()

    for path in (
        f"/flats/{record.flat_id}",
        f"/houses/{house}?flat={record.flat_id}",
        f"/flat/{record.flat_id}/card",
    ):
        assert "время вызова вышло" in browser.text(path), path
