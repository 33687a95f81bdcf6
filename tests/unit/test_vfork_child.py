"""A vfork child in its parent's compartment: killed at any moment, and with mappings of its own."""

import subprocess

import pytest

from tests.harness.images import build_programs, program
from tests.unit import mate_process
from tests.unit.mate_process import Compartment, janitor


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    mate_process.build()
    build_programs()


@pytest.mark.parametrize("library", ["glibc-dynamic", "musl-static"])
@pytest.mark.parametrize("case", ["killed", "maps"])
def test_the_parent_goes_on(compartment: Compartment, case: str, library: str) -> None:
    command = [str(program("spawn", library)), case]
    native = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert native.returncode == 0
    inside = compartment.run(*command, limit=300)
    assert (inside.returncode, inside.stdout) == (native.returncode, native.stdout), inside.stderr
    with janitor() as service:
        assert service.scrub(compartment) > 0
    assert compartment.left_over() == []
