"""On the debug kernel: the daemon and its containers over the module, and programs with the mate of SGX hardware."""

from __future__ import annotations

import pytest

from tests.vm import enclu_hardware_run, full_stack
from tests.vm.full_stack import EMULATED, HARDWARE, Stack
from tests.vm.kernels import Kernel
from tests.vm.module_run import assert_no_complaint, assert_phase_passed
from tests.vm_debug.kernel import BOOT_SECONDS, MEMORY_MIB


@pytest.mark.parametrize("stack", [EMULATED, HARDWARE], ids=lambda stack: stack.name)
def test_full_stack(debug_kernel: Kernel, stack: Stack) -> None:
    console = full_stack.boot(debug_kernel, stack, timeout=BOOT_SECONDS, name="debug", memory_mib=MEMORY_MIB)
    assert_phase_passed(console, full_stack.PHASE)
    assert_no_complaint(console)


def test_mate_of_hardware_runs_programs(debug_kernel: Kernel) -> None:
    console = enclu_hardware_run.boot(debug_kernel, timeout=BOOT_SECONDS, name="debug", memory_mib=MEMORY_MIB)
    assert_phase_passed(console, enclu_hardware_run.PHASE)
    assert_no_complaint(console)
