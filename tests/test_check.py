"""What ./check relies on: with CI=true a real test that was skipped fails the run, of one process or several."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SKIPPING = """
import pytest
{before}

@pytest.mark.real
def test_real():
    pytest.skip("no Asterisk here")

def test_unit():
    pytest.skip("not on this machine")

@pytest.mark.real
@pytest.mark.xfail
def test_known():
    assert False
"""


several = pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")], ids=["one", "several"])


def run_pytest(
    folder: Path, ci: str, options: Sequence[str], before: str = ""
) -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).parent / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = real: needs a real Asterisk\n")
    (folder / "test_it.py").write_text(SKIPPING.format(before=before))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@several
def test_a_skipped_real_test_fails_in_ci(tmp_path: Path, options: Sequence[str]) -> None:
    done = run_pytest(tmp_path, "true", options)
    assert done.returncode == 1
    assert "test_real did not run, and CI=true" in done.stdout
    assert "no Asterisk here" in done.stdout
    assert "1 failed, 1 skipped, 1 xfailed" in done.stdout


@several
def test_a_skipped_real_test_is_a_skip_elsewhere(tmp_path: Path, options: Sequence[str]) -> None:
    done = run_pytest(tmp_path, "", options)
    assert done.returncode == 0
    assert "2 skipped, 1 xfailed" in done.stdout


@several
@pytest.mark.parametrize(("ci", "code"), [("true", (1, 2)), ("", (5,))])
def test_a_file_that_is_skipped_as_a_whole_fails_in_ci(
    tmp_path: Path, options: Sequence[str], ci: str, code: tuple[int, ...]
) -> None:
    done = run_pytest(tmp_path, ci, options, 'pytest.skip("not today", allow_module_level=True)')
    assert done.returncode in code
