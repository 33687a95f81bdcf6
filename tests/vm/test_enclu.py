"""Emulated ENCLU: the kernel's own selftests of SGX, over its own vDSO, on a CPU without SGX."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from tests.vm import enclu_hardware_run, enclu_run, full_stack, machine, selftests
from tests.vm.kernels import Kernel
from tests.vm.module_run import assert_no_complaint, assert_phase_passed

BOOT_SECONDS = 600  # a busy machine; an idle one takes 20
REPORT_SIGNED, REPORT_MAC = 384, 416
CPUSVN = b"teemate-insecure"
TESTS = 16  # in Linux 6.1 and 6.12

# These ask CPUID for the size of the EPC, and the emulation leaves CPUID alone: there is none.
_NO_EPC_SIZE = "Expected total_mem (0) != 0"
NEED_CPUID = {"enclave.unclobbered_vdso_oversubscribed", "enclave.unclobbered_vdso_oversubscribed_remove"}


@pytest.fixture(scope="session")
def console(kernel: Kernel) -> machine.Console:
    """Everything that the machine printed."""
    return enclu_run.boot(kernel, timeout=BOOT_SECONDS)


@pytest.mark.parametrize("name", [name for name, _ in enclu_run.PHASES if name != "selftests"])
def test_phase(console: machine.Console, name: str) -> None:
    assert_phase_passed(console, name)


def test_unmodified_selftests(console: machine.Console) -> None:
    """All pass but those that cannot without the EPC's size."""
    lines = console.phases["selftests"].lines
    results = selftests.results(lines)
    output = "\n".join(lines)
    assert len(results) == TESTS, output
    assert {name for name, result in results.items() if result != "pass"} == NEED_CPUID, output
    assert sum(_NO_EPC_SIZE in line for line in lines) == len(NEED_CPUID), output


def test_selftests_with_an_epc_size(console: machine.Console) -> None:
    """With CPUID answered at compile time, all pass."""
    lines = console.phases["selftests-cpuid"].lines
    results = selftests.results(lines)
    assert len(results) == TESTS, "\n".join(lines)
    assert set(results.values()) == {"pass"}, "\n".join(lines)


def test_report_is_confirmed_by_the_targets_key(console: machine.Console) -> None:
    """EGETKEY gives the target of a report the key that its MAC was made with."""
    printed = dict(line.split(" ", 1) for line in console.phases["enclu"].lines if line.startswith(("report ", "key ")))
    report = bytes.fromhex(printed["report"])
    mac = CMAC(AES(bytes.fromhex(printed["key"])))
    mac.update(report[:REPORT_SIGNED])
    mac.verify(report[REPORT_MAC:])
    assert report[: len(CPUSVN)] == CPUSVN, "nobody shall take this for a real CPU's"


def test_kernel_does_not_complain(console: machine.Console) -> None:
    assert_no_complaint(console)


def test_mate_of_hardware_runs_programs(kernel: Kernel) -> None:
    """The mate without its model of SGX, over leases that chain to the emulated driver, over the kernel's vDSO."""
    console = enclu_hardware_run.boot(kernel, timeout=BOOT_SECONDS)
    assert_phase_passed(console, enclu_hardware_run.PHASE)
    assert_no_complaint(console)


def test_full_stack_of_hardware(kernel: Kernel) -> None:
    """Containers of the daemon, whose provider is the one for SGX hardware, share an enclave of the emulated driver."""
    console = full_stack.boot(kernel, full_stack.HARDWARE, timeout=BOOT_SECONDS)
    assert_phase_passed(console, full_stack.PHASE)
    assert_no_complaint(console)
