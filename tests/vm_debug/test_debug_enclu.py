"""Emulated ENCLU on the debug kernel: what tests/vm/test_enclu.py asks of stock kernels."""

from __future__ import annotations

import pytest

from tests.vm import enclu_run, machine
from tests.vm.kernels import Kernel
from tests.vm.test_enclu import (  # noqa: F401 - found here by pytest, they get this module's console
    test_kernel_does_not_complain,
    test_phase,
    test_report_is_confirmed_by_the_targets_key,
    test_selftests_with_an_epc_size,
    test_unmodified_selftests,
)
from tests.vm_debug.kernel import BOOT_SECONDS, MEMORY_MIB


@pytest.fixture(scope="session")
def console(debug_kernel: Kernel) -> machine.Console:
    return enclu_run.boot(debug_kernel, timeout=BOOT_SECONDS, name="debug", memory_mib=MEMORY_MIB)
