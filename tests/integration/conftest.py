"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.harness.images import build_programs
from tests.harness.leaks import KEPT_BYTES_PER_COMPARTMENT, assert_nothing_leaked, compartments_touched, holdings
from tests.harness.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack that tests share. One that breaks it (kills a daemon) takes a Stack of its own."""
    build_programs()
    with Stack() as running:
        yield running


@pytest.fixture
def tidy(stack: Stack) -> Iterator[Stack]:
    """The shared stack, with the check that the test leaves nothing behind in it."""
    before = holdings(stack)
    yield stack
    kept = KEPT_BYTES_PER_COMPARTMENT * compartments_touched(stack)
    assert_nothing_leaked(stack, before, kept_bytes=kept)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the daemons' logs to a failure."""
    report = yield
    running = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(running, Stack):
        report.sections.append(("daemons", running.logs()))
    return report
