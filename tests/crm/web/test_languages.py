"""Every text of the pages has its Russian, and no catalogue has one that nobody says any more.

Messages are read out of the templates and the code, and out of what resources, the menu and enums say of themselves.
What is refused ("there is no house %(id)s") is made where it happens: its Russian may be missing, but what a catalogue
has of it must be said somewhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from crm.desk.resource import Field
from crm.sections import all_resources
from crm.web.language import LANGUAGES, LOCALE
from crm.web.sections import menu

TOP = Path(__file__).resolve().parents[3]
CRM = TOP / "crm"
OTHERS = frozenset({"migrations", "tests", "testbed", "bench", "tools", "var"})  # what is no program's
TEMPLATES = CRM / "web/templates"
SOURCE = "en"
OPTIONS = {"extensions": "jinja2.ext.i18n,jinja2.ext.do", "trimmed": "true", "silent": "false"}
TRANSLATED = [language for language in LANGUAGES if language != SOURCE]
# Constructors and functions whose strings are shown: by place, and by name.
SHOWN = {
    "_": ((0,), ()),
    "translate": ((1,), ()),
    "Item": ((0, 4), ("label", "section")),
    "Action": ((0,), ("label", "confirm")),
    "Field": ((1,), ("label", "hint")),
    "Link": ((1,), ("label",)),
    "Resource": ((2, 3), ("label", "label_one", "section")),
}
PLACE = re.compile(r"%\(\w+\)[sd]")


def said(message: Message) -> tuple[str, ...]:
    return message.id if isinstance(message.id, tuple) else (str(message.id),)


@cache
def catalogue(language: str) -> dict[Path, Catalog]:
    """A language's files."""
    found = {}
    for file in sorted((LOCALE / language).glob("*.po")):
        with file.open("rb") as opened:
            found[file] = read_po(opened, locale=language)
    return found


def messages(language: str) -> Iterator[tuple[Path, Message]]:
    for file, part in catalogue(language).items():
        for message in part:
            if message.id:
                yield file, message


@cache
def in_templates() -> dict[str, str]:
    """What the templates say, and where; of a plural its singular."""
    found = {}
    for file in sorted(TEMPLATES.glob("*.html")):
        with file.open("rb") as opened:
            for line, message, _, _ in extract("jinja2", opened, options=OPTIONS):
                text = message[0] if isinstance(message, tuple) else message
                found[text] = f"{file.name}:{line}"
    return found


def trees(*folders: Path) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            if OTHERS.isdisjoint(file.relative_to(folder).parts):
                yield file.relative_to(TOP).as_posix(), ast.parse(file.read_text())


def texts_of(node: ast.expr) -> Iterator[str]:
    """A string, or those that an expression chooses from."""
    match node:
        case ast.Constant(value=str() as text) if text:
            yield text
        case ast.IfExp(body=body, orelse=other):
            yield from texts_of(body)
            yield from texts_of(other)
        case _:
            return


@cache
def in_code() -> dict[str, str]:
    """What is marked as shown in the code, and where."""
    found: dict[str, str] = {}
    for name, tree in trees(CRM):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            places, names = SHOWN.get(node.func.id, ((), ()))
            shown = [node.args[place] for place in places if place < len(node.args)]
            shown += [keyword.value for keyword in node.keywords if keyword.arg in names]
            for each in shown:
                found |= dict.fromkeys(texts_of(each), f"{name}:{node.lineno}")
    return found


@cache
def of_resources() -> dict[str, str]:
    """What resources and the menu say of themselves."""
    found: dict[str, str] = {}

    def note(where: str, *texts: str) -> None:
        found.update({text: where for text in texts if text})

    def fields(where: str, all_fields: Iterable[Field]) -> None:
        for each in all_fields:
            labels = (label for _, label in each.choices)
            note(f"{where}.{each.name}", each.label, each.hint, *labels)

    for resource in all_resources().values():
        note(resource.name, resource.label, resource.label_one, resource.section)
        fields(resource.name, resource.fields)
        for link in resource.links:
            note(f"{resource.name}.{link.name}", link.label)
            fields(f"{resource.name}.{link.name}", link.fields)
    for section in menu():
        note("menu", section.label, *(item.label for item in section.items))
    return found


@cache
def all_that_code_says() -> tuple[str, tuple[re.Pattern[str], ...]]:
    """Every string of the code and every name with spaces, a line each; and what its f-strings can become."""
    lines: list[str] = []
    patterns: list[re.Pattern[str]] = []
    for _, tree in trees(TOP):
        for node in ast.walk(tree):
            match node:
                case ast.Constant(value=str() as text):
                    lines.append(text.replace("_", " "))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    lines.append(name.replace("_", " "))
                case ast.JoinedStr(values=parts) if any(len(constant(each)) > 3 for each in parts):
                    patterns.append(re.compile("".join(re.escape(constant(e)) or ".*" for e in parts), re.S))
    return "\n".join(lines), tuple(patterns)


def constant(part: ast.expr) -> str:
    """A piece of an f-string; "" for what stands in braces."""
    return str(part.value) if isinstance(part, ast.Constant) else ""


def is_said_somewhere(text: str) -> bool:
    """Whether the code has it: whole, as an f-string, or in pieces ("this is expected, and that is there")."""
    lines, patterns = all_that_code_says()
    pieces = re.split(rf"{PLACE.pattern}|,| is expected", text.replace("_", " "))
    whole = all((piece or "").strip() in lines for piece in pieces)
    return whole or any(pattern.fullmatch(text) for pattern in patterns)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_is_translated(language: str) -> None:
    known = {said(message)[0] for _, message in messages(language) if message.string and not message.fuzzy}

    needed = {**of_resources(), **in_code(), **in_templates()}

    assert len(needed) > 300
    missing = {text: where for text, where in needed.items() if text not in known and has_words(text)}
    assert not missing, "\n".join(f"{where}: {text!r}" for text, where in sorted(missing.items()))


def has_words(text: str) -> bool:
    """Whether there is something to translate: a lone "id", "SIP" or "ms" is the same in every language."""
    return bool(re.search(r"[a-z]{3}", PLACE.sub("", text))) or " " in text.strip()


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_catalogue_has_what_nobody_says(language: str) -> None:
    needed = {*of_resources(), *in_code(), *in_templates()}

    unused = [
        f"{file.name}: {text!r}"
        for file, message in messages(language)
        for text in said(message)[:1]
        if text not in needed and not is_said_somewhere(text)
    ]

    assert unused == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_nothing_is_half_translated(language: str) -> None:
    for file, part in catalogue(language).items():
        assert not part.obsolete, f"{file.name} has obsolete messages"
        assert str(part.charset).lower() == "utf-8", file.name
        assert part.num_plurals == 3, f"{file.name} says how many plurals there are"
        for message in part:
            if not message.id:
                continue
            strings = message.string if isinstance(message.string, tuple) else (message.string,)
            assert not message.fuzzy, f"{file.name}: {message.id!r} is marked as fuzzy"
            assert all(strings), f"{file.name}: {message.id!r} is not translated"
            places = {place for text in said(message) for place in PLACE.findall(text)}
            for string in strings:
                others = set(PLACE.findall(str(string))) - places
                assert not others, f"{file.name}: {message.id!r} has no {others}"


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_message_has_one_translation(language: str) -> None:
    found: dict[str, tuple[Path, object]] = {}
    for file, message in messages(language):
        for text in said(message)[:1]:
            before = found.setdefault(text, (file, message.string))
            assert before[1] == message.string, f"{before[0].name} and {file.name} differ: {text!r}"
