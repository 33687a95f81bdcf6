"""What attaching costs, in instructions: the same number on every machine, so that it may have a bound."""

from __future__ import annotations

import pytest

from tests.vm import machine, module_run
from tests.vm.kernels import Kernel

ATTACH_BOUND = 1.5  # times three anonymous mmaps
BOOT_SECONDS = 900


@pytest.fixture(scope="session")
def counts(kernel: Kernel) -> dict[str, int]:
    """Instructions by name, as tests/vm/guest/count.c prints them."""
    phases = [*module_run.PHASES[:1], ("count", "/t/vmtest count")]
    console = module_run.boot_phases(
        kernel,
        phases,
        timeout=BOOT_SECONDS,
        name=f"{kernel.series}-count",
        cpus=1,
        accelerator=machine.COUNTED,
    )
    module_run.assert_phase_passed(console, "count")
    module_run.assert_no_complaint(console)
    lines = [line.split() for line in console.phases["count"].lines]
    return {words[1]: int(words[2]) for words in lines if words[:1] == ["count"]}


def test_attach_is_three_mmaps(counts: dict[str, int]) -> None:
    assert counts["attach"] <= ATTACH_BOUND * counts["three-mmaps-anonymous"], counts


def test_first_touch_is_no_dearer_than_a_memfds(counts: dict[str, int]) -> None:
    assert counts["first-touch-lease"] <= counts["first-touch-memfd"], counts


def test_revoking_depends_on_what_is_mapped(counts: dict[str, int]) -> None:
    assert 0 < counts["revoke-unmapped"] < counts["lease"] < counts["revoke-256-pages"], counts
