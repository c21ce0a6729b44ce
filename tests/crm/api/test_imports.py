"""Imports by programs: sent, checked, written, once; and what was wrong by row and column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from crm.imports.worker import ImportWorker
from crm.rights import Reach, Right
from crm.store import Store
from tests.crm.houses import Houses
from tests.crm.web.site import KEY, TestSite, open_site

FLATS = "City;Street;House number;Flat\nЧелябинск;ул. Ленина;5;42\n"
PATH = "/api/v1/imports"


@pytest.fixture
def worker(store: Store, url: str, tmp_path: Path) -> ImportWorker:
    return ImportWorker(store, url, KEY, tmp_path / "imports")


@pytest.fixture
def site(store: Store, worker: ImportWorker, houses: Houses) -> Iterator[TestSite]:
    houses.house("5")
    with open_site(store, imports=worker) as site:
        yield site


def send(api: Any, text: str = FLATS, *, key: str = "", **fields: str) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    data = {"kind": "flats", **fields}
    files = {"file": ("a.csv", text.encode(), "text/csv")}
    answer: httpx.Response = api.post(PATH, data=data, files=files, headers=headers)
    return answer


def test_a_file_is_checked_and_waits_to_be_written(site: TestSite, worker: ImportWorker) -> None:
    api = site.token()

    sent = send(api)
    id = sent.json()["id"]
    trio.run(worker.work_off)
    ready = api.get(f"{PATH}/{id}").json()
    written = api.post(f"{PATH}/{id}/write")
    again = api.post(f"{PATH}/{id}/write")
    trio.run(worker.work_off)
    done = api.get(f"{PATH}/{id}").json()

    assert (sent.status_code, sent.json()["state"]) == (201, "checking")
    assert (ready["state"], ready["added"], ready["changed"]) == ("ready", 1, 0)
    assert (written.status_code, again.status_code) == (202, 409)
    assert (done["state"], done["added"], done["rows"]) == ("done", 1, 1)
    assert api.get("/api/v1/flats?number=42").json()["total"] == 1


def test_one_that_is_ready_is_dropped_once(site: TestSite, worker: ImportWorker) -> None:
    api = site.token()
    id = send(api).json()["id"]
    trio.run(worker.work_off)

    cancelled, again = (api.post(f"{PATH}/{id}/cancel") for _ in range(2))

    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "failed")
    assert "cancelled" in cancelled.json()["errors"][0]["text"]
    assert again.status_code == 409
    assert api.post(f"{PATH}/{id}/write").status_code == 409
    assert api.get("/api/v1/flats?number=42").json()["total"] == 0


def test_with_write_it_is_written_as_soon_as_it_is_right(site: TestSite, worker: ImportWorker) -> None:
    api = site.token()

    good, bad = (
        send(api, write="true").json()["id"],
        send(api, FLATS + "a;b;c;d\n", write="true").json()["id"],
    )
    trio.run(worker.work_off)

    assert api.get(f"{PATH}/{good}").json()["state"] == "done"
    refused = api.get(f"{PATH}/{bad}").json()
    assert refused["state"] == "refused"
    assert refused["errors"][0]["row"] == 3
    assert refused["errors"][0]["column"] == "City"


def test_sent_again_with_its_key_it_is_one_import(site: TestSite, worker: ImportWorker) -> None:
    api = site.token()

    first, second = (send(api, key="0123456789abcdef") for _ in range(2))
    other = send(api, FLATS + "Челябинск;ул. Ленина;5;43\n", key="0123456789abcdef")

    assert first.json() == second.json()
    assert other.status_code == 409
    assert len(api.get(PATH).json()["items"]) == 1
    assert len(list(worker.folder.iterdir())) == 1


def test_a_wrong_kind_a_wrong_choice_and_no_file_are_refused(site: TestSite, worker: ImportWorker) -> None:
    api = site.token()

    assert send(api, kind="cats").status_code == 400
    assert send(api, format="hex").json()["errors"] == {"format": "flats have no such choice"}
    assert api.post(PATH, data={"kind": "flats"}, files={"x": b""}).status_code == 400
    assert send(api, "").status_code == 422
    assert not worker.folder.exists() or not list(worker.folder.iterdir())


def test_a_token_needs_both_rights_and_imports_within_its_reach(
    site: TestSite, worker: ImportWorker, houses: Houses
) -> None:
    reach = Reach(houses=frozenset({houses.house("7")}))
    bounded = site.token([Right.IMPORTS_RUN, Right.HOUSING_EDIT], reach)

    assert send(site.token([Right.IMPORTS_RUN])).status_code == 403
    assert send(site.token([Right.HOUSING_EDIT])).status_code == 403
    foreign = send(site.token()).json()["id"]
    id = send(bounded).json()["id"]
    trio.run(worker.work_off)

    assert bounded.get(f"{PATH}/{id}").json()["state"] == "refused"
    assert bounded.get(f"{PATH}/{foreign}").status_code == 404
    assert [each["id"] for each in bounded.get(PATH).json()["items"]] == [id]


def test_the_kinds_say_their_columns_and_choices(site: TestSite) -> None:
    kinds = {each["kind"]: each for each in site.token().get("/api/v1/import-kinds").json()}

    assert {each["name"] for each in kinds["flats"]["columns"] if each["required"]} == {"flat"}
    assert "hex_reversed" in kinds["keys"]["choices"][0]["options"]
    assert [e["kind"] for e in site.token([Right.IMPORTS_RUN]).get("/api/v1/import-kinds").json()] == []


def test_keys_are_shown_in_every_byte_order_and_checked_again(site: TestSite, worker: ImportWorker) -> None:
    api = site.token()
    id = send(api, "Key;Opens\n04A1B2C3;everywhere\n", kind="keys", format="hex").json()["id"]
    trio.run(worker.work_off)

    seen = api.get(f"{PATH}/{id}/keys").json()
    again = api.post(f"{PATH}/{id}/check", json={"format": "hex_reversed"})
    wrong = api.post(f"{PATH}/{id}/check", json={"format": "base64"})

    assert seen["keys"][0]["uids"]["hex"] == "04A1B2C3"
    assert seen["keys"][0]["uids"]["hex_reversed"] == "C3B2A104"
    assert seen["formats"][0]["readable"] == 1
    assert again.json()["choices"] == {"format": "hex_reversed"}
    assert wrong.status_code == 422


def test_a_list_goes_on_before_its_last(site: TestSite) -> None:
    api = site.token()
    ids = [send(api).json()["id"] for _ in range(3)]

    first = api.get(f"{PATH}?limit=2").json()
    rest = api.get(f"{PATH}?limit=2&before={first['next']}").json()

    assert [each["id"] for each in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None
