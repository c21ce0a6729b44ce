"""A machine that can't have the real parts is told what is missing; one that has them is not asked again."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from testbed.debs import TestbedUnavailable, find_tree, get_tree, tree_name


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEDOM_CACHE", str(tmp_path))
    return tmp_path


def test_another_processor_is_named(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    with pytest.raises(TestbedUnavailable, match=r"x86_64.*riscv64"):
        get_tree()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another processor is told of first")
def test_a_machine_without_apt_is_told_so(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(empty_cache))

    with pytest.raises(TestbedUnavailable, match="apt-get is not there"):
        get_tree()


def test_a_tree_that_is_there_is_taken_without_a_word(empty_cache: Path) -> None:
    (empty_cache / tree_name()).mkdir()
    said: list[str] = []

    tree = get_tree(said.append)

    assert tree == find_tree(empty_cache)
    assert said == []
