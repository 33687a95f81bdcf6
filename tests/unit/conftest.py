"""What several of the unit tests start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.mate_process import Compartment


@pytest.fixture
def compartment() -> Iterator[Compartment]:
    """For a module that has built LibOS and mate."""
    made = Compartment.create()
    yield made
    made.close()
