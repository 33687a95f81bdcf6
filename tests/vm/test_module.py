"""teemate.ko on Debian's kernels: one boot for each, every phase of it a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm import full_stack, initramfs, kernels, machine, module_run
from tests.vm.kernels import BUILD, ROOT, Kernel
from tests.vm.module_run import PHASES, assert_no_complaint, assert_phase_passed

SKIP_STATUS = 77
BOOT_SECONDS = 600  # a busy machine; an idle one takes 15


# runc wants a root that it can leave: a bind of the initramfs.
_STACK = f"""\
insmod /t/teemate.ko
mount --rbind / /new
mount --bind / /new/containers/rootfs
chroot /new {ROOT}/.venv/bin/python /t/guest_stack.py {ROOT}
"""


# The mate's model of ERESUME is IRET, whose stack QEMU reads as if the kernel did: SMAP would forbid it.
_CPU_FOR_MODEL = "max,-smap"


@pytest.fixture(scope="session")
def console(kernel: Kernel) -> machine.Console:
    """Everything that the machine printed."""
    return module_run.boot_phases(kernel, PHASES, timeout=BOOT_SECONDS)


@pytest.mark.parametrize("name", [name for name, _ in PHASES])
def test_phase(console: machine.Console, name: str) -> None:
    assert_phase_passed(console, name)


def test_kernel_does_not_complain(console: machine.Console) -> None:
    assert_no_complaint(console)


def test_full_stack(kernel: Kernel) -> None:
    """The real daemon, teemate-runtime and runc over the module: two containers, one enclave."""
    directory = BUILD / "runs" / f"{kernel.series}-stack"
    directory.mkdir(parents=True, exist_ok=True)
    archive = initramfs.pack(
        directory,
        files={"t/teemate.ko": kernels.build_module(kernel, ROOT / "kernel_module", "teemate")},
        phases=[("stack", _STACK)],
        layer=full_stack.files().layer(),
    )
    console = machine.boot(kernel.image, archive, timeout=BOOT_SECONDS, memory_mib=2048, cpu=_CPU_FOR_MODEL, cpus=1)
    Path(directory / "console.txt").write_text(console.text)
    if "stack" in console.phases and console.phases["stack"].status == SKIP_STATUS:
        pytest.skip(console.phases["stack"].lines[-1])
    assert_phase_passed(console, "stack")
    assert_no_complaint(console)
