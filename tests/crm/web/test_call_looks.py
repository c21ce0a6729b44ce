"""The words for kinds of calls, the same on the board and in lists."""

from __future__ import annotations

import attrs
import pytest

from crm.calls.rows import KINDS
from crm.web.call_looks import KIND_LABELS
from live import CallState
from tests.crm.web.test_board_pages import board, call, told, view


@pytest.mark.parametrize(
    ("kind", "en", "ru"),
    [
        ("visitor", "", ""),
        ("test_ring", "test ring", "пробный звонок"),
        ("quality", "handset check", "проверка трубки"),
        ("sos", "112", "112"),
        ("call_back", "112 calls back", "112 перезванивает"),
        ("sos_test", "112 test call", "проверка 112"),
    ],
)
def test_every_kind_of_call_has_its_words_and_a_visitor_none(kind: str, en: str, ru: str) -> None:
    over = board(attrs.evolve(call("a", kind=kind), state=CallState.OVER, outcome="talked"))

    assert [told(view(language=each), over)["new"][0]["k"] for each in ("en", "ru")] == [en, ru]
    assert kind in KIND_LABELS


def test_kinds_that_calls_are_looked_for_by_have_words() -> None:
    assert set(KIND_LABELS) == set(KINDS)
