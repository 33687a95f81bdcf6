"""Shared by all tests: integration tests run where they can, and must run in CI."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.harness.containerd_versions import LATER_SUITE
from tests.harness.facilities import in_ci, missing_facilities


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run; in CI nothing is skipped for want of a facility."""
    for item in items:
        if "tests/integration/" in item.path.as_posix():
            item.add_marker(pytest.mark.root)
    needing_root = [item for item in items if item.get_closest_marker("root")]
    if not needing_root:
        return
    missing = missing_facilities()
    if missing and in_ci():
        raise pytest.UsageError("facilities that CI must have are missing:\n  " + "\n  ".join(missing))
    if missing:
        for item in needing_root:
            item.add_marker(pytest.mark.skip(reason="; ".join(missing)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failure, unless what it lacks is none of CI's business."""
    report = yield
    excused = any(reason in str(report.longrepr) for reason in ("CPU", LATER_SUITE))
    if report.skipped and in_ci() and not hasattr(report, "wasxfail") and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
