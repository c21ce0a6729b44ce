"""What the pages say of the tree holds: rooms, settings, commands, outcomes and figures that they name are there."""

from __future__ import annotations

import argparse
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import attrs
import pytest

import metrics
import teledom
from actors.talk import REFUSALS
from config import Config
from crm.values.records import Outcome

TOP = Path(__file__).resolve().parent.parent
PAGES = [TOP / "README.md", TOP / "CHANGELOG.md", *sorted((TOP / "docs").glob("*.md"))]
NAMED = r"(?<!/)\b(\w+\.(?:py|cfg|sh|md|txt)|\w+/)(?=[ ;:,.]|$)"
UNNAMED = {"__init__.py", ".ci"}  # no rooms
# Rooms whose files are told by one line: each is a section, or a kind.
WHOLE = {"crm/api/", "crm/imports/kinds/", "crm/sections/", "crm/tables/", "crm/web/"}


def rooms() -> set[str]:
    """Every path in the list of rooms; a room's files stand below it, one level further in."""
    listed = (TOP / "docs/architecture.md").read_text().split("## Rooms", 1)[1].split("```")[1]
    found: set[str] = set()
    above: list[tuple[int, str]] = []  # the folders that a line stands in
    inner = ""
    for line in listed.splitlines():
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if indent >= 20:  # the text of the line before goes on
            found.update(inner + name for name in re.findall(NAMED, line))
            continue
        above = [each for each in above if each[0] < indent]
        folder = above[-1][1] if above else ""
        head, _, text = line.strip().partition("  ")
        for name in head.split():
            found.add(folder + name)
            if name.endswith("/"):
                above.append((indent, folder + name))
        inner = folder + head if head.endswith("/") else folder
        found.update(inner + name for name in re.findall(NAMED, text))
    return found


def tracked(*under: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", *under], cwd=TOP, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what belongs to the tree is not known")
    return set(listed.stdout.split())


def test_every_room_in_the_list_is_there() -> None:
    assert len(rooms()) > 50
    assert [room for room in sorted(rooms()) if not (TOP / room).exists()] == []


def test_every_module_and_folder_at_the_top_is_in_the_list() -> None:
    files = tracked()
    top = {f"{path.partition('/')[0]}/" if "/" in path else path for path in files}
    own = {name for name in top if name.endswith((".py", "/")) and name.rstrip("/") not in UNNAMED}
    assert own - rooms() == set()


@pytest.mark.parametrize(
    "folder", ["actors", "crm", "telephony", "telephony/ari", "telephony/panels", "telephony/push"]
)
def test_every_module_that_a_node_runs_is_in_the_list(folder: str) -> None:
    files = {path for path in tracked(f"{folder}/*.py") if "/migrations/" not in path}
    own = {path for path in files if Path(path).name not in UNNAMED}
    assert own
    whole = {room for room in rooms() if room.endswith("/") and room.count("/") > 1}  # one line for all of it
    assert {path for path in own - rooms() if not path.startswith(tuple(whole & WHOLE))} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {name: keys_of(kind) for name, (kind, _) in sections().items()}
    named = re.findall(r"`\[(\w+)(?:\.[\w-]+)?\]\s+(\w+)`", page.read_text())
    assert [f"[{section}] {key}" for section, key in named if key not in known.get(section, set())] == []


def test_the_file_of_settings_has_every_setting_but_secrets() -> None:
    tables = tomllib.loads((TOP / "config.toml").read_text())
    for section, (kind, several) in sections().items():
        for each in tables[section].values() if several else [tables[section]]:
            assert set(each) == keys_of(kind) - {"password", "token", "secret_key"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    for name, rest in re.findall(r"(?:`|\./)teledom ([a-z][\w-]*)((?: [\w-]+)*)", text):
        command = subcommands(teledom._parser())[name]
        words = rest.split()
        if name == "bench":
            assert words[0] in teledom._benches()
            continue
        for word in words:
            inner = subcommands(command)
            if word in inner:
                command = inner[word]
            elif word.startswith("--"):
                assert word in command.format_help(), f"{page.name}: teledom {name}{rest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_file_that_is_named_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
    folders = {path.name for path in TOP.iterdir() if path.is_dir() and path.name != "var"}
    for path in re.findall(r"`([\w.-]+/[\w./-]*\w)`", text):
        if path.partition("/")[0] in folders:
            assert (TOP / path).exists(), f"{page.name}: {path}"


def test_what_a_visitor_hears_is_as_the_page_says() -> None:
    table = (TOP / "docs/decisions.md").read_text().split("## What a visitor hears")[1]
    said = dict(
        (outcome, (prompt, tone, int(cause)))
        for outcome, prompt, tone, cause in re.findall(
            r"^\| `(\w+)` \| ([\w-]+) \| (\w+) \| (\d+) \|", table, re.M
        )
    )
    done = {
        outcome.value: (refusal.prompt, refusal.tone, refusal.cause)
        for outcome, refusal in REFUSALS.items()
        if outcome is not Outcome.FAILED  # no prompt, and no refusal: its call is just ended
    }
    assert said == done


def test_every_figure_is_explained_and_every_one_that_is_explained_exists() -> None:
    explained = {
        name.removesuffix("_total")
        for name in re.findall(r"`teledom_(\w+?)(?:\{[^`]*)?`", (TOP / "docs/operations.md").read_text())
    }
    counted = {
        each._name.removeprefix("teledom_")
        for each in (metrics.CALLS, metrics.RING_SECONDS, metrics.TALK_SECONDS, metrics.EVENTS)
    }
    collected = set(re.findall(r'^            "(\w+)": \(', (TOP / "node.py").read_text(), re.M))
    assert len(collected) > 10
    assert explained == counted | collected


def sections() -> dict[str, tuple[type[attrs.AttrsInstance], bool]]:
    """What each section of the settings is, and whether there may be several of the kind: [dispatch.NAME]."""
    hints = get_type_hints(Config).items()
    return {name: (get_args(kind)[-1], True) if get_origin(kind) else (kind, False) for name, kind in hints}


def keys_of(section: type[attrs.AttrsInstance]) -> set[str]:
    return {field.name for field in attrs.fields(section)}


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return dict(_choices(parser))


def _choices(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()
