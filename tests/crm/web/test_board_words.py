"""What nodes say in English is said to a viewer of the board in his language."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest

from crm.web.language import translations
from live import Link, LinkKind, LinkState, LiveAlarm, NodeRow
from said import ENGLISH, Says
from said import said as said_of
from tests.crm.web.test_board_pages import NOW, board, told, view


def alarm(**changes: Any) -> LiveAlarm:
    says = said_of(Says.POOL_LOW, spare=2, numbers=40)
    low = LiveAlarm(kind="pool_low", about="kopeysk", since=NOW, at=NOW, **attrs.asdict(says))
    return attrs.evolve(low, **changes)


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (alarm(), "свободно номеров: 2 из 40. Добавьте номера в пул"),
        (
            alarm(
                **attrs.asdict(
                    said_of(Says.CALL_FAILED, place="ул. Мира 1", outcome="unreachable", call="9f")
                )
            ),
            "ул. Мира 1: не удалось дозвониться ни до одной службы 112, звонок 9f",
        ),
        (
            alarm(
                **attrs.asdict(
                    said_of(
                        Says.TEST_FAILED,
                        place="ул. Мира 1",
                        why="edds-1: no sign of life in 4 s; edds-2: 5xx",
                    )
                )
            ),
            "ул. Мира 1: проверка 112 не прошла: edds-1: не откликнулся за 4 с; edds-2: 5xx",
        ),
        (alarm(code="of_tomorrow", text="the moon is down"), "the moon is down"),
        (alarm(values={}, text="2 of 40"), "2 of 40"),  # of a node that says it in another way
    ],
)
def test_alarms_are_worded_in_the_viewers_language(raised: LiveAlarm, shown: str) -> None:
    loud = attrs.evolve(board(), alarms=(raised,))

    assert told(view(language="ru"), loud)["alarms"][0]["t"] == shown


def test_every_sentence_of_an_alarm_has_its_russian() -> None:
    words = translations("ru")
    assert [
        each for each, text in ENGLISH.items() if re.search("[a-z]{3} ", text) and words.gettext(text) == text
    ] == []
    assert set(ENGLISH) == set(Says)


def test_what_is_wrong_with_a_link_is_said_in_the_viewers_language_and_once() -> None:
    why = "connecting to http://127.0.0.1:8088: no answer in 5 s"
    lanes = [
        Link(kind=LinkKind.LANE, name=name, state=LinkState.DOWN, note=why) for name in ("lane-1", "lane-2")
    ]
    row = NodeRow(url="http://a", node="node1", not_ready=f"asterisk: {why}", links=tuple(lanes))
    node = told(view(language="ru"), attrs.evolve(board(), nodes=(row,)))["links"][0]

    assert node["links"][0]["why"] == "подключение к http://127.0.0.1:8088: нет ответа за 5 с"
    assert node["node"]["why"] == "asterisk: подключение к http://127.0.0.1:8088: нет ответа за 5 с"
