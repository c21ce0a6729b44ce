"""The pages of imports: a file is taken in, checked, written; what is wrong is said; nobody imports beyond his own."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
import trio

from crm.imports.imports import ImportKind, ImportState, start_import, unfinished_imports
from crm.imports.worker import KEEP_S, ImportWorker
from crm.model import Flat, table
from crm.rights import ALL_RIGHTS, Reach, Right
from crm.staff.staff import set_active
from crm.store import Store
from crm.who import COMMAND_LINE, Who
from tests.crm.houses import Houses
from tests.crm.web.site import KEY, Browser, TestSite, open_site

FLATS = "Город;Улица;Номер дома;Квартира;Этаж\nЧелябинск;ул. Ленина;5;42;2\nЧелябинск;ул. Ленина;5;43;2\n"
WRONG = "Город;Улица;Номер дома;Квартира;Этаж\nЧелябинск;ул. Ленина;5;42;x\nЧелябинск;ул. Ленина;5;;1\n"
KEYS = "Ключ;Открывает\n04A1B2C3;везде\n04A1B2D4;везде\n"


@pytest.fixture
def worker(store: Store, url: str, tmp_path: Path) -> ImportWorker:
    return ImportWorker(store, url, KEY, tmp_path / "imports")


@pytest.fixture
def site(store: Store, worker: ImportWorker) -> Iterator[TestSite]:
    with open_site(store, imports=worker) as site:
        yield site


@pytest.fixture
def house(houses: Houses) -> int:
    return houses.house("5")


def send(browser: Browser, kind: str, text: str, **choices: str) -> httpx.Response:
    """Choose a file and press the button."""
    browser.get(f"/imports/new/{kind}")
    data = {**choices, "_csrf_token": browser.client.cookies["csrftoken"]}
    files = {"file": (f"{kind}.csv", text.encode(), "text/csv")}
    path = f"/imports/new/{kind}"
    return browser.client.post(path, data=data, files=files, follow_redirects=False)


def test_a_file_is_checked_first_and_written_when_told(
    site: TestSite, worker: ImportWorker, house: int
) -> None:
    browser = site.browser()

    page = send(browser, "flats", FLATS).headers["location"]
    before = browser.get(page)
    trio.run(worker.work_off)
    checked = browser.text(page)
    flats_then = browser.text(f"/flats?house_id={house}")
    written = browser.post(f"{page}/write")
    trio.run(worker.work_off)
    done = browser.text(page)

    assert 'hx-trigger="every 1s"' in before.text
    assert "x-quiet" in before.text
    assert "Будет добавлено 2" in checked
    assert "43" not in flats_then.split()
    assert written.headers["location"] == page
    assert "Добавлено 2" in done
    assert "every 1s" not in browser.get(page).text
    assert {"42", "43"} <= set(browser.text(f"/flats?house_id={house}").split())
    assert worker.file_of(int(page.rpartition("/")[2])) is None


def test_what_is_wrong_stands_in_a_table_and_nothing_is_written(
    site: TestSite, worker: ImportWorker, house: int
) -> None:
    browser = site.browser()

    page = send(browser, "flats", WRONG).headers["location"]
    trio.run(worker.work_off)
    text = browser.text(page)
    file = browser.get(f"{page}/errors.csv")

    assert "Ничего не записано" in text
    assert "2 Этаж" in text
    assert "3 Квартира" in text
    assert 'ожидается: целое число от -5 до 200, а стоит "x"' in unescape(text)
    assert file.text.splitlines()[1].startswith("2;Этаж;")
    assert browser.post(f"{page}/write").status_code == 409


def test_a_cell_that_a_spreadsheet_would_run_is_only_text(
    site: TestSite, worker: ImportWorker, house: int
) -> None:
    browser = site.browser()

    page = send(browser, "flats", "=cmd|' /C calc'!A0;Квартира\n1;2\n").headers["location"]
    trio.run(worker.work_off)

    assert "'=cmd" in browser.get(f"{page}/errors.csv").text
    assert ";=cmd" not in browser.get(f"{page}/errors.csv").text


def test_a_form_without_the_token_against_forgery_is_refused(site: TestSite, worker: ImportWorker) -> None:
    browser = site.browser()
    files = {"file": ("flats.csv", FLATS.encode(), "text/csv")}

    for token in ("", "0" * 128, browser.client.cookies["csrftoken"][:-1] + "g"):
        answer = browser.client.post("/imports/new/flats", data={"_csrf_token": token}, files=files)
        assert answer.status_code == 403

    assert not list(worker.folder.glob("*"))


def test_who_may_not_import_is_refused_before_his_file_is_read(site: TestSite, worker: ImportWorker) -> None:
    site.employee("clerk", [Right.HOUSING_VIEW, Right.HOUSING_EDIT])
    site.employee("crew", [Right.IMPORTS_RUN, Right.KEYS_EDIT])
    clerk, crew = site.browser("clerk"), site.browser("crew")
    files = {"file": ("flats.csv", FLATS.encode(), "text/csv")}

    # Not even the token is looked at, which stands in the body.
    assert clerk.client.post("/imports/new/flats", files=files).status_code == 403
    assert clerk.get("/imports").status_code == 403
    assert send(crew, "flats", FLATS).status_code == 403
    assert "Keys" in crew.text("/imports")
    assert "Flats" not in crew.text("/imports").partition("What")[0]
    assert site.browser("").get("/imports").status_code == 303


def test_a_manager_imports_only_into_his_houses_and_sees_only_his_own_imports(
    site: TestSite, worker: ImportWorker, houses: Houses, house: int
) -> None:
    mine = houses.house("7")
    rights = [Right.IMPORTS_RUN, Right.HOUSING_VIEW, Right.HOUSING_EDIT]
    site.employee("manager", rights, Reach(houses=frozenset({mine})))
    admin, manager = site.browser(), site.browser("manager")

    foreign = send(admin, "flats", FLATS).headers["location"]
    page = send(manager, "flats", FLATS).headers["location"]
    trio.run(worker.work_off)

    assert manager.get(foreign).status_code == 404
    assert manager.post(f"{foreign}/write").status_code == 404
    assert "refused: there are errors" in manager.text(page)
    assert manager.text("/imports").count("flats.csv") == 1
    assert admin.text("/imports").count("flats.csv") == 2


def test_rights_are_those_of_the_moment_at_which_it_is_run(
    site: TestSite, worker: ImportWorker, store: Store, house: int
) -> None:
    id = site.employee("leaver")
    browser = site.browser("leaver")
    page = send(browser, "flats", FLATS).headers["location"]
    set_active(store, COMMAND_LINE, id, False, time.time())

    trio.run(worker.work_off)

    assert "того, кто просил об этом, больше нет" in site.browser().text(page)


def test_keys_are_shown_in_every_byte_order_and_read_again_in_another(
    site: TestSite, worker: ImportWorker
) -> None:
    browser = site.browser()

    page = send(browser, "keys", KEYS, format="hex").headers["location"]
    trio.run(worker.work_off)
    text = browser.text(page)
    browser.post(f"{page}/check", {"format": "hex_reversed"})
    trio.run(worker.work_off)
    browser.post(f"{page}/write")
    trio.run(worker.work_off)

    assert "04A1B2C3" in text
    assert "C3B2A104" in text
    assert site.token().get("/api/v1/imports").json()["items"][0]["added"] == 2
    with site.store.reading() as connection:
        uids = set(connection.exec_driver_sql("SELECT uid FROM keys").scalars())
    assert uids == {"C3B2A104", "D4B2A104"}


def test_a_wrong_choice_and_a_missing_file_are_said_beside_their_fields(site: TestSite) -> None:
    browser = site.browser()

    wrong = send(browser, "keys", KEYS, format="base64")
    browser.get("/imports/new/keys")
    empty = send(browser, "keys", "")

    assert (wrong.status_code, empty.status_code) == (422, 422)
    assert 'class="error"' in wrong.text
    assert 'class="error"' in empty.text


def test_what_was_broken_off_is_done_again_by_the_next_program(
    site: TestSite, worker: ImportWorker, url: str, house: int
) -> None:
    browser = site.browser()
    page = send(browser, "flats", FLATS).headers["location"]
    trio.run(worker.work_off)
    browser.post(f"{page}/write")

    with Store(url) as store:
        trio.run(ImportWorker(store, url, KEY, worker.folder).work_off)

    assert "Добавлено 2" in browser.text(page)


def test_one_that_waits_or_is_ready_is_cancelled_and_nothing_of_it_is_written(
    site: TestSite, worker: ImportWorker, house: int
) -> None:
    browser = site.browser()
    ready = send(browser, "flats", FLATS).headers["location"]
    trio.run(worker.work_off)
    waits = send(browser, "flats", FLATS).headers["location"]

    answers = [browser.post(f"{page}/cancel").status_code for page in (ready, waits, ready)]
    trio.run(worker.work_off)

    assert answers == [303, 303, 409]
    for page in (ready, waits):
        text = browser.text(page)
        assert "Ничего не записано" in text
        assert "прервано" in text
        assert browser.post(f"{page}/write").status_code == 409
    assert not list(worker.folder.iterdir())
    assert "43" not in browser.text(f"/flats?house_id={house}")


async def test_one_that_is_running_is_broken_off_at_once(
    site: TestSite, worker: ImportWorker, house: int
) -> None:
    rows = "".join(f"Челябинск;ул. Ленина;5;{number};1\n" for number in range(1, 2001))
    file = io.BytesIO(("Город;Улица;Номер дома;Квартира;Этаж\n" + rows).encode())
    who = Who(f"employee:{site.employee('anna')}", "Anna", ALL_RIGHTS)
    id = worker.add(worker.take_in(file), ImportKind.FLATS, "flats.csv", who, {}, write=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.work_off)
        while not worker.is_running(id):
            await trio.lowlevel.checkpoint()
        await worker.stop(id)
        await trio.to_thread.run_sync(worker.cancel, id, who)

    view = worker.get(id, who)
    assert view.state is ImportState.FAILED
    assert [fault.text for fault in view.errors] == ["Anna has cancelled it: nothing was written"]
    assert worker.file_of(id) is None
    with site.store.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table(Flat))) == 0


def test_one_whose_file_is_gone_is_given_up(site: TestSite, worker: ImportWorker) -> None:
    browser = site.browser()
    page = send(browser, "flats", FLATS).headers["location"]
    file = worker.file_of(int(page.rpartition("/")[2]))
    assert file is not None
    file.unlink()

    trio.run(worker.work_off)

    assert "Ничего не записано" in browser.text(page)


def test_a_file_that_nobody_asks_for_is_gone_after_a_day(
    site: TestSite, worker: ImportWorker, store: Store, url: str, house: int
) -> None:
    browser = site.browser()
    page = send(browser, "flats", FLATS).headers["location"]
    trio.run(worker.work_off)
    later = ImportWorker(store, url, KEY, worker.folder, clock=lambda: time.time() + KEEP_S + 1)

    trio.run(later.work_off)

    assert not list(worker.folder.iterdir())
    assert browser.post(f"{page}/write").status_code == 409


def test_an_import_on_the_command_line_is_not_taken_over(worker: ImportWorker, store: Store) -> None:
    id = start_import(store, ImportKind.FLATS, "flats.csv", COMMAND_LINE, 1.0)

    trio.run(worker.work_off)

    assert [each.id for each in unfinished_imports(store)] == [id]


def test_it_is_written_once_however_often_the_button_is_pressed(
    site: TestSite, worker: ImportWorker, house: int
) -> None:
    browser = site.browser()
    page = send(browser, "flats", FLATS).headers["location"]
    trio.run(worker.work_off)

    answers = [browser.post(f"{page}/write").status_code for _ in range(2)]

    assert answers == [303, 409]


def test_the_sample_can_be_loaded_down_and_every_column_is_explained(site: TestSite) -> None:
    browser = site.browser()

    for kind in ImportKind:
        assert browser.get(f"/imports/sample/{kind.value}").content
        assert "Что там стоит" in browser.text(f"/imports/new/{kind.value}")
