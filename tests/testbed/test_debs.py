"""A machine that can't have the real parts is told what is missing; one that has them is not asked again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.debs import BROWSER, TESTBED, PackageSet, TestbedUnavailable, find_tree, get_tree

TOP = Path(__file__).resolve().parents[2]
ALL_SETS = pytest.mark.parametrize("packages", [TESTBED, BROWSER], ids=lambda packages: packages.name)


def run_debs(cache: Path, path: str, *sets: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed.debs", *sets],
        cwd=TOP,
        env={**os.environ, "TELEDOM_CACHE": str(cache), "PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


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


@ALL_SETS
def test_a_tree_that_is_there_is_taken_without_a_word(empty_cache: Path, packages: PackageSet) -> None:
    packages.folder(empty_cache).mkdir()
    said: list[str] = []

    tree = get_tree(said.append, packages)

    assert tree == find_tree(packages)
    assert said == []


def test_each_set_of_packages_has_a_tree_of_its_own(empty_cache: Path) -> None:
    TESTBED.folder(empty_cache).mkdir()

    assert find_tree(TESTBED) is not None
    assert find_tree(BROWSER) is None


def test_files_that_name_their_folder_are_not_taken_from_a_moved_cache(tmp_path: Path) -> None:
    assert TESTBED.folder(tmp_path).name == TESTBED.folder(tmp_path / "moved").name
    assert BROWSER.folder(tmp_path).name != BROWSER.folder(tmp_path / "moved").name


def test_the_command_prints_the_folders_that_it_is_asked_for(tmp_path: Path) -> None:
    folders = [packages.folder(tmp_path) for packages in (TESTBED, BROWSER)]
    for folder in folders:
        folder.mkdir()

    assert run_debs(tmp_path, os.environ["PATH"]).stdout.split() == [str(folders[0])]
    assert run_debs(tmp_path, os.environ["PATH"], "testbed", "browser").stdout.split() == [*map(str, folders)]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another processor is told of first")
def test_a_set_that_cannot_be_had_does_not_keep_the_others_away(tmp_path: Path) -> None:
    browser = BROWSER.folder(tmp_path)
    browser.mkdir()

    done = run_debs(tmp_path, str(tmp_path), "testbed", "browser")

    assert done.returncode == 3
    assert done.stdout.split() == [str(browser)]
    assert done.stderr.startswith("testbed: apt-get is not there")


def test_an_unknown_set_is_refused(tmp_path: Path) -> None:
    done = run_debs(tmp_path, os.environ["PATH"], "printer")

    assert done.returncode == 2
    assert "no such set of packages: printer" in done.stderr
