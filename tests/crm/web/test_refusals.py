"""Whatever is refused is said in the reader's language, with its values: read out of the code, as it is raised there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm.desk.resource import Kind
from crm.sections import all_resources
from crm.web.language import LANGUAGES, say

CRM = Path(__file__).resolve().parents[3] / "crm"
TRANSLATED = [language for language in LANGUAGES if language != "en"]
REFUSALS = {"Invalid", "Conflict", "Forbidden", "NotFound", "Refused", "ValueError", "Fault", "_Unclear"}
PROGRAMS = ("crm/api/", "crm/staff/idempotency.py")  # programs read these, in English
VALUE = "7"
PUT_TOGETHER = {  # out of words that the tests below say one by one
    f"there is no {VALUE} {VALUE}",
    f"there is no such {VALUE}",
    f"{VALUE} is no key{VALUE}",
    f"{VALUE} {VALUE}: take it out when that is over",
    f"{VALUE} would have the same number {VALUE} at the panel",
    f"this {VALUE} has flats beyond your houses, too: take it off yours instead",
    f"importing {VALUE}: {VALUE}",  # what is told by the import itself
    # What a caller of the function has done wrong, and nobody can type.
    f"days {VALUE}: some of 0 (Monday) to 6 (Sunday) are expected",
    "a campaign of test calls: those are asked for one by one",
}


def texts_of(node: ast.expr) -> Iterator[str]:
    """What an expression says, a value standing for whatever is put in."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else VALUE for each in parts)
        case ast.IfExp(body=body, orelse=other):
            yield from texts_of(body)
            yield from texts_of(other)
        case ast.Dict(values=values):
            for each in values:
                yield from texts_of(each)
        case ast.DictComp(value=value):
            yield from texts_of(value)
        case _:
            return


def refused() -> dict[str, str]:
    """What the code refuses with, and where."""
    found = {}
    for file in sorted(CRM.rglob("*.py")):
        name = file.relative_to(CRM.parent).as_posix()
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, (ast.Call, ast.Assign)):
                continue
            said: list[ast.expr] = []
            match node:
                case ast.Call(func=ast.Name(id=what), args=args) if what in REFUSALS:
                    said = args[:1]
                case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="errors"))], value=value):
                    said = [value]
            for text in (each for part in said for each in texts_of(part)):
                found[re.sub(r"%\(\w+\)s", VALUE, text)] = f"{name}:{node.lineno}"
    return found


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_refusal_is_said_in_the_readers_language(language: str) -> None:
    everything = refused()

    english = [
        f"{where}: {text!r}"
        for text, where in everything.items()
        if say(language, text) == text
        and text not in PUT_TOGETHER
        and re.search("[a-z]{3}", text)
        and not where.startswith(PROGRAMS)
    ]

    assert len(everything) > 150
    assert not english, "\n".join(english)


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_is_not_there_is_named(language: str) -> None:
    resources = all_resources()
    said = [f"there is no {each.entity} {VALUE}" for each in resources.values()]
    for resource in resources.values():
        fields = [*resource.fields, *(each for link in resource.links for each in link.fields)]
        said += [
            f"there is no such {resources[each.refers_to].entity}"
            for each in fields
            if each.kind is Kind.REFERENCE and each.written
        ]
    said += [
        f"this {what} has flats beyond your houses, too: take it off yours instead"
        for what in ("resident", "account")
    ]
    said += [
        "flats 7 and 8 would have the same number 101 at the panel",
        "'x' is no key",
        "'x' is no key written as hex",
        "+73510000001 is in a call: take it out when that is over",
        "+73510000001 is guaranteed to a panel: take it out when that is over",
    ]

    assert [text for text in said if say(language, text) == text] == []


def test_what_nobody_knows_stays_as_it_is() -> None:
    assert say("ru", "the pump is broken") == "the pump is broken"
