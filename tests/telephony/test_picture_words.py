"""The words in a recording's picture: all of one language, in letters that the fonts have."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from telephony.picture_words import WORDS
from telephony.sound_picture import _plain as shown_text
from tests.telephony.test_sound_picture import drawn, texts, tone


@pytest.mark.parametrize(
    ("language", "shown", "prompts"),
    [
        (
            "ru",
            [
                "Что мы проиграли",
                "Что пришло от трубки",
                "1,5 с, пик −12 dBFS",
                "1,5 с цифровой тишины",
                "4 кГц",
            ],
            ["первая подсказка", "вторая подсказка", "прощание"],
        ),
        (
            "en",
            ["What we played", "What came back from the handset", "1.5 s, peak −12 dBFS", "4 kHz"],
            ["first prompt", "second prompt", "goodbye"],
        ),
    ],
)
def test_all_words_are_of_the_language(
    tmp_path: Path, language: str, shown: list[str], prompts: list[str]
) -> None:
    names = ["quality-hello", "quality-again", "quality-bye"]
    marks = [(n * 0.5, n * 0.5 + 0.4, name) for n, name in enumerate(names)]
    _, svg = drawn(tmp_path, tone(1.5, level_dbfs=-12), np.zeros(12000), "7", marks, language)

    assert {*shown, *prompts} <= set(texts(svg))
    assert not set(names) & set(texts(svg))
    letters = "".join(texts(svg)[texts(svg).index(prompts[0]) :]).replace("dBFS", "")
    assert bool(re.search("[A-Za-z]", letters)) is (language == "en")
    assert "?" not in letters


@pytest.mark.parametrize(("language", "head"), [("ru_RU", "Что мы проиграли"), ("de", "What we played")])
def test_a_region_changes_no_words_and_an_unknown_language_is_english(
    tmp_path: Path, language: str, head: str
) -> None:
    _, svg = drawn(tmp_path, tone(0.5), tone(0.5), language=language)

    assert head in texts(svg)


def test_fonts_have_every_letter_of_every_language() -> None:
    for words in WORDS.values():
        for text in (words.played, words.came_back, words.no_sound, words.silence, words.peak):
            assert shown_text(text) == text
        for text in (words.seconds, words.kilohertz, *words.prompts.values()):
            assert shown_text(text) == text
