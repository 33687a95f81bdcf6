"""teemate.ko on a kernel that watches memory, locks and leaks, and in which allocations fail at random."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm import machine, module_run
from tests.vm.kernels import Kernel
from tests.vm.module_run import assert_no_complaint, assert_phase_passed
from tests.vm_debug import scripts
from tests.vm_debug.kernel import BOOT_SECONDS, MEMORY_MIB

_FAILING = ("failing", scripts.failing("/t/vmtest failing-fuzz 10000 3"))
_LEAKS = ("leaks", f"rmmod fail_alloc\n{scripts.LEAKS}")
_PLANTED_LEAKS = ("planted-leaks", scripts.PLANTED_LEAKS)
_PLANT_LEAK = Path(__file__).parent / "plant_leak"


def _phases() -> list[tuple[str, str]]:
    phases = list(module_run.PHASES)
    unload = [name for name, _ in phases].index("unload")
    return [*phases[:unload], _FAILING, *phases[unload:], _LEAKS, _PLANTED_LEAKS]


PHASES = _phases()


@pytest.fixture(scope="session")
def console(debug_kernel: Kernel) -> machine.Console:
    return module_run.boot_phases(
        debug_kernel, PHASES, timeout=BOOT_SECONDS, name="debug", memory_mib=MEMORY_MIB, modules=(_PLANT_LEAK,)
    )


@pytest.mark.parametrize("name", [name for name, _ in PHASES])
def test_phase(console: machine.Console, name: str) -> None:
    assert_phase_passed(console, name)


def test_kernel_does_not_complain(console: machine.Console) -> None:
    assert_no_complaint(console)
