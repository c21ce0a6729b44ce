"""A TOML file of settings, read into frozen attrs classes: one class a section, one field a key.

A field says by its rule what its value may be (`number`, `text`, `texts`, `choice`, `secret`; an enum needs none). A
field that is a `Mapping` of a class holds sections of one kind, each with a name of its own: [dispatch.NAME].
`Reader` reads a file section by section and collects everything that is wrong with it, each as one line that names file,
line, key and what is allowed. Secrets are taken from the environment; one that stands in the file is refused.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import attrs
import cattrs
from attrs import field, frozen

T = TypeVar("T", bound=attrs.AttrsInstance)

_converter = cattrs.Converter()


@frozen
class Range:
    """A number of `unit`s from `low` to `high`."""

    unit: str
    low: float
    high: float


@frozen
class Form:
    """A text that matches `pattern`, which `says` puts into words."""

    pattern: str
    says: str


@frozen
class Forms:
    """A list of texts that each match `pattern`, which `says` puts into words."""

    pattern: str
    says: str


@frozen
class Choice:
    """One of a few texts."""

    texts: tuple[str, ...]


@frozen
class Secret:
    """Comes from the environment: `variable`. `holds` says what it is; `needed`: nothing works without it."""

    variable: str
    holds: str
    needed: bool


def number(default: float, unit: str, low: float, high: float) -> Any:
    """A field that holds a number; a whole one where it is annotated `int`."""
    return field(default=default, metadata={"rule": Range(unit, low, high)})


def text(default: str, pattern: str, says: str) -> Any:
    """A field that holds a text which matches all of `pattern`."""
    return field(default=default, metadata={"rule": Form(pattern, says)})


def texts(pattern: str, says: str) -> Any:
    """A field that holds a list of texts, each of which matches all of `pattern`; an empty one by default."""
    return field(default=(), metadata={"rule": Forms(pattern, says)})


def choice(default: str, *texts: str) -> Any:
    """A field that holds one of `texts`."""
    return field(default=default, metadata={"rule": Choice(texts)})


def secret(variable: str, holds: str, *, needed: bool = False) -> Any:
    """A field that is taken from the environment and never shown."""
    return field(default="", repr=False, metadata={"rule": Secret(variable, holds, needed)})


class ConfigError(Exception):
    """What is wrong with the configuration: a line for each thing, in `lines`."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Reader:
    """One file being read into `whole`, a class whose fields are sections; `env` has the secrets.

    Raises ConfigError at once for what is no TOML, and at `finish` for everything else.
    """

    def __init__(
        self, path: Path, env: Mapping[str, str], whole: type[attrs.AttrsInstance], *, need_secrets: bool
    ) -> None:
        content = _read(path)
        self._file = str(path)
        self._env = env
        self._need_secrets = need_secrets
        hints = typing.get_type_hints(whole)
        self._sections: dict[str, type[attrs.AttrsInstance]] = {
            name: typing.get_args(kind)[-1] if typing.get_args(kind) else kind for name, kind in hints.items()
        }
        self._lines = content.splitlines()
        self._errors: list[tuple[int, str]] = []
        try:
            self._tables = tomllib.loads(content)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
            line = int(found[1]) if found else max(1, len(self._lines))
            said = str(error)[: found.start()] if found else str(error)
            where = f" at column {found[2]}" if found else ""
            raise ConfigError([f"{self._file}:{line}: not TOML{where}: {said}"]) from error

    def section(self, name: str, kind: type[T]) -> T:
        """The section `name`, with defaults for what is left out and for what is wrong."""
        table = self._table(name)
        if not isinstance(table, dict):
            self._say(name, "", f"{name} = {_shown(table)}: a section [{name}] with settings is expected")
            return kind()
        hints = typing.get_type_hints(kind)
        rules = {each.name: each.metadata.get("rule") for each in attrs.fields(kind)}
        values: dict[str, Any] = {}
        for key, rule in rules.items():
            if isinstance(rule, Secret) and key not in table:
                values[key] = self._env.get(rule.variable, "")
                if rule.needed and self._need_secrets and not values[key]:
                    what = f"set {rule.variable} in the environment to {rule.holds}"
                    self._say(name, key, f"[{name}] {key} is missing: {what}")
        for key, value in table.items():
            if key not in rules:
                public = [each for each, rule in rules.items() if not isinstance(rule, Secret)]
                self._unknown(name, key, public)
            elif isinstance(rule := rules[key], Secret):
                self._say(name, key, f"[{name}] {key}: no secret stands in this file: set {rule.variable}")
            else:
                try:
                    values[key] = _structure(value, hints[key], rule)
                except ValueError as error:
                    self.refuse(name, key, str(error))
        return kind(**values)

    def sections(self, name: str, kind: type[T], pattern: str, says: str) -> dict[str, T]:
        """All sections [name.X], by X, which is `says`: what matches all of `pattern`."""
        tables = self._tables.get(name, {})
        if not isinstance(tables, dict):
            self._say(name, "", f"{name} = {_shown(tables)}: sections [{name}.…] with settings are expected")
            return {}
        found: dict[str, T] = {}
        for own in tables:
            if not re.fullmatch(pattern, own):
                self._say(f"{name}.{own}", "", f"[{name}.{own}]: {says} is expected behind the dot")
            else:
                found[own] = self.section(f"{name}.{own}", kind)
        return found

    def _table(self, section: str) -> Any:
        """What stands in a section; `section` may be one of several of its kind: "dispatch.NAME"."""
        name, dot, own = section.partition(".")
        table = self._tables.get(name, {})
        return table.get(own, {}) if dot and isinstance(table, dict) else table

    def refuse(self, section: str, key: str, expected: str) -> None:
        """Say that the value of `key` is not what is expected."""
        value = self._table(section).get(key, getattr(self._sections[section.partition(".")[0]](), key))
        self._say(section, key, f"[{section}] {key} = {_shown(value)}: {expected} is expected")

    def finish(self) -> None:
        """Refuse what stands outside of every known section; raise ConfigError if anything was wrong."""
        for name in self._tables.keys() - self._sections.keys():
            near = difflib.get_close_matches(name, self._sections, 1)
            if isinstance(self._tables[name], dict):
                hint = f"did you mean [{near[0]}]?" if near else f"there are {self._all_sections()}"
                self._say(name, "", f"[{name}]: unknown section: {hint}")
            else:
                home = self._home(name)
                hint = f"it belongs under [{home}]" if home else f"sections are {self._all_sections()}"
                self._say("", name, f"{name}: a setting outside of any section: {hint}")
        if self._errors:
            raise ConfigError([line for _, line in sorted(self._errors)])

    def _home(self, key: str) -> str | None:
        """The section that `key` belongs under."""
        return next((name for name, kind in self._sections.items() if key in attrs.fields_dict(kind)), None)

    def _all_sections(self) -> str:
        return ", ".join(f"[{name}]" for name in self._sections)

    def _unknown(self, section: str, key: str, known: list[str]) -> None:
        if home := self._home(key):
            hint = f"it belongs under [{home}]"
        elif near := difflib.get_close_matches(key, known, 1):
            hint = f"did you mean {near[0]}?"
        else:
            hint = f"allowed are {', '.join(known)}"
        self._say(section, key, f"[{section}] {key}: unknown setting: {hint}")

    def _say(self, section: str, key: str, what: str) -> None:
        line = self._line(section, key)
        self._errors.append((line, f"{self._file}:{line}: {what}"))

    def _line(self, section: str, key: str) -> int:
        """The line of a key; of its section when it does not stand there; else 1."""
        current, found = "", 0
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
                current = re.sub(r"[\"'\s]", "", header[1])
                if current == section or current.startswith(f"{section}."):
                    found = found or number
                    if current == f"{section}.{key}":
                        return number
            elif setting := re.match(r"\s*([\w.\"' -]+?)\s*=", line):
                name = re.sub(r"[\"'\s]", "", setting[1])
                name = f"{current}.{name}" if current else name
                if name == (f"{section}.{key}" if section else key) or name.startswith(f"{section}.{key}."):
                    return number
                if name == section:  # an inline table
                    found = found or number
        return found or 1


def _structure(value: Any, kind: Any, rule: Range | Form | Forms | Choice | None) -> Any:
    """`value` as `kind`, if the rule allows it. Raises ValueError with what is expected."""
    match rule:
        case Range(unit, low, high):
            whole = "whole " if kind is int else ""
            types = (int,) if kind is int else (int, float)
            if isinstance(value, bool) or not isinstance(value, types) or not low <= value <= high:
                raise ValueError(f"a {whole}number of {unit} from {low:.15g} to {high:.15g}")
        case Form(pattern, says):
            if not isinstance(value, str) or not re.fullmatch(pattern, value) or not _is_url_if_one(value):
                raise ValueError(says)
        case Forms(pattern, says):
            if not isinstance(value, list) or not all(
                isinstance(each, str) and re.fullmatch(pattern, each) for each in value
            ):
                raise ValueError(f"a list of {says}")
        case Choice(texts):
            if value not in texts:
                raise ValueError(f"one of {_quoted(texts)}")
        case None:
            texts = tuple(str(each.value) for each in kind)
            if not isinstance(value, str) or value not in texts:
                raise ValueError(f"one of {_quoted(texts)}")
    return _converter.structure(value, kind)


def _is_url_if_one(text: str) -> bool:
    """False for a URL whose port or brackets cannot be."""
    try:
        return urlsplit(text).port != 0 if "://" in text else True
    except ValueError:
        return False


def _shown(value: object) -> str:
    """A value as it stands in the file, on one line, short, and without a password."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    shown = re.sub(r"(://[^:@/\s]*):[^@\s]*@", r"\1:***@", shown)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def _quoted(texts: tuple[str, ...]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            [f"{path}: cannot be read ({error.strerror}): name another with --config or TELEDOM_CONFIG"]
        ) from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8: text in UTF-8 is expected"]) from error
