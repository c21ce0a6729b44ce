"""The words in a recorded call's picture, in the language of the prompts (`[call] language`): English and Russian.

A language that is not here gets English. All letters must be in the fonts of telephony/sound_picture.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class Words:
    """`silence` and `peak` are filled with seconds and dBFS; `prompts`: what a prompt is called, by its file's name."""

    played: str
    came_back: str
    no_sound: str
    silence: str
    peak: str
    seconds: str
    kilohertz: str
    point: str
    prompts: Mapping[str, str]

    def number(self, text: str) -> str:
        """A number's text with this language's decimal point, and a true minus."""
        return text.replace("-", "−").replace(".", self.point)


_ENGLISH = Words(
    played="What we played",
    came_back="What came back from the handset",
    no_sound="no sound in the file",
    silence="{length} s of digital silence",
    peak="{length} s, peak {peak} dBFS",
    seconds="s",
    kilohertz="kHz",
    point=".",
    prompts={"quality-hello": "first prompt", "quality-again": "second prompt", "quality-bye": "goodbye"},
)
_RUSSIAN = Words(
    played="Что мы проиграли",
    came_back="Что пришло от трубки",
    no_sound="в файле нет звука",
    silence="{length} с цифровой тишины",
    peak="{length} с, пик {peak} dBFS",
    seconds="с",
    kilohertz="кГц",
    point=",",
    prompts={
        "quality-hello": "первая подсказка",
        "quality-again": "вторая подсказка",
        "quality-bye": "прощание",
    },
)
WORDS: Mapping[str, Words] = {"en": _ENGLISH, "ru": _RUSSIAN}


def words_of(language: str) -> Words:
    """The words of a language like "ru" or "ru_RU"."""
    return WORDS.get(language.lower().replace("-", "_").partition("_")[0], _ENGLISH)
