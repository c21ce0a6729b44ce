"""The pages of quality calls: a campaign made, watched and stopped; a result; a flat tested now."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.model import House, table
from crm.quality import making
from crm.quality.making import make_some
from crm.quality.results import save_result
from crm.quality.tasks import claim_task, due_tasks, finish_task
from crm.rights import Reach, Right
from crm.store import Store
from crm.values.quality import CallType, Result, TaskState
from tests.crm.houses import Houses
from tests.crm.web.recorded import RecordedNodes
from tests.crm.web.site import TestSite, plain

T = 1_790_000_000.0
MEASURES = '[{"name":"noise_floor","value":-61.5,"unit":"dBFS","threshold":-45.0,"well":true}]'
FORM = {
    "name": "Осень",
    "kind": "planned",
    "only": "all",
    "hours": "00:00-23:59",
    "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "spacing_min": "0",
    "per_house": "3",
    "attempts": "2",
    "attempt_spacing_h": "4",
    "priority": "0",
}


@pytest.fixture
def flat(houses: Houses) -> int:
    house = houses.house("5")
    door = houses.entrance("п. 1", house)
    houses.panel("p1", door)
    return houses.flat(house, "42", door)


def result(flat: int, **fields: object) -> Result:
    values = {"kind": CallType.TEST, "flat_id": flat, "verdict": "weak", "confidence": 0.9, "panel": "p1"}
    times = {"started_at": T, "ended_at": T + 20, "measures": MEASURES, "line": "normal", "line_level": 312.0}
    files = {"recording": "quality/a.wav", "picture": "quality/a.svg"}
    return Result(**{**values, **times, **files, **fields})  # type: ignore[arg-type]


def test_a_campaign_is_made_paused_and_stopped(site: TestSite, flat: int) -> None:
    site.employee("john")
    browser = site.browser("john")

    made = browser.post("/quality-campaigns", {**FORM, "houses": "ул. Ленина 5"})
    page = made.headers["location"]
    state = page.replace("/quality-campaigns/", "/quality/campaigns/") + "/state"

    assert "running 0 of 1 flats" in browser.text(page)
    assert "Осень" in browser.text("/quality-campaigns")
    for wanted in ("paused", "stopped"):
        assert browser.post(state, {"state": wanted}).status_code == 303
    assert browser.post(state, {"state": "running"}).status_code == 409
    assert "1 left out" in browser.text(page)
    assert "ул. Ленина 5" in browser.text(page.replace("/quality-campaigns/", "/quality-tasks?campaign_id="))


def test_a_campaigns_progress_comes_by_itself_as_long_as_it_runs(site: TestSite, flat: int) -> None:
    browser = site.browser()
    made = browser.post("/quality-campaigns", {**FORM, "houses": "ул. Ленина 5"}).headers["location"]
    part = made.replace("/quality-campaigns/", "/quality/campaigns/")

    assert f'hx-get="{part}/progress"' in browser.get(made).text
    running = browser.get(f"{part}/progress", **{"hx-request": "true"})
    assert "hx-refresh" not in running.headers
    assert "<html" not in running.text

    browser.post(f"{part}/state", {"state": "paused"})
    paused = browser.get(f"{part}/progress", **{"hx-request": "true"})
    assert paused.headers["hx-refresh"] == "true"
    assert "hx-trigger" not in paused.text
    site.employee("stranger", [Right.HOUSING_VIEW])
    assert site.browser("stranger").get(f"{part}/progress").status_code == 403


def test_a_large_campaign_is_answered_at_once_and_its_making_is_watched(
    site: TestSite, store: Store, flat: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "HOUSES_AT_ONCE", 1)
    with store.transaction() as connection:
        (house,) = connection.execute(sa.select(table(House))).mappings()
        connection.execute(sa.insert(table(House)), [{**house, "id": 77, "number": "77"}])
    site.employee("john")
    browser, russian = site.browser("john"), site.browser()

    page = browser.post("/quality-campaigns", FORM).headers["location"]
    part = page.replace("/quality-campaigns/", "/quality/campaigns/")
    id = int(page.rpartition("/")[2])
    assert make_some(store, id, T)

    assert "being made 1 of 2 houses are in it, 1 flats so far" in browser.text(page)
    assert "создаётся внесено 1 из 2 домов, квартир пока 1" in russian.text(page)
    assert "being made" in browser.text("/quality-campaigns")
    assert "создаётся" in russian.text("/quality-campaigns")
    assert 'aria-label="50 %"' in browser.get("/quality-campaigns").text
    moving = browser.get(f"{part}/progress", **{"hx-request": "true"})
    assert 'hx-trigger="every 2s"' in moving.text
    assert 'aria-label="50 %"' in moving.text
    assert "hx-refresh" not in moving.headers

    assert browser.post(f"{part}/state", {"state": "paused"}).status_code == 303
    assert "paused 1 of 2 houses are in it" in browser.text(page)
    assert not make_some(store, id, T)
    assert browser.post(f"{part}/state", {"state": "running"}).status_code == 303
    assert "being made" in browser.text(page)

    assert make_some(store, id, T)
    made = browser.get(f"{part}/progress", **{"hx-request": "true"})
    assert "running 0 of 1 flats" in plain(made.text)
    assert 'hx-trigger="every 5s"' in made.text
    assert "hx-refresh" not in made.headers


def test_a_campaign_that_is_impossible_says_why(
    site: TestSite, store: Store, flat: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "HOUSES_AT_ONCE", 0)
    page = site.browser().post("/quality-campaigns", {**FORM, "only": "bad"}).headers["location"]
    monkeypatch.undo()
    assert make_some(store, int(page.rpartition("/")[2]), T)

    assert "невозможен в обзвоне нет квартир: ни одна работающая панель" in site.browser().text(page)
    site.employee("john")
    text = site.browser("john").text(page)
    assert "impossible no flat is in it: no active panel" in text
    assert "Stop" not in text
    assert "/progress" not in site.browser().get(page).text


def test_a_reason_and_its_measures_are_said_in_russian(site: TestSite, store: Store, flat: int) -> None:
    why = "our prompt comes back at -12 dB, though the panel's test finds the line open"
    id = save_result(store, result(flat, why=why, line="on_hook"))

    page = site.browser().text(f"/quality-results/{id}")

    assert "наша подсказка возвращается на уровне -12 дБ, хотя по проверке панели линия оборвана" in page
    assert "шумовой фон −61,5 ≤ −45 dBFS в норме" in page
    assert "Проверка линии: трубка лежит" in page
    assert "наша подсказка" in site.browser().text("/quality-results")


def test_what_is_wrong_with_a_campaign_is_said_beside_it(site: TestSite, flat: int) -> None:
    answer = site.browser().post(
        "/quality-campaigns", {**FORM, "name": "", "hours": "20-10", "houses": "ул. Мира 1", "attempts": "x"}
    )

    assert answer.status_code == 422
    assert answer.text.count('class="error"') == 4
    assert "ул. Мира 1" in answer.text


def test_a_result_shows_what_its_verdict_stands_on(site: TestSite, store: Store, flat: int) -> None:
    site.app.state.site.parts["nodes"] = RecordedNodes(
        {"quality/a.wav": b"both", "quality/a-in.wav": b"in", "quality/a.svg": b"<svg/>"}
    )
    id = save_result(store, result(flat))
    site.employee("john")
    browser = site.browser("john")

    text = browser.text(f"/quality-results/{id}")

    for said in ("weak", "confidence 0.90", "noise floor −61.5 ≤ −45 dBFS", "level 312"):
        assert said in text, said
    assert "Ленина 5" in browser.text("/quality-results?verdict=weak")
    assert "Ленина 5" not in browser.text("/quality-results?verdict=good")
    assert browser.get(f"/quality/results/{id}/in").content == b"in"
    assert browser.get(f"/quality/results/{id}/picture").content == b"<svg/>"
    assert browser.get(f"/quality/results/{id}/other").status_code == 404


def test_a_flat_is_tested_now_and_the_answer_comes_by_itself(site: TestSite, store: Store, flat: int) -> None:
    site.employee("john")
    browser = site.browser("john")
    assert "/test" in browser.get(f"/flats/{flat}").text

    page = browser.post(f"/quality/flats/{flat}/test").headers["location"]
    waiting = browser.get(page).text
    (task,) = due_tasks(store, None, (), 4e9, 9)
    assert claim_task(store, task.id, "node1", 4e9, 1)
    finish_task(store, task.id, result(flat, task_id=task.id))
    part = browser.get(f"/quality/tasks/{task.id}", **{"hx-request": "true"}).text

    assert 'hx-trigger="every 2s"' in waiting
    assert "x-quiet" in waiting
    assert "hx-trigger" not in part
    assert "weak" in part
    assert TaskState.DONE.value in part


def test_nobody_sees_or_tests_beyond_his_houses(
    site: TestSite, store: Store, houses: Houses, flat: int
) -> None:
    id = save_result(store, result(flat))
    reach = Reach(houses=frozenset({houses.house("7")}))
    site.employee("manager", list(Right), reach)
    browser = site.browser("manager")

    assert "Ленина 5" not in browser.text("/quality-results")
    for path in (f"/quality-results/{id}", f"/quality/results/{id}/whole", "/quality/houses/1"):
        assert browser.get(path).status_code == 404, path
    assert browser.post(f"/quality/flats/{flat}/test").status_code == 404
    assert browser.post("/quality-campaigns", FORM).status_code == 422
    assert browser.get("/quality-campaigns").status_code == 200


def test_a_house_is_drawn_by_its_last_verdicts(site: TestSite, store: Store, flat: int) -> None:
    save_result(store, result(flat))

    page = site.browser().get("/quality/houses/1").text

    assert "<title>42: weak" in page
