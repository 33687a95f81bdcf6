"""One boot of a kernel in which the guest's test program tries the module, phase by phase."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from tests.vm import enclaves, initramfs, kernels, machine
from tests.vm.kernels import BUILD, ROOT, Kernel

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

# Name, and what the guest's shell runs
PHASES = (
    ("load", "insmod /t/teemate.ko epc_pages=65536 && ls -l /dev/teemate | grep '^crw-------' && echo 'ok - loaded'"),
    ("construct", "/t/vmtest construct"),
    ("lease", "/t/vmtest lease"),
    ("end", "/t/vmtest end"),
    ("isolation", "/t/vmtest isolation"),
    ("accounting", "/t/vmtest accounting"),
    ("races", "/t/vmtest races"),
    ("fuzz-1", "/t/vmtest fuzz 10000 1"),
    ("fuzz-2", "/t/vmtest fuzz 10000 2"),
    ("stress", "/t/vmtest stress 150"),
    ("memory", "insmod /t/fail_alloc.ko && /t/vmtest memory"),
    ("unload", _UNLOAD),
    ("hardware", _HARDWARE),
)

_TEST_MODULES = [ROOT / "tests" / "vm" / name for name in ("fake_sgx", "fail_alloc")]
_building = threading.Lock()  # several kernels' programs have one place


def boot_phases(
    kernel: Kernel,
    phases: Sequence[tuple[str, str]],
    *,
    timeout: int,
    name: str = "",
    memory_mib: int = 512,
    cpus: int = 2,
    accelerator: Sequence[str] = machine.IN_TURN,
    modules: Sequence[Path] = (),
) -> machine.Console:
    """Build all that the phases need, boot, and keep what the machine printed in build/vm/runs/NAME/console.txt."""
    directory = BUILD / "runs" / (name or kernel.series)
    directory.mkdir(parents=True, exist_ok=True)
    with _building:
        built = {"t/teemate.ko": kernels.build_module(kernel, ROOT / "kernel_module", "teemate")}
        for source in (*_TEST_MODULES, *modules):
            built[f"t/{source.name}.ko"] = kernels.build_module(kernel, source, source.name)
        kernels.run("make", "-s", "-C", ROOT / "tests" / "vm" / "guest", f"OUT={BUILD}")
        enclave = directory / "standard.enclave"
        enclaves.write(enclave, enclaves.standard())
        archive = initramfs.pack(
            directory,
            files={"t/vmtest": BUILD / "vmtest", "t/standard.enclave": enclave, **built},
            phases=phases,
        )
    console = machine.boot(
        kernel.image, archive, timeout=timeout, memory_mib=memory_mib, cpus=cpus, accelerator=accelerator
    )
    Path(directory / "console.txt").write_text(console.text)
    return console


def assert_phase_passed(console: machine.Console, name: str) -> None:
    """The phase began, ended well, checked something, and all that it checked was so."""
    phase = console.phases.get(name)
    assert phase is not None, f"never began:\n{console.text[-3000:]}"
    output = "\n".join(phase.lines)
    assert not phase.failures, output
    assert phase.status == 0, output
    assert phase.passed, "checked nothing"


def assert_no_complaint(console: machine.Console) -> None:
    """The machine came to its end, and the kernel said nothing against itself."""
    assert console.finished, console.text[-3000:]
    assert not console.complaints, "\n".join(console.complaints)
