"""A host daemon and one version of containerd, with the check that a test leaves nothing behind in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.containerd_versions import Unavailable, Version
from tests.harness.cri import CriContainerd
from tests.harness.images import build_programs
from tests.harness.leaks import KEPT_BYTES_PER_COMPARTMENT, assert_nothing_leaked, compartments_touched, holdings
from tests.harness.process import MARKER, clean_environment
from tests.harness.stack import Stack


@dataclass(frozen=True)
class Stage:
    version: Version
    stack: Stack
    containerd: CriContainerd
    environment: dict[str, str]

    @contextlib.contextmanager
    def checked(self) -> Iterator[None]:
        before = holdings(self.stack)
        yield
        kept = KEPT_BYTES_PER_COMPARTMENT * compartments_touched(self.stack)
        assert_nothing_leaked(self.stack, before, kept_bytes=kept)


@contextlib.contextmanager
def stage_of(version: Version) -> Iterator[Stage]:
    """Skips the test where the version cannot be had."""
    try:
        programs = version.programs()
    except Unavailable as error:
        pytest.skip(str(error))
    build_programs()
    with Stack(with_containers=False) as stack:
        environment = clean_environment({MARKER: stack.mark} | stack.runtime_environment)
        containerd = CriContainerd(
            directory=stack.directory / "k",
            environment=environment,
            programs=programs,
            config_version=version.config_version,
        )
        try:
            containerd.start()
            yield Stage(version, stack, containerd, environment)
        finally:
            containerd.stop()
