"""What ./check relies on: with CI=true a real test that was skipped fails the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


def run_pytest(folder: Path, ci: str, before: str = "") -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).parent / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = real: needs a real Asterisk\n")
    (folder / "test_it.py").write_text(SKIPPING.format(before=before))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_skipped_real_test_fails_in_ci(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "true")
    assert done.returncode == 1
    assert "test_real did not run, and CI=true" in done.stdout
    assert "no Asterisk here" in done.stdout
    assert "1 failed, 1 skipped, 1 xfailed" in done.stdout


def test_a_skipped_real_test_is_a_skip_elsewhere(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "")
    assert done.returncode == 0
    assert "2 skipped, 1 xfailed" in done.stdout


@pytest.mark.parametrize(("ci", "code"), [("true", 2), ("", 5)])
def test_a_file_that_is_skipped_as_a_whole_fails_in_ci(tmp_path: Path, ci: str, code: int) -> None:
    done = run_pytest(tmp_path, ci, 'pytest.skip("not today", allow_module_level=True)')
    assert done.returncode == code
