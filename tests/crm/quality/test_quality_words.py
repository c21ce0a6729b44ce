"""Whatever reason a node gives for a verdict is said in the reader's language."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from crm.quality.words import AT_LEAST, line_words, measure_words, why_words
from crm.web.language import translations
from telephony import recording, recording_measures
from telephony.panels.interface import LineState
from telephony.recording import DISTURBED, LINE_FAULT, NOT_ANSWERED

RUSSIAN = translations("ru").gettext
LATIN = re.compile(r"[A-Za-z]{2,}")
UNITS = {"dBov", "dBFS"}


def reasons() -> list[str]:
    """Each text that recording.py makes a verdict's reason of, with a value in it where it has one."""
    found = [*(why for _, why in NOT_ANSWERED.values()), *LINE_FAULT.values()]
    found += [text.format(value=0.5) for text in DISTURBED.values()]
    for function in (recording._decide, recording._voice):
        for node in ast.walk(ast.parse(inspect.getsource(function))):
            if isinstance(node, ast.JoinedStr) and len(node.values) > 1:
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else _filled(part)
                    for part in node.values
                )
                found.append(text)
            elif isinstance(node, ast.Constant) and " was " in str(node.value):
                found.append(str(node.value))
    return [each for each in found if " " in each and not each.startswith(", ") and not each.endswith(".")]


def _filled(part: ast.AST) -> str:
    name = ast.unparse(part)
    if "note" in name:
        return f", though {next(iter(LINE_FAULT.values()))}"
    if "disturbed" in name:
        return "the noise is -40 dBFS, our prompt comes back at -12 dB"
    if "warned" in name:
        return "loss, speech_level_hot"
    return "a tone" if "what" in name else "3.5"


@pytest.mark.parametrize("why", reasons())
def test_a_reason_is_said_in_russian(why: str) -> None:
    said = why_words(why, RUSSIAN)

    left = [word for word in LATIN.findall(said) if word not in UNITS]
    assert left == [], said
    for number in re.findall(r"-?\d+(?:\.\d+)?", why):
        assert number in said


def test_a_reason_stays_as_it_is_in_english_and_where_nobody_knows_it() -> None:
    for why in (*reasons(), "its node went away, and nobody knows why"):
        assert why_words(why, str).replace("speech level hot", "speech_level_hot") == why
    assert why_words("something new, and more", RUSSIAN) == "something new, and more"


@pytest.mark.parametrize("state", LineState)
def test_what_the_panels_test_of_the_line_found_is_said(state: LineState) -> None:
    assert not LATIN.search(line_words(state.value, RUSSIAN))


def test_where_there_was_nothing_nothing_is_said() -> None:
    assert (why_words("", RUSSIAN), line_words("", RUSSIAN)) == ("", "")


def test_what_is_measured_has_a_name_and_a_side_of_its_threshold() -> None:
    code = inspect.getsource(recording_measures) + inspect.getsource(recording._network)
    least, most = (re.findall(rf'{side}\("(\w+)"', code) for side in ("at_least", "at_most"))

    assert set(least) == AT_LEAST
    assert not set(most) & AT_LEAST
    for name in (*least, *most):
        assert measure_words(name, RUSSIAN) != name.replace("_", " ")
