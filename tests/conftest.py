"""For all tests: with CI=true a real test that does not run is a failure, as nobody would see that it was skipped."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} did not run, and CI=true: {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    xfail = hasattr(report, "wasxfail")
    if report.skipped and not xfail and item.get_closest_marker("real") and os.environ.get("CI") == "true":
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole file that is skipped: nobody can tell whether real tests were in it."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        _fail(report)
    return report
