"""teemate.ko on a kernel that watches memory, locks and leaks, and in which allocations fail at random."""

from __future__ import annotations

import pytest

from tests.vm import machine, module_run
from tests.vm.kernels import Kernel
from tests.vm.module_run import assert_no_complaint, assert_phase_passed
from tests.vm_debug.kernel import BOOT_SECONDS, MEMORY_MIB

# One allocation in 20, anywhere in the kernel, fails for the fuzzer.
_FAILING = """\
mount -t debugfs debugfs /sys/kernel/debug
for kind in failslab fail_page_alloc; do
    cd /sys/kernel/debug/$kind
    echo 5 > probability
    echo 1000000 > times
    echo 0 > verbose
    echo Y > task-filter
    echo N > ignore-gfp-wait
done
echo N > ignore-gfp-highmem
echo 0 > min-order
cd /
/t/vmtest failing-fuzz 10000 3
status=$?
for kind in failslab fail_page_alloc; do
    left=$(cat /sys/kernel/debug/$kind/times)
    echo 0 > /sys/kernel/debug/$kind/probability
    [ $left -lt 1000000 ] && echo "ok - $kind: $((1000000 - left)) failed" || echo "not ok - $kind never failed"
done
exit $status
"""

# Objects younger than five seconds are not looked at, and only what two scans agree on is told.
_LEAKS = """\
rmmod fail_alloc
for scan in 1 2; do
    sleep 6
    echo scan > /sys/kernel/debug/kmemleak || { echo "not ok - kmemleak has given up"; exit 1; }
done
cat /sys/kernel/debug/kmemleak
[ -z "$(cat /sys/kernel/debug/kmemleak)" ] && echo "ok - nothing has leaked" || echo "not ok - leaks"
"""


def _phases() -> list[tuple[str, str]]:
    phases = list(module_run.PHASES)
    unload = [name for name, _ in phases].index("unload")
    return [*phases[:unload], ("failing", _FAILING), *phases[unload:], ("leaks", _LEAKS)]


PHASES = _phases()


@pytest.fixture(scope="session")
def console(debug_kernel: Kernel) -> machine.Console:
    return module_run.boot_phases(debug_kernel, PHASES, timeout=BOOT_SECONDS, name="debug", memory_mib=MEMORY_MIB)


@pytest.mark.parametrize("name", [name for name, _ in PHASES])
def test_phase(console: machine.Console, name: str) -> None:
    assert_phase_passed(console, name)


def test_kernel_does_not_complain(console: machine.Console) -> None:
    assert_no_complaint(console)
