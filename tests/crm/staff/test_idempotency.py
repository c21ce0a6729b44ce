"""Idempotency keys: what is sent twice is done once, and answered the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from crm.rights import Right
from crm.staff.idempotency import (
    KEEP_S,
    RUNS_S,
    Answer,
    begin_request,
    forget_request,
    keep_answer,
    request_hash,
    run_once,
)
from crm.staff.staff import clear_away
from crm.staff.tokens import create_token
from crm.store import Store
from crm.who import SYSTEM, Conflict, Invalid
from tests.crm.employees import NOW

REQUEST = request_hash("post", "/api/v1/houses", b'{"number":"5"}', "td_token")
MADE = Answer(201, '{"id":7,"street":"ул. Ленина"}')


@pytest.fixture
def token(store: Store) -> int:
    return another(store)


def another(store: Store) -> int:
    return create_token(store, SYSTEM, "billing", [Right.HOUSING_EDIT], None, NOW + 10 * KEEP_S, NOW).id


def test_the_first_request_runs_and_the_same_again_gets_its_answer(store: Store, token: int) -> None:
    runs: list[int] = []

    def run() -> Answer:
        runs.append(1)
        return MADE

    answers = [run_once(store, token, "k1", REQUEST, run, NOW + n) for n in range(3)]
    assert answers == [MADE] * 3
    assert len(runs) == 1


def test_the_same_key_with_another_request_is_refused(store: Store, token: int) -> None:
    run_once(store, token, "k1", REQUEST, lambda: MADE, NOW)
    for other in (
        request_hash("post", "/api/v1/houses", b'{"number":"6"}', "td_token"),
        request_hash("post", "/api/v1/flats", b'{"number":"5"}', "td_token"),
        request_hash("put", "/api/v1/houses", b'{"number":"5"}', "td_token"),
    ):
        with pytest.raises(Conflict, match="another request"):
            begin_request(store, token, "k1", other, NOW)


def test_what_is_kept_of_a_request_cannot_be_guessed_without_its_token() -> None:
    asked = ("post", "/api/v1/employees", b'{"password":"a short one"}')
    assert request_hash(*asked, "td_one") == request_hash(*asked, "td_one")
    assert request_hash(*asked, "td_one") != request_hash(*asked, "td_other")


def test_a_key_belongs_to_its_token(store: Store, token: int) -> None:
    run_once(store, token, "k1", REQUEST, lambda: MADE, NOW)
    assert begin_request(store, another(store), "k1", REQUEST, NOW) is None
    assert begin_request(store, token, "k2", REQUEST, NOW) is None


def test_of_two_at_once_one_runs_and_the_other_is_told(store: Store, token: int) -> None:
    running, told = Event(), Event()

    def run() -> Answer:
        running.set()
        assert told.wait(10)
        return MADE

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run_once, store, token, "k1", REQUEST, run, NOW)
        assert running.wait(10)
        with pytest.raises(Conflict, match="in progress"):
            run_once(store, token, "k1", REQUEST, lambda: MADE, NOW)
        told.set()
        assert first.result() == MADE
    assert begin_request(store, token, "k1", REQUEST, NOW) == MADE


def test_many_that_begin_in_the_same_moment_are_one(store: Store, token: int) -> None:
    def begin(_: int) -> bool:
        try:
            return begin_request(store, token, "k1", REQUEST, NOW) is None
        except Conflict:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(begin, range(6))) == 1


def test_a_request_that_failed_may_be_sent_again(store: Store, token: int) -> None:
    def fail() -> Answer:
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError):
        run_once(store, token, "k1", REQUEST, fail, NOW)
    assert run_once(store, token, "k1", REQUEST, lambda: MADE, NOW) == MADE
    forget_request(store, token, "k1")  # has its answer: stays
    assert begin_request(store, token, "k1", REQUEST, NOW) == MADE


def test_one_that_was_cut_off_is_not_run_again_as_it_may_have_been_done(store: Store, token: int) -> None:
    assert begin_request(store, token, "k1", REQUEST, NOW) is None
    with pytest.raises(Conflict, match="look whether it was"):
        begin_request(store, token, "k1", REQUEST, NOW + RUNS_S)


def test_an_answer_is_kept_for_a_day(store: Store, token: int) -> None:
    begin_request(store, token, "k1", REQUEST, NOW)
    keep_answer(store, token, "k1", MADE)
    clear_away(store, NOW + KEEP_S - 1)
    assert begin_request(store, token, "k1", REQUEST, NOW + KEEP_S - 1) == MADE
    assert begin_request(store, token, "k1", REQUEST, NOW + KEEP_S) is None
    clear_away(store, NOW + 2 * KEEP_S)
    assert begin_request(store, token, "k1", REQUEST, NOW + KEEP_S) is None


@pytest.mark.parametrize("key", ["", "with space", "ключ", "x" * 256, "a\n"])
def test_a_key_that_is_none_is_refused(store: Store, token: int, key: str) -> None:
    with pytest.raises(Invalid):
        begin_request(store, token, key, REQUEST, NOW)
