"""teemate.ko on Debian's kernels: one boot for each, every phase of it a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import enclaves, full_stack, initramfs, kernels, machine
from tests.vm.kernels import BUILD, ROOT, Kernel

SKIP_STATUS = 77
BOOT_SECONDS = 600  # a busy machine; an idle one takes 15

# Refused while a descriptor is open; then gone, and back. A superblock is released a moment after its last file.
_UNLOAD = """\
exec 9<>/dev/teemate
if rmmod teemate; then echo "not ok - unloaded under use"; else echo "ok - unloading under use is refused"; fi
exec 9>&-
for try in 1 2 3 4 5; do rmmod teemate 2>/dev/null && break; sleep 0.2; done
if [ -e /sys/module/teemate ]; then echo "not ok - unload"; else echo "ok - unload"; fi
insmod /t/teemate.ko && /t/vmtest construct
"""

# The same module over a stand-in for the kernel's SGX driver.
_HARDWARE = """\
for try in 1 2 3 4 5; do rmmod teemate 2>/dev/null && break; sleep 0.2; done
insmod /t/fake_sgx.ko && insmod /t/teemate.ko insecure__backing_driver=fake_sgx && /t/vmtest hardware || exit 1
for try in 1 2 3 4 5; do rmmod teemate 2>/dev/null && break; sleep 0.2; done
rmmod fake_sgx && echo "ok - unload both"
"""

PHASES = (
    ("load", "insmod /t/teemate.ko epc_pages=65536 && ls -l /dev/teemate | grep '^crw-------' && echo 'ok - loaded'"),
    ("construct", "/t/vmtest construct"),
    ("lease", "/t/vmtest lease"),
    ("end", "/t/vmtest end"),
    ("isolation", "/t/vmtest isolation"),
    ("accounting", "/t/vmtest accounting"),
    ("fuzz-1", "/t/vmtest fuzz 10000 1"),
    ("fuzz-2", "/t/vmtest fuzz 10000 2"),
    ("stress", "/t/vmtest stress 150"),
    ("memory", "insmod /t/fail_alloc.ko && /t/vmtest memory"),
    ("unload", _UNLOAD),
    ("hardware", _HARDWARE),
)


@pytest.fixture(scope="session", params=sorted(kernels.META_PACKAGES))
def kernel(request: pytest.FixtureRequest) -> Kernel:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not installed (package qemu-system-x86)")
    return kernels.fetch(request.param)


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
def console(kernel: Kernel) -> Iterator[machine.Console]:
    """Everything that the machine printed."""
    directory = BUILD / "runs" / kernel.series
    directory.mkdir(parents=True, exist_ok=True)
    module = kernels.build_module(kernel, ROOT / "kernel_module", "teemate")
    test_modules = {
        f"t/{name}.ko": kernels.build_module(kernel, ROOT / "tests" / "vm" / name, name)
        for name in ("fake_sgx", "fail_alloc")
    }
    kernels.run("make", "-s", "-C", ROOT / "tests" / "vm" / "guest", f"OUT={BUILD}")
    enclave = directory / "standard.enclave"
    enclaves.write(enclave, enclaves.standard())
    archive = initramfs.pack(
        directory,
        files={
            "t/vmtest": BUILD / "vmtest",
            "t/teemate.ko": module,
            **test_modules,
            "t/standard.enclave": enclave,
        },
        phases=PHASES,
    )
    result = machine.boot(kernel.image, archive, timeout=BOOT_SECONDS)
    Path(directory / "console.txt").write_text(result.text)
    yield result


@pytest.mark.parametrize("name", [name for name, _ in PHASES])
def test_phase(console: machine.Console, name: str) -> None:
    phase = console.phases.get(name)
    assert phase is not None, f"never began:\n{console.text[-3000:]}"
    output = "\n".join(phase.lines)
    assert not phase.failures, output
    assert phase.status == 0, output
    assert phase.passed, "checked nothing"


def test_kernel_does_not_complain(console: machine.Console) -> None:
    assert console.finished, console.text[-3000:]
    assert not console.complaints, "\n".join(console.complaints)


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
    test_phase(console, "stack")
    test_kernel_does_not_complain(console)
