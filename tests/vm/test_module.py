"""teemate.ko on Debian's kernels: two boots for each, every phase of them a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.vm import full_stack, kernels, machine, module_run
from tests.vm.kernels import Kernel
from tests.vm.module_run import PHASES, assert_no_complaint, assert_phase_passed

BOOT_SECONDS = 1200  # a busy machine; an idle one takes 60
AT_ONCE = 2  # machines; each keeps one processor busy

Runs = Mapping[tuple[str, str], Future[machine.Console]]


def _boot_stack(kernel: Kernel) -> machine.Console:
    return full_stack.boot(kernel, full_stack.EMULATED, timeout=BOOT_SECONDS)


def _boot_module(kernel: Kernel) -> machine.Console:
    return module_run.boot_phases(kernel, PHASES, timeout=BOOT_SECONDS)


# By the fixture that waits for it; the longest first
_BOOTS: dict[str, Callable[[Kernel], machine.Console]] = {"stack_console": _boot_stack, "module_console": _boot_module}


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The machines that the selected tests ask for, all begun."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    wanted = [
        (name, series)
        for name in _BOOTS
        for series in sorted({str(item.callspec.params["kernel"]) for item in items if name in item.fixturenames})
    ]
    with ThreadPoolExecutor(AT_ONCE) as executor:
        yield {(name, series): executor.submit(_BOOTS[name], kernels.fetch(series)) for name, series in wanted}


@pytest.fixture(scope="session")
def module_console(kernel: Kernel, runs: Runs) -> machine.Console:
    """What was printed by the machine that tries the module by itself."""
    return runs["module_console", kernel.series].result()


@pytest.fixture(scope="session")
def stack_console(kernel: Kernel, runs: Runs) -> machine.Console:
    """What was printed by the machine with the daemon, teemate-runtime and runc."""
    return runs["stack_console", kernel.series].result()


@pytest.mark.parametrize("name", [name for name, _ in PHASES])
def test_phase(module_console: machine.Console, name: str) -> None:
    assert_phase_passed(module_console, name)


def test_kernel_does_not_complain(module_console: machine.Console) -> None:
    assert_no_complaint(module_console)


def test_full_stack(stack_console: machine.Console) -> None:
    """Containers of the real daemon, teemate-runtime and runc share an enclave over the module."""
    assert_phase_passed(stack_console, full_stack.PHASE)


def test_kernel_does_not_complain_of_the_full_stack(stack_console: machine.Console) -> None:
    assert_no_complaint(stack_console)
