"""Emulated ENCLU on the debug kernel: what tests/vm/test_enclu.py asks of stock kernels, and more."""

from __future__ import annotations

import pytest

from tests.vm import enclu_run, machine
from tests.vm.kernels import Kernel
from tests.vm.module_run import assert_phase_passed
from tests.vm.test_enclu import (  # noqa: F401 - found here by pytest, they get this module's console
    test_kernel_does_not_complain,
    test_phase,
    test_report_is_confirmed_by_the_targets_key,
    test_selftests_with_an_epc_size,
    test_unmodified_selftests,
)
from tests.vm_debug import scripts
from tests.vm_debug.kernel import BOOT_SECONDS, MEMORY_MIB

_FAILING = ("enclu-failing", scripts.failing("/t/vmtest failing-enclu-fuzz 6000 2"))
_LEAKS = ("enclu-leaks", scripts.LEAKS)


@pytest.fixture(scope="session")
def console(debug_kernel: Kernel) -> machine.Console:
    *tests, unload = enclu_run.PHASES
    return enclu_run.boot(
        debug_kernel,
        phases=(*tests, _FAILING, unload, _LEAKS),
        timeout=BOOT_SECONDS,
        name="debug",
        memory_mib=MEMORY_MIB,
    )


@pytest.mark.parametrize("name", [_FAILING[0], _LEAKS[0]])
def test_phase_of_the_debug_kernel(console: machine.Console, name: str) -> None:
    assert_phase_passed(console, name)
